"""Reports: what was computed, as a value and as stored DICOM objects, each with its predecessor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from node.ledger.cases import get_case, set_state
from node.ledger.database import now_utc
from node.ledger.deliveries import STATES
from node.ledger.outbox import enqueue
from node.ledger.state_counts import count_states
from node.ledger.tables import Case, Delivery, Report, ReportObject
from node.messaging.messages import DELIVER_REPORT


@dataclass(frozen=True)
class StoredObject:
    """One DICOM object of a report, durable at `path` (relative to the storage root)."""

    kind: str
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    digest: str
    path: str


def current_report(session: Session, study_instance_uid: str) -> Report | None:
    """The newest report of a study."""
    return session.scalar(
        select(Report).where(Report.study_instance_uid == study_instance_uid).order_by(Report.revision.desc()).limit(1)
    )


def reports_of(session: Session, study_instance_uid: str) -> list[Report]:
    """All reports of a study, the newest first."""
    query = select(Report).where(Report.study_instance_uid == study_instance_uid).order_by(Report.revision.desc())
    return list(session.scalars(query))


def studies_reported_by(session: Session, bundle: str) -> set[str]:
    """Studies whose current report was made by a bundle, given by its name or the beginning of its digest."""
    newest = select(func.max(Report.id)).group_by(Report.study_instance_uid)
    prefix = bundle if bundle.startswith("sha256:") else f"sha256:{bundle}"
    return {
        report.study_instance_uid
        for report in session.scalars(select(Report).where(Report.id.in_(newest)))
        if report.result["model"]["name"] == bundle or report.bundle_digest.startswith(prefix)
    }


def subject_of(session: Session, report_id: int) -> tuple[str, str]:
    """Study Instance UID and Patient ID that a report is about."""
    report = session.get_one(Report, report_id)
    case = session.get(Case, report.study_instance_uid)
    return report.study_instance_uid, case.patient_id if case is not None else ""


def objects_of(session: Session, report_id: int) -> list[ReportObject]:
    return list(session.scalars(select(ReportObject).where(ReportObject.report_id == report_id)))


def add_object(session: Session, report_id: int, stored: StoredObject) -> None:
    """Note one stored object of a report; the same one again changes nothing."""
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
    case_state: str = "reported",
    reasons: Sequence[dict[str, str]] = (),
    bulk: bool = False,
) -> Report:
    """Make a finished report the current one of its study and owe its delivery to every destination.

    Deliveries of the report it replaces that have not begun are dropped: the PACS shall get one current report.
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
    if predecessor is not None:
        session.execute(
            update(Delivery)
            .where(Delivery.report_id == predecessor.id, Delivery.state == "pending")
            .values(state="superseded", error_text=f"replaced by revision {revision} before it was sent")
        )
    for pacs in destinations:
        delivery = Delivery(
            report_id=report.id, pacs=pacs, state="pending", not_before=now, objects={}, created_at=now
        )  # fmt: skip
        session.add(delivery)
        session.flush()
        enqueue(session, DELIVER_REPORT, [delivery.id], bulk=bulk)
    case = get_case(session, study_instance_uid)
    case.current_report_id = report.id
    set_state(session, case, case_state, reasons)
    return report


def count_deliveries(session: Session) -> dict[str, int]:
    return count_states(session, "deliveries", STATES)
