"""Figures of the decision page: policy values, calibration of the predicted benefit, curves over the threshold."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture

from config.arrays import FloatArray
from workers.validation.benefit import POLICIES, Benefit
from workers.validation.estimates import Figure
from workers.validation.figure_style import FAINT, FIRST, INK, SECOND, SERIES

ESTIMATES: Mapping[str, str] = {"weighted": "weighted Kaplan-Meier", "doubly_robust": "doubly robust"}


def policy_value_figure(benefit: Benefit) -> Picture:
    """Return survival if all had CCRT, if all had ICT+CCRT, and if all followed the recommendation.

    Parameters
    ----------
    benefit : Benefit
        Of one set of patients.

    Returns
    -------
    Figure
        Both estimates with 95 % intervals.
    """
    figure = Picture(figsize=(6.4, 2.5), layout="constrained")
    ax = figure.add_subplot()
    for at, policy in enumerate(POLICIES):
        for estimate, shift, marker, color in (("weighted", 0.14, "o", SECOND), ("doubly_robust", -0.14, "s", FIRST)):
            label = ESTIMATES[estimate] if at == 0 else None
            _interval(ax, benefit.values[estimate][policy], len(POLICIES) - at + shift, marker, color, label)
    ax.set_yticks([len(POLICIES) - at for at in range(len(POLICIES))], [*POLICIES[:2], "recommendation followed"])
    ax.set_ylim(0.5, len(POLICIES) + 0.5)
    ax.set_xlabel(f"Disease-free survival at {benefit.horizon_months:g} months (95 % CI)")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, 1.2), ncols=2)
    ax.grid(axis="x", color=FAINT, linewidth=0.4)
    return figure


def benefit_calibration_figure(benefit: Benefit) -> Picture:
    """Return observed against predicted difference of the regimens, in groups of equal size.

    Parameters
    ----------
    benefit : Benefit
        Of one set of patients.

    Returns
    -------
    Figure
        With the regression line of the doubly robust differences; a perfect prediction is on the diagonal.
    """
    figure = Picture(figsize=(4.6, 4.2), layout="constrained")
    ax = figure.add_subplot()
    ends = [end for group in benefit.groups for end in (group.predicted, *(group.observed.ci95 or ()))]
    low, high = min((-0.1, *ends)) - 0.03, max((0.1, *ends)) + 0.03
    ax.plot([low, high], [low, high], color=FAINT, linewidth=0.9, linestyle=(0, (4, 2)), label="ideal")
    slope, intercept = (benefit.calibration[name].value for name in ("slope", "intercept"))
    if slope is not None and intercept is not None:
        x = np.array([group.predicted for group in benefit.groups])
        ends_x = np.array([x.min(), x.max()])
        ax.plot(ends_x, intercept + slope * ends_x, color=FIRST, linewidth=1.2, label=f"slope {slope:.2f}")
    ax.axhline(0, color=INK, linewidth=0.5)
    ax.axvline(0, color=INK, linewidth=0.5)
    for number, group in enumerate(benefit.groups):
        value, interval = group.observed.value, group.observed.ci95
        if value is None:
            continue
        if interval:
            ax.plot([group.predicted] * 2, interval, color=SECOND, linewidth=1.0)
        ax.plot([group.predicted], [value], "o", color=SECOND, markersize=5)
        # Quarters near zero are close to each other: the label of the lower one goes to the left.
        to_left = number > 0 and group.predicted < 0
        ax.annotate(
            f"n = {group.n}, {group.n_events} events", (group.predicted, value), textcoords="offset points",
            xytext=(-6, 5) if to_left else (6, -9), ha="right" if to_left else "left", fontsize=6.5,
        )  # fmt: skip
    ax.set(xlim=(low, high), ylim=(low, high))
    ax.set_xlabel("Predicted difference of survival, ICT+CCRT minus CCRT")
    ax.set_ylabel("Observed difference (weighted Kaplan-Meier)")
    ax.legend(loc="upper left")
    return figure


def threshold_figure(benefit: Benefit) -> Picture:
    """Return value and net benefit of choosing ICT+CCRT, over the gain from which it is chosen.

    Parameters
    ----------
    benefit : Benefit
        Of one set of patients, with predicted gains.

    Returns
    -------
    Figure
        Two panels; the bands are pointwise 95 % intervals.
    """
    figure = Picture(figsize=(8.2, 3.3), layout="constrained")
    value, net = figure.subplots(1, 2)
    percent = 100 * benefit.thresholds
    curve = benefit.value_curve
    value.fill_between(percent, curve["low"], curve["high"], color=SERIES[0], alpha=0.15, linewidth=0)
    value.plot(percent, curve["value"], color=SERIES[0], linewidth=1.5, label="ICT+CCRT above the threshold")
    value.set_ylabel(f"Survival at {benefit.horizon_months:g} months (doubly robust)")
    value.set_xlabel("Predicted gain from which ICT+CCRT is chosen\n(percentage points)")
    curves = benefit.net_benefit
    net.fill_between(percent, curves["low"], curves["high"], color=SERIES[0], alpha=0.15, linewidth=0)
    net.plot(percent, curves["rule"], color=SERIES[0], linewidth=1.5, label="ICT+CCRT above the threshold")
    net.plot(percent, curves[POLICIES[1]], color=FIRST, linewidth=1.2, linestyle=(0, (5, 2)), label=POLICIES[1])
    net.axhline(0, color=INK, linewidth=0.9, label=POLICIES[0])
    net.set_ylabel("Net benefit over CCRT for all")
    net.set_xlabel("Gain that makes ICT worth its burden\n(percentage points)")
    _limit(net, {name: values[benefit.thresholds >= 0] for name, values in curves.items()})
    for ax in (value, net):
        ax.axvline(0, color=FAINT, linewidth=0.7)
        ax.legend(loc="best", fontsize=7)
    # A burden is not negative: only such thresholds are a decision in the right panel.
    net.set_xlim(0, float(percent.max()))
    return figure


def _limit(ax: Axes, curves: Mapping[str, FloatArray]) -> None:
    shown = np.concatenate([curves["rule"], curves["high"], curves["low"]])
    # "ICT+CCRT for all" falls without limit and would flatten the other curves.
    if np.isfinite(shown).any():
        highest, lowest = float(np.nanmax(shown)), float(np.nanmin(shown))
        ax.set_ylim(min(-0.05, 1.1 * lowest), max(0.05, 1.15 * highest))


def _interval(ax: Axes, figure: Figure, y: float, marker: str, color: str, label: str | None) -> None:
    if figure.value is None:
        return
    if figure.ci95:
        ax.plot(figure.ci95, [y, y], color=color, linewidth=1.3, solid_capstyle="butt")
    ax.plot([figure.value], [y], marker, color=color, markersize=5, label=label)
    ax.annotate(f"{figure.value:.3f}", (figure.value, y), xytext=(0, 4), textcoords="offset points",
                ha="center", fontsize=6.5)  # fmt: skip
