"""Deliveries that do not end, and the images that stay because of them; `cptdn status` and `doctor` show it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from node.ledger.database import now_utc
from node.ledger.delivery_machine import DEAD, OPEN_STATES
from node.ledger.tables import Delivery
from node.store.retention import kept_by_deliveries


@dataclass(frozen=True)
class DeliveryBacklog:
    """What waits for a destination or for an administrator.

    Attributes
    ----------
    n_open, n_dead : int
        Deliveries that are tried again, and that were given up.
    oldest_open : datetime or None
        Since when the oldest open delivery is tried.
    oldest_reason : str
        Why it has not ended; may be empty.
    kept_studies, kept_bytes : int
        Studies older than `[storage] retention_days` whose images stay until their deliveries have ended.
    """

    n_open: int
    n_dead: int
    oldest_open: datetime | None
    oldest_reason: str
    kept_studies: int
    kept_bytes: int


def delivery_backlog(session: Session, retention_days: int | None) -> DeliveryBacklog:
    """Count what is not delivered.

    Parameters
    ----------
    retention_days : int or None
        None: images are never deleted, so none stay because of a delivery.
    """
    n_open, n_dead = (
        session.scalar(select(func.count()).select_from(Delivery).where(Delivery.state.in_(states))) or 0
        for states in (OPEN_STATES, (DEAD,))
    )
    oldest = session.scalars(
        select(Delivery).where(Delivery.state.in_(OPEN_STATES)).order_by(Delivery.created_at).limit(1)
    ).first()
    kept = []
    # Only then: the query reads all instances.
    if retention_days is not None and n_open + n_dead:
        kept = kept_by_deliveries(session, now_utc() - timedelta(days=retention_days))
    return DeliveryBacklog(
        n_open, n_dead, oldest.created_at if oldest else None, (oldest.error or "") if oldest else "", len(kept),
        sum(study.size_bytes for study in kept),
    )  # fmt: skip
