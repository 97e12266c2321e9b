"""Who may open an association with this node: a pure decision over titles and addresses."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from enum import Enum

from config.addresses import is_loopback, is_within, parse_address
from config.settings import NodeSettings, PacsSettings


class Admission(Enum):
    """The decision on a request; values are (result, source, diagnostic) of an A-ASSOCIATE-RJ, PS3.8 Table 9-21."""

    FULL = None
    RESULTS_ONLY = "commitment results only"  # a configured PACS that is on no list, reporting a commitment
    ADDRESS_UNKNOWN = (0x01, 0x01, 0x01)  # no reason given: PS3.8 has none for an address
    CALLING_AE_UNKNOWN = (0x01, 0x01, 0x03)
    CALLED_AE_UNKNOWN = (0x01, 0x01, 0x07)


@dataclass(frozen=True)
class Request:
    """Titles of an A-ASSOCIATE-RQ, and the address that it came from."""

    calling_ae: str
    called_ae: str
    address: str


def admit(request: Request, node: NodeSettings, pacs: tuple[PacsSettings, ...]) -> Admission:
    """Decide on a request.

    A peer must be on each list that is not empty: `allowed_calling_aes` and `allowed_addresses`. With both empty, any
    peer from loopback is admitted and none from elsewhere. A configured PACS may always report commitments, from its
    own host: it opens an association of its own for them when ours has ended (PS3.4 section J.3.3).

    Parameters
    ----------
    request : Request
        Titles are compared without surrounding spaces, which are not significant (PS3.5 section 6.2, AE).
    node : NodeSettings
        Our title and the lists.
    pacs : tuple of PacsSettings
        Configured PACS.

    Returns
    -------
    Admission
        Full, commitment results only, or the reason of a rejection.
    """
    # First: a peer that addresses another application entity learns nothing about our lists.
    if node.require_called_ae and request.called_ae.strip() != node.ae_title.strip():
        return Admission.CALLED_AE_UNKNOWN
    titles = {title.strip() for title in node.allowed_calling_aes}
    calling = request.calling_ae.strip()
    # The address first: titles are claimed by the peer, an address at least has to route back.
    unknown = None
    if node.allowed_addresses and not is_within(request.address, node.allowed_addresses):
        unknown = Admission.ADDRESS_UNKNOWN
    elif (titles and calling not in titles) or not (titles or node.allowed_addresses or is_loopback(request.address)):
        unknown = Admission.CALLING_AE_UNKNOWN
    if unknown is None:
        return Admission.FULL
    # Title and host together: with a title alone any peer could report that objects are committed.
    if any(calling == peer.ae_title.strip() and _is_host(request.address, peer.host) for peer in pacs):
        return Admission.RESULTS_ONLY
    return unknown


def may_connect(address: str, node: NodeSettings, pacs: tuple[PacsSettings, ...]) -> bool:
    """Return whether a connection from an address may lead to an association; called before a byte of it is read.

    Parameters
    ----------
    address : str
        Of the peer.
    node : NodeSettings
        The lists.
    pacs : tuple of PacsSettings
        Configured PACS, which may connect from any list.

    Returns
    -------
    bool
        True does not mean that an association will be admitted: titles are known only later.
    """
    # Titles are known only after the request was read; until then each address may belong to an allowed title.
    if not node.allowed_addresses:
        return bool(node.allowed_calling_aes) or is_loopback(address) or _is_pacs(address, pacs)
    return is_within(address, node.allowed_addresses) or _is_pacs(address, pacs)


def _is_pacs(address: str, pacs: tuple[PacsSettings, ...]) -> bool:
    return any(_is_host(address, peer.host) for peer in pacs)


def _is_host(address: str, host: str) -> bool:
    # Normalised, because a dual-stack socket reports IPv4 peers as ::ffff:a.b.c.d.
    return str(parse_address(address)) in _addresses(host)


def _addresses(host: str) -> set[str]:
    try:
        # Resolved anew for each request: a PACS that fails over keeps its name and changes its address.
        return {str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    # A name that cannot be resolved now admits no peer; the other rules still apply.
    except OSError:
        return set()
