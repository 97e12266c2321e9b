"""The mean predicted effect against the predictions of single patients, whose intervals agree with R."""

from __future__ import annotations

import numpy as np
import pytest

from config.settings import BUNDLES
from workers.nomogram.mean_effect import mean_effect, mean_effects
from workers.nomogram.nomogram_file import load_nomogram
from workers.nomogram.published_case_mix import PREDICTIVE_AT, SCORE_QUANTILES, published_case_mix
from workers.survival.covariates import PatientCovariates

PUBLISHED = load_nomogram(BUNDLES / "demonstration")


def test_the_effect_of_one_patient_is_that_of_the_nomogram_with_its_interval() -> None:
    patient = PatientCovariates(40.0, 1.0, 0.0, -0.4)
    result, effect = PUBLISHED.score(patient), mean_effect(PUBLISHED, patient)
    assert effect["mean"] == pytest.approx(result.difference[0, -1], abs=5e-5)
    assert effect["ci95"] == pytest.approx([result.difference_low[0, -1], result.difference_high[0, -1]], abs=5e-5)
    assert (effect["n"], effect["horizon_months"]) == (1, 60)


def test_the_mean_is_that_of_the_differences_and_no_less_certain_than_the_patients() -> None:
    patients = published_case_mix(500, seed=3)
    result, effect = PUBLISHED.score(patients), mean_effect(PUBLISHED, patients)
    assert effect["mean"] == pytest.approx(result.difference[:, -1].mean(), abs=5e-5)
    widths = result.difference_high[:, -1] - result.difference_low[:, -1]
    assert 0 < effect["ci95"][1] - effect["ci95"][0] < widths.mean()


def test_the_published_case_mix_reproduces_the_published_mean_effect_and_share() -> None:
    # Re-analysis of the published rows: +0.1 points in the training cohort, CCRT advised to 58.8 %.
    patients = published_case_mix()
    assert 100 * mean_effect(PUBLISHED, patients)["mean"] == pytest.approx(0.1, abs=1.5)
    advised_ccrt = np.mean(~PUBLISHED.score(patients).ict_preferred)
    assert advised_ccrt == pytest.approx(0.588, abs=0.03)
    at = np.quantile(np.asarray(patients.predictive_score), SCORE_QUANTILES[3:-3])
    assert at == pytest.approx(PREDICTIVE_AT[3:-3], abs=0.08)


def test_without_variance_terms_there_is_no_interval() -> None:
    assert mean_effect(PUBLISHED, published_case_mix(5), 50)["ci95"] is None


def test_every_horizon_of_the_nomogram_has_its_effect() -> None:
    patient = PatientCovariates(40.0, 1.0, 0.0, -0.4)
    by_month = mean_effects(PUBLISHED, patient)["by_month"]
    assert set(by_month) == {"36", "60"}
    assert by_month["36"]["mean"] == pytest.approx(PUBLISHED.score(patient).difference[0, 0], abs=5e-5)
