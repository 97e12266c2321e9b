"""Facts on their way into the ledger: checked once, at the door, whatever source they come from."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from config.decision_policy import active_policy
from config.errors import InputError
from config.settings import Settings
from node.cases.dates import parse_date
from node.cases.ebv_dna import parse_ebv_dna
from node.cases.stage import parse_stage

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

YES = frozenset({"yes", "y", "true", "1", "ja", "oui", "是", "有"})
NO = frozenset({"no", "n", "false", "0", "nein", "non", "否", "无"})
EARLIEST_BIRTH_YEAR = 1880


@dataclass(frozen=True)
class FactEntry:
    """One fact, ready to be recorded. `value` has the form that `node.ledger.facts.record_fact` names."""

    name: str
    value: dict[str, Any]
    observed_on: date | None = None


def ebv_entry(
    settings: Settings,
    text: str,
    *,
    unit: str | None = None,
    specimen: str | None = None,
    laboratory: str | None = None,
    drawn_on: date | None = None,
    check: bool = True,
) -> FactEntry:
    """An EBV DNA result in the laboratory's words.

    check : refuse here what could not be used (raises IneligibleStudyError); False keeps it for the case to judge.
    """
    if check:
        decision = active_policy(settings)
        parse_ebv_dna(
            text,
            decision.ebv_threshold_copies_per_ml,
            decision.ebv_threshold_inclusive,
            unit=unit,
            specimen=specimen,
            copies_per_iu=settings.clinical.copies_per_iu,
        )
    value = {"text": text.strip(), "unit": unit, "specimen": specimen, "laboratory": laboratory}
    return FactEntry("ebv_dna", value, drawn_on)


def stage_entry(settings: Settings, text: str, edition: str | None = None, staged_on: date | None = None) -> FactEntry:
    """A clinical stage; without an edition the site's default counts."""
    stage = parse_stage(text, edition or settings.clinical.stage_edition_default)
    return FactEntry("stage", asdict(stage), staged_on)


def birth_date_entry(text: str) -> FactEntry:
    day = parse_date(text, "birth date")
    if day.year < EARLIEST_BIRTH_YEAR or day > date.today():
        raise InputError(f"the birth date {text!r} is not plausible")
    return FactEntry("birth_date", {"day": day.isoformat()})


def treatment_start_entry(text: str) -> FactEntry:
    return FactEntry("treatment_start", {"day": parse_date(text, "start of treatment").isoformat()})


def prior_treatment_entry(text: str) -> FactEntry:
    """ "yes" or "no"; any other text is taken as a description of the treatment that was given."""
    plain = text.strip()
    if plain.lower() in NO:
        return FactEntry("prior_treatment", {"given": False, "text": ""})
    detail = "" if plain.lower() in YES else plain
    return FactEntry("prior_treatment", {"given": True, "text": detail})


def record_entries(
    session: Session, patient_id: str, issuer: str, entries: list[FactEntry], source: str, set_by: str
) -> int:
    """Record facts of one patient and have the patient's cases looked at again; returns how many were new."""
    from node.ledger.cases import schedule_patient
    from node.ledger.facts import record_fact

    new = 0
    for entry in entries:
        if record_fact(session, patient_id, issuer, entry.name, entry.value, source, set_by, entry.observed_on):
            new += 1
    if new:
        schedule_patient(session, patient_id.strip(), issuer)
    return new
