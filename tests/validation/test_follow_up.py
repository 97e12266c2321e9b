"""Observed against expected events, CUSUM charts and recalibration: against R, by hand, and on followed phantoms."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from config.arrays import FloatArray
from config.errors import InputError
from config.indication.vocabulary import TreatmentArm
from workers.nomogram.model import CoxNomogram
from workers.nomogram.nomogram_file import load_nomogram
from workers.nomogram.points import TERMS
from workers.nomogram.recalibration import Recalibration, recalibrated
from workers.phantoms.followed_patients import FIRST_DAY, YEAR_DAYS, FollowUpTruth, draw_followed
from workers.phantoms.population import published_nomogram
from workers.survival.cohort import EBV, read_cohort
from workers.survival.covariates import PatientCovariates
from workers.survival.partial_likelihood import newton
from workers.validation.follow_up.cohort import FollowedCohort, followed_cohort
from workers.validation.follow_up.cusum import (
    FALSE_ALARM_RATE,
    HAZARD_RATIO,
    PER_EVENTS,
    Monitoring,
    baseline_charts,
    baseline_limit,
    effect_chart,
    expected_until,
    monitor,
)
from workers.validation.follow_up.observed_expected import Agreement, ObservedExpected, agreement
from workers.validation.follow_up.recalibration import fit_poisson, propose_recalibration

REFERENCE = Path(__file__).parents[1] / "reference"
DRIFT, DRIFTED = FollowUpTruth(2.0, 2.0), FollowUpTruth(2.0)  # the hazard doubles after two years; doubled throughout
NO_EFFECT = FollowUpTruth(effect_scale=0.0)
# What the README states: of doubled hazards and of effects that are not there nine of ten are found by then.
DELAY_YEARS, EFFECT_DELAY_YEARS = 2.5, 3.5


@pytest.fixture(scope="module")
def nomogram() -> CoxNomogram:
    return load_nomogram(published_nomogram())


@pytest.fixture(scope="module")
def of_r() -> dict[str, Any]:
    return dict(json.loads((REFERENCE / "follow_up.json").read_text()))


def test_the_poisson_regression_agrees_with_r(of_r: dict[str, Any]) -> None:
    cohort = read_cohort(REFERENCE / "statistics_cohort.csv")
    cohort = cohort.where(~np.isnan(cohort.column(EBV)))
    outcome = cohort.outcome("dfs")
    ones, effect = np.ones(len(cohort)), np.where(cohort.treated, 0.5, -0.5) * cohort.column("predictive_score")
    x = np.column_stack([ones, cohort.column("prognostic_score"), effect])
    fit = fit_poisson(x, outcome.durations_days / 1000, outcome.event_observed)
    assert fit.coefficients == pytest.approx(of_r["coefficients"], abs=1e-9)
    assert fit.covariance == pytest.approx(np.array(of_r["covariance"]), abs=1e-9)
    small = fit_poisson(x[:, [0, 2]], outcome.durations_days / 1000, outcome.event_observed)
    from scipy import stats

    chi2 = 2 * (fit.log_likelihood - small.log_likelihood)
    assert stats.chi2.sf(chi2, 1) == pytest.approx(of_r["lr_p"], rel=1e-6)


def test_a_poisson_regression_without_a_maximum_is_refused() -> None:
    x = np.column_stack([np.ones(4), np.array([0.0, 0.0, 1.0, 1.0])])
    with pytest.raises(InputError, match="no maximum"):
        fit_poisson(x, np.ones(4), np.array([True, False, False, False]))


def test_intervals_of_ratios_and_shares_agree_with_r(of_r: dict[str, Any]) -> None:
    for (observed, expected), (ratio, *ends) in zip(((0, 4.2), (17, 21.5), (99, 50.3)), of_r["ratios"], strict=True):
        group = ObservedExpected("all", 1000, observed, expected)
        assert (group.ratio, *(group.ci95 or ())) == pytest.approx((ratio, *ends), abs=1e-9)
    for (followed, of), (share, *ends) in zip(((0, 12), (312, 421), (750, 1000)), of_r["shares"], strict=True):
        table = Agreement({"ICT+CCRT": {"ICT+CCRT": followed, "CCRT": of - followed}})
        assert (table.share, *(table.ci95 or ())) == pytest.approx((share, *ends), abs=1e-9)


def test_the_cross_table_counts_given_regimens_by_recommendation() -> None:
    ict, ccrt = TreatmentArm.ICT_CCRT, TreatmentArm.CCRT
    table = agreement([ict, ict, ccrt, ccrt, ccrt], [ict, ccrt, ccrt, ccrt, ict])
    assert table.given == {"ICT+CCRT": {"ICT+CCRT": 1, "CCRT": 1}, "CCRT": {"ICT+CCRT": 1, "CCRT": 2}}
    assert (table.n_followed, table.n) == (3, 5)


@pytest.mark.parametrize(("which", "ratio"), [(0, HAZARD_RATIO), (1, 1 / HAZARD_RATIO)])
def test_a_baseline_chart_is_the_log_likelihood_ratio_above_its_minimum(which: int, ratio: float) -> None:
    """Page's identity: a sum that stops at zero is the unstopped one minus its minimum so far."""
    patients = draw_followed(5, per_year=60, truth=FollowUpTruth(1.6))
    chart = baseline_charts(patients)[which]
    ends = np.sort((patients.start_day + patients.days)[patients.event]).astype(np.int64)
    days = np.append(ends, int((patients.start_day + patients.days).max()))
    at = expected_until(patients, days)
    assert at[-1] == pytest.approx(patients.expected().sum(), rel=1e-12)
    n_before = np.arange(len(days))
    n_after = np.append(n_before[1:], len(ends))
    before, after = (n * np.log(ratio) - (ratio - 1) * at for n in (n_before, n_after))
    path = np.ravel(np.column_stack([before, after]))
    reflected = (path - np.minimum.accumulate(np.minimum(path, 0.0))).reshape(-1, 2)
    assert chart.value == pytest.approx(reflected.max(axis=1), abs=1e-9)


