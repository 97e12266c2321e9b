"""Concordance of a risk with survival, in the two definitions that the literature mixes up.

Both count pairs of patients in which the one with the shorter time had the event; concordant: that one had the higher
risk. They differ in ties and in the variance:

- `noether` (R's survcomp::concordance.index(method = "noether"), which the paper printed): pairs with equal times or
  equal risks are dropped; variance of Noether / Pencina and D'Agostino, Stat Med 2004;23:2109.
- `harrell` (R's survival::concordance): a death comes before a censoring of the same day; equal risks count one half;
  variance by the infinitesimal jackknife. With strata, pairs are counted within each stratum.
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
    """C-index with standard error and pair counts; `value` is NaN where no pair can be compared.

    influence : (n,) of each patient on the value, whose squares sum to the squared standard error (Harrell's only).
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
        return self.value - Z_95 * self.se, self.value + Z_95 * self.se

    def to_json(self) -> dict[str, Any]:
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
    """C-index as printed in the paper. risk : (n,), a higher value is a higher risk; durations, events : (n,)."""
    pairs = _count(risk, durations, event_observed, deaths_first=False)
    c, d = pairs.concordant.astype(np.float64), pairs.discordant.astype(np.float64)
    n = len(risk)
    value = se = float("nan")
    if c.sum() + d.sum() > 0 and n > 2:
        value = float(c.sum() / (c.sum() + d.sum()))
        pc, pd = c.sum() / (n * (n - 1)), d.sum() / (n * (n - 1))
        triples = n * (n - 1) * (n - 2)
        pcc, pdd, pcd = (c * (c - 1)).sum() / triples, (d * (d - 1)).sum() / triples, (c * d).sum() / triples
        variance = 4 / (pc + pd) ** 4 * (pd**2 * pcc - 2 * pc * pd * pcd + pc**2 * pdd) / n
        se = float(np.sqrt(max(variance, 0.0)))
    return Concordance(value, se, int(c.sum()) // 2, int(d.sum()) // 2, int(pairs.tied_risk.sum()) // 2, n)


def harrell_concordance(
    risk: FloatArray, durations: FloatArray, event_observed: BoolArray, strata: Int64Array | None = None
) -> Concordance:
    """Harrell's C as R's survival::concordance. risk : (n,), a higher value is a higher risk.

    strata : (n,) only patients of the same stratum are compared, as with R's `+ strata()`; None: all with all.
    """
    pairs = _count(risk, durations, event_observed, deaths_first=True, strata=strata)
    c, d, t = (counts.astype(np.float64) for counts in (pairs.concordant, pairs.discordant, pairs.tied_risk))
    total = (c.sum() + d.sum() + t.sum()) / 2
    value = se = float("nan")
    influence = np.full(len(risk), np.nan)
    if total > 0:
        somers_d = (c.sum() - d.sum()) / (2 * total)
        value = float((somers_d + 1) / 2)
        influence = (c - d - (c + d + t) * somers_d) / (2 * total)
        se = float(np.sqrt((influence**2).sum()))
    return Concordance(value, se, int(c.sum()) // 2, int(d.sum()) // 2, int(t.sum()) // 2, len(risk), influence)


@dataclass(frozen=True)
class ConcordanceDifference:
    """How much higher a first risk's C-index is than a second's on the same patients."""

    value: float
    se: float

    @property
    def ci95(self) -> tuple[float, float]:
        return self.value - Z_95 * self.se, self.value + Z_95 * self.se


def mean_concordance(found: Sequence[Concordance]) -> tuple[float, FloatArray]:
    """Mean of several risks' C-indices on the same patients, and the influence (n,) of each patient on it."""
    return float(np.mean([one.value for one in found])), np.mean([one.influence for one in found], axis=0)


def concordance_difference(first: Sequence[Concordance], second: Sequence[Concordance]) -> ConcordanceDifference:
    """Difference of two (mean) C-indices on the same patients; se by the infinitesimal jackknife, so that what both
    owe to the same patients cancels (R: the contrast of `concordance(fit1, fit2)`)."""
    (one, influence), (other, other_influence) = mean_concordance(first), mean_concordance(second)
    return ConcordanceDifference(one - other, float(np.sqrt(((influence - other_influence) ** 2).sum())))


def _count(
    risk: FloatArray,
    durations: FloatArray,
    event_observed: BoolArray,
    deaths_first: bool,
    strata: Int64Array | None = None,
) -> _Pairs:
    n = len(risk)
    counts = [np.zeros(n, dtype=np.int64) for _ in range(3)]
    step = max(1, _PAIRS_AT_ONCE // max(n, 1))
    with_event = np.flatnonzero(event_observed)
    for start in range(0, len(with_event), step):
        first = with_event[start : start + step]
        comparable = durations[first, None] < durations[None, :]
        if deaths_first:
            comparable |= (durations[first, None] == durations[None, :]) & ~event_observed[None, :]
        if strata is not None:
            comparable &= strata[first, None] == strata[None, :]
        higher = risk[first, None] > risk[None, :]
        lower = risk[first, None] < risk[None, :]
        for counted, which in zip(counts, (higher, lower, ~(higher | lower)), strict=True):
            pairs = comparable & which
            counted[first] += pairs.sum(axis=1)
            counted += pairs.sum(axis=0)
    return _Pairs(*counts)
