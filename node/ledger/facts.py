"""Clinical facts in the ledger: rows are appended and never changed; the newest row of a name is current.

EBV DNA results are separate by the day of the blood draw. A result without a day replaces all before it; a result for a
day that exists corrects that day. Stages are separate by day and kind (clinical, after treatment, pathological), so a
restaging does not replace the stage before treatment; current is the newest clinical one by its day. A diagnosis that
is stated as the only one (command, table, page) replaces all before it; those of a record (HL7, FHIR) are added.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from config.errors import InputError
from node.cases.clinical_facts import (
    ClinicalFacts,
    DateFact,
    DiagnosisFact,
    EbvResult,
    PriorTreatment,
    Provenance,
    StageFact,
    StageValue,
)
from node.cases.diagnosis import read_diagnosis
from node.ledger.database import now_utc
from node.ledger.tables import ClinicalFact

NAMES = ("ebv_dna", "diagnosis", "stage", "birth_date", "treatment_start", "prior_treatment")
NOT_CLINICAL = frozenset("yrpa")  # prefixes of stages that are not clinical ones before treatment


def record_fact(
    session: Session,
    patient_id: str,
    issuer: str,
    name: str,
    value: dict[str, Any],
    source: str,
    set_by: str,
    observed_on: date | None = None,
    recorded_at: datetime | None = None,
) -> ClinicalFact | None:
    """Append a fact; return None when the current one is equal (a repeated message changes nothing).

    Parameters
    ----------
    patient_id, issuer : str
        Patient ID and its issuer; an empty issuer counts for any.
    name : str
        One of `NAMES`.
    value : dict
        ``{"text", "unit", "specimen", "laboratory"}`` for ``ebv_dna``, `StageValue.to_json` for ``stage``, ``{"text",
        "is_only"}`` for ``diagnosis``, ``{"day"}`` (ISO 8601) for the two dates, ``{"given", "text"}`` for
        ``prior_treatment``.
    source : str
        Message, file or page that the fact comes from.
    set_by : str
        User or sending application.
    observed_on : date, optional
        Day of the draw or of the staging.
    recorded_at : datetime, optional
        Aware; the present by default.

    Raises
    ------
    InputError
        For another name or an empty Patient ID.
    """
    if name not in NAMES:
        raise InputError(f"expected one of the clinical facts {', '.join(NAMES)}, found {name!r}")
    if not patient_id.strip():
        raise InputError("expected a Patient ID for the clinical fact, found none")
    # Rows of the same issuer only: an equal value of another issuer may be about another person with an equal Patient
    # ID.
    own = [row for row in _rows(session, patient_id, issuer, name) if row.issuer == issuer]
    # Laboratories send a result again with each change of its status. A second equal row would start the study's
    # computation anew and fill the history.
    if any(_is_equal(row, name, value, observed_on) for row in _comparable(name, own, value)):
        return None
    fact = ClinicalFact(
        patient_id=patient_id.strip(),
        issuer=issuer,
        name=name,
        value=value,
        source=source,
        set_by=set_by,
        observed_on=observed_on,
        recorded_at=recorded_at or now_utc(),
        withdrawn_at=None,
    )
    session.add(fact)
    session.flush()
    return fact


def withdraw_fact(session: Session, patient_id: str, issuer: str, name: str, observed_on: date | None) -> int:
    """Withdraw what is recorded under a name for a day: a laboratory has deleted its result.

    Returns
    -------
    int
        Number of rows.
    """
    # Every row of that day, corrected ones too: an older value must not become current by the withdrawal of its
    # correction.
    rows = [row for row in _rows(session, patient_id, issuer, name) if row.observed_on == observed_on]
    for row in rows:
        row.withdrawn_at = now_utc()
    return len(rows)


def facts_of(session: Session, patient_id: str, issuer: str = "") -> ClinicalFacts:
    """Return the current facts of a patient.

    Parameters
    ----------
    issuer : str
        Issuer of the Patient ID. Facts without an issuer count for any; an empty `issuer` gets those of every issuer.

    Returns
    -------
    ClinicalFacts
        Without rows every field is None or empty; withdrawn rows never count.
    """
    rows = current_rows(session, patient_id, issuer)
    single = {row.name: row for row in rows if row.name not in ("ebv_dna", "diagnosis")}
    stage, born = single.get("stage"), single.get("birth_date")
    start, prior = single.get("treatment_start"), single.get("prior_treatment")
    return ClinicalFacts(
        ebv_dna=tuple(_result(row) for row in rows if row.name == "ebv_dna"),
        diagnoses=tuple(
            DiagnosisFact(read_diagnosis(str(row.value["text"])), _provenance(row))
            for row in rows
            if row.name == "diagnosis"
        ),
        stage=_stage(stage) if stage else None,
        stages=tuple(_stage(row) for row in _stages(_rows(session, patient_id, issuer, "stage"))),
        birth_date=DateFact(date.fromisoformat(born.value["day"]), _provenance(born)) if born else None,
        treatment_start=DateFact(date.fromisoformat(start.value["day"]), _provenance(start)) if start else None,
        prior_treatment=(
            PriorTreatment(bool(prior.value["given"]), _provenance(prior), str(prior.value.get("text") or ""))
            if prior
            else None
        ),
    )


def current_rows(session: Session, patient_id: str, issuer: str = "") -> list[ClinicalFact]:
    """Return the rows that are current.

    Returns
    -------
    list of ClinicalFact
        One for each name in the order of `NAMES`; for EBV DNA one for each day of draw, the oldest first, and every
        diagnosis that counts.
    """
    rows = _rows(session, patient_id, issuer)
    return [row for name in NAMES for row in _current(name, [row for row in rows if row.name == name])]


def history_of(session: Session, patient_id: str, issuer: str = "") -> list[ClinicalFact]:
    """Return every row about a patient, withdrawn ones included, the oldest first.

    Parameters
    ----------
    issuer : str
        As in `facts_of`.

    Returns
    -------
    list of ClinicalFact
        In order of recording, not of the days of draw.
    """
    query = select(ClinicalFact).where(ClinicalFact.patient_id == patient_id).order_by(ClinicalFact.id)
    if issuer:
        query = query.where(ClinicalFact.issuer.in_((issuer, "")))
    return list(session.scalars(query))


def is_recorded(session: Session, patient_id: str, source: str) -> bool:
    """Return whether any fact of a patient came from a source.

    Parameters
    ----------
    source : str
        For example an HL7 message by its control id; a message that is sent again is recognised by it.
    """
    query = select(ClinicalFact.id).where(ClinicalFact.patient_id == patient_id, ClinicalFact.source == source)
    return session.scalar(query.limit(1)) is not None


def _rows(session: Session, patient_id: str, issuer: str, name: str | None = None) -> list[ClinicalFact]:
    rows = [row for row in history_of(session, patient_id.strip(), issuer) if row.withdrawn_at is None]
    return [row for row in rows if name is None or row.name == name]


def _current(name: str, rows: Sequence[ClinicalFact]) -> list[ClinicalFact]:
    if name == "stage":
        stages = _stages(rows)
        clinical = [row for row in stages if not _kind(row.value)]
        return (clinical or stages)[-1:]
    if name == "diagnosis":
        return _diagnoses(rows)
    if name != "ebv_dna":
        return list(rows[-1:])
    by_day: dict[date | None, ClinicalFact] = {}
    for row in rows:
        if row.observed_on is None:
            # Whether a result without a day is newer than a dated one cannot be told; what was recorded last counts.
            by_day.clear()
        by_day[row.observed_on] = row
    # A result without a day counts as of the day of its recording, in UTC.
    return sorted(by_day.values(), key=lambda row: (row.observed_on or row.recorded_at.date(), row.id))


def _stages(rows: Sequence[ClinicalFact]) -> list[ClinicalFact]:
    """Return the last recorded stage of each day and kind, in order of the days; without one that of its recording."""
    by_day = {(row.observed_on, _kind(row.value)): row for row in rows}
    return sorted(by_day.values(), key=lambda row: (row.observed_on or row.recorded_at.date(), row.id))


def _kind(stage: dict[str, Any]) -> str:
    return "".join(letter for letter in str(stage.get("prefix") or "") if letter in NOT_CLINICAL)


def _diagnoses(rows: Sequence[ClinicalFact]) -> list[ClinicalFact]:
    """Return the last diagnosis that was stated as the only one, and every other one since, each text once."""
    current: dict[str, ClinicalFact] = {}
    for row in rows:
        if row.value.get("is_only"):
            current.clear()
        current[str(row.value["text"])] = row
    return list(current.values())


def _comparable(name: str, rows: Sequence[ClinicalFact], value: dict[str, Any]) -> list[ClinicalFact]:
    """Return the rows of which an equal one makes a new one superfluous."""
    if name == "stage":
        return _stages(rows)
    current = _current(name, rows)
    # A diagnosis that is stated again as the only one also ends what was added after it.
    return current if name != "diagnosis" or not value.get("is_only") or len(current) == 1 else []


def _is_equal(row: ClinicalFact, name: str, value: dict[str, Any], observed_on: date | None) -> bool:
    recorded = row.value
    if value.get("edition_assumed"):  # without an edition it says no more than the same stage with it
        value = {key: part for key, part in value.items() if key != "edition_assumed"}
        recorded = {key: part for key, part in recorded.items() if key != "edition_assumed"}
    return row.name == name and recorded == value and row.observed_on == observed_on


def _stage(row: ClinicalFact) -> StageFact:
    return StageFact(StageValue(**row.value), _provenance(row))


def _result(row: ClinicalFact) -> EbvResult:
    return EbvResult(
        text=str(row.value["text"]),
        unit=row.value.get("unit"),
        specimen=row.value.get("specimen"),
        laboratory=row.value.get("laboratory"),
        provenance=_provenance(row),
    )


def _provenance(row: ClinicalFact) -> Provenance:
    return Provenance(row.source, row.set_by, row.observed_on, row.recorded_at)


def patients_changed_since(session: Session, since: datetime, set_by: str) -> list[str]:
    """Return the patients about whom a user or application has recorded facts.

    Parameters
    ----------
    since : datetime
        Aware.
    set_by : str
        As in `record_fact`.

    Returns
    -------
    list of str
        Patient IDs, sorted.
    """
    query = (
        select(ClinicalFact.patient_id)
        .where(ClinicalFact.recorded_at >= since, ClinicalFact.set_by == set_by)
        .distinct()
        .order_by(ClinicalFact.patient_id)
    )
    return list(session.scalars(query))
