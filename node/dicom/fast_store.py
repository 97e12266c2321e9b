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
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import structlog

from node.dicom.contexts import STORAGE_CLASSES
from node.dicom.head import Head, read_head
from node.dicom.inflow import Inflow
from node.dicom.intake import HEAD_BYTES, Intake, Outcome, Sender
from node.dicom.statuses import StoreStatus, error_comment
from node.store.incoming import IncomingFile
from node.store.part10 import FileMeta

if TYPE_CHECKING:
    from collections.abc import Callable

    from pynetdicom.association import Association

    from node.dicom.server import GuardedProvider, GuardedSocket

log = structlog.get_logger("cptdn.network")

LONGEST_COMMAND = 4096
LINGER_S = 0.02  # how long to look for the next request before pynetdicom's slower loop watches the connection
LEAST_BYTES_PER_S = 1000.0  # a sender slower than this, once the network timeout is over, is cut off
DRAINED_BYTES = 64 * 1024 * 1024  # so much beyond the limit is read, so that the sender can be told

_P_DATA = 0x04
_COMMAND, _LAST = 0x01, 0x02
_C_STORE_RQ, _C_STORE_RSP = 0x0001, 0x8001
_NO_DATA_SET = 0x0101
_PDU_HEAD = struct.Struct(">BxI")
_FRAGMENT_HEAD = struct.Struct(">IBB")


class ProtocolError(Exception):
    """The peer broke PS3.8; the association is aborted."""


@dataclass(frozen=True)
class StoreRequest:
    """A C-STORE-RQ, and the context it came in."""

    context_id: int
    message_id: int
    sop_class_uid: str
    sop_instance_uid: str


class StoreReceiver:
    """The fast path of one association; lives in the thread of its upper layer."""

    def __init__(
        self, provider: GuardedProvider, intake: Intake, sender_of: Callable[[Association], Sender], most_bytes: int
    ) -> None:
        self.provider = provider
        self.assoc = provider.assoc
        self.intake = intake
        self._sender_of = sender_of
        self._most_bytes = most_bytes
        self._contexts: dict[int, tuple[str, str]] | None = None  # id -> (SOP class, transfer syntax)
        self._inflow = Inflow()

    def read(self) -> bool:
        """Handle the requests that are coming in. True when pynetdicom has to read the next PDU itself (what has been
        read of it is pushed back into the socket), False when there is nothing more to read now.

        Raises OSError when the connection fails and ProtocolError when the peer breaks the protocol.
        """
        if self._contexts is None:
            self._contexts = {
                number: (str(context.abstract_syntax), str(context.transfer_syntax[0]))
                for number, context in self.assoc._accepted_cx.items()
                if context.abstract_syntax in STORAGE_CLASSES
            }
        if self.assoc.dimse.message is not None:
            return True  # in the middle of a message that went the other way
        self.assoc._reactor_checkpoint.clear()  # its thread would only poll meanwhile
        self._inflow.take_over(self._socket)
        try:
            while True:
                request = self._request()
                if request is None:
                    return True
                outcome = self._receive(request)
                if outcome is None:
                    return True
                self._respond(request, outcome)
                self.provider._idle_timer.restart()
                if not self._more():
                    return False
        finally:
            self._inflow.hand_back(self._socket)
            self.assoc._reactor_checkpoint.set()

    # --- the request ---

    def _request(self) -> StoreRequest | None:
        """The next PDU, when it is a whole C-STORE-RQ command and nothing else; otherwise it stays where it is."""
        inflow = self._inflow
        if not inflow.has(6) or inflow.peek(6)[0] != _P_DATA:
            return None
        length = int.from_bytes(inflow.peek(6)[2:6], "big")
        if not 6 < length <= LONGEST_COMMAND or not inflow.has(6 + length):
            return None
        request = self._parse(inflow.peek(6 + length)[6:])
        if request is not None:
            inflow.skip(6 + length)
        return request

    def _parse(self, body: memoryview) -> StoreRequest | None:
        context_id, control = body[4], body[5]
        if int.from_bytes(body[:4], "big") != len(body) - 4 or control & 3 != _COMMAND | _LAST:
            return None
        context = cast(dict[int, tuple[str, str]], self._contexts).get(context_id)
        command = parse_command(body[6:])
        if context is None or command is None:
            return None
        try:
            numbers = [int.from_bytes(command[tag], "little") for tag in (0x0100, 0x0800, 0x0110)]
            uids = [str(command[tag], "ascii").rstrip("\0 ") for tag in (0x0002, 0x1000)]
        except (KeyError, UnicodeDecodeError):
            return None
        if numbers[0] != _C_STORE_RQ or numbers[1] == _NO_DATA_SET or uids[0] != context[0] or not uids[1]:
            return None
        return StoreRequest(context_id, numbers[2], uids[0], uids[1])

    # --- the data set ---

    def _receive(self, request: StoreRequest) -> Outcome | None:
        """Stream the data set to the disk and take it in; None when another PDU came in between (pushed back)."""
        meta = FileMeta(
            request.sop_class_uid, request.sop_instance_uid,
            cast(dict[int, tuple[str, str]], self._contexts)[request.context_id][1],
            str(self.assoc.requestor.ae_title).strip(),
        )  # fmt: skip
        sender = self._sender_of(self.assoc)
        if not self.intake.has_room():
            refusal = Outcome(StoreStatus.OUT_OF_RESOURCES, "storage is below its free-space limit")
            return refusal if self._stream(request, _Arrival(None)) else None
        try:
            incoming = self.intake.store.receive(meta)
        except OSError as error:
            failed = self.intake.storage_failed(meta, error)
            return failed if self._stream(request, _Arrival(None)) else None
        with incoming:
            arrival = _Arrival(incoming)
            if not self._stream(request, arrival):
                return None
            if arrival.too_large:
                return Outcome(StoreStatus.TOO_LARGE, f"larger than {self._most_bytes} bytes")
            if arrival.error is not None:
                return self.intake.storage_failed(meta, arrival.error)
            return self.intake.take_incoming(incoming, sender, arrival.head)

    def _stream(self, request: StoreRequest, arrival: _Arrival) -> bool:
        """Read PDUs until the last fragment. False when something else than data comes (it stays where it is)."""
        inflow = self._inflow
        largest = max(self.assoc.acceptor.maximum_length or 0, LONGEST_COMMAND)
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
                size, context_id, control = _FRAGMENT_HEAD.unpack(inflow.peek(6))
                size -= 2
                if not 0 <= size <= left - 6 or context_id != request.context_id or control & _COMMAND:
                    raise ProtocolError("expected a fragment of the announced data set")
                inflow.skip(6)
                last = bool(control & _LAST)
                left -= 6 + size
                self._piece(size, request, arrival)
            if last:
                return True
            self._check_pace(time.monotonic() - begun, arrival.size_bytes)

    def _piece(self, size: int, request: StoreRequest, arrival: _Arrival) -> None:
        """One fragment, from the socket to the file."""
        first = arrival.size_bytes == 0
        arrival.size_bytes += size
        if arrival.size_bytes > self._most_bytes:
            arrival.too_large = True
            if arrival.size_bytes > self._most_bytes + DRAINED_BYTES:
                raise ProtocolError(f"an object of more than {self._most_bytes} bytes")
        inflow = self._inflow
        if first and size:
            inflow.need(min(size, HEAD_BYTES))
        while size:
            piece = inflow.some(size)
            arrival.write(piece)
            if first:
                syntax = cast(dict[int, tuple[str, str]], self._contexts)[request.context_id][1]
                arrival.head = read_head(piece[:HEAD_BYTES], syntax)
                first = False
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
        return cast("GuardedSocket", self.provider.socket)


