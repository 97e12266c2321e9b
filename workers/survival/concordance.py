"""Concordance of a risk with survival, in the two definitions that the literature confuses.

Both count pairs of patients in which the one with the shorter time had the event; a pair is concordant where that
patient had the higher risk. They differ in ties and in the variance:

- `noether_concordance` (R's survcomp::concordance.index(method = "noether"), printed in the paper): pairs with equal
  times or equal risks are dropped; variance of Noether / Pencina and D'Agostino, Stat Med 2004;23:2109.
- `harrell_concordance` (R's survival::concordance): a death precedes a censoring on the same day; equal risks count
  one half; variance by the infinitesimal jackknife. With strata, pairs are counted within each stratum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from config.arrays import BoolArray, FloatArray, Int64Array
from config.indication.conventions import Z_95

_PAIRS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Concordance:
    """C-index with standard error and pair counts.

    Attributes
    ----------
    value : float
        In [0, 1]; NaN where no pair is comparable.
    se : float
        Standard error of the value.
    concordant, discordant, tied_risk : int
        Numbers of pairs.
    n : int
        Number of patients.
    influence : array, shape (n,)
        Influence of each patient on the value; its squares sum to ``se ** 2``. Harrell's definition only, else empty.
    """

    value: float
    se: float
    concordant: int
    discordant: int
    tied_risk: int
    n: int
    influence: FloatArray = field(default_factory=lambda: np.empty(0), repr=False, compare=False)

    @property
    def ci95(self) -> tuple[float, float]:
        """Ends of the 95 % Wald interval; not limited to [0, 1]."""
        return self.value - Z_95 * self.se, self.value + Z_95 * self.se

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form; the value is null where no pair is comparable."""
        if np.isnan(self.value):
            return {"value": None, "ci95": None, "se": None, "n": self.n}
        low, high = self.ci95
        return {
            "value": self.value,
            "ci95": [low, high],
            "se": self.se,
            "concordant": self.concordant,
            "discordant": self.discordant,
            "tied_risk": self.tied_risk,
            "n": self.n,
        }


@dataclass(frozen=True)
class _Pairs:
    """Per patient the number of pairs with every other one; each pair is counted at both of its members."""

    concordant: Int64Array
    discordant: Int64Array
    tied_risk: Int64Array


