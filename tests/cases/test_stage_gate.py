"""A stage of one edition for a model of another: what is accepted, asked and refused, and which group is said."""

from __future__ import annotations

import pytest

from config.errors import InputError
from config.indication.nasopharynx import NASOPHARYNX
from config.indication.nasopharynx_staging import EDITIONS, other_group, stage_group
from config.indication.profile import StageGate
from node.cases.stage import parse_stage
from node.cases.stage_edition import read_edition
from node.cases.stage_gate import StageJudgement, judge_stage
from node.cases.stage_parts import join_parts, parse_category


def judged(text: str, edition: str | None = None, ene: str | None = None) -> StageJudgement:
    return judge_stage(parse_stage(text, edition, default_edition="8", ene=ene), NASOPHARYNX.stage)


# AJCC Cancer Staging Manual 7th edition page 41 and 8th edition chapter 9; Version 9 as in Pan et al., JAMA Oncol 2024:
# T1-2 N0 IA, T1-2 N1 IB, T3 or N2 II, T4 or N3 III, M1a IVA, M1b IVB.
GROUPS = {
    "7": {"T1N0": "I", "T1N1": "II", "T2N0": "II", "T2N1": "II", "T1N2": "III", "T3N0": "III", "T3N1": "III",
          "T3N2": "III", "T4N0": "IVA", "T4N2": "IVA", "T1N3": "IVB", "T4N3": "IVB", "TisN0": "0"},
    "8": {"T1N0": "I", "T1N1": "II", "T0N1": "II", "T2N0": "II", "T2N1": "II", "T1N2": "III", "T3N0": "III",
          "T3N1": "III", "T3N2": "III", "T4N0": "IVA", "T4N2": "IVA", "T1N3": "IVA", "T4N3": "IVA", "TisN0": "0"},
    "9": {"T1N0": "IA", "T2N0": "IA", "T1N1": "IB", "T2N1": "IB", "T3N0": "II", "T3N1": "II", "T1N2": "II",
          "T3N2": "II", "T4N0": "III", "T4N2": "III", "T1N3": "III", "T3N3": "III", "TisN0": "0"},
}  # fmt: skip


@pytest.mark.parametrize("edition", EDITIONS)
def test_the_groups_are_those_of_the_manuals(edition: str) -> None:
    for stage, group in GROUPS[edition].items():
        value = parse_stage(f"{stage}M0", edition)
        assert stage_group(value.t, value.n, value.m, edition) == group, (edition, stage)
    metastatic = {"7": "IVC", "8": "IVB", "9": "IV"}
    assert stage_group("T1", "N0", "M1", edition) == metastatic[edition]
    assert stage_group("T3", None, "M0", edition) is None


def test_metastases_are_divided_in_the_9th_edition_alone() -> None:
    assert [stage_group("T4", "N3", m, "9") for m in ("M1a", "M1b")] == ["IVA", "IVB"]
    assert stage_group("T4", "N3", "M1b", "8") == "IVB"


@pytest.mark.parametrize(
    ("extension", "groups"), [(None, ("II", "III")), ("no", ("II",)), ("yes", ("III",))]
)  # fmt: skip
def test_the_group_of_the_9th_edition_depends_on_the_extranodal_extension(
    extension: str | None, groups: tuple[str, ...]
) -> None:
    assert other_group("T3", "N1", "M0", "8", extension) == ("9", groups)
    assert other_group("T3", "N1", "M0", "9", extension) == ("8", ("III",))
    assert other_group("T3", "N3", "M0", "9", extension) is None


def test_a_stage_of_the_9th_edition_is_accepted_where_it_is_contained() -> None:
    accepted = judged("T3N1M0", "9th version")
    assert accepted.eligible == "yes"
    assert "AJCC 9, stage II) is contained in T3N1M0 of AJCC 8 (stage III)" in accepted.reason


def test_an_n3_of_the_9th_edition_is_a_question_with_two_answers() -> None:
    question = judged("T3N3M0", "9")
    assert (question.eligible, question.code, question.is_open) == ("ask", "stage_unknown", False)
    assert "N3 only by extranodal extension" in question.reason
    assert judged("T3N3M0", "9", "yes").eligible == "yes"
    assert judged("T3N3M0", "9", "no").eligible == "no"
    # A text that mentions the extension does not say that it is the only reason for the N3.
    assert judged("T3N3M0 ENE+ (9)").eligible == "ask"
    assert judged("T3N3M0 ENE- (9)").eligible == "no"


@pytest.mark.parametrize("edition", ["7", "8", "9"])
@pytest.mark.parametrize(
    "text", ["T2N1M0", "T4N1M0", "T3N0M0", "T3N2M0", "T3N1M1", "T4N3M1b", "T4", "N2", "M1a", "TisN0M0"]
)
def test_any_other_category_is_refused_with_its_reason_in_every_edition(text: str, edition: str) -> None:
    refused = judged(text, edition)
    assert (refused.eligible, refused.code) == ("no", "stage_not_eligible")
    assert text in refused.reason
    assert "the model is for T3N1M0 (AJCC 8)" in refused.reason


