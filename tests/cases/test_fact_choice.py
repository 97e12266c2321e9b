"""Which facts count for one MR: windows, courses of treatment, conversions, identity."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.decision_policy import active_policy
from config.settings import ClinicalSettings, IuFactor, Settings
from node.cases.assessment import Assessment, assess_inputs
from node.cases.clinical_facts import ClinicalFacts, DateFact, EbvResult, Provenance, StartKind
from node.cases.fact_choice import choose_facts, choose_start
from node.cases.iu_conversion import iu_factor
from tests.cases.case_headers import BY_HAND, NOW, case, facts, structure_set, whole_study

MR = date(2026, 5, 1)
SETTINGS = Settings()


def starts(*days: tuple[date, StartKind]) -> ClinicalFacts:
    return ClinicalFacts(treatment_starts=tuple(DateFact(day, BY_HAND, kind) for day, kind in days))


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ([(date(2026, 5, 11), "stated")], date(2026, 5, 11)),
        ([(date(2026, 5, 11), "stated"), (date(2026, 5, 13), "stated")], date(2026, 5, 13)),  # corrected
        ([(date(2026, 6, 1), "given"), (date(2026, 5, 11), "given")], date(2026, 5, 11)),  # cycles
        ([(date(2026, 5, 8), "planned"), (date(2026, 5, 11), "given")], date(2026, 5, 11)),
        ([(date(2026, 7, 20), "planned"), (date(2026, 5, 11), "planned")], date(2026, 5, 11)),
        ([(date(2026, 5, 13), "stated"), (date(2026, 5, 11), "given")], date(2026, 5, 11)),
        ([(date(2028, 5, 13), "given"), (date(2026, 5, 11), "given")], date(2026, 5, 11)),  # a recurrence
        ([(date(2028, 5, 13), "given")], None),
        ([(date(2027, 5, 13), "stated")], date(2027, 5, 13)),  # the MR is too old, and the case says so
        ([], None),
    ],
)
def test_the_start_of_treatment_is_that_of_the_course_of_the_mr(
    statements: list[tuple[date, StartKind]], expected: date | None
) -> None:
    start, _, _ = choose_start(starts(*statements), MR)
    assert (start.day if start else None) == expected


@given(
    days=st.lists(st.integers(min_value=-100, max_value=60), unique=True, max_size=8),
    start=st.none() | st.integers(min_value=0, max_value=14),
    seed=st.randoms(use_true_random=False),
)
def test_the_draw_that_counts_is_the_last_of_the_window_in_any_order(
    days: list[int], start: int | None, seed: Any
) -> None:
    """The oracle is the sentence of the rule: 60 days before to 14 after the MR, none after the start of treatment."""
    results = [EbvResult(str(1000 + day), Provenance("lab", None, MR + timedelta(days=day))) for day in days]
    seed.shuffle(results)
    known = ClinicalFacts(
        ebv_dna=tuple(results),
        treatment_start=DateFact(MR + timedelta(days=start), BY_HAND) if start is not None else None,
    )
    used = choose_facts(known, MR, SETTINGS).ebv_dna
    allowed = [day for day in days if -60 <= day <= 14 and (start is None or day <= start)]
    assert [result.text for result in used] == [str(1000 + day) for day in sorted(allowed, reverse=True)]


FACTORS = (
    IuFactor(factor=1.0, laboratory="Lab A"), IuFactor(factor=2.0, laboratory="lab a", assay="cobas"),
    IuFactor(factor=3.0, laboratory="Lab A", assay="cobas", since=date(2026, 4, 1)),
    IuFactor(factor=4.0, assay="other"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("laboratory", "assay", "day", "expected"),
    [
        ("LAB  A", None, None, 1.0), ("Lab A", "Cobas", None, 2.0), ("Lab A", "cobas", date(2026, 3, 31), 2.0),
        ("Lab A", "cobas", date(2026, 4, 1), 3.0), ("Lab B", "other", None, 4.0), ("Lab B", None, None, None),
        ("Lab A", "other", None, 1.0), (None, None, None, None),
    ],
)  # fmt: skip
def test_the_factor_of_iu_is_that_of_laboratory_assay_and_day(
    laboratory: str | None, assay: str | None, day: date | None, expected: float | None
) -> None:
    factor = iu_factor(FACTORS, laboratory, assay, day)
    assert (factor.factor if factor else None) == expected


def test_the_number_of_earlier_versions_is_a_factor_for_all_and_contradictions_are_refused() -> None:
    old = ClinicalSettings(copies_per_iu=1.5)  # type: ignore[arg-type]
    assert old.copies_per_iu == (IuFactor(factor=1.5),)
    with pytest.raises(ValueError, match="two factors hold for the same draws"):
        ClinicalSettings(copies_per_iu=(IuFactor(factor=1, laboratory="A"), IuFactor(factor=2, laboratory="a ")))


def assessed(known: ClinicalFacts, settings: Settings = SETTINGS, **more: Any) -> Assessment:
    return assess_inputs(case(facts=known, **more), settings, active_policy(settings), NOW + timedelta(minutes=5))


def test_a_converted_result_is_named_in_the_report_and_another_laboratory_is_not_converted() -> None:
    clinical = SETTINGS.clinical.model_copy(update={"copies_per_iu": (IuFactor(factor=2.0, laboratory="Lab A"),)})
    settings = SETTINGS.model_copy(update={"clinical": clinical})
    result = EbvResult("3000", Provenance("lab", None, date(2026, 4, 30)), unit="IU/mL", laboratory="Lab A")
    ours = assessed(replace(facts(), ebv_dna=(result,)), settings)
    assert ours.clinical["ebv_dna"]["copies_per_ml"] == 6000
    assert "converted by 2 copies/IU (the factor of Lab A" in str([each["text"] for each in ours.quality])
    other = assessed(replace(facts(), ebv_dna=(replace(result, laboratory="Lab B"),)), settings)
    assert [reason["code"] for reason in other.reasons] == ["ebv_dna_unusable"]


def test_a_last_draw_without_result_leaves_the_one_before() -> None:
    drawn = [("9000", date(2026, 4, 20)), ("not done", date(2026, 5, 5))]
    results = tuple(EbvResult(text, Provenance("lab", None, day)) for text, day in drawn)
    assert assessed(replace(facts(), ebv_dna=results)).clinical["ebv_dna"]["copies_per_ml"] == 9000


def test_the_report_says_that_an_unknown_start_of_treatment_was_not_checked() -> None:
    unknown = assessed(replace(facts(), treatment_start=None))
    assert unknown.state == "ready"
    assert "treatment start unknown: not checked" in " ".join(each["text"] for each in unknown.conditions)


def test_facts_of_two_issuers_hold_a_case_whose_images_name_none() -> None:
    two = replace(facts(), issuers=("HOSPITAL A", "HOSPITAL B"))
    held = assessed(two)
    assert (held.state, [reason["code"] for reason in held.reasons]) == ("held", ["identity_mismatch"])
    assert "HOSPITAL A and HOSPITAL B" in held.reasons[0]["text"]
    assert assessed(two, issuer="HOSPITAL A").state == "ready"
    assert assessed(replace(facts(), issuers=("HOSPITAL A",))).state == "ready"


@pytest.mark.parametrize("more", [{"PatientName": "Else^Somebody"}, {"PatientSex": "F"}])
def test_a_contour_or_an_image_with_another_name_or_sex_holds_the_case(more: dict[str, str]) -> None:
    own = {"PatientName": "Wang^Wei", "PatientSex": "M"}
    images = [replace(image, header={**image.header, **own}) for image in whole_study()]
    for changed in (
        {"images": images, "related": [structure_set(**{**own, **more})]},
        {"images": [*images[:-1], replace(images[-1], header={**images[-1].header, **more})]},
    ):
        held = assessed(facts(), **changed)
        assert (held.state, held.reasons[0]["code"]) == ("held", "identity_mismatch")
    assert assessed(facts(), images=images, related=[structure_set(PatientName="WANG^WEI^^^")]).state == "ready"


def test_a_birth_date_by_a_message_that_is_not_the_one_in_the_images_holds_the_case() -> None:
    def born(set_by: str, day: date = date(1981, 1, 7)) -> Assessment:
        return assessed(replace(facts(), birth_date=DateFact(day, Provenance("a source", set_by))))

    assert [reason["code"] for reason in born("HL7").reasons] == ["identity_mismatch"]
    assert born("HL7", date(1980, 6, 15)).state == "ready"
    assert born("a person").state == "ready"


def test_a_treatment_before_birth_holds_the_case() -> None:
    known = replace(facts(), treatment_start=DateFact(date(1979, 5, 11), BY_HAND))
    assert "identity_mismatch" in [reason["code"] for reason in assessed(known).reasons]
