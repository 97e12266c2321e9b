"""TNM and dates as people write them."""

from __future__ import annotations

from datetime import date, time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import InputError
from node.cases.dates import parse_date, parse_dicom_time
from node.cases.stage import parse_edition, parse_stage


@pytest.mark.parametrize(
    "text", ["T3N1M0", "cT3 N1 M0", "T3, N1, M0", "t3n1m0", "cT3cN1cM0", "T3-N1-M0", "Ｔ３Ｎ１Ｍ０", "T3 N1 M0 "]
)
def test_the_same_stage_in_many_forms(text: str) -> None:
    stage = parse_stage(text, "AJCC 8")
    assert (stage.t, stage.n, stage.m, stage.edition, stage.complete) == ("T3", "N1", "M0", "8", True)
    assert stage.text == "T3N1M0"


def test_parts_prefixes_and_subcategories() -> None:
    assert parse_stage("T3").complete is False
    assert parse_stage("Tx N1 M0").t is None
    assert parse_stage("ycT3N1M0").prefix == "yc"
    assert parse_stage("T4aN3bM1c").text == "T4aN3bM1c"
    assert parse_stage("unknown", "8").text == "unknown"


@pytest.mark.parametrize("text", ["III", "stage III", "T5N1M0", "T3N4M0", "hello", "N1T3", "T", "3"])
def test_what_is_not_tnm_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="not TNM"):
        parse_stage(text)


@pytest.mark.parametrize(
    ("text", "edition"),
    [("8", "8"), ("AJCC 8", "8"), ("8th", "8"), ("8th edition", "8"), ("UICC 7", "7"), ("第8版", "8"),
     ("AJCC第8版", "8"),
     (None, None), ("", None)],
)  # fmt: skip
def test_editions(text: str | None, edition: str | None) -> None:
    assert parse_edition(text) == edition


def test_an_unknown_edition_is_refused() -> None:
    with pytest.raises(InputError, match="edition"):
        parse_edition("Chinese 2008")


@pytest.mark.parametrize(
    "text", ["2026-05-03", "2026-5-3", "20260503", "2026/5/3", "2026.5.3", "2026年5月3日", "20260503101500",
             "202605031015", "2026-05-03T10:15:00+08:00", "20260503101500.123+0800"],
)  # fmt: skip
def test_one_day_in_many_forms(text: str) -> None:
    assert parse_date(text) == date(2026, 5, 3)


@pytest.mark.parametrize("text", ["03/05/2026", "5.3.2026", "2026-02-30", "2026", "tomorrow", "", "20261340"])
def test_a_date_of_two_readings_or_none_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_date(text)


@given(st.text(max_size=30))
def test_no_text_crashes(text: str) -> None:
    for read in (parse_stage, parse_date, parse_edition):
        try:
            read(text)
        except InputError:
            continue


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("101500", time(10, 15)),
        ("93600", time(9, 36)),
        (93600, time(9, 36)),
        ("936", time(9, 36)),
        ("09", time(9)),
        ("9", time(9)),
        ("10:15:07", time(10, 15, 7)),
        ("9:5", time(9, 5)),
        ("101500.25", time(10, 15, 0, 250_000)),
        ("93600.1234567", time(9, 36, 0, 123_456)),
        ("235960", time(23, 59, 59)),
        ("000000", time(0)),
        ("256199", None),
        ("240000", None),
        ("1015.5", None),
        ("1015007", None),
        ("", None),
        (None, None),
        ("morning", None),
    ],
)
def test_a_dicom_time_is_read_in_every_form_that_scanners_write(text: object, expected: time | None) -> None:
    assert parse_dicom_time(text) == expected