def noether_concordance(risk: FloatArray, durations: FloatArray, event_observed: BoolArray) -> Concordance:
    """Return the C-index as the paper prints it.

    Parameters
    ----------
    risk : array, shape (n,)
        A higher value is a higher risk.
    durations : array, shape (n,)
        Follow-up in any unit.
    event_observed : bool array, shape (n,)
        True where the event was observed.

    Returns
    -------
    Concordance
        NaN for fewer than three patients or without a comparable pair.

    References
    ----------
    Pencina and D'Agostino, Stat Med 2004;23:2109; Zhong et al. 2021, section 2.5.
    """
    pairs = _count(risk, durations, event_observed, deaths_first=False)
    c, d = pairs.concordant.astype(np.float64), pairs.discordant.astype(np.float64)
    n = len(risk)
    value = se = float("nan")
    if c.sum() + d.sum() > 0 and n > 2:  # the variance needs triples of patients
        value = float(c.sum() / (c.sum() + d.sum()))
        pc, pd = c.sum() / (n * (n - 1)), d.sum() / (n * (n - 1))
        triples = n * (n - 1) * (n - 2)
        # A patient's c (c - 1) ordered pairs of concordant partners are the concordant triples around that patient; the
        # products c d count the mixed ones.
        pcc, pdd, pcd = (c * (c - 1)).sum() / triples, (d * (d - 1)).sum() / triples, (c * d).sum() / triples
        # Pencina and D'Agostino 2004, as survcomp computes it: only usable pairs, those without a tie, enter.
        variance = 4 / (pc + pd) ** 4 * (pd**2 * pcc - 2 * pc * pd * pcd + pc**2 * pdd) / n
        se = float(np.sqrt(max(variance, 0.0)))  # rounding can leave it a hair below zero for a perfect risk
    return Concordance(value, se, int(c.sum()) // 2, int(d.sum()) // 2, int(pairs.tied_risk.sum()) // 2, n)


def harrell_concordance(
    risk: FloatArray, durations: FloatArray, event_observed: BoolArray, strata: Int64Array | None = None
) -> Concordance:
    """Return Harrell's C-index as R's survival::concordance.

    Parameters
    ----------
    risk : array, shape (n,)
        A higher value is a higher risk.
    durations : array, shape (n,)
        Follow-up in any unit.
    event_observed : bool array, shape (n,)
        True where the event was observed.
    strata : int array, shape (n,), optional
        Only patients of the same stratum are compared, as with R's ``+ strata()``.

    Returns
    -------
    Concordance
        With the influence of each patient; NaN where no pair is comparable.

    References
    ----------
    Harrell et al., JAMA 1982;247:2543; Therneau and Atkinson, R package survival, vignette "Concordance".
    """
    pairs = _count(risk, durations, event_observed, deaths_first=True, strata=strata)
    c, d, t = (counts.astype(np.float64) for counts in (pairs.concordant, pairs.discordant, pairs.tied_risk))
    # Each pair is counted at both of its members, hence the halves here and in the counts below.
    total = (c.sum() + d.sum() + t.sum()) / 2
    value = se = float("nan")
    influence = np.full(len(risk), np.nan)
    if total > 0:
        somers_d = (c.sum() - d.sum()) / (2 * total)
        value = float((somers_d + 1) / 2)
        # Somers' d runs from -1 to 1 and C is (d + 1) / 2, so the influence on C is half of that on d. The same
        # quotient rule that R applies: derivative of (C - D) / total with respect to the weight of each patient.
        influence = (c - d - (c + d + t) * somers_d) / (2 * total)
        se = float(np.sqrt((influence**2).sum()))
    return Concordance(value, se, int(c.sum()) // 2, int(d.sum()) // 2, int(t.sum()) // 2, len(risk), influence)


@dataclass(frozen=True)
class ConcordanceDifference:
    """By how much the C-index of one risk exceeds that of another on the same patients.

    Attributes
    ----------
    value : float
        First minus second.
    se : float
        Standard error of the difference of two dependent C-indices.
    """

    value: float
    se: float

    @property
    def ci95(self) -> tuple[float, float]:
        """Ends of the 95 % Wald interval."""
        return self.value - Z_95 * self.se, self.value + Z_95 * self.se


def mean_concordance(concordances: Sequence[Concordance]) -> tuple[float, FloatArray]:
    """Return the mean of the C-indices of several risks on the same patients.

    Parameters
    ----------
    concordances : sequence of Concordance
        Harrell's, each of the same n patients.

    Returns
    -------
    value : float
        Mean C-index.
    influence : array, shape (n,)
        Influence of each patient on the mean.
    """
    values = [concordance.value for concordance in concordances]
    return float(np.mean(values)), np.mean([concordance.influence for concordance in concordances], axis=0)


def concordance_difference(first: Sequence[Concordance], second: Sequence[Concordance]) -> ConcordanceDifference:
    """Return the difference of two (mean) C-indices on the same patients.

    Parameters
    ----------
    first, second : sequence of Concordance
        Harrell's, all of the same n patients in the same order.

    Returns
    -------
    ConcordanceDifference
        Standard error by the infinitesimal jackknife, in which the shared chance of the patients cancels (in R: the
        contrast of ``concordance(fit1, fit2)``).
    """
    (first_mean, first_influence), (second_mean, second_influence) = mean_concordance(first), mean_concordance(second)
    # Both means are over the same patients, so the difference is formed for each patient before squaring: two separate
    # variances would ignore that the models order the same patients.
    se = float(np.sqrt(((first_influence - second_influence) ** 2).sum()))
    return ConcordanceDifference(first_mean - second_mean, se)


def _count(
    risk: FloatArray,
    durations: FloatArray,
    event_observed: BoolArray,
    deaths_first: bool,
    strata: Int64Array | None = None,
) -> _Pairs:
    n = len(risk)
    counts = [np.zeros(n, dtype=np.int64) for _ in range(3)]
    # Rows of the pair matrix in blocks: 4 million pairs at a time bound the memory for cohorts of any size.
    step = max(1, _PAIRS_AT_ONCE // max(n, 1))
    # Only a patient with an event can be the earlier member of a usable pair; rows of censored patients would be empty.
    with_event = np.flatnonzero(event_observed)
    for start in range(0, len(with_event), step):
        first = with_event[start : start + step]
        comparable = durations[first, None] < durations[None, :]
        if deaths_first:
            # Two deaths on the same day are never compared; a censoring on the day of a death is known to be later.
            comparable |= (durations[first, None] == durations[None, :]) & ~event_observed[None, :]
        if strata is not None:
            comparable &= strata[first, None] == strata[None, :]
        higher = risk[first, None] > risk[None, :]
        lower = risk[first, None] < risk[None, :]
        for counted, condition in zip(counts, (higher, lower, ~(higher | lower)), strict=True):
            pairs = comparable & condition
            counted[first] += pairs.sum(axis=1)
            counted += pairs.sum(axis=0)
    return _Pairs(*counts)
