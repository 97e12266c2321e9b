"""The fast path of C-STORE: from the socket straight into the file of the instance.

pynetdicom negotiates, rejects, releases and answers every other service. Once an association is established, its upper
layer gives each C-STORE request to this module, which decodes the command, writes the fragments of the data set with
one buffer, reads the header while the rest arrives, and sends the response. Fragments of the data set may come in PDUs
of their own or in the PDU of the command. Anything unusual is pushed back into the socket and takes pynetdicom's way.
"""

from __future__ import annotations

import time
from typing import cast

from node.dicom.headers.early_header import EARLY_HEADER_BYTES, read_early_header
from node.dicom.network.contexts import STORAGE_CLASSES, is_other_storage_class
from node.dicom.network.guarded_socket import GuardedSocket
from node.dicom.network.protocol_errors import ProtocolError
from node.dicom.network.receive_buffer import ReceiveBuffer
from node.dicom.network.upper_layer import GuardedUpperLayer
from node.dicom.scp.associations import OpenAssociations
from node.dicom.scp.instance import IncomingInstance
from node.dicom.scp.intake import Intake
from node.dicom.scp.store_messages import (
    COMMAND_FRAGMENT,
    LAST_FRAGMENT,
    P_DATA,
    PDU_HEADER,
    PDV_HEADER,
    PDV_LENGTH_BYTES,
    StorageContext,
    StoreRequest,
    decode_store_request,
    encode_store_response,
)
from node.store.part10 import FileMeta

LONGEST_COMMAND = 4096  # bytes of a PDV; a C-STORE-RQ with two UIDs of 64 characters has 250
LINGER_S = 0.02  # wait for the next request here: giving the connection back to pynetdicom's loop costs more
MIN_BYTES_PER_S = 1000.0  # a sender slower than this, once the network timeout is over, is aborted
MAX_PIECES = 64  # written together; writev takes 1024


