"""Texts that speak of another region or of treatment, and contours of another time, are questions; others are not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from config.decision_policy import active_policy
from config.settings import Settings
from node.cases.assessment import Assessment, assess_inputs
from node.cases.body_region import other_region
from tests.cases.case_headers import CE_T1W, NOW, T1W, T2W, case, facts, roi, series, structure_set

OTHER_REGIONS = {
    "MRI rectum staging": "rectum", "直肠MRI": "rectum", "MR Becken": "pelvis", "IRM du bassin": "pelvis",
    "Prostate mpMRI": "prostate", "前列腺MR": "prostate", "MR Knie links": "knee", "RM de rodilla": "knee",
    "膝关节": "knee",
    "MR C-SPINE": "spine", "CSPINE": "spine", "颈椎MR": "spine", "MRI cervical spine": "spine", "LSPINE": "spine",
    "MR hip femoral head": "hip", "head of femur": "hip", "股骨头 MRI": "hip", "Hüftkopfnekrose": "hip",
    "MR of pancreatic head": "pancreas", "宫颈癌MRI": "uterus or ovary", "MRT Mamma": "breast", "乳腺MR": "breast",
    "ABDOMEN^LIVER": "abdomen", "MRCP": "liver", "RMN fegato": "liver", "MRI thigh": "limb", "cardiac MR": "heart",
    "骨盤MRI": "pelvis", "前立腺MRI": "prostate", "무릎 MRI": "knee", "복부": "abdomen", "МРТ простаты": "prostate",
    "МРТ коленного сустава": "knee", "RM joelho": "knee", "MRI bekken": "pelvis", "MRT der Leber": "liver",
}  # fmt: skip
HEAD_AND_NECK = [
    "MR nasopharynx", "HEADNECK", "MR Kopf/Hals", "鼻咽部MRI平扫+增强", "MRI face/neck", "IRM cavum", "MR brain",
    "MR HNS",
    "MR Schädel", "neck and thorax", "MR Skull base", "head and spine", "", "t1_tse_tra", "WHOLEBODY", "MRI IAC",
    "头颈部", "頭頸部 MRI",
    "비인두 MRI", "МРТ носоглотки и шеи", "RM cabeça e pescoço", "MRI hoofd hals", "両側頸部リンパ節",
]  # fmt: skip
TREATED = [
    "MR NPC after IC", "MR neck post RT", "MRI nasopharynx follow-up", "鼻咽MRI复查", "鼻咽癌放疗后", "MR NPC F/U",
    "restaging",
    "Post-RT 3 months", "response assessment", "MR week 4", "MR Kopf Hals Nachsorge", "s/p CCRT", "during RT",
    "MR after 2 cycles", "IRM cavum suivi", "status post chemo", "NPC recurrence", "诱导化疗后",
]  # fmt: skip
UNTREATED = [
    "MR NPC staging", "MRI nasopharynx pre-treatment", "MR nasopharynx post contrast", "T1 post Gd", "post biopsy",
    "治疗前",
    "NPC baseline", "MR simulation RT planning", "MR neck w/wo contrast", "初诊 鼻咽MR",
]  # fmt: skip


def assessed(*, contour: Any = None, confirmations: Any = None, **attributes: Any) -> Assessment:
    images = [image for n, header in enumerate((T1W, T2W, CE_T1W), 1) for image in series(n, {**header, **attributes})]
    settings = Settings()
    related = [contour or structure_set()]
    inputs = case(images=images, related=related, confirmations=confirmations or {})
    return assess_inputs(inputs, settings, active_policy(settings), NOW)


def codes(assessment: Assessment) -> list[str]:
    return [reason["code"] for reason in assessment.reasons]


def test_other_regions_are_known_in_several_languages() -> None:
    assert {text: other_region(text) for text in OTHER_REGIONS} == OTHER_REGIONS


def test_head_and_neck_and_texts_without_a_region_contradict_nothing() -> None:
    assert [text for text in HEAD_AND_NECK if other_region(text)] == []


@pytest.mark.parametrize(
    "attributes",
    [
        {"StudyDescription": "MRI rectum staging"},
        {"RequestedProcedureDescription": "MRT Becken"},
        {"PerformedProcedureStepDescription": "MR knee"},
        {"AnatomicRegionSequence": ["41216001 Prostate"]},
        {"RequestAttributesSequence": ["MR Lumbar spine"]},
        {"ProtocolName": "t2_prostate"},
        {"StudyDescription": "MRI rectum", "BodyPartExamined": "HEADNECK"},
    ],
)
def test_a_text_of_another_region_is_a_question(attributes: dict[str, Any]) -> None:
    assessment = assessed(**attributes)
    assert (assessment.state, codes(assessment)) == ("held", ["region_contradiction"])


@pytest.mark.parametrize("text", TREATED)
def test_a_text_that_speaks_of_treatment_is_a_question(text: str) -> None:
    assessment = assessed(StudyDescription=text)
    assert (assessment.state, codes(assessment)) == ("held", ["treatment_response"])
    assert repr(text) in assessment.reasons[0]["text"]


@pytest.mark.parametrize("text", UNTREATED)
def test_a_text_before_treatment_is_none(text: str) -> None:
    assert codes(assessed(StudyDescription=text)) == []


@pytest.mark.parametrize(
    ("contour", "code"),
    [
        (structure_set(StructureSetLabel="ADAPT1"), "contour_adaptive"),
        (structure_set(SeriesDescription="Replan fx 12"), "contour_adaptive"),
        (structure_set(StructureSetLabel="自适应计划"), "contour_adaptive"),
        (structure_set(StructureSetDate="20260601"), "contour_not_contemporary"),
        (structure_set(StructureSetDate="20260331"), "contour_not_contemporary"),
    ],
)
def test_a_contour_of_another_time_is_a_question(contour: Any, code: str) -> None:
    assert codes(assessed(contour=contour)) == [code]


def test_a_roi_of_a_later_plan_is_a_question_where_the_site_names_it() -> None:
    settings = Settings()
    named = settings.case.model_copy(update={"roi_names": ("GTVp*",)})
    settings = settings.model_copy(update={"case": named})
    for name, expected in (("GTVp_wk4", ["contour_adaptive"]), ("GTVp-adapt", ["contour_adaptive"]), ("GTVp_MR", [])):
        inputs = case(related=[structure_set([roi(4, name, "GTV")])])
        assert codes(assess_inputs(inputs, settings, active_policy(settings), NOW)) == expected, name


@pytest.mark.parametrize("days", ["20260401", "20260531"])
def test_thirty_days_are_allowed(days: str) -> None:
    assert codes(assessed(contour=structure_set(StructureSetDate=days))) == []


def test_an_answer_opens_the_case_is_said_in_the_report_and_ends_with_its_question() -> None:
    question = assessed(StudyDescription="MR neck post RT").reasons[0]
    answer = {question["code"]: {"text": question["text"], "because": "typing error", "by": "dr.li"}}
    answered = assessed(StudyDescription="MR neck post RT", confirmations=answer)
    assert answered.state == "ready"
    assert answered.request is not None
    warnings = {warning["code"]: warning["text"] for warning in answered.request.warnings}
    assert warnings["treatment_response"].endswith("Confirmed by dr.li: typing error")
    assert assessed(StudyDescription="MR neck post ICT", confirmations=answer).state == "held"


def test_a_missing_fact_cannot_be_answered_away() -> None:
    settings = Settings()
    inputs = case(facts=facts(stage="T3"))
    (asked,) = assess_inputs(inputs, settings, active_policy(settings), NOW).reasons
    answer = {asked["code"]: {"text": asked["text"], "because": "it is right", "by": "dr.li"}}
    answered = replace(inputs, confirmations=answer)
    assert codes(assess_inputs(answered, settings, active_policy(settings), NOW)) == ["stage_unknown"]
