"""How uncertain the scores themselves are, from the members of an ensemble.

Each of K members learned without another fold of the patients, so the variance of their mean over training cohorts is
the grouped jackknife's, (K - 1)^2 / K times the members' sample covariance. The members share their design, their kind
of features and most of their patients; what they all miss does not show in their spread. On feature phantoms that rest
is proportional to the learned effect: extreme scores are shrunk, or exaggerated. It is added as a relative error.

References
----------
Efron and Stein, Ann Stat 1981;9:586 (jackknife); Busing, Meijer and van der Leeden, Stat Comput 1999;9:3 (delete-m).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from config.arrays import FloatArray
from config.errors import InputError
from config.indication.conventions import SCORE_DECIMALS

RELATIVE_ERROR = 0.3
"""Standard deviation of the error that all members share, as a fraction of the learned effect.

Chosen on feature phantoms of 684 patients with seeds that no reported coverage uses; `cptdn bench honesty` measures the
coverage on others.
"""


@dataclass(frozen=True)
class ScoreSpread:
    """Sample standard deviations and correlation of the members' scores, for one patient or for n.

    Attributes
    ----------
    members : int
        Number of members, at least 2.
    prognostic_sd, predictive_sd : float or array, shape (n,)
        Over the members, with K - 1 in the denominator.
    correlation : float or array, shape (n,)
        Of the members' Prognostic-scores with their Predictive-scores, -1 to 1.

    Raises
    ------
    InputError
        A value is impossible.
    """

    members: int
    prognostic_sd: npt.ArrayLike
    predictive_sd: npt.ArrayLike
    correlation: npt.ArrayLike = 0.0

    def __post_init__(self) -> None:
        deviations = np.asarray([self.prognostic_sd, self.predictive_sd])
        if self.members < 2 or not bool(np.all((deviations >= 0) & (deviations <= 2))):
            raise InputError(
                "expected the spread of at least 2 members with standard deviations of the scores from 0 to 2, found "
                f"{self.members} members, {np.max(deviations):g}"
            )
        largest = float(np.max(np.abs(np.asarray(self.correlation))))
        if not largest <= 1:  # a NaN is refused, too
            raise InputError(f"expected a correlation of the scores from -1 to 1, found {largest:g}")

    @classmethod
    def of_members(cls, prognostic: FloatArray, predictive: FloatArray) -> ScoreSpread | None:
        """Return the spread of the members' scores, rounded as a report shows it.

        Parameters
        ----------
        prognostic, predictive : array, shape (members,) or (members, n)
            Scores of each member.

        Returns
        -------
        ScoreSpread or None
            None where there is one member: its error cannot be told from one training.
        """
        members = len(prognostic)
        if members < 2:
            return None
        apart = [scores - scores.mean(axis=0) for scores in (prognostic, predictive)]
        sd = [np.sqrt((each**2).sum(axis=0) / (members - 1)) for each in apart]
        product = (apart[0] * apart[1]).sum(axis=0) / (members - 1)
        both = sd[0] * sd[1]
        # Equal scores of all members have no correlation; their covariance is 0 whatever is written here.
        correlation = np.divide(product, both, out=np.zeros_like(both), where=both > 0)
        rounded = [np.round(values, SCORE_DECIMALS) for values in (*sd, np.clip(correlation, -1, 1))]
        return cls(members, *(float(values) if np.ndim(values) == 0 else values for values in rounded))

    def variance(self, prognostic_slope: FloatArray, predictive_slope: FloatArray) -> FloatArray:
        """Return the jackknife variance of a quantity that depends on both scores, by the delta method.

        Parameters
        ----------
        prognostic_slope, predictive_slope : array, shape (n,)
            Derivatives of the quantity.

        Returns
        -------
        array, shape (n,)
            At least 0.
        """
        a = prognostic_slope * np.asarray(self.prognostic_sd)
        b = predictive_slope * np.asarray(self.predictive_sd)
        factor = (self.members - 1) ** 2 / self.members
        return np.asarray(factor * np.maximum(a**2 + b**2 + 2 * np.asarray(self.correlation) * a * b, 0.0))

    def rows(self, rows: slice) -> ScoreSpread:
        """Return the spread of these patients."""
        parts = (np.atleast_1d(np.asarray(v))[rows] if np.ndim(v) else v for v in self._values)
        return ScoreSpread(self.members, *parts)

    @property
    def _values(self) -> tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike]:
        return self.prognostic_sd, self.predictive_sd, self.correlation

    def to_json(self, patient: int = 0) -> dict[str, Any]:
        """Return plain values of one patient (counted from 0)."""
        names = ("prognostic_sd", "predictive_sd", "correlation")
        values = (np.atleast_1d(np.asarray(value, dtype=np.float64)) for value in self._values)
        # A single number stands for all patients.
        return {"members": self.members} | {
            name: float(value[patient if len(value) > 1 else 0]) for name, value in zip(names, values, strict=True)
        }
