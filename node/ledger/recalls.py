"""Recalled model bundles: nothing is computed with one until a person activates it again."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from config.messages.message import message
from config.who_and_when import local_day
from node.ledger.database import now_utc
from node.ledger.tables import Recall

CODE = "bundle_recalled"


def recall_of(session: Session, bundle_digest: str) -> Recall | None:
    """Return the recall of a bundle that is in force; None where it may be used.

    Parameters
    ----------
    bundle_digest : str
        ``sha256:...``
    """
    query = select(Recall).where(Recall.bundle_digest == bundle_digest, Recall.lifted_at.is_(None))
    return session.scalar(query.order_by(Recall.id.desc()).limit(1))


def record_recall(session: Session, bundle_digest: str, name: str, because: str, by: str) -> Recall:
    """Record the recall of a bundle; one that is in force stays as it is."""
    recall = recall_of(session, bundle_digest)
    if recall is None:
        recall = Recall(bundle_digest=bundle_digest, name=name, because=because, by=by, recalled_at=now_utc())
        session.add(recall)
        session.flush()
    return recall


def lift_recall(session: Session, bundle_digest: str, because: str) -> bool:
    """Let a recalled bundle be used again; return whether it was recalled."""
    recall = recall_of(session, bundle_digest)
    if recall is None:
        return False
    recall.lifted_at, recall.lifted_because = now_utc(), because
    return True


def recall_text(recall: Recall) -> str:
    """Return the sentence that a study shows which would be computed with a recalled bundle.

    Parameters
    ----------
    recall : Recall
        Of the bundle.
    """
    day = local_day(recall.recalled_at)
    return message("bundle_recalled.until_activated", name=recall.name, by=recall.by, day=day, because=recall.because)
