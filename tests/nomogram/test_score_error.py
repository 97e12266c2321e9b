"""Standard errors of the scores from two jackknives, and the intervals that contain them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.arrays import FloatArray
from config.errors import InputError
from config.indication.vocabulary import TreatmentArm
from config.settings import BUNDLES
from workers.nomogram.nomogram_file import load_nomogram
from workers.nomogram.score_error import ScoreError, score_error_of
from workers.survival.covariates import PatientCovariates

NOMOGRAM = load_nomogram(BUNDLES / "demonstration" / "nomogram.json")


@dataclass(frozen=True)
class Both:
    prognostic: FloatArray
    predictive: FloatArray


@dataclass(frozen=True)
class Jackknifed:
    by_member: Both
    without_series: Both


def column(*values: float) -> FloatArray:
    return np.array(values)[:, None]


def test_the_variance_of_a_mean_is_that_of_the_textbook() -> None:
    """The jackknife of a mean is exact: leaving one of n values out gives s^2 / n (Efron and Stein 1981)."""
    values = np.array([0.1, -0.3, 0.4, 0.2, -0.1])
    left_out = np.array([np.delete(values, k).mean() for k in range(5)])[:, None]
    same = column(0.2, 0.2, 0.2)
    errors = score_error_of(Jackknifed(Both(left_out, 0 * left_out), Both(same, same)))
    assert errors is not None
    assert np.asarray(errors.prognostic_se)[0] == pytest.approx(values.std(ddof=1) / np.sqrt(5), abs=1e-4)
    assert np.asarray(errors.predictive_se)[0] == 0


def test_patients_and_series_add_up_by_hand() -> None:
    # Members -0.1, 0.1: sum of squares 0.02, times 1/2. Series 0, 0.3, 0.3: mean 0.2, sum 0.06, times 2/3.
    members, series = column(-0.1, 0.1), column(0.0, 0.3, 0.3)
    errors = score_error_of(Jackknifed(Both(members, -members), Both(series, series)))
    assert errors is not None
    assert np.asarray(errors.prognostic_se)[0] == pytest.approx(np.sqrt(0.01 + 0.04), abs=1e-4)
    # Products: -0.02 / 2 + 0.06 * 2 / 3 = 0.03, of variances 0.05 and 0.05.
    assert np.asarray(errors.correlation)[0] == pytest.approx(0.6, abs=1e-3)


def test_the_degrees_of_freedom_are_satterthwaites() -> None:
    """Welch's example: variances of means 0.4 with 4 and 0.1 with 2 degrees: 0.25 / (0.04 + 0.005)."""
    members = np.sqrt(0.4 * 5 / 4 / 10) * column(-2.0, -1.0, 0.0, 1.0, 2.0)  # sum of squares 10, times 4 / 5
    series = np.sqrt(0.1 * 3 / 2 / 2) * column(-1.0, 0.0, 1.0)
    errors = score_error_of(Jackknifed(Both(members, members), Both(series, series)))
    assert errors is not None
    assert np.asarray(errors.degrees_of_freedom)[0] == pytest.approx(0.25 / (0.4**2 / 4 + 0.1**2 / 2), abs=0.05)
    # Half of the variance from the scores: t with 4 times the degrees; 2.086 for 20 in any table.
    five = ScoreError(5, 0.1, 0.1, 0.0, 5.0)
    assert five.quantile(np.array([0.3]), np.array([0.3]))[0] == pytest.approx(2.086, abs=5e-4)
    assert five.quantile(np.array([0.0]), np.array([0.3]))[0] == pytest.approx(1.959964, abs=1e-6)


def test_one_member_has_no_error_that_it_could_know() -> None:
    score = column(0.5)
    assert score_error_of(Jackknifed(Both(score, score), Both(score, score))) is None


@pytest.mark.parametrize(
    "wrong", [{"members": 1}, {"prognostic_se": -0.1}, {"correlation": 1.5}, {"correlation": np.nan}]
)
def test_impossible_errors_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match="expected"):
        ScoreError(**{"members": 5, "prognostic_se": 0.1, "predictive_se": 0.1, "correlation": 0.0, **wrong})  # type: ignore[arg-type]


