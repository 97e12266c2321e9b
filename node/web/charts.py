"""Small charts as SVG, from numbers that a view has; colours and strokes are in static/style.css."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from config.indication.conventions import MONTHS_PER_YEAR
from config.indication.vocabulary import TreatmentArm

WIDTH, HEIGHT = 640, 340
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 52
ARM_CLASSES = {TreatmentArm.ICT_CCRT.value: "ict", TreatmentArm.CCRT.value: "ccrt"}


def rate_bar(arm: str, value: float, ci95: Sequence[float] | None) -> Markup:
    """Draw a rate with its interval on a scale from 0 to 100 %, beside the printed number.

    Parameters
    ----------
    arm : str
        "ICT+CCRT" (circle) or "CCRT" (square).
    value : float
        The rate in [0, 1].
    ci95 : sequence of two floats, optional
        Its 95 % interval in [0, 1].

    Returns
    -------
    Markup
        SVG, hidden from screen readers, which read the number.
    """
    kind, low_end, length = ARM_CLASSES[arm], 5, 110
    at = low_end + length * value
    lines = [
        '<svg class="rate" viewBox="0 0 120 20" aria-hidden="true" focusable="false">',
        '<path class="scale" d="M5 10H115M5 6V14M60 7V13M115 6V14"/>',
    ]
    if ci95 is not None:
        low, high = (low_end + length * end for end in ci95)
        lines.append(
            f'<path class="interval {kind}" d="M{low:.1f} 10H{high:.1f}M{low:.1f} 5.5V14.5M{high:.1f} 5.5V14.5"/>'
        )
    lines.append(_mark(kind, at, 10))
    return Markup("".join([*lines, "</svg>"]))  # noqa: S704 - numbers and our own class names only


def survival_curves(
    months: Sequence[float],
    arms: Mapping[str, Sequence[float]],
    horizons: Sequence[int],
    x_label: str,
    y_label: str,
    title: str,
) -> Markup:
    """Draw the survival curves of both arms as steps, with the arms' names at their ends.

    Parameters
    ----------
    months : sequence of float, (n,)
        Times since diagnosis in months, increasing from 0.
    arms : mapping of str to sequence of float, (n,)
        Disease-free survival in [0, 1] of each arm.
    horizons : sequence of int
        Months with a vertical line and marks.
    x_label, y_label, title : str
        Texts in the language of the page; they are escaped.

    Returns
    -------
    Markup
        SVG with the title for screen readers.
    """
    longest = months[-1]

    def x(month: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * month / longest

    def y(dfs: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - dfs)

    parts = [f'<svg class="curves" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{Markup.escape(title)}">']
    for tick in range(0, 101, 20):
        parts.append(f'<path class="grid" d="M{LEFT} {y(tick / 100):.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 6}" y="{y(tick / 100) + 4:.1f}" text-anchor="end">{tick}</text>')
    for tick in range(0, int(longest) + 1, MONTHS_PER_YEAR):
        parts.append(
            f'<text class="tick" x="{x(tick):.1f}" y="{HEIGHT - BOTTOM + 19}" text-anchor="middle">{tick}</text>'
        )
    for month in horizons:
        if month <= longest:
            parts.append(f'<path class="horizon" d="M{x(month):.1f} {TOP}V{HEIGHT - BOTTOM}"/>')
    ends: dict[str, float] = {}
    for arm, values in arms.items():
        line = f"M{x(months[0]):.1f} {y(values[0]):.1f}" + "".join(
            f"H{x(month):.1f}V{y(dfs):.1f}" for month, dfs in zip(months[1:], values[1:], strict=True)
        )
        parts.append(f'<path class="curve {ARM_CLASSES[arm]}" d="{line}"/>')
        for month in horizons:
            if month in months:
                at = values[months.index(month)]
                parts.append(_mark(ARM_CLASSES[arm], x(month), y(at)))
        ends[arm] = values[-1]
    for arm, end in ends.items():
        # The name of the upper curve above it and that of the lower one below, so that neither is crossed by a line.
        higher = end >= max(ends.values())
        place = y(end) + (-8 if higher else 18)
        parts.append(
            f'<text class="name {ARM_CLASSES[arm]}" x="{WIDTH - RIGHT - 2}" y="{place:.1f}" text-anchor="end">'
            f"{arm}</text>"
        )
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(
        f'<text class="axis" x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">{Markup.escape(x_label)}</text>'
    )
    parts.append(
        f'<text class="axis y" transform="translate(12 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" '
        f'text-anchor="middle">{Markup.escape(y_label)}</text>'
    )
    return Markup("".join([*parts, "</svg>"]))  # noqa: S704 - numbers, escaped labels, our own class names


def _mark(kind: str, x: float, y: float) -> str:
    if kind == "ict":
        return f'<circle class="mark {kind}" cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>'
    return f'<rect class="mark {kind}" x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8"/>'


def quantile_strip(training: Sequence[float], incoming: Sequence[float]) -> Markup:
    """Draw the quantiles of a quantity in training (above) and in incoming studies (below).

    Parameters
    ----------
    training, incoming : sequence of float, (5,)
        Quantiles 10, 25, 50, 75 and 90 %; `incoming` is empty when there are too few studies.

    Returns
    -------
    Markup
        SVG: 10 to 90 % thin, 25 to 75 % thick, the median as a vertical line.
    """
    ends = [*training, *incoming]
    low, high = min(ends), max(ends)
    span = (high - low) or 1.0

    def x(value: float) -> float:
        return 6 + 228 * (value - low) / span

    parts = ['<svg class="strip" viewBox="0 0 240 44" aria-hidden="true" focusable="false">']
    for row, (name, values) in enumerate((("training", training), ("incoming", incoming))):
        if not values:
            continue
        y = 12 + 20 * row
        p10, p25, p50, p75, p90 = (x(value) for value in values)
        parts.append(f'<path class="thin {name}" d="M{p10:.1f} {y}H{p90:.1f}"/>')
        parts.append(f'<path class="thick {name}" d="M{p25:.1f} {y}H{p75:.1f}"/>')
        parts.append(f'<path class="median" d="M{p50:.1f} {y - 7}V{y + 7}"/>')
    return Markup("".join([*parts, "</svg>"]))  # noqa: S704 - numbers and our own class names only


def course(values: Sequence[float]) -> Markup:
    """Draw a validation metric over the steps of a training, scaled from its least to its highest value.

    Parameters
    ----------
    values : sequence of float, (n_steps,)
        The metric after each step; fewer than two give no chart.

    Returns
    -------
    Markup
        SVG, or an empty string.
    """
    if len(values) < 2:
        return Markup("")
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    step = 150 / (len(values) - 1)
    places = " ".join(f"{4 + i * step:.1f},{36 - 30 * (value - low) / span:.1f}" for i, value in enumerate(values))
    return Markup(  # noqa: S704 - numbers only
        '<svg class="course" viewBox="0 0 158 40" aria-hidden="true" focusable="false">'
        f'<polyline points="{places}"/></svg>'
    )
