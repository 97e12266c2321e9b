"""Notifications that application entities have to get: recorded with their cause, sent in order, given up visibly."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from datetime import timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from node.ledger.backoff import backoff_s
from node.ledger.database import insert_new, now_utc
from node.ledger.work_item_tables import DicomNotice

WORK_ITEM, AVAILABILITY = "work_item", "availability"


def add_notice(
    session: Session, kind: str, ae_title: str, subject: str | None, instance_uid: str, content: dict[str, Any]
) -> bool:
    """Record what an application entity has to be told; return whether it is new.

    Parameters
    ----------
    kind : str
        `WORK_ITEM` or `AVAILABILITY`.
    ae_title : str
        Of the receiver.
    subject : str or None
        What must be told once; None for an event that may happen again.
    instance_uid : str
        SOP Instance UID of the message.
    content : dict
        ``event_type`` and ``dataset``, as DICOM JSON.
    """
    now = now_utc()
    return insert_new(session, DicomNotice, {
        "kind": kind, "ae_title": ae_title, "subject": subject or str(uuid.uuid4()), "instance_uid": instance_uid,
        "content": content, "attempts": 0, "not_before": now, "created_at": now,
    })  # fmt: skip


def take_due(session: Session, ae_titles: Collection[str], lease: timedelta, limit: int = 50) -> list[DicomNotice]:
    """Return due notices of the first receiver that has any, in their order; others do not get them for a lease.

    Parameters
    ----------
    ae_titles : collection of str
        Configured receivers.
    lease : timedelta
        Time for sending; a process that dies delays its notices by it and loses none.
    limit : int
        Most notices.
    """
    now = now_utc()
    waiting = select(DicomNotice).where(DicomNotice.closed_at.is_(None), DicomNotice.ae_title.in_(tuple(ae_titles)))
    # The oldest notice of a receiver decides: one that waits after a failure keeps its successors waiting.
    oldest = select(func.min(DicomNotice.id)).where(DicomNotice.closed_at.is_(None)).group_by(DicomNotice.ae_title)
    first = session.scalar(
        waiting.where(DicomNotice.id.in_(oldest), DicomNotice.not_before <= now).order_by(DicomNotice.id).limit(1)
    )
    if first is None:
        return []
    query = waiting.where(DicomNotice.ae_title == first.ae_title).order_by(DicomNotice.id).limit(limit)
    rows = list(session.scalars(query.with_for_update(skip_locked=True)))
    for row in rows:
        row.not_before = now + lease
    return rows


def close(session: Session, notice_id: int, error: str | None = None) -> None:
    """Record how a notice has ended.

    Parameters
    ----------
    error : str, optional
        Why its receiver refuses it; None: it was sent.
    """
    row = session.get_one(DicomNotice, notice_id)
    row.closed_at, row.error_text = now_utc(), error
    row.sent_at = row.closed_at if error is None else None


def postpone(session: Session, notice_ids: Collection[int], first_s: float, longest_s: float, days: float,
             error: str) -> None:  # fmt: skip
    """Record a failed attempt of notices; those that are too old are given up with the reason.

    Parameters
    ----------
    notice_ids : collection of int
        Not sent.
    first_s, longest_s, days : float
        First and longest wait in seconds, and the age in days at which they are given up.
    error : str
        The reason.
    """
    now = now_utc()
    for notice_id in notice_ids:
        row = session.get_one(DicomNotice, notice_id)
        row.attempts, row.error_text = row.attempts + 1, error
        row.not_before = now + timedelta(seconds=backoff_s(first_s, longest_s, row.attempts))
        if now - row.created_at > timedelta(days=days):
            row.closed_at = now
