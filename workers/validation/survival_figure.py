"""Kaplan-Meier curves with the numbers at risk, as in the paper's Figures 3 to 5."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from config.indication.conventions import DAYS_PER_MONTH, MONTHS_PER_YEAR
from workers.validation.display_text import comparison_text
from workers.validation.figure_style import DASHES, FIRST, SECOND
from workers.validation.survival_comparison import SurvivalComparison

LONGEST_MONTHS = 108


def survival_figure(
    panels: Sequence[tuple[str, SurvivalComparison]], endpoint: str, colors: tuple[str, str] = (FIRST, SECOND)
) -> Figure:
    """Return Kaplan-Meier curves of two groups in each panel, with the numbers at risk below.

    Parameters
    ----------
    panels : sequence of (str, SurvivalComparison)
        Title and content, from left to right.
    endpoint : str
        Label of the axis.
    colors : pair of str
        First group, second group.
    """
    figure = Figure(figsize=(3.6 * len(panels), 3.5), layout="constrained")
    grid = figure.add_gridspec(2, len(panels), height_ratios=[5, 1], hspace=0.02)
    longest = max((curve.days[-1] for _, groups in panels for curve in groups.curves if curve), default=0.0)
    # Whole years, at most nine: beyond them a few patients at risk would stretch the axis.
    months = int(np.clip(np.ceil(longest / DAYS_PER_MONTH / MONTHS_PER_YEAR) * MONTHS_PER_YEAR, 12, LONGEST_MONTHS))
    for column, (title, groups) in enumerate(panels):
        ax = figure.add_subplot(grid[0, column])
        below = figure.add_subplot(grid[1, column], sharex=ax)
        _draw_survival(ax, groups, months, colors)
        _draw_at_risk(below, groups, months, colors)
        ax.set_title(f"{title} (n = {sum(groups.n)})")
        if column == 0:
            ax.set_ylabel(endpoint)
    return figure


def _draw_survival(ax: Axes, groups: SurvivalComparison, months: int, colors: tuple[str, str]) -> None:
    for at, (curve, color) in enumerate(zip(groups.curves, colors, strict=True)):
        if curve is None:
            continue
        # The estimate begins at its first observed time; S(0) = 1 is put in front.
        x = np.concatenate(([0.0], curve.days / DAYS_PER_MONTH))
        low, high = (np.concatenate(([1.0], band)) for band in curve.interval_band())
        # Steps, as the estimate: a sloping band would show survival between two events that the data do not have.
        ax.fill_between(x, low, high, step="post", color=color, alpha=0.13, linewidth=0)
        y = np.concatenate(([1.0], curve.survival))
        ax.step(x, y, where="post", color=color, linestyle=DASHES[at], linewidth=1.4, label=groups.names[at])
        censored = curve.censored_days
        heights = curve.survival[np.searchsorted(curve.days, censored, side="right") - 1]
        ax.plot(censored / DAYS_PER_MONTH, heights, "|", color=color, markersize=2.6, markeredgewidth=0.5)
    ax.set_xlim(0, months)
    ax.set_ylim(0, 1.02)
    ax.set_xticks(range(0, months + 1, MONTHS_PER_YEAR))
    ax.tick_params(labelbottom=False)
    ax.legend(loc="lower left", bbox_to_anchor=(0.0, 0.13), handlelength=2.2, borderaxespad=0.3)
    ax.text(0.02, 0.03, comparison_text(groups), transform=ax.transAxes, fontsize=7.5, va="bottom")


def _draw_at_risk(ax: Axes, groups: SurvivalComparison, months: int, colors: tuple[str, str]) -> None:
    ticks = range(0, months + 1, MONTHS_PER_YEAR)
    for at, (curve, color) in enumerate(zip(groups.curves, colors, strict=True)):
        if curve is not None:
            for month in ticks:
                count = str(curve.n_at_risk(month * DAYS_PER_MONTH))
                ax.text(month, 1 - at, count, ha="center", va="center", color=color, fontsize=7)
    ax.set_yticks([1, 0], groups.names)
    for label, color in zip(ax.get_yticklabels(), colors, strict=True):
        label.set_color(color)
        label.set_fontsize(7)
    ax.set_ylim(-0.6, 1.6)
    ax.set_xticks(ticks)
    ax.set_xlabel("Months (numbers at risk above)")
    ax.tick_params(axis="y", length=0, pad=12)
    for side in ("left", "top", "right"):
        ax.spines[side].set_visible(False)
