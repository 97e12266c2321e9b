"""What survival would be if every patient had the regimen that a rule chooses: the value of a treatment policy.

Two estimates. Inverse probability of treatment: the Kaplan-Meier estimate of the patients who received what the rule
chooses, each weighted by the inverse of the probability of that. Doubly robust: the mean predicted survival under the
rule, corrected by the weighted differences between pseudo-observation and prediction; it is right if the propensity or
the prediction is. The predictions are those of the tested nomogram, so that nothing is fitted to the outcome.

References: Robins, Rotnitzky and Zhao, JASA 1994;89:846; Zhang et al., Biometrics 2012;68:1010; Vickers, Kattan and
Sargent, Trials 2007;8:14 (net benefit of choosing a treatment).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from config.arrays import BoolArray, FloatArray, Int64Array
from config.errors import InputError
from workers.survival.cohort import Outcome
from workers.validation.propensity import Propensity
from workers.validation.weighted_survival import pseudo_survival, restricted_mean, weighted_survival

CURVE_THRESHOLDS = tuple(round(0.01 * step, 2) for step in range(-30, 31))
"""Gains from which ICT+CCRT is chosen, for the curves."""


@dataclass(frozen=True)
class TreatmentData:
    """n patients of both arms, with what a nomogram predicts for them.

    Attributes
    ----------
    outcome : Outcome
        Follow-up.
    treated : bool array, shape (n,)
        True for ICT+CCRT.
    propensity : Propensity
        Of the same patients.
    survival : array, shape (2, n)
        Predicted at the horizon under CCRT and under ICT+CCRT.
    gain : array, shape (n,)
        Predicted difference, ICT+CCRT minus CCRT; NaN where it is not known.
    ict_preferred : bool array, shape (n,)
        The recommendation.
    days : float
        Horizon.
    """

    outcome: Outcome
    treated: BoolArray
    propensity: Propensity
    survival: FloatArray
    gain: FloatArray
    ict_preferred: BoolArray
    days: float

    def __len__(self) -> int:
        return len(self.treated)

    def where(self, selected: BoolArray) -> TreatmentData:
        """Return the selected patients.

        Parameters
        ----------
        selected : bool array, shape (n,)
            True for the patients to return.

        Returns
        -------
        TreatmentData
            In the same order.
        """
        return replace(
            self,
            outcome=self.outcome.where(selected),
            treated=self.treated[selected],
            propensity=self.propensity.where(selected),
            survival=self.survival[:, selected],
            gain=self.gain[selected],
            ict_preferred=self.ict_preferred[selected],
        )


@dataclass(frozen=True)
class WeightedPatients:
    """Patients, or a resample of them, with weights and pseudo-observations.

    Attributes
    ----------
    outcome, treated, survival, gain, ict_preferred, days
        As of `TreatmentData`.
    weights : array, shape (n,)
        Inverse probability of the treatment received.
    robust : array, shape (2, n)
        Doubly robust survival of each patient under CCRT and under ICT+CCRT; meaningful as a mean.
    """

    outcome: Outcome
    treated: BoolArray
    survival: FloatArray
    gain: FloatArray
    ict_preferred: BoolArray
    days: float
    weights: FloatArray
    robust: FloatArray

    @property
    def robust_difference(self) -> FloatArray:
        """Doubly robust difference of each patient.

        Returns
        -------
        array, shape (n,)
            ICT+CCRT minus CCRT; meaningful as a mean, single values can be outside [-1, 1].
        """
        return np.asarray(self.robust[1] - self.robust[0])

    def policy_value(self, choose_ict: BoolArray) -> tuple[float, float]:
        """Return survival at the horizon if a rule were followed.

        Parameters
        ----------
        choose_ict : bool array, shape (n,)
            What the rule chooses.

        Returns
        -------
        weighted, doubly_robust : float
            Both estimates; the first is NaN where nobody received what the rule chooses.
        """
        follows = self.treated == choose_ict
        weighted = np.nan
        if follows.any():
            weighted = weighted_survival(self.outcome.where(follows), self.weights[follows]).at(self.days)
        return weighted, float(np.where(choose_ict, self.robust[1], self.robust[0]).mean())

    def arm_difference(self, inside: BoolArray) -> float:
        """Return the weighted Kaplan-Meier difference of the arms among some patients.

        Parameters
        ----------
        inside : bool array, shape (n,)
            Who counts.

        Returns
        -------
        float
            ICT+CCRT minus CCRT at the horizon; NaN where an arm has no patient.
        """
        values = []
        for arm in (True, False):
            rows = inside & (self.treated == arm)
            if not rows.any():
                return float("nan")
            values.append(weighted_survival(self.outcome.where(rows), self.weights[rows]).at(self.days))
        return values[0] - values[1]

    def restricted_means(self, days: float) -> FloatArray:
        """Return the restricted mean survival time of both regimens.

        Parameters
        ----------
        days : float
            End of the area under the weighted curves.

        Returns
        -------
        array, shape (3,)
            CCRT, ICT+CCRT, and the difference ICT+CCRT minus CCRT, in days.
        """
        means = []
        for arm in (False, True):
            rows = self.treated == arm
            curve = weighted_survival(self.outcome.where(rows), self.weights[rows])
            means.append(restricted_mean(curve.days, curve.survival, days))
        return np.array([*means, means[1] - means[0]])


def weigh(data: TreatmentData, rows: Int64Array | None = None) -> WeightedPatients:
    """Return weights and doubly robust values of all patients, or of a resample.

    Parameters
    ----------
    data : TreatmentData
        n patients.
    rows : int array, shape (m,), optional
        Positions of a resample; the propensity is estimated on it anew.

    Returns
    -------
    WeightedPatients
        In the order of the rows.

    Raises
    ------
    InputError
        An arm has fewer than two patients, or the propensity cannot be estimated.
    """
    at = np.arange(len(data)) if rows is None else rows
    treated, survival = data.treated[at], data.survival[:, at]
    outcome = Outcome(data.outcome.durations_days[at], data.outcome.event_observed[at])
    if min(int(treated.sum()), int((~treated).sum())) < 2:
        raise InputError("expected at least two patients in each arm")
    probability = data.propensity.probability(treated, at)
    weights = 1 / np.where(treated, probability, 1 - probability)
    robust = survival.copy()
    for arm in (0, 1):
        inside = treated == bool(arm)
        # By arm, since censoring may differ between the arms.
        pseudo = pseudo_survival(outcome.where(inside), data.days)
        robust[arm, inside] += weights[inside] * (pseudo - survival[arm, inside])
    return WeightedPatients(
        outcome, treated, survival, data.gain[at], data.ict_preferred[at], data.days, weights, robust
    )


def value_curve(patients: WeightedPatients, thresholds: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the doubly robust value of choosing ICT+CCRT from a threshold of the predicted gain on.

    Parameters
    ----------
    patients : WeightedPatients
        n patients whose gain is known.
    thresholds : array, shape (k,)
        ICT+CCRT is chosen where the gain exceeds the threshold.

    Returns
    -------
    value, share : array, shape (k,)
        Survival at the horizon under the rule, and the share of patients for whom it chooses ICT+CCRT.
    """
    order = np.argsort(-patients.gain, kind="stable")
    n = len(order)
    # Patients with the largest gain come first: a rule chooses ICT+CCRT for the first so many of them.
    gained = np.concatenate(([0.0], np.cumsum(patients.robust_difference[order])))
    chosen = np.searchsorted(-patients.gain[order], -thresholds, side="left")
    return float(patients.robust[0].mean()) + gained[chosen] / n, chosen / n


def net_benefit_of_choice(
    value: FloatArray, share: FloatArray, thresholds: FloatArray, value_of_ccrt: float
) -> FloatArray:
    """Return the net benefit of a rule over CCRT for all.

    Parameters
    ----------
    value, share : array, shape (k,)
        From `value_curve`.
    thresholds : array, shape (k,)
        The gain for which the burden of ICT would be accepted.
    value_of_ccrt : float
        Survival if all had CCRT.

    Returns
    -------
    array, shape (k,)
        Survival gained, minus the threshold for each patient who receives ICT.
    """
    return np.asarray(value - value_of_ccrt - thresholds * share)
