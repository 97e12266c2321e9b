"""Whether following the recommendation helps: policy values, calibration of the predicted benefit, restricted means.

The intervals are 2.5 and 97.5 % quantiles over resampled patients; an estimated propensity is estimated again in each
resample, the nomogram never.

References: see `policy_value` and `benefit_calibration`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from config.arrays import FloatArray, Int64Array
from config.errors import InputError
from config.indication.conventions import DAYS_PER_MONTH
from config.indication.vocabulary import TreatmentArm
from workers.validation.benefit_calibration import BenefitPairs, benefit_pairs, benefit_slope, e_for_benefit
from workers.validation.estimates import Figure, figures_of_draws, resampled
from workers.validation.policy_value import (
    CURVE_THRESHOLDS,
    TreatmentData,
    WeightedPatients,
    net_benefit_of_choice,
    value_curve,
    weigh,
)

N_GROUPS = 4
POLICIES = (f"{TreatmentArm.CCRT.value} for all", f"{TreatmentArm.ICT_CCRT.value} for all", "recommendation")
GAINS = (*(f"recommendation against {name}" for name in POLICIES[:2]), "recommendation against the better of the two")


@dataclass(frozen=True)
class BenefitGroup:
    """Patients with similar predicted gains.

    Attributes
    ----------
    n, n_events : int
        Patients, and those with the event by the horizon.
    n_ict : int
        Patients with ICT+CCRT.
    predicted : float
        Mean predicted gain.
    observed : Figure
        Weighted Kaplan-Meier difference of the arms.
    """

    n: int
    n_events: int
    n_ict: int
    predicted: float
    observed: Figure

    def to_json(self) -> dict[str, Any]:
        """Return the contract's JSON of one group."""
        counts = {"n": self.n, "n_events": self.n_events, "n_ict": self.n_ict}
        return {**counts, "predicted": self.predicted, "observed": self.observed.to_json()}


@dataclass(frozen=True)
class Benefit:
    """What following the recommendation is worth on n patients.

    Attributes
    ----------
    horizon_months : float
        Survival is that at this time.
    n, n_events, n_with_gain : int
        Patients, events by the horizon, and patients whose predicted gain is known.
    n_resamples : int
        Resamples of the intervals.
    propensity : mapping
        How it is known, what that assumes, and its range among the patients.
    share_ict : float
        Share of patients for whom ICT+CCRT is recommended.
    share_followed : float
        Share of patients who received what is recommended.
    values : mapping of str to mapping of str to Figure
        ``weighted`` and ``doubly_robust`` -> `POLICIES` and `GAINS` -> survival or difference.
    restricted_means : mapping of str to Figure
        Months up to the horizon by regimen, and their difference.
    groups : tuple of BenefitGroup
        From the smallest predicted gain to the largest.
    calibration : mapping of str to Figure
        ``slope``, ``intercept``, ``mean_predicted``, ``mean_observed``.
    e_for_benefit : mapping of str to Figure
        ``mean``, ``median``, ``q90``.
    c_for_benefit : Figure
        Interval over resampled pairs.
    thresholds : array, shape (k,)
        Gains from which ICT+CCRT is chosen.
    value_curve, net_benefit : mapping of str to array, shape (k,)
        ``value``, ``low``, ``high`` of the rule; its net benefit and that of ICT+CCRT for all over CCRT for all.
    """

    horizon_months: float
    n: int
    n_events: int
    n_with_gain: int
    n_resamples: int
    propensity: Mapping[str, Any]
    share_ict: float
    share_followed: float
    values: Mapping[str, Mapping[str, Figure]]
    restricted_means: Mapping[str, Figure]
    groups: tuple[BenefitGroup, ...]
    calibration: Mapping[str, Figure]
    e_for_benefit: Mapping[str, Figure]
    c_for_benefit: Figure
    thresholds: FloatArray
    value_curve: Mapping[str, FloatArray]
    net_benefit: Mapping[str, FloatArray]

    def to_json(self) -> dict[str, Any]:
        """Return the contract's JSON."""
        return {
            "horizon_months": self.horizon_months,
            "n": self.n,
            "n_events": self.n_events,
            "n_with_predicted_gain": self.n_with_gain,
            "n_resamples": self.n_resamples,
            "propensity": dict(self.propensity),
            "share_ict_recommended": self.share_ict,
            "share_received_as_recommended": self.share_followed,
            "policy_value": {name: _figures_to_json(figures) for name, figures in self.values.items()},
            "restricted_mean_months": _figures_to_json(self.restricted_means),
            "calibration_groups": [group.to_json() for group in self.groups],
            "calibration": _figures_to_json(self.calibration),
            "e_for_benefit": _figures_to_json(self.e_for_benefit),
            "c_for_benefit": self.c_for_benefit.to_json(),
            "value_by_threshold": {"thresholds": self.thresholds.tolist(), **_lists(self.value_curve)},
            "net_benefit_of_choosing_ict": {"thresholds": self.thresholds.tolist(), **_lists(self.net_benefit)},
        }


