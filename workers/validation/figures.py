"""The figures of an evaluation, in one style: PNG, PDF and SVG that a journal would take.

Colours are Okabe and Ito's, which colour-blind readers tell apart; lines differ in dash and marks in shape as well,
so a grey print loses nothing. Each function draws one figure from values that are already computed.
Source of the forms: Zhong et al., EBioMedicine 2021;70:103522, Figures 2-5.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from config.errors import InputError
from config.indication.conventions import DAYS_PER_MONTH
from workers.nomogram.drawing import draw_nomogram
from workers.nomogram.model import CoxNomogram
from workers.validation.calibration import Calibration
from workers.validation.decision_curve import DecisionCurve
from workers.validation.evaluation import Evaluation, ModelConcordance, PartEvaluation, SubgroupEvaluation
from workers.validation.survival_comparison import CCRT_PREFERRED, ICT_PREFERRED, SurvivalComparison

INK, FAINT = "#1a1a1a", "#b5b5b5"
FIRST, SECOND = "#D55E00", "#0072B2"  # CCRT, ICT+CCRT
LOW_RISK, HIGH_RISK = "#009E73", "#CC79A7"
SERIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
DASHES = ("-", (0, (5, 2)), (0, (1, 1.2)), "-.")
FOREST_ENDS = (0.01, 100.0)  # hazard ratios beyond them end in an arrow
FORMATS = ("png", "pdf", "svg")
YEAR_MONTHS = 12
LONGEST_MONTHS = 108
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.0,
    "axes.titlesize": 9.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.7,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "legend.frameon": False,
    "svg.hashsalt": "cptdn",
    "pdf.fonttype": 42,
}
ENDPOINT_NAMES = {
    "dfs": "Disease-free survival",
    "os": "Overall survival",
    "dmfs": "Distant metastasis-free survival",
    "lrrfs": "Locoregional relapse-free survival",
}
MODEL_NAMES = {
    "cptdn": "CPTDN",
    "clinical_all": "Clinical (all)",
    "clinical_ccrt": "Clinical (CCRT)",
    "clinical_ict_ccrt": "Clinical (ICT+CCRT)",
    "prognostic_score": "Prognostic-score",
    "clinical_prognostic_score": "Clinical + Prognostic-score",
    "scores": "Both scores",
}
COLUMN_NAMES = {
    "age_years": "Age (years)",
    "tumour_volume_ml": "Tumour volume (mL)",
    "field_strength_3t": "3 T",
    "crp_abnormal": "CRP abnormal",
    "smoking": "Smoking",
    "family_history": "Family history",
}


@dataclass(frozen=True)
class NamedFigure:
    """A figure with the name of its files and a sentence that says what it shows."""

    name: str
    caption: str
    figure: Figure


@contextmanager
def house_style() -> Iterator[None]:
    """matplotlib's settings for the time of drawing."""
    with matplotlib.rc_context(STYLE):
        yield


def figures_of(evaluation: Evaluation) -> list[NamedFigure]:
    """All figures of an evaluation, in the order of the report."""
    with house_style():
        found = [
            NamedFigure("nomogram", f"The nomogram: {evaluation.nomogram.name}.", nomogram_figure(evaluation.nomogram))
        ]
        for label, part in (evaluation.parts or {"": evaluation.whole}).items():
            found.extend(_part_figures(evaluation, label, part))
        if evaluation.subgroups:
            forest = forest_figure(evaluation.subgroups)
            caption = "Hazard ratio of ICT+CCRT against CCRT by subgroup, for the patients for whom each is preferred."
            found.append(NamedFigure("subgroups", caption, forest))
    return found


def _part_figures(evaluation: Evaluation, label: str, part: PartEvaluation) -> Iterator[NamedFigure]:
    suffix = f".{_slug(label)}" if label else ""
    who = f"{label} cohort, n = {part.n}" if label else f"n = {part.n}"
    endpoint = ENDPOINT_NAMES[evaluation.options.endpoint]
    risk = [(name if name != "all" else "all patients", groups) for name, groups in part.risk.items()]
    yield NamedFigure(
        f"risk_groups{suffix}",
        f"{endpoint} of high and low risk by total points (cut {evaluation.nomogram.mean_total_points:.1f}), {who}.",
        survival_figure(risk, endpoint, (LOW_RISK, HIGH_RISK)),
    )
    for threshold, groups in part.decision.items():
        percent = f"{100 * float(threshold):g} %"
        yield NamedFigure(
            f"decision_{threshold}{suffix}",
            f"{endpoint} by treatment, where each regimen is preferred (gain above {percent}), {who}.",
            survival_figure(list(groups.items()), endpoint),
        )
    if part.calibration:
        yield NamedFigure(
            f"calibration{suffix}",
            f"Observed against predicted disease-free survival in groups of equal size, with 95 % intervals, {who}.",
            calibration_figure(part.calibration),
        )
    if part.c_index_of_models:
        yield NamedFigure(
            f"c_index{suffix}",
            f"C-index with 95 % interval of the CPTDN and the models compared with it, {who}.",
            concordance_figure(part.c_index_of_models),
        )
    if part.net_benefit is not None:
        months = part.net_benefit.horizon_days / DAYS_PER_MONTH
        yield NamedFigure(
            f"decision_curve{suffix}",
            f"Net benefit of acting on the predicted risk within {months:g} months, {who}.",
            decision_curve_figure(part.net_benefit),
        )


