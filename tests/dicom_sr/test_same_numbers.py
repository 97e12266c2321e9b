"""Every number is the same string in SR, picture, PDF, FHIR and JSON, whatever was computed."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import Dataset

from config.indication.vocabulary import EbvCategory
from dicom_sr.content.structured_report import build_sr
from dicom_sr.objects.fhir import fhir_bundle
from dicom_sr.page.layout import render_pages
from dicom_sr.page.output import pages_pdf
from dicom_sr.report.json_form import to_json
from dicom_sr.report.plain_text import plain_text
from dicom_sr.report.report_inputs import PagePictures, ReportOptions, SourceStudy
from dicom_sr.report.treatment_report import Scenario, Scores, TreatmentReport
from tests.dicom_sr import samples
from tests.dicom_sr.strategies import scenarios, scores, stabilities
from tests.dicom_sr.test_page import PATIENT
from tests.peers import peer

SMALL = SourceStudy(tuple(samples.mr_dataset(role, 0) for role in samples.ROLES))
CATEGORIES = st.sampled_from(
    [(EbvCategory.ABOVE,), (EbvCategory.NOT_ABOVE,), (EbvCategory.NOT_ABOVE, EbvCategory.ABOVE)]
)


@st.composite
def computed(draw: st.DrawFn) -> TreatmentReport:
    """A report with any rates, intervals, points, scores, age and EBV DNA."""
    base = samples.scored()
    stability = draw(st.none() | stabilities())
    found = tuple(
        draw(scenarios(category, base.horizons_months, base.model, base.is_valid, stability))
        for category in draw(CATEGORIES)
    )
    category = found[0].ebv_category if len(found) == 1 else EbvCategory.UNKNOWN
    return replace(
        base,
        scenarios=found,
        stability=stability,
        ebv_dna=replace(base.ebv_dna, category=category),
        scores=Scores(draw(scores), draw(scores)),
        age_years=draw(st.floats(1, 99)),
    )


def shown(report: TreatmentReport) -> tuple[set[str], dict[str, dict[tuple[str, int], str]]]:
    """What the JSON document says, written with one decimal: all rates; and by category and (arm, months) the rate."""
    document = to_json(report)
    by_category = document.get("by_ebv_dna_category") or {report.scenarios[0].ebv_category.value: document}
    rates = {
        category: {
            (arm, int(months)): f"{Decimal(str(one['value'])) * 100:.1f}"
            for arm, horizons in found["dfs"].items()
            for months, one in horizons.items()
        }
        for category, found in by_category.items()
    }
    ends = {
        f"{Decimal(str(end)) * 100:.1f}"
        for found in by_category.values()
        for horizons in found["dfs"].values()
        for one in horizons.values()
        for end in one["ci95"]
    }
    return ends | {rate for found in rates.values() for rate in found.values()}, rates


def differences(rates: dict[tuple[str, int], str], scenario: Scenario) -> set[str]:
    """Displayed minus displayed, as a reader subtracts it, in percentage points."""
    gains = {Decimal(rates["ICT+CCRT", months]) - Decimal(rates["CCRT", months]) for months in scenario.ccrt.dfs}
    return {f"{gain:+.1f}" if gain else "0.0" for gain in gains}


def shows_points(text: str, difference: str) -> bool:
    """Tell whether a difference stands in a text as a number of its own and not as a rate in percent."""
    return re.search(rf"(?<![\d.+-]){re.escape(difference)}(?!\d| %)", text) is not None


def numeric_values(item: Dataset) -> Iterator[str]:
    """NumericValue of every NUM item, as it is written."""
    for value in item.get("MeasuredValueSequence", ()):
        yield str(value.NumericValue)
    for part in item.get("ContentSequence", ()):
        yield from numeric_values(part)


def texts(item: Dataset) -> Iterator[str]:
    """Text Value of every TEXT item, as it is written."""
    if "TextValue" in item:
        yield str(item.TextValue)
    for part in item.get("ContentSequence", ()):
        yield from texts(part)


def fhir_conclusion(report: TreatmentReport) -> str:
    return str(fhir_bundle(report)["entry"][-1]["resource"]["conclusion"])


def check(report: TreatmentReport) -> None:
    everywhere, rates = shown(report)
    sr = build_sr(report, SMALL, ReportOptions(kinds=("sr",)))
    for words in ("\n".join(texts(sr)), fhir_conclusion(report), plain_text(report)):
        assert all(sentence in words for sentence in to_json(report)["sentences"])
    in_sr = list(numeric_values(sr))
    assert everywhere <= set(in_sr)
    for text in (f"{report.scores.prognostic_score:.4f}", f"{report.scores.predictive_score:.4f}"):  # type: ignore[union-attr]
        assert text in in_sr
    light = render_pages(report, PagePictures(), "light", "en", PATIENT)
    in_pdf = subprocess.run(
        [peer("pdftotext", "poppler-utils"), "-layout", "-", "-"], input=pages_pdf(light, "title", report.created),
        capture_output=True, check=True,
    ).stdout.decode()  # fmt: skip
    dark = render_pages(report, PagePictures(), "dark", "en", PATIENT)
    in_picture = "\n".join(text.text for page in dark for text in page.texts)
    in_fhir = [
        prediction["rationale"]
        for entry in fhir_bundle(report)["entry"]
        for prediction in entry["resource"].get("prediction", ())
    ]
    for number in everywhere:
        assert f"{number} %" in in_pdf or f"{number} to" in in_pdf or f"to {number}" in in_pdf
        assert f"{number} %" in in_picture or f"{number} to" in in_picture or f"to {number}" in in_picture
    for scenario in report.scenarios:
        found = rates[scenario.ebv_category.value]
        for difference in differences(found, scenario):
            assert shows_points(in_pdf, difference), difference
            assert shows_points(in_picture, difference), difference
        for rate in found.values():
            assert any(text.startswith(f"{rate} %") for text in in_fhir)


SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(max_examples=4, deadline=None, suppress_health_check=SLOW)
@given(computed())
def test_any_number_is_the_same_string_everywhere(report: TreatmentReport) -> None:
    check(report)


@pytest.mark.long
@settings(max_examples=150, deadline=None, suppress_health_check=SLOW)
@given(computed())
def test_many_numbers_are_the_same_string_everywhere(report: TreatmentReport) -> None:
    check(report)
