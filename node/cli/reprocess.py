"""`cptdn reprocess`: compute studies again, or compare two bundles over them, and see what differs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from node.cli.context import known_states, ledger_of, print_json, record_about_studies, settings_of, studies_of
from node.cli.progress import progress

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from config.settings import Settings
    from node.ledger.database import Ledger
    from node.workflow.reprocessing import Outcome


def reprocess(
    ctx: typer.Context,
    study_uids: Annotated[list[str] | None, typer.Argument(metavar="STUDY_UID...")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every study.")] = False,
    since: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], metavar="DATE", help="Received since, YYYY-MM-DD.")
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Studies that failed (--state failed).")] = False,
    state: Annotated[list[str] | None, typer.Option("--state", help="Only these states (may be given again).")] = None,
    made_with: Annotated[
        str | None,
        typer.Option(
            "--made-with", metavar="BUNDLE", help="Studies whose report this bundle made: its name or digest."
        ),
    ] = None,
    bundle: Annotated[str | None, typer.Option(help="Another model bundle (a name or a folder).")] = None,
    against: Annotated[
        str | None, typer.Option(metavar="BUNDLE", help="With --no-send: compare with this one (default: configured).")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    no_send: Annotated[bool, typer.Option("--no-send", help="Compare both bundles; make and send no report.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="With a selection: send the new reports; without this nothing is sent.")
    ] = False,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for each study.")] = 600.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Compute studies again and show the difference to the previous result.

    A study whose inputs, bundle and software are unchanged is not computed.

    With a selection (--all, --since, --failed, --state, --made-with) it first shows how many recommendations would
    change and how many studies would be refused; reports are made and sent with --yes only.

    With --no-send, every study is computed with the configured bundle and with --bundle, from saved patches where there
    are any; a summary shows which recommendations change. An interrupted comparison continues when the same command is
    given again.

    Example: cptdn reprocess --since 2026-01-01 --bundle site-2 --yes
    Example: cptdn reprocess --all --bundle site-2 --no-send
    """
    settings = settings_of(ctx)
    ledger = ledger_of(ctx)
    # Without --no-send there is one result for each study, and nothing to compare it with.
    if against is not None and not no_send:
        raise typer.BadParameter("--against BUNDLE goes with --no-send")
    with ledger.read() as session:
        studies = _selected(session, study_uids or [], all_, since, [*(state or ()), *(["failed"] * failed)], made_with)
    if study_uids:
        studies = studies_of(ctx, study_uids)
    if not studies and not as_json:
        typer.echo("No study matches this selection.")
        return
    chosen = bundle or settings.model.bundle
    if no_send:
        _compare(ledger, settings, studies, (against or settings.model.bundle, chosen), dry_run, timeout, as_json,
                 each=bool(study_uids))  # fmt: skip
        return
    # What would change is shown before anything is sent in bulk.
    if studies and not study_uids and not dry_run and not _may_send(ledger, settings, studies, chosen, timeout, yes,
                                                                    as_json):  # fmt: skip
        return
    if not dry_run:
        record_about_studies(ctx, "reprocess", studies)
    _compute(ledger, settings, studies, chosen, dry_run, timeout, as_json)


def _selected(
    session: Session,
    study_uids: list[str],
    all_: bool,
    since: datetime | None,
    states: list[str],
    made_with: str | None,
) -> list[str]:
    """Return the selected studies, the oldest first."""
    from node.ledger.cases import STATES, list_cases
    from node.ledger.reports import studies_reported_by

    selecting = all_ or since or states or made_with
    # Neither would mean every study, which has to be said by --all; both would leave open which of them counts.
    if bool(study_uids) == bool(selecting):
        raise typer.BadParameter(
            "expected study UIDs, or a selection by --all, --since DATE, --failed, --state STATE, --made-with BUNDLE"
        )
    if study_uids:
        return study_uids
    cases = list_cases(session, known_states(states, STATES), since.replace(tzinfo=UTC) if since else None)
    studies = [case.study_instance_uid for case in reversed(cases)]
    reported = studies_reported_by(session, made_with) if made_with else None
    return studies if reported is None else [study for study in studies if study in reported]


