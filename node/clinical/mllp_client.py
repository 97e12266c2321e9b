"""Send messages to one receiver over MLLP, and wait for their acknowledgements (HL7 v2.5.1 Appendix C.4)."""

from __future__ import annotations

import socket
import ssl
import time
from types import TracebackType
from typing import Self

from config.errors import CptdnError, PacsUnavailableError, SettingsError
from config.messages.message import message, text_of
from config.settings import Hl7OutSettings
from config.system_error import reason_of
from node.clinical.hl7_answers import Acknowledgement, NoAcknowledgementError, read_acknowledgement
from node.clinical.mllp import CARRIAGE_RETURN, CHUNK_BYTES, END_BLOCK, START_BLOCK

LONGEST_ANSWER = 1024 * 1024  # a peer that sends without end must not fill the memory


class NoAnswerError(CptdnError):
    """The message was sent, and it is not known whether it arrived."""


class MllpConnection:
    """A connection to one receiver; a context manager.

    Parameters
    ----------
    receiver : Hl7OutSettings
        Address, TLS and time limits.
    """

    def __init__(self, receiver: Hl7OutSettings) -> None:
        self._receiver = receiver
        self._socket: socket.socket | None = None

    def __enter__(self) -> Self:
        """Connect; raises PacsUnavailableError when the receiver cannot be reached, before anything was sent."""
        receiver, context = self._receiver, _tls_context(self._receiver)
        plain: socket.socket | None = None
        try:
            plain = socket.create_connection((receiver.host, receiver.port), receiver.timeout_s)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket = plain if context is None else context.wrap_socket(plain, server_hostname=receiver.host)
        except OSError as error:
            if plain is not None:
                plain.close()
            text = message("hl7.unreachable", receiver=self._name, why=reason_of(error))
            raise PacsUnavailableError(text) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def exchange(self, content: bytes, control_id: str) -> Acknowledgement:
        """Send a message and return its acknowledgement.

        Parameters
        ----------
        content : bytes
            The message without frame.
        control_id : str
            Its MSH-10. An answer to another message is passed over: it belongs to one whose wait was given up.

        Returns
        -------
        Acknowledgement
            With this control id.

        Raises
        ------
        NoAnswerError
            The connection failed or was closed, or no acknowledgement came in time: the message may have arrived.
        """
        connection = self._socket
        if connection is None:
            raise NoAnswerError(message("hl7.not_connected", receiver=self._name))
        try:
            connection.settimeout(self._receiver.timeout_s)
            connection.sendall(START_BLOCK + content + END_BLOCK + CARRIAGE_RETURN)
            return self._acknowledgement(connection, control_id)
        except TimeoutError as error:
            raise NoAnswerError(message("hl7.not_taken", receiver=self._name)) from error
        except OSError as error:
            text = message("hl7.failed", receiver=self._name, why=reason_of(error))
            raise NoAnswerError(text) from error

    def _acknowledgement(self, connection: socket.socket, control_id: str) -> Acknowledgement:
        deadline = time.monotonic() + self._receiver.answer_timeout_s
        buffer, other = b"", ""
        while chunk := self._received(connection, deadline, other):
            buffer += chunk
            while (end := buffer.find(END_BLOCK)) >= 0:
                # The last start block before the end, as the server reads what a sender has begun twice.
                block, buffer = buffer[buffer.rfind(START_BLOCK, 0, end) + 1 : end], buffer[end + 1 :]
                try:
                    acknowledgement = read_acknowledgement(block)
                except NoAcknowledgementError as error:
                    other = text_of(error)
                    continue
                if acknowledgement.control_id == control_id:
                    return acknowledgement
                other = message("hl7.other_message")
            if len(buffer) > LONGEST_ANSWER:
                raise NoAnswerError(message("hl7.too_long", receiver=self._name, n=LONGEST_ANSWER))
        found = other or message("hl7.half_an_answer" if buffer.strip(CARRIAGE_RETURN) else "hl7.no_answer")
        raise NoAnswerError(message("hl7.closed", receiver=self._name, found=found))

    def _received(self, connection: socket.socket, deadline: float, other: str) -> bytes:
        """Return the next bytes, empty at the end of the connection; raises NoAnswerError after the deadline."""
        try:
            connection.settimeout(max(deadline - time.monotonic(), 0.001))
            return connection.recv(CHUNK_BYTES)
        except TimeoutError as error:
            seconds = self._receiver.answer_timeout_s
            text = message("hl7.late", receiver=self._name, seconds=seconds)
            if other:
                text = message("hl7.late_after", receiver=self._name, seconds=seconds, other=other)
            raise NoAnswerError(text) from error

    @property
    def _name(self) -> str:
        receiver = self._receiver
        return message("hl7.receiver", name=receiver.name, host=receiver.host, port=receiver.port)


def _tls_context(receiver: Hl7OutSettings) -> ssl.SSLContext | None:
    if receiver.tls is None:
        return None
    try:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(receiver.tls.ca))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(str(receiver.tls.certificate), str(receiver.tls.private_key))
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"[[hl7_out]] {receiver.name}: the TLS files cannot be used: {error}") from error
    return context
