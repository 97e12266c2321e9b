"""Charts of a follow-up report: observed and expected events, the CUSUM charts, observed to expected by group."""

from __future__ import annotations

from datetime import date

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure

from config.arrays import AnyFloatArray, Int64Array
from workers.validation.figure_style import DASHES, FAINT, FIRST, INK, LOW_RISK, SECOND
from workers.validation.follow_up.cohort import FollowedCohort
from workers.validation.follow_up.cusum import HAZARD_RATIO, Chart, Monitoring, expected_until
from workers.validation.follow_up.observed_expected import ObservedExpected

RATIO_ENDS = (0.1, 10.0)  # of observed to expected; intervals beyond them end at the edge
TITLES = {
    "higher": f"Hazard higher than predicted (ratio {HAZARD_RATIO:g})",
    "lower": f"Hazard lower than predicted (ratio 1/{HAZARD_RATIO:g})",
    "effect": "No difference between the regimens",
}
COLOURS = {"higher": FIRST, "lower": LOW_RISK, "effect": SECOND}


def events_figure(patients: FollowedCohort) -> Figure:
    """Return observed and expected events over calendar time.

    Parameters
    ----------
    patients : FollowedCohort
        At least one.
    """
    figure = Figure(figsize=(7.2, 2.9), layout="constrained")
    ax = figure.add_subplot()
    first, last = int(patients.start_day.min()), int((patients.start_day + patients.days).max())
    grid = np.linspace(first, last, 200).round().astype(np.int64)
    happened = np.sort((patients.start_day + patients.days)[patients.event])
    days = _on_axis(grid)
    ax.plot(days, expected_until(patients, grid), color=INK, linestyle=DASHES[1], linewidth=1.2, label="expected")
    ax.step(
        days, np.searchsorted(happened, grid, side="right"), where="post", color=SECOND, linewidth=1.5, label="observed"
    )
    ax.set(ylabel="Events", ylim=(0, None))
    _date_axis(ax)
    ax.legend(loc="upper left")
    return figure


def cusum_figure(monitoring: Monitoring) -> Figure:
    """Return the three charts with their limits, one below the other.

    Parameters
    ----------
    monitoring : Monitoring
        Of the same patients.
    """
    figure = Figure(figsize=(7.2, 5.6), layout="constrained")
    axes = figure.subplots(3, 1, sharex=True)
    for ax, chart in zip(axes, monitoring.charts, strict=True):
        _draw_chart(ax, chart)
    _date_axis(axes[-1])
    return figure


def ratio_figure(groups: tuple[ObservedExpected, ...]) -> Figure:
    """Return observed to expected events by group with 95 % intervals.

    Parameters
    ----------
    groups : tuple of ObservedExpected
        From top to bottom; one without an expectation has its numbers only.
    """
    figure = Figure(figsize=(7.2, 0.34 * len(groups) + 0.9), layout="constrained")
    ax = figure.add_subplot()
    places = np.arange(len(groups))[::-1]
    for y, group in zip(places, groups, strict=True):
        text = f"{group.observed} / {group.expected:.1f}, n = {group.n}"
        ax.text(1.02, y, text, transform=ax.get_yaxis_transform(), va="center", fontsize=7)
        if group.ci95 is None:
            continue
        low, high = (float(np.clip(end, *RATIO_ENDS)) for end in group.ci95)
        ax.plot([low, high], [y, y], color=SECOND, linewidth=1.1, solid_capstyle="butt")
        ratio = float(np.clip(group.ratio or RATIO_ENDS[0], *RATIO_ENDS))
        ax.plot([ratio], [y], "s", color=SECOND, markersize=4)
    ax.axvline(1, color=INK, linewidth=0.7)
    ax.set_xscale("log")
    ax.set_xlim(*RATIO_ENDS)
    ax.set_xticks([0.1, 0.2, 0.5, 1, 2, 5, 10], ["0.1", "0.2", "0.5", "1", "2", "5", "10"])
    ax.minorticks_off()
    ax.set_yticks(places, [group.group for group in groups])
    ax.set_xlabel("Observed to expected events, 95 % interval; at the right the numbers")
    return figure


def _draw_chart(ax: Axes, chart: Chart) -> None:
    ax.step(_on_axis(chart.days), chart.value, where="post", color=COLOURS[chart.name], linewidth=1.3)
    ax.axhline(chart.limit, color=INK, linewidth=0.8, linestyle=DASHES[1])
    ax.text(0.995, chart.limit, f"limit {chart.limit:.2f}", transform=ax.get_yaxis_transform(), ha="right", va="bottom",
            fontsize=7)  # fmt: skip
    if chart.signal_day is not None and chart.change_day is not None:
        at, since = date.fromordinal(chart.signal_day), date.fromordinal(chart.change_day)
        ax.axvline(date2num(at), color=COLOURS[chart.name], linewidth=0.9)
        ax.axvspan(date2num(since), date2num(at), color=FAINT, alpha=0.35, linewidth=0)
        text = f"signal {at.isoformat()}, change since {since.isoformat()}"
        ax.text(0.01, 0.93, text, transform=ax.transAxes, va="top", fontsize=7)
    ax.set(title=TITLES[chart.name], ylabel="Log likelihood\nratio")
    ax.set_ylim(0, 1.25 * max(chart.limit, float(chart.value.max())))


def _on_axis(days: Int64Array) -> AnyFloatArray:
    """Return ordinal days as matplotlib counts them, from 1970."""
    return days - float(date(1970, 1, 1).toordinal())


def _date_axis(ax: Axes) -> None:
    ax.xaxis_date()
    locator = AutoDateLocator()
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    ax.set_xlabel("Calendar time")
