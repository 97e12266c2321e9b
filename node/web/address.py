"""Where a browser finds the pages; apart from them, so that a command can say it without loading them."""

from __future__ import annotations

from config.settings import Settings


def address_of(settings: Settings) -> str:
    """Where a browser finds the pages."""
    host = "127.0.0.1" if settings.web.bind in ("0.0.0.0", "::") else settings.web.bind  # noqa: S104 - only compared
    host = f"[{host}]" if ":" in host else host
    return f"{'https' if settings.web.tls else 'http'}://{host}:{settings.web.port}/"
