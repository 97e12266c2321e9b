"""Matching by hand: a cohort small enough to compute propensity, caliper and pairs on paper."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from node.cli.app import main
from workers.survival.cohort import Cohort
from workers.validation.matching import match

UNMATCHED = Path(__file__).parents[1] / "reference" / "statistics_unmatched.csv"
COVARIATES = ("--covariate", "sex_male", "--covariate", "age_years", "--covariate", "tumour_volume_ml")


def cohort_of_ten() -> Cohort:
    """One binary factor: of six patients without it one had ICT+CCRT, of four with it three had."""
    factor = np.array([0.0] * 6 + [1.0] * 4)
    treated = np.array([True] + [False] * 5 + [True] * 3 + [False])
    return Cohort(
        source="ten patients",
        patient_ids=tuple(f"P{number}" for number in range(10)),
        labels=("",) * 10,
        treated=treated,
        values={"factor": factor},
        outcomes={},
    )


def test_propensity_of_one_binary_factor_is_the_share_of_each_group() -> None:
    assert match(cohort_of_ten(), ("factor",)).propensity == pytest.approx([1 / 6] * 6 + [3 / 4] * 4)


def test_the_caliper_is_in_sample_standard_deviations_of_the_propensity() -> None:
    """Mean 0.4; squared deviations 6 (1/6 - 0.4)^2 + 4 (3/4 - 0.4)^2 = 0.8167, over n - 1 = 9 as R's sd.

    Two patients with the factor have no partner with it. The distance of the groups, 3/4 - 1/6 = 0.583, is within two
    sample standard deviations (0.602), but not within two population standard deviations (0.572).
    """
    matching = match(cohort_of_ten(), ("factor",), caliper=2.0)
    assert matching.caliper == pytest.approx(2 * np.sqrt((6 * (1 / 6 - 0.4) ** 2 + 4 * 0.35**2) / 9))
    assert len(matching.pairs) == 4
    assert len(match(cohort_of_ten(), ("factor",), caliper=1.9).pairs) == 2


def test_a_matching_counts_those_who_could_have_a_partner() -> None:
    assert match(cohort_of_ten(), ("factor",)).n_focal == 4


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main(["match", *map(str, arguments)])
    out, err = capsys.readouterr()
    return int(stopped.value.code or 0), out, err


def test_the_command_says_how_many_have_a_partner(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, _ = run(capsys, UNMATCHED, "--out", tmp_path / "m.csv", *COVARIATES, "--caliper", "0.1")
    n = len((tmp_path / "m.csv").read_text().splitlines()) // 2
    n_focal = UNMATCHED.read_text().count(",CCRT,")
    assert code == 0
    assert f"{n} pairs of 300 patients: {n} of {n_focal} CCRT patients have a partner" in out


def test_no_pair_and_the_cohort_itself_are_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, _, err = run(capsys, UNMATCHED, "--out", tmp_path / "m.csv", *COVARIATES, "--caliper", "0")
    assert code == 1
    assert "no CCRT patient has a partner within --caliper: give wider ones" in err
    assert not (tmp_path / "m.csv").exists()
    copy = tmp_path / "cohort.csv"
    copy.write_text(UNMATCHED.read_text())
    code, _, err = run(capsys, copy, "--out", copy, *COVARIATES)
    assert code == 1
    assert "is the cohort itself, whose other patients would be lost" in err
    assert copy.read_text() == UNMATCHED.read_text()