def _may_send(
    ledger: Ledger, settings: Settings, studies: list[str], bundle: str, timeout: float, yes: bool, as_json: bool
) -> bool:
    """Show what the computation would change, and return whether it may be sent."""
    from node.cli.comparison import print_changes
    from node.workflow.report_changes import ReportChanges, summarise_changes

    with progress("compared", len(studies)) as done:
        compared = list(ReportChanges(ledger, settings, bundle).run(studies, timeout, done))
    summary = summarise_changes(compared)
    # With --yes, stdout has the outcomes.
    if as_json and not yes:
        print_json({"sent": False, "changes": summary, "studies": [one.to_json() for one in compared]})
    else:
        print_changes(summary, err=as_json)
    if not yes and not as_json:
        typer.echo("Nothing was sent; give the same command with --yes to make and send these reports.")
    return yes


def _compute(
    ledger: Ledger, settings: Settings, studies: list[str], bundle: str, dry_run: bool, timeout: float, as_json: bool
) -> None:
    from node.workflow.reprocessing import Reprocessor

    work = Reprocessor(ledger, settings, bundle, bulk=len(studies) > 1, dry_run=dry_run)
    outcomes = []
    # All are queued before the first one is waited for, so that several workers share them.
    begun = [work.start(study) for study in studies]
    with progress("computed", len(studies)) as done:
        for one in begun:
            outcome = work.wait(one, timeout)
            outcomes.append(outcome)
            done()
            if not as_json:
                _print_outcome(outcome)
    if as_json:
        print_json([outcome.to_json() for outcome in outcomes])
    # A refusal is a result and no error of this command.
    if any(outcome.kind == "failed" for outcome in outcomes):
        raise typer.Exit(1)


def _print_outcome(outcome: Outcome) -> None:
    from node.workflow.reprocessing import difference

    typer.echo(f"{outcome.study_instance_uid}: {outcome.text}")
    for reason in outcome.reasons:
        typer.echo(f"    {reason['text']} [{reason['code']}]")
    if outcome.new is not None:
        _print_difference(difference(outcome.previous, outcome.new))


def _print_difference(differences: dict[str, Any]) -> None:
    from node.workflow.reprocessing import difference_lines

    for line in difference_lines(differences) or ["the result is the same"]:
        typer.echo(f"    {line}")


def _compare(
    ledger: Ledger,
    settings: Settings,
    studies: list[str],
    bundles: tuple[str, str],
    dry_run: bool,
    timeout: float,
    as_json: bool,
    each: bool,
) -> None:
    """Compare both bundles over the studies; `each` prints the difference of every study, too."""
    from node.cli.comparison import print_summary
    from node.workflow.comparison import Comparison
    from node.workflow.comparison_summary import summarise

    work = Comparison(ledger, settings, *bundles)
    named = [{"name": one.name, "version": one.version, "digest": one.digest} for one in work.manifests]
    document: dict[str, Any] = {"before": named[0], "after": named[1]}
    if dry_run:
        plan = work.plan(studies).to_json()
        if as_json:
            print_json({**document, "plan": plan})
        else:
            typer.echo(f"{len(studies)} studies, two bundles: " + ", ".join(f"{n} {what.replace('_', ' ')}"
                                                                           for what, n in plan.items()))  # fmt: skip
        return
    with progress("compared", len(studies)) as done:
        compared = list(work.run(studies, timeout, done))
    summary = summarise(compared)
    if as_json:
        print_json({**document, "studies": [one.to_json() for one in compared], "summary": summary})
    else:
        for one in compared if each else ():
            typer.echo(one.study_instance_uid)
            if found := one.to_json()["difference"]:
                _print_difference(found)
        print_summary(document, summary)
    if summary["failed"]:
        raise typer.Exit(1)
