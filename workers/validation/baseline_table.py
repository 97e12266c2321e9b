"""Table 1 of a cohort, its follow-up, the balance of two groups of patients, and differences between cohorts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from config.arrays import BoolArray, FloatArray
from config.indication.conventions import DAYS_PER_MONTH
from workers.survival.cohort import BINARY_FACTORS, ENDPOINTS, Cohort
from workers.survival.kaplan_meier import kaplan_meier
from workers.validation.group_tests import group_p

QUANTITIES = ("age_years", "tumour_volume_ml", "prognostic_score", "predictive_score")
MATCHED_FACTORS = (
    "sex_male",
    "age_years",
    "smoking",
    "drinking",
    "family_history",
    "haemoglobin_abnormal",
    "tumour_volume_ml",
    "ebv_dna_gt_4000",
)


def table_1(cohort: Cohort) -> dict[str, Any]:
    """Return counts, percentages and quantiles of every factor that the cohort has, and the events of every endpoint.

    Parameters
    ----------
    cohort : Cohort
        n patients; unknown values are counted as such and enter no statistic. Percentages are of the known values.

    Returns
    -------
    dict
        Factor -> counts by category, or mean, sd and quantiles.
    """
    n = len(cohort)
    answer: dict[str, Any] = {"n": n, "treatment": _binary(cohort.treated.astype(np.float64), "ICT+CCRT", "CCRT")}
    if "sex_male" in cohort.values:
        answer["sex"] = _binary(cohort.values["sex_male"], "male", "female")
    for name in BINARY_FACTORS:
        if name in cohort.values:
            answer[name] = _binary(cohort.values[name], "yes", "no")
    for name in QUANTITIES:
        if name in cohort.values:
            answer[name] = _quantity(cohort.values[name])
    events = {name: int(cohort.outcomes[name].event_observed.sum()) for name in ENDPOINTS if name in cohort.outcomes}
    answer["events"] = {name: {"n": count, "percent": 100 * count / n} for name, count in events.items()}
    return answer


def follow_up(cohort: Cohort) -> dict[str, Any] | None:
    """Return the months of follow-up for overall survival.

    Parameters
    ----------
    cohort : Cohort
        With or without overall survival.

    Returns
    -------
    dict or None
        Plain quantiles of the time (as the paper prints them) and the reverse Kaplan-Meier estimate; None where the
        cohort has no overall survival.

    References
    ----------
    Schemper and Smith, Control Clin Trials 1996;17:343 (reverse Kaplan-Meier).
    """
    if "os" not in cohort.outcomes:
        return None
    outcome = cohort.outcomes["os"]
    # Reverse Kaplan-Meier: deaths censor the follow-up, so that early deaths do not make it look short.
    reverse = kaplan_meier(outcome.durations_days, ~outcome.event_observed)
    quartiles = {"q1": 0.25, "median": 0.5, "q3": 0.75}
    # Both are given: many papers print the plain median, and the reverse estimate is the one to compare.
    plain = {name: float(np.quantile(outcome.durations_days, q)) / DAYS_PER_MONTH for name, q in quartiles.items()}
    quantiles = {name: reverse.quantile(q) for name, q in quartiles.items()}
    reversed_months = {name: None if days is None else days / DAYS_PER_MONTH for name, days in quantiles.items()}
    return {"months": plain, "reverse_kaplan_meier_months": reversed_months}


@dataclass(frozen=True)
class FactorBalance:
    """One factor in two groups.

    Attributes
    ----------
    factor : str
        Column of the cohort.
    means : pair of float
        Focal group, other group.
    smd : float
        Mean difference over the standard deviation of the focal group (binary: sqrt(p (1 - p))), as MatchIt.
    smd_pooled : float
        Mean difference over the root mean square of both groups' standard deviations.
    p : float
        Wilcoxon (numbers), chi-squared without correction (binary), Fisher where an expected count is below 5.
    """

    factor: str
    means: tuple[float, float]
    smd: float
    smd_pooled: float
    p: float

    def to_json(self) -> dict[str, Any]:
        """Return the contract's JSON of one factor."""
        return {"means": list(self.means), "smd": self.smd, "smd_pooled": self.smd_pooled, "p": self.p}


