"""What monitoring promises, over many simulated sites of 200 patients a year; prints the figures of the README.

python -m pytest -s -m long tests/validation/test_follow_up_rates.py
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from config.arrays import FloatArray
from tests.validation.test_follow_up import (
    DELAY_YEARS,
    DRIFT,
    DRIFTED,
    EFFECT_DELAY_YEARS,
    NO_EFFECT,
    signals_of,
    slope_and_ratio,
)
from workers.nomogram.recalibration import recalibrated
from workers.phantoms.followed_patients import FollowUpTruth, draw_followed
from workers.validation.follow_up.cusum import FALSE_ALARM_RATE, PER_EVENTS, expected_until, monitor
from workers.validation.follow_up.recalibration import propose_recalibration

SITES = 400  # without a change
CHANGED_SITES = 100


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_false_alarms_come_at_the_stated_rate() -> None:
    """Six years, so that nearly every site has the stated number of expected events; later signals do not count."""
    early = {"hazard": 0, "effect": 0, "any": 0}
    for seed in range(SITES):
        patients = draw_followed(10_000 + seed, years=6.0)
        charts = monitor(patients)
        hazard = charts.baseline_signal
        at_hazard = hazard is not None and expected_until(patients, np.array([hazard.signal_day]))[0] <= PER_EVENTS
        effect_days = charts.effect.days[:PER_EVENTS]
        at_effect = charts.effect.signal_day is not None and charts.effect.signal_day <= effect_days[-1]
        early["hazard"] += at_hazard
        early["effect"] += at_effect
        early["any"] += at_hazard or at_effect
    for name, n in early.items():
        print(f"false signals within {PER_EVENTS} expected events, {name}: {n} of {SITES} ({100 * n / SITES:.1f} %)")
    # At most the rate, and three standard deviations of a count of it.
    for name, rate in (("hazard", FALSE_ALARM_RATE), ("effect", FALSE_ALARM_RATE), ("any", 2 * FALSE_ALARM_RATE)):
        assert early[name] <= SITES * rate + 3 * np.sqrt(SITES * rate * (1 - rate))


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("name", "truth", "unseen", "which"),
    [("hazard doubled after two years", DRIFT, DRIFTED, 0), ("no effect of the treatment", NO_EFFECT, NO_EFFECT, 1)],
)
def test_changes_are_detected_in_time_and_the_slope_is_restored(
    name: str, truth: FollowUpTruth, unseen: FollowUpTruth, which: int
) -> None:
    others = draw_followed(900, per_year=2000, truth=unseen)
    delays: list[float] = []
    after = []
    for seed in range(CHANGED_SITES):
        patients = draw_followed(20_000 + seed, truth=truth)
        charts = monitor(patients)
        signal = signals_of(charts)[which]
        delays.append(np.inf if signal is None else signal - truth.drift_year)
        if charts.detected:
            change = propose_recalibration(patients, charts).recalibration
            new = recalibrated(patients.nomogram, change, "", 0.0)
            after.append((*slope_and_ratio(replace(others, nomogram=new)), change.effect_slope))
    slope_before, ratio_before = slope_and_ratio(others)
    slopes, ratios, effects = np.array(after).T
    print(f"{name}: detected in {np.isfinite(delays).sum()} of {CHANGED_SITES} within five years of the first patient")
    nine_of_ten = np.quantile(delays, 0.9, method="higher")
    print(f"  delay in years: median {np.median(delays):.2f}, nine of ten {nine_of_ten:.2f}")
    print(f"  slope on unseen patients: {slope_before:.2f} before; {_summary(slopes)} after")
    print(f"  observed to expected:     {ratio_before:.2f} before; {_summary(ratios)} after")
    print(f"  slope of the effect that is proposed: {_summary(effects)}")
    print(f"  slope within 0.9 to 1.1: {((slopes >= 0.9) & (slopes <= 1.1)).sum()} of {len(slopes)}")
    assert nine_of_ten <= (DELAY_YEARS, EFFECT_DELAY_YEARS)[which]
    assert 0.9 <= slopes.mean() <= 1.1
    assert ((slopes >= 0.9) & (slopes <= 1.1)).mean() >= 0.9
    assert 0.85 <= ratios.mean() <= 1.25


def _summary(values: FloatArray) -> str:
    return f"mean {values.mean():.2f} ({values.min():.2f} to {values.max():.2f})"
