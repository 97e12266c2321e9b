"""The probability of each patient to receive ICT+CCRT: estimated, given in a column, or the share of a trial.

What follows a recommendation cannot be valued in a cohort that was not randomised without it. An estimate assumes that
the covariates named here contain everything that decided both the treatment and the outcome.

References: Rosenbaum and Rubin, Biometrika 1983;70:41; Austin and Stuart, Stat Med 2015;34:3661.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from config.arrays import BoolArray, FloatArray
from config.errors import InputError
from workers.survival.cohort import SCORES, Cohort
from workers.validation.baseline_table import MATCHED_FACTORS
from workers.validation.matching import propensity_scores

ESTIMATE, RANDOMISED = "estimate", "randomised"
COVARIATES = (*MATCHED_FACTORS, *SCORES)
FEWEST_PER_ARM = 10
"""Patients of each category in each arm that a binary covariate needs: with fewer a resample can be separated."""


@dataclass(frozen=True)
class Propensity:
    """How the probability of ICT+CCRT is known.

    Attributes
    ----------
    kind : str
        ``estimate``, ``randomised``, or the column that contains it.
    covariates : array, shape (n, p)
        Of an estimate; no column otherwise.
    names, left_out : tuple of str
        Covariates of the estimate, and those without enough patients in a category.
    given : array, shape (n,), or None
        Of a column.
    """

    kind: str
    covariates: FloatArray
    names: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    given: FloatArray | None = None

    def probability(self, treated: BoolArray, rows: Any = slice(None)) -> FloatArray:
        """Return the probability of ICT+CCRT of some patients, estimated on them where it is an estimate.

        Parameters
        ----------
        treated : bool array, shape (m,)
            Treatment of these patients.
        rows : array of int, shape (m,), or slice
            Their positions; a resample repeats some.

        Returns
        -------
        array, shape (m,)
            In (0, 1).

        Raises
        ------
        InputError
            The covariates separate the arms.
        """
        if self.given is not None:
            return np.asarray(self.given[rows])
        if self.kind == RANDOMISED or not self.covariates.shape[1]:
            return np.full(len(treated), float(treated.mean()))
        return propensity_scores(self.covariates[rows], treated)

    def where(self, selected: BoolArray) -> Propensity:
        """Return the propensity of the selected patients.

        Parameters
        ----------
        selected : bool array, shape (n,)
            True for the patients to return.

        Returns
        -------
        Propensity
            Of the same kind; an estimate is made on these patients alone.
        """
        given = None if self.given is None else self.given[selected]
        return Propensity(self.kind, self.covariates[selected], self.names, self.left_out, given)

    def to_json(self) -> dict[str, Any]:
        """Return how it is known, and what that assumes."""
        return {
            "kind": self.kind,
            "covariates": list(self.names),
            "left_out": list(self.left_out),
            "assumption": self.assumption,
        }

    @property
    def assumption(self) -> str:
        """What must be true for the values to be those of the regimens."""
        if self.kind == RANDOMISED:
            return "the treatment was allocated at random"
        if self.kind == ESTIMATE:
            return (
                "the covariates contain everything that decided both treatment and outcome; the treatment follows a "
                "logistic model of them"
            )
        return f"the column {self.kind} is the probability with which each patient was to receive ICT+CCRT"


def propensity_of(cohort: Cohort, kind: str = ESTIMATE) -> Propensity:
    """Return how the probability of ICT+CCRT is known for the patients of a cohort.

    Parameters
    ----------
    cohort : Cohort
        n patients of both arms.
    kind : str
        ``estimate``: logistic regression on `COVARIATES`, unknown values as a category of their own;
        ``randomised``: the share of the arm; else the name of a column with probabilities.

    Returns
    -------
    Propensity
        Covariates are complete: an unknown value is the mean, and an indicator says so.

    Raises
    ------
    InputError
        The column is missing, or a probability is not between 0 and 1.
    """
    nothing = np.zeros((len(cohort), 0))
    if kind == RANDOMISED:
        return Propensity(kind, nothing)
    if kind != ESTIMATE:
        given = cohort.column(kind)
        if not bool(((given > 0) & (given < 1)).all()):
            raise InputError(
                f"{cohort.source}: {kind}: expected probabilities of ICT+CCRT between 0 and 1 (both excluded) for "
                "every patient"
            )
        return Propensity(kind, nothing, given=given)
    columns: dict[str, FloatArray] = {}
    left_out: list[str] = []
    for name in [name for name in COVARIATES if name in cohort.values]:
        values = cohort.values[name]
        unknown = np.isnan(values)
        if unknown.all():
            continue
        filled = np.where(unknown, np.nanmean(values), values)
        for title, column in ((name, filled), (f"{name} unknown", unknown.astype(np.float64))):
            if not column.std() > 0 or any(np.array_equal(column, other) for other in columns.values()):
                continue
            if _enough(column, cohort.treated, unknown if title == name else np.zeros(len(unknown), dtype=np.bool_)):
                columns[title] = column
            else:
                left_out.append(title)
    x = np.column_stack(list(columns.values())) if columns else nothing
    return Propensity(kind, x, tuple(columns), tuple(left_out))


def _enough(column: FloatArray, treated: BoolArray, unknown: BoolArray) -> bool:
    """Return whether a binary column has enough patients of each category in each arm; True for a quantity."""
    values = np.unique(column[~unknown])
    if len(values) > 2:
        return True
    counts = [int((treated[~unknown] == arm)[column[~unknown] == value].sum()) for arm in (0, 1) for value in values]
    return min(counts) >= FEWEST_PER_ARM