def balance(
    cohort: Cohort, focal: BoolArray, factors: Sequence[str], spread_of: Mapping[str, float] | None = None
) -> list[FactorBalance]:
    """Compare two groups factor by factor, on the patients whose value is known.

    Parameters
    ----------
    cohort : Cohort
        n patients.
    focal : bool array, shape (n,)
        True for the focal group; the other patients are the second group.
    factors : sequence of str
        Numeric columns.
    spread_of : mapping of str to float, optional
        Factor -> standard deviation to divide by, usually that of the focal group before matching.

    Returns
    -------
    list of FactorBalance
        Without factors that fewer than two patients of a group have.
    """
    compared: list[FactorBalance] = []
    for factor in factors:
        values = cohort.column(factor)
        known = ~np.isnan(values)
        focal_values, other_values = values[known & focal], values[known & ~focal]
        if min(len(focal_values), len(other_values)) < 2:
            continue
        spreads = (spread(focal_values), spread(other_values))
        difference = float(focal_values.mean() - other_values.mean())
        # MatchIt's standardised difference divides by the focal arm's deviation, most papers by the pooled one; both
        # are given.
        divisor = spreads[0] if spread_of is None else spread_of[factor]
        pooled = float(np.sqrt((spreads[0] ** 2 + spreads[1] ** 2) / 2))
        compared.append(
            FactorBalance(
                factor,
                (float(focal_values.mean()), float(other_values.mean())),
                difference / divisor if divisor > 0 else 0.0,
                difference / pooled if pooled > 0 else 0.0,
                group_p(focal_values, other_values),
            )
        )
    return compared


def spread(values: FloatArray) -> float:
    """Return the standard deviation: sqrt(p (1 - p)) of a binary factor, else with n - 1.

    Parameters
    ----------
    values : array, shape (n,)
        No value is unknown; n > 1.

    Returns
    -------
    float
        As R's MatchIt computes it for the standardised mean difference.
    """
    if set(np.unique(values)) <= {0.0, 1.0}:
        share = float(values.mean())
        return float(np.sqrt(share * (1 - share)))
    return float(values.std(ddof=1))


def compare_labels(cohort: Cohort, factors: Sequence[str] | None = None) -> dict[str, float]:
    """Compare the labels of the column cohort factor by factor, on the patients whose value is known.

    Parameters
    ----------
    cohort : Cohort
        Patients with two labels or more.
    factors : sequence of str, optional
        Numeric columns; default: the factors of table 1, ``treatment_ict``, and the events of each endpoint as
        ``dfs_event``.

    Returns
    -------
    dict of str to float
        Factor -> p of a difference between any of the labels (see `group_p`); without factors that fewer than two
        patients of a label have.
    """
    labels = np.array(cohort.labels)
    if factors is None:
        factors = ["treatment_ict", "sex_male", *BINARY_FACTORS, *QUANTITIES, *(f"{name}_event" for name in ENDPOINTS)]
    columns = {**cohort.values, "treatment_ict": cohort.treated.astype(np.float64)}
    columns |= {f"{name}_event": outcome.event_observed.astype(np.float64) for name, outcome in cohort.outcomes.items()}
    compared: dict[str, float] = {}
    for factor in [name for name in factors if name in columns]:
        values = columns[factor]
        groups = [values[(labels == label) & ~np.isnan(values)] for label in sorted(set(cohort.labels) - {""})]
        if len(groups) > 1 and min(map(len, groups)) > 1:
            compared[factor] = group_p(*groups)
    return compared


def _binary(values: FloatArray, yes: str, no: str) -> dict[str, Any]:
    counts = {yes: int((values == 1).sum()), no: int((values == 0).sum())}
    # Of the known values: with the unknown ones in the denominator a factor that is rarely recorded would look rare.
    known = sum(counts.values())
    answer: dict[str, Any] = {
        name: {"n": count, "percent": 100 * count / known if known else None} for name, count in counts.items()
    }
    answer["unknown"] = len(values) - known
    return answer


def _quantity(values: FloatArray) -> dict[str, Any]:
    known = values[~np.isnan(values)]
    if not len(known):
        return {"unknown": len(values)}
    return {
        "mean": float(known.mean()),
        "sd": float(known.std(ddof=1)) if len(known) > 1 else 0.0,
        "median": float(np.median(known)),
        "q1": float(np.quantile(known, 0.25)),
        "q3": float(np.quantile(known, 0.75)),
        "min": float(known.min()),
        "max": float(known.max()),
        "unknown": int(np.isnan(values).sum()),
    }
