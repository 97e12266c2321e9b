"""The report as FHIR R4: one transaction Bundle of DiagnosticReport, RiskAssessment, Observation and Device.

HL7's "DICOM SR to FHIR Resource Mapping" is followed where it has a rule: each NUM item of a measurement group becomes
an Observation with the item's code and unit, the observing device a Device, the study an ImagingStudy identified by
``urn:dicom:uid``. It has no rule for predictions: DFS under a regimen is a RiskAssessment, whose probabilities are in
percent (0 to 100) in R4, so they are the numbers that the SR shows.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID, uuid5

from dicom_sr.coding import codes, result_codes
from dicom_sr.coding.concept import Concept
from dicom_sr.coding.result_codes import HIGH, LOW
from dicom_sr.content.regimen_groups import assumed_category
from dicom_sr.header.attributes import MANUFACTURER, MODEL_NAME
from dicom_sr.header.uids import NAMESPACE, device_uid, uid_for
from dicom_sr.report import numbers
from dicom_sr.report.localised import localised
from dicom_sr.report.plain_text import ebv_condition, summary_text
from dicom_sr.report.report_inputs import ReportOptions
from dicom_sr.report.treatment_report import NOT_DETECTED, ArmResult, Scenario, TreatmentReport
from dicom_sr.report.wording import WORDINGS, horizon

DICOM_UID = "urn:dicom:uid"  # the system of UIDs as identifiers; the value is then a URI, urn:oid:...
PATIENT_IDENTIFIER = "urn:cptdn:patient-id"  # the system of Patient IDs where the site has configured none
Resource = dict[str, Any]


def fhir_bundle(
    report: TreatmentReport,
    options: ReportOptions | None = None,
    pdf: bytes | None = None,
    patient_system: str = PATIENT_IDENTIFIER,
    sr_instance_uid: str | None = None,
) -> Resource:
    """Build the resources of a report as the transaction that creates them on a FHIR server.

    Posting it twice creates nothing twice: each resource has ``ifNoneExist`` with its identifier. The identifiers are
    those of the study, so that a later revision updates the same resources (`node.clinical.fhir_reports`).

    Parameters
    ----------
    report : TreatmentReport
        Any report, also a refusal.
    options : ReportOptions or None
        Language of the conclusion, preliminary or final.
    pdf : bytes or None
        The page, for DiagnosticReport.presentedForm.
    patient_system : str
        URI of the hospital's patient identifiers, as its FHIR server knows them.
    sr_instance_uid : str or None
        SOP Instance UID of the SR, an identifier of the DiagnosticReport that tells its revisions apart.

    Returns
    -------
    dict
        A Bundle of type transaction, as JSON values.

    References
    ----------
    FHIR R4: Bundle, DiagnosticReport, RiskAssessment, Observation, Device.
    """
    options = options or ReportOptions()
    report = localised(report, options.language)
    subject = {"identifier": {"system": patient_system, "value": report.patient_id}}
    device = _device(report)
    # A withdrawal states no value: an input may be what was wrong.
    measured = () if report.withdrawal is not None else _observations(report, options)
    observations = [{**observation, "subject": subject} for observation in measured]
    risks = [{**risk, "subject": subject} for risk in _risks(report, options)]
    for resource in (*observations, *risks):
        field = "device" if resource["resourceType"] == "Observation" else "performer"
        resource[field] = {"reference": _url(device)}
    _identify((*observations, *risks), report)
    for risk in risks:
        risk["basis"] = [{"reference": _url(observation)} for observation in observations]
    document = {**_diagnostic_report(report, options, pdf), "subject": subject}
    document["result"] = [{"reference": _url(observation)} for observation in observations]
    # R4 has no element that refers to a RiskAssessment; R5's supportingInfo is used as an extension.
    document["extension"] = [
        {
            "url": "http://hl7.org/fhir/5.0/StructureDefinition/extension-DiagnosticReport.supportingInfo",
            "extension": [
                {"url": "type", "valueCodeableConcept": {"text": "Risk assessment"}},
                {"url": "reference", "valueReference": {"reference": _url(risk)}},
            ],
        }
        for risk in risks
    ]
    if not risks:
        del document["extension"]
    document["identifier"] = list(_document_identifiers(report, sr_instance_uid))
    return {
        "resourceType": "Bundle",
        "type": "transaction",
        "timestamp": report.created.isoformat(timespec="milliseconds"),
        "entry": [_entry(resource) for resource in (device, *observations, *risks, document)],
    }


def _diagnostic_report(report: TreatmentReport, options: ReportOptions, pdf: bytes | None) -> Resource:
    document: Resource = {
        "resourceType": "DiagnosticReport",
        "status": _status(report, options),
        "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "RAD"}]}],
        "code": {**_concept(codes.REPORT_TITLE), "text": "CPTDN treatment decision report"},
        "effectiveDateTime": report.created.isoformat(timespec="milliseconds"),
        "issued": report.created.isoformat(timespec="milliseconds"),
        "imagingStudy": [{"identifier": _uid_identifier(report.study_instance_uid), "type": "ImagingStudy"}],
        "conclusion": summary_text(report, options.language),
    }
    if report.recommendation is not None:
        document["conclusionCode"] = [_concept(codes.ANSWERS[report.recommendation])]
        grounds = dict.fromkeys(scenario.ground for scenario in report.scenarios)
        document["conclusionCode"] += [_concept(codes.GROUNDS[ground]) for ground in grounds]
    elif not report.computed:
        nothing = codes.NOT_COMPUTED if report.withdrawal is None else codes.WITHDRAWN
        document["conclusionCode"] = [_concept(nothing)]
    if pdf is not None:
        document["presentedForm"] = [
            {"contentType": "application/pdf", "data": base64.b64encode(pdf).decode("ascii"), "title": "CPTDN report"}
        ]
    return document


def _observations(report: TreatmentReport, options: ReportOptions) -> Iterator[Resource]:
    if report.age_years is not None:
        yield _observation(report, options, codes.SUBJECT_AGE, numbers.age(report.age_years), codes.YEAR)
    yield from _ebv_dna(report, options)
    if report.scores is not None:
        prognostic, predictive = report.scores.prognostic_score, report.scores.predictive_score
        yield _observation(report, options, codes.PROGNOSTIC_SCORE, numbers.score(prognostic), codes.SCORE)
        yield _observation(report, options, codes.PREDICTIVE_SCORE, numbers.score(predictive), codes.SCORE)
    for contour in report.contours:
        shown = numbers.volume(contour.volume_ml)
        drawn = f"Contour {contour.roi_name} (number {contour.roi_number} of {contour.sop_instance_uid})"
        volume = _observation(report, options, codes.VOLUME, shown, codes.CUBIC_CENTIMETRE)
        yield {**volume, "bodySite": _concept(codes.NASOPHARYNX), "note": [{"text": drawn}]}
    for scenario in report.scenarios:
        yield from _differences(report, options, scenario)
    if report.conditions:
        yield _conditions(report, options)


def _ebv_dna(report: TreatmentReport, options: ReportOptions) -> Iterator[Resource]:
    """Yield the laboratory's result: a quantity, for ">4000" with its comparator, or "not detected"."""
    ebv = report.ebv_dna
    copies = ebv.bound_copies_per_ml if ebv.copies_per_ml is None else ebv.copies_per_ml
    if ebv.comparator == NOT_DETECTED:
        load = _observation(report, options, codes.EBV_DNA, "0", codes.COPIES_PER_ML)
        del load["valueQuantity"]
        load["valueCodeableConcept"] = _concept(codes.NOT_DETECTED)
    elif copies is not None:
        load = _observation(report, options, codes.EBV_DNA, numbers.copies(copies), codes.COPIES_PER_ML)
        if ebv.comparator is not None:
            load["valueQuantity"]["comparator"] = ebv.comparator
    else:
        return
    # The laboratory's date; that of the report would make an old measurement look new.
    if ebv.provenance is not None and ebv.provenance.observed_on is not None:
        load["effectiveDateTime"] = ebv.provenance.observed_on.isoformat()
    yield load


