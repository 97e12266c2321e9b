"""Patient identifiers that a hospital has retired by a merge; nothing of one patient is moved to the other here."""

from __future__ import annotations

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from node.ledger.cases import schedule_patient
from node.ledger.database import now_utc
from node.ledger.tables import PatientMerge


def record_merge(session: Session, prior: tuple[str, str], surviving: tuple[str, str], source: str) -> bool:
    """Record that an identifier was merged into another one, and have the studies of the prior one assessed.

    Parameters
    ----------
    prior, surviving : (str, str)
        Patient ID and issuer, empty where it is not named.
    source : str
        Which message said so.

    Returns
    -------
    bool
        False for a repetition.
    """
    known = merge_of(session, *prior)
    if known is not None and (known.patient_id, known.issuer) == surviving:
        return False
    session.add(
        PatientMerge(
            prior_patient_id=prior[0], prior_issuer=prior[1], patient_id=surviving[0], issuer=surviving[1],
            source=source, recorded_at=now_utc(),
        )
    )  # fmt: skip
    session.flush()
    schedule_patient(session, *prior)
    return True


def merge_of(session: Session, patient_id: str, issuer: str) -> PatientMerge | None:
    """Return the newest merge that retired an identifier; None where it is in use.

    Parameters
    ----------
    issuer : str
        An empty one matches any, on either side.
    """
    query = select(PatientMerge).where(PatientMerge.prior_patient_id == patient_id)
    if issuer:
        query = query.where(or_(PatientMerge.prior_issuer == issuer, PatientMerge.prior_issuer == ""))
    return session.scalar(query.order_by(PatientMerge.id.desc()).limit(1))
