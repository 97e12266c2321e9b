"""Print the summary of a comparison of two bundles as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer

from node.cli.context import print_table

SHOWN = {"0": "least", "0.05": "5 %", "0.25": "25 %", "0.5": "median", "0.75": "75 %", "0.95": "95 %", "1": "most"}
UIDS_SHOWN = 20
TITLES = {
    "prognostic_score": "Prognostic-score",
    "predictive_score": "Predictive-score",
    "dfs_difference": "DFS difference at {months} months",
}


def print_summary(bundles: Mapping[str, Any], summary: Mapping[str, Any]) -> None:
    """Print what changes between two bundles.

    Parameters
    ----------
    bundles : mapping
        name, version and digest of the bundles "before" and "after".
    summary : mapping
        As `node.workflow.comparison_summary.summarise` returns it.
    """
    for title in ("before", "after"):
        bundle = bundles[title]
        typer.echo(f"{title:6} {bundle['name']} {bundle['version']}  {bundle['digest'][:19]}")
    n, both, changed = summary["n"], summary["scored_by_both"], summary["recommendation_changed"]
    typer.echo(f"{n} studies, {both} scored by both bundles")
    if both:
        typer.echo(f"{len({one['study_instance_uid'] for one in changed})} get another recommendation: "
                   + ", ".join(f"{what}: {count}" for what, count in summary["recommendations"].items()))  # fmt: skip
        _print_shifts(summary)
    _print_uids("another recommendation", [_changed(one) for one in changed])
    _print_uids("newly refused", [_with_reason(one) for one in summary["newly_refused"]])
    _print_uids("scored by the second bundle only", summary["newly_scored"])
    _print_uids("refused by both", summary["refused_by_both"])
    _print_uids("failed", [_with_reason(one) for one in summary["failed"]])
    _print_uids("cannot be computed (`cptdn studies explain` says why)", summary["not_computable"])


def print_changes(summary: Mapping[str, Any], err: bool = False) -> None:
    """Print what a computation would change in the current reports.

    Parameters
    ----------
    summary : mapping
        As `node.workflow.report_changes.summarise_changes` returns it.
    err : bool
        On stderr, where stdout has a JSON document.
    """
    changed = {one["study_instance_uid"] for one in summary["recommendation_changed"]}
    typer.echo(
        f"Of {summary['n']} studies, {len(changed)} would get another recommendation, {len(summary['newly_refused'])} "
        f"would be refused, {len(summary['newly_scored'])} refused ones would be scored, "
        f"{len(summary['first_reports'])} would get their first report.",
        err=err,
    )
    if err:
        return
    _print_uids("another recommendation", [_changed(one) for one in summary["recommendation_changed"]])
    _print_uids("newly refused", [_with_reason(one) for one in summary["newly_refused"]])
    _print_uids("failed", [_with_reason(one) for one in summary["failed"]])
    _print_uids("cannot be computed (`cptdn studies explain` says why)", summary["not_computable"])


def _print_shifts(summary: Mapping[str, Any]) -> None:
    shifts = [summary["shifts"][name] for name in TITLES]
    rows = [
        ("mean", *(_signed(shift["mean"]) for shift in shifts)),
        ("sd", *(_number(shift["sd"]) for shift in shifts)),
    ]
    rows += [(label, *(_signed(shift["quantiles"][q]) for shift in shifts)) for q, label in SHOWN.items()]
    rows.append(("rank correlation", *(_number(shift["rank_correlation"]) for shift in shifts)))
    horizons = dict.fromkeys((summary["horizon_months_before"], summary["horizon_months"]))
    months = " and ".join(str(each) for each in horizons)  # the bundles may decide at different horizons
    titles = [title.format(months=months) for title in TITLES.values()]
    print_table(("after minus before", *titles), rows)


def _print_uids(title: str, lines: list[str]) -> None:
    if not lines:
        return
    typer.echo(f"{len(lines)} {title}:")
    for line in lines[:UIDS_SHOWN]:
        typer.echo(f"  {line}")
    if len(lines) > UIDS_SHOWN:
        typer.echo(f"  ... and {len(lines) - UIDS_SHOWN} more; --json has them all")


def _changed(one: Mapping[str, Any]) -> str:
    category = "" if one["ebv_category"] is None else f" (EBV DNA {one['ebv_category']})"
    return f"{one['study_instance_uid']}  {one['before']} -> {one['after']}{category}"


def _with_reason(one: Mapping[str, Any]) -> str:
    return f"{one['study_instance_uid']}  {one['text']} [{one['code']}]"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _signed(value: float) -> str:
    return f"{value:+.4f}"
