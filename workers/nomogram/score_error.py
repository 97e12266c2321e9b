"""How uncertain the scores themselves are: standard errors from an ensemble, without knowing the truth.

Two jackknives are added. Over the patients: each of K members learned without another fold, so the variance of their
mean over training cohorts is (K - 1)^2 / K times the members' sample covariance. Over the series: with S series, the
scores are computed S times with the features of one series replaced by the mean of the training; (S - 1) / S times the
sum of squares is the variance that comes from what one series shows and the others do not (noise, artefacts, the
contour on it). What all series and all members share is in neither. Variances from five members and three series are
themselves uncertain, so the quantile is that of Student's t with Satterthwaite's degrees of freedom.

References
----------
Efron and Stein, Ann Stat 1981;9:586 (jackknife); Busing, Meijer and van der Leeden, Stat Comput 1999;9:3 (leaving out
groups); Satterthwaite, Biometrics Bull 1946;2:110.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from config.arrays import FloatArray
from config.errors import InputError
from config.indication.conventions import SCORE_DECIMALS

FEWEST_DEGREES = 2.0  # of three series; five members have four


@dataclass(frozen=True)
class ScoreError:
    """Standard errors of both scores and the correlation of their errors, for one patient or for n.

    Attributes
    ----------
    members : int or None
        Number of members of the ensemble that they come from, at least 2; None where they were entered.
    prognostic_se, predictive_se : float or array, shape (n,)
        From 0 to 2.
    correlation : float or array, shape (n,)
        From -1 to 1.
    degrees_of_freedom : float or array, shape (n,)
        Of these variances, at least 1.

    Raises
    ------
    InputError
        A value is impossible.
    """

    members: int | None
    prognostic_se: npt.ArrayLike
    predictive_se: npt.ArrayLike
    correlation: npt.ArrayLike = 0.0
    degrees_of_freedom: npt.ArrayLike = FEWEST_DEGREES

    def __post_init__(self) -> None:
        errors, correlation = np.asarray([self.prognostic_se, self.predictive_se]), np.asarray(self.correlation)
        # Written so that a NaN is refused, too.
        if not bool(np.all((errors >= 0) & (errors <= 2))):
            raise InputError(f"expected standard errors of the scores from 0 to 2, found {errors.flat[0]:g}")
        if self.members is not None and self.members < 2:
            raise InputError(f"expected errors of at least 2 members, found {self.members}")
        if not bool(np.all(np.abs(correlation) <= 1)):
            raise InputError(
                f"expected a correlation of the errors from -1 to 1, found {float(np.max(np.abs(correlation))):g}"
            )
        if not bool(np.all(np.asarray(self.degrees_of_freedom) >= 1)):
            raise InputError(
                f"expected at least 1 degree of freedom, found {float(np.min(np.asarray(self.degrees_of_freedom))):g}"
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

    def quantile(self, of_scores: FloatArray, of_cox: FloatArray) -> FloatArray:
        """Return the 97.5 % quantile of Student's t for the sum of two variances.

        Parameters
        ----------
        of_scores, of_cox : array, shape (n,)
            Variances; that of the Cox model, from all events, counts as known.

        Returns
        -------
        array, shape (n,)
            1.96 where nothing comes from the scores, at most 12.7.
        """
        from scipy.special import stdtrit  # here: a nomogram alone starts without scipy

        share = np.divide(of_scores, of_scores + of_cox, out=np.zeros_like(of_scores), where=of_scores > 0)
        # Infinite degrees of freedom, where nothing comes from the scores, give the normal quantile.
        with np.errstate(divide="ignore"):
            degrees = np.asarray(self.degrees_of_freedom) / share**2
        return np.asarray(stdtrit(np.minimum(degrees, 1e9), 0.975))

    def of_patient(self, patient: int) -> ScoreError:
        """Return the errors of one patient (counted from 0)."""
        return ScoreError(**self.to_json(patient))

    def rows(self, rows: slice) -> ScoreError:
        """Return the errors of these patients."""
        parts = (np.asarray(value)[rows] if np.ndim(value) else value for value in self._values)
        return ScoreError(self.members, *parts)

    @property
    def _values(self) -> tuple[npt.ArrayLike, ...]:
        return self.prognostic_se, self.predictive_se, self.correlation, self.degrees_of_freedom

    def to_json(self, patient: int = 0) -> dict[str, Any]:
        """Return plain values of one patient (counted from 0)."""
        names = ("prognostic_se", "predictive_se", "correlation", "degrees_of_freedom")
        # A number without an axis is that of every patient.
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
    by_patients, by_series = _jackknife(scores.by_member), _jackknife(scores.without_series)
    prognostic, predictive, product = (first + second for first, second in zip(by_patients, by_series, strict=True))
    size = np.sqrt(prognostic * predictive)
    # Without an error of one score there is no correlation; the covariance is 0 whatever is written here.
    correlation = np.clip(np.divide(product, size, out=np.zeros_like(size), where=size > 0), -1, 1)
    degrees = (members - 1, len(scores.without_series.prognostic) - 1)
    # Of the score with fewer, so that no interval is too narrow for it.
    freedom = [_satterthwaite(*pair, *degrees) for pair in zip(by_patients[:2], by_series[:2], strict=True)]
    return ScoreError(
        members,
        # Two scores in (-1, 1) are never farther apart than 2.
        np.round(np.minimum(np.sqrt(prognostic), 2), SCORE_DECIMALS),
        np.round(np.minimum(np.sqrt(predictive), 2), SCORE_DECIMALS),
        np.round(correlation, SCORE_DECIMALS),
        np.round(np.minimum(*freedom), 1),
    )


def _satterthwaite(first: FloatArray, second: FloatArray, first_degrees: int, second_degrees: int) -> FloatArray:
    """Return the degrees of freedom of the sum of two independent variances."""
    total, uncertain = (first + second) ** 2, first**2 / first_degrees + second**2 / second_degrees
    fewest = float(min(first_degrees, second_degrees))
    return np.asarray(np.divide(total, uncertain, out=np.full_like(total, fewest), where=uncertain > 0))


def _jackknife(scores: BothScores) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the jackknife variances of both scores and their covariance, shape (n,) each."""
    p, q = (each - each.mean(axis=0) for each in (scores.prognostic, scores.predictive))
    factor = (len(p) - 1) / len(p)
    return factor * (p**2).sum(axis=0), factor * (q**2).sum(axis=0), factor * (p * q).sum(axis=0)
