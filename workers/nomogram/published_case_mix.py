"""The published case mix: quantiles of both scores, age and EBV DNA of the matched training cohort, as aggregates.

References: Zhong et al., EBioMedicine 2021;70:103522.
"""

from __future__ import annotations

from math import erf, sqrt

import numpy as np

from config.arrays import FloatArray
from workers.survival.covariates import PatientCovariates

# Quantiles of the published scores.
SCORE_QUANTILES = (0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1)
PROGNOSTIC_AT = (
    -0.90, -0.88, -0.87, -0.84, -0.82, -0.78, -0.75, -0.71, -0.67, -0.62, -0.53, -0.41, 0.06, 0.72, 0.97, 0.985, 0.999,
)  # fmt: skip
PREDICTIVE_AT = (
    -0.999, -0.99, -0.98, -0.93, -0.77, -0.50, -0.31, -0.13, 0.06, 0.25, 0.42, 0.61, 0.78, 0.86, 0.93, 0.965, 0.99,
)  # fmt: skip
SCORE_CORRELATION = -0.5
EBV_PREVALENCE = 0.37
AGE_MEAN, AGE_SD, AGE_RANGE = 42.6, 10.2, (14, 72)


def scores_at(u: float, w: float) -> tuple[float, float]:
    """Return Prognostic-score and Predictive-score of two standard normal variates.

    Parameters
    ----------
    u, w : float
        Independent.

    Returns
    -------
    pair of float
        In (-1, 1), with the published quantiles and correlation.
    """
    # A Gaussian copula: correlated normals, whose ranks then take the published scores' quantiles. The published tails
    # are far from normal, so the scores cannot be drawn directly.
    correlated = SCORE_CORRELATION * u + np.sqrt(1 - SCORE_CORRELATION**2) * w
    prognostic, predictive = (
        float(np.interp(0.5 * (1 + erf(z / sqrt(2))), SCORE_QUANTILES, at))
        for z, at in ((u, PROGNOSTIC_AT), (correlated, PREDICTIVE_AT))
    )
    return prognostic, predictive


def published_case_mix(n: int = 2000, seed: int = 0) -> PatientCovariates:
    """Draw covariates of patients distributed like the published cohort.

    Parameters
    ----------
    n, seed : int
        Equal arguments give equal patients.

    Returns
    -------
    PatientCovariates
        Arrays of shape (n,).
    """
    rng = np.random.default_rng(seed)
    scores: FloatArray = np.array([scores_at(*pair) for pair in rng.standard_normal((n, 2))])
    age = np.clip(rng.normal(AGE_MEAN, AGE_SD, n), *AGE_RANGE)
    ebv = (rng.random(n) < EBV_PREVALENCE).astype(np.float64)
    return PatientCovariates(age, ebv, scores[:, 0], scores[:, 1])
