"""Stored instances and quarantined objects: rows that exist only once the bytes are durable."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from config.errors import InputError
from config.messages.message import message
from node.ledger.database import insert_new
from node.ledger.tables import AssociationStudy, Case, Instance, Quarantined, Row

RELATED_MODALITIES = ("RTSTRUCT", "SEG", "REG")


def find_instance(session: Session, sop_instance_uid: str) -> Instance | None:
    """Return the stored instance with this SOP Instance UID, or None."""
    return session.get(Instance, sop_instance_uid)


def add_instance(session: Session, row: Row) -> Instance | None:
    """Index an instance whose bytes are durable.

    Parameters
    ----------
    row : dict
        Every column of `instances`.

    Returns
    -------
    Instance or None
        None when it is new; otherwise the instance that has this SOP Instance UID already, and nothing is changed.
    """
    return None if insert_new(session, Instance, row) else find_instance(session, row["sop_instance_uid"])


def lock_study(session: Session, study_instance_uid: str) -> None:
    """Keep retention and arriving objects of one study apart until the transaction ends.

    SQLite admits one writer anyway. PostgreSQL needs an advisory lock, because there may be no row of the study to
    lock.

    Parameters
    ----------
    study_instance_uid : str
        Its SHA-256 digest gives the 64-bit key of the lock; two studies with one key would only wait for each other.
    """
    if session.get_bind().dialect.name == "postgresql":
        key = int.from_bytes(hashlib.sha256(study_instance_uid.encode()).digest()[:8], "big", signed=True)
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})


def add_quarantined(session: Session, entry: Quarantined) -> None:
    """Record a quarantined object; the same bytes under the same UID again change nothing.

    Parameters
    ----------
    entry : Quarantined
        A new row, whose file is durable.
    """
    # A sender repeats a refused object as often as its own settings say: one row for it, whatever the number of
    # attempts.
    same = select(Quarantined.id).where(
        Quarantined.sop_instance_uid == entry.sop_instance_uid, Quarantined.digest == entry.digest
    )
    if session.scalar(same) is None:
        session.add(entry)
        session.flush()


def instances_of_study(session: Session, study_instance_uid: str) -> list[Instance]:
    """Return all instances of a study, series by series.

    Returns
    -------
    list of Instance
        In order of Series and SOP Instance UID, which is no anatomical order.
    """
    query = (
        select(Instance)
        .where(Instance.study_instance_uid == study_instance_uid)
        .order_by(Instance.series_instance_uid, Instance.sop_instance_uid)
    )
    return list(session.scalars(query))


def series_uids(session: Session, study_instance_uid: str) -> list[str]:
    """Return the Series Instance UIDs of a study, sorted."""
    query = select(Instance.series_instance_uid).where(Instance.study_instance_uid == study_instance_uid).distinct()
    return sorted(session.scalars(query))


def count_by_series(session: Session, study_instance_uid: str, patient_id: str) -> dict[str, int]:
    """Return the number of stored instances by series, of a study and of all other studies of its patient.

    Returns
    -------
    dict of str to int
        By Series Instance UID.
    """
    query = (
        select(Instance.series_instance_uid, func.count())
        .where((Instance.study_instance_uid == study_instance_uid) | (Instance.patient_id == patient_id))
        .group_by(Instance.series_instance_uid)
    )
    return dict(session.execute(query).all())


def instances_of_patient(
    session: Session, patient_id: str, modalities: Iterable[str], issuer: str = ""
) -> list[Instance]:
    """Return a patient's objects of these modalities in any study: contours may come in a study of their own.

    Parameters
    ----------
    modalities : iterable of str
        Values of Modality (0008,0060).
    issuer : str
        Issuer of the Patient ID. Rows without an issuer match any; an empty `issuer` matches all rows.

    Returns
    -------
    list of Instance
        In order of arrival.
    """
    query = select(Instance).where(Instance.patient_id == patient_id, Instance.modality.in_(tuple(modalities)))
    # A site that has begun to send Issuer of Patient ID (0010,0021) has older objects without one, and RTSTRUCTs of
    # planning systems often have none although their images have: a missing issuer must not separate a contour from its
    # images.
    if issuer:
        query = query.where(Instance.issuer.in_((issuer, "")))
    return list(session.scalars(query.order_by(Instance.received_at, Instance.sop_instance_uid)))


def instances_of_frames(
    session: Session, frame_of_reference_uids: Iterable[str], modalities: Iterable[str]
) -> list[Instance]:
    """Return the objects in these frames of reference, of any patient, in order of arrival.

    A contour in the frame of an image but with another Patient ID must be found, because it is a mistake that has to be
    reported.
    """
    # An empty UID of a damaged header must not connect objects that have nothing to do with each other.
    frames = tuple(uid for uid in frame_of_reference_uids if uid)
    query = select(Instance).where(
        Instance.frame_of_reference_uid.in_(frames), Instance.modality.in_(tuple(modalities))
    )
    return list(session.scalars(query.order_by(Instance.received_at, Instance.sop_instance_uid)))


def related_instances(
    session: Session, stored: Sequence[Instance], patient_id: str, issuer: str = ""
) -> list[Instance]:
    """Return the contours and registrations that may belong to a study, each once.

    Parameters
    ----------
    stored : sequence of Instance
        All instances of the study.
    patient_id, issuer : str
        Of its case; see `instances_of_patient`.

    Returns
    -------
    list of Instance
        Of the patient in any study, in the study's frames of reference, and inside the study.
    """
    related = instances_of_patient(session, patient_id, RELATED_MODALITIES, issuer)
    # By frame of reference, too: a contour of another Patient ID must be seen to be refused, not overlooked.
    frames = {row.frame_of_reference_uid or "" for row in stored}
    related += instances_of_frames(session, frames, RELATED_MODALITIES)
    # Contours inside the study, whatever patient they name.
    related += [row for row in stored if row.modality in RELATED_MODALITIES]
    return list({row.sop_instance_uid: row for row in related}.values())


def quarantined_of_case(session: Session, study_instance_uid: str, related: Iterable[Instance]) -> list[Quarantined]:
    """Return the quarantined objects that concern a case and that no administrator has dismissed.

    Parameters
    ----------
    related : iterable of Instance
        As from `related_instances`: another content of one of them concerns the case, whatever study it is in.

    Returns
    -------
    list of Quarantined
        In order of arrival. Objects whose Study Instance UID could not be found are not here: see
        `quarantined_beside_study`.
    """
    elsewhere = [row.sop_instance_uid for row in related if row.study_instance_uid != study_instance_uid]
    query = select(Quarantined).where(
        (Quarantined.study_instance_uid == study_instance_uid)
        | ((Quarantined.code == "conflicting_instance") & Quarantined.sop_instance_uid.in_(elsewhere)),
        Quarantined.dismissed_because.is_(None),
    )
    return list(session.scalars(query.order_by(Quarantined.id)))


def quarantined_beside_study(session: Session, study_instance_uid: str) -> list[tuple[Quarantined, int]]:
    """Return the quarantined objects of unknown study from the associations that sent a part of a study.

    Returns
    -------
    list of (Quarantined, int)
        In order of arrival, without dismissed ones; the number is that of the studies which the association sent parts
        of: with one, the object belongs to it.
    """
    associations = select(AssociationStudy.association_id).where(
        AssociationStudy.study_instance_uid == study_instance_uid
    )
    n_studies = (
        select(func.count())
        .select_from(AssociationStudy)
        .where(AssociationStudy.association_id == Quarantined.association_id)
        .scalar_subquery()
    )
    query = select(Quarantined, n_studies).where(
        Quarantined.study_instance_uid.is_(None), Quarantined.dismissed_because.is_(None),
        Quarantined.association_id.in_(associations),
    )  # fmt: skip
    return [(row, int(n)) for row, n in session.execute(query.order_by(Quarantined.id))]


def quarantined_json(session: Session, case: Case) -> list[dict[str, Any]]:
    """Return the quarantined objects of a case, and those that may belong to it, as `studies explain` prints them.

    Returns
    -------
    list of dict
        ``number`` (for `cptdn quarantine dismiss`), ``code``, ``text``, ``sop_instance_uid`` as announced, and
        ``known_by``: "study" where its Study Instance UID could be found, "association" where it came with this study.
    """
    study = case.study_instance_uid
    related = related_instances(session, instances_of_study(session, study), case.patient_id, case.issuer)
    rows = [(row, "study") for row in quarantined_of_case(session, study, related)]
    rows += [(row, "association") for row, _ in quarantined_beside_study(session, study)]
    return [
        {"number": row.id, "code": row.code, "text": row.reason, "sop_instance_uid": row.sop_instance_uid,
         "known_by": known_by}
        for row, known_by in rows
    ]  # fmt: skip


def dismiss_quarantined(session: Session, number: int, because: str) -> Quarantined:
    """Record that a quarantined object does not matter, with the reason; its file stays in quarantine.

    Raises
    ------
    InputError
        When there is no quarantined object with this number.
    """
    entry = session.get(Quarantined, number)
    if entry is None:
        raise InputError(message("quarantine.none", number=number))
    entry.dismissed_because = because
    return entry


def list_quarantined(session: Session, limit: int = 100) -> list[Quarantined]:
    """Return the quarantined objects, the newest first, dismissed ones included.

    Parameters
    ----------
    limit : int
        Most rows.
    """
    return list(session.scalars(select(Quarantined).order_by(Quarantined.id.desc()).limit(limit)))


def paths_of(session: Session, sop_instance_uids: Sequence[str]) -> dict[str, str]:
    """Return where instances are stored.

    Returns
    -------
    dict of str to str
        Path relative to the storage root by SOP Instance UID, for those that are stored.
    """
    query = select(Instance.sop_instance_uid, Instance.path).where(Instance.sop_instance_uid.in_(sop_instance_uids))
    return dict(session.execute(query).all())


def last_received(session: Session, study_instance_uid: str) -> datetime | None:
    """Return when the newest instance of a study arrived; None when none is stored."""
    return session.scalar(
        select(func.max(Instance.received_at)).where(Instance.study_instance_uid == study_instance_uid)
    )


def count_quarantined(session: Session) -> int:
    """Count the quarantined objects.

    Returns
    -------
    int
        Dismissed ones included.
    """
    return session.scalar(select(func.count()).select_from(Quarantined)) or 0
