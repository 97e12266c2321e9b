"""The fast path for C-STORE: from the socket straight into the file.

pynetdicom negotiates, rejects, releases and answers every other service; once an association stands, its upper layer
hands each plain C-STORE request to this module, which parses the command set (PS3.7 section 9.3.1), streams the
fragments of the data set into the store with one buffer, has them checked, stored and indexed by the same intake as
ever, and answers. Anything unusual is pushed back and takes pynetdicom's way.
"""

from __future__ import annotations

import select
import ssl
import struct
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import structlog

from node.dicom.contexts import STORAGE_CLASSES
from node.dicom.intake import Intake, Outcome, Sender
from node.dicom.statuses import StoreStatus, error_comment
from node.store.incoming import IncomingFile
from node.store.part10 import FileMeta

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from pynetdicom.association import Association

    from node.dicom.server import GuardedProvider, GuardedSocket

log = structlog.get_logger("cptdn.network")

BUFFER_BYTES = 1 << 18
LONGEST_COMMAND = 4096
LINGER_S = 0.02  # how long to look for the next request before pynetdicom's slower loop watches the connection
LEAST_BYTES_PER_S = 1000.0  # a sender slower than this, once the network timeout is over, is cut off
DRAINED_BYTES = 64 * 1024 * 1024  # so much beyond the limit is read, so that the sender can be told

_P_DATA = 0x04
_COMMAND, _LAST = 0x01, 0x02
_C_STORE_RQ, _C_STORE_RSP = 0x0001, 0x8001
_NO_DATA_SET = 0x0101


class ConnectionLostError(OSError):
    """The peer closed the connection in the middle of a message."""


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
        self._buffer = memoryview(bytearray(0))

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
            self.assoc._reactor_checkpoint.set()

    # --- the request ---

    def _request(self) -> StoreRequest | None:
        """The next PDU, when it is a whole C-STORE-RQ command and nothing else; otherwise it is pushed back."""
        connection = self._socket
        head = connection.recv(6)
        if len(head) < 6 or head[0] != _P_DATA:
            connection.push_back(head)
            return None
        length = int.from_bytes(head[2:6], "big")
        if not 6 < length <= LONGEST_COMMAND:
            connection.push_back(head)
            return None
        body = connection.recv(length)
        request = self._parse(body) if len(body) == length else None
        if request is None:
            connection.push_back(head + body)
        return request

    def _parse(self, body: bytearray) -> StoreRequest | None:
        context_id, control = body[4], body[5]
        if int.from_bytes(body[:4], "big") != len(body) - 4 or control & 3 != _COMMAND | _LAST:
            return None
        context = cast(dict[int, tuple[str, str]], self._contexts).get(context_id)
        command = parse_command(memoryview(body)[6:])
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
            return refusal if self._stream(request, None) else None
        try:
            incoming = self.intake.store.receive(meta)
        except OSError as error:
            return self.intake.storage_failed(meta, error) if self._stream(request, None) else None
        with incoming:
            failure = _Failure()
            if not self._stream(request, incoming, failure):
                return None
            if failure.too_large:
                return Outcome(StoreStatus.TOO_LARGE, f"larger than {self._most_bytes} bytes")
            if failure.error is not None:
                return self.intake.storage_failed(meta, failure.error)
            return self.intake.take_incoming(incoming, sender)

    def _stream(self, request: StoreRequest, incoming: IncomingFile | None, failure: _Failure | None = None) -> bool:
        """Read PDUs until the last fragment. False when something else than data came (pushed back)."""
        connection = self._socket
        failure = failure or _Failure()
        largest = max(self.assoc.acceptor.maximum_length or 0, LONGEST_COMMAND)
        begun, received = time.monotonic(), 0
        while True:
            head = connection.recv(6)
            if len(head) < 6:
                raise ConnectionLostError("the connection was closed in the middle of an object")
            if head[0] != _P_DATA:
                connection.push_back(head)
                return False
            left = int.from_bytes(head[2:6], "big")
            if left > largest:
                raise ProtocolError(f"a PDU of {left} bytes, at most {largest} were negotiated")
            last = False
            while left:
                if left < 6 or last:
                    raise ProtocolError("a PDU with a broken list of fragments")
                item = connection.recv(6)
                size = int.from_bytes(item[:4], "big") - 2 if len(item) == 6 else -1
                if size < 0 or size > left - 6 or item[4] != request.context_id or item[5] & _COMMAND:
                    raise ProtocolError("expected a fragment of the announced data set")
                last = bool(item[5] & _LAST)
                left -= 6 + size
                received += size
                self._piece(size, incoming, failure, received)
            if last:
                return True
            self._check_pace(time.monotonic() - begun, received)

    def _piece(self, size: int, incoming: IncomingFile | None, failure: _Failure, received: int) -> None:
        """One fragment, from the socket to the file."""
        if received > self._most_bytes:
            failure.too_large = True
            if received > self._most_bytes + DRAINED_BYTES:
                raise ProtocolError(f"an object of more than {self._most_bytes} bytes")
        connection = cast("socket.socket", self._socket.socket)
        if not self._buffer.nbytes:
            self._buffer = memoryview(bytearray(BUFFER_BYTES))
        filled = 0
        while size:
            got = connection.recv_into(self._buffer[filled:], min(size, BUFFER_BYTES - filled))
            if got == 0:
                raise ConnectionLostError("the connection was closed in the middle of an object")
            size -= got
            filled += got
            if incoming is not None and (size == 0 or filled == BUFFER_BYTES):
                if failure.error is None and not failure.too_large:
                    try:
                        incoming.write(self._buffer[:filled])
                    except OSError as error:
                        failure.error = error
                filled = 0
            elif incoming is None:
                filled = 0

    def _check_pace(self, seconds: float, received: int) -> None:
        patience = self.assoc.network_timeout or float("inf")
        if seconds > patience and received < seconds * LEAST_BYTES_PER_S:
            raise ProtocolError(f"{received} bytes in {seconds:.0f} s are too slow")

    # --- the answer ---

    def _respond(self, request: StoreRequest, outcome: Outcome) -> None:
        self._socket.send(store_response(request, outcome))

    def _more(self) -> bool:
        """Whether the next PDU begins soon and nobody else wants this thread."""
        connection = self._socket.socket
        if connection is None or self.provider._kill_thread or not self.provider.to_provider_queue.empty():
            return False
        if isinstance(connection, ssl.SSLSocket) and connection.pending():
            return True
        poll = select.poll()
        poll.register(connection, select.POLLIN)
        return bool(poll.poll(LINGER_S * 1000))

    @property
    def _socket(self) -> GuardedSocket:
        return cast("GuardedSocket", self.provider.socket)


@dataclass
class _Failure:
    """Why the data set is not kept although it is read to its end."""

    too_large: bool = False
    error: OSError | None = None


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
