"""The patient's covariates before treatment, in the form that the survival models take."""

from __future__ import annotations

from dataclasses import dataclass

from config.arrays import BoolArray, FloatArray


@dataclass(frozen=True)
class PatientCovariates:
    """Covariates of one patient (numbers) or of n patients (arrays of shape (n,)).

    Attributes
    ----------
    age_years : float or array
        Age at the start of treatment.
    ebv_dna_gt_threshold : float, bool or array
        1 (True) where plasma EBV DNA before treatment exceeds the threshold, else 0.
    prognostic_score : float or array
        In [-1, 1]; rises with risk.
    predictive_score : float or array
        In [-1, 1]; low values favour ICT+CCRT.
    """

    age_years: float | FloatArray
    ebv_dna_gt_threshold: float | bool | FloatArray | BoolArray
    prognostic_score: float | FloatArray
    predictive_score: float | FloatArray
