"""`cptdn studies`: what arrived, in what state it is, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from node.cli.context import ledger_of, print_json, print_table, settings_of

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from node.ledger.tables import Case

app = typer.Typer(help="Studies: their state, the reasons for it, and the administrator's decisions.")

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
StudyUid = Annotated[str, typer.Argument(metavar="STUDY_UID")]


def study_json(session: Session, case: Case) -> dict[str, Any]:
    """The contract's form of one study."""
    from node.ledger.reports import reports_of

    reports = reports_of(session, case.study_instance_uid)
    return {
        "study_instance_uid": case.study_instance_uid,
        "patient_id": case.patient_id,
        "state": case.state,
        "reasons": case.reasons,
        "current_report": reports[0].sop_instance_uid if reports else None,
        "reports": [
            {
                "sop_instance_uid": report.sop_instance_uid,
                "revision": report.revision,
                "created_at": report.created_at.isoformat(),
                "bundle_digest": report.bundle_digest,
            }
            for report in reports
        ],
        "received_at": case.received_at.isoformat(),
    }


@app.command("list")
def list_(
    ctx: typer.Context,
    state: Annotated[list[str] | None, typer.Option("--state", help="Only these states (may be given again).")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many (default: all).")] = None,
    as_json: Json = False,
) -> None:
    """All studies, the newest first.

    Example: cptdn studies list --state held --state incomplete
    """
    from node.ledger.cases import list_cases

    with ledger_of(ctx).begin() as session:
        studies = [study_json(session, case) for case in list_cases(session, state or (), limit=limit)]
    if as_json:
        print_json(studies)
        return
    print_table(
        ("study", "patient", "state", "reason", "received"),
        [
            (
                study["study_instance_uid"],
                study["patient_id"],
                study["state"],
                " ".join(reason["text"] for reason in study["reasons"]),
                study["received_at"][:19],
            )
            for study in studies
        ],
    )


@app.command()
def show(ctx: typer.Context, study_uid: StudyUid, as_json: Json = False) -> None:
    """One study with its reports and deliveries.

    Example: cptdn studies show 1.2.840.113619.2.1
    """
    from node.cli.jobs import delivery_json, job_json
    from node.ledger.cases import get_case
    from node.ledger.deliveries import deliveries_of
    from node.ledger.jobs import list_jobs_of
    from node.ledger.reports import reports_of

    with ledger_of(ctx).begin() as session:
        case = get_case(session, study_uid)
        found = study_json(session, case)
        found["jobs"] = [job_json(job) for job in list_jobs_of(session, study_uid)]
        found["deliveries"] = [
            delivery_json(delivery)
            for report in reports_of(session, study_uid)
            for delivery in deliveries_of(session, report.id)
        ]
    if as_json:
        print_json(found)
        return
    typer.echo(f"Study {study_uid}: {found['state']}")
    for reason in found["reasons"]:
        typer.echo(f"  {reason['code']}: {reason['text']}")
    for report in found["reports"]:
        typer.echo(f"  report r{report['revision']}  {report['sop_instance_uid']}  {report['created_at'][:19]}")
    for delivery in found["deliveries"]:
        typer.echo(f"  to {delivery['pacs']}: {delivery['state']}  {delivery['error'] or ''}")


@app.command()
def explain(ctx: typer.Context, study_uid: StudyUid, as_json: Json = False) -> None:
    """Why a study is where it is: series roles, contour, clinical facts, eligibility, and what would happen now.

    Example: cptdn studies explain 1.2.840.113619.2.1
    """
    from node.casework import look_at
    from node.ledger.cases import get_case, history

    settings = settings_of(ctx)
    with ledger_of(ctx).begin() as session:
        case = get_case(session, study_uid)
        found = study_json(session, case)
        assessment = look_at(session, settings, case)
        found.update(assessment.explain_json())
        found["would_be"] = {"state": assessment.state, "reasons": [dict(reason) for reason in assessment.reasons]}
        found["history"] = history(session, study_uid)
    if as_json:
        print_json(found)
        return
    _print_explanation(found)


def _print_explanation(found: dict[str, Any]) -> None:
    typer.echo(f"Study {found['study_instance_uid']} of patient {found['patient_id']} is {found['state']}.")
    for reason in found["reasons"]:
        typer.echo(f"  - {reason['text']} [{reason['code']}]")
    print_table(
        ("role", "series", "instances", "confidence", "reason"),
        [
            (s["role"], s["series_instance_uid"], str(s["n_instances"]), f"{s['confidence']:.2f}", s["reason"])
            for s in found["series"]
        ],
        title="Series",
    )
    for title, key in (("Contour", "contour"), ("Clinical facts", "clinical"), ("Eligibility", "eligibility")):
        value = found.get(key)
        lines = [(str(name), _in_words(part)) for name, part in value.items()] if isinstance(value, dict) else []
        if lines:
            print_table(("", ""), lines, title=title)
        else:
            typer.echo(f"{title}: none")
    for finding in found.get("quality") or ():
        typer.echo(f"Quality: {_in_words(finding)}")
    would = found["would_be"]
    typer.echo(f"Looked at now it would be {would['state']}.")
    for reason in would["reasons"]:
        typer.echo(f"  - {reason['text']} [{reason['code']}]")
    print_table(
        ("when", "what", "by"),
        [(line["at"][:19], line["text"], line["actor"]) for line in found["history"]],
        title="History",
    )


def _in_words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_in_words(part)}" for key, part in value.items() if part is not None)
    if isinstance(value, list):
        return "; ".join(_in_words(part) for part in value)
    return "unknown" if value is None else str(value)


