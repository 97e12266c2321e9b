"""Requests to a PACS for what a case is missing: one row for each case and PACS, leased by the node that queries.

The lease has no end of its own: it belongs to a node process and ends when the process is no longer alive
(`node/ledger/processes.py`), because a C-MOVE of a large study may take long and extends no lease while it runs.
"""

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


def request_missing(session: Session, study_instance_uid: str, pacs: Iterable[str], missing: Collection[str]) -> None:
    """Have these PACS queried for what a case is missing; stop querying them when nothing is missing.

    The same list again changes nothing, so that the waits between queries go on growing.

    Parameters
    ----------
    pacs : iterable of str
        Configured names.
    missing : collection of str
        Roles, ``CONTOUR``, ``REGISTRATION`` or Series Instance UIDs, see `node.cases.completion.Gap`.
    """
    now, wanted = now_utc(), sorted(missing)
    for name in pacs:
        row = session.get(Fetch, (study_instance_uid, name))
        if row is None:
            if wanted:
                session.add(_row(study_instance_uid, name, wanted, now))
        elif not wanted:
            row.state = IDLE
        # A longer or another list is a new question: the PACS may have the answer although it had none for the old one.
        elif row.missing != wanted or row.state == IDLE:
            restart_request(row, wanted, now)
    session.flush()


def restart_request(row: Fetch, missing: list[str], now: datetime, forget: bool = False) -> None:
    """Query at once, and let the waits grow from the beginning.

    Parameters
    ----------
    forget : bool
        Whether series may be fetched again that were fetched before and did not help.
    """
    row.missing, row.state, row.attempts, row.not_before, row.began_at = missing, WAITING, 0, now, now
    row.updated_at = now
    if forget:
        # `fetched` prevents a series that does not help from being fetched with every query.
        row.fetched = {}


def request_now(session: Session, study_instance_uid: str, pacs: str, missing: Collection[str]) -> None:
    """Have a PACS queried at once, by order of an administrator.

    Parameters
    ----------
    missing : collection of str
        As in `request_missing`. Series that were fetched before may be fetched again.
    """
    now = now_utc()
    row = session.get(Fetch, (study_instance_uid, pacs))
    if row is None:
        session.add(_row(study_instance_uid, pacs, sorted(missing), now))
    else:
        restart_request(row, sorted(missing), now, forget=True)


def _row(study_instance_uid: str, pacs: str, missing: list[str], now: datetime) -> Fetch:
    return Fetch(
        study_instance_uid=study_instance_uid, pacs=pacs, state=WAITING, missing=missing, fetched={}, attempts=0,
        not_before=now, began_at=now, updated_at=now,
    )  # fmt: skip


def claim_due(session: Session, owner: str, pacs: Collection[str]) -> Fetch | None:
    """Take the request that has been due longest and that no running node has; None when there is none.

    Condition and lease are one UPDATE: two nodes never have the same request.

    Parameters
    ----------
    owner : str
        Id of this node's process.
    pacs : collection of str
        Names of the PACS that this node may query.
    """
    now = now_utc()
    # This process is not among them: it queries in one thread, so a lease of its own that it finds here was left by an
    # attempt that ended without recording anything.
    alive = select(Process.id).where(Process.seen_at > now - DEAD_AFTER, Process.id != owner)
    free = or_(Fetch.lease_owner.is_(None), Fetch.lease_owner.not_in(alive))
    due = (
        select(Fetch.study_instance_uid, Fetch.pacs)
        .where(Fetch.state == WAITING, Fetch.not_before <= now, Fetch.pacs.in_(tuple(pacs)), free)
        .order_by(Fetch.not_before)
        # More than one, because another node may take the first between this query and the UPDATE below.
        .limit(5)
    )
    for study, name in session.execute(due).all():
        updated = session.execute(
            update(Fetch)
            .where(Fetch.study_instance_uid == study, Fetch.pacs == name, Fetch.state == WAITING, free)
            .values(lease_owner=owner)
            .execution_options(synchronize_session=False)
        )
        if updated.rowcount == 1:  # type: ignore[attr-defined]
            return session.get_one(Fetch, (study, name), populate_existing=True)
    return None


def get_leased(session: Session, study_instance_uid: str, pacs: str, owner: str) -> Fetch | None:
    """Return the request, locked, while this node still has it; None otherwise.

    Returns
    -------
    Fetch or None
        None also when the row was removed, or another node has taken over because this one seemed to be dead.
    """
    row = session.get(Fetch, (study_instance_uid, pacs), with_for_update=True)
    return row if row is not None and row.lease_owner == owner else None


def release(row: Fetch) -> None:
    """Give a request back."""
    row.lease_owner, row.updated_at = None, now_utc()


def next_due(session: Session) -> datetime | None:
    """Return when the next request is due; None when none waits."""
    return session.scalar(select(func.min(Fetch.not_before)).where(Fetch.state == WAITING))


def fetches_of(session: Session, study_instance_uid: str) -> list[dict[str, Any]]:
    """Return the requests of a study.

    Returns
    -------
    list of dict
        As `cptdn studies explain` shows them, in order of the names of the PACS; ``next_at`` is None when none is due.
    """
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