def _differences(report: TreatmentReport, options: ReportOptions, scenario: Scenario) -> Iterator[Resource]:
    """One Observation per horizon: the difference in percentage points, with the ends of its interval."""
    assumed = assumed_category(report, scenario)
    for months in sorted(report.horizons_months, reverse=True):
        shown = numbers.percent(scenario.difference(months))
        name = result_codes.difference(months, assumed)
        observation = _observation(report, options, name, shown, codes.PERCENTAGE_POINTS)
        if months in scenario.difference_ci95:
            names = [result_codes.difference(months, assumed, end) for end in (LOW, HIGH)]
            observation["component"] = [
                {"code": _concept(name), "valueQuantity": _quantity(numbers.percent(end), codes.PERCENTAGE_POINTS)}
                for name, end in zip(names, scenario.difference_ci95[months], strict=True)
            ]
        if len(report.scenarios) > 1:
            observation["note"] = [{"text": f"Assuming {ebv_condition(report, scenario, WORDINGS['en'])}"}]
        yield observation


def _observation(report: TreatmentReport, options: ReportOptions, name: Concept, shown: str, unit: Concept) -> Resource:
    return {
        "resourceType": "Observation",
        "status": _status(report, options),
        "code": _concept(name),
        "effectiveDateTime": report.created.isoformat(timespec="milliseconds"),
        "valueQuantity": _quantity(shown, unit),
    }


