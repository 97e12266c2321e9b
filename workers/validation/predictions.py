"""What a nomogram predicts for a cohort, with the patients whose EBV DNA is unknown.

Each patient of unknown EBV DNA is scored in both categories. At threshold 0 both give the same recommendation, because
the sign of the difference depends on the Predictive-score alone; elsewhere the two results are bounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from config.arrays import BoolArray, FloatArray
from config.indication.vocabulary import EbvCategory, TreatmentArm
from workers.nomogram.model import CoxNomogram
from workers.survival.cohort import EBV, Cohort
from workers.survival.covariates import PatientCovariates

CATEGORIES = (EbvCategory.NOT_ABOVE, EbvCategory.ABOVE)
"""Order of the first axis of every prediction."""


@dataclass(frozen=True)
class CohortPredictions:
    """Predictions for n patients at h horizons, the last of which is that of the decision.

    The first axis of every array is the category that unknown EBV DNA is taken as (`CATEGORIES`); a patient whose
    EBV DNA is known has the same values in both.

    Attributes
    ----------
    known : bool array, shape (n,)
        EBV DNA is known.
    treated : bool array, shape (n,)
        True for ICT+CCRT.
    points_by_arm : array, shape (2, 2, n)
        Total points by category and arm (CCRT, ICT+CCRT).
    survival_by_arm : array, shape (2, 2, h, n)
        Predicted DFS by category, arm and horizon.
    """

    known: BoolArray
    treated: BoolArray
    points_by_arm: FloatArray
    survival_by_arm: FloatArray

    def where(self, selected: BoolArray) -> CohortPredictions:
        """Return the predictions of the selected patients.

        Parameters
        ----------
        selected : bool array, shape (n,)
            True for the patients to return.

        Returns
        -------
        CohortPredictions
            In the same order.
        """
        return CohortPredictions(
            self.known[selected],
            self.treated[selected],
            self.points_by_arm[..., selected],
            self.survival_by_arm[..., selected],
        )

    @property
    def points(self) -> FloatArray:
        """Total points under the treatment received.

        Returns
        -------
        array, shape (2, n)
            By the category that unknown EBV DNA is taken as.
        """
        return np.where(self.treated, self.points_by_arm[:, 1], self.points_by_arm[:, 0])

    def received(self, column: int) -> FloatArray:
        """Return predicted DFS at a horizon under the treatment received.

        Parameters
        ----------
        column : int
            Position of the horizon.

        Returns
        -------
        array, shape (2, n)
            By category.
        """
        return np.where(self.treated, self.survival_by_arm[:, 1, column], self.survival_by_arm[:, 0, column])

    @property
    def gain(self) -> FloatArray:
        """DFS under ICT+CCRT minus DFS under CCRT at the decision horizon.

        Returns
        -------
        array, shape (2, n)
            By the category that unknown EBV DNA is taken as.
        """
        return self.survival_by_arm[:, 1, -1] - self.survival_by_arm[:, 0, -1]

    def preferred(self, threshold: float) -> tuple[BoolArray, BoolArray]:
        """Return for whom ICT+CCRT is preferred, and whose recommendation is determined.

        Parameters
        ----------
        threshold : float
            ICT+CCRT is preferred where the gain exceeds it.

        Returns
        -------
        ict_preferred, determined : bool array, shape (n,)
            Not determined: unknown EBV DNA whose two categories give different recommendations.
        """
        not_above, above = self.gain > threshold
        return not_above, not_above == above


def predict_cohort(cohort: Cohort, nomogram: CoxNomogram, horizons_months: Sequence[float]) -> CohortPredictions:
    """Score every patient, those of unknown EBV DNA in both categories.

    Parameters
    ----------
    cohort : Cohort
        n patients with both scores.
    nomogram : CoxNomogram
        As it is.
    horizons_months : sequence of float, length h
        The last one is that of the decision.

    Returns
    -------
    CohortPredictions
        Without intervals.
    """
    ebv = cohort.column(EBV)
    known = ~np.isnan(ebv)
    hazard = nomogram.baseline_hazard(horizons_months)
    shape = (len(CATEGORIES), len(TreatmentArm), len(cohort))
    points, survival = np.empty(shape), np.empty((*shape[:2], len(hazard), len(cohort)))
    for at in range(len(CATEGORIES)):
        covariates = PatientCovariates(
            cohort.column("age_years"),
            np.where(known, ebv, float(at)),
            cohort.column("prognostic_score"),
            cohort.column("predictive_score"),
        )
        for arm, each in enumerate((TreatmentArm.CCRT, TreatmentArm.ICT_CCRT)):
            # Points and survival without the intervals of `CoxNomogram.score`, which no statistic of a cohort uses.
            risk = nomogram.linear_predictor(covariates, each)
            points[at, arm] = nomogram.scale.total(risk)
            survival[at, arm] = np.exp(-hazard[:, None] * np.exp(risk))
    return CohortPredictions(known, cohort.treated, points, survival)
