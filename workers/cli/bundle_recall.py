"""`cptdn bundle recall`: withdraw every current answer of a bundle, and keep it from being used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from config.errors import InputError
from config.who_and_when import local_day, operating_user
from node.cli.context import ledger_of, print_json, record_about_studies, record_configuration

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


def recall(
    ctx: typer.Context,
    bundle: Annotated[str, typer.Argument(metavar="BUNDLE", help="A name, a folder, or the beginning of a digest.")],
    because: Annotated[str, typer.Option(metavar="TEXT", help="The reason; every channel shows it to its readers.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would be withdrawn and stopped.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Recall a bundle: withdraw all its current answers in every channel, and compute nothing with it any more.

    New studies are held until another bundle is active, or this one again (`cptdn bundle activate --because`).
    Withdrawn studies stay so until a person computes them again, for example with `cptdn reprocess --all`. The folder
    of the bundle may be gone.

    Example: cptdn bundle recall site-2025 --because "wrong landmarks for scanner 3" --dry-run
    """
    from node.cli.progress import progress
    from node.workflow.recall import recall_bundle, recalled_bundle

    if not because.strip():
        raise InputError("expected the reason of the recall, found none")
    ledger = ledger_of(ctx)
    with ledger.begin() as session:
        found = recalled_bundle(session, bundle)
    if not dry_run:
        by = operating_user()
        with progress("withdrawn", len(found.studies)) as advance:
            recall_bundle(ledger, found, because.strip(), by, advance)
        record_configuration(ctx, f"bundle {found.digest} recalled because: {because.strip()}")
        record_about_studies(ctx, "bundle recall", found.studies)
    if as_json:
        print_json({**found.to_json(), "because": because.strip(), "dry_run": dry_run})
        return
    verb = "would be" if dry_run else "are"
    typer.echo(f"{found.name} {found.digest}")
    typer.echo(f"{len(found.studies)} current answers and {len(found.jobs)} computations {verb} withdrawn or stopped.")


def reason_to_use_again(session: Session, name: str, digest: str, because: str | None) -> str | None:
    """Return the reason to use a recalled bundle again; None for one that is not recalled.

    Raises
    ------
    InputError
        It is recalled and no reason was given.
    """
    from node.ledger.recalls import recall_of

    recalled = recall_of(session, digest)
    if recalled is None:
        return None
    if not because:
        day = local_day(recalled.recalled_at)
        raise InputError(
            f"the bundle {name} was recalled by {recalled.by} on {day}: {recalled.because}; give --because TEXT to use "
            "it again"
        )
    return because
