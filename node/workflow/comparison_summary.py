"""Summarise a comparison of two bundles: changed recommendations, and shifts of scores and of the DFS difference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from config.arrays import FloatArray
from node.workflow.comparison import BundleResult, ComparedStudy, Kind

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
SCORES = ("prognostic_score", "predictive_score")
DIGITS = 6


def summarise(compared: Sequence[ComparedStudy]) -> dict[str, Any]:
    """Summarise compared studies.

    Parameters
    ----------
    compared : sequence of ComparedStudy
        All studies of a comparison.

    Returns
    -------
    dict
        Counts of outcomes; Study Instance UIDs of changed recommendations, refusals and failures; `shifts`, after minus
        before, of both scores (dimensionless) and of DFS under ICT+CCRT minus DFS under CCRT (fractions), each bundle
        at its own horizon. A study with unknown EBV DNA counts once for each EBV DNA category in `recommendations` and
        `dfs_difference`. `rank_correlation` is Spearman's, of before with after, None where a side is constant.
    """
    both = _with_kinds(compared, "scored", "scored")
    scores = {
        name: _shift([(_score(study.before, name), _score(study.after, name)) for study in both]) for name in SCORES
    }
    pairs = [pair for study in both for pair in _scenarios(study)]
    gains = [
        (_gain(study.before, before), _gain(study.after, after))
        for study in both
        for _, _, before, after in _scenarios(study)
    ]
    changes = Counter((before["recommendation"], after["recommendation"]) for _, _, before, after in pairs)
    return {
        "n": len(compared),
        "scored_by_both": len(both),
        "recommendation_changed": [
            {
                "study_instance_uid": uid,
                "ebv_category": category,
                "before": before["recommendation"],
                "after": after["recommendation"],
            }
            for uid, category, before, after in pairs
            if before["recommendation"] != after["recommendation"]
        ],
        "recommendations": {f"{before} -> {after}": n for (before, after), n in sorted(changes.items())},
        "shifts": {**scores, "dfs_difference": _shift(gains)},
        "horizon_months": _horizon(both[0].after) if both else None,
        "horizon_months_before": _horizon(both[0].before) if both else None,
        "newly_refused": [_with_reason(study, study.after) for study in _with_kinds(compared, "scored", "refused")],
        "newly_scored": [study.study_instance_uid for study in _with_kinds(compared, "refused", "scored")],
        "refused_by_both": [study.study_instance_uid for study in _with_kinds(compared, "refused", "refused")],
        "failed": [
            _with_reason(study, result)
            for study in compared
            if (result := next((r for r in (study.before, study.after) if r and r.kind == "failed"), None))
        ],
        "not_computable": [study.study_instance_uid for study in compared if study.before is None],
    }


def _with_kinds(compared: Sequence[ComparedStudy], before: Kind, after: Kind) -> list[ComparedStudy]:
    return [
        study
        for study in compared
        if study.before and study.after and (study.before.kind, study.after.kind) == (before, after)
    ]


def _report(result: BundleResult | None) -> Mapping[str, Any]:
    if result is None or result.report is None:
        raise ValueError("expected a result with scores, found none")
    return result.report


def _score(result: BundleResult | None, name: str) -> float:
    return float(_report(result)["scores"][name])


def _scenarios(study: ComparedStudy) -> Iterator[tuple[str, str, Mapping[str, Any], Mapping[str, Any]]]:
    """Yield Study Instance UID, EBV DNA category before, scenario before and scenario after."""
    before, after = (_report(result)["scenarios"] for result in (study.before, study.after))
    by_category = {scenario["ebv_category"]: scenario for scenario in after}
    for scenario in before:
        # Bundles with two biomarker thresholds may place one known value on different sides.
        match = after[0] if len(before) == len(after) == 1 else by_category[scenario["ebv_category"]]
        yield study.study_instance_uid, scenario["ebv_category"], scenario, match


def _gain(result: BundleResult | None, scenario: Mapping[str, Any]) -> float:
    """Return DFS under ICT+CCRT minus DFS under CCRT at the horizon of the decision, from the rounded values."""
    month = str(_report(result)["model"]["horizon_months"])
    return float(scenario["ict_ccrt"]["dfs"][month]["value"]) - float(scenario["ccrt"]["dfs"][month]["value"])


def _horizon(result: BundleResult | None) -> int:
    return int(_report(result)["model"]["horizon_months"])


def _with_reason(study: ComparedStudy, result: BundleResult | None) -> dict[str, Any]:
    code, text = (result.code, result.text) if result else (None, None)
    return {"study_instance_uid": study.study_instance_uid, "code": code, "text": text}


def _shift(pairs: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """Return n, mean, sample standard deviation and quantiles of after minus before, and the rank correlation."""
    before, after = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
    shift = after - before
    n = len(shift)
    return {
        "n": n,
        "mean": round(float(shift.mean()), DIGITS) if n else None,
        "sd": round(float(shift.std(ddof=1)), DIGITS) if n > 1 else None,
        "quantiles": {f"{q:g}": round(float(np.quantile(shift, q)), DIGITS) for q in QUANTILES} if n else {},
        "rank_correlation": _rank_correlation(before, after),
    }


def _rank_correlation(before: FloatArray, after: FloatArray) -> float | None:
    """Return Spearman's correlation: Pearson's of the ranks, where ties share their mean rank."""
    if len(before) < 2 or np.ptp(before) == 0 or np.ptp(after) == 0:
        return None
    return round(float(np.corrcoef(_ranks(before), _ranks(after))[0, 1]), DIGITS)


def _ranks(values: FloatArray) -> FloatArray:
    _, position, counts = np.unique(values, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(counts) - (counts - 1) / 2
    return np.asarray(mean_rank[position], dtype=np.float64)
