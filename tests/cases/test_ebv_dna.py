"""EBV DNA in the laboratory's words: the right side of the threshold, or a refusal."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import IneligibleStudyError
from node.cases.ebv_dna import parse_ebv_dna

ABOVE, NOT_ABOVE, UNKNOWN = ">threshold", "<=threshold", "unknown"
THRESHOLD = 4000.0


@pytest.mark.parametrize(
    ("text", "category", "copies"),
    [
        ("5000", ABOVE, 5000), ("5,000", ABOVE, 5000), ("12,500.5", ABOVE, 12500.5), ("5e3", ABOVE, 5000),
        ("5.2E+03", ABOVE, 5200), ("5×10^3", ABOVE, 5000), ("5x103", ABOVE, 5000), ("2.1*10^4", ABOVE, 21000),
        ("1.2万", ABOVE, 12000), ("5000 copies/mL", ABOVE, 5000),
        ("5000拷贝/ml", ABOVE, 5000), ("４１００", ABOVE, 4100),
        ("0", NOT_ABOVE, 0), ("3999.9", NOT_ABOVE, 3999.9), ("4000", NOT_ABOVE, 4000),
        (">4000", ABOVE, None), ("＞4000", ABOVE, None), ("≥4001", ABOVE, None), ("大于5000", ABOVE, None),
        ("<400", NOT_ABOVE, None), ("< 4000", NOT_ABOVE, None), ("<=4000", NOT_ABOVE, None),
        ("小于400", NOT_ABOVE, None),
        ("not detected", NOT_ABOVE, None), ("Not-Detected", NOT_ABOVE, None), ("阴性", NOT_ABOVE, None),
        ("未检出", NOT_ABOVE, None), ("Negative", NOT_ABOVE, None), ("unknown", UNKNOWN, None), ("", UNKNOWN, None),
    ],
)  # fmt: skip
def test_words_are_resolved_to_a_side(text: str, category: str, copies: float | None) -> None:
    value = parse_ebv_dna(text, THRESHOLD)
    assert (value.category, value.copies_per_ml, value.as_given) == (category, copies, text)


@pytest.mark.parametrize(
    "text", [">400", ">=4000", ">3999", "<4001", "<=5000", "≤40000", "~5000", "about 5000", "5.000", "12,34", "-5",
             "positive", "阳性", "5000 IU/mL", "5000 IU", "5000 copies/L", "5000 ng/mL", "5000 copies", "1e300", "nan",
             "inf", "5000 4000", "13 log10 copies/mL", "3.7 log10"],
)  # fmt: skip
def test_what_leaves_the_side_or_the_unit_open_is_refused(text: str) -> None:
    with pytest.raises(IneligibleStudyError) as caught:
        parse_ebv_dna(text, THRESHOLD)
    assert caught.value.code == "ebv_dna_unusable"
    assert text in str(caught.value)


def test_a_value_at_the_threshold_follows_the_setting() -> None:
    assert parse_ebv_dna("4000", THRESHOLD, inclusive=False).category == NOT_ABOVE
    assert parse_ebv_dna("4000", THRESHOLD, inclusive=True).category == ABOVE
    assert parse_ebv_dna(">=4000", THRESHOLD, inclusive=True).category == ABOVE
    with pytest.raises(IneligibleStudyError):
        parse_ebv_dna("<=4000", THRESHOLD, inclusive=True)


@pytest.mark.parametrize(
    ("text", "unit", "copies"),
    [
        ("5000", "copies/mL", 5000), ("5000", "{copies}/mL", 5000), ("5000", "[copies]/mL", 5000),
        ("5", "10*3.{copies}/mL", 5000), ("5", "10*3/mL", 5000), ("5000", "cps/mL", 5000), ("5000", "拷贝/mL", 5000),
        ("3", "log10 copies/mL", 1000), ("3", "{Log_copies}/mL", 1000), ("3", "lg copies/mL", 1000),
    ],
)  # fmt: skip
def test_units(text: str, unit: str, copies: float) -> None:
    assert parse_ebv_dna(text, THRESHOLD, unit=unit).copies_per_ml == pytest.approx(copies)


@pytest.mark.parametrize("unit", ["IU/mL", "[IU]/mL", "{Log_IU}/mL", "log10 IU/mL", "log10", "ng/mL", "copies/L", "%"])
def test_other_units_are_refused(unit: str) -> None:
    with pytest.raises(IneligibleStudyError):
        parse_ebv_dna("3", THRESHOLD, unit=unit)


def test_a_site_may_convert_its_international_units() -> None:
    assert parse_ebv_dna("3000", THRESHOLD, unit="IU/mL", copies_per_iu=2.0).copies_per_ml == 6000
    assert parse_ebv_dna("3", THRESHOLD, unit="log10 IU/mL", copies_per_iu=2.0).copies_per_ml == pytest.approx(2000)


@pytest.mark.parametrize("specimen", ["Whole blood", "全血", "Vollblut", "WB", "PBMC", "Cerebrospinal fluid CSF"])
def test_other_specimens_are_refused(specimen: str) -> None:
    with pytest.raises(IneligibleStudyError, match="plasma"):
        parse_ebv_dna("5000", THRESHOLD, specimen=specimen)


@pytest.mark.parametrize("specimen", ["Plasma", "serum", "血浆", "PLAS Plasma", None, ""])
def test_plasma_and_serum_are_accepted(specimen: str | None) -> None:
    assert parse_ebv_dna("5000", THRESHOLD, specimen=specimen).category == ABOVE


def test_units_that_disagree_are_refused() -> None:
    with pytest.raises(IneligibleStudyError, match="two units"):
        parse_ebv_dna("5 copies/mL", THRESHOLD, unit="10*3/mL")


@given(st.text(max_size=40), st.one_of(st.none(), st.text(max_size=12)), st.one_of(st.none(), st.text(max_size=12)))
def test_no_text_crashes(text: str, unit: str | None, specimen: str | None) -> None:
    try:
        value = parse_ebv_dna(text, THRESHOLD, unit=unit, specimen=specimen)
    except IneligibleStudyError:
        return
    assert value.category in (ABOVE, NOT_ABOVE, UNKNOWN)
    assert value.copies_per_ml is None or math.isfinite(value.copies_per_ml)


@given(
    st.sampled_from([">", ">=", "<", "<="]),
    st.integers(min_value=0, max_value=100_000),
    st.integers(min_value=1, max_value=50_000),
    st.booleans(),
)
def test_a_comparator_is_accepted_only_when_all_its_values_are_on_one_side(
    comparator: str, bound: int, threshold: int, inclusive: bool
) -> None:
    candidates = {0.0, 1e11, float(threshold)}
    candidates |= {bound + d for d in (-0.25, 0.0, 0.25)} | {threshold + d for d in (-0.25, 0.25)}
    holds = {">": lambda v: v > bound, ">=": lambda v: v >= bound, "<": lambda v: v < bound, "<=": lambda v: v <= bound}
    allowed = [value for value in candidates if value >= 0 and holds[comparator](value)]
    sides = {(value >= threshold) if inclusive else (value > threshold) for value in allowed}
    try:
        value = parse_ebv_dna(f"{comparator}{bound}", threshold, inclusive)
    except IneligibleStudyError:
        assert len(sides) == 2
    else:
        assert len(sides) <= 1
        assert sides <= {value.category == ABOVE}


@given(st.floats(min_value=0, max_value=1e9), st.booleans())
def test_a_number_is_read_back(copies: float, inclusive: bool) -> None:
    value = parse_ebv_dna(repr(copies) if copies % 1 else str(int(copies)), THRESHOLD, inclusive, unit="copies/mL")
    assert value.copies_per_ml == copies
    assert (value.category == ABOVE) == (copies >= THRESHOLD if inclusive else copies > THRESHOLD)


@pytest.mark.parametrize(
    ("text", "unit", "copies"),
    [
        ("12,500.5", None, 12500.5), ("1,234,567", None, 1234567), ("5 200", None, 5200), ("12 500.5", None, 12500.5),
        ("5'200", None, 5200), ("5’200", None, 5200), ("5\u202f200", None, 5200), ("0.500", None, 0.5),
        ("5000.125", None, 5000.125), ("5.200e3", None, 5200), ("5.20", "10*3 copies/mL", 5200),
        ("5 10*3 copies/mL", None, 5000), ("3.716", "log10 copies/mL", 10**3.716),
        ("3.716 log10 copies/mL", None, 10**3.716),
    ],
)  # fmt: skip
def test_one_rule_for_decimals_and_groups(text: str, unit: str | None, copies: float) -> None:
    """Point for decimals; comma, space or apostrophe for groups of three: the convention of SI and of laboratories."""
    assert parse_ebv_dna(text, THRESHOLD, unit=unit).copies_per_ml == pytest.approx(copies)


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("5.000", None), ("0,500", None), ("12,5", None), ("5200,5", None), ("12.500,5", None), ("1.234.567", None),
        ("5,0000", None), ("5,000,00", None), ("5,000'000", None), ("00,500", None), ("5.000", "copies/mL"),
        ("3,716", "log10 copies/mL"), ("3,716 log10 copies/mL", None), ("5.000", "10*3 copies/mL"), ("5..5", None),
    ],
)  # fmt: skip
def test_another_convention_or_two_readings_are_refused_with_the_rule(text: str, unit: str | None) -> None:
    with pytest.raises(IneligibleStudyError, match="may mean thousands or decimals; write the decimal sign as a point"):
        parse_ebv_dna(text, THRESHOLD, unit=unit)
