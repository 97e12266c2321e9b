"""Opening an association to a peer, and saying in one sentence why it did not work."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import cast

from pynetdicom import AE, build_context, evt
from pynetdicom.association import Association
from pynetdicom.events import Event, EventHandlerType
from pynetdicom.pdu_primitives import A_ASSOCIATE, SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import AddressInformation, AssociationSocket

from config.errors import PacsUnavailableError
from config.settings import PacsSettings
from node.dicom.network.contexts import PLAIN_SYNTAXES, VERIFICATION
from node.dicom.network.guarded_socket import GuardedSocket, close_socket
from node.dicom.network.library_settings import configure_pydicom_pynetdicom
from node.dicom.network.tls import client_context
from node.dicom.network.upper_layer import EventDrivenUpperLayer
from node.store.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

MAX_PDU_BYTES = 131_072
IDLE = "Sta1"  # PS3.8 9.2.1: no connection
NO_CONTEXT_ACCEPTED = "accepted none of the offered presentation contexts"
AT_ITS_END_WITHIN_S = 0.05  # then pynetdicom's own waiting goes on

_REJECTIONS = {
    (1, 1): "no reason given",
    (1, 2): "application context name not supported",
    (1, 3): "it does not know our AE title",
    (1, 7): "it does not answer to its configured AE title",
    (2, 1): "no reason given",
    (2, 2): "protocol version not supported",
    (3, 1): "temporary congestion",
    (3, 2): "too many associations",
}


class NoContextAcceptedError(PacsUnavailableError):
    """The peer answered, but accepts none of the proposed presentation contexts; another SOP class may do."""


class PeerAE(AE):
    """An application entity whose outgoing associations have guarded sockets and lose no answer."""

    def _create_socket(
        self, assoc: Association, address: AddressInformation, tls_args: tuple[ssl.SSLContext, str] | None
    ) -> AssociationSocket:
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
    """An established association, released at the end (aborted when an error passes through).

    roles : role selections (PS3.7 D.3.3.4), for what the peer shall send us on this association.

    Raises PacsUnavailableError naming the peer and why there is no association; SettingsError for its TLS files.
    """
    configure_pydicom_pynetdicom()
    ae = PeerAE(ae_title=calling_ae)
    ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    ae.connection_timeout = ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = pacs.timeout_s
    opened: list[socket.socket] = []
    ours: list[EventHandlerType] = [
        (evt.EVT_CONN_OPEN, _connected, [opened, pacs.timeout_s]), (evt.EVT_RELEASED, _released),
    ]  # fmt: skip
    assoc = ae.associate(
        pacs.host, pacs.port, contexts=list(contexts), ae_title=pacs.ae_title, max_pdu=MAX_PDU_BYTES,
        tls_args=(client_context(pacs.tls), pacs.host) if pacs.tls else None, evt_handlers=ours + list(handlers),
        ext_neg=list(roles),
    )  # fmt: skip
    try:
        if not assoc.is_established:
            reason = _why(assoc, bool(opened), pacs)
            error = NoContextAcceptedError if reason == NO_CONTEXT_ACCEPTED else PacsUnavailableError
            raise error(f"{peer_name(pacs)} {reason}")
        try:
            yield assoc
        except BaseException:
            if assoc.is_established:
                assoc.abort()
            raise
        if assoc.is_established:
            assoc.release()
    finally:
        for connection in opened:
            close_socket(connection)


def peer_name(pacs: PacsSettings) -> str:
    return f"PACS {pacs.name!r} ({pacs.ae_title} at {pacs.host}:{pacs.port})"


def _connected(event: Event, opened: list[socket.socket], timeout_s: float) -> None:
    """EVT_CONN_OPEN: a peer that falls silent in the middle of a PDU must not hold us for ever."""
    connection = cast(socket.socket, cast(AssociationSocket, event.assoc.dul.socket).socket)
    connection.settimeout(timeout_s)
    opened.append(connection)


def _released(event: Event) -> None:
    """EVT_RELEASED: let the state machine come to its end, for which pynetdicom would sleep 10 ms where it is not there
    yet: as long as all the rest of a small transfer takes."""
    deadline = time.monotonic() + AT_ITS_END_WITHIN_S
    machine = event.assoc.dul.state_machine
    while machine.current_state != IDLE and time.monotonic() < deadline:
        time.sleep(0.0002)


def _why(assoc: Association, opened: bool, pacs: PacsSettings) -> str:
    if assoc.is_rejected:
        answer = cast(A_ASSOCIATE, assoc.acceptor.primitive)
        reason = _REJECTIONS.get((answer.result_source or 0, answer.diagnostic or 0), "for an unknown reason")
        return f"rejected the association: {reason}"
    if not opened:
        return "cannot be reached" + (" by TLS" if pacs.tls else "")
    if assoc.rejected_contexts and not assoc.accepted_contexts:
        return NO_CONTEXT_ACCEPTED
    return "closed the connection while the association was being negotiated"


def echo(pacs: PacsSettings, calling_ae: str) -> float:
    """C-ECHO; returns the seconds it took, association included. Raises PacsUnavailableError."""
    begun = time.perf_counter()
    with association(pacs, calling_ae, [build_context(VERIFICATION, list(PLAIN_SYNTAXES))]) as assoc:
        status = assoc.send_c_echo()
        if status.get("Status") != 0x0000:
            raise PacsUnavailableError(f"{peer_name(pacs)} did not answer a C-ECHO with success")
    return time.perf_counter() - begun
