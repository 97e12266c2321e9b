"""Calibration, C-index, decision curve and forest plot of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from config.arrays import FloatArray
from config.indication.conventions import DAYS_PER_MONTH
from workers.validation.calibration import Calibration
from workers.validation.decision_curve import DecisionCurve
from workers.validation.display_text import MODEL_NAMES, SUBGROUP_NAMES, p_text
from workers.validation.evaluation import SubgroupEvaluation
from workers.validation.figure_style import DASHES, FAINT, FIRST, INK, SECOND, SERIES
from workers.validation.part_evaluation import FITTED_HERE, ModelConcordance
from workers.validation.survival_comparison import CCRT_PREFERRED, ICT_PREFERRED, SurvivalComparison

FOREST_ENDS = (0.01, 100.0)  # hazard ratios beyond them end in an arrow


def calibration_figure(
    by_month: Mapping[float, Calibration], smooth: Mapping[float, FloatArray] | None = None
) -> Figure:
    """Return observed against predicted survival, one panel per horizon.

    Parameters
    ----------
    by_month : mapping of float to Calibration
        Months -> groups, from `calibrate`; not empty.
    smooth : mapping of float to array, shape (2, k), optional
        Months -> predicted and smooth observed survival.

    Returns
    -------
    Figure
        Axes from the lowest value, rounded down to a tenth, to 1.
    """
    figure = Figure(figsize=(3.6 * len(by_month), 3.5), layout="constrained")
    lowest = min(min(g.predicted, g.ci95[0] if g.ci95 else g.observed) for c in by_month.values() for g in c.groups)
    # Survival of 0.8 to 1 on axes from 0 would be three points in a corner.
    edge = max(0.0, np.floor(lowest * 10) / 10)
    for column, (month, calibration) in enumerate(by_month.items()):
        ax = figure.add_subplot(1, len(by_month), column + 1)
        ax.plot([edge, 1], [edge, 1], color=FAINT, linewidth=0.9, linestyle=(0, (4, 2)), label="ideal")
        x = np.array([group.predicted for group in calibration.groups])
        y = np.array([group.observed for group in calibration.groups])
        ends = [group.ci95 or (group.observed, group.observed) for group in calibration.groups]
        errors = np.abs(np.array(ends).T - y)
        ax.errorbar(
            x,
            y,
            yerr=errors,
            color=SECOND,
            marker="o",
            markersize=4,
            linewidth=0,
            capsize=2.5,
            elinewidth=0.8,
            label="groups",
        )
        if smooth and month in smooth:
            inside = smooth[month][0] >= edge
            ax.plot(*smooth[month][:, inside], color=FIRST, linewidth=1.1, linestyle=DASHES[1], label="smooth")
        test = calibration.hosmer_lemeshow()
        means = f"mean predicted {calibration.mean_predicted:.3f}, observed {calibration.observed:.3f}"
        text = f"Hosmer-Lemeshow {p_text(test.p)}\n{means}"
        ax.text(0.03, 0.97, text, transform=ax.transAxes, ha="left", va="top", fontsize=7.5)
        ax.set(xlim=(edge, 1.01), ylim=(edge, 1.01), xlabel="Predicted survival", title=f"{month:g} months")
        ax.set_aspect("equal")
        if column == 0:
            ax.set_ylabel("Observed survival (Kaplan-Meier)")
            ax.legend(loc="lower right")
    return figure


def concordance_figure(models: Sequence[tuple[str, str, Mapping[str, ModelConcordance]]]) -> Figure:
    """Return bars of the C-index with intervals: models along the axis, arms side by side.

    Parameters
    ----------
    models : sequence of (str, str, mapping of str to ModelConcordance)
        Model, where it was fitted, and arm -> both definitions; Noether's is drawn, as in the paper.

    Returns
    -------
    Figure
        A model without comparable pairs has no bar; models that were fitted on the evaluated cohort are hatched.

    References
    ----------
    Zhong et al. 2021, Figure 3.
    """
    figure = Figure(figsize=(max(7.2, 1.05 * len(models) + 1), 3.8), layout="constrained")
    ax = figure.add_subplot()
    arms = list(models[0][2])
    width = 0.8 / len(arms)
    hatches = ["///" if where == FITTED_HERE else "" for _, where, _ in models]
    for at, arm in enumerate(arms):
        x = np.arange(len(models)) + (at - (len(arms) - 1) / 2) * width
        concordances = [by_arm[arm].noether for _, _, by_arm in models]
        values = np.array([c.value for c in concordances])
        errors = np.array([np.abs(np.array(c.ci95) - c.value) for c in concordances]).T
        color = ("#999999", FIRST, SECOND)[at % 3]
        label = "all patients" if arm == "all" else arm
        ax.bar(x, values, width * 0.92, color=color, alpha=0.85, label=label, hatch=hatches, edgecolor="white")
        ax.errorbar(x, values, yerr=errors, fmt="none", ecolor=INK, elinewidth=0.8, capsize=2)
        for place, value, error in zip(x, values, errors[1], strict=True):
            if np.isfinite(value):
                ax.text(place, min(value + error, 1.0) + 0.008, f"{value:.2f}", ha="center", va="bottom", fontsize=6.5)
    ax.set_xticks(range(len(models)), [_model_label(name, where) for name, where, _ in models])
    # Chance is 0.5, and bars from 0 would make all models look alike; a model can be worse than chance elsewhere.
    lowest = min((c.noether.ci95[0] for _, _, by_arm in models for c in by_arm.values()), default=0.5)
    ax.set_ylim(min(0.4, np.floor(lowest * 10) / 10) if np.isfinite(lowest) else 0, 1.06)
    ax.axhline(0.5, color=FAINT, linewidth=0.8, linestyle=(0, (4, 2)))
    ax.set_ylabel("C-index (95 % CI)")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, 1.14), ncols=len(arms))
    return figure


def _model_label(name: str, where: str) -> str:
    text = MODEL_NAMES.get(name, name).replace(" (", "\n(").replace(" + ", " +\n")
    return text + where.replace(", ", "\n").replace("fitted on ", "fitted on\n")


def forest_figure(by_column: Mapping[str, Mapping[str, SubgroupEvaluation]]) -> Figure:
    """Return hazard ratios of the treatment by subgroup, ICT-preferred and CCRT-preferred patients side by side.

    Parameters
    ----------
    by_column : mapping of str to mapping of str to SubgroupEvaluation
        Column -> label -> results. Intervals beyond 0.01 to 100 end in an arrow.
    """
    rows: list[tuple[str, SubgroupEvaluation | None]] = []
    for column, by_label in by_column.items():
        rows.append((SUBGROUP_NAMES.get(column, column.capitalize()), None))
        rows.extend((_subgroup_name(column, label), subgroup) for label, subgroup in by_label.items())
    figure = Figure(figsize=(9.0, 0.24 * len(rows) + 1.2), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for ax, group, color in zip(axes, (ICT_PREFERRED, CCRT_PREFERRED), (SECOND, FIRST), strict=True):
        for at, (_, subgroup) in enumerate(rows):
            if subgroup is not None:
                _draw_forest_row(ax, len(rows) - at, subgroup.decision[group], color)
        ax.axvline(1, color=INK, linewidth=0.7)
        # Ratios: 0.5 and 2 are the same effect in opposite directions.
        ax.set_xscale("log")
        ax.set_xlim(*FOREST_ENDS)
        ax.set_xticks([0.02, 0.1, 1, 10, 50], ["0.02", "0.1", "1", "10", "50"])
        ax.minorticks_off()
        ax.set_ylim(0.3, len(rows) + 0.7)
        ax.set_title(group)
        ax.set_xlabel("Hazard ratio, ICT+CCRT against CCRT\n(left of 1: ICT+CCRT is better)")
        ax.spines["left"].set_visible(False)
        ax.tick_params(axis="y", length=0)
    axes[0].set_yticks([len(rows) - at for at in range(len(rows))], [name for name, _ in rows])
    for label, (_, subgroup) in zip(axes[0].get_yticklabels(), rows, strict=True):
        label.set_fontweight("bold" if subgroup is None else "normal")
    return figure


def _draw_forest_row(ax: Axes, y: float, groups: SurvivalComparison, color: str) -> None:
    text_at = 1.04
    n = f"n = {sum(groups.n)}"
    if groups.fit is None:
        ax.text(text_at, y, f"{n}, not estimable", transform=ax.get_yaxis_transform(), va="center", fontsize=7)
        return
    ratio = float(groups.fit.hazard_ratios[0])
    low, high = (float(end) for end in groups.fit.hazard_ratio_ci95[0])
    first, last = FOREST_ENDS
    ax.plot([max(low, first), min(high, last)], [y, y], color=color, linewidth=1.1, solid_capstyle="butt")
    for end, edge, mark in ((low, first, "<"), (high, last, ">")):
        # Small subgroups have intervals over several powers of ten; an arrow says that the interval goes on.
        if (end < edge) if mark == "<" else (end > edge):
            ax.plot([edge], [y], mark, color=color, markersize=4, clip_on=False)
    # The area grows with the events, since they and not the patients determine the precision.
    ax.plot([ratio], [y], "s", color=color, markersize=3 + 4 * np.sqrt(sum(groups.events)) / 12)
    text = f"{ratio:.2f} ({low:.2f} to {high:.2f}), {n}"
    ax.text(text_at, y, text, transform=ax.get_yaxis_transform(), va="center", fontsize=7)


def decision_curve_figure(curve: DecisionCurve) -> Figure:
    """Return net benefit over the risk threshold.

    Parameters
    ----------
    curve : DecisionCurve
        Of one or more rules.

    Returns
    -------
    Figure
        With the lines of acting on all and on no patient.
    """
    figure = Figure(figsize=(4.6, 3.4), layout="constrained")
    ax = figure.add_subplot()
    ax.plot(curve.thresholds, curve.treat_all, color=FAINT, linewidth=1.1, label="act on all")
    ax.axhline(0, color=INK, linewidth=0.9, label="act on none")
    for at, (name, values) in enumerate(curve.by_rule.items()):
        label, dash = MODEL_NAMES.get(name, name), DASHES[at % len(DASHES)]
        ax.plot(curve.thresholds, values, color=SERIES[at], linestyle=dash, linewidth=1.5, label=label)
    highest = max(float(values.max()) for values in (*curve.by_rule.values(), curve.treat_all))
    # Net benefit falls without limit for "act on all"; the cut keeps the useful part legible.
    ax.set(xlim=(0, float(curve.thresholds.max())), ylim=(-0.25 * highest, 1.15 * highest))
    ax.set_xlabel(f"Threshold of the risk of an event within {curve.horizon_days / DAYS_PER_MONTH:g} months")
    ax.set_ylabel("Net benefit")
    ax.legend(loc="upper right")
    return figure


def _subgroup_name(column: str, label: str) -> str:
    text = label.removeprefix(column).strip()
    return {"= 0": "no", "= 1": "yes"}.get(text, text.replace("<=", "≤"))
