"""The calculator, `cptdn nomogram score` and the report print the same digits for the same inputs."""

from __future__ import annotations

import random
import re
from typing import Any
from urllib.parse import urlencode

import pytest

from config.decision_policy import active_policy
from config.indication.vocabulary import EbvCategory
from dicom_sr.report import numbers
from dicom_sr.report.plain_text import difference_text
from dicom_sr.report.treatment_report import Scenario
from dicom_sr.report.wording import ENGLISH
from node.cli.app import main
from tests.dicom_sr import samples
from tests.web.conftest import Site
from workers.bundles.bundle import load_bundle
from workers.nomogram.patient_prediction import PatientInputs, covariates_and_category
from workers.pipeline.report_values import _scenario

N_INPUTS = 120
EXAMPLE = ("40", ">4000", "0", "-0.4")


def inputs() -> list[tuple[str, str, str, str]]:
    """Patients all over the axes, with the decimals that a report shows; rates near a rounding edge among them."""
    rng = random.Random(20261)
    return [EXAMPLE] + [
        (
            f"{rng.uniform(14, 72):.1f}", rng.choice([">4000", "<400", "5200", "120", "not-detected"]),
            f"{rng.uniform(-1, 1):.4f}", f"{rng.uniform(-1, 1):.4f}",
        )
        for _ in range(N_INPUTS)
    ]  # fmt: skip


def report_scenario(values: tuple[str, str, str, str], site: Site) -> Scenario:
    """The same patient as the report's own value, rounded where the report rounds."""
    age, ebv, prognostic, predictive = values
    settings, nomogram = site.context.settings, load_bundle("demonstration").nomogram
    given = PatientInputs(float(age), ebv, float(prognostic), float(predictive))
    covariates, category = covariates_and_category(given, active_policy(settings))
    return _scenario(samples.scored(), EbvCategory(category), nomogram.score(covariates))


def page_rates(site: Site, values: tuple[str, str, str, str]) -> list[str]:
    query = urlencode(dict(zip(("age", "ebv_dna", "prognostic_score", "predictive_score"), values, strict=True)))
    text = site.browser().get(f"/calculator/answer?{query}").text
    cells = re.findall(r'<td class="n"><strong>(\S+?)(?: %)?</strong><small>95 % CI (\S+ to \S+)</small>', text)
    assert len(cells) == 6, text[:800]
    return [f"{value} ({interval})" for value, interval in cells]


def test_page_and_report_agree_to_the_last_digit(site: Site) -> None:
    for values in inputs():
        scenario = report_scenario(values, site)
        expected = [
            f"{numbers.percent(arm.dfs[month].value)} ({numbers.interval(arm.dfs[month].ci95)})"
            for arm in (scenario.ict_ccrt, scenario.ccrt)
            for month in (60, 36)
        ]
        expected += [difference_text(scenario, month, ENGLISH) for month in (60, 36)]
        assert page_rates(site, values) == expected, values


def test_command_and_report_agree_to_the_last_digit(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    for age, ebv, prognostic, predictive in inputs()[:40]:
        scenario = report_scenario((age, ebv, prognostic, predictive), site)
        with pytest.raises(SystemExit):
            main(
                ["nomogram", "score", "--age", age, "--ebv-dna", ebv, f"--prognostic-score={prognostic}",
                 f"--predictive-score={predictive}"]
            )  # fmt: skip
        told = capsys.readouterr().out
        for month in (36, 60):
            row = next(line for line in told.splitlines() if f"DFS at {month} months" in line)
            shown = re.findall(r"([+-]?\d+\.\d)(?: %)? \(([^)]*)\)", row)
            arms = [scenario.ict_ccrt, scenario.ccrt]
            expected = [(numbers.percent(a.dfs[month].value), numbers.interval(a.dfs[month].ci95)) for a in arms]
            change = re.fullmatch(r"(\S+) \((.*)\)", difference_text(scenario, month, ENGLISH))
            assert change is not None
            assert shown == [*expected, (change[1], change[2])], (age, ebv, prognostic, predictive)


def test_the_difference_is_that_of_the_printed_rates(site: Site) -> None:
    for values in inputs()[:60]:
        ict_60, ict_36, ccrt_60, ccrt_36, gain_60, gain_36 = (
            float(text.split()[0]) for text in page_rates(site, values)
        )
        assert round(ict_60 - ccrt_60, 1) == gain_60
        assert round(ict_36 - ccrt_36, 1) == gain_36


def test_the_published_example_is_there_without_any_input(site: Site) -> None:
    text = site.browser().get("/calculator").text
    for shown in ("83.5 %", "62.8 %", "81 %", "63 %", "induction chemotherapy, then concurrent chemoradiotherapy"):
        assert shown in text
    sentence = "ICT+CCRT: 5-year DFS with ICT+CCRT minus CCRT is +20.7 percentage points (95 % CI +8.3 to +33.0)"
    assert sentence in text
    # Around -0.112, where both regimens are equal whatever the other inputs are, no regimen is better for sure.
    between = re.search(r"(-?\d\.\d\d) to (-?\d\.\d\d) No reliable difference", text)
    assert between is not None
    assert float(between[1]) < -0.112 < float(between[2])


def test_unknown_ebv_dna_shows_both_categories(site: Site) -> None:
    query = urlencode({"age": "40", "ebv_dna": "unknown", "prognostic_score": "0", "predictive_score": "-0.4"})
    text = site.browser().get(f"/calculator/answer?{query}").text
    assert text.count('<table class="rates">') == 2
    assert text.count('class="curves"') == 2
    assert "EBV DNA is unknown" in text


def test_what_is_outside_the_training_cohort_is_marked(site: Site) -> None:
    query = urlencode({"age": "80", "ebv_dna": ">4000", "prognostic_score": "0", "predictive_score": "-0.4"})
    assert (
        "age in years 80.0 is outside the training cohort (14.0 to 72.0)"
        in site.browser().get(f"/calculator?{query}").text
    )


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"age": "old"}, "expected age as a number"),
        ({"age": "nan"}, "expected age between 0 and 130 years"),
        ({"prognostic_score": "2"}, "Prognostic-score between -1 and 1"),
        ({"ebv_dna": "much"}, "is not a number"),
        ({"ebv_dna": ">100"}, "100"),
        ({"predictive_score": ""}, "expected predictive score as a number"),
    ],
)
def test_impossible_inputs_get_a_sentence(site: Site, changed: dict[str, str], said: str) -> None:
    given: dict[str, Any] = dict(zip(("age", "ebv_dna", "prognostic_score", "predictive_score"), EXAMPLE, strict=True))
    answer = site.browser().get(f"/calculator?{urlencode({**given, **changed})}")
    assert answer.status_code == 200
    assert said in answer.text
    assert 'class="recommendation"' not in answer.text


def test_the_drawing_is_an_svg_that_may_not_run_anything(site: Site) -> None:
    given = dict(zip(("age", "ebv_dna", "prognostic_score", "predictive_score"), EXAMPLE, strict=True))
    for style in ("light", "dark"):
        answer = site.browser().get(f"/calculator/nomogram.svg?{urlencode({**given, 'style': style})}")
        assert answer.headers["content-type"] == "image/svg+xml"
        assert "sandbox" in answer.headers["content-security-policy"]
        assert answer.text.lstrip().startswith("<?xml")
        assert "<script" not in answer.text