def draw_evaluation(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Write every figure as PNG, PDF and SVG into a folder. Raises InputError where it cannot be written."""
    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for named in figures_of(evaluation):
            for suffix in FORMATS:
                path = folder / f"{named.name}.{suffix}"
                metadata = {"Date": None} if suffix == "svg" else {"CreationDate": None} if suffix == "pdf" else None
                with house_style():
                    named.figure.savefig(path, dpi=300, metadata=metadata)
                written.append(path)
    except OSError as error:
        raise InputError(f"cannot write the figures into {folder}: {error.strerror}") from error
    return written


def nomogram_figure(nomogram: CoxNomogram) -> Figure:
    figure = Figure(figsize=(7.2, 4.6))
    draw_nomogram(figure.add_axes((0.02, 0.02, 0.96, 0.96)), nomogram)
    return figure


def survival_figure(
    panels: Sequence[tuple[str, SurvivalComparison]], endpoint: str, colors: tuple[str, str] = (FIRST, SECOND)
) -> Figure:
    """Kaplan-Meier curves of two groups in each panel, with the numbers at risk below."""
    figure = Figure(figsize=(3.6 * len(panels), 3.5), layout="constrained")
    grid = figure.add_gridspec(2, len(panels), height_ratios=[5, 1], hspace=0.02)
    longest = max((curve.days[-1] for _, groups in panels for curve in groups.curves if curve), default=0.0)
    months = int(np.clip(np.ceil(longest / DAYS_PER_MONTH / YEAR_MONTHS) * YEAR_MONTHS, 12, LONGEST_MONTHS))
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
        x = np.concatenate(([0.0], curve.days / DAYS_PER_MONTH))
        low, high = (np.concatenate(([1.0], band)) for band in curve.interval_band())
        ax.fill_between(x, low, high, step="post", color=color, alpha=0.13, linewidth=0)
        y = np.concatenate(([1.0], curve.survival))
        ax.step(x, y, where="post", color=color, linestyle=DASHES[at], linewidth=1.4, label=groups.names[at])
        censored = curve.censored_days
        heights = curve.survival[np.searchsorted(curve.days, censored, side="right") - 1]
        ax.plot(censored / DAYS_PER_MONTH, heights, "|", color=color, markersize=2.6, markeredgewidth=0.5)
    ax.set_xlim(0, months)
    ax.set_ylim(0, 1.02)
    ax.set_xticks(range(0, months + 1, YEAR_MONTHS))
    ax.tick_params(labelbottom=False)
    ax.legend(loc="lower left", bbox_to_anchor=(0.0, 0.13), handlelength=2.2, borderaxespad=0.3)
    ax.text(0.02, 0.03, comparison_text(groups), transform=ax.transAxes, fontsize=7.5, va="bottom")


def comparison_text(groups: SurvivalComparison) -> str:
    """Hazard ratio and log-rank p in one or two lines."""
    p = f"log-rank {p_text(groups.log_rank.p)}" if groups.log_rank else "log-rank not defined"
    if groups.fit is None:
        return f"HR not estimable ({groups.reason})\n{p}" if groups.reason else p
    low, high = groups.fit.hazard_ratio_ci95[0]
    return f"HR {groups.fit.hazard_ratios[0]:.2f} (95 % CI {low:.2f} to {high:.2f})\n{p}"


def p_text(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _draw_at_risk(ax: Axes, groups: SurvivalComparison, months: int, colors: tuple[str, str]) -> None:
    ticks = range(0, months + 1, YEAR_MONTHS)
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


def calibration_figure(by_month: Mapping[float, Calibration]) -> Figure:
    """Observed against predicted survival at each horizon."""
    figure = Figure(figsize=(3.6 * len(by_month), 3.5), layout="constrained")
    lowest = min(min(g.predicted, g.ci95[0] if g.ci95 else g.observed) for c in by_month.values() for g in c.groups)
    edge = max(0.0, np.floor(lowest * 10) / 10)
    for column, (month, found) in enumerate(by_month.items()):
        ax = figure.add_subplot(1, len(by_month), column + 1)
        ax.plot([edge, 1], [edge, 1], color=FAINT, linewidth=0.9, linestyle=(0, (4, 2)), label="ideal")
        x = np.array([group.predicted for group in found.groups])
        y = np.array([group.observed for group in found.groups])
        ends = [group.ci95 or (group.observed, group.observed) for group in found.groups]
        errors = np.abs(np.array(ends).T - y)
        ax.errorbar(
            x, y, yerr=errors, color=SECOND, marker="o", markersize=4, linewidth=1.2, capsize=2.5, elinewidth=0.8
        )
        test = found.hosmer_lemeshow()
        means = f"mean predicted {found.mean_predicted:.3f}, observed {found.observed:.3f}"
        text = f"Hosmer-Lemeshow {p_text(test.p)}\n{means}"
        ax.text(0.03, 0.97, text, transform=ax.transAxes, ha="left", va="top", fontsize=7.5)
        ax.set(xlim=(edge, 1.01), ylim=(edge, 1.01), xlabel="Predicted", title=f"{month:g} months")
        ax.set_aspect("equal")
        if column == 0:
            ax.set_ylabel("Observed (Kaplan-Meier)")
    return figure


def concordance_figure(by_model: Mapping[str, Mapping[str, ModelConcordance]]) -> Figure:
    """Bars of the C-index with intervals: models along the axis, arms side by side."""
    figure = Figure(figsize=(7.2, 3.4), layout="constrained")
    ax = figure.add_subplot()
    arms = list(next(iter(by_model.values())))
    width = 0.8 / len(arms)
    for at, arm in enumerate(arms):
        x = np.arange(len(by_model)) + (at - (len(arms) - 1) / 2) * width
        found = [by_arm[arm].noether for by_arm in by_model.values()]
        values = np.array([c.value for c in found])
        errors = np.array([np.abs(np.array(c.ci95) - c.value) for c in found]).T
        color = ("#999999", FIRST, SECOND)[at % 3]
        ax.bar(x, values, width * 0.92, color=color, alpha=0.85, label="all patients" if arm == "all" else arm)
        ax.errorbar(x, values, yerr=errors, fmt="none", ecolor=INK, elinewidth=0.8, capsize=2)
        for place, value, error in zip(x, values, errors[1], strict=True):
            if np.isfinite(value):
                ax.text(place, min(value + error, 1.0) + 0.008, f"{value:.2f}", ha="center", va="bottom", fontsize=6.5)
    ax.set_xticks(
        range(len(by_model)),
        [MODEL_NAMES.get(name, name).replace(" (", "\n(").replace(" + ", " +\n") for name in by_model],
    )
    ax.set_ylim(0.4, 1.06)
    ax.axhline(0.5, color=FAINT, linewidth=0.8, linestyle=(0, (4, 2)))
    ax.set_ylabel("C-index")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, 1.14), ncols=len(arms))
    return figure


def forest_figure(by_column: Mapping[str, Mapping[str, SubgroupEvaluation]]) -> Figure:
    """Hazard ratios of the treatment by subgroup, ICT-preferred and CCRT-preferred patients beside each other."""
    rows: list[tuple[str, SubgroupEvaluation | None]] = []
    for column, by_label in by_column.items():
        rows.append((COLUMN_NAMES.get(column, column.capitalize()), None))
        rows.extend((_subgroup_name(column, label), found) for label, found in by_label.items())
    figure = Figure(figsize=(9.0, 0.24 * len(rows) + 1.2), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for ax, group, color in zip(axes, (ICT_PREFERRED, CCRT_PREFERRED), (SECOND, FIRST), strict=True):
        for at, (_, found) in enumerate(rows):
            if found is not None:
                _draw_forest_row(ax, len(rows) - at, found.decision[group], color)
        ax.axvline(1, color=INK, linewidth=0.7)
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
    for label, (_, found) in zip(axes[0].get_yticklabels(), rows, strict=True):
        label.set_fontweight("bold" if found is None else "normal")
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
        if (end < edge) if mark == "<" else (end > edge):
            ax.plot([edge], [y], mark, color=color, markersize=4, clip_on=False)
    ax.plot([ratio], [y], "s", color=color, markersize=3 + 4 * np.sqrt(sum(groups.events)) / 12)
    text = f"{ratio:.2f} ({low:.2f} to {high:.2f}), {n}"
    ax.text(text_at, y, text, transform=ax.get_yaxis_transform(), va="center", fontsize=7)


def decision_curve_figure(found: DecisionCurve) -> Figure:
    """Net benefit over the threshold of risk."""
    figure = Figure(figsize=(4.6, 3.4), layout="constrained")
    ax = figure.add_subplot()
    ax.plot(found.thresholds, found.treat_all, color=FAINT, linewidth=1.1, label="act on all")
    ax.axhline(0, color=INK, linewidth=0.9, label="act on none")
    for at, (name, values) in enumerate(found.by_rule.items()):
        label, dash = MODEL_NAMES.get(name, name), DASHES[at % len(DASHES)]
        ax.plot(found.thresholds, values, color=SERIES[at], linestyle=dash, linewidth=1.5, label=label)
    highest = max(float(values.max()) for values in (*found.by_rule.values(), found.treat_all))
    ax.set(xlim=(0, float(found.thresholds.max())), ylim=(-0.25 * highest, 1.15 * highest))
    ax.set_xlabel(f"Threshold of the risk of an event within {found.horizon_days / DAYS_PER_MONTH:g} months")
    ax.set_ylabel("Net benefit")
    ax.legend(loc="upper right")
    return figure


def _subgroup_name(column: str, label: str) -> str:
    text = label.removeprefix(column).strip()
    return {"= 0": "no", "= 1": "yes"}.get(text, text.replace("<=", "≤"))


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_") or "cohort"
