"""Clinical facts in the ledger: rows are appended and never changed; the newest row of a name is current.

EBV DNA results are separate by the day of the blood draw. A result without a day replaces all before it; a result for a
day that exists corrects that day. Stages are separate by day and kind (clinical, after treatment, pathological), so a
restaging does not replace the stage before treatment; current is the newest clinical one by its day. Starts of
treatment are separate by order, or by day where treatment was given. A diagnosis that is stated as the only one
(command, table, page) replaces all before it; those of a record (HL7, FHIR) are added.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from config.errors import InputError
from config.messages.message import message
from config.who_and_when import local_day
from node.cases.clinical_facts import (
    ClinicalFacts,
    DateFact,
    DiagnosisFact,
    EbvResult,
    LaterFact,
    PriorTreatment,
    Provenance,
    StageFact,
    StageValue,
)
from node.cases.diagnosis import read_diagnosis
from node.cases.ebv_dna import is_in_iu
from node.ledger.database import now_utc
from node.ledger.persons import Identity
from node.ledger.tables import ClinicalFact

NAMES = ("ebv_dna", "diagnosis", "stage", "birth_date", "treatment_start", "prior_treatment")
NOT_CLINICAL = frozenset("yrpa")  # prefixes of stages that are not clinical ones before treatment


@dataclass(frozen=True)
class Cutoff:
    """What counts for a frozen report.

    Attributes
    ----------
    recorded_at : datetime
        When the facts of the report were read; aware. What was recorded until then counts.
    since : date
        First day on which the report is frozen.
    everything : bool
        Whether nothing that was recorded later counts; else what is of a day up to `since` does.
    """

    recorded_at: datetime
    since: date
    everything: bool

    def excludes(self, row: ClinicalFact) -> bool:
        """Return whether a fact is a later one, which is shown and not used."""
        if row.recorded_at <= self.recorded_at:
            return False
        day = effective_day(row)
        # The start of treatment itself freezes the report: it counts whenever it arrives.
        if row.name == "treatment_start":
            return day is None or day > self.since
        if self.everything or day is None:
            return self.everything or row.name != "birth_date"
        # Draws and stages of later days are left out for their day, with that as the reason.
        return day > self.since and row.name not in ("ebv_dna", "stage")


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
    stated_at: datetime | None = None,
) -> ClinicalFact | None:
    """Append a fact; return None when the current one is equal (a repeated message changes nothing).

    Parameters
    ----------
    patient_id, issuer : str
        Patient ID and its issuer; an empty issuer counts for any.
    name : str
        One of `NAMES`.
    value : dict
        ``{"text", "unit", "specimen", "laboratory"}`` and perhaps ``"assay"`` for ``ebv_dna``, `StageValue.to_json`
        for ``stage``, ``{"text", "is_only"}`` for ``diagnosis``, ``{"day"}`` (ISO 8601) for the two dates, with
        ``"kind"`` and ``"order"`` for a start of treatment that is not a statement of its first day, ``{"given",
        "text"}`` for ``prior_treatment``.
    source : str
        Message, file or page that the fact comes from.
    set_by : str
        User or sending application.
    observed_on : date, optional
        Day of the draw or of the staging.
    recorded_at : datetime, optional
        Aware; the present by default.
    stated_at : datetime, optional
        When the sender wrote it; aware. A message that was written earlier and arrives later corrects nothing.

    Raises
    ------
    InputError
        For another name or an empty Patient ID.
    """
    if name not in NAMES:
        raise InputError(message("entry.fact_name", names=NAMES, name=name))
    if not patient_id.strip():
        raise InputError(message("entry.no_patient_id"))
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
        stated_at=stated_at,
        recorded_at=recorded_at or now_utc(),
        withdrawn_at=None,
    )
    session.add(fact)
    session.flush()
    return fact


def withdraw_fact(
    session: Session, patient_id: str, issuer: str, name: str, observed_on: date | None, order: str | None = None
) -> int:
    """Withdraw what is recorded under a name for a day or an order: a sender has deleted or cancelled it.

    Parameters
    ----------
    patient_id, issuer, name : str
        As of `record_fact`.
    observed_on : date or None
        Day of the draw, of the staging, or of the treatment.
    order : str, optional
        Number of the order, for a start of treatment; the day is then not used.

    Returns
    -------
    int
        Number of rows.
    """
    # Every row of that day, corrected ones too: an older value must not become current by the withdrawal of its
    # correction.
    rows = [
        row
        for row in _rows(session, patient_id, issuer, name)
        if (effective_day(row) == observed_on if order is None else row.value.get("order") == order)
    ]
    for row in rows:
        row.withdrawn_at = now_utc()
    return len(rows)


def facts_of(
    session: Session, patient_id: str, issuer: str = "", cutoff: Cutoff | None = None, also: Sequence[Identity] = ()
) -> ClinicalFacts:
    """Return the current facts of a patient.

    Parameters
    ----------
    issuer : str
        Issuer of the Patient ID. Facts without an issuer count for any; an empty `issuer` gets those of every issuer.
    cutoff : Cutoff, optional
        Of a frozen report; what it excludes is among `later`.
    also : sequence of (str, str)
        Other identifiers of the same person whose facts count like those of the first.

    Returns
    -------
    ClinicalFacts
        Without rows every field is None or empty; withdrawn rows never count.
    """
    rows = _rows(session, patient_id, issuer)
    own_issuers = tuple(sorted({row.issuer for row in rows if row.issuer}))
    for identity in also:
        rows += _rows(session, *identity)
    rows.sort(key=lambda row: row.id)
    later = [row for row in rows if cutoff is not None and cutoff.excludes(row)]
    used = [row for row in rows if row not in later]
    current = {name: _current(name, [row for row in used if row.name == name]) for name in NAMES}
    stage, start = current["stage"][-1:], current["treatment_start"][-1:]
    born, prior = current["birth_date"][-1:], current["prior_treatment"][-1:]
    return ClinicalFacts(
        ebv_dna=tuple(_result(row) for row in current["ebv_dna"]),
        diagnoses=tuple(
            DiagnosisFact(read_diagnosis(str(row.value["text"])), _provenance(row)) for row in current["diagnosis"]
        ),
        stage=_stage(stage[0]) if stage else None,
        stages=tuple(_stage(row) for row in _stages([row for row in used if row.name == "stage"])),
        birth_date=_date_fact(born[0]) if born else None,
        treatment_start=_date_fact(start[0]) if start else None,
        prior_treatment=(
            PriorTreatment(bool(prior[0].value["given"]), _provenance(prior[0]), str(prior[0].value.get("text") or ""))
            if prior
            else None
        ),
        treatment_starts=tuple(_date_fact(row) for row in current["treatment_start"]),
        later=tuple(_later(row) for row in later),
        issuers=own_issuers,
    )


def effective_day(row: ClinicalFact) -> date | None:
    """Return the day that a fact is about; None where it states none."""
    if row.name == "treatment_start":
        return date.fromisoformat(row.value["day"])
    return row.observed_on


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


def facts_beyond(session: Session, own: Identity, others: Sequence[Identity]) -> list[Identity]:
    """Return those of other identifiers under which something is recorded that is not recorded under the own one.

    Parameters
    ----------
    own : (str, str)
        Patient ID and issuer.
    others : sequence of (str, str)
        Further identifiers of the same person.
    """
    known = [(row.name, row.value, row.observed_on) for row in current_rows(session, *own)]
    return [
        other
        for other in others
        if any((row.name, row.value, row.observed_on) not in known for row in current_rows(session, *other))
    ]


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
    if name == "birth_date":  # an update of a patient may overtake another one
        return _last_of_each(rows)
    if name not in ("ebv_dna", "treatment_start"):
        return list(rows[-1:])
    if name == "ebv_dna":
        # Whether a result without a day is newer than a dated one cannot be told; what was recorded last counts.
        first = max((number for number, row in enumerate(rows) if row.observed_on is None), default=0)
        rows = rows[first:]
    current = _last_of_each(rows)
    if name == "ebv_dna":
        # A result without a day counts as of the day of its recording, in UTC.
        return sorted(current, key=lambda row: (row.observed_on or row.recorded_at.date(), row.id))
    return sorted(current, key=lambda row: row.id)


def _last_of_each(rows: Sequence[ClinicalFact]) -> list[ClinicalFact]:
    """Return the newest row of each thing that rows are about."""
    by_key: dict[Hashable, ClinicalFact] = {}
    for row in rows:
        key = _key(row)
        if key not in by_key or not _was_written_before(row, by_key[key]):
            by_key[key] = row
    return list(by_key.values())


def _key(row: ClinicalFact) -> Hashable:
    """Return what a row is about: a row with the same key corrects it."""
    if row.name == "ebv_dna":
        # Copies and international units of one draw are two results: neither corrects the other.
        return (row.observed_on, is_in_iu(str(row.value.get("text")), row.value.get("unit")))
    if row.name == "stage":
        return (row.observed_on, _kind(row.value))
    kind = row.value.get("kind", "stated")
    if kind == "stated":
        return kind
    return (kind, row.value.get("order") or row.value["day"])


def _was_written_before(row: ClinicalFact, other: ClinicalFact) -> bool:
    """Whether a message overtook this one on its way. Only of one kind of sender, whose clocks agree."""
    if row.stated_at is None or other.stated_at is None or row.set_by != other.set_by:
        return False
    return row.stated_at < other.stated_at


def _stages(rows: Sequence[ClinicalFact]) -> list[ClinicalFact]:
    """Return the last recorded stage of each day and kind, in order of the days; without one that of its recording."""
    return sorted(_last_of_each(rows), key=lambda row: (row.observed_on or row.recorded_at.date(), row.id))


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


def _result(row: ClinicalFact) -> EbvResult:
    return EbvResult(
        text=str(row.value["text"]),
        unit=row.value.get("unit"),
        specimen=row.value.get("specimen"),
        laboratory=row.value.get("laboratory"),
        assay=row.value.get("assay"),
        provenance=_provenance(row),
    )


def _stage(row: ClinicalFact) -> StageFact:
    return StageFact(StageValue(**row.value), _provenance(row))


def _date_fact(row: ClinicalFact) -> DateFact:
    return DateFact(date.fromisoformat(row.value["day"]), _provenance(row), row.value.get("kind", "stated"))


def _later(row: ClinicalFact) -> LaterFact:
    value = row.value
    texts = {
        "ebv_dna": " ".join(str(value[key]) for key in ("text", "unit") if value.get(key)),
        "stage": f"{value.get('prefix') or ''}{''.join(str(value[k]) for k in 'tnm' if value.get(k))}",
        "prior_treatment": str(value.get("text") or ("yes" if value.get("given") else "no")),
    }
    text = texts.get(row.name, str(value.get("day", "")))
    why = message("later.recorded_after_freezing", day=local_day(row.recorded_at))
    return LaterFact(row.name, text, row.observed_on, why, row.source)


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
