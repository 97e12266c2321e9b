"""`cptdn reprocess`: compute studies again, and see what differs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from config.errors import InputError
from node.cli.context import ledger_of, print_json, settings_of

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from node.reprocessing import Outcome


def reprocess(
    ctx: typer.Context,
    study_uids: Annotated[list[str] | None, typer.Argument(metavar="STUDY_UID...")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every study.")] = False,
    since: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Studies received since.")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Studies that failed.")] = False,
    bundle: Annotated[str | None, typer.Option(help="Another model bundle (a name or a folder).")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    no_send: Annotated[bool, typer.Option("--no-send", help="Compute and compare, make and send no report.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for each study.")] = 600.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Compute studies again and show the difference to the previous result. A study of which nothing has changed -
    inputs, bundle, software - is left alone.

    Example: cptdn reprocess --since 2026-01-01 --bundle site-2 --no-send
    """
    from node.reprocessing import Reprocessor

    settings = settings_of(ctx)
    ledger = ledger_of(ctx)
    with ledger.begin() as session:
        studies = study_uids or _selected(session, all_, since, failed)
    work = Reprocessor(
        ledger, settings, bundle or settings.model.bundle, send=not no_send, bulk=len(studies) > 1, dry_run=dry_run
    )
    outcomes = []
    for begun in [work.begin(study) for study in studies]:
        outcome = work.finish(begun, timeout)
        outcomes.append(outcome)
        if not as_json:
            _say(outcome)
    if as_json:
        print_json([outcome.to_json() for outcome in outcomes])
    elif not outcomes:
        typer.echo("No study fits this selection.")
    if any(outcome.kind == "failed" for outcome in outcomes):
        raise typer.Exit(1)


def _selected(session: Session, all_: bool, since: datetime | None, failed: bool) -> list[str]:
    from node.ledger.cases import list_cases

    if not (all_ or since or failed):
        raise InputError("expected study UIDs, or one of --all, --since DATE, --failed; found none")
    start = since.replace(tzinfo=UTC) if since else None
    cases = list_cases(session, ("failed",) if failed else (), start)
    return [case.study_instance_uid for case in reversed(cases)]


def _say(outcome: Outcome) -> None:
    from node.reprocessing import difference, in_words

    typer.echo(f"{outcome.study_instance_uid}: {outcome.text}")
    for reason in outcome.reasons:
        typer.echo(f"    {reason['text']} [{reason['code']}]")
    if outcome.new is not None:
        for line in in_words(difference(outcome.previous, outcome.new)) or ["the result is the same"]:
            typer.echo(f"    {line}")
