"""TLS on both sides of a DICOM connection, after BCP 195 (PS3.15 Annex B.12): TLS 1.2 or newer, mutual certificates."""

from __future__ import annotations

import ssl

from config.errors import SettingsError
from config.settings import TlsSettings

# Forward secrecy and authenticated encryption only; TLS 1.3 has nothing else.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:!aNULL:!eNULL:!SHA1"


def server_context(tls: TlsSettings) -> ssl.SSLContext:
    """Build the TLS context for connections that peers open to us.

    Parameters
    ----------
    tls : TlsSettings
        PEM files of our certificate, its key and the accepted authorities, and whether peers need a certificate.

    Returns
    -------
    ssl.SSLContext
        TLS 1.2 or newer.

    Raises
    ------
    SettingsError
        A file cannot be used; the text names it.
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER, tls)
    context.verify_mode = ssl.CERT_REQUIRED if tls.require_client_certificate else ssl.CERT_NONE
    return context


def client_context(tls: TlsSettings) -> ssl.SSLContext:
    """Build the TLS context for connections that we open.

    Parameters
    ----------
    tls : TlsSettings
        PEM files of our certificate, its key and the accepted authorities.

    Returns
    -------
    ssl.SSLContext
        TLS 1.2 or newer; the peer must have a certificate of one of the authorities for its host name.

    Raises
    ------
    SettingsError
        A file cannot be used; the text names it.
    """
    context = _context(ssl.PROTOCOL_TLS_CLIENT, tls)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def _context(protocol: int, tls: TlsSettings) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    # Renegotiation lets a client make the server compute; compression leaks what it compresses (CRIME).
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    # OpenSSL's error for a missing file does not name it.
    for path in (tls.certificate, tls.private_key, tls.ca):
        if not path.is_file():
            raise SettingsError(f"[tls] expected a PEM file at {path}, found none")
    try:
        context.load_cert_chain(tls.certificate, tls.private_key)
        context.load_verify_locations(tls.ca)
    except ssl.SSLError as error:
        raise SettingsError(
            f"[tls] {tls.certificate}, {tls.private_key} and {tls.ca} do not make a usable set: {error.reason}"
        ) from error
    return context
