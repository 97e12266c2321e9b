"""The HTTP connection to a DICOMweb server: bearer token, TLS, time limits; what its statuses mean for all services."""

from __future__ import annotations

import ssl
from typing import Literal

import httpx

from config.errors import SettingsError
from config.settings import PacsSettings

TokenKey = Literal["stow_token_file", "wado_token_file"]


def dicomweb_client(pacs: PacsSettings, token_key: TokenKey, timeout_s: float | None = None) -> httpx.Client:
    """Return a client for the requests to one server; use it as a context manager.

    Parameters
    ----------
    pacs : PacsSettings
        Token, TLS and time limit. Without `tls` the certificate authorities of the system count.
    token_key : str
        The setting that names the file of the bearer token.
    timeout_s : float, optional
        Silence after which the server is taken for away; the PACS's `timeout_s` by default.

    Returns
    -------
    httpx.Client
        It follows no redirect: a token must not go to another server.

    Raises
    ------
    SettingsError
        The token or a TLS file cannot be read.
    """
    timeout = httpx.Timeout(timeout_s or pacs.timeout_s, connect=pacs.timeout_s)
    return httpx.Client(timeout=timeout, verify=_context(pacs), headers=_authorization(pacs, token_key))


def _authorization(pacs: PacsSettings, token_key: TokenKey) -> dict[str, str]:
    path = getattr(pacs, token_key)
    if path is None:
        return {}
    try:
        return {"Authorization": f"Bearer {path.read_text(encoding='utf-8').strip()}"}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"[[pacs]] {pacs.name}: {token_key} cannot be read: {error}") from error


def _context(pacs: PacsSettings) -> ssl.SSLContext | bool:
    if pacs.tls is None:
        return True
    try:
        context = ssl.create_default_context(cafile=str(pacs.tls.ca))
        context.load_cert_chain(str(pacs.tls.certificate), str(pacs.tls.private_key))
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"[[pacs]] {pacs.name}: the TLS files cannot be used: {error}") from error
    return context
