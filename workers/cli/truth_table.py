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
    curves = {label: metric["against_truth"].get("wrong_by_share_answered", {}) for label, metric in compared.items()}
    shares = list(dict.fromkeys(share for curve in curves.values() for share in curve))
    if shares:
        rows = [[label, *(_share(curve.get(share)) for share in shares)] for label, curve in curves.items()]
        print_table(("answered, the surest first", *shares), rows, title="Wrong of the answered (risk-coverage curve)")


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