def _quantity(shown: str, unit: Concept) -> dict[str, Any]:
    # The number as it is shown, not as it was computed: SR, page and FHIR must not differ in a digit.
    return {"value": float(shown), "unit": unit.meaning, "system": codes.PERCENT.system, "code": unit.value}


def _conditions(report: TreatmentReport, options: ReportOptions) -> Resource:
    """One Observation with a component for each condition of use; its value is the state, its text the grounds."""
    return {
        "resourceType": "Observation",
        "status": _status(report, options),
        "code": _concept(codes.CONDITIONS_OF_USE),
        "effectiveDateTime": report.created.isoformat(timespec="milliseconds"),
        "component": [
            {
                "code": _concept(codes.CONDITIONS[condition.code]),
                "valueCodeableConcept": {**_concept(codes.CONDITION_STATES[condition.state]), "text": condition.text},
            }
            for condition in report.conditions
        ],
    }


def _risks(report: TreatmentReport, options: ReportOptions) -> Iterator[Resource]:
    for scenario in report.scenarios:
        for result in (scenario.ict_ccrt, scenario.ccrt):
            yield _risk(report, options, scenario, result)


def _risk(report: TreatmentReport, options: ReportOptions, scenario: Scenario, result: ArmResult) -> Resource:
    words = WORDINGS["en"]
    notes = [f"Model: {report.model.name} {report.model.version} ({report.model.digest})", report.model.intended_use]
    if report.model.demonstration:
        notes.insert(0, words.demonstration)
    if len(report.scenarios) > 1:
        notes.insert(0, f"Assuming {ebv_condition(report, scenario, words)}")
    suffix = " (recommended)" if scenario.recommendation.arm is result.arm else ""
    return {
        "resourceType": "RiskAssessment",
        "status": _status(report, options),
        "method": {"text": report.model.nomogram_citation or "CPTDN nomogram"},
        "code": _concept(codes.REGIMENS[result.arm]),
        "occurrenceDateTime": report.created.isoformat(timespec="milliseconds"),
        "prediction": [
            {
                "outcome": {
                    **_concept(result_codes.dfs(months, result.arm, assumed_category(report, scenario))),
                    "text": f"{horizon(months, words)} under {result.arm.value}",
                },
                # In percent: R4 only requires that it is at most 100 (ras-2), so a fraction would be valid, and wrong.
                "probabilityDecimal": float(numbers.percent(estimate.value)),
                "whenRange": {"low": _months(0), "high": _months(months)},
                "rationale": f"{numbers.percent(estimate.value)} %, 95 % CI {numbers.interval(estimate.ci95)} %",
            }
            for months, estimate in sorted(result.dfs.items())
        ],
        "mitigation": f"{codes.REGIMENS[result.arm].meaning}{suffix}",
        "note": [{"text": note} for note in notes if note],
    }


