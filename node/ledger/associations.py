"""Incoming associations and the studies that they sent, shared by all processes.

A study is not complete while an association that sent a part of it is open. A row is written with the first stored
instance, so a C-ECHO writes nothing. The process that has the association refreshes its row by `heartbeat`;
`close_abandoned` closes those of a process that has died.
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
    """The requestor of an association, and when it was opened.

    Attributes
    ----------
    association_id : str
        Our own UUID of the association.
    node_id : str
        The node process that accepted it.
    calling_ae : str
        Calling AE title.
    address : str
        IP address of the requestor.
    opened_at : datetime
        Aware, UTC.
    """

    association_id: str
    node_id: str
    calling_ae: str
    address: str
    opened_at: datetime


def record_study(session: Session, peer: Peer, study_instance_uid: str, now: datetime) -> None:
    """Record that an association has sent a part of a study; the same call again changes nothing.

    Parameters
    ----------
    peer : Peer
        Its row is added with the first study.
    now : datetime
        Aware, UTC; when the object arrived.
    """
    association = {
        "id": peer.association_id, "node_id": peer.node_id, "calling_ae": peer.calling_ae, "address": peer.address,
        "opened_at": peer.opened_at, "last_seen_at": now, "closed_at": None,
    }  # fmt: skip
    # Both rows by "on conflict do nothing": the second study of an association, or the same study in a repeated
    # transaction, needs no query before it.
    insert_new(session, Association, association)
    touched = {"association_id": peer.association_id, "study_instance_uid": study_instance_uid}
    insert_new(session, AssociationStudy, touched)


def close(session: Session, association_id: str, now: datetime) -> None:
    """Record that an association was released, aborted or lost."""
    session.execute(
        update(Association)
        # The first end counts: the watchdog may have closed an association whose process did not answer for a while.
        .where(Association.id == association_id, Association.closed_at.is_(None))
        .values(closed_at=now, last_seen_at=now)
        .execution_options(synchronize_session=False)
    )


def heartbeat(session: Session, association_ids: Collection[str], now: datetime) -> None:
    """Record that these associations are still open in a running process.

    Parameters
    ----------
    association_ids : collection of str
        Unknown and closed ones are ignored.
    now : datetime
        Aware, UTC.
    """
    session.execute(update(Association).where(Association.id.in_(tuple(association_ids))).values(last_seen_at=now))


def close_abandoned(session: Session, seen_before: datetime, now: datetime) -> list[str]:
    """Close associations whose process has not refreshed them since `seen_before`.

    Returns
    -------
    list of str
        Study Instance UIDs that these associations have sent, sorted: they may be complete now.
    """
    dead = list(
        session.scalars(
            select(Association.id).where(Association.closed_at.is_(None), Association.last_seen_at < seen_before)
        )
    )
    for association_id in dead:
        close(session, association_id, now)
    return studies_touched(session, dead)


def close_all_of(session: Session, node_id: str, now: datetime) -> list[str]:
    """Close associations that an earlier run of this node left open.

    Parameters
    ----------
    node_id : str
        As in `Peer`.

    Returns
    -------
    list of str
        Study Instance UIDs that these associations have sent, sorted.
    """
    dead = list(
        session.scalars(select(Association.id).where(Association.closed_at.is_(None), Association.node_id == node_id))
    )
    for association_id in dead:
        close(session, association_id, now)
    return studies_touched(session, dead)


def studies_touched(session: Session, association_ids: Collection[str]) -> list[str]:
    """Return the Study Instance UIDs of which these associations have sent a part, sorted, each once."""
    query = select(AssociationStudy.study_instance_uid).where(
        AssociationStudy.association_id.in_(tuple(association_ids))
    )
    return sorted(set(session.scalars(query)))


def open_on_study(session: Session, study_instance_uid: str) -> int:
    """Return how many open associations have sent a part of a study.

    Returns
    -------
    int
        Associations of all processes; 0 means that the study may be complete.
    """
    query = (
        select(func.count())
        .select_from(AssociationStudy)
        .join(Association, Association.id == AssociationStudy.association_id)
        .where(AssociationStudy.study_instance_uid == study_instance_uid, Association.closed_at.is_(None))
    )
    return session.scalar(query) or 0
