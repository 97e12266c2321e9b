"""Diagnoses by code and word, and what a case does with them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from config.decision_policy import active_policy
from config.settings import Settings
from node.cases.assessment import Assessment, assess_inputs
from node.cases.clinical_facts import DiagnosisFact
from node.cases.diagnosis import read_diagnosis
from tests.cases.case_headers import BY_HAND, CE_T1W, NOW, T1W, T2W, case, facts, series

# ICD-10 C11.- and ICD-11 2B6B: icd.who.int; ICD-O-3 C11.- with 8010 to 8083: AJCC manual, 8th edition, chapter 9.
NASOPHARYNGEAL = [
    "C11.9", "C11", "C119", "c11.0", "C11.-", "C11.900x001 鼻咽恶性肿瘤", "ICD-10 C11.9", "C11.9G", "147.9", "2B6B.1",
    "C11.9 8072/3", "M-8083/3 C11.2", "8020/3 C11.9", "C11.9 8070/3", "C11.9 8082/3", "449248000", "187692001", "C3871",
    "C11.9 Malignant neoplasm of nasopharynx, unspecified", "Nasopharyngeal carcinoma", "nasopharynx cancer", "NPC",
    "Carcinoma of the nasopharynx", "Undifferentiated carcinoma, nasopharynx", "鼻咽癌", "鼻咽恶性肿瘤",
    "鼻咽部低分化鳞癌",
    "Nasopharynxkarzinom", "carcinome du cavum", "449248000 Nasopharyngeal carcinoma (disorder)", "C11.9, C77.0",
]  # fmt: skip
OTHER = [
    "C20", "C20 rectal cancer", "C32.9", "C10.9", "C81.9", "C11.9 9680/3", "C11.9 8140/3", "Nasopharyngeal lymphoma",
    "nasopharyngeal angiofibroma", "鼻咽淋巴瘤", "D10.6", "I10", "rectal cancer", "直肠癌", "prostate carcinoma",
    "C78.0",
    "Malignant neoplasm of bronchus and lung, unspecified", "鼻咽炎",
]  # fmt: skip
UNCLEAR = [
    "", "suspected NPC", "?NPC", "NPC?", "rule out nasopharyngeal carcinoma", "疑鼻咽癌", "鼻咽癌待排",
    "history of NPC", "C11.9V",
    "no nasopharyngeal carcinoma", "family history of NPC", "8072/3", "squamous cell carcinoma", "nasopharynx", "foo",
]  # fmt: skip


@pytest.mark.parametrize(
    ("texts", "kind"), [(NASOPHARYNGEAL, "nasopharyngeal_carcinoma"), (OTHER, "other"), (UNCLEAR, "unclear")]
)
def test_a_diagnosis_is_read_by_its_codes_and_words(texts: list[str], kind: str) -> None:
    assert {text: read_diagnosis(text).kind for text in texts} == dict.fromkeys(texts, kind)


@pytest.mark.parametrize("text", ["recurrent NPC", "鼻咽癌复发", "C11.9 residual nasopharyngeal carcinoma"])
def test_a_recurrence_is_not_the_untreated_disease(text: str) -> None:
    assert read_diagnosis(text).kind == "recurrent"


def assessed(*recorded: str, images: Any = None, **eligibility: str) -> Assessment:
    settings = Settings()
    settings = settings.model_copy(update={"eligibility": settings.eligibility.model_copy(update=eligibility)})
    diagnoses = tuple(DiagnosisFact(read_diagnosis(text), BY_HAND) for text in recorded)
    more = {} if images is None else {"images": images}
    inputs = case(facts=replace(facts(), diagnoses=diagnoses), **more)
    return assess_inputs(inputs, settings, active_policy(settings), NOW)


def outcome(assessment: Assessment) -> tuple[str, list[str]]:
    return assessment.state, [reason["code"] for reason in assessment.reasons]


def ordered(**attributes: Any) -> list[Any]:
    return [image for n, header in enumerate((T1W, T2W, CE_T1W), 1) for image in series(n, {**header, **attributes})]


def disease(assessment: Assessment) -> str:
    return next(condition["state"] for condition in assessment.conditions if condition["code"] == "disease")


def test_a_recorded_diagnosis_makes_the_case_ready() -> None:
    assert outcome(assessed("C11.9")) == ("ready", [])
    assert disease(assessed("C11.9")) == "met"


def test_a_case_without_a_diagnosis_is_held_unless_the_site_assumes_it() -> None:
    held = assessed()
    assert outcome(held) == ("held", ["diagnosis_unknown"])
    assert "--diagnosis C11.9" in held.reasons[0]["text"]
    assumed = assessed(diagnosis="assume")
    assert assumed.state == "ready"
    assert assumed.request is not None
    assert "diagnosis_assumed" in [warning["code"] for warning in assumed.request.warnings]
    assert disease(assumed) == disease(held) == "not_checked"


def test_another_disease_is_refused_and_beside_this_one_it_is_a_question() -> None:
    assert outcome(assessed("C20")) == ("refused", ["diagnosis_not_eligible"])
    assert outcome(assessed("recurrent NPC")) == ("refused", ["diagnosis_not_eligible"])
    assert outcome(assessed("C11.9", "C20")) == ("held", ["diagnosis_contradiction"])
    assert outcome(assessed("C20", diagnosis="assume")) == ("refused", ["diagnosis_not_eligible"])


@pytest.mark.parametrize(
    "attributes",
    [
        {"AdmittingDiagnosesDescription": "Nasopharyngeal carcinoma"},
        {"AdmittingDiagnosesCodeSequence": ["C11.9 Malignant neoplasm of nasopharynx, unspecified"]},
        {"ReasonForTheRequestedProcedure": "鼻咽癌"},
    ],
)
def test_the_diagnosis_of_the_order_counts_where_none_is_recorded(attributes: dict[str, Any]) -> None:
    assert outcome(assessed(images=ordered(**attributes))) == ("ready", [])


def test_a_study_description_is_no_diagnosis() -> None:
    assert outcome(assessed(images=ordered(StudyDescription="MR NPC staging"))) == ("held", ["diagnosis_unknown"])


def test_images_of_another_disease_hold_the_case_whatever_is_recorded() -> None:
    rectal = ordered(AdmittingDiagnosesDescription="C20 rectal carcinoma")
    assert outcome(assessed(images=rectal)) == ("held", ["diagnosis_unknown"])
    assert outcome(assessed("C11.9", images=rectal)) == ("held", ["diagnosis_contradiction"])
    assert outcome(assessed(images=rectal, diagnosis="assume")) == ("held", ["diagnosis_unknown"])
    # What is no tumour contradicts nothing.
    assert outcome(assessed("C11.9", images=ordered(AdmittingDiagnosesDescription="I10 hypertension")))[0] == "ready"