class _Arrival:
    """A data set that is coming in, and why it is not kept although it is read to its end."""

    def __init__(self, incoming: IncomingFile | None) -> None:
        """incoming : None when nothing of it shall be kept."""
        self._incoming = incoming
        self.size_bytes = 0
        self.too_large = False
        self.error: OSError | None = None
        self.head: Head | None = None

    def write(self, piece: memoryview) -> None:
        if self._incoming is None or self.too_large or self.error is not None:
            return
        try:
            self._incoming.write(piece)
        except OSError as error:
            self.error = error


def parse_command(data: memoryview) -> dict[int, memoryview] | None:
    """Elements of a command set (group 0000, implicit VR little endian, PS3.7 section 6.3.1); None when it is none."""
    found: dict[int, memoryview] = {}
    offset = 0
    while offset < len(data):
        if len(data) - offset < 8:
            return None
        group, element, length = struct.unpack_from("<HHI", data, offset)
        offset += 8
        if group != 0x0000 or length > len(data) - offset:
            return None
        found[element] = data[offset : offset + length]
        offset += length
    return found


def store_response(request: StoreRequest, outcome: Outcome) -> bytes:
    """A whole P-DATA-TF PDU with the C-STORE-RSP, PS3.7 Table 9.3-2."""
    elements = [
        _element(0x0002, _padded(request.sop_class_uid, b"\0")),
        _element(0x0100, struct.pack("<H", _C_STORE_RSP)),
        _element(0x0120, struct.pack("<H", request.message_id)),
        _element(0x0800, struct.pack("<H", _NO_DATA_SET)),
        _element(0x0900, struct.pack("<H", outcome.status)),
    ]
    if outcome.status is not StoreStatus.SUCCESS:
        elements.append(_element(0x0902, _padded(error_comment(outcome.comment), b" ")))
    elements.append(_element(0x1000, _padded(request.sop_instance_uid, b"\0")))
    body = b"".join(elements)
    command = _element(0x0000, struct.pack("<I", len(body))) + body
    pdv = struct.pack(">IBB", len(command) + 2, request.context_id, _COMMAND | _LAST) + command
    return struct.pack(">BBI", _P_DATA, 0, len(pdv)) + pdv


def _element(number: int, value: bytes) -> bytes:
    return struct.pack("<HHI", 0x0000, number, len(value)) + value


def _padded(text: str, padding: bytes) -> bytes:
    encoded = text.encode("ascii")
    return encoded + padding * (len(encoded) % 2)