def _figures_to_json(figures: Mapping[str, Figure]) -> dict[str, Any]:
    return {name: figure.to_json() for name, figure in figures.items()}


def _lists(arrays: Mapping[str, FloatArray]) -> dict[str, list[float | None]]:
    return {name: [None if np.isnan(each) else float(each) for each in values] for name, values in arrays.items()}


def evaluate_benefit(data: TreatmentData, n_bootstrap: int = 300, seed: int = 0) -> Benefit:
    """Value the recommendation and compare predicted with observed benefit.

    Parameters
    ----------
    data : TreatmentData
        n patients.
    n_bootstrap : int
        Resamples for the intervals.
    seed : int
        Equal input gives equal intervals.

    Returns
    -------
    Benefit
        Figures that need a predicted gain are those of the patients who have one.

    Raises
    ------
    InputError
        An arm is too small, the propensity cannot be estimated, or no patient is followed to the horizon.
    """
    if not bool((data.outcome.durations_days >= data.days).any()):
        raise InputError(f"expected patients followed for {data.days / DAYS_PER_MONTH:g} months, found none")
    everyone = weigh(data)
    known = ~np.isnan(data.gain)
    group = _groups(data.gain)
    found = _estimates(everyone, group)
    draws = resampled(lambda rows: _estimates(weigh(data, rows), group[rows]), len(data), n_bootstrap, seed)
    figures = {name: figures_of_draws(values, draws.get(name)) for name, values in found.items()}
    pairs = benefit_pairs(data.gain[known], data.treated[known], data.outcome.where(known), data.days)
    return Benefit(
        horizon_months=data.days / DAYS_PER_MONTH,
        n=len(data),
        n_events=int((data.outcome.event_observed & (data.outcome.durations_days <= data.days)).sum()),
        n_with_gain=int(known.sum()),
        n_resamples=n_bootstrap,
        propensity=_propensity_to_json(data, everyone),
        share_ict=float(data.ict_preferred.mean()),
        share_followed=float((data.ict_preferred == data.treated).mean()),
        values={
            estimate: dict(zip((*POLICIES, *GAINS), figures[estimate], strict=True))
            for estimate in ("weighted", "doubly_robust")
        },
        restricted_means=dict(
            zip((TreatmentArm.CCRT.value, TreatmentArm.ICT_CCRT.value, "difference"), figures["months"], strict=True)
        ),
        groups=_benefit_groups(data, group, figures["groups"]),
        calibration=dict(
            zip(("slope", "intercept", "mean_predicted", "mean_observed"), figures["calibration"], strict=True)
        ),
        e_for_benefit=dict(zip(("mean", "median", "q90"), figures["e"], strict=True)),
        c_for_benefit=_c_for_benefit(pairs, n_bootstrap, seed),
        thresholds=np.array(CURVE_THRESHOLDS),
        value_curve={"value": found["curve"], **_band(draws.get("curve"))},
        net_benefit={
            "rule": found["net"],
            **_band(draws.get("net")),
            POLICIES[1]: _net_benefit_of_all(found, bool(known.any())),
        },
    )


