"""Incoming associations and the studies they touch, across processes.

A study is not complete while an association that sent a part of it is still open. A row is written with the first
stored instance, so an echo costs nothing; the process that holds associations refreshes them by `heartbeat`, and those
of a dead process are closed by `close_abandoned`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from node.ledger.database import insert_new
from node.ledger.tables import Association, AssociationStudy


@dataclass(frozen=True)
class Peer:
    """Who opened an association, and when."""

    association_id: str
    node_id: str
    calling_ae: str
    address: str
    opened_at: datetime


def record_study(session: Session, peer: Peer, study_instance_uid: str, now: datetime) -> None:
    """Note that this association has sent a part of the study; safe to call again."""
    association = {
        "id": peer.association_id, "node_id": peer.node_id, "calling_ae": peer.calling_ae, "address": peer.address,
        "opened_at": peer.opened_at, "last_seen_at": now, "closed_at": None,
    }  # fmt: skip
    insert_new(session, Association, association)
    touched = {"association_id": peer.association_id, "study_instance_uid": study_instance_uid}
    insert_new(session, AssociationStudy, touched)


def close(session: Session, association_id: str, now: datetime) -> None:
    """The association has been released, aborted or lost."""
    session.execute(
        update(Association)
        .where(Association.id == association_id, Association.closed_at.is_(None))
        .values(closed_at=now, last_seen_at=now)
        .execution_options(synchronize_session=False)
    )


def heartbeat(session: Session, association_ids: Collection[str], now: datetime) -> None:
    """These associations are still held by a living process."""
    session.execute(update(Association).where(Association.id.in_(tuple(association_ids))).values(last_seen_at=now))


def close_abandoned(session: Session, seen_before: datetime, now: datetime) -> list[str]:
    """Close associations whose process has not been heard of since `seen_before`; returns the studies they touched."""
    dead = list(
        session.scalars(
            select(Association.id).where(Association.closed_at.is_(None), Association.last_seen_at < seen_before)
        )
    )
    for association_id in dead:
        close(session, association_id, now)
    return studies_touched(session, dead)


def close_all_of(session: Session, node_id: str, now: datetime) -> list[str]:
    """Close what an earlier life of this node left open; returns the studies concerned."""
    dead = list(
        session.scalars(select(Association.id).where(Association.closed_at.is_(None), Association.node_id == node_id))
    )
    for association_id in dead:
        close(session, association_id, now)
    return studies_touched(session, dead)


def studies_touched(session: Session, association_ids: Collection[str]) -> list[str]:
    query = select(AssociationStudy.study_instance_uid).where(
        AssociationStudy.association_id.in_(tuple(association_ids))
    )
    return sorted(set(session.scalars(query)))


def open_on_study(session: Session, study_instance_uid: str) -> int:
    """How many associations that sent a part of this study are still open, in any process."""
    query = (
        select(func.count())
        .select_from(AssociationStudy)
        .join(Association, Association.id == AssociationStudy.association_id)
        .where(AssociationStudy.study_instance_uid == study_instance_uid, Association.closed_at.is_(None))
    )
    return session.scalar(query) or 0
