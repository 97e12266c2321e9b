"""Tell application entities what they want to know: events of work items, and reports that a PACS has stored.

Both are notices of the ledger. Events are recorded with the change that they are about; available instances by
`announce_available`, which compares deliveries with what was announced.
"""

from __future__ import annotations

from datetime import timedelta

import structlog
from pydicom.uid import generate_uid
from sqlalchemy import select
from sqlalchemy.orm import Session

from config.errors import CptdnError
from config.settings import NotifiedAeSettings, Settings
from node.dicom.procedure_steps.writing import availability
from node.dicom.scu.notice_scu import NoticeToSend, send_notices
from node.ledger import dicom_notices
from node.ledger.database import Ledger, now_utc
from node.ledger.delivery_machine import DELIVERED
from node.ledger.tables import Delivery, Report
from node.ledger.work_item_tables import DicomNotice
from node.workflow.work_items import outputs_of

log = structlog.get_logger("cptdn.work_items")


def announce_available(ledger: Ledger, settings: Settings) -> int:
    """Record an Instance Availability Notification for each delivery to a PACS; return the number of new ones.

    Parameters
    ----------
    ledger : Ledger
        Deliveries that have ended well within the last `give_up_after_days` of the receiver are announced once.
    settings : Settings
        Its `[[notified_ae]]` sections with `instance_availability`.
    """
    n_new = 0
    for receiver in (each for each in settings.notified_ae if each.instance_availability):
        with ledger.begin() as session:
            for delivery in _not_announced(session, settings, receiver):
                report = session.get_one(Report, delivery.report_id)
                outputs = outputs_of(session, settings, report, [delivery])
                # Without any, for example because a PACS took none of them, there is nothing to tell.
                content = {
                    "event_type": None,
                    "dataset": availability(outputs, report.study_instance_uid).to_json_dict(),
                }  # fmt: skip
                if outputs:
                    n_new += dicom_notices.add_notice(
                        session, dicom_notices.AVAILABILITY, receiver.ae_title, str(delivery.id), str(generate_uid()),
                        content,
                    )  # fmt: skip
    return n_new


def _not_announced(session: Session, settings: Settings, receiver: NotifiedAeSettings) -> list[Delivery]:
    known = select(DicomNotice.subject).where(
        DicomNotice.kind == dicom_notices.AVAILABILITY, DicomNotice.ae_title == receiver.ae_title
    )  # fmt: skip
    announced = set(session.scalars(known))
    since = now_utc() - timedelta(days=receiver.give_up_after_days)
    names = tuple(pacs.name for pacs in settings.pacs)
    query = select(Delivery).where(
        Delivery.state == DELIVERED, Delivery.pacs.in_(names), Delivery.created_at >= since
    )  # fmt: skip
    return [delivery for delivery in session.scalars(query) if str(delivery.id) not in announced]


def send_due(ledger: Ledger, settings: Settings) -> int:
    """Send the notices that are due; return how many were sent.

    Parameters
    ----------
    ledger : Ledger
        Where they are.
    settings : Settings
        Addresses of the receivers; notices of one that is not configured any more wait for it.
    """
    receivers = {each.ae_title: each for each in settings.notified_ae}
    lease = timedelta(seconds=settings.jobs.lease_s)
    n_sent = 0
    while True:
        with ledger.begin() as session:
            taken = dicom_notices.take_due(session, tuple(receivers), lease)
        if not taken:
            return n_sent
        n_sent += _send(ledger, settings, receivers[taken[0].ae_title], taken)


def _send(ledger: Ledger, settings: Settings, receiver: NotifiedAeSettings, taken: list[DicomNotice]) -> int:
    to_send = [
        NoticeToSend(row.id, row.instance_uid, row.content["event_type"], row.content["dataset"]) for row in taken
    ]
    waiting = {row.id for row in taken}
    n_sent, reason = 0, "the association ended before this one"
    try:
        for outcome in send_notices(to_send, receiver, settings.node.ae_title):
            if not outcome.is_final:
                reason = outcome.note
                continue
            waiting.discard(outcome.id)
            n_sent += outcome.is_sent
            with ledger.begin() as session:
                dicom_notices.close(session, outcome.id, None if outcome.is_sent else outcome.note)
    except CptdnError as error:
        reason = str(error)
    if waiting:
        log.warning("notices_not_sent", receiver=receiver.ae_title, n=len(waiting), error=reason)
        with ledger.begin() as session:
            dicom_notices.postpone(
                session, sorted(waiting), receiver.retry_first_s, receiver.retry_longest_s,
                receiver.give_up_after_days, reason,
            )  # fmt: skip
    return n_sent
