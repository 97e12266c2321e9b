"""Nearest-neighbour 1:1 matching of the two arms on the propensity score.

The patients of the smaller arm, from the highest propensity downwards, each get the free patient of the other arm whose
propensity is nearest; without replacement. Optional: a caliper in standard deviations of the propensity score, and
exact agreement in a column (the centre). Greedy and deterministic; MatchIt 4.5.1's own vector path does not always
return the nearest free control, so pairs are compared with an exact greedy search written in R.

References: Zhong et al., EBioMedicine 2021;70:103522, section 2.1; Ho et al., J Stat Softw 2011;42(8).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from config.arrays import BoolArray, FloatArray
from config.errors import InputError
from config.indication.vocabulary import TreatmentArm
from workers.survival.cohort import Cohort
from workers.validation.baseline_table import MATCHED_FACTORS, FactorBalance, balance, spread

_NO_PROPENSITY = "no propensity score can be fitted: the covariates separate the arms or depend on each other"


@dataclass(frozen=True)
class Matching:
    """Pairs of patients, and the balance of the arms before and after.

    Attributes
    ----------
    cohort : Cohort
        All n patients.
    focal_arm : TreatmentArm
        The smaller arm, whose patients are matched.
    covariates : tuple of str
        Columns of the propensity model.
    propensity : array, shape (n,)
        Probability of the focal arm; NaN where a covariate is unknown.
    caliper : float or None
        Largest allowed difference of propensity, absolute; None: no limit.
    pairs : tuple of pairs of int
        Focal patient, matched patient, as row numbers of the cohort in the order of matching.
    before, after : tuple of FactorBalance
        Of all complete cases, and of the matched patients.
    """

    cohort: Cohort
    focal_arm: TreatmentArm
    covariates: tuple[str, ...]
    propensity: FloatArray
    caliper: float | None
    pairs: tuple[tuple[int, int], ...]
    before: tuple[FactorBalance, ...]
    after: tuple[FactorBalance, ...]

    @property
    def n_incomplete(self) -> int:
        """Number of patients with an unknown covariate."""
        return int(np.isnan(self.propensity).sum())

    @property
    def n_focal(self) -> int:
        """Number of patients of the focal arm whose covariates are all known."""
        focal = self.cohort.treated == (self.focal_arm is TreatmentArm.ICT_CCRT)
        return int((focal & ~np.isnan(self.propensity)).sum())

    def matched(self) -> Cohort:
        """Return the matched patients of both arms.

        Returns
        -------
        Cohort
            In the order of the whole cohort, not pair by pair.
        """
        keep = np.zeros(len(self.cohort), dtype=np.bool_)
        keep[[row for pair in self.pairs for row in pair]] = True
        return self.cohort.where(keep)

    def to_json(self) -> dict[str, Any]:
        """Return the contract's JSON of ``match``."""
        after = {balance.factor: balance for balance in self.after}
        return {
            "n": len(self.cohort),
            "n_pairs": len(self.pairs),
            "focal_arm": self.focal_arm.value,
            "covariates": list(self.covariates),
            "caliper": self.caliper,
            "n_incomplete": self.n_incomplete,
            "balance": {
                balance.factor: {
                    "before": balance.to_json(),
                    "after": after[balance.factor].to_json() if balance.factor in after else None,
                }
                for balance in self.before
            },
        }


def propensity_scores(x: FloatArray, focal: BoolArray) -> FloatArray:
    """Fit a logistic regression with an intercept and return its probabilities.

    Parameters
    ----------
    x : array, shape (n, p)
        Covariates without NaN.
    focal : bool array, shape (n,)
        True for the arm whose probability is modelled.

    Returns
    -------
    array, shape (n,)
        Fitted probabilities; Newton's method to 1e-12.

    Raises
    ------
    InputError
        The covariates separate the arms, depend on each other, or one is constant.
    """
    width = x.std(axis=0)
    if not (width > 0).all():
        raise InputError("a covariate of the matching has the same value in all patients")
    # Standardised: a volume in mL beside 0/1 factors would make the normal equations ill-conditioned. The fitted
    # propensity does not depend on the scale.
    design = np.column_stack((np.ones(len(x)), (x - x.mean(axis=0)) / width))
    beta = np.zeros(design.shape[1])
    y = focal.astype(np.float64)
    for _ in range(50):
        fitted = 1 / (1 + np.exp(-design @ beta))
        # Iteratively reweighted least squares, which for the logit link is Newton's method; R's glm takes the same
        # steps.
        weight = fitted * (1 - fitted)
        try:
            step = np.linalg.solve((design * weight[:, None]).T @ design, design.T @ (y - fitted))
        except np.linalg.LinAlgError as error:
            raise InputError(_NO_PROPENSITY) from error
        beta = beta + step
        # R's glm stops at a relative change of the deviance of 1e-8. Pairs are chosen by comparing propensities, and a
        # loose fit could exchange near ties.
        if np.abs(step).max() < 1e-12:
            return np.asarray(1 / (1 + np.exp(-design @ beta)))
    raise InputError(_NO_PROPENSITY)


