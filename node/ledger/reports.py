"""Reports: the result of a computation as a value and as stored DICOM objects, each with its predecessor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from config.messages.message import message
from node.ledger.cases import get_case, set_state
from node.ledger.database import now_utc
from node.ledger.deliveries import STATES
from node.ledger.outbox import enqueue
from node.ledger.state_counts import count_states
from node.ledger.supersession import supersede
from node.ledger.tables import Case, Delivery, Report, ReportObject
from node.messaging.messages import DELIVER_REPORT


@dataclass(frozen=True)
class StoredObject:
    """One DICOM object of a report whose file is durable.

    Attributes
    ----------
    kind : str
        ``sr``, ``sc``, ``pdf``, ``seg``, ``attribution`` or ``rtstruct``.
    digest : str
        Of the whole file, see `node/store/digests.py`.
    path : str
        Relative to the storage root.
    """

    kind: str
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    digest: str
    path: str


def current_report(session: Session, study_instance_uid: str) -> Report | None:
    """Return the newest report of a study; None before the first.

    Returns
    -------
    Report or None
        The one with the highest revision; the case may still be computing its successor.
    """
    return session.scalar(
        select(Report).where(Report.study_instance_uid == study_instance_uid).order_by(Report.revision.desc()).limit(1)
    )


def is_current(session: Session, study_instance_uid: str, report: Report | None) -> bool:
    """Return whether a report that was read in another transaction is still the newest of its study, or still none."""
    newest = current_report(session, study_instance_uid)
    return (newest.id if newest else None) == (report.id if report else None)


def is_withdrawal(report: Report) -> bool:
    """Return whether a report only says that the one before it is withdrawn."""
    return bool(report.result.get("withdrawal"))


def status_of(report: Report, reports: Sequence[Report]) -> str:
    """Return whether a report is current, superseded by another one, or withdrawn.

    Parameters
    ----------
    report : Report
        One of `reports`.
    reports : sequence of Report
        All of its study, the newest first.

    Returns
    -------
    str
        ``withdrawn`` for the newest report where it is a withdrawal, and for the one that it withdraws.
    """
    newest = reports[0]
    if is_withdrawal(newest) and report.id in (newest.id, newest.predecessor_id):
        return "withdrawn"
    return "current" if report.id == newest.id else "superseded"


def status_by_identity(session: Session, identity: str) -> str | None:
    """Return the status of the report of an identity (`status_of`); None where this ledger has none."""
    report = session.scalar(select(Report).where(Report.identity == identity))
    return None if report is None else status_of(report, reports_of(session, report.study_instance_uid))


def has_answer(report: Report) -> bool:
    """Return whether a report names an answer; a refusal and a withdrawal do not."""
    return not report.result.get("refusals") and not is_withdrawal(report)


def latest_without_withdrawals(reports: Sequence[Report]) -> Report | None:
    """Return the newest of a study's reports that is not a withdrawal; None where there is none.

    Parameters
    ----------
    reports : sequence of Report
        The newest first.
    """
    return next((report for report in reports if not is_withdrawal(report)), None)


def reports_of(session: Session, study_instance_uid: str) -> list[Report]:
    """Return all reports of a study, the newest first."""
    query = select(Report).where(Report.study_instance_uid == study_instance_uid).order_by(Report.revision.desc())
    return list(session.scalars(query))


def newest_reports(session: Session) -> list[Report]:
    """Return the current report of every study, the latest one first."""
    latest = (
        select(Report.study_instance_uid, func.max(Report.revision).label("revision"))
        .group_by(Report.study_instance_uid)
        .subquery()
    )
    query = select(Report).join(
        latest,
        (Report.study_instance_uid == latest.c.study_instance_uid) & (Report.revision == latest.c.revision),
    )
    return list(session.scalars(query.order_by(Report.created_at.desc())))


def studies_reported_by(session: Session, bundle: str) -> set[str]:
    """Return the studies whose current report comes from a model bundle.

    Parameters
    ----------
    bundle : str
        Name of the bundle, or the beginning of its digest with or without ``sha256:``.
    """
    # Ids grow with each report, so the largest of a study is its current one; one query instead of one for each study.
    newest = select(func.max(Report.id)).group_by(Report.study_instance_uid)
    prefix = bundle if bundle.startswith("sha256:") else f"sha256:{bundle}"
    return {
        # In Python, because the name is inside a JSON column and the two databases search JSON in different ways.
        report.study_instance_uid
        for report in session.scalars(select(Report).where(Report.id.in_(newest)))
        if report.result["model"]["name"] == bundle or report.bundle_digest.startswith(prefix)
    }


def subject_of(session: Session, report_id: int) -> tuple[str, str]:
    """Return whom a report is about.

    Returns
    -------
    (str, str)
        Study Instance UID, and Patient ID (empty when the case is unknown).
    """
    report = session.get_one(Report, report_id)
    case = session.get(Case, report.study_instance_uid)
    return report.study_instance_uid, case.patient_id if case is not None else ""


def objects_of(session: Session, report_id: int) -> list[ReportObject]:
    """Return the stored objects of a report.

    Returns
    -------
    list of ReportObject
        In no particular order.
    """
    return list(session.scalars(select(ReportObject).where(ReportObject.report_id == report_id)))


def add_object(session: Session, report_id: int, stored: StoredObject) -> None:
    """Record a stored object of a report; the same one again changes nothing.

    Parameters
    ----------
    stored : StoredObject
        Its file is durable.
    """
    if session.get(ReportObject, stored.sop_instance_uid) is None:
        session.add(
            ReportObject(
                sop_instance_uid=stored.sop_instance_uid, report_id=report_id, kind=stored.kind,
                sop_class_uid=stored.sop_class_uid, transfer_syntax_uid=stored.transfer_syntax_uid,
                digest=stored.digest, path=stored.path,
            )
        )  # fmt: skip


def record_report(
    session: Session,
    *,
    study_instance_uid: str,
    job_id: str,
    identity: str,
    computation: str,
    request_digest: str,
    bundle_digest: str,
    revision: int,
    sop_instance_uid: str,
    predecessor: Report | None,
    result: dict[str, Any],
    objects: Sequence[StoredObject],
    destinations: Sequence[str],
    case_state: str | None = "reported",
    reasons: Sequence[dict[str, str]] = (),
    bulk: bool = False,
) -> Report:
    """Record a finished report as the current one of its study, with one delivery for each destination.

    Deliveries of its predecessors that are pending or dead become superseded: a destination shall get one current
    report. Those that are sent already wait for their commitment as before.

    Parameters
    ----------
    identity : str
        Digest of computation and predecessor; unique, so a step that runs twice records one report.
    computation : str
        Digest of request, bundle, software and wording: equal means that the result is the same.
    revision : int
        1 for the first report of a study.
    sop_instance_uid : str
        Of the Structured Report.
    result : dict
        The TreatmentReport as JSON values.
    destinations : sequence of str
        Configured names of PACS and FHIR servers.
    case_state : str or None
        ``reported`` or ``refused``, with the `reasons` that the case shows; None leaves the state, for a withdrawal.
    bulk : bool
        Whether deliveries of new studies go first.
    """
    now = now_utc()
    report = Report(
        study_instance_uid=study_instance_uid, job_id=job_id, identity=identity, computation=computation,
        request_digest=request_digest, bundle_digest=bundle_digest, revision=revision,
        sop_instance_uid=sop_instance_uid, predecessor_id=predecessor.id if predecessor else None, result=result,
        created_at=now,
    )  # fmt: skip
    session.add(report)
    session.flush()
    for stored in objects:
        add_object(session, report.id, stored)
    earlier = (
        select(Delivery)
        .join(Report, Delivery.report_id == Report.id)
        .where(Report.study_instance_uid == study_instance_uid, Report.revision < revision)
        .with_for_update(of=Delivery)
    )
    for old in session.scalars(earlier):
        supersede(old, message("delivery.replaced", revision=revision))
    for pacs in destinations:
        delivery = Delivery(
            report_id=report.id, pacs=pacs, state="pending", not_before=now, objects={}, created_at=now
        )  # fmt: skip
        session.add(delivery)
        session.flush()
        # In the transaction of the report: a crash leaves either no report or one with its deliveries.
        enqueue(session, DELIVER_REPORT, [delivery.id], bulk=bulk)
    case = get_case(session, study_instance_uid)
    case.current_report_id = report.id
    if case_state is not None:
        # What questions a stored instance stays visible beside the new report.
        set_state(session, case, case_state, [*reasons, *case.assessment.get("notices", ())])
    case.outdated_since = None  # also where the new report names no answer
    return report


def count_deliveries(session: Session) -> dict[str, int]:
    """Return the number of deliveries in each state, in the order of `node.ledger.deliveries.STATES`."""
    return count_states(session, "deliveries", STATES)
