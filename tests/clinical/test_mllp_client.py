"""The MLLP client against hl7apy's server, and against sockets that misbehave."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from config.errors import PacsUnavailableError, SettingsError
from config.settings import Hl7OutSettings
from node.clinical.hl7_answers import Acknowledgement, NoAcknowledgementError, Verdict, read_acknowledgement
from node.clinical.mllp_client import MllpConnection, NoAnswerError
from tests.clinical.hl7_receiver import receiver, reject
from tests.dicom.certificates import Authority, Certificate

MESSAGE = b"MSH|^~\\&|CPTDN||HIS||20260101120000||ORU^R01^ORU_R01|C1|P|2.5.1||||||UNICODE UTF-8\rPID|1||P1\r"


def settings(port: int, **changes: float) -> Hl7OutSettings:
    return Hl7OutSettings(port=port, **{"timeout_s": 5.0, "answer_timeout_s": 5.0, **changes})


def exchanged(port: int, **changes: float) -> Acknowledgement:
    with MllpConnection(settings(port, **changes)) as connection:
        return connection.exchange(MESSAGE, "C1")


def framed(text: str) -> bytes:
    return b"\x0b" + text.encode() + b"\x1c\r"


def ack(code: str = "AA", control_id: str = "C1", *more: str) -> str:
    return "\r".join(["MSH|^~\\&|HIS||CPTDN||20260101||ACK|9|P|2.5.1", f"MSA|{code}|{control_id}", *more]) + "\r"


@contextmanager
def peer(behave: Callable[[socket.socket], None]) -> Iterator[int]:
    """A peer that takes one connection and whole messages, then behaves as it is told."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            received = b""
            while not received.endswith(b"\x1c\r"):
                received += connection.recv(65536)
            behave(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    thread.join(5)
    listener.close()


def test_an_independent_receiver_takes_the_message() -> None:
    with receiver() as found:
        assert exchanged(found.port).verdict(False) is Verdict.ACCEPTED
        assert found.received == [MESSAGE.decode()]


def test_a_message_type_that_is_not_known_there_is_refused_with_its_sentence() -> None:
    with receiver(kinds=()) as found:
        answer = exchanged(found.port)
    assert answer.verdict(False) is Verdict.REFUSED
    assert answer.sentence() == "answered AR (200): this message type is not supported here"


def test_a_large_page_arrives_whole() -> None:
    page = b"A" * 3_000_000
    received = bytearray()
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                while not received.endswith(b"\x1c\r"):
                    received.extend(connection.recv(65536))
                connection.sendall(framed(ack()))
            done.set()

        threading.Thread(target=serve, daemon=True).start()
        with MllpConnection(settings(listener.getsockname()[1])) as connection:
            connection.exchange(MESSAGE + page, "C1")
    assert done.wait(5)
    assert bytes(received[1:-2]) == MESSAGE + page


@pytest.mark.parametrize(
    ("code", "error", "before", "verdict"),
    [
        ("AA", "", False, Verdict.ACCEPTED),
        ("CA", "", False, Verdict.ACCEPTED),
        ("AE", "", False, Verdict.LATER),
        ("CE", "", False, Verdict.LATER),
        ("AE", "101", False, Verdict.LATER),
        ("AR", "", False, Verdict.REFUSED),
        ("CR", "", False, Verdict.REFUSED),
        ("AR", "202", False, Verdict.REFUSED),  # processing id: a demonstration model at a receiver in production
        ("AR", "207", False, Verdict.LATER),  # "system down, internal error, etc." (section 2.9.2.2)
        ("AE", "205", True, Verdict.ACCEPTED),  # it arrived before, and the acknowledgement was lost
        ("AE", "205", False, Verdict.LATER),
    ],
)
def test_what_an_answer_means(code: str, error: str, before: bool, verdict: Verdict) -> None:
    assert Acknowledgement(code, "1", error).verdict(before) is verdict


@pytest.mark.parametrize(
    "segments",
    [
        ("ERR|||203^not this version^HL70357|E||||Version 2.5.1 is not supported",),  # 2.5 and later
        ("ERR|MSH^1^12^203&Version 2.5.1 is not supported&HL70357",),  # 2.4 and earlier: ERR-1.4, text in MSA-3
    ],
)
def test_the_error_is_found_where_any_version_has_it(segments: tuple[str, ...]) -> None:
    raw = ack("AR", "7|Version 2.5.1 is not supported", *segments).encode()
    found = read_acknowledgement(raw)
    assert (found.control_id, found.error, found.text) == ("7", "203", "Version 2.5.1 is not supported")


@pytest.mark.parametrize("raw", [b"", b"OK", b"MSH|^~\\&|", b"MSH|^~\\&|A\rMSA|??|1", b"\xff\xfe\x00" * 5, b"MSH"])
def test_what_is_no_acknowledgement_is_none(raw: bytes) -> None:
    with pytest.raises(NoAcknowledgementError):
        read_acknowledgement(raw)


def test_an_acknowledgement_may_end_its_segments_with_lf() -> None:
    assert read_acknowledgement(ack().replace("\r", "\r\n").encode()).code == "AA"


def test_an_answer_in_pieces_is_read() -> None:
    def slowly(connection: socket.socket) -> None:
        for byte in framed(ack()):
            connection.sendall(bytes([byte]))

    with peer(slowly) as port:
        assert exchanged(port).code == "AA"


def test_an_acknowledgement_of_another_message_is_passed_over() -> None:
    late = framed(ack("AR", "C0")) + b"noise" + framed("what?") + framed(ack("AA", "C1"))
    with peer(lambda connection: connection.sendall(late)) as port:
        assert exchanged(port).code == "AA"


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"", "no answer"),
        (framed(ack())[:-30], "half an answer"),
        (framed(ack("AA", "C2")), "found one of another"),
        (framed("hello"), "found another text"),
    ],
)
def test_a_connection_that_is_closed_without_an_acknowledgement_says_so(sent: bytes, said: str) -> None:
    with peer(lambda connection: connection.sendall(sent)) as port, pytest.raises(NoAnswerError, match=said):
        exchanged(port)


