"""The fast path for C-STORE: from the socket straight into the file.

pynetdicom negotiates, rejects, releases and answers every other service; once an association stands, its upper layer
hands each plain C-STORE request to this module, which parses the command set (PS3.7 section 9.3.1), streams the
fragments of the data set into the store with one buffer, reads the header while the rest still arrives, has the object
checked, stored and indexed by the same intake as ever, and answers. Anything unusual is pushed back and takes
pynetdicom's way.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from typing import NamedTuple, cast

import structlog
from pynetdicom.association import Association

from node.dicom.headers.early_header import EarlyHeader, read_early_header
from node.dicom.network.contexts import STORAGE_CLASSES
from node.dicom.network.guarded_socket import GuardedSocket
from node.dicom.network.receive_buffer import ReceiveBuffer, nothing
from node.dicom.network.statuses import StoreStatus, error_comment
from node.dicom.network.upper_layer import GuardedUpperLayer, ProtocolError
from node.dicom.scp.intake import EARLY_HEADER_BYTES, Intake, Outcome, Sender
from node.store.incoming import IncomingFile
from node.store.part10 import FileMeta

log = structlog.get_logger("cptdn.network")

LONGEST_COMMAND = 4096
LINGER_S = 0.02  # how long to look for the next request before pynetdicom's slower loop watches the connection
LEAST_BYTES_PER_S = 1000.0  # a sender slower than this, once the network timeout is over, is cut off
MOST_PIECES = 64  # written together
DRAINED_BYTES = 64 * 1024 * 1024  # so much beyond the limit is read, so that the sender can be told

_P_DATA = 0x04
_COMMAND, _LAST = 0x01, 0x02
_C_STORE_RQ, _C_STORE_RSP = 0x0001, 0x8001
_NO_DATA_SET = 0x0101
_PDU_HEAD = struct.Struct(">BxI")
_FRAGMENT_HEAD = struct.Struct(">IBB")
_COMMAND_ELEMENT = struct.Struct("<HHI")
_FOUR_SHORTS = struct.Struct("<" + 4 * "HHIH")
_GROUP_LENGTH = struct.Struct("<HHII")


class Context(NamedTuple):
    """A presentation context for storage that both sides agreed on."""

    number: int
    sop_class_uid: str
    transfer_syntax_uid: str


class StoreRequest(NamedTuple):
    """A C-STORE-RQ, and the context it came in."""

    context: Context
    message_id: int
    sop_instance_uid: str


class StoreReceiver:
    """The fast path of one association; lives in the thread of its upper layer."""

    def __init__(
        self, provider: GuardedUpperLayer, intake: Intake, sender_of: Callable[[Association], Sender], most_bytes: int
    ) -> None:
        self.provider = provider
        self.assoc = provider.assoc
        self.intake = intake
        self._sender_of = sender_of
        self._most_bytes = most_bytes
        self._contexts: dict[int, Context] = {}
        self._calling_ae = ""
        self._largest_pdu = 0
        self._inflow = ReceiveBuffer()

    def read(self) -> bool:
        """Handle the requests that are coming in. True when pynetdicom has to read the next PDU itself (what has been
        read of it is pushed back into the socket), False when there is nothing more to read now.

        Raises OSError when the connection fails and ProtocolError when the peer breaks the protocol.
        """
        if not self._largest_pdu:
            self._note_negotiated()
        if self.assoc.dimse.message is not None:
            return True  # in the middle of a message that went the other way
        self.provider.reactor_gate.hold()  # its thread would end an association whose object takes long
        self._inflow.take_over(self._socket)
        try:
            while True:
                request = self._request()
                if request is None:
                    return True
                if not self._receive(request):
                    return True
                self.provider._idle_timer.restart()
                if not self._more():
                    return False
        finally:
            self._inflow.hand_back(self._socket)
            self.provider.reactor_gate.set()

    def _note_negotiated(self) -> None:
        assoc = self.assoc
        self._contexts = {
            number: Context(number, str(context.abstract_syntax), str(context.transfer_syntax[0]))
            for number, context in assoc._accepted_cx.items()
            if context.abstract_syntax in STORAGE_CLASSES
        }
        self._calling_ae = str(assoc.requestor.ae_title).strip()
        self._largest_pdu = max(assoc.acceptor.maximum_length or 0, LONGEST_COMMAND)

    # --- the request ---

    def _request(self) -> StoreRequest | None:
        """The next PDU, when it is a whole C-STORE-RQ command and nothing else; otherwise it stays where it is."""
        inflow = self._inflow
        if not inflow.has(_PDU_HEAD.size):
            return None
        kind, length = _PDU_HEAD.unpack(inflow.peek(_PDU_HEAD.size))
        if kind != _P_DATA or not 6 < length <= LONGEST_COMMAND or not inflow.has(_PDU_HEAD.size + length):
            return None
        request = self._parse(inflow.peek(_PDU_HEAD.size + length)[_PDU_HEAD.size :])
        if request is not None:
            inflow.skip(_PDU_HEAD.size + length)
        return request

    def _parse(self, body: memoryview) -> StoreRequest | None:
        size, number, control = _FRAGMENT_HEAD.unpack_from(body)
        if size != len(body) - 4 or control & 3 != _COMMAND | _LAST:
            return None
        context = self._contexts.get(number)
        command = parse_command(bytes(body[_FRAGMENT_HEAD.size :]))
        if context is None or command is None:
            return None
        try:
            field, data_set_type, message_id = (
                int.from_bytes(command[tag], "little") for tag in (0x0100, 0x0800, 0x0110)
            )
            sop_class_uid, sop_instance_uid = (str(command[tag], "ascii").rstrip("\0 ") for tag in (0x0002, 0x1000))
        except (KeyError, UnicodeDecodeError):
            return None
        if field != _C_STORE_RQ or data_set_type == _NO_DATA_SET:
            return None
        if sop_class_uid != context.sop_class_uid or not sop_instance_uid:
            return None
        return StoreRequest(context, message_id, sop_instance_uid)

    # --- the data set ---

    def _receive(self, request: StoreRequest) -> bool:
        """Stream the data set to the disk, take it in and answer. False when another PDU came in between (it stays
        where it is)."""
        context = request.context
        meta = FileMeta(context.sop_class_uid, request.sop_instance_uid, context.transfer_syntax_uid, self._calling_ae)
        sender = self._sender_of(self.assoc)
        if not self.intake.has_room():
            return self._turn_down(
                request, Outcome(StoreStatus.OUT_OF_RESOURCES, "storage is below its free-space limit")
            )
        try:
            incoming = self.intake.store.open_incoming(meta)
        except OSError as error:
            return self._turn_down(request, self.intake.storage_failed(meta, error))
        with incoming:  # it is tidied up after the answer
            arrival = _Arrival(incoming)
            if not self._stream(request, arrival):
                return False
            if arrival.too_large:
                outcome = Outcome(StoreStatus.TOO_LARGE, f"larger than {self._most_bytes} bytes")
            elif arrival.error is not None:
                outcome = self.intake.storage_failed(meta, arrival.error)
            else:
                outcome = self.intake.take_incoming(incoming, sender, arrival.head)
            self._respond(request, outcome)
        return True

    def _turn_down(self, request: StoreRequest, refusal: Outcome) -> bool:
        """As `_receive`, for a data set that cannot be kept."""
        if not self._stream(request, _Arrival(None)):
            return False
        self._respond(request, refusal)
        return True

    def _stream(self, request: StoreRequest, arrival: _Arrival) -> bool:
        """Read PDUs until the last fragment. False when something else than data comes (it stays where it is)."""
        self._inflow.before_reading = arrival.flush
        try:
            whole = self._fragments(request, arrival)
        finally:
            self._inflow.before_reading = nothing
        arrival.flush()
        return whole

    def _fragments(self, request: StoreRequest, arrival: _Arrival) -> bool:
        inflow = self._inflow
        largest = self._largest_pdu
        begun = time.monotonic()
        while True:
            inflow.need(6)
            kind, left = _PDU_HEAD.unpack(inflow.peek(6))
            if kind != _P_DATA:
                return False
            inflow.skip(6)
            if left > largest:
                raise ProtocolError(f"a PDU of {left} bytes, at most {largest} were negotiated")
            last = False
            while left:
                if left < 6 or last:
                    raise ProtocolError("a PDU with a broken list of fragments")
                inflow.need(6)
                size, number, control = _FRAGMENT_HEAD.unpack(inflow.peek(6))
                size -= 2
                if not 0 <= size <= left - 6 or number != request.context.number or control & _COMMAND:
                    raise ProtocolError("expected a fragment of the announced data set")
                inflow.skip(6)
                last = bool(control & _LAST)
                left -= 6 + size
                self._piece(size, request, arrival)
            if last:
                return True
            self._check_pace(time.monotonic() - begun, arrival.size_bytes)

    def _piece(self, size: int, request: StoreRequest, arrival: _Arrival) -> None:
        """One fragment, from the socket to those that are written together."""
        first = arrival.size_bytes == 0
        arrival.size_bytes += size
        if arrival.size_bytes > self._most_bytes:
            arrival.too_large = True
            if arrival.size_bytes > self._most_bytes + DRAINED_BYTES:
                raise ProtocolError(f"an object of more than {self._most_bytes} bytes")
        inflow = self._inflow
        if first and size:
            inflow.need(min(size, EARLY_HEADER_BYTES))
        while size:
            piece = inflow.some(size)
            if first:
                arrival.head = read_early_header(piece[:EARLY_HEADER_BYTES], request.context.transfer_syntax_uid)
                first = False
            arrival.add(piece)
            size -= len(piece)
            inflow.skip(len(piece))

    def _check_pace(self, seconds: float, received: int) -> None:
        patience = self.assoc.network_timeout or float("inf")
        if seconds > patience and received < seconds * LEAST_BYTES_PER_S:
            raise ProtocolError(f"{received} bytes in {seconds:.0f} s are too slow")

    # --- the answer ---

    def _respond(self, request: StoreRequest, outcome: Outcome) -> None:
        self._socket.send(store_response(request, outcome))

    def _more(self) -> bool:
        """Whether the next PDU begins soon and nobody else wants this thread."""
        if self.provider._kill_thread or not self.provider.to_provider_queue.empty():
            return False
        return self._inflow.comes_within(LINGER_S)

    @property
    def _socket(self) -> GuardedSocket:
        return cast(GuardedSocket, self.provider.socket)


class _Arrival:
    """A data set that is coming in, and why it is not kept although it is read to its end."""

    def __init__(self, incoming: IncomingFile | None) -> None:
        """incoming : None when nothing of it shall be kept."""
        self._incoming = incoming
        self.size_bytes = 0
        self.too_large = False
        self.error: OSError | None = None
        self.head: EarlyHeader | None = None
        self._pieces: list[memoryview] = []  # lent by the inflow until it reads on

    def add(self, piece: memoryview) -> None:
        self._pieces.append(piece)
        if len(self._pieces) == MOST_PIECES:
            self.flush()

    def flush(self) -> None:
        """Write what has come in since the last time."""
        pieces, self._pieces = self._pieces, []
        if not pieces or self._incoming is None or self.too_large or self.error is not None:
            return
        try:
            self._incoming.write(*pieces)
        except OSError as error:
            self.error = error


def parse_command(data: bytes) -> dict[int, bytes] | None:
    """Elements of a command set (group 0000, implicit VR little endian, PS3.7 section 6.3.1); None when it is none."""
    found: dict[int, bytes] = {}
    offset, end = 0, len(data)
    while offset < end:
        if end - offset < _COMMAND_ELEMENT.size:
            return None
        group, element, length = _COMMAND_ELEMENT.unpack_from(data, offset)
        offset += _COMMAND_ELEMENT.size
        if group != 0x0000 or length > end - offset:
            return None
        found[element] = data[offset : offset + length]
        offset += length
    return found


def store_response(request: StoreRequest, outcome: Outcome) -> bytes:
    """A whole P-DATA-TF PDU with the C-STORE-RSP, PS3.7 Table 9.3-2."""
    comment = b""
    if outcome.status is not StoreStatus.SUCCESS:
        comment = _element(0x0902, error_comment(outcome.comment), b" ")
    body = b"".join(
        (
            _element(0x0002, request.context.sop_class_uid, b"\0"),
            _FOUR_SHORTS.pack(
                0, 0x0100, 2, _C_STORE_RSP, 0, 0x0120, 2, request.message_id, 0, 0x0800, 2, _NO_DATA_SET,
                0, 0x0900, 2, outcome.status,
            ),
            comment,
            _element(0x1000, request.sop_instance_uid, b"\0"),
        )
    )  # fmt: skip
    length = len(body) + _GROUP_LENGTH.size
    return b"".join(
        (
            _PDU_HEAD.pack(_P_DATA, length + _FRAGMENT_HEAD.size),
            _FRAGMENT_HEAD.pack(length + 2, request.context.number, _COMMAND | _LAST),
            _GROUP_LENGTH.pack(0, 0x0000, 4, len(body)),
            body,
        )
    )


def _element(number: int, text: str, padding: bytes) -> bytes:
    encoded = text.encode("ascii")
    if len(encoded) % 2:
        encoded += padding
    return _COMMAND_ELEMENT.pack(0x0000, number, len(encoded)) + encoded
