"""Checked against fhir.resources' models of R4B (its resources used here are those of R4)."""

from __future__ import annotations

import importlib
import json

import pytest

from config.indication.vocabulary import Condition
from dicom_sr.objects.build import build_objects
from dicom_sr.objects.fhir import fhir_bundle
from dicom_sr.report import numbers
from dicom_sr.report.report_inputs import ReportOptions
from tests.dicom_sr import samples
from tests.peers import absent

CASES = {**samples.CASES, "crowded": samples.crowded, "differing": samples.differing}


def resources(bundle: dict, kind: str) -> list[dict]:
    return [entry["resource"] for entry in bundle["entry"] if entry["resource"]["resourceType"] == kind]


@pytest.mark.parametrize("name", CASES)
def test_the_bundle_is_valid_fhir(name: str) -> None:
    try:
        model = importlib.import_module("fhir.resources.R4B.bundle").Bundle
    except ModuleNotFoundError:
        absent("fhir.resources is not installed (pip install fhir.resources)")
    document = fhir_bundle(CASES[name](), pdf=b"%PDF-1.4")
    assert model.model_validate_json(json.dumps(document)).type == "transaction"


@pytest.mark.parametrize("name", CASES)
def test_every_reference_leads_to_an_entry(name: str) -> None:
    bundle = fhir_bundle(CASES[name]())
    urls = [entry["fullUrl"] for entry in bundle["entry"]]
    assert len(set(urls)) == len(urls)
    named = json.dumps(bundle)
    assert {part.split('"')[0] for part in named.split('"reference": "')[1:]} <= set(urls)


def test_probabilities_are_the_numbers_of_the_report() -> None:
    report = samples.scored()
    bundle = fhir_bundle(report)
    [ict, ccrt] = resources(bundle, "RiskAssessment")
    assert [found["probabilityDecimal"] for found in ict["prediction"]] == [86.4, 79.1]
    assert ccrt["prediction"][1]["rationale"] == "66.5 %, 95 % CI 59.4 to 72.9 %"
    assert ict["prediction"][1]["whenRange"]["high"] == {
        "value": 60, "unit": "month", "system": "http://unitsofmeasure.org", "code": "mo",
    }  # fmt: skip
    [document] = resources(bundle, "DiagnosticReport")
    assert document["conclusionCode"][0]["coding"][0]["code"] == "ICT_CCRT"
    for scenario in report.scenarios:
        assert (
            f"{numbers.signed_percent(scenario.difference(60))} percentage points (95 % CI +2.1 to +23.2)"
            in document["conclusion"]
        )


def test_each_condition_of_use_is_a_component_with_its_state_and_grounds() -> None:
    [conditions] = [
        observation
        for observation in resources(fhir_bundle(samples.scored()), "Observation")
        if observation["code"]["coding"][0]["code"] == "CONDITIONS"
    ]
    states = {
        component["code"]["coding"][0]["code"]: component["valueCodeableConcept"]
        for component in conditions["component"]
    }
    assert len(states) == len(Condition)
    assert states["C_CONTOUR_DATE"]["coding"][0]["code"] == "NOT_MET"
    assert states["C_CONTOUR_DATE"]["text"] == "The contour is of 2024-03-20, the MR of 2024-03-11."
    assert states["C_MALIGNANCY"]["coding"][0]["code"] == "NOT_CHECKED"


def test_the_report_names_the_sr_and_the_study() -> None:
    [made] = build_objects(samples.scored(), samples.sources(), None, ReportOptions(kinds=("sr",)))
    bundle = fhir_bundle(samples.scored(), sr_instance_uid=made.sop_instance_uid)
    [document] = resources(bundle, "DiagnosticReport")
    study, sr = document["identifier"]
    assert sr == {"system": "urn:dicom:uid", "value": f"urn:oid:{made.sop_instance_uid}", "use": "usual"}
    assert study["use"] == "official"  # the same for every revision
    assert document["imagingStudy"][0]["identifier"]["value"] == f"urn:oid:{samples.STUDY}"


def test_a_refusal_a_demonstration_and_a_correction_say_what_they_are() -> None:
    refused = fhir_bundle(samples.refused())
    assert resources(refused, "RiskAssessment") == []
    assert resources(refused, "DiagnosticReport")[0]["conclusionCode"][0]["coding"][0]["code"] == "NOT_COMPUTED"
    risk = resources(fhir_bundle(samples.demonstration()), "RiskAssessment")[0]
    assert risk["note"][0]["text"] == "DEMONSTRATION MODEL - NOT FOR CLINICAL USE"
    final = ReportOptions(preliminary=False)
    assert resources(fhir_bundle(samples.scored(), final), "DiagnosticReport")[0]["status"] == "final"
    assert resources(fhir_bundle(samples.reprocessed(), final), "DiagnosticReport")[0]["status"] == "amended"


def test_posting_twice_creates_nothing_twice() -> None:
    first, second = fhir_bundle(samples.unknown_ebv()), fhir_bundle(samples.unknown_ebv())
    assert first == second
    assert all(entry["request"]["ifNoneExist"].startswith("identifier=") for entry in first["entry"])