def test_a_peer_that_says_nothing_is_given_up_after_the_time_for_answers() -> None:
    stop = threading.Event()
    with peer(lambda _connection: stop.wait(5) and None) as port:
        begin = time.monotonic()
        with pytest.raises(NoAnswerError, match=r"no acknowledgement within 0\.1 s"):
            exchanged(port, answer_timeout_s=0.1)
        assert time.monotonic() - begin < 2
        stop.set()


def test_a_peer_that_sends_without_end_is_given_up() -> None:
    def flood(connection: socket.socket) -> None:
        try:
            for _ in range(100):
                connection.sendall(b"x" * 65536)
        except OSError:
            return

    with peer(flood) as port, pytest.raises(NoAnswerError):
        exchanged(port)


def test_nothing_was_sent_where_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(PacsUnavailableError, match="cannot be reached"):
        exchanged(port)


def test_a_negative_answer_of_hl7apy_is_read() -> None:
    with receiver() as found:
        found.moods.append(reject("AE", "204", "unknown patient"))
        assert exchanged(found.port).sentence() == "answered AE (204): unknown patient"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@contextmanager
def tls_peer(certificate: Certificate) -> Iterator[int]:
    """A peer that asks for a certificate, and acknowledges one message."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(certificate.ca))
    context.load_cert_chain(certificate.certificate, certificate.private_key)
    context.verify_mode = ssl.CERT_REQUIRED
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        try:
            with context.wrap_socket(connection, server_side=True) as secure:
                while not secure.recv(65536).endswith(b"\x1c\r"):
                    continue
                secure.sendall(framed(ack()))
        except OSError:
            connection.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    thread.join(5)
    listener.close()


def test_tls_authenticates_both_sides(authority: Authority, tmp_path: Path) -> None:
    ours, theirs = authority.issue("node"), authority.issue("his")
    with tls_peer(theirs) as port:
        receiver = settings(port).model_copy(update={"tls": ours.settings()})
        with MllpConnection(receiver) as connection:
            assert connection.exchange(MESSAGE, "C1").code == "AA"
    stranger = Authority(tmp_path, "other").issue("his")
    with tls_peer(stranger) as port:
        receiver = settings(port).model_copy(update={"tls": ours.settings()})
        with pytest.raises(PacsUnavailableError, match="certificate verify failed"), MllpConnection(receiver):
            pass


def test_a_wrong_certificate_file_is_named(tmp_path: Path) -> None:
    missing = Certificate(tmp_path / "none.pem", tmp_path / "none.key", tmp_path / "ca.pem")
    receiver = settings(1).model_copy(update={"tls": missing.settings()})
    with (
        pytest.raises(SettingsError, match=r"\[\[hl7_out\]\] his: the TLS files cannot be used"),
        MllpConnection(receiver),
    ):
        pass
