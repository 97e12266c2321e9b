"""One picture a benchmark: ratios against their goals, and how costs grow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

MET, MISSED, GREY = "#2a7f62", "#c0504d", "#8a8f98"


def draw(document: dict[str, Any], path: Path) -> None:
    """Draw one result document as a PNG."""
    figures = {name: one for name, one in document["figures"].items() if one["unit"] not in ("ratio",)}
    units = list(dict.fromkeys(one["unit"] for one in figures.values()))
    panels = len(units) + bool(document["curve"])
    if not panels:
        return
    rows = [max(2, sum(one["unit"] == unit for one in figures.values())) for unit in units]
    rows += [7] * bool(document["curve"])
    figure = Figure(figsize=(10, 1.6 + 0.42 * sum(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(panels, 1, squeeze=False, gridspec_kw={"height_ratios": rows})[:, 0]
    for ax, unit in zip(axes, units, strict=False):
        _bars(ax, {name: one for name, one in figures.items() if one["unit"] == unit}, unit)
    if document["curve"]:
        _curves(axes[-1], document["curve"])
    met = sum(one["holds"] for one in document["goals"].values())
    machine = document["machine"]
    figure.suptitle(
        f"{document['benchmark']}: {met} of {len(document['goals'])} goals hold\n"
        f"{machine['processor']}, {machine['cores']} cores; load {document['load']['at_start'][0]:.1f}",
        fontsize=10,
    )
    figure.savefig(path, dpi=110)


def _bars(ax: Any, figures: dict[str, dict[str, Any]], unit: str) -> None:
    """Medians as bars, the lowest and highest as whiskers."""
    names = list(figures)[::-1]
    medians = [figures[name]["median"] for name in names]
    whiskers = [
        [max(0.0, figures[name]["median"] - figures[name]["low"]) for name in names],
        [max(0.0, figures[name]["high"] - figures[name]["median"]) for name in names],
    ]
    colours = [MET if name.startswith("ours") else GREY for name in names]
    ax.barh(names, medians, xerr=whiskers, color=colours, ecolor="#444444", height=0.65, capsize=2)
    ax.set_xlabel(unit, fontsize=8)
    ax.tick_params(labelsize=8)
    ax.spines[["top", "right"]].set_visible(False)
    for at, value in enumerate(medians):
        ax.annotate(f" {value:g}", (0, at), fontsize=8, va="center", color="white")


def _curves(ax: Any, curves: dict[str, dict[str, float]]) -> None:
    """Costs by size, both axes logarithmic: a straight line of slope one is linear growth."""
    for name, points in curves.items():
        sizes = [float(size) for size in points]
        (line,) = ax.plot(sizes, list(points.values()), marker="o", label=name)
        first = next(iter(points.values()))
        linear = [first * size / sizes[0] for size in sizes]
        ax.plot(sizes, linear, linestyle=":", linewidth=1, color=line.get_color())
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.legend(fontsize=8, frameon=False, title="dotted: linear", title_fontsize=7)
    ax.tick_params(labelsize=8)
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
