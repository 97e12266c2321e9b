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
    names = ("abstention", "wrong_of_firm", "grossly_wrong_of_firm", "unstable_of_firm", "wrong_of_firm_without")
    rows = [
        [label, str(figures["n"]), *(_share(figures[name]) for name in names)]
        for label, figures in stable.items()
        if figures
    ]
    if rows:
        of_stable = (
            "unseen phantoms", "n", "abstention", "wrong of firm", "by over 5 points", "firm but not stable",
            "wrong without stability",
        )  # fmt: skip
        print_table(of_stable, rows, title="Firm answers that hold when contour, slices and members change")
    curves = {label: metric["against_truth"].get("wrong_by_share_answered", {}) for label, metric in compared.items()}
    shares = list(dict.fromkeys(share for curve in curves.values() for share in curve))
    if shares:
        rows = [[label, *(_share(curve.get(share)) for share in shares)] for label, curve in curves.items()]
        print_table(("answered, the surest first", *shares), rows, title="Wrong of the answered (risk-coverage curve)")


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