@app.command()
def assign(
    ctx: typer.Context,
    study_uid: StudyUid,
    role: Annotated[list[str], typer.Option("--role", metavar="ROLE=SERIES_UID", help="T1w, T2w or CE-T1w.")],
    by: Annotated[str, typer.Option("--by", help="Who decides; kept in the history.")] = "administrator",
) -> None:
    """Settle which series plays which role; the study is looked at again at once.

    Example: cptdn studies assign 1.2.840.113619.2.1 --role CE-T1w=1.2.840.113619.2.1.7
    """
    from config.errors import InputError
    from node.ledger.cases import get_case, record, wake_case
    from node.ledger.instances import series_uids

    roles = ("T1w", "T2w", "CE-T1w")
    with ledger_of(ctx).begin() as session:
        case = get_case(session, study_uid)
        known = set(series_uids(session, study_uid))
        for given in role:
            name, _, series = given.partition("=")
            if name not in roles or not series:
                expected = f"ROLE=SERIES_UID with ROLE one of {', '.join(roles)}"
                raise InputError(f"expected --role {expected}, found {given!r}")
            if series not in known:
                has = ", ".join(sorted(known)) or "none"
                raise InputError(f"study {study_uid} has no series {series}; it has {has}")
            case.assignments = {**case.assignments, name: series}
            record(session, study_uid, "assigned", f"{name} is series {series}, decided by {by}.", actor=by)
        wake_case(session, study_uid)
    typer.echo("The decision is recorded; the study is looked at again.")


@app.command()
def hold(
    ctx: typer.Context,
    study_uid: StudyUid,
    because: Annotated[str, typer.Option(help="The reason; it stands in the case until the study is released.")],
    by: Annotated[str, typer.Option("--by", help="Who decides; kept in the history.")] = "administrator",
) -> None:
    """Hold a study: nothing is computed for it until it is released.

    Example: cptdn studies hold 1.2.840.113619.2.1 --because "contour under review"
    """
    _set_hold(ctx, study_uid, because, by)
    typer.echo("The study is held; `cptdn studies release` lets it go on.")


@app.command()
def release(
    ctx: typer.Context,
    study_uid: StudyUid,
    by: Annotated[str, typer.Option("--by", help="Who decides; kept in the history.")] = "administrator",
) -> None:
    """Let a held study go on; it is looked at again at once.

    Example: cptdn studies release 1.2.840.113619.2.1
    """
    _set_hold(ctx, study_uid, None, by)
    typer.echo("The study is released and looked at again.")


def _set_hold(ctx: typer.Context, study_uid: str, because: str | None, by: str) -> None:
    from node.ledger.cases import get_case, record, wake_case

    with ledger_of(ctx).begin() as session:
        case = get_case(session, study_uid)
        case.hold = because
        text = f"Held by {by}: {because}" if because else f"Released by {by}."
        record(session, study_uid, "hold" if because else "release", text, actor=by)
        session.flush()
        wake_case(session, study_uid)