def _months(count: int) -> dict[str, Any]:
    return {"value": count, "unit": "month", "system": codes.PERCENT.system, "code": codes.MONTH.value}


def _device(report: TreatmentReport) -> Resource:
    return {
        "resourceType": "Device",
        "identifier": [_uid_identifier(device_uid(report.model.digest, report.software_version))],
        "manufacturer": MANUFACTURER,
        "deviceName": [{"name": MODEL_NAME, "type": "model-name"}],
        "version": [{"value": text} for text in (report.software_version, report.model.version) if text],
        "note": [{"text": f"Model bundle {report.model.name} {report.model.digest}"}],
    }


def _status(report: TreatmentReport, options: ReportOptions) -> str:
    if report.withdrawal is not None:
        return "entered-in-error"
    # A report that replaces another one is "amended", so that a reader of the record knows of the earlier one.
    return "preliminary" if options.preliminary else "amended" if report.predecessors else "final"


def _concept(concept: Concept) -> dict[str, Any]:
    coding = {"system": concept.system, "code": concept.value, "display": concept.meaning}
    return {"coding": [coding], "text": concept.meaning}


def _identify(resources: Sequence[Resource], report: TreatmentReport) -> None:
    """Give the parts of a report the identifiers that they have in every revision, so that each is updated."""
    counted: Counter[str] = Counter()
    for resource in resources:
        kind = resource["resourceType"]
        named = resource["code"] if kind == "Observation" else resource["prediction"][0]["outcome"]
        part = f"fhir/{kind}/{named['coding'][0]['code']}"
        counted[part] += 1  # several contours have a volume each
        uid = uid_for(report.study_instance_uid, f"{part}/{counted[part]}")
        resource["identifier"] = [_uid_identifier(uid)]


def _document_identifiers(report: TreatmentReport, sr_instance_uid: str | None) -> Iterator[dict[str, str]]:
    """Yield the identifiers of the DiagnosticReport: that of the study, of this SR, and of the SRs that it replaces.

    Earlier versions of this software identified the resource by its SR alone: by those it is found and updated, too.
    """
    yield {**_uid_identifier(uid_for(report.study_instance_uid, "fhir/DiagnosticReport")), "use": "official"}
    if sr_instance_uid is not None:
        yield {**_uid_identifier(sr_instance_uid), "use": "usual"}
    for predecessor in report.predecessors:
        yield {**_uid_identifier(predecessor), "use": "old"}


def _uid_identifier(uid: str) -> dict[str, str]:
    return {"system": DICOM_UID, "value": f"urn:oid:{uid}"}


def _url(resource: Resource) -> str:
    """Return the URL by which the entries of the bundle refer to a resource; it follows from its identifier."""
    # A UUID that follows from the identifier: the same report gives the same bundle, byte for byte.
    name: UUID = uuid5(NAMESPACE, f"{resource['resourceType']}/{resource['identifier'][0]['value']}")
    return f"urn:uuid:{name}"


def _entry(resource: Resource) -> Resource:
    identifier = resource["identifier"][0]
    return {
        "fullUrl": _url(resource),
        "resource": resource,
        "request": {
            "method": "POST",
            "url": resource["resourceType"],
            # Sent again after a lost answer, an entry finds its resource and makes no second one (FHIR R4, conditional
            # create).
            "ifNoneExist": f"identifier={identifier['system']}|{identifier['value']}",
        },
    }
