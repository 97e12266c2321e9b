"""The figures of a bundle against the truth of phantoms as two tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from node.cli.context import print_table


def print_truth(metrics: Mapping[str, Any]) -> None:
    """Print how close a bundle comes to the truth of unseen phantoms, and its risk-coverage curve.

    Parameters
    ----------
    metrics : mapping
        ``metrics`` of a manifest; prints nothing without ``against_truth`` in one of them. Figures that an earlier
        version did not compute are ``-``.
    """
    compared = {
        label.replace("_", " "): metric
        for label, metric in metrics.items()
        if isinstance(metric, Mapping) and "against_truth" in metric
    }
    if not compared:
        return
    names = ("agreement", "abstention", "wrong_of_firm", "grossly_wrong_of_firm", "answered_at_2_percent_wrong")
    rows = [
        [
            label,
            str(metric["n"]),
            f"{metric['c_index']['all']['value']:.3f}",
            f"{metric['oracle_c_index']:.3f}",
            *(_share(metric["against_truth"].get(name)) for name in names),
            _share(metric["against_truth"]["coverage"]["difference"]),
        ]
        for label, metric in compared.items()
    ]
    columns = (
        "unseen phantoms", "n", "C-index", "oracle", "agreement", "abstention", "wrong of firm", "by over 5 points",
        "answered at 2 % wrong", "interval covers",
    )  # fmt: skip
    print_table(columns, rows, title="Against the truth")
    stable = {label: metric["against_truth"].get("with_stability") for label, metric in compared.items()}
    stable = {label: figures for label, figures in stable.items() if figures and "every" in figures}
    _print_stability(stable)
    _print_interval({label: metric["against_truth"].get("interval", {}) for label, metric in compared.items()})
    curves = {label: metric["against_truth"].get("wrong_by_share_answered", {}) for label, metric in compared.items()}
    curves |= {
        f"{label}, stable first (of {figures['every']['n']})": figures["every"]["wrong_by_share_answered"]
        for label, figures in stable.items()
    }
    shares = list(dict.fromkeys(share for curve in curves.values() for share in curve))
    if shares:
        rows = [[label, *(_share(curve.get(share)) for share in shares)] for label, curve in curves.items()]
        print_table(("answered, the surest first", *shares), rows, title="Wrong of the answered (risk-coverage curve)")


def _print_stability(stable: Mapping[str, Mapping[str, Any]]) -> None:
    names = ("abstention", "wrong_of_firm", "grossly_wrong_of_firm", "unstable_of_firm")
    of_every = ("stable", "wrong_of_stable", "wrong_of_unstable")
    rows = [
        [
            label, str(figures["n"]), *(_share(figures[name]) for name in names), str(figures["every"]["n"]),
            *(_share(figures["every"][name]) for name in of_every),
        ]
        for label, figures in stable.items()
    ]  # fmt: skip
    columns = (
        "unseen phantoms", "n", "abstention", "wrong of firm", "by over 5 points", "firm but not stable",
        "all recomputed", "stable", "wrong of stable", "wrong of others",
    )  # fmt: skip
    if rows:
        print_table(columns, rows, title="Answers that hold when contour, slices and members change")


def _print_interval(intervals: Mapping[str, Mapping[str, Mapping[str, float]]]) -> None:
    names = ("median_half_width", "coverage", "abstention", "wrong_of_firm")
    rows = [
        [label, part.replace("_", " "), *(_share(figures[name]) for name in names)]
        for label, parts in intervals.items()
        for part, figures in parts.items()
    ]
    columns = ("unseen phantoms", "interval", "median half-width", "covers", "abstention", "wrong of firm")
    if rows:
        print_table(columns, rows, title="What makes the interval of the difference as wide as it is")


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
