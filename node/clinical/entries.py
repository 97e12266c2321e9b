"""Clinical facts before they are recorded: every source builds its entries here, by the same checks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy.orm import Session

from config.decision_policy import active_policy
from config.errors import InputError
from config.settings import Settings
from node.cases.dates import parse_date
from node.cases.diagnosis import read_diagnosis
from node.cases.ebv_dna import parse_ebv_dna
from node.cases.stage import parse_stage
from node.ledger.cases import schedule_patient
from node.ledger.facts import record_fact

YES = frozenset({"yes", "y", "true", "1", "ja", "oui", "是", "有"})
NO = frozenset({"no", "n", "false", "0", "nein", "non", "否", "无"})
EARLIEST_BIRTH_YEAR = 1880  # an earlier one is a typing error or a placeholder such as 1800


@dataclass(frozen=True)
class FactEntry:
    """One checked fact.

    Attributes
    ----------
    name : {"ebv_dna", "diagnosis", "stage", "birth_date", "treatment_start", "prior_treatment"}
        The fact.
    value : dict
        In the form that `node.ledger.facts.record_fact` lists for this name.
    observed_on : date or None
        Day of the draw or of the staging.
    """

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
    """Build the entry of an EBV DNA result; it is recorded in the words of the laboratory.

    Parameters
    ----------
    settings : Settings
        Threshold and conversion of the site, for the check.
    text : str
        The result, for example ``5200``, ``>4000`` or ``not detected``.
    unit, specimen, laboratory : str, optional
        As sent.
    drawn_on : date, optional
        Day of the draw; without it the result replaces all earlier ones.
    check : bool, default True
        Whether a result that cannot be used is refused here. Without the check it is recorded, and the assessment of
        the case names it as unusable.

    Returns
    -------
    FactEntry
        Named ``ebv_dna``.

    Raises
    ------
    IneligibleStudyError
        ``ebv_dna_unusable`` when `check` is true and the result cannot be used.
    """
    # The checks of the assessment itself, so that what is accepted here cannot be refused there for its form.
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


def stage_entry(
    settings: Settings, text: str, edition: str | None = None, staged_on: date | None = None, ene: str | None = None
) -> FactEntry:
    """Build the entry of a stage.

    Parameters
    ----------
    settings : Settings
        `[clinical] stage_edition_default` is used where no edition is named, never for one that cannot be read.
    text : str
        TNM, for example ``cT3 N1 M0`` or ``T3N1M0 (AJCC 8th ed.)``; see `node.cases.stage.parse_stage`.
    edition : str, optional
        For example ``8`` or ``AJCC 8th edition``; one that cannot be read makes the edition unknown.
    staged_on : date, optional
        Day of the staging.
    ene : str, optional
        yes, no or unknown: advanced extranodal extension.

    Returns
    -------
    FactEntry
        Named ``stage``.

    Raises
    ------
    InputError
        When the text is not TNM.
    """
    stage = parse_stage(text, edition, default_edition=settings.clinical.stage_edition_default, ene=ene)
    return FactEntry("stage", stage.to_json(), staged_on)


def diagnosis_entry(text: str, diagnosed_on: date | None = None, *, is_only: bool = True) -> FactEntry:
    """Build the entry of a diagnosis; it is recorded as written and interpreted when a case is assessed.

    Parameters
    ----------
    text : str
        A code (ICD-10, ICD-O, SNOMED CT), a text in English or Chinese, or both.
    diagnosed_on : date, optional
        Day of the diagnosis.
    is_only : bool, default True
        Whether it replaces what was recorded before; False for one of the many diagnoses of a record.

    Returns
    -------
    FactEntry
        Named ``diagnosis``.

    Raises
    ------
    InputError
        When it is stated as the only one and names no disease for certain.
    """
    diagnosis = read_diagnosis(text)
    if is_only and diagnosis.kind == "unclear":
        raise InputError(
            f"expected a diagnosis with its site, for example C11.9 or nasopharyngeal carcinoma, found {text.strip()!r}"
        )
    return FactEntry("diagnosis", {"text": diagnosis.text, "is_only": is_only}, diagnosed_on)


def birth_date_entry(text: str) -> FactEntry:
    """Build the entry of a birth date; a day in the future or before 1880 is refused with InputError.

    Parameters
    ----------
    text : str
        In a form of `node.cases.dates`.

    Returns
    -------
    FactEntry
        Named ``birth_date``.
    """
    day = parse_date(text, "birth date")
    if day.year < EARLIEST_BIRTH_YEAR or day > date.today():
        raise InputError(
            f"the birth date {text!r} is not plausible; expected a day from {EARLIEST_BIRTH_YEAR} to today"
        )
    return FactEntry("birth_date", {"day": day.isoformat()})


def treatment_start_entry(text: str) -> FactEntry:
    """Build the entry of the first day of treatment; a text that is no date is refused with InputError.

    Parameters
    ----------
    text : str
        In a form of `node.cases.dates`; a day in the future is a planned start.

    Returns
    -------
    FactEntry
        Named ``treatment_start``.
    """
    return FactEntry("treatment_start", {"day": parse_date(text, "start of treatment").isoformat()})


def prior_treatment_entry(text: str) -> FactEntry:
    """Build the entry from "yes" or "no"; any other text describes the treatment that was given.

    Parameters
    ----------
    text : str
        A word of `YES` or `NO`, or a description.

    Returns
    -------
    FactEntry
        Named ``prior_treatment``.
    """
    plain = text.strip()
    # Any text but a "no" means that something was done: a description is safer as a "yes" than ignored.
    if plain.lower() in NO:
        return FactEntry("prior_treatment", {"given": False, "text": ""})
    detail = "" if plain.lower() in YES else plain
    return FactEntry("prior_treatment", {"given": True, "text": detail})


def record_entries(
    session: Session, patient_id: str, issuer: str, entries: list[FactEntry], source: str, set_by: str
) -> int:
    """Record facts of one patient, and schedule an assessment of the patient's cases.

    Parameters
    ----------
    session : Session
        The facts are durable when its transaction is committed.
    patient_id, issuer : str
        Identity of the patient as in the images.
    entries : list of FactEntry
        The facts.
    source, set_by : str
        Provenance: where they come from, and which user or program recorded them.

    Returns
    -------
    int
        Number of facts that were new; the same fact again changes nothing.
    """
    new = 0
    for entry in entries:
        if record_fact(session, patient_id, issuer, entry.name, entry.value, source, set_by, entry.observed_on):
            new += 1
    if new:
        schedule_patient(session, patient_id.strip(), issuer)
    return new
