"""`cptdn report`: read a report of this program."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from config.errors import InputError
from node.cli.context import ledger_of, print_json, settings_of

if TYPE_CHECKING:
    from config.indication.vocabulary import ReportStatus

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
    is tolerated. A report of other software is refused with what was found instead. Whether a report of this
    installation is superseded or withdrawn is said, too.

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
    status = _status_in_ledger(ctx, report.report_identity)
    if json:
        print_json(to_json(report, status))
        return
    if status is not None and status is not report.status:
        typer.echo(f"This report is {status.value.upper()}: do not use it.", err=True)
    typer.echo(plain_text(report, language or settings_of(ctx).report.language))


def _status_in_ledger(ctx: typer.Context, report_identity: str) -> ReportStatus | None:
    """Return what the ledger of this installation knows of a report; None without a ledger, or of another one."""
    from sqlalchemy.exc import SQLAlchemyError

    from config.errors import LedgerError
    from config.indication.vocabulary import ReportStatus
    from node.ledger.reports import status_by_identity

    url = settings_of(ctx).ledger.url or ""
    # A command that reads a file makes no database.
    if url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///").partition("?")[0]).exists():
        return None
    try:
        with ledger_of(ctx, migrate=False).read() as session:
            status = status_by_identity(session, report_identity)
    except (LedgerError, SQLAlchemyError):  # of another version, or away: the file says what it says
        return None
    return None if status is None else ReportStatus(status)