def two_patients(nomogram: CoxNomogram) -> FollowedCohort:
    covariates = PatientCovariates(
        np.array([40.0, 50.0]), np.array([1.0, 0.0]), np.array([0.1, -0.4]), np.array([-0.8, 0.6])
    )
    none = np.zeros(2, dtype=bool)
    return followed_cohort(
        nomogram, covariates, np.array([FIRST_DAY, FIRST_DAY]), np.array([500.0, 900.0]), np.array([True, False]),
        np.array([True, False]), none,
    )  # fmt: skip


def test_the_effect_chart_counts_who_has_the_event(nomogram: CoxNomogram) -> None:
    """Both began on one day, so the baseline cancels: the chance of each is in proportion to exp(risk)."""
    patients = two_patients(nomogram)
    b = nomogram.coefficients
    effect = b["treatment_ict"] + b["predictive_score_x_treatment_ict"] * np.array([-0.8, 0.6])
    x = np.array([0.5, -0.5]) * effect
    ccrt = b["age_years"] * np.array([40, 50]) + b["prognostic_score"] * np.array([0.1, -0.4])
    ccrt = ccrt + b["predictive_score"] * np.array([-0.8, 0.6]) + b["ebv_dna_gt_4000"] * np.array([1, 0])
    risk = ccrt + np.array([1, 0]) * effect
    expected = -x[0] - np.log((np.exp(risk) @ np.exp(-x)) / np.exp(risk).sum())
    assert patients.risk == pytest.approx(risk, abs=1e-12)
    assert effect_chart(patients).value[0] == pytest.approx(max(expected, 0.0), abs=1e-9)


