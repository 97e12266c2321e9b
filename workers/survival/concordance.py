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

from config.arrays import AnyFloatArray, BoolArray, FloatArray, Int64Array
from config.indication.conventions import Z_95


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
    """Count the pairs of n patients in O(n log n) time and O(n) memory."""
    if not len(risk):
        return _Pairs(*np.zeros((3, 0), dtype=np.int64))
    events = event_observed.astype(bool)
    everyone = np.ones(len(risk), dtype=bool)
    stratum = np.zeros(len(risk), dtype=np.int64) if strata is None else _ranks(strata)
    rising = _ranks(risk)
    falling = rising.max() - rising
    # A pair is usable where the patient with the event comes strictly before the other one. Two deaths on the same day
    # are never compared; a censoring on the day of a death is known to be later where deaths come first.
    time = 2 * _ranks(durations) + (deaths_first & ~events)
    backwards = time.max() - time
    # Each patient once as the later member, whatever the own outcome, and once as the earlier one, with an event.
    earlier = _before(stratum, time, events)
    earlier_higher = _before_and_lower(stratum, time, falling, events)
    earlier_lower = _before_and_lower(stratum, time, rising, events)
    later = np.where(events, _before(stratum, backwards, everyone), 0)
    later_lower = np.where(events, _before_and_lower(stratum, backwards, rising, everyone), 0)
    later_higher = np.where(events, _before_and_lower(stratum, backwards, falling, everyone), 0)
    concordant, discordant = earlier_higher + later_lower, earlier_lower + later_higher
    return _Pairs(concordant, discordant, earlier + later - concordant - discordant)


def _ranks(values: AnyFloatArray | Int64Array) -> Int64Array:
    """Return the place of each value among the distinct ones, from 0."""
    return np.asarray(np.unique(values, return_inverse=True)[1], dtype=np.int64)


def _before(stratum: Int64Array, time: Int64Array, counted: BoolArray) -> Int64Array:
    """Return for each patient the number of counted patients of the same stratum with a smaller time."""
    first = stratum * (time.max() + 1)  # strata one after the other on one axis
    order = np.argsort(first + time)
    places = (first + time)[order]
    n_counted = np.concatenate(([0], np.cumsum(counted[order])))
    return np.asarray(n_counted[np.searchsorted(places, first + time)] - n_counted[np.searchsorted(places, first)])


def _before_and_lower(stratum: Int64Array, time: Int64Array, rank: Int64Array, counted: BoolArray) -> Int64Array:
    """Return for each patient the number of counted patients of the same stratum with a smaller time and a lower rank.

    Patients get positions by time. Of two positions the smaller one has a 0 and the other a 1 at the highest bit in
    which they differ. So for each bit: among the patients who agree in all higher bits, in the order of their ranks,
    each with a 1 counts those with a 0 who come first. The patients of a 0 and of a 1 are then separated, as in a radix
    sort, for the next bit: log2(n) passes over n patients.
    """
    n = len(time)
    place = np.arange(n)
    # Neither a patient of the same time nor one of the same rank may count, so with equal times the higher rank takes
    # the smaller position, and with equal ranks the greater position comes first. Patients of another stratum with
    # smaller positions have higher ranks.
    by_time = np.lexsort((-rank, time, stratum))
    patients = np.lexsort((-place, rank[by_time], -stratum[by_time]))  # positions, in the order of their ranks
    counted_at, numbers = counted[by_time], np.zeros(n, dtype=np.int64)
    for bit in reversed(range((n - 1).bit_length())):
        start = patients >> (bit + 1) << (bit + 1)  # where the patients with the same higher bits begin
        second = (patients >> bit & 1).astype(bool)
        n_first = _exclusive_sum(~second)
        n_first -= n_first[start]
        n_counted = _exclusive_sum(~second & counted_at[patients])
        n_counted -= n_counted[start]
        numbers[patients[second]] += n_counted[second]
        separated = np.empty_like(patients)
        separated[start + np.where(second, (1 << bit) + place - start - n_first, n_first)] = patients
        patients = separated
    result = np.empty_like(numbers)
    result[by_time] = numbers
    return result


def _exclusive_sum(flags: BoolArray) -> Int64Array:
    """Return for each place the number of true flags before it."""
    return np.asarray(np.cumsum(flags) - flags)
