"""Network addresses: whether one belongs to this machine or to a list of networks."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable


def parse_address(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Parse an IP address; one of IPv4 that is written in IPv6 becomes IPv4, a host name becomes None.

    Parameters
    ----------
    address : str
        Without a port; a scope after ``%`` is ignored.

    Returns
    -------
    IPv4Address, IPv6Address or None
        Comparable: one machine has one value, whatever the socket calls it.
    """
    try:
        parsed = ipaddress.ip_address(address.split("%")[0])
    except ValueError:
        return None
    # A socket that listens on :: reports peers of IPv4 as ::ffff:a.b.c.d, which is in no network of IPv4.
    return getattr(parsed, "ipv4_mapped", None) or parsed


def is_loopback(address: str) -> bool:
    """Return whether an address, or the name ``localhost``, is reached from this machine only.

    Parameters
    ----------
    address : str
        An IP address or a host name; no name but ``localhost`` is resolved.

    Returns
    -------
    bool
        False for any other host name: who can reach it is not known without the resolver.
    """
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