def _estimates(patients: WeightedPatients, group: Int64Array) -> dict[str, FloatArray]:
    """Return all figures of some patients, or of a resample, by name."""
    n = len(patients.treated)
    rules = (np.zeros(n, dtype=np.bool_), np.ones(n, dtype=np.bool_), patients.ict_preferred)
    answer: dict[str, FloatArray] = {}
    for name, values in zip(
        ("weighted", "doubly_robust"), np.array([patients.policy_value(rule) for rule in rules]).T, strict=True
    ):
        ccrt, ict, follow = values
        answer[name] = np.array([*values, follow - ccrt, follow - ict, follow - max(ccrt, ict)])
    answer["months"] = patients.restricted_means(patients.days) / DAYS_PER_MONTH
    known = ~np.isnan(patients.gain)
    gain, difference = patients.gain[known], patients.robust_difference[known]
    thresholds = np.array(CURVE_THRESHOLDS)
    answer["groups"] = np.array([patients.arm_difference(group == number) for number in range(N_GROUPS)])
    if not known.any():
        nothing = np.full(len(thresholds), np.nan)
        return answer | {"calibration": np.full(4, np.nan), "e": np.full(3, np.nan), "curve": nothing, "net": nothing}
    answer["calibration"] = np.array([*benefit_slope(gain, difference), gain.mean(), difference.mean()])
    answer["e"] = e_for_benefit(gain, difference)
    with_gain = _only(patients, known)
    value, share = value_curve(with_gain, thresholds)
    of_ccrt = float(with_gain.robust[0].mean())
    answer["curve"], answer["net"] = value, net_benefit_of_choice(value, share, thresholds, of_ccrt)
    return answer


def _only(patients: WeightedPatients, known: Any) -> WeightedPatients:
    return WeightedPatients(
        patients.outcome.where(known), patients.treated[known], patients.survival[:, known], patients.gain[known],
        patients.ict_preferred[known], patients.days, patients.weights[known], patients.robust[:, known],
    )  # fmt: skip


def _groups(gain: FloatArray) -> Int64Array:
    """Return the group of each patient by quantiles of the predicted gain; -1 where it is unknown."""
    known = ~np.isnan(gain)
    number = np.full(len(gain), -1, dtype=np.int64)
    if known.any():
        edges = np.quantile(gain[known], np.linspace(0, 1, N_GROUPS + 1)[1:-1])
        number[known] = np.searchsorted(edges, gain[known], side="left")
    return number


def _benefit_groups(data: TreatmentData, group: Int64Array, figures: list[Figure]) -> tuple[BenefitGroup, ...]:
    early = data.outcome.event_observed & (data.outcome.durations_days <= data.days)
    return tuple(
        BenefitGroup(
            n=int(inside.sum()),
            n_events=int(early[inside].sum()),
            n_ict=int(data.treated[inside].sum()),
            predicted=float(data.gain[inside].mean()),
            observed=figure,
        )
        for number, figure in enumerate(figures)
        if (inside := group == number).any()
    )


def _band(draws: FloatArray | None) -> dict[str, FloatArray]:
    if draws is None or np.isnan(draws).all():
        nothing = np.full(len(CURVE_THRESHOLDS), np.nan)
        return {"low": nothing, "high": nothing}
    low, high = np.nanquantile(draws, (0.025, 0.975), axis=0)
    return {"low": low, "high": high}


def _net_benefit_of_all(found: Mapping[str, FloatArray], known: bool) -> FloatArray:
    thresholds = np.array(CURVE_THRESHOLDS)
    # The mean doubly robust difference of the patients in the curve is what ICT+CCRT for all gains over CCRT for all.
    return found["calibration"][3] - thresholds if known else np.full(len(thresholds), np.nan)


def _c_for_benefit(pairs: BenefitPairs, n_bootstrap: int, seed: int) -> Figure:
    draws = resampled(lambda rows: {"c": np.array([pairs.concordance(rows)])}, len(pairs.gain), n_bootstrap, seed)
    return figures_of_draws(np.array([pairs.concordance()]), draws.get("c"))[0]


def _propensity_to_json(data: TreatmentData, patients: WeightedPatients) -> dict[str, Any]:
    probability = np.where(data.treated, 1 / patients.weights, 1 - 1 / patients.weights)
    effective = {
        arm.value: float(weights.sum() ** 2 / (weights**2).sum())
        for arm in (TreatmentArm.CCRT, TreatmentArm.ICT_CCRT)
        for weights in (patients.weights[data.treated == (arm is TreatmentArm.ICT_CCRT)],)
    }
    return {
        **data.propensity.to_json(),
        "range": [float(probability.min()), float(probability.max())],
        "effective_n": effective,
    }
