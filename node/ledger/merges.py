"""Merges of patient identifiers as hospitals send them, and their end; nothing of one patient is moved to the other.

Messages arrive late, twice and out of their order. What a link was at the time when its sender wrote counts: a message
that was written before another one about the same two identifiers changes nothing.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from node.ledger.cases import schedule_patient
from node.ledger.database import now_utc
from node.ledger.persons import Identity, merge_of, merges_from
from node.ledger.tables import PatientMerge


def record_merge(
    session: Session, prior: Identity, surviving: Identity, source: str, stated_at: datetime | None = None
) -> bool:
    """Record that an identifier was merged into another one, and have the studies of the person assessed.

    Parameters
    ----------
    prior, surviving : (str, str)
        Patient ID and issuer, empty where it is not named.
    source : str
        Which message said so.
    stated_at : datetime, optional
        When it was written; aware.

    Returns
    -------
    bool
        False for a repetition, and for a message that a later one has overtaken.
    """
    links = _links_between(session, prior, surviving)
    if any(link.source == source for link in links):
        return False
    newest = merge_of(session, *prior)
    if newest is not None and (newest.patient_id, newest.issuer) == surviving:
        return False
    is_overtaken = any(_is_later(link, stated_at) for link in (*links, *([newest] if newest else [])))
    if not is_overtaken:
        # The surviving identifier is in use again where it had been merged into the prior one.
        chain = merges_from(session, *surviving)
        if any(identity[0] == prior[0] for identity in chain[1:]):
            back = merge_of(session, *surviving)
            if back is not None:
                back.undone_at = now_utc()
    _add(session, prior, surviving, source, stated_at, is_undone=is_overtaken)
    _schedule(session, prior, surviving)
    return not is_overtaken


def undo_merge(
    session: Session, first: Identity, second: Identity, source: str, stated_at: datetime | None = None
) -> bool:
    """Record that two identifiers are of two persons after all, and have the studies of both assessed.

    Parameters
    ----------
    first, second : (str, str)
        Either may have been merged into the other one.
    source, stated_at
        As of `record_merge`.

    Returns
    -------
    bool
        False where nothing was merged, and for a repetition or a message that a later one has overtaken.
    """
    links = _links_between(session, first, second)
    if any(link.source == source or _is_later(link, stated_at) for link in links):
        return False
    active = [link for link in links if link.undone_at is None]
    for link in active:
        link.undone_at = now_utc()
    # Kept also without a merge: that one may be on its way still, and was written before.
    _add(session, first, second, source, stated_at, is_undone=True)
    if active:
        session.flush()
        _schedule(session, first, second)
    return bool(active)


def _links_between(session: Session, first: Identity, second: Identity) -> list[PatientMerge]:
    ids = (first[0], second[0])
    query = select(PatientMerge).where(PatientMerge.prior_patient_id.in_(ids), PatientMerge.patient_id.in_(ids))
    return list(session.scalars(query.order_by(PatientMerge.id)))


def _is_later(link: PatientMerge, stated_at: datetime | None) -> bool:
    return link.stated_at is not None and stated_at is not None and link.stated_at > stated_at


def _add(
    session: Session, prior: Identity, surviving: Identity, source: str, stated_at: datetime | None, *, is_undone: bool
) -> None:
    now = now_utc()
    session.add(
        PatientMerge(
            prior_patient_id=prior[0], prior_issuer=prior[1], patient_id=surviving[0], issuer=surviving[1],
            source=source, stated_at=stated_at, recorded_at=now, undone_at=now if is_undone else None,
        )
    )  # fmt: skip
    session.flush()


def _schedule(session: Session, *identities: Identity) -> None:
    for identity in identities:
        schedule_patient(session, *identity)
