"""What the operating system says about a failure, as a message: "Connection refused" in the language of the reader."""

from __future__ import annotations

import errno
import socket
import ssl

from config.messages.catalogue import CATALOGUE
from config.messages.message import message


def reason_of(error: BaseException) -> str:
    """Return why something failed.

    Parameters
    ----------
    error : BaseException
        An OSError, or an error of a library with one among its causes.

    Returns
    -------
    str
        A message for the usual errors of networks and files; else what the error says, or the name of its type.
    """
    cause: BaseException | None = error
    while cause is not None:
        # Their numbers are those of OpenSSL and of the resolver, which mean something else for the operating system.
        if isinstance(cause, ssl.SSLCertVerificationError):
            return message("system_error.certificate", why=cause.verify_message)
        if isinstance(cause, socket.gaierror):
            return message("system_error.unknown_host")
        if isinstance(cause, ssl.SSLError):
            break
        key = f"system_error.{errno.errorcode.get(getattr(cause, 'errno', None) or 0, '')}"
        if isinstance(cause, OSError) and key in CATALOGUE:
            return message(key)
        if isinstance(cause, TimeoutError):
            return message("system_error.ETIMEDOUT")
        cause = cause.__cause__ or cause.__context__
    described = getattr(error, "strerror", None) or str(error)
    return str(described) if described else type(error).__name__