def test_a_hazard_that_doubles_for_all_does_not_move_the_effect_chart() -> None:
    patients = draw_followed(8, per_year=80, truth=DRIFT)
    before = effect_chart(patients)
    doubled = recalibrated(patients.nomogram, Recalibration(np.log(2), 1.0, 1.0, np.zeros((3, 3))), "", 0.0)
    assert effect_chart(replace(patients, nomogram=doubled)).value == pytest.approx(before.value, abs=1e-9)


def test_the_limit_of_the_baseline_charts_keeps_the_stated_rate() -> None:
    """By another simulation: the number of events is Poisson, their times are uniform (order statistics)."""
    rng = np.random.default_rng(1)
    limit, runs = baseline_limit(FALSE_ALARM_RATE), 1200
    signals = sum(_signals(np.sort(rng.uniform(0, PER_EVENTS, rng.poisson(PER_EVENTS))), limit) for _ in range(runs))
    # 2.5 % of 1200 are 30 with a standard deviation of 5.4.
    assert abs(signals - FALSE_ALARM_RATE * runs) < 3.5 * np.sqrt(runs * FALSE_ALARM_RATE * (1 - FALSE_ALARM_RATE))


def _signals(times: FloatArray, limit: float) -> bool:
    numbers = np.arange(len(times) + 1)
    for ratio in (HAZARD_RATIO, 1 / HAZARD_RATIO):
        starts, ends = np.concatenate(([0.0], times)), np.append(times, PER_EVENTS)
        after = numbers * np.log(ratio) - (ratio - 1) * starts
        before = numbers * np.log(ratio) - (ratio - 1) * ends
        path = np.ravel(np.column_stack([after, before]))
        if (path - np.minimum.accumulate(path)).max() > limit:
            return True
    return False


def test_a_recalibrated_nomogram_predicts_what_the_three_numbers_say(nomogram: CoxNomogram) -> None:
    patients = draw_followed(2, per_year=20)
    change = Recalibration(0.4, 1.3, 0.6, np.zeros((3, 3)))
    new = replace(patients, nomogram=recalibrated(nomogram, change, "a test", 0.0))
    wanted = 0.4 + 1.3 * patients.prognosis + 0.6 * patients.effect_received
    hazard = np.log(new.expected() / np.exp(patients.risk) * np.exp(wanted) / patients.expected())
    # log cumulative hazards of both, whatever part is in the baseline
    assert np.log(new.expected()) == pytest.approx(np.log(patients.expected()) + wanted - patients.risk, abs=1e-9)
    assert hazard.shape == (100,)
    assert new.effect == pytest.approx(0.6 * patients.effect, abs=1e-12)


def test_no_change_leaves_nomogram_and_intervals_as_they_are(nomogram: CoxNomogram) -> None:
    same = recalibrated(nomogram, Recalibration(0.0, 1.0, 1.0, np.zeros((3, 3))), "", 0.0)
    patients = draw_followed(2, per_year=10)
    before, after = (each.score(patients.covariates) for each in (nomogram, same))
    for arm in TreatmentArm:
        for name in ("dfs", "low", "high", "total_points"):
            assert getattr(after.arms[arm], name) == pytest.approx(getattr(before.arms[arm], name), abs=1e-9)
    assert after.difference_low == pytest.approx(before.difference_low, abs=1e-9)
    assert same.mean_total_points == nomogram.mean_total_points


