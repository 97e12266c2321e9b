"""The upper layer of an association (PS3.8): pynetdicom's, driven by events instead of by polling.

pynetdicom has two threads for each association that check a thousand times a second whether there is something to do:
an association that is only open would cost a tenth of a processor core, and each step of a short one a millisecond.
Here both threads wait until bytes arrive, something is to be sent, or a message is to be handled.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from typing import Protocol, cast

import structlog
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.fsm import StateMachine
from pynetdicom.pdu import A_ABORT_RQ

from node.dicom.network.association_pdus import ASSOCIATE_ACCEPT, ASSOCIATE_REQUEST, readable_associate
from node.dicom.network.guarded_socket import GuardedSocket
from node.dicom.network.protocol_errors import ProtocolError
from node.dicom.network.pynetdicom_internals import (
    UpperLayerHooks,
    mark_reactor_paused,
    set_reactor_gate,
    stop_reactor,
)
from node.dicom.network.reactor_gate import CHECK_TIMERS_EVERY_S, ReactorGate
from node.dicom.network.wakeup import NotifyingQueue, WakeupPipe

log = structlog.get_logger("cptdn.network")

# States of the upper layer, PS3.8 section 9.2.1
IDLE = "Sta1"
AWAITING_ASSOCIATE_REQUEST = "Sta2"
AWAITING_ASSOCIATE_RESPONSE = "Sta5"
# The request may be there before the event of its connection was handled.
BEFORE_ASSOCIATION = frozenset({IDLE, AWAITING_ASSOCIATE_REQUEST, AWAITING_ASSOCIATE_RESPONSE})
ESTABLISHED = "Sta6"
AWAITING_CLOSE = "Sta13"

# Events of the upper layer, PS3.8 section 9.2.2
CONNECTION_CLOSED = "Evt17"
INVALID_PDU = "Evt19"

PDU_HEADER = struct.Struct(">BxI")  # type, length of what follows
SERVICE_PROVIDER = 0x02  # source of an A-ABORT, PS3.8 Table 9-26


class PduReceiver(Protocol):
    """Reads PDUs of an established association from the socket itself, in place of pynetdicom."""

    def read(self) -> bool:
        """Read what arrives.

        Returns
        -------
        bool
            True when pynetdicom has to read the next PDU, False when there is nothing more to read now.

        Raises
        ------
        OSError
            The connection failed.
        ProtocolError
            The peer violated the protocol or a limit.
        """


class EventDrivenUpperLayer(UpperLayerHooks):
    """The upper layer of one association. It replaces pynetdicom's own before the association begins."""

    def __init__(self, assoc: Association) -> None:
        super().__init__(assoc)
        self.set_timers(assoc.network_timeout, assoc.acse_timeout)
        # The wait is in `has_transport_event`; a delay in each round would be added to every message.
        self.poll_without_delay()
        self._wakeup = WakeupPipe()
        self._has_ended = False
        self.reactor_gate = ReactorGate(self._reactor_has_work, lambda: mark_reactor_paused(assoc))
        # All three queues, because each of them is a reason for one of the two threads to stop waiting.
        self.to_provider_queue = NotifyingQueue(self._wakeup.notify)
        self.to_user_queue = NotifyingQueue(self.reactor_gate.notify)
        assoc.dimse.msg_queue = NotifyingQueue(self.reactor_gate.notify)
        set_reactor_gate(assoc, self.reactor_gate)

    def _reactor_has_work(self) -> bool:
        return bool(self._has_ended or self.to_user_queue.queue or self.assoc.dimse.msg_queue.queue)

    def run_reactor(self) -> None:
        """Run the loop of the upper layer until the association ends."""
        try:
            super().run_reactor()
        finally:
            self._has_ended = True
            self._wakeup.close()
            self.reactor_gate.notify()

    def has_transport_event(self) -> bool:
        """Wait for something to do, then read what has arrived and return whether something did.

        pynetdicom calls this once in a round when there is nothing to send: the one place where its loop may wait.
        """
        if self.state_machine.current_state != AWAITING_CLOSE and self.event_queue.empty():
            connection = cast("GuardedSocket | None", self.socket)
            if connection is None or not connection.is_connected:
                self._wakeup.wait(None, CHECK_TIMERS_EVERY_S)
            elif not connection.ready:
                self._wakeup.wait(connection.socket, CHECK_TIMERS_EVERY_S)
        return super().has_transport_event()

    def read_pdu(self) -> None:
        """Read one PDU; what pynetdicom would refuse in a request for an association, or its answer, is left out."""
        if self.state_machine.current_state in BEFORE_ASSOCIATION:
            try:
                self._replace_associate(cast(GuardedSocket, self.socket))
            except OSError as error:
                log.warning("connection_lost", error=str(error), peer=self.assoc.requestor.address)
                self.event_queue.put(CONNECTION_CLOSED)
                return
        super().read_pdu()

    @staticmethod
    def _replace_associate(connection: GuardedSocket) -> None:
        """Read the next PDU, and push it back as pynetdicom reads it; one that is cut off is pushed back as it is."""
        head = bytes(connection.recv(PDU_HEADER.size))
        if len(head) == PDU_HEADER.size:
            kind, length = PDU_HEADER.unpack(head)
            if kind in (ASSOCIATE_REQUEST, ASSOCIATE_ACCEPT):
                body = bytes(connection.recv(length))
                head = readable_associate(head + body) if len(body) == length else head + body
        connection.push_back(head)

    def kill_dul(self) -> None:
        """End the loop; safe from any thread."""
        super().kill_dul()
        self._wakeup.notify()

    def stop_dul(self) -> bool:
        """Return whether the state machine has come to its end; if so, the loop's thread has ended, too."""
        if self.state_machine.current_state != IDLE:
            return False
        self.kill_dul()
        self.join()
        return True