@pytest.mark.parametrize(
    ("text", "edition", "words"),
    [
        ("T3", "8", "does not state N and M"),
        ("T3N1", "8", "does not state M"),
        ("T3N1Mx", "9", "does not state M"),
        ("T3N1M0", "7", "may be N3 in edition 8"),
        ("T3N1M0", "6", "'6', which is not known"),
        ("T3N1M0", "Chinese 2008", "'Chinese 2008', which is not known"),
        ("T3N1M0 (9)", "8", "'9 and 8', which is not known"),
        ("T3aN1M0", "8", "T3a is none of AJCC 8"),
        ("T3N1bM0", "8", "N1b is none of AJCC 8"),
        ("T3N1M0 stage II", "8", "stage III in AJCC 8, but stage II is recorded"),
        ("T3N1M0 IVA", None, "but stage IVA is recorded"),
    ],
)
def test_what_is_open_is_asked(text: str, edition: str | None, words: str) -> None:
    question = judged(text, edition)
    assert question.eligible == "ask"
    assert words in question.reason


def test_no_category_of_an_unknown_edition_is_computed_whatever_the_site_does_without_a_stage() -> None:
    assert judged("T4N1M0", "edition 12").is_open is False
    assert judged("T3N1M0", "edition 12").is_open is True
    assert judged("T3N1M1", "edition 12").eligible == "no"


@pytest.mark.parametrize("text", ["ycT3N1M0", "rT3N1M0", "pT3N1M0", "aT3N1M0", "T3N1M0 after induction", "术后 T3N1M0"])
def test_a_stage_that_is_not_of_the_time_before_treatment_is_named_and_not_used(text: str) -> None:
    unused = judged(text, "8")
    assert unused.eligible == "no"
    assert "is not used" in unused.reason


def test_the_extranodal_extension_of_an_eligible_stage_is_said() -> None:
    assert "not recorded" in judged("T3N1M0", "8").reason
    assert judged("T3N1M0", "8").warnings == ()
    recorded = judged("T3N1M0", "8", "yes")
    assert recorded.eligible == "yes"
    assert [code for code, _ in recorded.warnings] == ["extranodal_extension"]
    assert "stage III in the 9th" in recorded.warnings[0][1]


def test_a_default_edition_is_said() -> None:
    assert "the site's default because none is named" in judged("T3N1M0").reason
    assert "default" not in judged("T3N1M0", "8").reason


def test_a_model_of_the_9th_edition_asks_for_the_extension_of_a_stage_of_the_8th() -> None:
    gate = StageGate(t="T3", n="N1", m="M0", edition="9")
    stage = parse_stage("T3N1M0", "8")
    assert judge_stage(stage, gate).eligible == "ask"
    assert judge_stage(parse_stage("T3N1M0", "8", ene="no"), gate).eligible == "yes"
    assert judge_stage(parse_stage("T3N1M0", "9"), gate).eligible == "yes"


@pytest.mark.parametrize(
    ("text", "number"),
    [("8.0", "8"), ("AJCC 2017", "8"), ("UICC 2010", "7"), ("AJCC 2025", "9"), ("IX", "9"), ("Ninth", "9"), ("", None)],
)
def test_an_edition_is_read_by_number_year_and_ordinal(text: str, number: str | None) -> None:
    edition = read_edition(text)
    assert (edition.number, edition.is_unreadable) == (number, False)


@pytest.mark.parametrize("text", ["2", "10", "2002", "AJCC", "8 or 9", "eighth (2010)", "福州分期", "foo", "T3"])
def test_an_edition_that_cannot_be_read_is_unknown_and_never_another_one(text: str) -> None:
    edition = read_edition(text)
    assert edition.number is None
    assert edition.is_unreadable or text == "AJCC"


@pytest.mark.parametrize(
    "text",
    ["T3-4N1M0", "T3/T4N1M0", "T3N1-2M0", "T3N1M0 or T4", "T3N1M0?", "T3N1MO", "not T3N1M0", "T3N1M0 vs T2N1M0",
     "T3N1M0 breast", "T3N1M0/T3N2M0", "N1T3M0", "T3N1M0 unlikely"],
)  # fmt: skip
def test_a_text_is_read_whole_or_not_at_all(text: str) -> None:
    with pytest.raises(InputError, match="not TNM"):
        parse_stage(text)


def test_parts_of_a_stage_are_joined_with_all_that_they_say() -> None:
    parts = [parse_category("T", "cT3 (AJCC 9)"), parse_category("N", "1"), parse_category("M", "M0")]
    assert join_parts(parts, "8").to_json() == {"t": "T3", "n": "N1", "m": "M0", "prefix": "c", "edition": "9"}
    other = [*parts, parse_category("M", "0", "AJCC 8")]
    assert join_parts(other).edition_text == "8 and 9"
    with pytest.raises(InputError, match="one value of N"):
        join_parts([*parts, parse_category("N", "2")])
    with pytest.raises(InputError, match="expected a value of T"):
        parse_category("T", "N1")


@pytest.mark.parametrize(
    "text",
    ["T3N1M0 - 8th edition AJCC/UICC", "T3N1M0/III (AJCC 8)", "cT3N1M0III期（AJCC第8版）",
     "NPC T3N1M0 EBV+, AJCC 8, G3", "鼻咽非角化性癌 cT3N1M0 Ⅲ期 第8版",
     "T3(m)N1(f)M0 AJCC 8", "T: 3, N: 1, M: 0 (8)", "UICC/AJCC 2018 T3N1M0, MRI"],
)  # fmt: skip
def test_what_clinics_write_beside_a_stage_does_not_hide_it(text: str) -> None:
    stage = parse_stage(text)
    assert (stage.text, stage.edition) == ("T3N1M0", "8")


@pytest.mark.parametrize("text", ["T3-4N1M0", "T3N1-2M0", "T3N1M0-1", "T3N1M0/1"])
def test_a_range_is_named_as_such(text: str) -> None:
    with pytest.raises(InputError, match="found a range"):
        parse_stage(text, "8")
