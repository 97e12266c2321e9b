"""Points of a nomogram: the linear predictor in the units of a ruler of 100.

As in R's rms: each factor's axis spans R's `pretty` range of the training cohort, the factor with the widest effect
gets 0-100 points, and every axis starts at zero points where its effect is least. The Predictive-score has one axis
per arm; both share one zero, because the arm that is chosen moves only along them.
Source: Zhong et al., EBioMedicine 2021;70:103522, Figure 2a.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from config.arrays import FloatArray
from config.indication.vocabulary import TreatmentArm

AGE = "age_years"
PROGNOSTIC = "prognostic_score"
PREDICTIVE = "predictive_score"
TREATMENT = "treatment_ict"
EBV = "ebv_dna_gt_4000"
INTERACTION = "predictive_score_x_treatment_ict"
TERMS = (AGE, PROGNOSTIC, PREDICTIVE, TREATMENT, EBV, INTERACTION)
FACTORS = (AGE, PROGNOSTIC, PREDICTIVE, EBV)  # what has an axis
FULL_SCALE = 100.0

Values = TypeVar("Values", float, FloatArray)


def pretty_step(low: float, high: float, intervals: int = 10) -> float:
    """Step of R's `pretty(c(low, high), n = intervals)`: 1, 2, 5 or 10 times a power of ten."""
    cell = (high - low) / intervals
    base = 10.0 ** math.floor(math.log10(cell))
    unit = base
    for factor, bias in ((2, 1.5), (5, 2.75), (10, 1.5)):  # R's defaults: high.u.bias = 1.5, u5.bias = 2.75
        if factor * base - cell >= bias * (cell - unit):
            break
        unit = factor * base
    return unit


def pretty_range(low: float, high: float, intervals: int = 10) -> tuple[float, float]:
    """Ends of R's `pretty(c(low, high), n = intervals)`; low < high."""
    step = pretty_step(low, high, intervals)
    slack = 1e-10
    return math.floor(low / step + slack) * step, math.ceil(high / step - slack) * step


@dataclass(frozen=True)
class PointsScale:
    """Points per unit of each factor.

    lp_per_point : linear predictor of one point.
    lp_at_zero_points : linear predictor (uncentred) of a patient with zero total points.
    axis_ranges : factor -> ends of its axis.
    """

    coefficients: Mapping[str, float]
    axis_ranges: Mapping[str, tuple[float, float]]
    lp_per_point: float
    zero: Mapping[str, float]  # factor -> least linear predictor on its axis

    @classmethod
    def of(cls, coefficients: Mapping[str, float], axis_ranges: Mapping[str, tuple[float, float]]) -> PointsScale:
        """Lay the axes out for fitted coefficients (linear predictor per unit of each term)."""
        effects = {
            factor: [coefficients[factor] * end for end in axis_ranges[factor]] for factor in (AGE, PROGNOSTIC, EBV)
        }
        arms = {arm: [_predictive(coefficients, arm, end) for end in axis_ranges[PREDICTIVE]] for arm in TreatmentArm}
        widths = [max(ends) - min(ends) for ends in (*effects.values(), *arms.values())]
        zero = {factor: min(ends) for factor, ends in effects.items()}
        zero[PREDICTIVE] = min(min(ends) for ends in arms.values())
        return cls(coefficients, axis_ranges, max(widths) / FULL_SCALE, zero)

    @property
    def lp_at_zero_points(self) -> float:
        return sum(self.zero.values())

    def of_factor(self, factor: str, value: Values) -> Values:
        """Points of age (years), Prognostic-score or EBV DNA (0/1); numbers or arrays."""
        return (self.coefficients[factor] * value - self.zero[factor]) / self.lp_per_point

    def of_predictive_score(self, arm: TreatmentArm, value: Values) -> Values:
        """Points of the Predictive-score on one arm's axis, the arm's own effect included."""
        return (_predictive(self.coefficients, arm, value) - self.zero[PREDICTIVE]) / self.lp_per_point

    def total(self, linear_predictor: Values) -> Values:
        """Total points of an uncentred linear predictor."""
        return (linear_predictor - self.lp_at_zero_points) / self.lp_per_point

    def linear_predictor(self, total_points: Values) -> Values:
        """Uncentred linear predictor of total points."""
        return total_points * self.lp_per_point + self.lp_at_zero_points


def _predictive(coefficients: Mapping[str, float], arm: TreatmentArm, value: Values) -> Values:
    if arm is TreatmentArm.CCRT:
        return coefficients[PREDICTIVE] * value
    return coefficients[TREATMENT] + (coefficients[PREDICTIVE] + coefficients[INTERACTION]) * value
