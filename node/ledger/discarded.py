"""Counts of received objects of storage classes that no case is made of; the objects themselves are not stored.

Rows contain a study and a class. Objects of our own reports, which a PACS may send back with the study, are left out:
they tell nothing about what a scanner or an archive has sent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from pydicom import config
from pydicom.uid import UID
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from node.ledger.database import insert_new, now_utc
from node.ledger.tables import Discarded, ReportObject

QUERY_UIDS = 500  # in one statement: SQLite allows 32,766 parameters, older ones 999


class DiscardedObject(NamedTuple):
    """One object that was received and discarded; texts that are no UIDs are empty."""

    study_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str


def record_discarded(session: Session, objects: Collection[DiscardedObject]) -> None:
    """Add objects to the counts of their studies and classes.

    Parameters
    ----------
    objects : collection of DiscardedObject
        Received since the last call.
    """
    own = _own_objects(session, [discarded.sop_instance_uid for discarded in objects])
    counts = Counter(discarded[:2] for discarded in objects if discarded.sop_instance_uid not in own)
    now = now_utc()
    # Sorted, so that two processes never wait for each other's rows.
    for (study, sop_class), n in sorted(counts.items()):
        row = {"study_instance_uid": study, "sop_class_uid": sop_class, "n": n, "received_at": now}
        if not insert_new(session, Discarded, row):
            same = (Discarded.study_instance_uid == study, Discarded.sop_class_uid == sop_class)
            session.execute(update(Discarded).where(*same).values(n=Discarded.n + n, received_at=now))


def _own_objects(session: Session, sop_instance_uids: Sequence[str]) -> set[str]:
    own: set[str] = set()
    for begin in range(0, len(sop_instance_uids), QUERY_UIDS):
        uids = sop_instance_uids[begin : begin + QUERY_UIDS]
        query = select(ReportObject.sop_instance_uid).where(ReportObject.sop_instance_uid.in_(uids))
        own.update(session.scalars(query))
    return own


def discarded_of_study(session: Session, study_instance_uid: str) -> list[dict[str, Any]]:
    """Return what was discarded of a study.

    Returns
    -------
    list of dict
        ``sop_class_uid``, ``name`` and ``n`` of each class, by name.
    """
    query = select(Discarded).where(Discarded.study_instance_uid == study_instance_uid)
    rows = [
        {"sop_class_uid": row.sop_class_uid, "name": class_name(row.sop_class_uid), "n": row.n}
        for row in session.scalars(query)
    ]
    return sorted(rows, key=lambda row: (row["name"], row["sop_class_uid"]))


def count_discarded(session: Session) -> dict[str, int]:
    """Return the number of discarded objects by the name of their class, of all studies.

    Returns
    -------
    dict of str to int
        Private classes, of which there are any number, are counted together.
    """
    counts: Counter[str] = Counter()
    query = select(Discarded.sop_class_uid, func.sum(Discarded.n)).group_by(Discarded.sop_class_uid)
    for sop_class, n in session.execute(query):
        name = class_name(sop_class)
        counts["private" if name == sop_class else name] += int(n)
    return dict(sorted(counts.items()))


def class_name(sop_class_uid: str) -> str:
    """Return the name of a SOP class in PS3.6, or its UID where it has none."""
    # Nothing to validate: the UID came through the negotiation of an association.
    return str(UID(sop_class_uid, validation_mode=config.IGNORE).name) or sop_class_uid