def match(
    cohort: Cohort,
    covariates: Sequence[str] = MATCHED_FACTORS,
    caliper: float | None = None,
    exact: str | None = None,
) -> Matching:
    """Match the smaller arm to the larger one.

    Parameters
    ----------
    cohort : Cohort
        Patients with an unknown covariate are left out.
    covariates : sequence of str
        Columns of the propensity model.
    caliper : float, optional
        Largest difference of propensity, in standard deviations (n - 1) of the propensity over all complete cases.
    exact : str, optional
        A column in which partners must agree.

    Returns
    -------
    Matching
        Pairs and balance.

    Raises
    ------
    InputError
        A column is missing, or an arm has no complete case.

    References
    ----------
    Zhong et al. 2021, section 2.1.
    """
    x = np.column_stack([cohort.column(name) for name in covariates])
    complete = np.flatnonzero(~np.isnan(x).any(axis=1))
    treated = cohort.treated[complete]
    if not 0 < treated.sum() < len(treated):
        raise InputError(f"{cohort.source}: both arms need patients whose covariates are all known")
    # The smaller arm is matched, so that each of its patients can have a partner; of equal arms it is ICT+CCRT.
    focal_is_ict = bool(treated.sum() <= (~treated).sum())
    focal = treated == focal_is_ict
    score = propensity_scores(x[complete], focal)
    limit = None if caliper is None else caliper * float(score.std(ddof=1))  # R's sd: sample, n - 1
    stratum = _strata(cohort, exact)[complete]
    # `_greedy` counts among the complete cases; pairs are rows of the whole cohort.
    pairs = [(int(complete[i]), int(complete[j])) for i, j in _greedy(score, focal, stratum, limit)]
    propensity = np.full(len(cohort), np.nan)
    propensity[complete] = score
    whole = cohort.where(np.isin(np.arange(len(cohort)), complete))
    # From the focal arm before matching and for both tables: a divisor that shrinks with the matching would hide the
    # gain.
    spreads = {name: spread(whole.column(name)[focal]) for name in covariates}
    chosen = np.zeros(len(cohort), dtype=np.bool_)
    chosen[[row for pair in pairs for row in pair]] = True
    after = cohort.where(chosen)
    return Matching(
        cohort=cohort,
        focal_arm=TreatmentArm.ICT_CCRT if focal_is_ict else TreatmentArm.CCRT,
        covariates=tuple(covariates),
        propensity=propensity,
        caliper=limit,
        pairs=tuple(pairs),
        before=tuple(balance(whole, focal, covariates, spreads)),
        after=tuple(balance(after, after.treated == focal_is_ict, covariates, spreads)),
    )


def _strata(cohort: Cohort, exact: str | None) -> Any:
    if exact is None:
        return np.zeros(len(cohort), dtype=np.int64)
    if exact not in cohort.texts:
        raise InputError(f"{cohort.source}: missing the column {exact}; found {', '.join(cohort.texts)}")
    return np.unique(np.array(cohort.texts[exact]), return_inverse=True)[1]


def _greedy(score: FloatArray, focal: BoolArray, stratum: Any, limit: float | None) -> list[tuple[int, int]]:
    # From the highest propensity, as MatchIt's m.order = "largest": those patients have the fewest near partners. A
    # partner of another stratum never counts, so the strata can be matched one after the other.
    pairs: list[tuple[int, int]] = []
    for value in np.unique(stratum):
        rows = np.flatnonzero(stratum == value)
        found = nearest_free_partners(score[rows], focal[rows], limit)
        pairs += [(int(rows[one]), int(rows[other])) for one, other in found]
    place = {row: at for at, row in enumerate(np.argsort(-score, kind="stable").tolist())}
    return sorted(pairs, key=lambda pair: place[pair[0]])


def nearest_free_partners(score: FloatArray, focal: BoolArray, limit: float | None = None) -> list[tuple[int, int]]:
    """Give each focal patient the nearest patient of the other group that is still free.

    Parameters
    ----------
    score : array, shape (n,)
        What makes patients near.
    focal : bool array, shape (n,)
        The group whose patients choose, the highest score first; the others are chosen.
    limit : float, optional
        Largest distance.

    Returns
    -------
    list of (int, int)
        Focal patient and partner, in the order of the choices, in O(n log n). Ties are decided by the higher score of
        the partner, then by the order of the patients, as in R's script.
    """
    order = np.argsort(-score, kind="stable")
    others = order[~focal[order]]
    descending = -score[others]
    n = len(others)
    # The first free place at or after each place, and the last free one at or before it; both with shortened paths.
    after, before = list(range(n + 1)), list(range(n + 1))

    def free(links: list[int], place: int) -> int:
        while links[place] != place:
            links[place] = links[links[place]]
            place = links[place]
        return place

    pairs: list[tuple[int, int]] = []
    for patient in order[focal[order]].tolist():
        at = int(np.searchsorted(descending, -score[patient], side="right"))
        lower = free(after, at)
        higher = free(before, at)  # one place further, so that 0 means none
        candidates = []
        if higher:
            first = int(np.searchsorted(descending, descending[higher - 1], side="left"))
            candidates.append(free(after, first))  # the first free one of equal scores
        if lower < n:
            candidates.append(lower)
        if not candidates:
            break
        nearest = min(candidates, key=lambda place: abs(score[others[place]] - score[patient]))
        if limit is None or abs(score[others[nearest]] - score[patient]) <= limit:
            after[nearest], before[nearest + 1] = nearest + 1, nearest
            pairs.append((patient, int(others[nearest])))
    return pairs