class FastReceiver:
    """The fast path of one association, in the thread of its upper layer.

    Parameters
    ----------
    upper_layer : GuardedUpperLayer
        Calls `read` when bytes arrive.
    intake : Intake
        Takes the instances.
    associations : OpenAssociations
        Knows the sender of the association.
    max_bytes : int
        Limit of a data set.
    """

    def __init__(
        self, upper_layer: GuardedUpperLayer, intake: Intake, associations: OpenAssociations, max_bytes: int
    ) -> None:
        self._upper_layer = upper_layer
        self._assoc = upper_layer.assoc
        self._intake = intake
        self._associations = associations
        self._max_bytes = max_bytes
        self._contexts: dict[int, StorageContext] = {}
        self._calling_ae = ""
        self._max_pdu_bytes = 0
        self._buffer = ReceiveBuffer()
        self._pieces: list[memoryview] = []  # of the data set, in the buffer until that reads on
        self._left_in_pdu = 0  # bytes of the PDU that is being read

    def read(self) -> bool:
        """Handle the requests that are arriving.

        Returns
        -------
        bool
            True when pynetdicom has to read the next PDU; what was read of it is pushed back into the socket. False
            when there is nothing more to read now.

        Raises
        ------
        OSError
            The connection failed.
        ProtocolError
            The peer violated the protocol or a limit.
        """
        if not self._max_pdu_bytes:
            self._note_negotiated()
        # A message whose first fragments took pynetdicom's way must be read to its end there.
        if self._assoc.dimse.message is not None:
            return True  # pynetdicom is in the middle of a message
        # The reactor would end an association whose object takes longer than the network timeout.
        self._upper_layer.reactor_gate.close_without_waiting()
        self._buffer.attach(self._socket)
        try:
            while True:
                request = self._next_request()
                if request is None or not self._receive(request):
                    return True
                # Before the gate opens: after a long object the reactor would find the timer expired in the moment
                # until pynetdicom restarts it.
                self._upper_layer.restart_idle_timer()
                if not self._has_more():
                    return False
        finally:
            self._buffer.detach(self._socket)
            self._upper_layer.reactor_gate.set()

    def _note_negotiated(self) -> None:
        assoc = self._assoc
        for context in assoc.accepted_contexts:
            sop_class = str(context.abstract_syntax)
            if context.transfer_syntax and (sop_class in STORAGE_CLASSES or is_other_storage_class(sop_class)):
                number = cast(int, context.context_id)
                self._contexts[number] = StorageContext(number, sop_class, str(context.transfer_syntax[0]))
        self._calling_ae = str(assoc.requestor.ae_title).strip()
        self._max_pdu_bytes = max(assoc.acceptor.maximum_length or 0, LONGEST_COMMAND)

    # --- the request ---

    def _next_request(self) -> StoreRequest | None:
        """Consume the command of the next C-STORE request.

        None, with all bytes left in the buffer, when the next PDU begins with anything else. Afterwards `_left_in_pdu`
        is what follows the command in its PDU: PS3.8 section 9.3.5 allows fragments of the data set there, and dcm4che
        sends them so.
        """
        buffer = self._buffer
        if not buffer.fill(PDU_HEADER.size):
            return None
        # Only looked at, not consumed: everything that is no C-STORE request is given to pynetdicom from its first
        # byte.
        kind, pdu_length = PDU_HEADER.unpack(buffer.peek(PDU_HEADER.size))
        if kind != P_DATA or not PDV_HEADER.size < pdu_length <= self._max_pdu_bytes:
            return None
        start = PDU_HEADER.size + PDV_HEADER.size
        if not buffer.fill(start):
            return None
        length, number, control = PDV_HEADER.unpack(buffer.peek(start)[PDU_HEADER.size :])
        end = PDU_HEADER.size + PDV_LENGTH_BYTES + length
        left = pdu_length - PDV_LENGTH_BYTES - length
        context = self._contexts.get(number)
        if context is None or control & 3 != COMMAND_FRAGMENT | LAST_FRAGMENT or length > LONGEST_COMMAND or left < 0:
            return None
        if not buffer.fill(end):
            return None
        request = decode_store_request(bytes(buffer.peek(end)[start:]), context)
        # A command that is not a plain C-STORE request stays in the buffer, too; `detach` pushes it back.
        if request is not None:
            buffer.consume(end)
            self._left_in_pdu = left
        return request

    # --- the data set ---

    def _receive(self, request: StoreRequest) -> bool:
        """Receive the data set of a request and send the response; False when another PDU comes instead of it."""
        context = request.context
        meta = FileMeta(context.sop_class_uid, request.sop_instance_uid, context.transfer_syntax_uid, self._calling_ae)
        sender = self._associations.sender_of(self._assoc)
        # The file is opened before its first byte arrives, so that a full disk is known, and answered, without an
        # abort.
        with self._intake.begin(meta, self._max_bytes) as instance:  # closed after the response is sent
            if not self._read_data_set(context, instance):
                return False
            outcome = self._intake.finish(instance, sender)
            self._socket.send(encode_store_response(request, outcome))
        return True

    def _read_data_set(self, context: StorageContext, instance: IncomingInstance) -> bool:
        # The pieces are views of the receive buffer: they must be on their way to the file before the buffer is filled
        # again.
        self._buffer.before_overwrite(lambda: self._flush(instance))
        try:
            is_whole = self._read_fragments(context, instance)
            self._flush(instance)
        finally:
            self._buffer.before_overwrite(None)
            self._pieces = []
        return is_whole

    def _read_fragments(self, context: StorageContext, instance: IncomingInstance) -> bool:
        """Read PDUs to the last fragment; False when another PDU comes, which is left in the buffer."""
        buffer = self._buffer
        begun, received = time.monotonic(), 0
        left, self._left_in_pdu = self._left_in_pdu, 0
        while True:
            # The first data set fragments may be in the PDU of the command; then there is no PDU header to read.
            if not left:
                buffer.require(PDU_HEADER.size)
                kind, left = PDU_HEADER.unpack(buffer.peek(PDU_HEADER.size))
                if kind != P_DATA:
                    return False
                buffer.consume(PDU_HEADER.size)
                # Checked before anything is read: the length field can announce 4 GB.
                if left > self._max_pdu_bytes:
                    raise ProtocolError(f"expected a PDU of at most {self._max_pdu_bytes} bytes, found {left}")
            is_last = False
            while left:
                # With bytes that are no whole fragment, or that follow the last one, sender and receiver would disagree
                # about where the next message begins (PS3.8 section 9.3.5).
                if left < PDV_HEADER.size or is_last:
                    raise ProtocolError("expected a list of fragments, found a PDU with bytes behind it")
                buffer.require(PDV_HEADER.size)
                length, number, control = PDV_HEADER.unpack(buffer.peek(PDV_HEADER.size))
                # The length of a PDV counts its context number and control header, PS3.8 Table 9-23, but not itself.
                size = length - (PDV_HEADER.size - PDV_LENGTH_BYTES)
                if not 0 <= size <= left - PDV_HEADER.size or number != context.number or control & COMMAND_FRAGMENT:
                    raise ProtocolError("expected a fragment of the announced data set")
                buffer.consume(PDV_HEADER.size)
                is_last = bool(control & LAST_FRAGMENT)
                left -= PDV_HEADER.size + size
                # The first fragment may be empty.
                if received == 0 and size:
                    self._read_header(size, context, instance)
                self._read_fragment(size, instance)
                received += size
            if is_last:
                return True
            self._check_pace(time.monotonic() - begun, received)

    def _read_header(self, size: int, context: StorageContext, instance: IncomingInstance) -> None:
        """Read the header in the first fragment, while the network brings the others."""
        n_bytes = min(size, EARLY_HEADER_BYTES)
        self._buffer.require(n_bytes)
        instance.early_header = read_early_header(self._buffer.peek(n_bytes), context.transfer_syntax_uid)

    def _read_fragment(self, size: int, instance: IncomingInstance) -> None:
        buffer = self._buffer
        while size:
            piece = buffer.peek_available(size)
            self._pieces.append(piece)
            # A sender with small PDUs puts many fragments into one buffer: one system call for all of them.
            if len(self._pieces) == MAX_PIECES:
                self._flush(instance)
            size -= len(piece)
            buffer.consume(len(piece))

    def _flush(self, instance: IncomingInstance) -> None:
        """Write the pieces that have arrived since the last time."""
        pieces, self._pieces = self._pieces, []
        if pieces:
            instance.write(*pieces)

    def _check_pace(self, seconds: float, received_bytes: int) -> None:
        """Abort a sender that keeps the connection busy with almost nothing; a read timeout does not notice it."""
        timeout = self._assoc.network_timeout or float("inf")
        if seconds > timeout and received_bytes < seconds * MIN_BYTES_PER_S:
            raise ProtocolError(
                f"expected at least {MIN_BYTES_PER_S:.0f} bytes a second, found {received_bytes} in {seconds:.0f} s"
            )

    # --- the connection ---

    def _has_more(self) -> bool:
        """Whether the next PDU begins soon, and this thread has nothing else to do."""
        # An abort or release of our own waits in the queue of the upper layer, whose loop this thread is.
        if self._upper_layer.is_ending or not self._upper_layer.to_provider_queue.empty():
            return False
        return self._buffer.is_readable_within(LINGER_S)

    @property
    def _socket(self) -> GuardedSocket:
        return cast(GuardedSocket, self._upper_layer.socket)
