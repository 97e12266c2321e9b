"""What a PACS is asked for because a case lacks it: one row for each case and PACS, held by the node that asks."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from node.ledger.database import now_utc
from node.ledger.processes import DEAD_AFTER
from node.ledger.tables import Fetch, Process

WAITING, IDLE, GIVEN_UP = "waiting", "idle", "given_up"


def request_missing(session: Session, study_instance_uid: str, pacs: Iterable[str], lacks: Collection[str]) -> None:
    """Have these PACS asked for what a case lacks; with nothing lacking, no longer.

    The same lack again changes nothing: the waits go on growing.
    """
    now, wanted = now_utc(), sorted(lacks)
    for name in pacs:
        row = session.get(Fetch, (study_instance_uid, name))
        if row is None:
            if wanted:
                session.add(_row(study_instance_uid, name, wanted, now))
        elif not wanted:
            row.state = IDLE
        elif row.missing != wanted or row.state == IDLE:
            restart_request(row, wanted, now)
    session.flush()


def restart_request(row: Fetch, lacks: list[str], now: datetime, forget: bool = False) -> None:
    """Ask at once, with waits that grow from the beginning; `forget` lets series be fetched that were before."""
    row.missing, row.state, row.attempts, row.not_before, row.began_at = lacks, WAITING, 0, now, now
    row.updated_at = now
    if forget:
        row.fetched = {}


def request_now(session: Session, study_instance_uid: str, pacs: str, lacks: Collection[str]) -> None:
    """An administrator wants this PACS to be asked at once."""
    now = now_utc()
    row = session.get(Fetch, (study_instance_uid, pacs))
    if row is None:
        session.add(_row(study_instance_uid, pacs, sorted(lacks), now))
    else:
        restart_request(row, sorted(lacks), now, forget=True)


def _row(study_instance_uid: str, pacs: str, lacks: list[str], now: datetime) -> Fetch:
    return Fetch(
        study_instance_uid=study_instance_uid, pacs=pacs, state=WAITING, missing=lacks, fetched={}, attempts=0,
        not_before=now, began_at=now, updated_at=now,
    )  # fmt: skip


def claim_due(session: Session, owner: str, pacs: Collection[str]) -> Fetch | None:
    """Take the question that has been due the longest and that no living node asks; None when there is none.

    owner : id of this node's process. Testing and taking are one statement: two nodes never ask the same at once.
    """
    now = now_utc()
    alive = select(Process.id).where(Process.seen_at > now - DEAD_AFTER, Process.id != owner)
    free = or_(Fetch.asked_by.is_(None), Fetch.asked_by.not_in(alive))
    due = (
        select(Fetch.study_instance_uid, Fetch.pacs)
        .where(Fetch.state == WAITING, Fetch.not_before <= now, Fetch.pacs.in_(tuple(pacs)), free)
        .order_by(Fetch.not_before)
        .limit(5)
    )
    for study, name in session.execute(due).all():
        taken = session.execute(
            update(Fetch)
            .where(Fetch.study_instance_uid == study, Fetch.pacs == name, Fetch.state == WAITING, free)
            .values(asked_by=owner)
            .execution_options(synchronize_session=False)
        )
        if taken.rowcount == 1:  # type: ignore[attr-defined]
            return session.get_one(Fetch, (study, name), populate_existing=True)
    return None


def get_leased(session: Session, study_instance_uid: str, pacs: str, owner: str) -> Fetch | None:
    """The row, while this node still has it."""
    row = session.get(Fetch, (study_instance_uid, pacs), with_for_update=True)
    return row if row is not None and row.asked_by == owner else None


def release(row: Fetch) -> None:
    row.asked_by, row.updated_at = None, now_utc()


def next_due(session: Session) -> datetime | None:
    return session.scalar(select(func.min(Fetch.not_before)).where(Fetch.state == WAITING))


def fetches_of(session: Session, study_instance_uid: str) -> list[dict[str, Any]]:
    """What `studies explain` says of them."""
    rows = session.scalars(select(Fetch).where(Fetch.study_instance_uid == study_instance_uid).order_by(Fetch.pacs))
    return [
        {
            "pacs": row.pacs,
            "state": row.state,
            "lacks": row.missing,
            "tries": row.attempts,
            "next_at": row.not_before.isoformat() if row.state == WAITING else None,
            "text": row.text,
            "fetched": row.fetched,
        }
        for row in rows
    ]
