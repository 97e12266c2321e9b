"""Replaced reports: their deliveries end, and what a destination has of them is known to their successors."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import exists, select
from sqlalchemy.orm import Session, aliased

from config.messages.message import message
from node.ledger.deliveries import ENTRY, STORED, apply, replaced_by
from node.ledger.delivery_machine import DEAD, PENDING, Event, Facts, State
from node.ledger.tables import Delivery, Report, ReportObject
from node.ledger.withdrawals import is_begun


def supersede(delivery: Delivery, because: str) -> State:
    """Let a delivery end because its report is not the current answer any more; what is sent stays to be committed.

    Parameters
    ----------
    because : str
        For example ``replaced by revision 2``.
    """
    if delivery.state == DEAD:
        text: str = message("delivery.replaced_after", because=because, text=delivery.error)
    elif any(entry["status"] == STORED or entry.get("begun") for entry in delivery.objects.values()):
        text = message("delivery.replaced_while_sending", because=because)
    else:
        text = message("delivery.replaced_unsent", because=because)
    if delivery.state not in (PENDING, DEAD):
        text = delivery.error or ""
    return apply(delivery, Event.SUPERSEDED, Facts(is_current=False), text)


def supersede_replaced(session: Session) -> int:
    """Supersede every delivery that would send, or has given up, a report that was replaced; return their number.

    `record_report` does so at once; this finds rows of earlier versions of this software and of restored ledgers.
    """
    report, newer = aliased(Report), aliased(Report)
    has_newer = exists().where(
        newer.study_instance_uid == report.study_instance_uid, newer.revision > report.revision
    )  # fmt: skip
    query = (
        select(Delivery)
        .join(report, Delivery.report_id == report.id)
        .where(Delivery.state.in_((PENDING, DEAD)), has_newer)
        .with_for_update(skip_locked=True, of=Delivery)
    )
    rows = list(session.scalars(query))
    for delivery in rows:
        supersede(delivery, message("delivery.replaced", revision=replaced_by(session, delivery.report_id)))
    return len(rows)


@dataclass(frozen=True)
class Held:
    """An object of an earlier report at a destination.

    Attributes
    ----------
    kind, sop_class_uid, sop_instance_uid : str
        Of the object.
    report_id : int
        Its report.
    is_certain : bool
        False when a process died while it was sent: the destination may have it or not.
    """

    kind: str
    sop_class_uid: str
    sop_instance_uid: str
    report_id: int
    is_certain: bool


def held_before(session: Session, report_id: int, pacs: str) -> list[Held]:
    """Return what a destination has of the earlier reports of a study, the newest report first.

    Parameters
    ----------
    report_id : int
        The report that comes after them.
    pacs : str
        Name of the destination.
    """
    this = session.get_one(Report, report_id)
    query = (
        select(Delivery, ReportObject)
        .join(Report, Delivery.report_id == Report.id)
        .join(ReportObject, ReportObject.report_id == Report.id)
        .where(
            Report.study_instance_uid == this.study_instance_uid, Report.revision < this.revision, Delivery.pacs == pacs
        )
        .order_by(Report.revision.desc(), ReportObject.sop_instance_uid)
    )
    held = []
    for delivery, stored in session.execute(query):
        entry = delivery.objects.get(stored.sop_instance_uid, ENTRY)
        # An object that was lost there and is to be sent again was there once; only an outcome makes it certain.
        is_certain = entry["status"] == STORED
        if is_certain or entry.get("begun") or entry.get("times_stored"):
            held.append(
                Held(stored.kind, stored.sop_class_uid, stored.sop_instance_uid, delivery.report_id, is_certain)
            )  # fmt: skip
    return held


def replaced_documents(session: Session, newest: Report) -> tuple[str, ...]:
    """Return the SRs that a report must name as its predecessors, the oldest first.

    The newest one names its own predecessor, but where it never arrived, a destination would show both the one before
    it and its successor as current. So each one counts until there is one that every destination has which has anything
    of an earlier report.

    Parameters
    ----------
    newest : Report
        The current report of the study, which is to be replaced.

    Returns
    -------
    tuple of str
        SOP Instance UIDs; at least that of `newest`, which is the last.
    """
    query = select(Report).where(
        Report.study_instance_uid == newest.study_instance_uid, Report.revision <= newest.revision
    )  # fmt: skip
    reports = list(session.scalars(query.order_by(Report.revision.desc())))
    deliveries = list(session.scalars(select(Delivery).where(Delivery.report_id.in_([each.id for each in reports]))))
    documents: list[str] = []
    for number, report in enumerate(reports):
        documents.append(report.sop_instance_uid)
        earlier = {each.id for each in reports[number + 1 :]}
        has_earlier = {each.pacs for each in deliveries if each.report_id in earlier and is_begun(each)}
        has_this = {
            each.pacs
            for each in deliveries
            if each.report_id == report.id and any(entry["status"] == STORED for entry in each.objects.values())
        }
        if has_earlier <= has_this:
            break
    return tuple(reversed(documents))
