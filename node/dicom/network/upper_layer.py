"""The upper layer of an association (PS3.8): pynetdicom's, which waits for what happens instead of looking for it.

pynetdicom has two threads for each association that look a thousand times a second whether there is something to do: an
association that only stands open would cost a tenth of a processor, and each step of a short one a millisecond. Here
both rest until bytes come in, something is to be sent, or a message is to be handled.
"""

from __future__ import annotations

import queue
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol, cast

import structlog
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.dul import DULServiceProvider
from pynetdicom.fsm import StateMachine
from pynetdicom.pdu import A_ABORT_RQ
from pynetdicom.transport import AssociationSocket

from node.dicom.network.reactor_gate import CHECK_TIMERS_EVERY_S, ReactorGate

log = structlog.get_logger("cptdn.network")

WAITS_FOR_CLOSE = "Sta13"  # PS3.8 section 9.2.1


class ProtocolError(Exception):
    """The peer broke PS3.8; the association is aborted."""


class PduReceiver(Protocol):
    """Reads PDUs of an established association from the socket itself, instead of pynetdicom."""

    def read(self) -> bool:
        """Read what arrives; True when pynetdicom has to read the next PDU.

        Raises
        ------
        OSError
            The connection failed.
        ProtocolError
            The peer broke PS3.8.
        """


class WakeupPipe:
    """Wakes a thread that waits for a connection."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # a descriptor that has been closed may be another one's by now
        self._hears, self._rings = socket.socketpair()
        self._hears.setblocking(False)
        self._rings.setblocking(False)
        self._is_rung = False

    def ring(self) -> None:
        """Safe from any thread, also after `close`."""
        with self._lock:
            if not self._is_rung and self._rings.fileno() >= 0:
                self._is_rung = True
                self._rings.send(b"\0")

    def wait(self, connection: socket.socket | None, seconds: float) -> None:
        """Until it is rung, or has been since the last time, or the connection has something to say."""
        poll = select.poll()
        poll.register(self._hears, select.POLLIN)
        if connection is not None and connection.fileno() >= 0:
            poll.register(connection, select.POLLIN)
        poll.poll(seconds * 1000)
        with self._lock:
            if self._is_rung:
                self._is_rung = False
                self._hears.recv(1)

    def close(self) -> None:
        with self._lock:
            self._hears.close()
            self._rings.close()


class NotifyingQueue(queue.Queue[Any]):
    """A queue that says when something has been put into it."""

    def __init__(self, ring: Callable[[], None]) -> None:
        super().__init__()
        self._ring = ring

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        super().put(item, block, timeout)
        self._ring()


class EventDrivenUpperLayer(DULServiceProvider):
    """The upper layer of one association. Made in the place of pynetdicom's own before the association begins."""

    def __init__(self, assoc: Association) -> None:
        super().__init__(assoc)
        self._idle_timer.timeout = assoc.network_timeout
        self.artim_timer.timeout = assoc.acse_timeout
        self._run_loop_delay = 0.0  # it rests elsewhere
        self._bell = WakeupPipe()
        self._has_ended = False
        self.reactor_gate = ReactorGate(self._association_is_wanted, self._association_rests)
        self.to_provider_queue = NotifyingQueue(self._bell.ring)
        self.to_user_queue = NotifyingQueue(self.reactor_gate.ring)
        assoc.dimse.msg_queue = NotifyingQueue(self.reactor_gate.ring)
        assoc._reactor_checkpoint = self.reactor_gate

    def _association_is_wanted(self) -> bool:
        """Whether the association's own thread has something to do."""
        return bool(self._has_ended or self.to_user_queue.queue or self.assoc.dimse.msg_queue.queue)

    def _association_rests(self) -> None:
        self.assoc._is_paused = True

    def run_reactor(self) -> None:
        try:
            super().run_reactor()
        finally:
            self._has_ended = True
            self._bell.close()
            self.reactor_gate.ring()

    def _is_transport_event(self) -> bool:
        """Asked once in a round when there is nothing to be sent: the place to rest."""
        if self.state_machine.current_state != WAITS_FOR_CLOSE and self.event_queue.empty():
            connection = self.socket
            if connection is None or not connection._is_connected:
                self._bell.wait(None, CHECK_TIMERS_EVERY_S)
            elif not connection.ready:
                self._bell.wait(connection.socket, CHECK_TIMERS_EVERY_S)
        return super()._is_transport_event()

    def kill_dul(self) -> None:
        super().kill_dul()
        self._bell.ring()

    def stop_dul(self) -> bool:
        """Whether the state machine has come to its end; if so, the thread has, too."""
        if self.state_machine.current_state != "Sta1":
            return False
        self.kill_dul()
        self.join()
        return True


class GuardedStateMachine(StateMachine):
    """Tells a waiting association when its connection has gone before an association was asked for: health checks and
    port scanners would otherwise hold a thread each until a timeout."""

    def transition(self, state: str) -> None:
        before = self.current_state
        super().transition(state)
        if state == "Sta1" and before in ("Sta2", "Sta13"):
            self.dul.to_user_queue.put(None)


class GuardedUpperLayer(EventDrivenUpperLayer):
    """The upper layer of one association; a peer that breaks it gets an A-ABORT, and its association ends."""

    def __init__(self, assoc: Association) -> None:
        super().__init__(assoc)
        self.state_machine = GuardedStateMachine(self)
        self.receiver: PduReceiver | None = None
        self.started_at = time.monotonic()

    def _read_pdu_data(self) -> None:
        """Read what is coming in: C-STORE requests by the fast path, where there is one, everything else as ever."""
        receiver = self.receiver
        if receiver is not None and self.state_machine.current_state == "Sta6" and self.assoc.is_established:
            try:
                if not receiver.read():
                    return
            except ProtocolError as error:
                log.warning("association_broken", error=str(error), peer=self.assoc.requestor.address)
                self.event_queue.put("Evt19")  # invalid PDU received
                return
            except OSError as error:
                log.warning("connection_lost", error=str(error), peer=self.assoc.requestor.address)
                self.event_queue.put("Evt17")  # transport connection closed
                return
        super()._read_pdu_data()

    def run_reactor(self) -> None:
        self.guarded(super().run_reactor)()

    def guarded(self, step: Callable[[], None]) -> Callable[[], None]:
        """The step of one of the association's two threads; a message that pynetdicom cannot take apart ends the
        association there, and would end the thread alone otherwise."""

        def run() -> None:
            try:
                step()
            except Exception as error:
                log.warning("association_broken", error=type(error).__name__, peer=self.assoc.requestor.address)
                self._abort_at_once()

        return run

    def _abort_at_once(self) -> None:
        """What the state machine would do, without it: it may be anywhere."""
        connection = cast(AssociationSocket, self.socket)
        if connection.socket is not None:
            abort = A_ABORT_RQ()
            abort.source, abort.reason_diagnostic = 0x02, 0x00
            connection.send(abort.encode())
            connection.close()
        assoc = self.assoc
        assoc.is_aborted, assoc.is_established = True, False
        assoc.dimse.msg_queue.put((None, None))
        assoc._kill = self._kill_thread = True
        evt.trigger(assoc, evt.EVT_ABORTED, {})
