"""FHIR R4 resources to facts: Observation (EBV DNA, TNM), Condition (diagnosis, stage) and treatments, or a Bundle.

Source: hl7.org/fhir/R4 observation.html, condition.html; TNM as in mCODE STU3. Treatments: see `fhir_treatments`; what
happened after them: `fhir_follow_up`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from sqlalchemy.orm import Session

from config.errors import InputError
from config.settings import Settings
from node.cases.dates import parse_date
from node.clinical.codes import SNOMED_NOT_DETECTED, Meaning, meaning_of
from node.clinical.entries import record_entries
from node.clinical.fhir_follow_up import follow_up_of_resources, says_death
from node.clinical.fhir_treatments import TREATMENTS, treatments_of
from node.clinical.follow_up_statements import record_statements
from node.clinical.number_text import number_text
from node.clinical.results import CodedResult, edition_words, interpret_results
from node.clinical.staging_codes import CATEGORIES, EDITIONS
from node.ledger.cases import schedule_patient
from node.ledger.database import Ledger
from node.ledger.facts import withdraw_fact

FINAL = frozenset({"final", "amended", "corrected"})  # hl7.org/fhir/R4/valueset-observation-status.html
WITHDRAWN = frozenset({"entered-in-error", "cancelled"})
MAX_DEPTH = 3  # of Bundles in Bundles


@dataclass
class RecordedResources:
    """The outcome of posted resources: number of new facts, and a sentence for each resource that cannot be used."""

    n_new_facts: int = 0
    problems: list[str] = field(default_factory=list)

    def operation_outcome(self) -> dict[str, Any]:
        """Build the OperationOutcome resource that answers the sender."""
        issues = [{"severity": "error", "code": "processing", "diagnostics": text} for text in self.problems]
        text = f"{self.n_new_facts} facts recorded"
        success = {"severity": "information", "code": "informational", "diagnostics": text}
        return {"resourceType": "OperationOutcome", "issue": issues or [success]}


def record_document(document: Mapping[str, Any], ledger: Ledger, settings: Settings) -> RecordedResources:
    """Record the facts of a posted Observation, Condition, or Bundle of them.

    Parameters
    ----------
    document : mapping
        The posted resource.
    ledger : Ledger
        Receives the facts; they are durable when the function returns.
    settings : Settings
        Identifier system and local codes of the site; threshold and conversion of EBV DNA.

    Returns
    -------
    RecordedResources
        With problems the answer to the sender is 422, else 200; what can be used is recorded in both cases.
    """
    recorded = RecordedResources()
    resources = list(_resources(document))
    patients = {_reference_of(each): each for each in resources if each.get("resourceType") == "Patient"}
    # By patient first: a Bundle may have several, and T, N and M of one patient are separate resources that make one
    # stage.
    by_patient: dict[str, list[Mapping[str, Any]]] = {}
    for resource in resources:
        is_death = resource.get("resourceType") == "Patient" and says_death(resource)
        if resource.get("resourceType") not in ("Observation", "Condition", *TREATMENTS) and not is_death:
            continue
        try:
            patient_id = patient_id_of(_about_itself(resource) if is_death else resource, patients, settings)
        except InputError as error:
            recorded.problems.append(str(error))
            continue
        by_patient.setdefault(patient_id, []).append(resource)
    if not by_patient and not recorded.problems:
        recorded.problems.append(f"no Observation or Condition in the {document.get('resourceType') or 'document'}")
    with ledger.begin() as session:
        for patient_id, own in by_patient.items():
            new, problems = record_resources(session, patient_id, own, settings, "FHIR posted", "FHIR")
            recorded.n_new_facts += new
            recorded.problems += problems
    return recorded


def record_resources(
    session: Session, patient_id: str, resources: Sequence[Mapping[str, Any]], settings: Settings, source: str, by: str
) -> tuple[int, list[str]]:
    """Record the facts of one patient's resources.

    Parameters
    ----------
    session : Session
        The facts are durable when its transaction is committed.
    patient_id : str
        The Patient ID of the images.
    resources : sequence of mapping
        Observations and Conditions about this patient, in any order.
    settings : Settings
        Issuer and local codes of the site; threshold and conversion of EBV DNA.
    source, by : str
        Provenance: where they come from, and which program recorded them.

    Returns
    -------
    tuple of (int, list of str)
        Number of new facts, and one sentence for each result that cannot be used.
    """
    issuer = settings.fhir.issuer
    new, n_withdrawn, problems = 0, 0, []
    for group in _groups(resources, settings):
        results = interpret_results(group, settings)
        problems += results.refused
        try:
            new += record_entries(session, patient_id, issuer, results.entries, source, by)
        except InputError as error:
            problems.append(str(error))
        n_withdrawn += sum(withdraw_fact(session, patient_id, issuer, name, day) for name, day in results.withdrawn)
    treatments = treatments_of(resources, settings)
    problems += treatments.problems
    for entry in treatments.starts:
        try:
            new += record_entries(session, patient_id, issuer, [entry], source, by)
        except InputError as error:
            problems.append(str(error))
    n_withdrawn += sum(
        withdraw_fact(session, patient_id, issuer, "treatment_start", None, order) for order in treatments.cancelled
    )
    if n_withdrawn:
        schedule_patient(session, patient_id, issuer)
    follow_up = follow_up_of_resources(resources, settings)
    followed, of_follow_up = record_statements(session, settings, patient_id, issuer, follow_up, source, by)
    return new + followed, [*problems, *of_follow_up]


def _about_itself(patient: Mapping[str, Any]) -> dict[str, Any]:
    """Return a resource whose subject is a contained copy of the patient."""
    return {"subject": {"reference": "#patient"}, "contained": [{**patient, "id": "patient"}]}


def patient_id_of(resource: Mapping[str, Any], patients: Mapping[str, Mapping[str, Any]], settings: Settings) -> str:
    """Return the Patient ID that a resource is about.

    Parameters
    ----------
    resource : mapping
        An Observation or Condition with a subject.
    patients : mapping of reference to Patient resource
        Patients of the same Bundle; a contained Patient and an identifier in the subject are used as well.
    settings : Settings
        `[fhir] identifier_system`: which of a patient's identifiers is the Patient ID of the images.

    Returns
    -------
    str
        The first identifier of that system, or the first at all where no system is configured.

    Raises
    ------
    InputError
        When the subject leads to no such identifier.
    """
    subject = _object(resource.get("subject"))
    reference = str(subject.get("reference") or "")
    identifiers = [_object(subject.get("identifier"))]
    if reference.startswith("#"):
        contained = [each for each in _objects(resource.get("contained")) if each.get("id") == reference[1:]]
        identifiers += [entry for each in contained for entry in _objects(each.get("identifier"))]
    for known, patient in patients.items():
        # References may be absolute (a server's URL) or relative; a Bundle names its resources in either way.
        if known and (known == reference or reference.endswith(f"/{known}")):
            identifiers += _objects(patient.get("identifier"))
    system = settings.fhir.identifier_system
    for identifier in identifiers:
        value = str(identifier.get("value") or "").strip()
        # Without a configured system the first identifier is taken: right only where a patient has one.
        if value and (system is None or identifier.get("system") == system):
            return value
    expected = f" of the system {system}" if system else ""
    raise InputError(f"the subject {reference or '(none)'} leads to no patient identifier{expected}")


def results_of(resource: Mapping[str, Any], settings: Settings) -> list[CodedResult]:
    """Return the results of one resource.

    Parameters
    ----------
    resource : mapping
        Any resource.
    settings : Settings
        Local codes of the site.

    Returns
    -------
    list of CodedResult
        Empty for another resource type, an unknown code, or a status that is neither final nor withdrawn.
    """
    if resource.get("resourceType") == "Observation":
        return _observation(resource, settings)
    if resource.get("resourceType") == "Condition":
        return _condition(resource)
    return []


def _groups(resources: Sequence[Mapping[str, Any]], settings: Settings) -> list[list[CodedResult]]:
    """Return results in order of time; T, N and M of one day are in one group, because they make one stage."""
    dated = sorted(
        ((result, _recency(resource)) for resource in resources for result in results_of(resource, settings)),
        # By day and then by the time of the last change: of two results of one day the corrected one comes last and
        # counts.
        key=lambda pair: (pair[0].observed_on or date.min, pair[1]),
    )
    groups: list[list[CodedResult]] = []
    tnm_of: dict[date | None, list[CodedResult]] = {}
    draws_of: dict[date | None, list[CodedResult]] = {}
    for result, _ in dated:
        if result.meaning.fact in ("diagnosis", "treatment_start") or result.withdrawn:
            groups.append([result])
        elif result.meaning.fact == "ebv_dna":
            # All results of a draw together: the usable one counts, whatever its unit and its place in the Bundle.
            if result.observed_on not in draws_of:
                groups.append(draws_of.setdefault(result.observed_on, []))
            draws_of[result.observed_on].append(result)
        elif result.observed_on in tnm_of:
            tnm_of[result.observed_on].append(result)
        else:
            tnm_of[result.observed_on] = [result]
            groups.append(tnm_of[result.observed_on])
    return groups


def _observation(resource: Mapping[str, Any], settings: Settings) -> list[CodedResult]:
    status = str(resource.get("status") or "")
    # Preliminary and registered results may still change: the final one is sent again.
    if status not in FINAL and status not in WITHDRAWN:
        return []
    meaning = _meaning(resource.get("code"), settings)
    text, unit = _value(resource, meaning)
    if meaning is None or (not text and status in FINAL and meaning.fact != "treatment_start"):
        return []
    return [
        CodedResult(
            meaning=meaning,
            text=text,
            unit=unit,
            specimen=_specimen(resource),
            observed_on=_day(resource),
            laboratory=_laboratory(resource),
            edition=_edition(resource.get("method")),
            withdrawn=status in WITHDRAWN,
            assay=" ".join(_words(resource.get("method"))) or None,
            written=_recency(resource) or ("" if status == "final" else status),
        )
    ]  # fmt: skip


def _condition(resource: Mapping[str, Any]) -> list[CodedResult]:
    verification = _codes(resource.get("verificationStatus"))
    # A Condition has no status of its stage: a refuted diagnosis withdraws nothing that another source has recorded.
    if "entered-in-error" in verification or "refuted" in verification:
        return []
    results = _diagnosis(resource, verification)
    for stage in _objects(resource.get("stage")):
        kind = _meaning_of_type(stage.get("type"))
        for text in _stage_texts(stage.get("summary")):
            edition = _edition(stage.get("type"))
            results.append(CodedResult(kind, text, observed_on=_day(resource), edition=edition))
    return results


def _diagnosis(resource: Mapping[str, Any], verification: set[str]) -> list[CodedResult]:
    """Return code, site and histology of a confirmed condition as one text."""
    status = _codes(resource.get("clinicalStatus"))
    # A suspicion is no diagnosis (hl7.org/fhir/R4/valueset-condition-ver-status.html).
    if verification & {"provisional", "differential", "unconfirmed"}:
        return []
    concepts = [resource.get("code"), *_objects(resource.get("bodySite"))]
    concepts += [extension.get("valueCodeableConcept") for extension in _objects(resource.get("extension"))]
    texts = [text for concept in concepts for text in _coded_words(concept)]
    if status & {"recurrence", "relapse", "remission", "resolved"}:
        texts.append("recurrent")  # treated before
    return [CodedResult(Meaning("diagnosis"), " ".join(texts), observed_on=_day(resource))] if texts else []


def _coded_words(concept: Any) -> list[str]:
    """Return codes and words of a concept, each once."""
    codes = [str(coding["code"]) for coding in _objects(_object(concept).get("coding")) if coding.get("code")]
    return list(dict.fromkeys([*codes, *_words(concept)]))


def _stage_texts(summary: Any) -> list[str]:
    """Return the stage of a summary: by its codes, each of which may be one category, else by its text."""
    coded = [CATEGORIES[code] for code in sorted(_codes(summary)) if code in CATEGORIES]
    return [" ".join(sorted(coded, key=_tnm_order))] if coded else _words(summary)[:1]


def _tnm_order(text: str) -> int:
    return next((position for position, letter in enumerate("TNM") if letter in text), 3)


def _meaning_of_type(concept: Any) -> Meaning:
    """Return whether a stage is a pathological one, by its type."""
    for coding in _objects(_object(concept).get("coding")):
        meaning = meaning_of(str(coding.get("code") or ""), str(coding.get("system") or "?"), {})
        if meaning is not None and meaning.fact in ("t", "n", "m", "stage"):
            return Meaning("stage", prefix=meaning.prefix, edition=meaning.edition)
    return Meaning("stage")


def _edition(concept: Any) -> str | None:
    """Return the words that name the edition, in a method or a type."""
    coded = [EDITIONS[code] for code in sorted(_codes(concept)) if code in EDITIONS]
    # Two codes of different editions are two editions, which `read_edition` does not choose between.
    return " ".join(dict.fromkeys(coded)) or edition_words(*_words(concept))


def _meaning(concept: Any, settings: Settings) -> Meaning | None:
    for coding in _objects(_object(concept).get("coding")):
        meaning = meaning_of(str(coding.get("code") or ""), str(coding.get("system") or "?"), settings.fhir.codes)
        if meaning is not None:
            return meaning
    return None


def _value(resource: Mapping[str, Any], meaning: Meaning | None) -> tuple[str, str | None]:
    # A comparator is a field of its own in FHIR: without it "<400" would be read as 400.
    quantity = _object(resource.get("valueQuantity"))
    if quantity.get("value") is not None:
        unit = quantity.get("unit") or quantity.get("code")
        return f"{quantity.get('comparator') or ''}{number_text(quantity['value'])}", str(unit) if unit else None
    concept = resource.get("valueCodeableConcept")
    if concept:
        codes = _codes(concept)
        if codes & SNOMED_NOT_DETECTED:
            return "not detected", None
        if meaning is not None and meaning.fact == "diagnosis":
            return " ".join(_coded_words(concept)), None
        coded = next(iter(_stage_texts(concept)), "") if codes & set(CATEGORIES) else ""
        return coded or next(iter(_words(concept)), ""), None
    for key in ("valueString", "valueInteger", "valueDateTime"):
        if resource.get(key) is not None:
            return number_text(resource[key]), None
    return "", None


def _specimen(resource: Mapping[str, Any]) -> str | None:
    """Return the type of a contained Specimen, or the display of the reference."""
    specimen = _object(resource.get("specimen"))
    reference = str(specimen.get("reference") or "")
    for contained in _objects(resource.get("contained")):
        if reference == f"#{contained.get('id')}":
            words = _words(contained.get("type"))
            if words:
                return " ".join(words)
    return str(specimen["display"]) if specimen.get("display") else None


def _laboratory(resource: Mapping[str, Any]) -> str | None:
    performers = _objects(resource.get("performer"))
    return next((str(performer["display"]) for performer in performers if performer.get("display")), None)


def _day(resource: Mapping[str, Any]) -> date | None:
    period = _object(resource.get("effectivePeriod"))
    for text in (
        resource.get("effectiveDateTime"), resource.get("effectiveInstant"), period.get("start"),
        resource.get("recordedDate"),
    ):  # fmt: skip
        try:
            return parse_date(str(text)) if text else None
        except InputError:
            continue
    return None


def _recency(resource: Mapping[str, Any]) -> str:
    return str(_object(resource.get("meta")).get("lastUpdated") or resource.get("issued") or "")


def _resources(document: Mapping[str, Any], depth: int = 0) -> Iterator[Mapping[str, Any]]:
    """Yield the resources of a Bundle, or the resource itself."""
    if document.get("resourceType") != "Bundle":
        yield document
    # A Bundle in itself, or many levels of them, must not exhaust the stack.
    elif depth < MAX_DEPTH:
        for entry in _objects(document.get("entry")):
            resource = _object(entry.get("resource"))
            if entry.get("fullUrl") and not resource.get("id"):
                resource = {**resource, "id": str(entry["fullUrl"])}
            yield from _resources(resource, depth + 1)


def _reference_of(patient: Mapping[str, Any]) -> str:
    identity = str(patient.get("id") or "")
    return identity if ":" in identity else f"Patient/{identity}"


def _codes(concept: Any) -> set[str]:
    return {str(coding.get("code")) for coding in _objects(_object(concept).get("coding")) if coding.get("code")}


def _words(concept: Any) -> list[str]:
    """Return text and displays of a CodeableConcept."""
    fields = _object(concept)
    displays = [coding.get("display") or coding.get("code") for coding in _objects(fields.get("coding"))]
    return [str(text) for text in (fields.get("text"), *displays) if text]


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _objects(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
