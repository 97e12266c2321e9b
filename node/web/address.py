"""The address of the pages, in a module of its own: `cptdn up` prints it without loading Starlette."""

from __future__ import annotations

from config.settings import Settings


def address_of(settings: Settings) -> str:
    """Return the URL of the pages.

    Parameters
    ----------
    settings : Settings
        `[web]` bind, port and tls.

    Returns
    -------
    str
        With the address 127.0.0.1 when the pages listen on all addresses.
    """
    host = "127.0.0.1" if settings.web.bind in ("0.0.0.0", "::") else settings.web.bind  # noqa: S104 - only compared
    host = f"[{host}]" if ":" in host else host
    return f"{'https' if settings.web.tls else 'http'}://{host}:{settings.web.port}/"