def test_intervals_contain_the_uncertainty_of_model_and_recalibration(nomogram: CoxNomogram) -> None:
    """The delta method of the file against 20,000 draws of coefficients, baseline and recalibration."""
    covariance = np.array([[0.04, 0.002, 0.004], [0.002, 0.01, 0.003], [0.004, 0.003, 0.02]])
    change = Recalibration(0.5, 0.9, 0.4, covariance)
    new = recalibrated(nomogram, change, "", 0.0)
    rng, n, days = np.random.default_rng(3), 20_000, 1800.0
    old = np.array([nomogram.coefficients[term] for term in TERMS])
    shift = rng.multivariate_normal(np.zeros(6), nomogram.covariance, n) / 50  # small: the method is linear
    drawn = np.array([0.5, 0.9, 0.4]) + rng.multivariate_normal(np.zeros(3), covariance, n) / 50
    terms = nomogram.variance_terms[days]
    hazard = float(nomogram.baseline_hazard([60])[0])
    baseline = hazard - shift @ terms.q + rng.normal(0, np.sqrt(terms.a), n) / 50
    x = np.array([[40, 0.1, -0.3, z, 1, -0.3 * z] for z in (1.0, 0.0)])  # in the order of TERMS
    ict, ccrt = ((old + shift) @ row for row in x)
    a, s, c = drawn.T
    patient = PatientCovariates(np.array([40.0]), np.array([1.0]), np.array([0.1]), np.array([-0.3]))
    for arm, half in ((TreatmentArm.ICT_CCRT, 0.5), (TreatmentArm.CCRT, -0.5)):
        log_survival = -baseline * np.exp(a + s * (ict + ccrt) / 2 + c * half * (ict - ccrt))
        estimate = new.score(patient, [60]).arms[arm]
        width = np.log(estimate.high[0, 0] / estimate.low[0, 0]) / (2 * 1.959964)
        assert 50 * log_survival.std() == pytest.approx(width, rel=0.03)


def slope_and_ratio(patients: FollowedCohort) -> tuple[float, float]:
    """Calibration slope of a Cox model, and observed to expected events."""
    beta, _ = newton(patients.risk[:, None], patients.days, patients.event)
    return float(beta[0]), float(patients.event.sum() / patients.expected().sum())


def signals_of(charts: Monitoring) -> list[float | None]:
    """Years from the first patient to the signals of the hazard and of the effect."""
    hazard = charts.baseline_signal
    days = (hazard.signal_day if hazard else None, charts.effect.signal_day)
    return [None if day is None else (day - FIRST_DAY) / YEAR_DAYS for day in days]


@pytest.mark.parametrize(("truth", "unseen", "which"), [(DRIFT, DRIFTED, 0), (NO_EFFECT, NO_EFFECT, 1)])
def test_a_change_is_detected_and_the_recalibration_restores_the_slope(
    truth: FollowUpTruth, unseen: FollowUpTruth, which: int
) -> None:
    others = draw_followed(900, per_year=800, truth=unseen)
    patients = draw_followed(21, truth=truth)
    charts = monitor(patients)
    signal = signals_of(charts)[which]
    assert signal is not None
    assert signal - truth.drift_year < (DELAY_YEARS, EFFECT_DELAY_YEARS)[which]
    new = recalibrated(patients.nomogram, propose_recalibration(patients, charts).recalibration, "", 0.0)
    slope, ratio = slope_and_ratio(replace(others, nomogram=new))
    slope_before, ratio_before = slope_and_ratio(others)
    assert 0.9 <= slope <= 1.1
    if which == 0:
        assert ratio_before == pytest.approx(2.0, abs=0.25)
        assert ratio == pytest.approx(1.0, abs=0.25)
    else:
        assert slope_before < 0.75


def test_predictions_that_hold_signal_nothing_and_propose_nothing() -> None:
    assert [signals_of(monitor(draw_followed(seed))) for seed in (31, 32)] == [[None, None]] * 2


def test_too_few_events_are_named() -> None:
    patients = draw_followed(1, per_year=30)
    with pytest.raises(InputError, match=r"expected at least 20 events for a recalibration, found \d+"):
        propose_recalibration(patients, monitor(patients))


def test_what_was_known_on_a_day_has_no_later_event() -> None:
    patients = draw_followed(4, per_year=50)
    day = FIRST_DAY + 2 * YEAR_DAYS
    known = patients.until(day)
    assert (known.start_day + known.days).max() <= day
    assert known.event.sum() == (patients.event & (patients.start_day + patients.days <= day)).sum()
