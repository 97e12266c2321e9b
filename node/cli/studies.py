"""`cptdn studies`: states, reasons and decisions of studies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from config.indication.vocabulary import Condition, ConditionState
from config.messages.message import message
from config.severities import condition_severity, severity_of
from config.who_and_when import local_time, operating_user
from node.cli.context import (
    known_states,
    ledger_of,
    print_json,
    print_table,
    record_about_studies,
    series_by_role,
    settings_of,
    study_of,
)

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from node.ledger.tables import Case

app = typer.Typer(help="Studies: states, reasons, decisions.")

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
ByOption = Annotated[
    str,
    typer.Option(
        "--by",
        callback=lambda name: name or operating_user(),
        show_default=False,
        help="Name of the person who decides, for the history (default: the user of this command).",
    ),
]
StudyUid = Annotated[
    str,
    typer.Argument(
        metavar="STUDY_UID", callback=study_of, help="Or the beginning of its UID, a Patient ID, an accession number."
    ),
]


def study_json(session: Session, case: Case) -> dict[str, Any]:
    """Return the form of a study that `--json` prints.

    Parameters
    ----------
    session : Session
        An open transaction; it is only read from.
    case : Case
        Of the study.

    Returns
    -------
    dict
        JSON values; the reports are the newest first, so `current_report` is the first of them.
    """
    from node.ledger.reports import reports_of, status_of
    from node.workflow.withdrawal import withdrawal_of

    reports = reports_of(session, case.study_instance_uid)
    return {
        "study_instance_uid": case.study_instance_uid,
        "patient_id": case.patient_id,
        "state": case.state,
        "reasons": case.reasons,
        "current_report": reports[0].sop_instance_uid if reports else None,
        "answer": answer_json(reports[0].result) if reports else None,
        "withdrawn": withdrawal_of(case, reports[0] if reports else None),
        "reports": [
            {
                "sop_instance_uid": report.sop_instance_uid,
                "revision": report.revision,
                "status": status_of(report, reports),
                "created_at": report.created_at.isoformat(),
                "bundle_digest": report.bundle_digest,
            }
            for report in reports
        ],
        "received_at": case.received_at.isoformat(),
    }


def answer_json(result: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the answer of a stored report: ``recommendation``, and its ``sentences`` in the words of the report.

    Parameters
    ----------
    result : mapping
        `Report.result` of the ledger, also of an earlier version.

    Returns
    -------
    dict or None
        ``recommendation`` is None where the categories of an unknown EBV DNA differ; None where nothing was computed,
        or the stored result cannot be read.
    """
    from dicom_sr.report.errors import UnreadableReportError
    from dicom_sr.report.json_form import load
    from dicom_sr.report.plain_text import answer_lines
    from dicom_sr.report.wording import ENGLISH

    try:
        report = load(result)
    except UnreadableReportError:  # one damaged result must not hide all other studies
        return None
    if not report.computed:
        return None
    return {
        "recommendation": None if report.recommendation is None else report.recommendation.value,
        "sentences": answer_lines(report, ENGLISH),
    }


def _answer_text(study: Mapping[str, Any]) -> str:
    if study["withdrawn"]:
        return withdrawn_text(study["withdrawn"])
    return ". ".join(study["answer"]["sentences"]) if study["answer"] else ""


def withdrawn_text(withdrawn: Mapping[str, str]) -> str:
    """Return by whom, since when and why an answer is withdrawn, in one sentence."""
    return f"Withdrawn by {withdrawn['by']}, {local_time(withdrawn['since'])}: {withdrawn['because']}"


