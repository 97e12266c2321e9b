"""CUSUM charts of survival: whether the hazard, or the effect of the treatment, is still the predicted one.

Two questions, two charts, each a sum of log likelihood ratios of an alternative against the prediction that never
falls below zero; it signals when it exceeds its limit.

- Baseline: is the hazard of all patients higher, or lower, by a factor R? Between events the sum changes by -(R - 1) a
  expected event, with each event by log R (Biswas and Kalbfleisch, Stat Med 2008;27:3382; Gandy et al., Biometrika
  2010;97:375). One chart for R = 1.5 and one for R = 1/1.5.
- Effect: is there none of the predicted difference between the regimens? Only who of those at risk has the event
  counts, given that somebody has: a hazard that changes for all alike changes nothing (a partial likelihood in
  calendar time, after Sellke and Siegmund, Biometrika 1983;70:315).

Limits are simulated. Counted in expected events, events arrive as a Poisson process of rate 1 as long as the prediction
holds, whatever the patients and their times of entry: the limits of the baseline charts are the same for every site.
The limit of the effect's chart depends on how far the predicted effects differ, and is simulated from the patients.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from config.arrays import FloatArray, Int64Array
from workers.validation.follow_up.cohort import FollowedCohort, interpolated_hazard

HAZARD_RATIO = 1.5  # of the alternatives of the baseline charts
# Of each of the two questions; together at most 5 % (Bonferroni).
FALSE_ALARM_RATE = 0.025
PER_EVENTS = 50  # expected events within which the rate holds: about five years of 200 patients a year
RUNS, SEED = 20_000, 20_080_910  # of the simulation of the limits


@dataclass(frozen=True)
class Chart:
    """One sum over calendar time.

    Attributes
    ----------
    name : {"higher", "lower", "effect"}
        The alternative: a higher hazard, a lower hazard, no effect of the treatment.
    days : int array, shape (k,)
        Ordinal days of the events, and the last day of follow-up.
    value : array, shape (k,)
        The sum, never below 0; on a day with an event the larger of before and after it.
    limit : float
        It signals above.
    signal_day : int or None
        First day above the limit.
    change_day : int or None
        Of a signal: the last day before it at which the sum was 0, the estimate of when the change began.
    """

    name: str
    days: Int64Array
    value: FloatArray
    limit: float
    signal_day: int | None
    change_day: int | None


@dataclass(frozen=True)
class Monitoring:
    """The three charts of one group of patients."""

    higher: Chart
    lower: Chart
    effect: Chart

    @property
    def charts(self) -> tuple[Chart, Chart, Chart]:
        """All of them.

        Returns
        -------
        tuple of Chart
            Higher, lower, effect.
        """
        return self.higher, self.lower, self.effect

    @property
    def baseline_signal(self) -> Chart | None:
        """The chart of the baseline that has signalled.

        Returns
        -------
        Chart or None
            The earlier one where both have; None without a signal.
        """
        signalled = [chart for chart in (self.higher, self.lower) if chart.signal_day is not None]
        return min(signalled, key=lambda chart: chart.signal_day or 0, default=None)

    @property
    def detected(self) -> bool:
        """Whether any of them has signalled.

        Returns
        -------
        bool
            A signal stays, whatever comes after it.
        """
        return any(chart.signal_day is not None for chart in self.charts)


def monitor(patients: FollowedCohort, rate: float = FALSE_ALARM_RATE) -> Monitoring:
    """Return the charts of followed patients.

    Parameters
    ----------
    patients : FollowedCohort
        At least one.
    rate : float
        Chance of a false signal of the baseline, and of the effect, within `PER_EVENTS` expected events.

    Returns
    -------
    Monitoring
        Equal patients give equal charts: the limits are simulated with fixed seeds.
    """
    return Monitoring(*baseline_charts(patients, rate), effect_chart(patients, rate))


def baseline_charts(patients: FollowedCohort, rate: float = FALSE_ALARM_RATE) -> tuple[Chart, Chart]:
    """Return the charts of a higher and of a lower baseline hazard.

    Parameters
    ----------
    patients : FollowedCohort
        At least one.
    rate : float
        Chance of a false signal of either chart within `PER_EVENTS` expected events.

    Returns
    -------
    pair of Chart
        Higher, then lower.
    """
    days = np.append(_event_days(patients), _last_day(patients))
    expected = expected_until(patients, days)
    steps = np.diff(expected, prepend=0.0)
    events = np.append(np.ones(len(days) - 1), 0.0)
    limit = baseline_limit(rate)
    charts = []
    for name, ratio in (("higher", HAZARD_RATIO), ("lower", 1 / HAZARD_RATIO)):
        before = -(ratio - 1) * steps
        charts.append(_chart(name, days, before, np.log(ratio) * events, limit, int(patients.start_day.min())))
    return charts[0], charts[1]


def effect_chart(patients: FollowedCohort, rate: float = FALSE_ALARM_RATE) -> Chart:
    """Return the chart of the effect of the treatment.

    Parameters
    ----------
    patients : FollowedCohort
        At least one.
    rate : float
        Chance of a false signal within `PER_EVENTS` events.

    Returns
    -------
    Chart
        Against the alternative that the regimens do not differ.
    """
    ratio = np.exp(-patients.effect_received)  # hazard without the effect to the predicted one
    days, rows = _event_days(patients), _event_rows(patients)
    increments = np.zeros(len(days) + 1)
    for number, (day, row) in enumerate(zip(days, rows, strict=True)):
        own_time = (day - patients.start_day).astype(np.float64)
        at_risk = (own_time > 0) & (own_time <= patients.days)
        daily = interpolated_hazard(patients.nomogram, own_time[at_risk])
        daily = daily - interpolated_hazard(patients.nomogram, own_time[at_risk] - 1)
        hazard = daily * np.exp(patients.risk[at_risk])
        increments[number] = np.log(ratio[row]) - np.log((hazard @ ratio[at_risk]) / hazard.sum())
    days = np.append(days, _last_day(patients))
    limit = effect_limit(patients.risk, patients.effect_received, rate)
    return _chart("effect", days, np.zeros(len(days)), increments, limit, int(patients.start_day.min()))


def expected_until(patients: FollowedCohort, days: Int64Array) -> FloatArray:
    """Return how many events were expected up to the end of each calendar day.

    Parameters
    ----------
    days : int array, shape (k,)
        Ordinal days.

    Returns
    -------
    array, shape (k,)
        Never falls.
    """
    relative = np.exp(patients.risk)
    return np.array(
        [
            float(
                relative @ interpolated_hazard(patients.nomogram, np.clip(day - patients.start_day, 0, patients.days))
            )
            for day in days
        ]
    )


@lru_cache(8)
def baseline_limit(rate: float, per_events: float = PER_EVENTS, runs: int = RUNS, seed: int = SEED) -> float:
    """Return the common limit of both baseline charts.

    Parameters
    ----------
    rate : float
        Chance that either signals within the first `per_events` expected events, while the prediction holds.
    per_events : float
        Expected events.
    runs, seed : int
        Of the simulation.

    Returns
    -------
    float
        The quantile 1 - rate of the larger maximum of the two sums over `runs` Poisson processes of rate 1.
    """
    rng = np.random.default_rng(seed)
    clock, highest = np.zeros(runs), np.zeros(runs)
    sums = {ratio: np.zeros(runs) for ratio in (HAZARD_RATIO, 1 / HAZARD_RATIO)}
    while (clock < per_events).any():
        # Capped at the end: what is expected after it does not count, and neither does the event.
        step = np.minimum(rng.exponential(size=runs), per_events - clock)
        clock = clock + step
        for ratio in sums:
            before = np.maximum(sums[ratio] - (ratio - 1) * step, 0.0)
            sums[ratio] = np.maximum(before + np.log(ratio) * (clock < per_events), 0.0)
            highest = np.maximum(highest, np.maximum(before, sums[ratio]))
    return float(np.quantile(highest, 1 - rate))


def effect_limit(
    risk: FloatArray,
    effect_received: FloatArray,
    rate: float,
    per_events: int = PER_EVENTS,
    runs: int = RUNS // 4,
    seed: int = SEED,
) -> float:
    """Return the limit of the effect's chart for patients with these predictions.

    Parameters
    ----------
    risk, effect_received : array, shape (n,)
        Of the patients; who has an event is drawn in proportion to exp(risk).
    rate : float
        Chance of a signal within the first `per_events` events, while the prediction holds.
    per_events, runs, seed : int
        Of the simulation.

    Returns
    -------
    float
        Depends on predictions and regimens alone, not on outcomes.
    """
    chance = np.exp(risk - risk.max())
    chance /= chance.sum()
    increment = -effect_received - np.log(chance @ np.exp(-effect_received))
    rng = np.random.default_rng(seed)
    value, highest = np.zeros(runs), np.zeros(runs)
    for _ in range(per_events):
        value = np.maximum(value + increment[rng.choice(len(chance), runs, p=chance)], 0.0)
        highest = np.maximum(highest, value)
    return float(np.quantile(highest, 1 - rate))


def _chart(name: str, days: Int64Array, before: FloatArray, after: FloatArray, limit: float, first_day: int) -> Chart:
    """Add up the changes before and with each event, and stop at zero."""
    value, values, zero_day, signal_day, change_day = 0.0, [], first_day, None, None
    for day, passive, jump in zip(days.tolist(), before.tolist(), after.tolist(), strict=True):
        waiting = max(value + passive, 0.0)
        value = max(waiting + jump, 0.0)
        values.append(max(waiting, value))
        if signal_day is None and values[-1] > limit:
            signal_day, change_day = day, zero_day
        if value == 0.0 or waiting == 0.0:
            zero_day = day
    return Chart(name, days, np.array(values), limit, signal_day, change_day)


def _event_rows(patients: FollowedCohort) -> Int64Array:
    rows = np.flatnonzero(patients.event)
    order = np.argsort((patients.start_day + patients.days)[rows], kind="stable")
    return rows[order].astype(np.int64)


def _event_days(patients: FollowedCohort) -> Int64Array:
    return (patients.start_day + patients.days)[_event_rows(patients)].astype(np.int64)


def _last_day(patients: FollowedCohort) -> int:
    return int((patients.start_day + patients.days).max())
