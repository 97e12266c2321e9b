"""Points of a nomogram: the linear predictor on a scale from 0 to 100.

As in R's rms: each factor's axis spans R's ``pretty`` range of the training cohort, the factor with the widest effect
gets 0-100 points, and every axis starts at zero points where its effect is smallest. The Predictive-score has one axis
per arm; both share one zero, because choosing the other arm moves a patient only between these two axes.

References: Zhong et al., EBioMedicine 2021;70:103522, Figure 2a; rms::nomogram.
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
    """Return the step of R's ``pretty(c(low, high), n = intervals)``.

    Parameters
    ----------
    low, high : float
        Ends of the data, low < high.
    intervals : int
        Desired number of intervals.

    Returns
    -------
    float
        1, 2, 5 or 10 times a power of ten.
    """
    # Written out because matplotlib's and numpy's ticks differ from R's, and the widest axis decides all points.
    cell = (high - low) / intervals
    base = 10.0 ** math.floor(math.log10(cell))
    unit = base
    for factor, bias in ((2, 1.5), (5, 2.75), (10, 1.5)):  # R's defaults: high.u.bias = 1.5, u5.bias = 2.75
        if factor * base - cell >= bias * (cell - unit):
            break
        unit = factor * base
    return unit


def pretty_range(low: float, high: float, intervals: int = 10) -> tuple[float, float]:
    """Return the ends of R's ``pretty(c(low, high), n = intervals)``.

    Parameters
    ----------
    low, high : float
        Ends of the data, low < high.
    intervals : int
        Desired number of intervals.

    Returns
    -------
    low, high : float
        Multiples of `pretty_step` that enclose the data.
    """
    step = pretty_step(low, high, intervals)
    # R's pretty allows this relative error, so that 0.3 / 0.1 counts as 3.
    slack = 1e-10
    return math.floor(low / step + slack) * step, math.ceil(high / step - slack) * step


@dataclass(frozen=True)
class PointsScale:
    """Points per unit of each factor.

    Attributes
    ----------
    coefficients : mapping of str to float
        Term -> log hazard ratio per unit.
    axis_ranges : mapping of str to pair of float
        Factor -> ends of its axis.
    lp_per_point : float
        Linear predictor of one point.
    zero : mapping of str to float
        Factor -> smallest linear predictor on its axis.
    """

    coefficients: Mapping[str, float]
    axis_ranges: Mapping[str, tuple[float, float]]
    lp_per_point: float
    zero: Mapping[str, float]  # factor -> least linear predictor on its axis

    @classmethod
    def of(cls, coefficients: Mapping[str, float], axis_ranges: Mapping[str, tuple[float, float]]) -> PointsScale:
        """Lay out the axes for fitted coefficients.

        Parameters
        ----------
        coefficients : mapping of str to float
            Term -> linear predictor per unit.
        axis_ranges : mapping of str to pair of float
            Ends of the axes of age, both scores and EBV DNA.
        """
        effects = {
            factor: [coefficients[factor] * end for end in axis_ranges[factor]] for factor in (AGE, PROGNOSTIC, EBV)
        }
        arms = {arm: [_predictive(coefficients, arm, end) for end in axis_ranges[PREDICTIVE]] for arm in TreatmentArm}
        # Each arm's axis of the Predictive-score has its own slope, so each can be the widest.
        widths = [max(ends) - min(ends) for ends in (*effects.values(), *arms.values())]
        zero = {factor: min(ends) for factor, ends in effects.items()}
        # One zero for both arms: the difference of their points is then the difference of their linear predictors.
        zero[PREDICTIVE] = min(min(ends) for ends in arms.values())
        return cls(coefficients, axis_ranges, max(widths) / FULL_SCALE, zero)

    @property
    def lp_at_zero_points(self) -> float:
        """Uncentred linear predictor of a patient with zero total points."""
        return sum(self.zero.values())

    def of_factor(self, factor: str, value: Values) -> Values:
        """Return the points of age, Prognostic-score or EBV DNA on its axis.

        Parameters
        ----------
        factor : str
            ``age_years``, ``prognostic_score`` or ``ebv_dna_gt_4000``.
        value : float or array
            Years, a score in [-1, 1], or 0/1.

        Returns
        -------
        float or array
            0 at the end of the axis with the smallest effect; beyond the axis below 0 or above its last point.
        """
        return (self.coefficients[factor] * value - self.zero[factor]) / self.lp_per_point

    def of_predictive_score(self, arm: TreatmentArm, value: Values) -> Values:
        """Return the points of the Predictive-score on one arm's axis, the arm's own effect included.

        Parameters
        ----------
        arm : TreatmentArm
            Whose axis.
        value : float or array
            Predictive-score in [-1, 1].

        Returns
        -------
        float or array
            Points; the difference between both arms is that of their linear predictors.
        """
        return (_predictive(self.coefficients, arm, value) - self.zero[PREDICTIVE]) / self.lp_per_point

    def total(self, linear_predictor: Values) -> Values:
        """Return the total points of an uncentred linear predictor."""
        return (linear_predictor - self.lp_at_zero_points) / self.lp_per_point

    def linear_predictor(self, total_points: Values) -> Values:
        """Return the uncentred linear predictor of total points."""
        return total_points * self.lp_per_point + self.lp_at_zero_points


def _predictive(coefficients: Mapping[str, float], arm: TreatmentArm, value: Values) -> Values:
    if arm is TreatmentArm.CCRT:
        return coefficients[PREDICTIVE] * value
    # The treatment's main effect is on this axis, since it applies to exactly the patients who read their points here.
    return coefficients[TREATMENT] + (coefficients[PREDICTIVE] + coefficients[INTERACTION]) * value