@app.command("list")
def list_(
    ctx: typer.Context,
    state: Annotated[list[str] | None, typer.Option("--state", help="Only these states (may be given again).")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Largest number (default: all).")] = None,
    as_json: Json = False,
) -> None:
    """List studies, the newest first.

    Example: cptdn studies list --state held --state incomplete
    """
    from node.ledger.cases import STATES, list_cases

    states = known_states(state or (), STATES)
    with ledger_of(ctx).read() as session:
        studies = [study_json(session, case) for case in list_cases(session, states, limit=limit)]
    if as_json:
        print_json(studies)
        return
    print_table(
        ("study", "patient", "state", "answer or reason", "received"),
        [
            (
                study["study_instance_uid"],
                study["patient_id"],
                study["state"],
                " ".join(reason["text"] for reason in study["reasons"]) or _answer_text(study),
                local_time(study["received_at"]),
            )
            for study in studies
        ],
    )


@app.command()
def show(ctx: typer.Context, study_uid: StudyUid, as_json: Json = False) -> None:
    """Show one study with its reports and deliveries.

    Example: cptdn studies show 1.2.840.113619.2.1
    """
    from node.cli.jobs import delivery_json, job_json
    from node.ledger.cases import get_case
    from node.ledger.deliveries import deliveries_of
    from node.ledger.jobs import list_jobs_of
    from node.ledger.reports import reports_of

    with ledger_of(ctx).read() as session:
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
    _print_answer(found)
    for report in found["reports"]:
        moment = local_time(report["created_at"])
        typer.echo(f"  report r{report['revision']}  {report['sop_instance_uid']}  {moment}  {report['status']}")
    for delivery in found["deliveries"]:
        typer.echo(f"  to {delivery['pacs']}: {delivery['state']}  {delivery['error'] or ''}")


@app.command()
def explain(ctx: typer.Context, study_uid: StudyUid, as_json: Json = False) -> None:
    """Explain the state of a study: series roles, contour, clinical facts, eligibility, and what would happen now.

    Example: cptdn studies explain 1.2.840.113619.2.1
    """
    from node.ledger.cases import get_case, history
    from node.ledger.discarded import discarded_of_study
    from node.ledger.fetches import fetches_of
    from node.ledger.instances import quarantined_json
    from node.workflow.casework import evaluate_case

    settings = settings_of(ctx)
    with ledger_of(ctx).read() as session:
        case = get_case(session, study_uid)
        found = study_json(session, case)
        assessment = evaluate_case(session, settings, case)
        found.update(assessment.explain_json())
        found["would_be"] = {"state": assessment.state, "reasons": [dict(reason) for reason in assessment.reasons]}
        found["retrieval"] = fetches_of(session, study_uid)
        found["quarantined"] = quarantined_json(session, case)
        found["discarded"] = discarded_of_study(session, study_uid)
        found["history"] = history(session, study_uid)
    if as_json:
        print_json(found)
        return
    _print_explanation(found)


def _print_answer(found: Mapping[str, Any]) -> None:
    if found["withdrawn"]:
        typer.echo(f"  {withdrawn_text(found['withdrawn'])}")
    for sentence in found["answer"]["sentences"] if found["answer"] and not found["withdrawn"] else ():
        typer.echo(f"  {sentence}.")


def _print_explanation(found: dict[str, Any]) -> None:
    typer.echo(f"Study {found['study_instance_uid']} of patient {found['patient_id']} is {found['state']}.")
    for reason in found["reasons"]:
        typer.echo(f"  - {reason['text']} [{reason['code']}]")
    _print_answer(found)
    print_table(
        ("condition of use", "state", "grounds"),
        [(c["code"], c["state"].replace("_", " "), c["text"]) for c in _limiting_first(found["conditions"])],
        title="Conditions of use",
    )
    print_table(
        ("role", "series", "instances", "confidence", "reason"),
        [(s["role"], s["key"], str(s["n_instances"]), f"{s['confidence']:.2f}", s["reason"]) for s in found["series"]],
        title="Series",
    )
    for title, key in (("Contour", "contour"), ("Clinical facts", "clinical"), ("Eligibility", "eligibility")):
        value = found.get(key)
        lines = [(str(name), _value_text(part)) for name, part in value.items()] if isinstance(value, dict) else []
        if lines:
            print_table(("", ""), lines, title=title)
        else:
            typer.echo(f"{title}: none")
    for later in found["clinical"]["later_facts"]:
        typer.echo(f"Later fact: {later['text']}")
    for finding in sorted(found.get("quality") or (), key=lambda finding: severity_of(finding["code"]).rank):
        typer.echo(f"{severity_of(finding['code']).value}: {finding['text']} [{finding['code']}]")
    for file in found["quarantined"]:
        whose = "" if file["known_by"] == "study" else " (of unknown study, from the same association)"
        name = file["sop_instance_uid"] or "without a valid SOP Instance UID"
        typer.echo(f"Quarantined {file['number']}: {name}{whose}: {file['text']} [{file['code']}]")
    if found["discarded"]:
        names = ", ".join(f"{row['name']} {row['n']}" for row in found["discarded"])
        n = sum(row["n"] for row in found["discarded"])
        typer.echo(f"Discarded: {n} {'object' if n == 1 else 'objects'} of other classes: {names}")
    for asked in found["retrieval"]:
        when = f"; queried again after {local_time(asked['next_at'])}" if asked["next_at"] else ""
        said = asked["text"] or f"PACS {asked['pacs']!r} has not been queried yet."
        typer.echo(f"Retrieval: {said} It is {asked['state']} after {asked['tries']} tries{when}.")
    would = found["would_be"]
    typer.echo(f"Assessed now, it would be {would['state']}.")
    for reason in would["reasons"]:
        typer.echo(f"  - {reason['text']} [{reason['code']}]")
    print_table(
        ("when", "what", "by"),
        [(local_time(line["at"]), line["text"], line["actor"]) for line in found["history"]],
        title="History",
    )


def _limiting_first(conditions: Iterable[Mapping[str, str]]) -> list[Mapping[str, str]]:
    """Return conditions of use, the gravest first, as in the report."""

    def rank(condition: Mapping[str, str]) -> int:
        state = ConditionState(condition["state"])
        return condition_severity(Condition(condition["code"]), state).rank

    return sorted(conditions, key=rank)


def _value_text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_value_text(part)}" for key, part in value.items() if part is not None)
    if isinstance(value, list):
        return "; ".join(_value_text(part) for part in value)
    return "unknown" if value is None else str(value)


