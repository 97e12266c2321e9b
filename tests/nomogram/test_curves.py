"""Survival over time: at each horizon it is what the nomogram states, and it only falls."""

from __future__ import annotations

import numpy as np
import pytest

from config.indication.vocabulary import TreatmentArm
from config.settings import BUNDLES
from workers.nomogram.curves import survival_over_time
from workers.nomogram.nomogram_file import load_nomogram
from workers.survival.covariates import PatientCovariates

PUBLISHED = load_nomogram(BUNDLES / "demonstration" / "nomogram.json")


@pytest.mark.parametrize("predictive", [-0.8, 0.0, 0.6])
def test_the_curves_pass_through_the_rates_at_the_horizons(predictive: float) -> None:
    patient = PatientCovariates(45.0, 1.0, -0.2, predictive)
    result = PUBLISHED.score(patient)
    rates = PUBLISHED.dfs_by_arm(patient, [36, 60])
    months, curves = survival_over_time(PUBLISHED, result, 60)
    assert months[0] == 0
    assert months[-1] <= 60
    assert np.all(np.diff(months) > 0)
    for arm in TreatmentArm:
        assert curves[arm][0] == 1
        assert np.all(np.diff(curves[arm]) < 0)
        # A step function: at a horizon the value of the last step before it.
        for at, horizon in enumerate((36, 60)):
            last = np.flatnonzero(months <= horizon + 1e-6)[-1]
            assert curves[arm][last] == pytest.approx(np.ravel(rates[arm])[at])


def test_nothing_is_drawn_beyond_the_follow_up() -> None:
    months, _ = survival_over_time(PUBLISHED, PUBLISHED.score(PatientCovariates(45.0, 0.0, 0.0, 0.0)), 240)
    assert months[-1] * 30 <= PUBLISHED.follow_up_days
