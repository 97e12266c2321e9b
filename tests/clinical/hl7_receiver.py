"""A receiver of HL7 v2 messages over MLLP, independent of the program: hl7apy's server and messages, with moods."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import hl7

from tests.dicom_sr.hl7_reading import observations, read, text
from tests.peers import absent

Mood = Callable[[str, str], str | None]  # (message, its control id) -> what is answered, None: nothing


def answer(code: str, control_id: str, error: str = "", text: str = "") -> str:
    """An acknowledgement as hl7apy writes it, without frame."""
    from hl7apy.core import Message

    ack = Message("ACK", version="2.5.1")
    ack.msh.msh_3, ack.msh.msh_9, ack.msh.msh_10, ack.msh.msh_11 = "HIS", "ACK", f"A{control_id}", "P"
    ack.msa.msa_1, ack.msa.msa_2 = code, control_id
    if error or text:
        ack.add_segment("ERR")
        ack.err.err_3, ack.err.err_4, ack.err.err_8 = error, "E", text
    return str(ack.to_er7())


def accept(_message: str, control_id: str) -> str:
    return answer("AA", control_id)


def lose_the_answer(_message: str, _control_id: str) -> None:
    """The receiver has the message, and closes the connection before it answers."""
    return


def reject(code: str, error: str = "", text: str = "") -> Mood:
    return lambda _message, control_id: answer(code, control_id, error, text)


@dataclass
class Receiver:
    """What arrived, in its order, and the moods of the next answers; when they are used up, everything is accepted."""

    port: int
    received: list[str] = field(default_factory=list)
    moods: list[Mood] = field(default_factory=list)

    def respond(self, message: str) -> str:
        from hl7apy.parser import parse_segment

        control_id = str(parse_segment(message.split("\r")[0]).msh_10.value)
        self.received.append(message)
        found = (self.moods.pop(0) if self.moods else accept)(message, control_id)
        if found is None:
            raise ConnectionAbortedError
        return f"\x0b{found}\x1c\r"

    @property
    def events(self) -> list[str]:
        """MSH-9.2 of each message."""
        return [message.split("|", 9)[8].split("^")[1] for message in self.received]


class Chart:
    """What a hospital information system shows of the messages that it has got (tables 0085 and 0273)."""

    def __init__(self, messages: list[str]) -> None:
        self.shown: dict[tuple[str, ...], str] = {}
        self.documents: dict[str, str] = {}  # unique document number -> available, obsolete or cancelled
        for content in messages:
            message = read(content.encode())
            if text(message.segment("MSH"), 9) == "MDM":
                self._file(text(message.segment("EVN"), 1), message.segment("TXA"))
            else:
                self._record(message)

    def _record(self, message: hl7.Message) -> None:
        for each in observations(message):
            key = (text(message.segment("OBR"), 3), each.code, each.system, each.sub_id)
            if each.status == "D":
                self.shown.pop(key, None)
            else:
                self.shown[key] = each.value

    def _file(self, event: str, txa: hl7.Segment) -> None:
        number, parent = text(txa, 12), text(txa, 13)
        if event == "T11":
            self.documents[number] = "cancelled"
            return
        if parent:
            self.documents[parent] = "obsolete"
        self.documents[number] = "available"

    def __str__(self) -> str:
        codes = {key[1]: value for key, value in self.shown.items()}
        answer = codes.get("OUTCOME") or ("answer" if "RECOMMENDED" in codes else "nothing")
        numbers = "numbers" if any(code.startswith("DFS_") for code in codes) else "no numbers"
        available = list(self.documents.values()).count("available")
        return f"{answer}, {numbers}, {available} document(s)"


@contextmanager
def receiver(port: int = 0, kinds: tuple[str, ...] = ("ORU^R01^ORU_R01", "MDM^T02^MDM_T02", "MDM^T10^MDM_T02",
                                                      "MDM^T11^MDM_T01")) -> Iterator[Receiver]:  # fmt: skip
    """A running receiver; `kinds` are the messages that it knows, any other one is answered AR with code 200."""
    try:
        from hl7apy.mllp import AbstractErrorHandler, AbstractHandler, MLLPServer
    except ModuleNotFoundError:
        absent("hl7apy is not installed (pip install hl7apy)")

    class Handler(AbstractHandler):
        def reply(self) -> str:
            return found.respond(self.incoming_message)

    class Unknown(AbstractErrorHandler):
        def reply(self) -> str:
            if not type(self.exc).__name__.startswith("Unsupported"):
                raise self.exc
            control_id = self.incoming_message.split("|", 10)[9]
            return f"\x0b{answer('AR', control_id, '200', 'this message type is not supported here')}\x1c\r"

    server = MLLPServer("127.0.0.1", port, {**dict.fromkeys(kinds, (Handler,)), "ERR": (Unknown,)}, timeout=10)
    server.daemon_threads = True
    found = Receiver(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
