"""The stage in the SR and on the page: categories, edition, and the groups by both editions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dicom_sr.content.patient_characteristics import stage_items
from dicom_sr.report.json_form import to_json
from dicom_sr.report.plain_text import stage_text
from dicom_sr.report.treatment_report import Stage
from dicom_sr.report.wording import WORDINGS
from tests.dicom_sr import samples

# SNOMED CT: AJCC stage II and III, the 8th edition and the 9th version, yes (mCODE STU4).
II, III, EDITION_8, EDITION_9, YES = "1222765007", "1222801008", "897275008", "1269566009", "373066001"


def coded(stage: Stage) -> dict[str, str]:
    items = [item for item in stage_items(stage) if item.ValueType == "CODE"]
    return {str(item.name.value): str(item.ConceptCodeSequence[0].CodeValue) for item in items}


@pytest.mark.parametrize(
    ("stage", "groups"),
    [
        (Stage("T3", "N1", "M0", "8"), {"STAGE_GROUP_8": III, "STAGE_GROUP_9": II, "STAGE_GROUP_9ENE": III}),
        (Stage("T3", "N1", "M0", "8", extranodal_extension="no"), {"STAGE_GROUP_8": III, "STAGE_GROUP_9": II}),
        (
            Stage("T3", "N1", "M0", "8", extranodal_extension="yes"),
            {"EXTRANODAL": YES, "STAGE_GROUP_8": III, "STAGE_GROUP_9": III},
        ),
        (Stage("T3", "N1", "M0", "9"), {"STAGE_GROUP_9": II, "STAGE_GROUP_8": III}),
    ],
)
def test_the_groups_of_both_editions_are_coded(stage: Stage, groups: dict[str, str]) -> None:
    found = coded(stage)
    assert {name: value for name, value in found.items() if name in groups} == groups
    assert {name for name in found if name.startswith("STAGE_GROUP")} == {n for n in groups if n.startswith("STAGE")}
    assert found["STAGING_SYSTEM"] == (EDITION_8 if stage.edition == "8" else EDITION_9)


def test_a_stage_that_leaves_its_group_open_has_none() -> None:
    for stage in (Stage(), Stage("T3", "N1", "M0"), Stage("T3", None, "M0", "8"), Stage("T9", "N1", "M0", "8")):
        assert not any("GROUP" in name for name in coded(stage))


def test_the_page_and_the_json_say_both_groups() -> None:
    report = samples.scored()
    assert stage_text(report, WORDINGS["en"]) == (
        "T3N1M0, AJCC/UICC 8th edition, stage III, 9th: stage II or stage III"
    )
    assert "第 9 版: II 期 或 III 期" in stage_text(report, WORDINGS["zh"])
    assert to_json(report)["inputs"]["stage"]["groups"] == {"8": ["III"], "9": ["II", "III"]}
    ninth = replace(report, stage=Stage("T3", "N1", "M0", "9"))
    assert to_json(ninth)["inputs"]["stage"]["groups"] == {"9": ["II"], "8": ["III"]}
