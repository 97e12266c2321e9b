"""What a comparison of two bundles comes to: who would get another recommendation, how far the scores move."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from config.arrays import FloatArray
from node.workflow.comparison import Answer, Compared

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
SCORES = ("prognostic_score", "predictive_score")
DIGITS = 6


def summarise(compared: Sequence[Compared]) -> dict[str, Any]:
    """Counts, changed recommendations, and shifts (after minus before) of both scores and of the DFS difference.

    A study with unknown EBV DNA has one recommendation and one difference for each category. Rank correlation is
    Spearman's, of before with after; None where it is not defined.
    """
    both = [one for one in compared if _kinds(one) == ("scored", "scored")]
    scores = {name: _shift([(_score(one.before, name), _score(one.after, name)) for one in both]) for name in SCORES}
    pairs = [pair for one in both for pair in _scenarios(one)]
    return {
        "n": len(compared),
        "scored_by_both": len(both),
        "recommendation_changed": [
            {
                "study_instance_uid": study,
                "ebv_category": category,
                "before": before["recommendation"],
                "after": after["recommendation"],
            }
            for study, category, before, after in pairs
            if before["recommendation"] != after["recommendation"]
        ],
        "recommendations": {
            f"{before} -> {after}": n
            for (before, after), n in sorted(
                Counter((b["recommendation"], a["recommendation"]) for _, _, b, a in pairs).items()
            )
        },
        "shifts": {**scores, "dfs_difference": _shift([(_gain(one.before, b), _gain(one.after, a)) for one in both
                                                       for _, _, b, a in _scenarios(one)])},
        "horizon_months": _horizon(both[0].after) if both else None,
        "horizon_months_before": _horizon(both[0].before) if both else None,
        "newly_refused": [_reasoned(one, one.after) for one in compared if _kinds(one) == ("scored", "refused")],
        "newly_scored": [one.study_instance_uid for one in compared if _kinds(one) == ("refused", "scored")],
        "refused_by_both": [one.study_instance_uid for one in compared if _kinds(one) == ("refused", "refused")],
        "failed": [
            _reasoned(one, next(answer for answer in (one.before, one.after) if answer and answer.kind == "failed"))
            for one in compared
            if "failed" in _kinds(one)
        ],
        "not_computable": [one.study_instance_uid for one in compared if one.before is None],
    }  # fmt: skip


def _kinds(one: Compared) -> tuple[str | None, str | None]:
    return one.before.kind if one.before else None, one.after.kind if one.after else None


def _report(answer: Answer | None) -> Mapping[str, Any]:
    if answer is None or answer.report is None:
        raise ValueError("expected an answer with scores, found none")
    return answer.report


def _score(answer: Answer | None, name: str) -> float:
    return float(_report(answer)["scores"][name])


def _scenarios(one: Compared) -> Iterator[tuple[str, str, Mapping[str, Any], Mapping[str, Any]]]:
    """(study, EBV DNA category before, scenario before, scenario after)."""
    before, after = (_report(answer)["scenarios"] for answer in (one.before, one.after))
    by_category = {scenario["ebv_category"]: scenario for scenario in after}
    for scenario in before:
        # Bundles with two biomarker thresholds may place one known value on different sides.
        match = after[0] if len(before) == len(after) == 1 else by_category[scenario["ebv_category"]]
        yield one.study_instance_uid, scenario["ebv_category"], scenario, match


def _gain(answer: Answer | None, scenario: Mapping[str, Any]) -> float:
    """DFS under ICT+CCRT minus that under CCRT at the horizon that decides, as a reader subtracts them."""
    month = str(_report(answer)["model"]["horizon_months"])
    return float(scenario["ict_ccrt"]["dfs"][month]["value"]) - float(scenario["ccrt"]["dfs"][month]["value"])


def _horizon(answer: Answer | None) -> int:
    return int(_report(answer)["model"]["horizon_months"])


def _reasoned(one: Compared, answer: Answer | None) -> dict[str, Any]:
    code, text = (answer.code, answer.text) if answer else (None, None)
    return {"study_instance_uid": one.study_instance_uid, "code": code, "text": text}


def _shift(pairs: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """n, mean, sd (of the sample) and quantiles of after minus before, and the rank correlation."""
    before, after = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
    moved = after - before
    n = len(moved)
    return {
        "n": n,
        "mean": round(float(moved.mean()), DIGITS) if n else None,
        "sd": round(float(moved.std(ddof=1)), DIGITS) if n > 1 else None,
        "quantiles": {f"{q:g}": round(float(np.quantile(moved, q)), DIGITS) for q in QUANTILES} if n else {},
        "rank_correlation": _rank_correlation(before, after),
    }


def _rank_correlation(one: FloatArray, other: FloatArray) -> float | None:
    """Spearman's: Pearson's correlation of the ranks, ties sharing their mean rank."""
    if len(one) < 2 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    return round(float(np.corrcoef(_ranks(one), _ranks(other))[0, 1]), DIGITS)


def _ranks(values: FloatArray) -> FloatArray:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(counts) - (counts - 1) / 2
    return np.asarray(mean_rank[place], dtype=np.float64)
