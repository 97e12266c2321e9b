"""Syslog for audit messages: the RFC 5424 header, and connections by TLS (RFC 5425), TCP (RFC 6587) and UDP (RFC 5426).

PS3.15 sections A.6 and A.7 require facility 10 (security) and the MSGID "DICOM+RFC3881". Syslog has no receipts: a
message counts as forwarded once the repository's machine has acknowledged its last byte (TCP) and the connection is
still open.
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
    """The repository cannot be reached, or has closed the connection."""


def syslog_message(when: datetime, host: str, process_id: int, message: bytes) -> bytes:
    """Return one RFC 5424 message, without line ends.

    Parameters
    ----------
    when : datetime
        Aware.
    message : bytes
        XML in UTF-8.
    """
    header = (
        f"<{PRIORITY}>1 {when.isoformat(timespec='milliseconds')} {_NOT_PRINTABLE.sub('-', host)[:255] or '-'} "
        f"{APPLICATION} {process_id} {MESSAGE_ID} - "
    )
    return header.encode("ascii") + BOM + message


def body_of(line: bytes) -> bytes:
    """Return the XML of a recorded line.

    Returns
    -------
    bytes
        UTF-8; empty when the line contains no message.
    """
    return line.partition(BOM)[2]


class Repository:
    """A connection to the audit repository, opened when it is first needed and again after a failure."""

    def __init__(self, settings: SyslogSettings) -> None:
        self._settings = settings
        self._socket: socket.socket | None = None

    def send(self, messages: Sequence[bytes]) -> None:
        """Send these messages in their order.

        Raises
        ------
        RepositoryError
            When not all were accepted; then none of them counts as sent.

        References
        ----------
        RFC 6587 section 3.4.1 (octet counting), which RFC 5425 requires for TLS.
        """
        try:
            connection = self._connected()
            # RFC 5426: one message is one datagram, without a count of octets; its loss is not reported.
            if self._settings.transport == "udp":
                for message in messages:
                    connection.send(message)
                return
            # One call for all: many small writes would be many segments, each acknowledged for itself.
            connection.sendall(b"".join(b"%d %s" % (len(message), message) for message in messages))
            # Syslog has no answer: what was written to a socket may still be lost with a connection that breaks. An
            # acknowledgement by TCP is the most that the protocol can give.
            self._wait_until_acknowledged(connection)
        except OSError as error:
            self.close()
            where = f"{self._settings.host}:{self._settings.port} by {self._settings.transport}"
            raise RepositoryError(f"the audit repository {where} did not take messages: {error}") from error

    def close(self) -> None:
        """Close the connection; the next `send` opens a new one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connected(self) -> socket.socket:
        if self._socket is not None and self._settings.transport != "udp" and _is_closed_by_peer(self._socket):
            self.close()
        if self._socket is None:
            self._socket = self._connect()
        return self._socket

    def _connect(self) -> socket.socket:
        address_of_repository = (self._settings.host, self._settings.port)
        if self._settings.transport == "udp":
            family, kind, protocol, _, address = socket.getaddrinfo(*address_of_repository, type=socket.SOCK_DGRAM)[0]
            datagrams = socket.socket(family, kind, protocol)
            datagrams.connect(address)
            return datagrams
        connection = socket.create_connection(address_of_repository, self._settings.timeout_s)
        try:
            if self._settings.transport == "tls":
                return client_context(self._settings).wrap_socket(connection, server_hostname=self._settings.host)
        except BaseException:
            connection.close()
            raise
        return connection

    def _wait_until_acknowledged(self, connection: socket.socket) -> None:
        """Wait until the peer's machine has acknowledged the last byte. Raises OSError when that takes too long."""
        deadline = time.monotonic() + self._settings.timeout_s
        while struct.unpack("i", fcntl.ioctl(connection.fileno(), _UNSENT, b"\0\0\0\0"))[0]:
            if time.monotonic() > deadline:
                raise TimeoutError("its machine does not acknowledge what was sent")
            time.sleep(0.005)
        if _is_closed_by_peer(connection):
            raise ConnectionResetError("it has closed the connection")


def check_repository(settings: SyslogSettings) -> str | None:
    """Connect to the repository and disconnect.

    Returns
    -------
    str or None
        Why that failed; None when it worked.

    Raises
    ------
    SettingsError
        When the files of the certificates cannot be used.
    """
    repository = Repository(settings)
    try:
        repository.send(())
    except RepositoryError as error:
        return str(error.__cause__)
    finally:
        repository.close()
    return None


def client_context(settings: SyslogSettings) -> ssl.SSLContext:
    """Return a TLS context: 1.2 or newer, and the repository's certificate must fit its name.

    Raises
    ------
    SettingsError
        When the files of the certificates cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=str(settings.ca))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if settings.certificate is not None:
            context.load_cert_chain(settings.certificate, settings.private_key)
    except OSError as error:
        raise SettingsError(f"[audit.syslog] cannot use ca, certificate or private_key: {error}") from error
    return context


def _is_closed_by_peer(connection: socket.socket) -> bool:
    """Return whether the peer has closed; a repository sends nothing but the end of the connection."""
    # A repository never sends: readable means that it has closed, and the next message would be lost without an error.
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