class GuardedStateMachine(StateMachine):
    """Tells a waiting association when its connection was closed before a request came.

    Health checks and port scanners would otherwise hold a thread each until a timeout.
    """

    def transition(self, state: str) -> None:
        """Go to a state; an association that waits for a request is told when there is none.

        Parameters
        ----------
        state : str
            Next state, ``Sta1`` to ``Sta13`` (PS3.8 section 9.2.1).
        """
        before = self.current_state
        super().transition(state)
        if state == IDLE and before in (AWAITING_ASSOCIATE_REQUEST, AWAITING_CLOSE):
            self.dul.to_user_queue.put(None)


class GuardedUpperLayer(EventDrivenUpperLayer):
    """The upper layer of an association that a peer opened; one that violates the protocol is aborted."""

    def __init__(self, assoc: Association) -> None:
        super().__init__(assoc)
        self.state_machine = GuardedStateMachine(self)
        self.receiver: PduReceiver | None = None
        self.on_end: Callable[[], None] = lambda: None  # called in the thread of the upper layer, after its loop
        self.started_at = time.monotonic()

    def read_pdu(self) -> None:
        """Read what arrives: C-STORE requests by the fast path, where there is one, everything else by pynetdicom."""
        receiver = self.receiver
        # Only in Sta6: during negotiation and release the PDUs are others than P-DATA.
        if receiver is not None and self.state_machine.current_state == ESTABLISHED and self.assoc.is_established:
            try:
                if not receiver.read():
                    return
            except ProtocolError as error:
                log.warning("association_broken", error=str(error), peer=self.assoc.requestor.address)
                self.event_queue.put(INVALID_PDU)
                return
            except OSError as error:
                log.warning("connection_lost", error=str(error), peer=self.assoc.requestor.address)
                self.event_queue.put(CONNECTION_CLOSED)
                return
        super().read_pdu()

    def run_reactor(self) -> None:
        """Run the loop of the upper layer; an error in it aborts the association."""
        try:
            self.guarded(super().run_reactor)()
        finally:
            self.on_end()

    def guarded(self, step: Callable[[], None]) -> Callable[[], None]:
        """Wrap a step of one of the association's two threads so that an error aborts the association.

        A message that pynetdicom cannot decode would otherwise end one thread and leave the other one waiting.

        Parameters
        ----------
        step : callable
            Body of a thread.

        Returns
        -------
        callable
            Never raises an Exception; the reason is in the log.
        """

        def run() -> None:
            try:
                step()
            except Exception as error:
                reason = str(error) if isinstance(error, ProtocolError) else type(error).__name__
                log.warning("association_broken", error=reason, peer=self.assoc.requestor.address)
                self._abort_at_once()

        return run

    def _abort_at_once(self) -> None:
        """Send an A-ABORT and end both threads without the state machine, which may be in any state."""
        connection = cast(GuardedSocket, self.socket)
        if connection.socket is not None:
            # Sent directly: the state machine runs in the thread that may just have failed.
            abort = A_ABORT_RQ()
            abort.source, abort.reason_diagnostic = SERVICE_PROVIDER, 0x00
            connection.send(abort.encode())
            connection.close()
        assoc = self.assoc
        assoc.is_aborted, assoc.is_established = True, False
        assoc.dimse.msg_queue.put((None, None))
        stop_reactor(assoc)
        self.kill_dul()
        evt.trigger(assoc, evt.EVT_ABORTED, {})
