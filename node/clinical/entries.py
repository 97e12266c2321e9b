"""Clinical facts before they are recorded: every source builds its entries here, by the same checks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Any

from sqlalchemy.orm import Session

from config.decision_policy import active_policy
from config.errors import InputError
from config.messages.message import message
from config.settings import Settings
from node.cases.clinical_facts import ClinicalFacts, StartKind
from node.cases.dates import parse_date
from node.cases.diagnosis import read_diagnosis
from node.cases.ebv_dna import EbvValue, parse_ebv_dna
from node.cases.iu_conversion import iu_factor
from node.cases.stage import parse_stage
from node.ledger.cases import schedule_patient
from node.ledger.database import now_utc
from node.ledger.facts import facts_of, record_fact

YES = frozenset({"yes", "y", "true", "1", "ja", "oui", "是", "有"})
NO = frozenset({"no", "n", "false", "0", "nein", "non", "否", "无"})
MAX_IDENTIFIER = 255  # characters that the ledger stores
UNSTORABLE = re.compile(
    "[\x00\ud800-\udfff]"
)  # PostgreSQL refuses NUL, and halves of surrogate pairs are no characters
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
    assay: str | None = None,
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
    unit, specimen, laboratory, assay : str, optional
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
    InputError
        When the day of the draw is in the future.
    """
    _check_past(settings, drawn_on, "date of the draw")
    # The checks of the assessment itself, so that what is accepted here cannot be refused there for its form.
    value = {"text": text.strip(), "unit": unit, "specimen": specimen, "laboratory": laboratory}
    if assay:  # left out otherwise: results of earlier versions have none, and an equal one must be recognised
        value["assay"] = assay
    entry = FactEntry("ebv_dna", value, drawn_on)
    if check:
        ebv_value(entry, settings)
    return entry


def ebv_value(entry: FactEntry, settings: Settings) -> EbvValue:
    """Interpret the entry of an EBV DNA result.

    Parameters
    ----------
    entry : FactEntry
        Named ``ebv_dna``.
    settings : Settings
        Threshold and conversions of the site.

    Returns
    -------
    EbvValue
        As an assessment interprets it.

    Raises
    ------
    IneligibleStudyError
        ``ebv_dna_unusable`` when it cannot be used.
    """
    value, decision = entry.value, active_policy(settings)
    factor = iu_factor(settings.clinical.copies_per_iu, value["laboratory"], value.get("assay"), entry.observed_on)
    return parse_ebv_dna(
        value["text"],
        decision.ebv_threshold_copies_per_ml,
        decision.ebv_threshold_inclusive,
        unit=value["unit"],
        specimen=value["specimen"],
        copies_per_iu=factor.factor if factor else None,
    )


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
        When the text is not TNM, or the day is in the future.
    """
    _check_past(settings, staged_on, "date of staging")
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
        raise InputError(message("entry.diagnosis", text=text.strip()))
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
    day = parse_date(text, message("date.birth"))
    if day.year < EARLIEST_BIRTH_YEAR or day > date.today():
        raise InputError(message("date.birth_implausible", text=text, year=EARLIEST_BIRTH_YEAR))
    return FactEntry("birth_date", {"day": day.isoformat()})


def treatment_start_entry(text: str, kind: StartKind = "stated", order: str | None = None) -> FactEntry:
    """Build the entry of the first day of treatment; a text that is no date is refused with InputError.

    Parameters
    ----------
    text : str
        In a form of `node.cases.dates`; a day in the future is a planned start.
    kind : {"stated", "given", "planned"}
        As of `DateFact`.
    order : str, optional
        Number of the order, by which its later messages change or cancel it.

    Returns
    -------
    FactEntry
        Named ``treatment_start``.
    """
    value = {"day": parse_date(text, message("date.treatment_start")).isoformat()}
    if kind != "stated":
        value |= {"kind": kind, **({"order": order} if order else {})}
    return FactEntry("treatment_start", value)


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
    session: Session,
    patient_id: str,
    issuer: str,
    entries: list[FactEntry],
    source: str,
    set_by: str,
    stated_at: datetime | None = None,
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
    stated_at : datetime, optional
        When the sender wrote them; aware.

    Returns
    -------
    int
        Number of facts that were new; the same fact again changes nothing.

    Raises
    ------
    InputError
        When they contradict each other or what is recorded: something happened before the patient's birth; or when the
        identity, or a text of a fact, cannot be stored. Then none of them is recorded.
    """
    check_storable(patient_id, issuer, entries)
    check_entries(facts_of(session, patient_id.strip(), issuer), entries)
    new = 0
    for entry in entries:
        value = dict(entry.value)
        if record_fact(
            session, patient_id, issuer, entry.name, value, source, set_by, entry.observed_on, stated_at=stated_at
        ):
            new += 1
    if new:
        schedule_patient(session, patient_id.strip(), issuer)
    return new


