"""Limits from a cohort, and what is said of a study beyond them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from config.errors import ModelBundleError
from config.indication.organs import is_uninvaded_organ
from config.settings import Settings
from workers.bundles.bundle import load_bundle
from workers.pipeline.report_values import implausible_reasons
from workers.plausibility.checks import GROUPS, implausibilities
from workers.plausibility.limits import SIDES, calibrate, read_limits


def cohort(n: int = 100) -> list[dict[str, float]]:
    rng = np.random.default_rng(1)
    return [
        {
            "volume_ml": float(np.exp(rng.normal(3.0, 0.4))),
            "outline": float(rng.normal(0.3, 0.05)),
            "outline_mirrored": float(abs(rng.normal(0.05, 0.03))),
            "smoothness.T1w": float(rng.normal(0.94, 0.01)),
        }
        for _ in range(n)
    ]


def test_limits_are_the_median_plus_one_and_a_half_times_the_distance_to_the_extreme_percentiles() -> None:
    rows = cohort()
    limits = calibrate(rows, {}).limits
    outline = np.array([row["outline"] for row in rows])
    median = np.median(outline)
    assert limits["outline"].low == pytest.approx(median - 1.5 * (median - np.quantile(outline, 0.01)), abs=1e-4)
    assert limits["outline"].high is None
    volume = np.log([row["volume_ml"] for row in rows])
    middle = np.median(volume)
    expected = np.exp(middle + 2.0 * (np.quantile(volume, 0.99) - middle))
    assert limits["volume_ml"].high == pytest.approx(expected, rel=1e-3)
    # A better fit of the mirror image is wrong, however far from the median 0 is.
    assert limits["outline_mirrored"].low == 0.0
    # Enhancement is 0 without contrast: the limit is between that and the least enhancement.
    least = calibrate([{"enhancement": 0.2 + 0.002 * i} for i in range(101)], {}).limits["enhancement"].low
    assert least == pytest.approx(0.25 * 0.202, abs=1e-4)


def test_a_size_outside_the_range_is_a_question_and_far_outside_a_refusal() -> None:
    rows = cohort()
    limits = calibrate(rows, {})
    limit = limits.limits["volume_ml"]
    assert limit.high is not None
    usual = {name: limits.limits[name].median for name in limits.limits}
    assert implausibilities(usual, limits) == []
    (question,) = implausibilities({**usual, "volume_ml": (limit.highest + limit.high) / 2}, limits)
    assert not question.stops
    (refusal,) = implausibilities({**usual, "volume_ml": limit.high * 2}, limits)
    assert refusal.stops
    assert refusal.code == "implausible_volume"
    assert f"{limit.high * 2:.2f} mL" in refusal.text


def test_a_value_that_is_no_number_is_outside() -> None:
    limits = calibrate(cohort(), {})
    (found,) = implausibilities({"outline": float("nan")}, limits)
    assert found.stops


def test_limits_are_read_as_they_were_written(tmp_path: Path) -> None:
    limits = calibrate(cohort(), {"description": "x"})
    path = tmp_path / "plausibility.json"
    path.write_text(json.dumps(limits.to_json()))
    assert read_limits(path) == limits
    path.write_text(json.dumps({**limits.to_json(), "version": 2}))
    with pytest.raises(ModelBundleError, match="version"):
        read_limits(path)
    path.write_text(path.read_text()[:40])
    with pytest.raises(ModelBundleError, match="limits of plausibility"):
        read_limits(path)


def test_of_several_causes_the_first_is_named_and_not_what_follows_from_it() -> None:
    limits = calibrate(cohort(), {})
    usual = {name: limits.limits[name].median for name in limits.limits}
    found = implausibilities({**usual, "smoothness.T1w": 0.0, "outline": -1.0, "volume_ml": 1e6}, limits)
    assert [one.code for one in found] == ["not_an_image"]


def test_few_patients_give_no_limits() -> None:
    with pytest.raises(ModelBundleError, match="at least 20"):
        calibrate(cohort(19), {})


@pytest.mark.parametrize("kind", SIDES)
def test_every_measure_has_a_sentence_that_names_what_to_do(kind: str) -> None:
    role = ".T1w" if kind in ("smoothness", "slice_order", "same_head", "same_head_gap", "same_side") else ""
    rows = [{kind + role: float(v)} for v in np.linspace(0.2, 0.8, 40)]
    limits = calibrate(rows, {})
    found = [one for value in (-100.0, 100.0) for one in implausibilities({kind + role: value}, limits)]
    assert found
    for one in found:
        assert one.code in GROUPS
        assert "expected" in one.text
        assert "found" in one.text
        assert "None" not in one.text
        assert one.text.count(";") == 1


def test_a_bundle_without_limits_says_that_nothing_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = load_bundle("demonstration")
    monkeypatch.setitem(bundle.__dict__, "plausibility", None)
    stops, questions = implausible_reasons({"outline": 0.3}, bundle)
    assert stops == []
    assert [reason.code for reason in questions] == ["plausibility_not_checked"]
    assert Settings().eligibility.plausibility is None  # as out_of_distribution


@pytest.mark.parametrize(
    ("name", "organ"),
    [
        ("Brainstem", True), ("BrainStem", True), ("brain stem", True), ("脑干", True), ("SpinalCord", True),
        ("Cord", True), ("Parotid_L", True), ("OpticNerve_R", True), ("Lens L", True), ("颞叶R", True),
        ("Brainstem_PRV", False), ("Brainstem+3mm", False), ("PTV70-Brainstem", False), ("GTVp", False),
        ("Pharynx", False), ("Mandible", False), ("脑干外扩3mm", False), ("Brain", False), ("GTVnd", False),
        ("Submandibular_L", True),
    ],
)  # fmt: skip
def test_organs_are_known_by_their_names_and_margins_are_not(name: str, organ: bool) -> None:
    assert is_uninvaded_organ(name) is organ
