"""Rates of both regimens for the macro `rates` of `macros.html`, from a report or from the answer of a worker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from config.indication.conventions import round_dfs
from dicom_sr.report.numbers import interval, percent, signed_interval, signed_percent


@dataclass(frozen=True)
class Rate:
    """One rate, as text and as the position of its mark.

    Attributes
    ----------
    text : str
        Percentage or difference in percentage points, as in the report, without unit.
    interval : str or None
        Its 95 % interval as text; None where it is not known.
    fraction : float
        The rate in [0, 1], for the drawing.
    ends : sequence of two floats or None
        The interval in [0, 1], for the drawing.
    """

    text: str
    interval: str | None
    fraction: float = 0.0
    ends: Sequence[float] | None = None


@dataclass(frozen=True)
class RateTable:
    """Rates of both regimens.

    Attributes
    ----------
    months : list of int
        Horizons in months, the latest first.
    arms : dict
        Arm ("ICT+CCRT", "CCRT") to month to rate.
    differences : dict
        Month to ICT+CCRT minus CCRT.
    points : dict
        Arm to its total points, as text.
    """

    months: list[int]
    arms: dict[str, dict[int, Rate]]
    differences: dict[int, Rate]
    points: dict[str, str]


def rates_of_report(scenario: Mapping[str, Any]) -> RateTable:
    """Return the rates of one scenario of a report.

    Parameters
    ----------
    scenario : mapping
        One of `Report.result["scenarios"]`, whose numbers are rounded already.

    Returns
    -------
    RateTable
        The difference is that of the rounded rates, so that a reader who subtracts them gets the same.
    """
    results = {scenario[name]["arm"]: scenario[name] for name in ("ict_ccrt", "ccrt")}
    months = sorted((int(month) for month in scenario["ict_ccrt"]["dfs"]), reverse=True)
    arms = {arm: {month: _rate(result["dfs"][str(month)]) for month in months} for arm, result in results.items()}
    ict, ccrt = (scenario[name]["dfs"] for name in ("ict_ccrt", "ccrt"))
    differences = {}
    for month in months:
        gain = round_dfs(ict[str(month)]["value"] - ccrt[str(month)]["value"])
        ends = scenario["difference_ci95"].get(str(month))
        differences[month] = Rate(signed_percent(gain), signed_interval(ends) if ends else None)
    return RateTable(
        months, arms, differences, {arm: f"{result['total_points']:.1f}" for arm, result in results.items()}
    )


def _rate(dfs: Mapping[str, Any]) -> Rate:
    low, high = dfs["ci95"]
    return Rate(percent(dfs["value"]), interval((low, high)), dfs["value"], (low, high))


def rates_of_answer(scenario: Mapping[str, Any], printed: Mapping[str, Any]) -> RateTable:
    """Return the rates of the answer to the question `score`.

    Parameters
    ----------
    scenario : mapping
        The document of one EBV DNA category: unrounded numbers, which only place the marks.
    printed : mapping
        The same as texts, rounded by the worker as in a report.

    Returns
    -------
    RateTable
        With the texts of the worker.
    """
    months = sorted((int(month) for month in printed["difference"]), reverse=True)
    arms = {}
    for arm, texts in printed["arms"].items():
        arms[arm] = {
            month: Rate(
                texts["dfs"][str(month)]["value"], texts["dfs"][str(month)]["ci95"],
                scenario["dfs"][arm][str(month)]["value"], scenario["dfs"][arm][str(month)]["ci95"],
            )
            for month in months
        }  # fmt: skip
    differences = {
        month: Rate(printed["difference"][str(month)]["value"], printed["difference"][str(month)]["ci95"])
        for month in months
    }
    return RateTable(months, arms, differences, {arm: texts["total_points"] for arm, texts in printed["arms"].items()})
