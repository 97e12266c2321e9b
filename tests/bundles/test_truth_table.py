"""The figures against the truth of phantoms, as `cptdn train` and `cptdn bundle pack --phantoms` print them."""

from __future__ import annotations

from typing import Any

import pytest

from workers.cli.truth_table import print_truth

EARLIER = {"agreement": 0.891, "firm": 0.381, "wrong_of_firm": 0.037, "coverage": {"difference": 0.824}}
NOW = {
    **EARLIER, "abstention": 0.619, "grossly_wrong_of_firm": 0.012, "answered_at_2_percent_wrong": 0.108,
    "wrong_by_share_answered": {"0.7": 0.0886, "1.0": 0.1615},
    "interval": {
        "true_scores": {"median_half_width": 0.0686, "coverage": 1.0, "abstention": 0.187, "wrong_of_firm": None},
    },
    "with_stability": {
        "n": 2000, "abstention": 0.643, "wrong_of_firm": None, "grossly_wrong_of_firm": None, "unstable_of_firm": 0.04,
        "every": {
            "n": 500, "stable": 0.672, "wrong_of_stable": 0.074, "wrong_of_unstable": 0.323,
            "wrong_by_share_answered": {"0.7": 0.0743, "1.0": 0.156},
        },
    },
}  # fmt: skip


def printed(capsys: pytest.CaptureFixture[str], truth: dict[str, Any]) -> str:
    group = {"n": 2000, "c_index": {"all": {"value": 0.754}}, "oracle_c_index": 0.81, "against_truth": truth}
    print_truth({"out_of_fold": {"n": 1200}, "learning_curve": {}, "phantoms_test": group})
    return capsys.readouterr().out


def test_abstention_wrong_answers_and_the_curve_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, NOW)
    for figure in ("phantoms test", "0.619", "0.037", "0.108", "0.089", "0.162", "0.643", "0.040", "0.672", "0.323",
                   "true scores", "0.187", "stable first (of 500)", "0.156"):  # fmt: skip
        assert figure in text


def test_a_manifest_of_an_earlier_version_has_dashes(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, EARLIER)
    assert "0.891" in text
    assert " - " in text
    assert "risk-coverage" not in text
    assert "hold when contour" not in text
    assert "interval of the difference" not in text


def test_without_phantoms_nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    print_truth({"out_of_fold": {"n": 1200}})
    assert not capsys.readouterr().out
