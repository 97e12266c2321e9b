"""Network addresses: whether one belongs to this machine or to a list of networks."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable


def parse_address(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Parse an IP address; one of IPv4 that is written in IPv6 becomes IPv4, a host name becomes None."""
    try:
        parsed = ipaddress.ip_address(address.split("%")[0])
    except ValueError:
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed


def is_loopback(address: str) -> bool:
    """Return whether an address, or the name ``localhost``, is reached from this machine only."""
    if address == "localhost":
        return True
    parsed = parse_address(address)
    return parsed is not None and parsed.is_loopback


def is_within(address: str, networks: Iterable[str]) -> bool:
    """Return whether an IP address is one of these addresses, or inside one of these networks.

    Parameters
    ----------
    address : str
        Without a port; a scope after ``%`` is ignored. A host name is in no network.
    networks : iterable of str
        For example ``192.0.2.7`` or ``192.0.2.0/24``.
    """
    parsed = parse_address(address)
    return parsed is not None and any(parsed in ipaddress.ip_network(network, strict=False) for network in networks)
