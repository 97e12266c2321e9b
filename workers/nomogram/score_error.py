"""How uncertain the scores themselves are: standard errors from an ensemble, without knowing the truth.

Two jackknives are added. Over the patients: each of K members learned without another fold, so the variance of their
mean over training cohorts is (K - 1)^2 / K times the members' sample covariance. Over the series: with S series, the
scores are computed S times with the features of one series replaced by the mean of the training; (S - 1) / S times the
sum of squares is the variance that comes from what one series shows and the others do not (noise, artefacts, the
contour on it). What all series and all members share is in neither.

References
----------
Efron and Stein, Ann Stat 1981;9:586 (jackknife); Busing, Meijer and van der Leeden, Stat Comput 1999;9:3 (leaving out
groups).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from config.arrays import FloatArray
from config.errors import InputError
from config.indication.conventions import SCORE_DECIMALS


@dataclass(frozen=True)
class ScoreError:
    """Standard errors of both scores and the correlation of their errors, for one patient or for n.

    Attributes
    ----------
    members : int
        Number of members of the ensemble that they come from, at least 2.
    prognostic_se, predictive_se : float or array, shape (n,)
        From 0 to 2.
    correlation : float or array, shape (n,)
        From -1 to 1.

    Raises
    ------
    InputError
        A value is impossible.
    """

    members: int
    prognostic_se: npt.ArrayLike
    predictive_se: npt.ArrayLike
    correlation: npt.ArrayLike = 0.0

    def __post_init__(self) -> None:
        errors, correlation = np.asarray([self.prognostic_se, self.predictive_se]), np.asarray(self.correlation)
        # Written so that a NaN is refused, too.
        if self.members < 2 or not bool(np.all((errors >= 0) & (errors <= 2))):
            raise InputError(
                "expected standard errors of the scores from 0 to 2 of at least 2 members, found "
                f"{float(np.max(errors)):g} of {self.members}"
            )
        if not bool(np.all(np.abs(correlation) <= 1)):
            raise InputError(
                f"expected a correlation of the errors from -1 to 1, found {float(np.max(np.abs(correlation))):g}"
            )

    def variance(self, prognostic_slope: FloatArray, predictive_slope: FloatArray) -> FloatArray:
        """Return the variance of a quantity that depends on both scores, by the delta method.

        Parameters
        ----------
        prognostic_slope, predictive_slope : array, shape (n,)
            Derivatives of the quantity.

        Returns
        -------
        array, shape (n,)
            At least 0.
        """
        a = prognostic_slope * np.asarray(self.prognostic_se)
        b = predictive_slope * np.asarray(self.predictive_se)
        return np.asarray(np.maximum(a**2 + b**2 + 2 * np.asarray(self.correlation) * a * b, 0.0))

    def of_patient(self, patient: int) -> ScoreError:
        """Return the errors of one patient (counted from 0)."""
        return ScoreError(**self.to_json(patient))

    def rows(self, rows: slice) -> ScoreError:
        """Return the errors of these patients."""
        parts = (np.asarray(value)[rows] if np.ndim(value) else value for value in self._values)
        return ScoreError(self.members, *parts)

    @property
    def _values(self) -> tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike]:
        return self.prognostic_se, self.predictive_se, self.correlation

    def to_json(self, patient: int = 0) -> dict[str, Any]:
        """Return plain values of one patient (counted from 0)."""
        names = ("prognostic_se", "predictive_se", "correlation")
        # A single number stands for all patients.
        values = (np.asarray(value).flat[patient if np.ndim(value) else 0] for value in self._values)
        return {"members": self.members} | {name: float(value) for name, value in zip(names, values, strict=True)}


class JackknifedScores(Protocol):
    """Scores of n patients by each member of an ensemble, and with each series left out (`scores.ensemble`)."""

    @property
    def by_member(self) -> BothScores:
        """Shape (K, n) each."""

    @property
    def without_series(self) -> BothScores:
        """Shape (S, n) each."""


class BothScores(Protocol):
    """Prognostic-scores and Predictive-scores."""

    @property
    def prognostic(self) -> FloatArray:
        """Rise with the risk."""

    @property
    def predictive(self) -> FloatArray:
        """Low values favour ICT+CCRT."""


def score_error_of(scores: JackknifedScores) -> ScoreError | None:
    """Return the standard errors of the mean scores, rounded as a report shows them.

    Parameters
    ----------
    scores : JackknifedScores
        Of n patients.

    Returns
    -------
    ScoreError or None
        None for one member: its error cannot be told from one training.
    """
    members = len(scores.by_member.prognostic)
    if members < 2:
        return None
    parts = zip(_jackknife(scores.by_member), _jackknife(scores.without_series), strict=True)
    prognostic, predictive, product = (over_patients + over_series for over_patients, over_series in parts)
    size = np.sqrt(prognostic * predictive)
    # Without an error of one score there is no correlation; the covariance is 0 whatever is written here.
    correlation = np.clip(np.divide(product, size, out=np.zeros_like(size), where=size > 0), -1, 1)
    # Two scores in (-1, 1) are never farther apart than 2.
    values = np.minimum(np.sqrt(prognostic), 2), np.minimum(np.sqrt(predictive), 2), correlation
    return ScoreError(members, *(np.round(value, SCORE_DECIMALS) for value in values))


def _jackknife(scores: BothScores) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the jackknife variances of both scores and their covariance, shape (n,) each."""
    p, q = (each - each.mean(axis=0) for each in (scores.prognostic, scores.predictive))
    factor = (len(p) - 1) / len(p)
    return factor * (p**2).sum(axis=0), factor * (q**2).sum(axis=0), factor * (p * q).sum(axis=0)
