"""Stage and diagnosis from tables, HL7 and FHIR: codes of three systems, and the same rules for every source."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from config.decision_policy import active_policy
from config.settings import Settings
from node.cases.clinical_facts import ClinicalFacts
from node.cases.stage_eligibility import answer_stage
from node.clinical.entries import record_entries, stage_entry, treatment_start_entry
from node.clinical.fhir import record_document
from node.clinical.hl7_messages import handle_message
from node.clinical.tables import import_file
from node.ledger.database import Ledger, open_ledger
from node.ledger.facts import facts_of

SETTINGS = Settings()
GATE = active_policy(SETTINGS).stage
LOINC, SNOMED, NCIT = "http://loinc.org", "http://snomed.info/sct", "http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield opened
    opened.close()


def facts(ledger: Ledger) -> ClinicalFacts:
    with ledger.begin() as session:
        return facts_of(session, "P1")


def stage(ledger: Ledger) -> tuple[str, str | None, str]:
    recorded = facts(ledger).stage
    assert recorded is not None
    return recorded.stage.text, recorded.stage.edition, recorded.stage.prefix


def coded(code: str, system: str, display: str | None = None) -> dict[str, Any]:
    coding = {"system": system, "code": code}
    return {"coding": [{**coding, "display": display} if display else coding]}


def observation(code: dict[str, Any], value: Any, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation", "status": "final", "code": code, "valueCodeableConcept": value,
        "subject": {"identifier": {"value": "P1"}}, "effectiveDateTime": "2026-03-01", **more,
    }  # fmt: skip


def condition(code: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    own = {} if code is None else {"code": code}
    return {"resourceType": "Condition", "subject": {"identifier": {"value": "P1"}}, **own, **more}


def posted(ledger: Ledger, *resources: dict[str, Any]) -> list[str]:
    bundle = {"resourceType": "Bundle", "entry": [{"resource": resource} for resource in resources]}
    return record_document(bundle, ledger, SETTINGS).problems


# mCODE STU4: cT3, cN1, cM0, AJCC 9th version, AJCC v9 Stage; NCI Thesaurus: T3, N1 and M0 Stage Finding.
CATEGORIES = {
    SNOMED: (("399504009", "1228938002"), ("399534004", "1229973008"), ("399387003", "1229901006")),
    NCIT: (("C48885", "C48728"), ("C48884", "C48706"), ("C48883", "C48699")),
}


@pytest.mark.parametrize("system", [SNOMED, NCIT])
@pytest.mark.parametrize(
    ("method", "edition"),
    [
        (coded("897275008", SNOMED), "8"),
        (coded("1269566009", SNOMED), "9"),
        (coded("C186613", NCIT), "9"),
        (coded("443830009", SNOMED), "7"),
        (coded("444256004", SNOMED), None),
        ({"text": "Version 9 (2025)"}, "9"),
        ({"text": "AJCC (2017) 8th edition"}, "8"),
        ({"text": "Fuzhou 1992"}, None),
        ({"text": "MRI and nasopharyngoscopy"}, "8"),  # no edition: the site's default
    ],
)
def test_a_stage_comes_by_the_codes_of_two_systems_with_its_edition(
    ledger: Ledger, system: str, method: dict[str, Any], edition: str | None
) -> None:
    parts = [
        observation(coded(code, system), coded(value, system), method=method) for code, value in CATEGORIES[system]
    ]
    assert posted(ledger, *parts) == []
    assert stage(ledger)[:2] == ("T3N1M0", edition)


def test_a_stage_type_may_name_the_edition(ledger: Ledger) -> None:
    assert posted(ledger, observation(coded("C180901", NCIT), {"text": "cT3N1M0"})) == []
    assert stage(ledger) == ("T3N1M0", "9", "c")


def test_pathological_categories_are_recorded_beside_the_clinical_ones(ledger: Ledger) -> None:
    clinical = [observation(coded(code, SNOMED), coded(value, SNOMED)) for code, value in CATEGORIES[SNOMED]]
    pathological = [
        observation(coded("21899-0", LOINC), {"text": "T2"}),
        observation(coded("21900-6", LOINC), coded("1229947003", SNOMED)),
    ]
    assert posted(ledger, *pathological, *clinical) == []
    assert stage(ledger) == ("T3N1M0", "8", "c")
    unused = answer_stage(facts(ledger), GATE, None).unused
    assert unused == (
        "The stage pT2N0 (AJCC 8, the site's default because none is named) of 2026-03-01 was made by an operation "
        "(pathological) and was not used.",
    )


def test_a_condition_gives_the_diagnosis_and_the_stage(ledger: Ledger) -> None:
    summary = {"coding": [{"system": SNOMED, "code": value} for _, value in CATEGORIES[SNOMED]]}
    own_stage = {"summary": summary, "type": coded("1269566009", SNOMED)}
    assert posted(ledger, condition(coded("449248000", SNOMED), stage=[own_stage], recordedDate="2026-03-02")) == []
    assert stage(ledger) == ("T3N1M0", "9", "c")
    assert [fact.diagnosis.kind for fact in facts(ledger).diagnoses] == ["nasopharyngeal_carcinoma"]


@pytest.mark.parametrize(
    ("resource", "kinds"),
    [
        (condition(coded("C11.9", "http://hl7.org/fhir/sid/icd-10")), ["nasopharyngeal_carcinoma"]),
        (condition({"text": "鼻咽癌"}), ["nasopharyngeal_carcinoma"]),
        (condition({"text": "Carcinoma"}, bodySite=[{"text": "Nasopharynx"}]), ["nasopharyngeal_carcinoma"]),
        (condition(coded("1", SNOMED, "Malignant tumor of nasopharynx")), ["nasopharyngeal_carcinoma"]),
        (condition(coded("C20", "http://hl7.org/fhir/sid/icd-10")), ["other"]),
        (condition(coded("I10", "http://hl7.org/fhir/sid/icd-10")), []),
        (condition(coded("C11.9", "x"), verificationStatus=coded("provisional", "x")), []),
        (condition(coded("C11.9", "x"), verificationStatus=coded("refuted", "x")), []),
        (condition(coded("C11.9", "x"), clinicalStatus=coded("recurrence", "x")), ["recurrent"]),
    ],
)
def test_a_condition_counts_when_it_is_a_confirmed_tumour(
    ledger: Ledger, resource: dict[str, Any], kinds: list[str]
) -> None:
    assert posted(ledger, resource) == []
    assert [fact.diagnosis.kind for fact in facts(ledger).diagnoses] == kinds


def oru(*segments: str, number: int = 1) -> bytes:
    head = (f"MSH|^~\\&|REG|H|CPTDN|N|20260309||ORU^R01^ORU_R01|{number}|P|2.5.1", "PID|1||P1^^^^MR||A^B||19800101|M")
    return ("\r".join([*head, *segments]) + "\r").encode()


@pytest.mark.parametrize(
    ("segment", "kinds"),
    [
        ("DG1|1||C11.9^Malignant neoplasm of nasopharynx^I10||20260301|W", ["nasopharyngeal_carcinoma"]),
        ("DG1|1|I10|C11.9||20260301|F", ["nasopharyngeal_carcinoma"]),
        ("DG1|1|||Nasopharyngeal carcinoma||F", ["nasopharyngeal_carcinoma"]),
        ("DG1|1||C20^Rectum^I10||20260301|F", ["other"]),
        ("DG1|1||I10^Hypertension^I10||20260301|F", []),
        ("OBX|1|CWE|29308-4^Diagnosis^LN||C11.9^Nasopharynx^I10||||||F", ["nasopharyngeal_carcinoma"]),
    ],
)
def test_a_message_gives_the_diagnosis(ledger: Ledger, segment: str, kinds: list[str]) -> None:
    answer = handle_message(oru(segment), ledger, SETTINGS)
    assert b"MSA|AA|1" in answer
    assert [fact.diagnosis.kind for fact in facts(ledger).diagnoses] == kinds


def test_several_diagnoses_of_a_record_count_until_a_person_states_one(ledger: Ledger, tmp_path: Path) -> None:
    handle_message(oru("DG1|1||C11.9^^I10", "DG1|2||C20^^I10"), ledger, SETTINGS)
    assert [fact.diagnosis.text for fact in facts(ledger).diagnoses] == ["C11.9", "C20"]
    table = tmp_path / "facts.csv"
    table.write_text("patient_id,diagnosis,morphology\nP1,C11.9,8072/3\n")
    assert import_file(table, ledger, SETTINGS, "a tester").bad == ()
    assert [fact.diagnosis.text for fact in facts(ledger).diagnoses] == ["C11.9 8072/3"]


def test_a_coded_stage_comes_by_message(ledger: Ledger) -> None:
    parts = [
        f"OBX|{n}|CWE|{code}^^SCT||{value}^AJCC^SCT||||||F|||20260301|||1^AJCC Version 9^L"
        for n, (code, value) in enumerate(CATEGORIES[SNOMED], 1)
    ]
    assert b"MSA|AA|1" in handle_message(oru("OBR|1||1|S", *parts), ledger, SETTINGS)
    assert stage(ledger) == ("T3N1M0", "9", "c")


def test_a_text_that_names_two_stages_is_answered_with_an_error(ledger: Ledger) -> None:
    answer = handle_message(oru("OBR|1||1|S", "OBX|1|ST|21908-9^^LN||T3N1M0 or T4N1M0||||||F"), ledger, SETTINGS)
    assert b"MSA|AE|1" in answer
    assert b"not TNM of one stage" in answer
    assert facts(ledger).stage is None


STAGINGS = (
    ("cT2N1M0", "8", date(2026, 1, 5)), ("cT3N1M0", "8", date(2026, 3, 1)), ("ycT1N0M0", "8", date(2026, 6, 1)),
    ("pT2N0M0", "8", date(2026, 3, 3)), ("rT4N3M1b", "9", date(2026, 11, 1)), ("T1N0M0", "8", date(2026, 5, 20)),
)  # fmt: skip


@pytest.mark.parametrize("order", list(itertools.islice(itertools.permutations(range(6)), 0, 720, 37)))
def test_the_newest_clinical_stage_before_treatment_counts_in_any_order_of_arrival(
    ledger: Ledger, order: tuple[int, ...]
) -> None:
    entries = [stage_entry(SETTINGS, text, edition, day) for text, edition, day in (STAGINGS[n] for n in order)]
    with ledger.begin() as session:
        for entry in (*entries, treatment_start_entry("2026-03-16")):
            record_entries(session, "P1", "", [entry], "test", "a tester")
    answer = answer_stage(facts(ledger), GATE, date(2026, 3, 9))
    assert answer.judgement.eligible == "yes"
    assert answer.fact is not None
    assert answer.fact.provenance.observed_on == date(2026, 3, 1)
    assert len(answer.unused) == 4


def test_a_restaging_before_the_mr_says_that_it_is_of_a_treated_tumour(ledger: Ledger) -> None:
    with ledger.begin() as session:
        entry = stage_entry(SETTINGS, "ycT3N1M0", "8", date(2026, 3, 1))
        record_entries(session, "P1", "", [entry], "test", "a tester")
    assert "the MR is not older" in answer_stage(facts(ledger), GATE, date(2026, 3, 9)).treated_before
    assert answer_stage(facts(ledger), GATE, date(2026, 2, 1)).treated_before == ""


def test_a_stage_of_a_day_after_the_start_of_treatment_is_not_used(ledger: Ledger) -> None:
    entries = [
        stage_entry(SETTINGS, "cT3N1M0", "8", date(2026, 3, 1)),
        stage_entry(SETTINGS, "T1N0M0", "8", date(2026, 3, 22)),
    ]
    with ledger.begin() as session:
        record_entries(session, "P1", "", entries, "test", "a tester")
    assert answer_stage(facts(ledger), GATE, date(2026, 3, 9)).judgement.eligible == "no"
    with ledger.begin() as session:
        record_entries(session, "P1", "", [treatment_start_entry("2026-03-20")], "test", "a tester")
    answer = answer_stage(facts(ledger), GATE, date(2026, 3, 9))
    assert answer.judgement.eligible == "yes"
    assert "after the treatment began on 2026-03-20" in answer.unused[0]
