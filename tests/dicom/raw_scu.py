"""A sender of bytes, valid DICOM or not (PS3.8 section 9.3, PS3.7 section 9.3)."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from types import TracebackType

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
MR = "1.2.840.10008.5.1.4.1.1.4"


@dataclass(frozen=True)
class Response:
    status: int
    comment: str


class RawSender:
    """One association; `accepted` maps the context ids that the peer took to their transfer syntaxes."""

    def __init__(
        self,
        port: int,
        contexts: list[tuple[str, list[str]]],
        calling: str = "RAW",
        called: str = "CPTDN",
        timeout_s: float = 20.0,
        max_pdu: int = 16384,
        host: str = "127.0.0.1",
        request: bytes = b"",
    ) -> None:
        """`request` is sent in place of the A-ASSOCIATE-RQ that the other parameters describe."""
        self.socket = socket.create_connection((host, port), timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.peer_max_pdu = 16384
        self.accepted: dict[int, str] = {}
        self.rejection: tuple[int, int, int] | None = None
        self.socket.sendall(request or associate_request(contexts, calling, called, max_pdu))
        kind, body = self.read_pdu()
        if kind == 0x02:
            self._read_acceptance(body)
        elif kind == 0x03:
            self.rejection = (body[1], body[2], body[3])

    def _read_acceptance(self, body: bytes) -> None:
        offset = 68
        while offset < len(body):
            kind, _, length = struct.unpack_from(">BBH", body, offset)
            item = body[offset + 4 : offset + 4 + length]
            if kind == 0x21 and item[2] == 0:
                self.accepted[item[0]] = item[8:].decode().rstrip("\0")
            if kind == 0x50:
                self.peer_max_pdu = struct.unpack_from(">I", item, 4)[0]
            offset += 4 + length

    def read_pdu(self) -> tuple[int, bytes]:
        """Type and body of the next PDU; (0, b"") when the peer has closed the connection."""
        try:
            head = self._read(6)
            return head[0], self._read(struct.unpack(">I", head[2:])[0])
        except (ConnectionError, EOFError):
            return 0, b""

    def _read(self, n: int) -> bytes:
        data = b""
        while len(data) < n:
            piece = self.socket.recv(n - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data

    def send_pdvs(self, context_id: int, data: bytes, *, command: bool, fragment: int = 0) -> None:
        """One P-DATA-TF a fragment."""
        size = fragment or max(1, (self.peer_max_pdu or 1 << 20) - 6)
        pieces = [data[i : i + size] for i in range(0, len(data), size)] or [b""]
        for number, piece in enumerate(pieces):
            last = 2 if number == len(pieces) - 1 else 0
            pdv = struct.pack(">IBB", len(piece) + 2, context_id, last | (1 if command else 0)) + piece
            self.socket.sendall(struct.pack(">BBI", 0x04, 0, len(pdv)) + pdv)

    def store(
        self, context_id: int, sop_class: str, sop_instance: str, data: bytes, fragment: int = 0
    ) -> Response | None:
        """C-STORE of these bytes; None when the peer ended the association instead of answering."""
        try:
            self.send_pdvs(context_id, store_request(sop_class, sop_instance), command=True)
            self.send_pdvs(context_id, data, command=False, fragment=fragment)
        except ConnectionError:
            return None
        return self.response()

    def store_packed(self, context_id: int, sop_class: str, sop_instance: str, data: bytes) -> Response | None:
        """C-STORE as dcm4che sends it: each PDU is filled, so the first fragments are in the PDU of the command."""
        command = store_request(sop_class, sop_instance)
        pdvs = struct.pack(">IBB", len(command) + 2, context_id, 3) + command
        offset = 0
        try:
            while offset < len(data) or pdvs:
                size = min(len(data) - offset, self.peer_max_pdu - len(pdvs) - 6)
                last = 2 if offset + size == len(data) else 0
                pdvs += struct.pack(">IBB", size + 2, context_id, last) + data[offset : offset + size]
                self.socket.sendall(struct.pack(">BBI", 0x04, 0, len(pdvs)) + pdvs)
                offset, pdvs = offset + size, b""
        except ConnectionError:
            return None
        return self.response()

    def response(self) -> Response | None:
        kind, body = self.read_pdu()
        if kind != 0x04:
            return None
        elements = read_command(body[6:])
        status = struct.unpack("<H", elements[0x0900])[0]
        return Response(status, elements.get(0x0902, b"").decode().rstrip())

    def echo(self, context_id: int) -> Response | None:
        command = b"".join(
            (
                element(0x0002, b"1.2.840.10008.1.1\0"), element(0x0100, struct.pack("<H", 0x0030)),
                element(0x0110, struct.pack("<H", 7)), element(0x0800, struct.pack("<H", 0x0101)),
            )
        )  # fmt: skip
        self.send_pdvs(context_id, element(0x0000, struct.pack("<I", len(command))) + command, command=True)
        return self.response()

    def release(self) -> None:
        self.socket.sendall(struct.pack(">BBI", 0x05, 0, 4) + bytes(4))
        self.read_pdu()
        self.socket.close()

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> RawSender:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def associate_request(contexts: list[tuple[str, list[str]]], calling: str, called: str, max_pdu: int) -> bytes:
    """The A-ASSOCIATE-RQ PDU, PS3.8 section 9.3.2. An empty abstract syntax is left out, which the standard forbids."""
    items = _item(0x10, b"1.2.840.10008.3.1.1.1")
    for number, (abstract, syntaxes) in enumerate(contexts):
        inner = (_item(0x30, abstract.encode()) if abstract else b"") + b"".join(
            _item(0x40, syntax.encode()) for syntax in syntaxes
        )
        items += _item(0x20, bytes((2 * number + 1, 0, 0, 0)) + inner)
    items += _item(0x50, _item(0x51, struct.pack(">I", max_pdu)) + _item(0x52, b"1.2.3.4"))
    body = struct.pack(">HH16s16s32s", 1, 0, called.encode().ljust(16), calling.encode().ljust(16), b"") + items
    return struct.pack(">BBI", 0x01, 0, len(body)) + body


def store_request(sop_class: str, sop_instance: str, message_id: int = 1) -> bytes:
    """The command set of a C-STORE-RQ, PS3.7 Table 9.3-1."""
    command = b"".join(
        (
            element(0x0002, _uid(sop_class)), element(0x0100, struct.pack("<H", 0x0001)),
            element(0x0110, struct.pack("<H", message_id)), element(0x0700, struct.pack("<H", 0)),
            element(0x0800, struct.pack("<H", 0x0001)), element(0x1000, _uid(sop_instance)),
        )
    )  # fmt: skip
    return element(0x0000, struct.pack("<I", len(command))) + command


def element(number: int, value: bytes) -> bytes:
    return struct.pack("<HHI", 0x0000, number, len(value)) + value


def read_command(data: bytes) -> dict[int, bytes]:
    elements, offset = {}, 0
    while offset < len(data):
        _, number, length = struct.unpack_from("<HHI", data, offset)
        elements[number] = data[offset + 8 : offset + 8 + length]
        offset += 8 + length
    return elements


def _item(kind: int, value: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(value)) + value


def _uid(text: str) -> bytes:
    encoded = text.encode()
    return encoded + b"\0" * (len(encoded) % 2)
