"""What is known of patients before treatment, in the form that the survival models take."""

from __future__ import annotations

from dataclasses import dataclass

from config.arrays import BoolArray, FloatArray


@dataclass(frozen=True)
class PatientCovariates:
    """Inputs of n patients; numbers or arrays of one shape (n,).

    age_years : age at the start of treatment.
    ebv_dna_gt_threshold : 1 (True) where pre-treatment plasma EBV DNA exceeds the threshold, else 0.
    prognostic_score : in [-1, 1], rises with risk.
    predictive_score : in [-1, 1]; low values favour ICT+CCRT.
    """

    age_years: float | FloatArray
    ebv_dna_gt_threshold: float | bool | FloatArray | BoolArray
    prognostic_score: float | FloatArray
    predictive_score: float | FloatArray
