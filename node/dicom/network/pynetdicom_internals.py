"""Every private name of pynetdicom that the node uses, each with the reason why the public interface is not enough.

pynetdicom is pinned to one minor version. When an upgrade lacks one of these names,
tests/dicom/test_pynetdicom_internals.py says which one and what it was used for.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from io import BytesIO
from socket import socket
from typing import Any, Protocol, cast

from pynetdicom import AE, _config
from pynetdicom.association import Association
from pynetdicom.dimse_messages import C_STORE_RQ, DIMSEMessage
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dul import DULServiceProvider
from pynetdicom.transport import AddressInformation, AssociationSocket, RequestHandler, ThreadedAssociationServer

from node.dicom.network.reactor_gate import ReactorGate

# --- process-wide switches: pynetdicom documents them, but their module is private ---


def set_switches() -> None:
    """Set pynetdicom's process-wide switches; safe to call again.

    Its log handlers print identifiers with patient names and cost a third of the receive time, so they are off. Files
    are sent in chunks with the bytes on the disk: pynetdicom would otherwise read and encode each one again.
    """
    _config.LOG_HANDLER_LEVEL = "none"
    _config.LOG_REQUEST_IDENTIFIERS = False
    _config.LOG_RESPONSE_IDENTIFIERS = False
    _config.STORE_SEND_CHUNKED_DATASET = True


# --- the association and its reactor thread ---


def set_reactor_gate(assoc: Association, gate: ReactorGate) -> None:
    """Replace the event at which the reactor pauses; pynetdicom offers no way to be woken by a message instead."""
    assoc._reactor_checkpoint = gate


def mark_reactor_paused(assoc: Association) -> None:
    """Tell a request that waits for the reactor to pause; it polls this attribute."""
    assoc._is_paused = True


def wrap_reactor(assoc: Association, wrap: Callable[[Callable[[], None]], Callable[[], None]]) -> None:
    """Run the reactor inside a wrapper; there is no hook for exceptions that end its thread."""
    assoc._run_reactor = wrap(assoc._run_reactor)  # type: ignore[method-assign]


def stop_reactor(assoc: Association) -> None:
    """Let the reactor end with its next round; `Association.kill` would wait for the thread that calls this."""
    assoc._kill = True


def start_abort(assoc: Association) -> None:
    """Abort without waiting until the peer has got it; `Association.abort` waits in the thread that calls it."""
    assoc._abort_nonblocking()


# --- the upper layer ---


class UpperLayerHooks(DULServiceProvider):
    """pynetdicom's upper layer, with the steps of its loop that we replace under public names."""

    def set_timers(self, idle_s: float | None, artim_s: float | None) -> None:
        """Set both timers now; pynetdicom does so when the association begins, after its loop could have used them."""
        self._idle_timer.timeout = idle_s
        self.artim_timer.timeout = artim_s

    def restart_idle_timer(self) -> None:
        """Count the network timeout from now; pynetdicom restarts its timer only for PDUs that it has read itself."""
        self._idle_timer.restart()

    def poll_without_delay(self) -> None:
        """Leave out the sleep of a millisecond in each round of the loop: ours waits for an event instead."""
        self._run_loop_delay = 0.0

    @property
    def is_ending(self) -> bool:
        """Whether the loop ends with its next round."""
        return self._kill_thread

    def has_transport_event(self) -> bool:
        """Read what has arrived and return whether something did; called once in each round of the loop."""
        return super()._is_transport_event()

    def read_pdu(self) -> None:
        """Read one PDU from the socket and queue its event."""
        super()._read_pdu_data()

    def _is_transport_event(self) -> bool:
        return self.has_transport_event()

    def _read_pdu_data(self) -> None:
        self.read_pdu()


# --- the transport ---


class SocketHooks(AssociationSocket):
    """pynetdicom's socket, with the steps that we replace under public names."""

    @property
    def is_connected(self) -> bool:
        """Whether the connection is open; pynetdicom's own check would read from it."""
        return self._is_connected

    def create_connection(self, address: AddressInformation) -> socket:
        """Create the socket of a connection that we open."""
        return super()._create_socket(address)

    def close_connection(self) -> None:
        """Shut down and close the socket."""
        super()._shutdown_socket()

    def _create_socket(self, address: AddressInformation) -> socket:
        return self.create_connection(address)

    def _shutdown_socket(self) -> None:
        self.close_connection()


class RequestHandlerHooks(RequestHandler):
    """pynetdicom's handler of a new connection; `create_association` may be replaced."""

    def create_association(self) -> Association:
        """Create the association of this connection, with pynetdicom's socket and upper layer."""
        return super()._create_association()

    def _create_association(self) -> Association:
        return self.create_association()


class AEHooks(AE):
    """pynetdicom's application entity; `create_association_socket` may be replaced."""

    def create_association_socket(
        self, assoc: Association, address: AddressInformation, tls_args: tuple[ssl.SSLContext, str] | None
    ) -> AssociationSocket:
        """Create the socket of an association that we open."""
        return super()._create_socket(assoc, address, tls_args)

    def _create_socket(
        self, assoc: Association, address: AddressInformation, tls_args: tuple[ssl.SSLContext, str] | None
    ) -> AssociationSocket:
        return self.create_association_socket(assoc, address, tls_args)


def register_server(ae: AE, server: ThreadedAssociationServer) -> None:
    """Let `AE.shutdown` find a server that was not made by `AE.start_server`, whose thread cannot be configured."""
    ae._servers.append(server)


def is_registered(ae: AE, server: ThreadedAssociationServer) -> bool:
    """Return whether a server has been registered and not been shut down."""
    return server in ae._servers


# --- the data set of a C-STORE request ---


class DataSetWriter(Protocol):
    """Takes a data set in pieces. path : its file, or empty."""

    path: str

    def write(self, *pieces: bytes) -> None:
        """Append pieces of the encoded data set."""

    def discard(self) -> None:
        """Close and remove what has no other name; safe to call twice."""


class _DataSetFile:
    """What pynetdicom expects in place of the temporary file of its chunked receive."""

    def __init__(self, writer: DataSetWriter) -> None:
        self.writer = writer
        self.name = writer.path  # pynetdicom unlinks it after the handler; it is gone by then
        self.write = writer.write
        self.close = writer.discard
        self.file = self

    def flush(self) -> None:
        pass


def is_unfinished_store(message: DIMSEMessage | None) -> bool:
    """Return whether a message is a C-STORE request whose data set would be collected in memory from now on."""
    return isinstance(message, C_STORE_RQ) and message._data_set_file is None


def attach_writer(message: DIMSEMessage, writer: DataSetWriter) -> None:
    """Write the data set of a C-STORE request to a writer of ours while it arrives.

    This is pynetdicom's chunked receive with another file. Its switch (STORE_RECV_CHUNKED_DATASET) counts for the whole
    process, puts the files into the folder for temporary files, which may be memory, and leaves them there when an
    association ends in the middle of an object.
    """
    buffered = cast(BytesIO, message.data_set).getvalue()  # fragments that came in the PDU of the command
    if buffered:
        writer.write(buffered)
        message.data_set = BytesIO()
    message._data_set_file = cast(Any, _DataSetFile(writer))


def writer_of(request: C_STORE) -> DataSetWriter | None:
    """Return the writer that took the data set of a C-STORE request; None when the data set is in memory."""
    file = cast("_DataSetFile | None", request._dataset_file)
    return None if file is None else file.writer
