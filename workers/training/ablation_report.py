"""The result of an ablation as a table (CSV), a figure and JSON."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from workers.training.ablation import AblationArmResult, AblationResult
from workers.validation.figure_style import FAINT, FORMATS, INK, SECOND, house_style

NAME = "ablation"
CHOICE_NAMES = {
    "pooling": "Pooling",
    "normalisation": "Normalisation",
    "variant": "Network",
    "schedule": "Schedule",
    "augmentation": "Augmentation",
    "transfer": "Transfer from CE-T1w",
}
VALUE_NAMES = {
    "n4_landmarks": "N4, landmarks",
    "z_score": "z-score",
    "one_cycle": "one cycle",
    "bottleneck": "bottleneck 3-4-3",
    "paper": "the paper's",
}


def shown_name(result: AblationArmResult) -> str:
    """Return the name of an arm as tables and figures show it."""
    arm = result.arm
    if not arm.choice:
        return "Reference"
    return f"{CHOICE_NAMES[arm.choice]}: {VALUE_NAMES.get(arm.value, arm.value)}"


def write_ablation(result: AblationResult, folder: Path) -> list[Path]:
    """Write ablation.json, .csv, .png, .pdf and .svg into a folder and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / f"{NAME}.json", folder / f"{NAME}.csv"]
    written[0].write_text(json.dumps(result.to_json(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    _write_table(result, written[1])
    with house_style():
        figure = ablation_figure(result)
        for suffix in FORMATS:
            path = folder / f"{NAME}.{suffix}"
            figure.savefig(path, dpi=200, metadata={"Date": None} if suffix == "svg" else None)
            written.append(path)
    return written


def _write_table(result: AblationResult, path: Path) -> None:
    rows = [_table_row(arm) for arm in result.arms]
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _table_row(result: AblationArmResult) -> dict[str, Any]:
    value, (low, high) = result.c_index
    different, truth = result.difference, result.truth or {}
    agreement = truth.get("ci95") or (None, None)
    return {
        "choice": result.arm.choice or "reference",
        "value": result.arm.value,
        "c_index": value,
        "c_index_low": low,
        "c_index_high": high,
        "difference": different and different.value,
        "difference_low": different and different.ci95[0],
        "difference_high": different and different.ci95[1],
        "verdict": result.verdict,
        "agreement": truth.get("agreement"),
        "agreement_low": agreement[0],
        "agreement_high": agreement[1],
        "seconds": round(result.seconds, 1),
    }


def ablation_figure(result: AblationResult) -> Figure:
    """Return a figure with one row per arm: C-index, difference from the reference, agreement with a known truth."""
    known = result.arms[0].truth is not None
    n = len(result.arms)
    figure = Figure(figsize=(9.6 if known else 7.2, 0.42 * n + 1.25), layout="constrained")
    axes: list[Axes] = list(figure.subplots(1, 3 if known else 2, sharey=True))
    for at, arm in enumerate(result.arms):
        y = n - at
        value, ci95 = arm.c_index
        _row(axes[0], y, value, ci95, [c.value for c in arm.concordance])
        if arm.difference is not None:
            _row(axes[1], y, arm.difference.value, arm.difference.ci95, signed=True)
        if known and arm.truth and arm.truth["agreement"] is not None:
            _row(axes[2], y, arm.truth["agreement"], tuple(arm.truth["ci95"]))
    axes[0].set_title("C-index, out of fold")
    axes[1].set_title("Difference from the reference")
    axes[1].axvline(0, color=INK, linewidth=0.7, zorder=0)
    if result.oracle is not None:
        axes[0].axvline(result.oracle, color=FAINT, linewidth=1.0, linestyle=(0, (4, 2)), zorder=0)
        axes[0].annotate(
            "oracle",
            (result.oracle, 0.42),
            xytext=(-3, 0),
            textcoords="offset points",
            ha="right",
            fontsize=6.5,
            color="#707070",
        )
    if known:
        axes[2].set_title("Agreement with the truth")
    for ax in axes:
        ax.xaxis.set_major_locator(MaxNLocator(5))
        ax.set_ylim(0.3, n + 0.6)
        ax.margins(x=0.08)
        ax.spines["left"].set_visible(False)
        ax.tick_params(axis="y", length=0)
    axes[0].set_yticks([n - at for at in range(n)], [shown_name(arm) for arm in result.arms])
    repeats = f"{result.n_repeats} repeats (rings)" if result.n_repeats > 1 else "1 repeat"
    figure.supxlabel(
        f"{result.n} patients, {result.n_events} events; {result.n_folds} folds, {repeats}; bars: 95 % intervals over "
        "patients, not over first weights",
        fontsize=7,
    )
    return figure


def _row(
    ax: Axes,
    y: float,
    value: float,
    ci95: tuple[float, ...],
    repeats: Sequence[float] = (),
    signed: bool = False,
) -> None:
    """Draw a mark with its interval, and each of several repeats as a small ring."""
    if not np.isfinite(value):
        return
    ax.plot(ci95, [y, y], color=SECOND, linewidth=1.2, solid_capstyle="butt")
    ax.plot([value], [y], "s", color=SECOND, markersize=4.5)
    if len(repeats) > 1:
        ax.plot(repeats, [y - 0.22] * len(repeats), "o", mfc="none", mec=INK, mew=0.6, markersize=3)
    ax.annotate(
        (f"{value:+.3f}" if signed else f"{value:.3f}").replace("-", "\N{MINUS SIGN}"),
        (value, y),
        xytext=(0, 6),
        textcoords="offset points",
        ha="center",
        va="bottom",
        fontsize=6.5,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
    )
