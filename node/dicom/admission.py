"""Who may open an association with this node: a pure decision over titles and addresses."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from enum import Enum

from config.settings import NodeSettings, PacsSettings


class Admission(Enum):
    """The decision; values are (result, source, diagnostic) of an A-ASSOCIATE-RJ, PS3.8 Table 9-21."""

    FULL = None
    RESULTS_ONLY = "commitment results only"  # a configured PACS that is not on the list, answering a commitment
    CALLING_AE_UNKNOWN = (0x01, 0x01, 0x03)
    CALLED_AE_UNKNOWN = (0x01, 0x01, 0x07)


@dataclass(frozen=True)
class Request:
    """What an A-ASSOCIATE-RQ says of itself, and where it came from."""

    calling_ae: str
    called_ae: str
    address: str


def admit(request: Request, node: NodeSettings, pacs: tuple[PacsSettings, ...]) -> Admission:
    """Decide on a request.

    With `allowed_calling_aes` empty, any peer from loopback is admitted and none from elsewhere; otherwise the calling
    AE title must be on the list, wherever it calls from. A configured PACS may always report commitments, from its
    own host.
    """
    if node.require_called_ae and request.called_ae.strip() != node.ae_title.strip():
        return Admission.CALLED_AE_UNKNOWN
    allowed = {title.strip() for title in node.allowed_calling_aes}
    calling = request.calling_ae.strip()
    if calling in allowed or (not allowed and is_loopback(request.address)):
        return Admission.FULL
    if any(calling == peer.ae_title.strip() and request.address in _addresses(peer.host) for peer in pacs):
        return Admission.RESULTS_ONLY
    return Admission.CALLING_AE_UNKNOWN


def is_loopback(address: str) -> bool:
    """Whether an IP address, also an IPv4 one written in IPv6, is this machine's own."""
    try:
        found = ipaddress.ip_address(address.split("%")[0])
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback


def _addresses(host: str) -> set[str]:
    try:
        return {str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError:
        return set()
