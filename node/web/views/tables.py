"""Rates of both regimens as the template `macros.html` lays them out, from a report or from a worker's answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from config.indication.conventions import round_dfs
from dicom_sr.report.numbers import interval, percent, signed_interval, signed_percent


@dataclass(frozen=True)
class Rate:
    """text, interval : as printed, without unit. fraction, ends : for the drawing; ends are None where not known."""

    text: str
    interval: str | None
    fraction: float = 0.0
    ends: Sequence[float] | None = None


@dataclass(frozen=True)
class RateTable:
    """months : the latest first. arms : arm -> month -> rate. differences : by month. points : total by arm."""

    months: list[int]
    arms: dict[str, dict[int, Rate]]
    differences: dict[int, Rate]
    points: dict[str, str]


def of_report(scenario: Mapping[str, Any]) -> RateTable:
    """From one scenario of a report as the ledger keeps it, whose numbers are rounded already."""
    results = {scenario[name]["arm"]: scenario[name] for name in ("ict_ccrt", "ccrt")}
    months = sorted((int(month) for month in scenario["ict_ccrt"]["dfs"]), reverse=True)
    arms = {arm: {month: _rate(one["dfs"][str(month)]) for month in months} for arm, one in results.items()}
    ict, ccrt = (scenario[name]["dfs"] for name in ("ict_ccrt", "ccrt"))
    differences = {}
    for month in months:
        gain = round_dfs(ict[str(month)]["value"] - ccrt[str(month)]["value"])
        ends = scenario["difference_ci95"].get(str(month))
        differences[month] = Rate(signed_percent(gain), signed_interval(ends) if ends else None)
    return RateTable(months, arms, differences, {arm: f"{one['total_points']:.1f}" for arm, one in results.items()})


def _rate(dfs: Mapping[str, Any]) -> Rate:
    low, high = dfs["ci95"]
    return Rate(percent(dfs["value"]), interval((low, high)), dfs["value"], (low, high))


def of_answer(scenario: Mapping[str, Any], printed: Mapping[str, Any]) -> RateTable:
    """From a worker's answer: the texts are the worker's, the numbers only place the marks."""
    months = sorted((int(month) for month in printed["difference"]), reverse=True)
    arms = {}
    for arm, shown in printed["arms"].items():
        arms[arm] = {
            month: Rate(
                shown["dfs"][str(month)]["value"], shown["dfs"][str(month)]["ci95"],
                scenario["dfs"][arm][str(month)]["value"], scenario["dfs"][arm][str(month)]["ci95"],
            )
            for month in months
        }  # fmt: skip
    differences = {
        month: Rate(printed["difference"][str(month)]["value"], printed["difference"][str(month)]["ci95"])
        for month in months
    }
    return RateTable(months, arms, differences, {arm: one["total_points"] for arm, one in printed["arms"].items()})