scores = st.floats(-1, 1)
errors = st.builds(ScoreError, st.just(5), st.floats(0, 2), st.floats(0, 2), st.floats(-1, 1), st.floats(1, 100))


@given(st.floats(14, 72), st.sampled_from([0.0, 1.0]), scores, scores, errors)
def test_intervals_are_bounded_contain_the_estimate_and_grow_with_the_error(
    age: float, ebv: float, prognostic: float, predictive: float, error: ScoreError
) -> None:
    patient = PatientCovariates(age, ebv, prognostic, predictive)
    result = NOMOGRAM.score(patient, score_error=error)
    exact = NOMOGRAM.score(patient, score_error=ScoreError(5, 0.0, 0.0))
    for low, value, high, narrow_low, narrow_high in (
        (result.difference_low, result.difference, result.difference_high, exact.difference_low, exact.difference_high),
        *((arm.low, arm.dfs, arm.high, known.low, known.high)
          for arm, known in ((result.arms[arm], exact.arms[arm]) for arm in TreatmentArm)),
    ):  # fmt: skip
        assert np.all(np.abs([low, high]) <= 1)
        assert np.all(low <= value + 1e-12)
        assert np.all(value <= high + 1e-12)
        assert np.all(low <= narrow_low + 1e-9)
        assert np.all(high >= narrow_high - 1e-9)


def test_the_interval_agrees_with_simulated_scores() -> None:
    """Scores drawn around the estimate with the stated errors: the spread of S and D on their scales, by simulation."""
    error = ScoreError(5, 0.06, 0.05, 0.4, degrees_of_freedom=1e9)  # the normal quantile
    covariance = np.array([[0.06**2, 0.4 * 0.06 * 0.05], [0.4 * 0.06 * 0.05, 0.05**2]])
    drawn = np.random.default_rng(3).multivariate_normal([-0.2, -0.3], covariance, 20_000)
    many = NOMOGRAM.dfs_by_arm(PatientCovariates(np.full(20_000, 40.0), np.ones(20_000), *drawn.T), [60.0])
    patient = PatientCovariates(40.0, 1.0, -0.2, -0.3)
    exact, result = (
        NOMOGRAM.score(patient, score_error=ScoreError(5, 0.0, 0.0)),
        NOMOGRAM.score(patient, score_error=error),
    )
    for arm in TreatmentArm:

        def eta(survival: FloatArray) -> FloatArray:
            return np.log(-np.log(survival))

        added = _variance(*(eta(x) for x in (result.arms[arm].low[0, 1], result.arms[arm].high[0, 1])))
        added -= _variance(*(eta(x) for x in (exact.arms[arm].low[0, 1], exact.arms[arm].high[0, 1])))
        assert added == pytest.approx(eta(many[arm].ravel()).var(), rel=0.03)
    difference = (many[TreatmentArm.ICT_CCRT] - many[TreatmentArm.CCRT]).ravel()
    ends = [np.arctanh([r.difference_low[0, 1], r.difference_high[0, 1]]) for r in (result, exact)]
    assert _variance(*ends[0]) - _variance(*ends[1]) == pytest.approx(np.arctanh(difference).var(), rel=0.08)


def _variance(one_end: float, other_end: float) -> float:
    return float(((one_end - other_end) / 2 / 1.959963984540054) ** 2)


def test_without_errors_the_json_says_that_the_interval_is_of_the_cox_model_only() -> None:
    patient = PatientCovariates(40.0, 1.0, 0.0, -0.4)
    assert NOMOGRAM.score(patient).to_json()["interval"] == {"covers": "cox_model_only"}
    told = NOMOGRAM.score(patient, score_error=ScoreError(5, 0.1, 0.2, 0.3, 4.0)).to_json()["interval"]
    assert told["covers"] == "cox_model_and_scores"
    expected = {"members": 5, "prognostic_se": 0.1, "predictive_se": 0.2, "correlation": 0.3, "degrees_of_freedom": 4.0}
    assert told["score_error"] == expected