@app.command()
def assign(
    ctx: typer.Context,
    study_uid: StudyUid,
    role: Annotated[
        list[str] | None,
        typer.Option("--role", metavar="ROLE=SERIES", help="T1w, T2w or CE-T1w = UID, UID:VOLUME or UID+UID."),
    ] = None,
    issuer: Annotated[
        str | None, typer.Option("--issuer", help="Issuer of the Patient ID, where the images name none.")
    ] = None,
    by: ByOption = "",
    as_json: Json = False,
) -> None:
    """Assign series to roles, or the study to an issuer of its Patient ID; it is assessed again at once.

    A series with several volumes is named with the volume (SERIES_UID:VOLUME, as `studies explain` lists them); one
    acquisition in two series with both (SERIES_UID+SERIES_UID, or --role twice).

    Example: cptdn studies assign 1.2.840.113619.2.1 --role CE-T1w=1.2.840.113619.2.1.7
    Example: cptdn studies assign 1.2.840.113619.2.1 --role T1w=1.2.840.113619.2.1.8:IP
    """
    from node.workflow.decisions import assign_issuer, assign_roles

    if not role and not issuer:
        raise typer.BadParameter("nothing to assign; give --role or --issuer")
    decided = series_by_role(role or ())
    with ledger_of(ctx).begin() as session:
        if decided:
            assign_roles(session, study_uid, decided, by)
        if issuer:
            assign_issuer(session, study_uid, issuer, by)
    record_about_studies(ctx, "studies assign", [study_uid])
    _print_decision(as_json, study_uid, "assigned", "The decision is recorded; the study is assessed again.")


@app.command()
def confirm(
    ctx: typer.Context,
    study_uid: StudyUid,
    code: Annotated[str, typer.Argument(metavar="CODE", help="Reason code of the question, as `explain` shows it.")],
    because: Annotated[str, typer.Option(help="Why it is right as it is; the report shows it.")],
    by: ByOption = "",
    as_json: Json = False,
) -> None:
    """Answer a question about a study: it is right as it is. The study is assessed again at once.

    Example: cptdn studies confirm 1.2.840.113619.2.1 treatment_response --because "no treatment before this MR"
    """
    from node.workflow.decisions import confirm as confirm_question

    with ledger_of(ctx).begin() as session:
        confirm_question(session, study_uid, code, because, by)
    record_about_studies(ctx, "studies confirm", [study_uid])
    _print_decision(as_json, study_uid, "confirmed", "The answer is recorded; the study is assessed again.")


