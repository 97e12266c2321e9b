"""Flow of the patients through the analyses, after the diagram of CONSORT."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from workers.validation.analysed_patients import AnalysedPatients
from workers.validation.figure_style import FAINT, INK

WIDTH = 52
"""Characters of a line in a box."""


def flow_figure(title: str, n_by_arm: Sequence[tuple[str, int]], analyses: Sequence[AnalysedPatients]) -> Figure:
    """Return all patients at the top, one box for each analysis, and beside it who was left out and why.

    Parameters
    ----------
    title : str
        Of the first box: all patients with their events.
    n_by_arm : sequence of (str, int)
        Arms with their patients.
    analyses : sequence of AnalysedPatients
        From top to bottom.

    Returns
    -------
    Figure
        As high as it has analyses.
    """
    height = 0.62
    figure = Figure(figsize=(8.6, height * (len(analyses) + 1.7)), layout="constrained")
    ax = figure.add_subplot()
    bottom = -len(analyses) - 0.6
    ax.set(xlim=(0, 10), ylim=(bottom, 1.1))
    ax.axis("off")
    arms = ", ".join(f"{name} {n}" for name, n in n_by_arm)
    _box(ax, 0.2, 0.5, 5.4, f"{title}\n{arms}", bold=True)
    ax.plot([0.45, 0.45], [0.12, -len(analyses)], color=INK, linewidth=0.8)
    for at, each in enumerate(analyses, start=1):
        ax.annotate("", (0.8, -at), (0.45, -at), arrowprops={"arrowstyle": "-|>", "color": INK, "linewidth": 0.8})
        _box(ax, 0.8, -at, 4.8, f"{textwrap.fill(each.analysis, WIDTH)}\nn = {each.n}, {each.n_events} events")
        if each.left_out:
            reasons = "; ".join(f"{n}: {reason}" for reason, n in each.left_out.items())
            ax.annotate("", (6.1, -at), (5.6, -at), arrowprops={"arrowstyle": "-|>", "color": FAINT, "linewidth": 0.8})
            _box(ax, 6.1, -at, 3.8, textwrap.fill(f"left out: {reasons}", 42), faint=True)
    return figure


def _box(ax: Axes, x: float, y: float, width: float, text: str, *, bold: bool = False, faint: bool = False) -> None:
    edge = FAINT if faint else INK
    ax.add_patch(Rectangle((x, y - 0.4), width, 0.8, facecolor="white", edgecolor=edge, linewidth=0.8))
    ax.text(x + 0.12, y, text, va="center", fontsize=7, fontweight="bold" if bold else "normal")