def check_storable(patient_id: str, issuer: str, entries: Sequence[FactEntry] = ()) -> None:
    """Check that every ledger can store an identity and what is said about it.

    Raises
    ------
    InputError
        An identifier of more than `MAX_IDENTIFIER` characters; or a text with NUL, or with half of a surrogate pair.
        The sentence names it: a database would only refuse the row, and the sender would send it again for ever.
    """
    for what, identifier in (("patient identifier", patient_id), ("issuer", issuer)):
        if len(identifier) > MAX_IDENTIFIER:
            raise InputError(
                f"expected at most {MAX_IDENTIFIER} characters in the {what}, "
                f"found {len(identifier)}: {identifier[:40]}..."
            )
    texts = [("patient identifier", patient_id), ("issuer", issuer)]
    texts += [(entry.name.replace("_", " "), str(value)) for entry in entries for value in entry.value.values()]
    for what, text in texts:
        if found := UNSTORABLE.search(text):
            raise InputError(f"expected printable text in the {what}, found the character U+{ord(found[0]):04X}")


def check_entries(known: ClinicalFacts, entries: list[FactEntry]) -> None:
    """Refuse facts of days before the patient's birth.

    Parameters
    ----------
    known : ClinicalFacts
        What is recorded about the patient.
    entries : list of FactEntry
        New facts; a birth date among them counts in place of the recorded one.

    Raises
    ------
    InputError
        Naming both days.
    """
    born_in = next((entry.value["day"] for entry in entries if entry.name == "birth_date"), None)
    born = date.fromisoformat(born_in) if born_in else (known.birth_date.day if known.birth_date else None)
    if born is None:
        return
    days = [(_EVENTS[entry.name], _day_of(entry)) for entry in entries if entry.name in _EVENTS]
    if born_in:  # the new birth date must fit to what is recorded
        days += [(_EVENTS["treatment_start"], fact.day) for fact in known.treatment_starts]
        days += [(_EVENTS["ebv_dna"], result.provenance.observed_on) for result in known.ebv_dna]
        days += [(_EVENTS["stage"], fact.provenance.observed_on) for fact in known.stages]
    for what, day in days:
        if day is not None and day < born:
            raise InputError(message("date.before_birth", what=what, born=born, day=day))


_EVENTS = {name: message(f"event.{name}") for name in ("ebv_dna", "stage", "treatment_start")}


def _day_of(entry: FactEntry) -> date | None:
    return date.fromisoformat(entry.value["day"]) if entry.name == "treatment_start" else entry.observed_on


def today_at_site(settings: Settings) -> date:
    """Return the present day at the site.

    Parameters
    ----------
    settings : Settings
        ``[report] timezone``; without it that of this machine.

    Returns
    -------
    date
        A container often runs in UTC while the laboratory's morning is its yesterday.
    """
    offset = settings.report.timezone
    if offset is None:
        return now_utc().astimezone().date()
    sign = -1 if offset.startswith("-") else 1
    digits = offset.lstrip("+-").replace(":", "")
    return now_utc().astimezone(timezone(sign * timedelta(hours=int(digits[:2]), minutes=int(digits[2:4] or 0)))).date()


def _check_past(settings: Settings, day: date | None, what: str) -> None:
    today = today_at_site(settings)
    if day is not None and day > today:
        raise InputError(message("date.future", what=what, day=day, today=today))
