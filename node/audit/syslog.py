"""Syslog for audit messages: the RFC 5424 header, and connections by TLS (RFC 5425), TCP (RFC 6587) and UDP (RFC 5426).

PS3.15 section A.6 and A.7 ask for facility 10 (security) and for "DICOM+RFC3881" as MSGID. Syslog has no receipts: a
message counts as handed over once the repository's machine has acknowledged its last byte and the connection stands.
"""

from __future__ import annotations

import fcntl
import re
import select
import socket
import ssl
import struct
import time
from collections.abc import Sequence
from datetime import datetime

from config.errors import SettingsError
from config.settings import SyslogSettings

PRIORITY = 10 * 8 + 5  # facility security/authorization, severity notice
MESSAGE_ID = "DICOM+RFC3881"
APPLICATION = "cptdn"
BOM = b"\xef\xbb\xbf"  # RFC 5424 section 6.4: a message in UTF-8 begins with it
_UNSENT = 0x5411  # SIOCOUTQ: bytes that the peer's machine has not acknowledged
_NOT_PRINTABLE = re.compile(r"[^!-~]")


class RepositoryError(OSError):
    """The repository cannot be reached, or ended the connection."""


def syslog_message(when: datetime, host: str, process_id: int, message: bytes) -> bytes:
    """One RFC 5424 message, without line ends."""
    header = (
        f"<{PRIORITY}>1 {when.isoformat(timespec='milliseconds')} {_NOT_PRINTABLE.sub('-', host)[:255] or '-'} "
        f"{APPLICATION} {process_id} {MESSAGE_ID} - "
    )
    return header.encode("ascii") + BOM + message


def body_of(line: bytes) -> bytes:
    """The XML of a recorded line."""
    return line.partition(BOM)[2]


class Repository:
    """A connection to the audit repository, opened when it is needed."""

    def __init__(self, settings: SyslogSettings) -> None:
        self._settings = settings
        self._socket: socket.socket | None = None

    def send(self, messages: Sequence[bytes]) -> None:
        """Hand these over, in their order. Raises RepositoryError: then none of them counts as handed over."""
        try:
            connection = self._connected()
            if self._settings.transport == "udp":
                for message in messages:
                    connection.send(message)
                return
            connection.sendall(b"".join(b"%d %s" % (len(message), message) for message in messages))
            self._wait_until_taken(connection)
        except OSError as error:
            self.close()
            where = f"{self._settings.host}:{self._settings.port} by {self._settings.transport}"
            raise RepositoryError(f"the audit repository {where} did not take messages: {error}") from error

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connected(self) -> socket.socket:
        if self._socket is not None and self._settings.transport != "udp" and _has_left(self._socket):
            self.close()
        if self._socket is None:
            self._socket = self._connect()
        return self._socket

    def _connect(self) -> socket.socket:
        where = (self._settings.host, self._settings.port)
        if self._settings.transport == "udp":
            family, kind, protocol, _, address = socket.getaddrinfo(*where, type=socket.SOCK_DGRAM)[0]
            datagrams = socket.socket(family, kind, protocol)
            datagrams.connect(address)
            return datagrams
        connection = socket.create_connection(where, self._settings.timeout_s)
        try:
            if self._settings.transport == "tls":
                return client_context(self._settings).wrap_socket(connection, server_hostname=self._settings.host)
        except BaseException:
            connection.close()
            raise
        return connection

    def _wait_until_taken(self, connection: socket.socket) -> None:
        """Until the last byte is acknowledged by the peer's machine. Raises OSError when that takes too long."""
        deadline = time.monotonic() + self._settings.timeout_s
        while struct.unpack("i", fcntl.ioctl(connection.fileno(), _UNSENT, b"\0\0\0\0"))[0]:
            if time.monotonic() > deadline:
                raise TimeoutError("its machine does not acknowledge")
            time.sleep(0.005)
        if _has_left(connection):
            raise ConnectionResetError("it closed the connection")


def check_repository(settings: SyslogSettings) -> str | None:
    """Connect and leave again; None when that worked, else why it did not. Raises SettingsError for wrong files."""
    repository = Repository(settings)
    try:
        repository.send(())
    except RepositoryError as error:
        return str(error.__cause__)
    finally:
        repository.close()
    return None


def client_context(settings: SyslogSettings) -> ssl.SSLContext:
    """TLS 1.2 or newer, the repository's certificate checked for its name. Raises SettingsError for wrong files."""
    try:
        context = ssl.create_default_context(cafile=str(settings.ca))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if settings.certificate is not None:
            context.load_cert_chain(settings.certificate, settings.private_key)
    except OSError as error:
        raise SettingsError(f"[audit.syslog] cannot use ca, certificate or private_key: {error}") from error
    return context


def _has_left(connection: socket.socket) -> bool:
    """Whether the peer has closed; a repository never sends anything else."""
    if not select.select([connection], [], [], 0)[0]:
        return False
    timeout = connection.gettimeout()
    connection.settimeout(0)
    try:
        return connection.recv(4096) == b""
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    except OSError:
        return True
    finally:
        connection.settimeout(timeout)
