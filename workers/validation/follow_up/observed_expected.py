"""Observed against expected events by group, and how often the recommended regimen was given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from config.arrays import BoolArray
from config.indication.conventions import Z_95
from config.indication.vocabulary import TreatmentArm
from workers.validation.follow_up.cohort import FollowedCohort


@dataclass(frozen=True)
class ObservedExpected:
    """Events of one group; `expected` is the sum of the predicted cumulative hazards."""

    group: str
    n: int
    observed: int
    expected: float

    @property
    def ratio(self) -> float | None:
        """Observed events for each expected one.

        Returns
        -------
        float or None
            None for an empty group.
        """
        return self.observed / self.expected if self.expected > 0 else None

    @property
    def ci95(self) -> tuple[float, float] | None:
        """Exact Poisson interval of the ratio, the expectation taken as known.

        Returns
        -------
        pair of float or None
            None for an empty group.

        References
        ----------
        Garwood, Biometrika 1936;28:437.
        """
        if self.expected <= 0:
            return None
        low = float(stats.chi2.ppf(0.025, 2 * self.observed)) / 2 if self.observed else 0.0
        return low / self.expected, float(stats.chi2.ppf(0.975, 2 * self.observed + 2)) / 2 / self.expected

    def to_json(self) -> dict[str, Any]:
        """Return group, numbers, ratio and interval.

        Returns
        -------
        dict
            ``ratio`` and ``ci95`` are None for an empty group.
        """
        return {
            "group": self.group, "n": self.n, "observed": self.observed, "expected": self.expected,
            "ratio": self.ratio, "ci95": list(self.ci95) if self.ci95 else None,
        }  # fmt: skip


@dataclass(frozen=True)
class Agreement:
    """How often one regimen was given where it, or the other, was recommended.

    Attributes
    ----------
    given : dict of str to dict of str to int
        Recommended regimen -> given regimen -> patients.
    """

    given: dict[str, dict[str, int]]

    @property
    def n(self) -> int:
        """All patients."""
        return sum(sum(row.values()) for row in self.given.values())

    @property
    def n_followed(self) -> int:
        """Patients who received what was recommended.

        Returns
        -------
        int
            At most `n`.
        """
        return sum(row[recommended] for recommended, row in self.given.items())

    @property
    def share(self) -> float | None:
        """Share of the patients who received what was recommended.

        Returns
        -------
        float or None
            In [0, 1]; None without patients.
        """
        return self.n_followed / self.n if self.n else None

    @property
    def ci95(self) -> tuple[float, float] | None:
        """Interval of the share.

        Returns
        -------
        pair of float or None
            Within [0, 1]; None without patients.

        References
        ----------
        Wilson, J Am Stat Assoc 1927;22:209.
        """
        if self.share is None:
            return None
        n, p, z2 = self.n, self.share, Z_95**2
        centre = (p + z2 / (2 * n)) / (1 + z2 / n)
        half = Z_95 * np.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
        return max(float(centre - half), 0.0), min(float(centre + half), 1.0)

    def to_json(self) -> dict[str, Any]:
        """Return the cross table and the share.

        Returns
        -------
        dict
            ``share`` and ``ci95`` are None without patients.
        """
        ci95 = list(self.ci95) if self.ci95 else None
        return {"given": self.given, "followed": self.n_followed, "of": self.n, "share": self.share, "ci95": ci95}


def agreement(recommended: list[TreatmentArm], given: list[TreatmentArm]) -> Agreement:
    """Count given regimens by recommendation.

    Parameters
    ----------
    recommended, given : list of TreatmentArm, length n
        Of the same patients.

    Returns
    -------
    Agreement
        With a row and a column for each regimen.
    """
    pairs = list(zip(recommended, given, strict=True))
    return Agreement(
        {row.value: {arm.value: pairs.count((row, arm)) for arm in TreatmentArm} for row in TreatmentArm}
    )  # fmt: skip


def observed_expected(patients: FollowedCohort) -> list[ObservedExpected]:
    """Return all patients, by regimen given, by recommendation, and by whether it was followed.

    Parameters
    ----------
    patients : FollowedCohort
        At least one.

    Returns
    -------
    list of ObservedExpected
        Groups without a patient are among them.
    """
    expected = patients.expected()
    return [
        ObservedExpected(name, int(chosen.sum()), int(patients.event[chosen].sum()), float(expected[chosen].sum()))
        for name, chosen in _groups(patients)
    ]


def _groups(patients: FollowedCohort) -> Iterator[tuple[str, BoolArray]]:
    yield "all", np.ones(len(patients), dtype=bool)
    for arm in TreatmentArm:
        yield f"{arm} given", patients.treated == (arm is TreatmentArm.ICT_CCRT)
    for arm in TreatmentArm:
        named = patients.ict_recommended == (arm is TreatmentArm.ICT_CCRT)
        yield f"{arm} recommended", patients.has_recommendation & named
    yield "no reliable difference", ~patients.has_recommendation
    followed = patients.treated == patients.ict_recommended
    yield "recommendation followed", patients.has_recommendation & followed
    yield "recommendation not followed", patients.has_recommendation & ~followed
