"""`cptdn conformance`: the DICOM conformance statement of this very configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from config.errors import InputError
from node.cli.context import settings_of


def conformance(
    ctx: typer.Context,
    as_html: Annotated[bool, typer.Option("--html", help="One HTML page instead of Markdown.")] = False,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write there instead of stdout.")] = None,
) -> None:
    """Write the DICOM conformance statement (PS3.2) of the configuration in use.

    Example: cptdn conformance --html --out conformance.html
    """
    from node.conformance.document import to_html, to_markdown
    from node.conformance.statement import conformance_statement

    blocks = conformance_statement(settings_of(ctx))
    text = to_html(blocks) if as_html else to_markdown(blocks)
    if out is None:
        typer.echo(text, nl=False)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror}") from error
