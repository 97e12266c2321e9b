"""Opening an association to a peer, and the reason in one sentence when that fails."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import cast

from pynetdicom import build_context, evt
from pynetdicom.association import Association
from pynetdicom.events import Event, EventHandlerType
from pynetdicom.pdu_primitives import A_ASSOCIATE, SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import AddressInformation, AssociationSocket

from config.errors import PacsUnavailableError
from config.messages.message import message
from config.settings import PacsSettings
from node.dicom.network.contexts import PLAIN_SYNTAXES, VERIFICATION
from node.dicom.network.guarded_socket import GuardedSocket, close_socket
from node.dicom.network.library_settings import configure_pydicom_pynetdicom
from node.dicom.network.pynetdicom_internals import AEHooks
from node.dicom.network.tls import client_context
from node.dicom.network.upper_layer import IDLE, EventDrivenUpperLayer
from node.store.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

MAX_PDU_BYTES = 131_072
NO_CONTEXT_ACCEPTED = message("peer.no_context")
CLOSES_WITHIN_S = 0.05  # after a release; then pynetdicom's own waiting goes on
CHECK_CLOSED_EVERY_S = 0.0002

# Reasons of an A-ASSOCIATE-RJ by source and diagnostic, PS3.8 Table 9-21
_REJECTIONS = {
    (1, 1): message("rejection.none"),
    (1, 2): message("rejection.application_context"),
    (1, 3): message("rejection.calling_ae"),
    (1, 7): message("rejection.called_ae"),
    (2, 1): message("rejection.none"),
    (2, 2): message("rejection.protocol"),
    (3, 1): message("rejection.congestion"),
    (3, 2): message("rejection.too_many"),
}


class NoContextAcceptedError(PacsUnavailableError):
    """The peer answered, but accepts none of the proposed presentation contexts; another SOP class may do."""


class PeerAE(AEHooks):
    """An application entity whose outgoing associations have guarded sockets and wait for events."""

    def create_association_socket(
        self, assoc: Association, address: AddressInformation, tls_args: tuple[ssl.SSLContext, str] | None
    ) -> AssociationSocket:
        """Create the socket of an association, and replace its upper layer before the socket is used."""
        assoc.dul = EventDrivenUpperLayer(assoc)
        guarded = GuardedSocket(assoc, address=address)
        guarded.tls_args = tls_args
        return guarded


@contextmanager
def association(
    pacs: PacsSettings,
    calling_ae: str,
    contexts: Sequence[PresentationContext],
    handlers: Sequence[EventHandlerType] = (),
    roles: Sequence[SCP_SCU_RoleSelectionNegotiation] = (),
) -> Iterator[Association]:
    """Open an association; it is released at the end, and aborted when an error passes through.

    Parameters
    ----------
    pacs : PacsSettings
        The peer, with its timeout in seconds and its TLS files.
    calling_ae : str
        Our AE title.
    contexts : sequence of PresentationContext
        What is proposed, at most 128 (PS3.8 section 9.3.2.2).
    handlers : sequence, optional
        pynetdicom's event handlers for what the peer sends.
    roles : sequence, optional
        Role selections (PS3.7 D.3.3.4), for objects that the peer sends to us on this association.

    Yields
    ------
    Association
        Established, with at least one accepted context.

    Raises
    ------
    NoContextAcceptedError
        The peer answered, but accepts none of the contexts.
    PacsUnavailableError
        There is no association; the text names the peer and the reason.
    SettingsError
        Its TLS files cannot be used.
    """
    configure_pydicom_pynetdicom()
    ae = PeerAE(ae_title=calling_ae)
    ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    # One time for all of them, as the settings have it: connecting, negotiation, each response and each silence.
    ae.connection_timeout = ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = pacs.timeout_s
    connections: list[socket.socket] = []
    own_handlers: list[EventHandlerType] = [
        (evt.EVT_CONN_OPEN, _connected, [connections, pacs.timeout_s]), (evt.EVT_RELEASED, _released),
    ]  # fmt: skip
    assoc = ae.associate(
        pacs.host, pacs.port, contexts=list(contexts), ae_title=pacs.ae_title, max_pdu=MAX_PDU_BYTES,
        tls_args=(client_context(pacs.tls), pacs.host) if pacs.tls else None,
        evt_handlers=own_handlers + list(handlers), ext_neg=list(roles),
    )  # fmt: skip
    try:
        if not assoc.is_established:
            reason = _reason(assoc, bool(connections), pacs)
            error = NoContextAcceptedError if reason == NO_CONTEXT_ACCEPTED else PacsUnavailableError
            raise error(message("peer.says", peer=peer_name(pacs), text=reason))
        try:
            yield assoc
        # An abort tells the peer that what it has got may be incomplete; a release would say that all is well.
        except BaseException:
            if assoc.is_established:
                assoc.abort()
            raise
        if assoc.is_established:
            assoc.release()
    finally:
        for connection in connections:
            close_socket(connection)


def peer_name(pacs: PacsSettings) -> str:
    """Return how messages name a PACS: its name in the settings, AE title, host and port.

    Parameters
    ----------
    pacs : PacsSettings
        The peer.

    Returns
    -------
    str
        For example ``PACS 'archive' (ARCHIVE at pacs.example:104)``.
    """
    return message("peer.name", name=pacs.name, ae_title=pacs.ae_title, host=pacs.host, port=pacs.port)


def _connected(event: Event, connections: list[socket.socket], timeout_s: float) -> None:
    """EVT_CONN_OPEN: set a read timeout, for a peer that stops sending in the middle of a PDU.

    pynetdicom removes the timeout of its socket when the connection is open.
    """
    connection = cast(socket.socket, cast(AssociationSocket, event.assoc.dul.socket).socket)
    # pynetdicom's timers are checked between PDUs only.
    connection.settimeout(timeout_s)
    connections.append(connection)


def _released(event: Event) -> None:
    """EVT_RELEASED: wait for the end of the state machine.

    Where it is not there yet, pynetdicom would sleep 10 ms: as long as all the rest of a small transfer takes.
    """
    deadline = time.monotonic() + CLOSES_WITHIN_S
    machine = event.assoc.dul.state_machine
    while machine.current_state != IDLE and time.monotonic() < deadline:
        time.sleep(CHECK_CLOSED_EVERY_S)


def _reason(assoc: Association, was_connected: bool, pacs: PacsSettings) -> str:
    if assoc.is_rejected:
        answer = cast(A_ASSOCIATE, assoc.acceptor.primitive)
        why = _REJECTIONS.get((answer.result_source or 0, answer.diagnostic or 0)) or message("rejection.unknown")
        return message("peer.rejected", reason=why)
    if not was_connected:
        return message("peer.unreachable_tls" if pacs.tls else "peer.unreachable")
    # An association without an accepted context is established by PS3.8, and pynetdicom aborts it.
    if assoc.rejected_contexts and not assoc.accepted_contexts:
        return NO_CONTEXT_ACCEPTED
    return message("peer.closed")


def echo(pacs: PacsSettings, calling_ae: str) -> float:
    """Send a C-ECHO on an association of its own.

    Returns
    -------
    float
        Seconds from opening the association to the response.

    Raises
    ------
    PacsUnavailableError
        There is no association, or the response is not a success.
    """
    begun = time.perf_counter()
    with association(pacs, calling_ae, [build_context(VERIFICATION, list(PLAIN_SYNTAXES))]) as assoc:
        status = assoc.send_c_echo()
        if status.get("Status") != 0x0000:
            raise PacsUnavailableError(message("peer.says", peer=peer_name(pacs), text=message("peer.no_echo")))
    return time.perf_counter() - begun
