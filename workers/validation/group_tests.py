"""Tests of a difference between groups of patients in one factor: numbers and binary factors, two groups or more."""

from __future__ import annotations

import numpy as np
from scipy import stats
from scipy.special import gammaln

from config.arrays import FloatArray, Int64Array

_SMALLEST_EXPECTED = 5.0  # below it, Fisher's exact test
_MOST_TABLES = 1_000_000  # that Fisher's test of three groups or more enumerates


def group_p(*groups: FloatArray) -> float:
    """Return the p value of a difference between groups.

    Parameters
    ----------
    *groups : array
        Two or more, values without NaN.

    Returns
    -------
    float
        Wilcoxon without continuity correction for more than two values (Kruskal-Wallis for more than two groups),
        chi-squared without correction for two values, Fisher's exact test where an expected count is below 5; 1 where
        all values are equal.
    """
    values = np.unique(np.concatenate(groups))
    if len(values) == 1:
        return 1.0
    if len(values) > 2:
        return rank_p(*groups)
    counts = counts_by_group(*groups)
    if expected_counts(counts).min() < _SMALLEST_EXPECTED:
        return fisher_p(counts)
    # Yates's correction is off: it is conservative, and Fisher's test covers the small tables.
    return chi_squared_p(counts)


def zhong_group_p(*groups: FloatArray) -> float:
    """Return the p value by the rule of the paper's published script, in order to compare with its printed ones.

    Parameters
    ----------
    *groups : array
        Two or more, values without NaN.

    Returns
    -------
    float
        Ranks for more than two values. For two values Fisher's exact test below 40 patients or an expected count of 1,
        chi-squared with Yates's correction below 5, else without; and Fisher's test in place of a p between 0.03 and
        0.07 or above 0.99. A test that is chosen by its own p value has no stated error rate: use `group_p`.

    References
    ----------
    Zhong et al. 2021, Table 1.
    """
    values = np.unique(np.concatenate(groups))
    if len(values) == 1:
        return 1.0
    if len(values) > 2:
        return rank_p(*groups)
    counts = counts_by_group(*groups)
    smallest = expected_counts(counts).min()
    if counts.sum() < 40 or smallest < 1:
        p = fisher_p(counts)
    else:
        p = chi_squared_p(counts, corrected=bool(smallest < _SMALLEST_EXPECTED))
    return fisher_p(counts) if 0.03 < p < 0.07 or p > 0.99 else p


def rank_p(*groups: FloatArray) -> float:
    """Return p of Wilcoxon's test of two groups, or of Kruskal and Wallis's test of more."""
    if len(groups) > 2:
        return float(stats.kruskal(*groups).pvalue)
    # Without continuity correction and without exact p, as R's wilcox.test(exact = FALSE, correct = FALSE).
    return float(stats.mannwhitneyu(*groups, method="asymptotic", use_continuity=False).pvalue)


def counts_by_group(*groups: FloatArray) -> Int64Array:
    """Return how often each of two values occurs: array, shape (2, number of groups)."""
    values = np.unique(np.concatenate(groups))
    return np.array([[int((group == value).sum()) for group in groups] for value in values], dtype=np.int64)


def expected_counts(counts: Int64Array) -> FloatArray:
    """Return the counts that independence of rows and columns would give."""
    return np.asarray(counts.sum(axis=1, keepdims=True) * counts.sum(axis=0, keepdims=True) / counts.sum())


def chi_squared_p(counts: Int64Array, corrected: bool = False) -> float:
    """Return p of Pearson's test; Yates's correction applies to two groups alone, as in R's chisq.test."""
    return float(stats.chi2_contingency(counts, correction=corrected).pvalue)


def fisher_p(counts: Int64Array) -> float:
    """Return p of Fisher's exact test of a binary factor.

    Parameters
    ----------
    counts : array, shape (2, k)
        Patients by value and group.

    Returns
    -------
    float
        The probability of all tables with the same margins that are not more likely than the one observed, as R's
        fisher.test. With more than a million tables of three groups or more: Pearson's test, which agrees with it
        where a factor is as common as that.
    """
    if counts.shape[1] == 2:
        return float(stats.fisher_exact(counts).pvalue)
    sizes, rare = counts.sum(axis=0), counts[int(np.argmin(counts.sum(axis=1)))]
    ranges = [int(min(size, rare.sum())) + 1 for size in sizes[:-1]]
    if float(np.prod(np.array(ranges, dtype=np.float64))) > _MOST_TABLES:
        return chi_squared_p(counts)
    # Every way to distribute the rarer value over all groups but the last one, whose count follows.
    tables = np.indices(ranges).reshape(len(ranges), -1)
    last = rare.sum() - tables.sum(axis=0)
    possible = (last >= 0) & (last <= sizes[-1])
    tables = np.vstack((tables[:, possible], last[possible]))
    log_p = _log_choose(sizes[:, None], tables).sum(axis=0) - _log_choose(sizes.sum(), rare.sum())
    observed = _log_choose(sizes, rare).sum() - _log_choose(sizes.sum(), rare.sum())
    # R's tolerance for tables that are as likely as the observed one.
    return float(min(1.0, np.exp(log_p[log_p <= observed + np.log1p(1e-7)]).sum()))


def _log_choose(n: Int64Array, k: Int64Array) -> FloatArray:
    return np.asarray(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1))