@app.command()
def fetch(ctx: typer.Context, study_uid: StudyUid, as_json: Json = False) -> None:
    """Query the PACS at once for missing content, also for series that were retrieved before and did not help.

    Example: cptdn studies fetch 1.2.840.113619.2.1
    """
    from config.errors import InputError
    from node.ledger.cases import get_case, record
    from node.ledger.fetches import request_now
    from node.workflow.casework import evaluate_case
    from node.workflow.retrieval import queryable_pacs

    settings = settings_of(ctx)
    asked = queryable_pacs(settings)
    # An error and not an empty success: a request that no PACS answers would never be carried out.
    if not asked:
        names = ", ".join(pacs.name for pacs in settings.pacs)
        raise InputError(f"expected a [[pacs]] with query_retrieve = true, found none ({names})")
    with ledger_of(ctx).begin() as session:
        case = get_case(session, study_uid)
        # Assessed now: the recorded list may be older than the last object.
        lacks = evaluate_case(session, settings, case).missing
        if not lacks:
            raise InputError(f"study {study_uid} misses no series, contour or registration; it is {case.state}")
        for pacs in asked:
            request_now(session, study_uid, pacs.name, lacks)
        record(session, study_uid, "fetch", message("fetch.requested"), actor=operating_user())
    record_about_studies(ctx, "studies fetch", [study_uid])
    if as_json:
        print_json({"study_instance_uid": study_uid, "asked_for": list(lacks), "pacs": [pacs.name for pacs in asked]})
    else:
        typer.echo(f"Requested now: {', '.join(lacks)}; `cptdn studies explain` shows the outcome.")


@app.command()
def hold(
    ctx: typer.Context,
    study_uid: StudyUid,
    because: Annotated[str, typer.Option(help="The reason; the case shows it until the study is released.")],
    by: ByOption = "",
    as_json: Json = False,
) -> None:
    """Hold a study: nothing is computed for it until it is released.

    Example: cptdn studies hold 1.2.840.113619.2.1 --because "contour under review"
    """
    _set_hold(ctx, study_uid, because, by)
    record_about_studies(ctx, "studies hold", [study_uid])
    _print_decision(as_json, study_uid, "held", "The study is held; `cptdn studies release` releases it.")


@app.command()
def release(
    ctx: typer.Context,
    study_uid: StudyUid,
    by: ByOption = "",
    as_json: Json = False,
) -> None:
    """Release a held study; it is assessed again at once.

    Example: cptdn studies release 1.2.840.113619.2.1
    """
    _set_hold(ctx, study_uid, None, by)
    record_about_studies(ctx, "studies release", [study_uid])
    _print_decision(as_json, study_uid, "released", "The study is released and assessed again.")


@app.command()
def withdraw(
    ctx: typer.Context,
    study_uid: StudyUid,
    because: Annotated[str, typer.Option(help="The reason; every channel shows it to its readers.")],
    by: ByOption = "",
    as_json: Json = False,
) -> None:
    """Withdraw the current answer of a study in every channel that has it.

    A report that says "withdrawn" takes its place within a minute, also where the images or the model bundle are gone.
    The study stays withdrawn until a person computes it again (`cptdn reprocess`), or an input of the answer changes
    before treatment begins.

    Example: cptdn studies withdraw 1.2.840.113619.2.1 --because "the contour is of another patient"
    """
    from node.workflow.withdrawal import withdraw_study

    with ledger_of(ctx).begin() as session:
        withdraw_study(session, study_uid, because, by)
    record_about_studies(ctx, "studies withdraw", [study_uid])
    _print_decision(
        as_json, study_uid, "withdrawn", "The answer is withdrawn; `cptdn studies show` shows the deliveries."
    )


def _print_decision(as_json: bool, study_uid: str, decision: str, sentence: str) -> None:
    if as_json:
        print_json({"study_instance_uid": study_uid, "decision": decision})
    else:
        typer.echo(sentence)


def _set_hold(ctx: typer.Context, study_uid: str, because: str | None, by: str) -> None:
    from node.workflow.decisions import set_hold

    with ledger_of(ctx).begin() as session:
        set_hold(session, study_uid, because, by)
