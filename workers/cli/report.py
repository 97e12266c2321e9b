"""`cptdn report`: read a report of this program."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from config.errors import InputError
from node.cli.context import print_json, settings_of

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _group() -> None:
    pass


@app.command()
def show(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A Structured Report of this software.")],
    language: Annotated[
        Literal["en", "zh"] | None, typer.Option(help="Wording; without it, that of the configuration.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Show a report: recommendation, both regimens, inputs, warnings, model.

    The file may come back from a PACS: what a PACS changes on the way (Patient ID, transfer syntax, added attributes)
    is tolerated. A report of other software is refused with what was found instead.

    Example: cptdn report show out/demo/report.dcm --json
    """
    from dicom_sr.reading.reader import read_report
    from dicom_sr.report.errors import ReportError
    from dicom_sr.report.json_form import to_json
    from dicom_sr.report.plain_text import plain_text

    try:
        report = read_report(file)
    except ReportError as error:
        raise InputError(str(error)) from error
    if json:
        print_json(to_json(report))
    else:
        typer.echo(plain_text(report, language or settings_of(ctx).report.language))
