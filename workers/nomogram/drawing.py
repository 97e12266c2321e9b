"""The nomogram as a picture, in the form of the paper's Figure 2a, with one patient drawn on it.

The arms differ in colour (Okabe-Ito, safe for colour-blind readers) and in marker, so that a grey print still
separates them. The patient's points and rates are in a column at the right, clear of the axis labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from config.errors import InputError
from config.indication.conventions import whole_years
from config.indication.vocabulary import TreatmentArm
from dicom_sr.page import glyphs
from dicom_sr.page.fonts import LATIN, chinese_font
from workers.nomogram.model import CoxNomogram
from workers.nomogram.points import AGE, EBV, FULL_SCALE, PREDICTIVE, PROGNOSTIC, pretty_step
from workers.nomogram.result import NomogramResult, month_key

Style = Literal["light", "dark"]
Language = Literal["en", "zh"]

LEFT, RIGHT, VALUES = 0.235, 0.845, 0.995  # of the axes' width: scales from LEFT to RIGHT, values end at VALUES
DFS_TICKS = (0.99, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05)
TICK = 0.011  # length of a tick, of the axes' height
CLOSEST_TICKS = 0.035  # distance of two ticks with numbers, of the axis of points


@dataclass(frozen=True)
class Palette:
    """Colours of one style: text and axes, background, faint lines, and each arm."""

    ink: str
    paper: str
    faint: str
    arms: dict[TreatmentArm, str]


PALETTES: dict[Style, Palette] = {
    "light": Palette("#1a1a1a", "#ffffff", "#9a9a9a", {TreatmentArm.ICT_CCRT: "#0072B2", TreatmentArm.CCRT: "#D55E00"}),
    "dark": Palette("#f2f2f2", "#000000", "#7d7d7d", {TreatmentArm.ICT_CCRT: "#56B4E9", TreatmentArm.CCRT: "#E69F00"}),
}
TICK_SIZE = 0.86  # of the text size
CLOSEST_NUMBERS = 0.009  # gap of two of them, of the axes' width
ASSUMED_MARKERS = ("<", ">")  # of the lower and the higher category of EBV DNA, where it is unknown
MARKERS = {TreatmentArm.ICT_CCRT: "o", TreatmentArm.CCRT: "s"}

WORDS: dict[Language, dict[str, str]] = {
    "en": {
        "points": "Points",
        "patient": "this patient",
        AGE: "Age (years)",
        PROGNOSTIC: "Prognostic-score",
        EBV: "EBV DNA (copies/mL)",
        PREDICTIVE: "Predictive-score",
        "with": "with {arm}",
        "total": "Total points",
        "dfs": "{years}-year DFS (%)",
        "dfs months": "{months}-month DFS (%)",
    },
    "zh": {
        "points": "分值",
        "patient": "本例",
        AGE: "年龄（岁）",
        PROGNOSTIC: "预后评分",
        EBV: "EBV DNA（拷贝/mL）",
        PREDICTIVE: "预测评分",
        "with": "{arm} 方案",
        "total": "总分",
        "dfs": "{years} 年无病生存率（%）",
        "dfs months": "{months} 个月无病生存率（%）",
    },
}


@dataclass(frozen=True)
class _Row:
    """One axis: tick labels at places in [0, 1] of the scale."""

    label: str
    places: Sequence[float]
    texts: Sequence[str]
    ends: tuple[float, float]
    minor: Sequence[float] = ()
    second_label: str = ""
    arm: TreatmentArm | None = None


def draw_nomogram(
    ax: Axes,
    nomogram: CoxNomogram,
    patient: NomogramResult | None = None,
    style: Style = "light",
    language: Language = "en",
    other_category: NomogramResult | None = None,
) -> None:
    """Draw the nomogram into axes, whose own frame is switched off.

    Parameters
    ----------
    ax : Axes
        Text is sized by its width: legible from about 5 inches (or 500 pixels at 100 dpi).
    nomogram : CoxNomogram
        Its axes and points.
    patient : NomogramResult, optional
        Its first patient is drawn with both arms; None draws the empty nomogram.
    style : {"light", "dark"}
        Palette.
    language : {"en", "zh"}
        Chinese falls back to English where no installed font has Chinese characters.
    other_category : NomogramResult, optional
        The same patient with the other category of EBV DNA, where it is unknown: drawn with hollow marks.

    References
    ----------
    Zhong et al. 2021, Figure 2a.
    """
    words, fonts = WORDS[language], [LATIN]
    if language == "zh":
        chinese = chinese_font()
        words, fonts = (words, [chinese]) if chinese else (WORDS["en"], fonts)
    horizons = patient.horizons_months if patient else nomogram.indication.horizons_months
    rows = _rows(nomogram, horizons, words)
    canvas = _Canvas(ax, PALETTES[style], fonts, len(rows))
    canvas.draw_rows(list(rows.values()))
    if patient is not None:
        canvas.text(VALUES, canvas.y(0), words["patient"], 0.9, ha="right", va="center")
        _draw_patient(canvas, list(rows), nomogram, patient, other_category)


@dataclass(frozen=True)
class PatientNomogram:
    """A nomogram with one patient, to be drawn later, perhaps in another process (it can be pickled)."""

    nomogram: CoxNomogram
    patient: NomogramResult
    language: Language
    other_category: NomogramResult | None = None

    def __call__(self, ax: Axes, style: Style) -> None:
        """Draw into axes in one style."""
        draw_nomogram(ax, self.nomogram, self.patient, style, self.language, self.other_category)


class _Canvas:
    """The axes with rows from top to bottom and a scale in [0, 1] across."""

    def __init__(self, ax: Axes, palette: Palette, fonts: list[str], n_rows: int) -> None:
        self.ax, self.palette, self.fonts = ax, palette, fonts
        self.pitch = 1.0 / n_rows
        box = ax.get_window_extent()
        width_inches = box.width / ax.figure.dpi
        height_inches = box.height / ax.figure.dpi
        # The page of a report and a window have different shapes; the smaller side decides, or labels would overlap.
        self.size = float(np.clip(min(width_inches * 1.2, height_inches * 2.3), 4.0, 12.0))
        self.width_points = width_inches * 72
        ax.set_xlim(0, 1)
        ax.set_ylim(0, 1)
        ax.set_axis_off()

    def y(self, row: int) -> float:
        return 1.0 - (row + 0.42) * self.pitch

    @staticmethod
    def x(place: float) -> float:
        return LEFT + (RIGHT - LEFT) * place

    def text(self, x: float, y: float, text: str, size: float = 1.0, color: str = "", **options: Any) -> None:
        # The patient's lines run through the labels of the axes; the halo keeps them legible.
        halo = [patheffects.withStroke(linewidth=self.size * 0.32, foreground=self.palette.paper)]
        self.ax.text(
            x, y, text, fontsize=self.size * size, color=color or self.palette.ink, family=self.fonts,
            path_effects=halo, zorder=3, **options,
        )  # fmt: skip

    def line(self, xs: Sequence[float], ys: Sequence[float], color: str, width: float, **options: Any) -> None:
        self.ax.plot(xs, ys, color=color, linewidth=width * self.size / 8, solid_capstyle="butt", **options)

    def draw_rows(self, rows: Sequence[_Row]) -> None:
        """Draw the empty axes; all lines are one artist, because each artist costs more time than a line."""
        lines = [line for at, row in enumerate(rows) for line in self.lines_of(at, row)]
        self.ax.add_collection(
            LineCollection(
                [ends for _, ends in lines], colors=self.palette.ink,
                linewidths=[width * self.size / 8 for width, _ in lines], zorder=2,
            ),
            autolim=False,
        )  # fmt: skip
        for at, row in enumerate(rows):
            self.label_row(at, row)

    def lines_of(self, at: int, row: _Row) -> Iterator[tuple[float, list[tuple[float, float]]]]:
        """Yield the width and the ends of each line of a row."""
        y = self.y(at)
        yield 0.9, [(self.x(row.ends[0]), y), (self.x(row.ends[1]), y)]
        for places, width, length in ((row.minor, 0.6, TICK * 0.6), (row.places, 0.8, TICK)):
            for place in places:
                yield width, [(self.x(place), y), (self.x(place), y - length)]

    def label_row(self, at: int, row: _Row) -> None:
        y = self.y(at)
        lift = 0.16 * self.pitch if row.second_label else 0.0
        self.text(0.0, y + lift, row.label, ha="left", va="center")
        if row.second_label:
            color = self.palette.arms[row.arm] if row.arm else self.palette.ink
            self.text(0.0, y - 0.24 * self.pitch, row.second_label, 0.9, color, ha="left", va="center")
        free_from = -1.0
        for place, text in sorted(zip(row.places, row.texts, strict=True)):
            # Of numbers that would touch the first is written; each keeps its tick.
            half = glyphs.width(text, self.size * TICK_SIZE, False, None) / self.width_points / 2
            if self.x(place) - half >= free_from:
                self.text(self.x(place), y - TICK * 1.35, text, TICK_SIZE, ha="center", va="top")
                free_from = self.x(place) + half + CLOSEST_NUMBERS

    def mark(
        self, row: int, place: float, arm: TreatmentArm | None, hollow: bool = False, shape: str | None = None
    ) -> None:
        """Draw the patient's mark on one axis; hollow where EBV DNA is unknown and the lower category is assumed."""
        color = self.palette.arms[arm] if arm else self.palette.ink
        shape = shape or (MARKERS[arm] if arm else "D")
        self.ax.plot(
            [self.x(place)], [self.y(row)], marker=shape, color=color, clip_on=False,
            markersize=self.size * 0.72, markeredgecolor=color if hollow else self.palette.ink, linestyle="", zorder=4,
            markerfacecolor=self.palette.paper if hollow else color, markeredgewidth=1.2 if hollow else 0.5,
        )  # fmt: skip

    def drop(self, top: int, bottom: int, place: float, arm: TreatmentArm | None) -> None:
        """Draw a vertical line of the patient between two rows."""
        color = self.palette.arms[arm] if arm else self.palette.faint
        self.line(
            [self.x(place)] * 2, [self.y(top), self.y(bottom)], color, 0.8 if arm is None else 1.1,
            linestyle=(0, (2, 2)) if arm is None else "-", alpha=0.9, zorder=1,
        )  # fmt: skip

    def value(self, row: int, text: str, arm: TreatmentArm | None = None, line: float = 0.0) -> None:
        color = self.palette.arms[arm] if arm else self.palette.ink
        self.text(VALUES, self.y(row) - line * self.pitch, text, 0.95, color, ha="right", va="center", weight="bold")


def _rows(nomogram: CoxNomogram, horizons: Sequence[float], words: dict[str, str]) -> dict[str, _Row]:
    """All rows from top to bottom, by name."""
    scale = nomogram.scale
    rows = {"points": _even_row(words["points"], FULL_SCALE, 10.0, 5.0)}
    for factor, step in ((AGE, 5.0), (PROGNOSTIC, 0.2)):
        values = _ticks(*scale.axis_ranges[factor], step)
        places = [scale.of_factor(factor, value) / FULL_SCALE for value in values]
        rows[factor] = _Row(words[factor], places, [_number(v) for v in values], (min(places), max(places)))
    ebv = [scale.of_factor(EBV, value) / FULL_SCALE for value in (0.0, 1.0)]
    biomarker = nomogram.indication.biomarker
    # The signs follow the rule in force: a patient at exactly the threshold belongs to one side only.
    low, high = ("<", "≥") if biomarker.threshold_inclusive else ("≤", ">")
    sides = [f"{sign} {biomarker.threshold:g}" for sign in (low, high)]
    rows[EBV] = _Row(words[EBV], ebv, sides, (min(ebv), max(ebv)))
    for arm in (TreatmentArm.CCRT, TreatmentArm.ICT_CCRT):
        # After a recalibration the effect of the treatment may be small and its axis short.
        for step in (0.2, 0.5, 1.0, 2.0):
            values = _ticks(*scale.axis_ranges[PREDICTIVE], step)
            places = [scale.of_predictive_score(arm, value) / FULL_SCALE for value in values]
            if abs(places[1] - places[0]) >= CLOSEST_TICKS:
                break
        under = words["with"].format(arm=arm.value)
        rows[f"{PREDICTIVE} {arm.value}"] = _Row(
            words[PREDICTIVE], places, [_number(v) for v in values], (min(places), max(places)), (), under, arm
        )
    longest = total_points_end(nomogram)
    rows["total"] = _even_row(words["total"], longest, 20.0, 10.0)
    for month in horizons:
        rows[f"dfs {month_key(month)}"] = _dfs_row(nomogram, month, longest, words)
    return rows


def total_points_end(nomogram: CoxNomogram) -> float:
    """Return the end of the total-points axis, in points."""
    return nomogram.scale.axis_ranges["total_points"][1]


def _dfs_row(nomogram: CoxNomogram, month: float, longest: float, words: dict[str, str]) -> _Row:
    hazard = float(nomogram.baseline_hazard([month])[0])
    places = {dfs: float(nomogram.scale.total(float(np.log(-np.log(dfs) / hazard)))) / longest for dfs in DFS_TICKS}
    # A low hazard puts the small rates beyond the highest total that a patient can reach.
    shown = {dfs: place for dfs, place in places.items() if 0.0 <= place <= 1.0}
    years = whole_years(month)
    label = words["dfs months"].format(months=month) if years is None else words["dfs"].format(years=years)
    return _Row(
        label, list(shown.values()), [_number(dfs * 100) for dfs in shown], (min(shown.values()), max(shown.values()))
    )


def _draw_patient(
    canvas: _Canvas, names: list[str], nomogram: CoxNomogram, patient: NomogramResult, other: NomogramResult | None
) -> None:
    row = {name: at for at, name in enumerate(names)}
    results = [patient] if other is None else [other, patient]
    for factor in (AGE, PROGNOSTIC, EBV):
        assumed = factor == EBV and other is not None
        points = [float(result.points[factor][0]) for result in (results if assumed else [patient])]
        # A category that nobody measured has an open triangle that points to its side, and no diamond.
        shapes = ASSUMED_MARKERS if assumed else ("D",)
        for value, shape in zip(points, shapes, strict=True):
            canvas.drop(row["points"], row[factor], value / FULL_SCALE, None)
            canvas.mark(row[factor], value / FULL_SCALE, None, assumed, shape)
            canvas.mark(row["points"], value / FULL_SCALE, None, assumed, shape)
        canvas.value(row[factor], " / ".join(f"{value:.1f}" for value in points))
    for arm, estimates in patient.arms.items():
        at = row[f"{PREDICTIVE} {arm.value}"]
        points_of_arm = float(estimates.predictive_points[0])
        canvas.drop(row["points"], at, points_of_arm / FULL_SCALE, arm)
        canvas.mark(at, points_of_arm / FULL_SCALE, arm)
        canvas.mark(row["points"], points_of_arm / FULL_SCALE, arm)
        canvas.value(at, f"{points_of_arm:.1f}", arm)
        _draw_totals(canvas, names, nomogram, results, arm)


def _draw_totals(
    canvas: _Canvas, names: list[str], nomogram: CoxNomogram, results: Sequence[NomogramResult], arm: TreatmentArm
) -> None:
    """Draw total points and rates of one regimen, of one category of EBV DNA or of both."""
    row = {name: at for at, name in enumerate(names)}
    longest, line = total_points_end(nomogram), 0.19 if arm is TreatmentArm.CCRT else -0.19
    totals = [float(result.arms[arm].total_points[0]) for result in results]
    for index, total in enumerate(totals):
        place = float(np.clip(total / longest, 0.0, 1.0))  # beyond the axis: mark at its end, number printed
        is_hollow = len(results) > 1 and index == 0
        canvas.drop(row["total"], row[names[-1]], place, arm)
        canvas.mark(row["total"], place, arm, is_hollow)
        for month in results[0].horizons_months:
            canvas.mark(row[f"dfs {month_key(month)}"], place, arm, is_hollow)
    canvas.value(row["total"], " / ".join(f"{total:.1f}" for total in totals), arm, line)
    for column, month in enumerate(results[0].horizons_months):
        rates = " / ".join(f"{100 * float(result.arms[arm].dfs[0, column]):.1f}" for result in results)
        canvas.value(row[f"dfs {month_key(month)}"], f"{rates} %", arm, line)


def _even_row(label: str, end: float, step: float, minor: float) -> _Row:
    values = np.arange(0.0, end + 1e-9, step)
    return _Row(
        label, list(values / end), [_number(v) for v in values], (0.0, 1.0), list(np.arange(0.0, end, minor) / end)
    )


def _ticks(low: float, high: float, step: float) -> list[float]:
    """Ticks of a factor's axis: every `step`, or fewer than 15 pretty ones."""
    if (high - low) / step > 15:
        step = pretty_step(low, high)
    return [round(low + i * step, 10) for i in range(round((high - low) / step) + 1)]


def _number(value: float) -> str:
    # Rounded first: `g` would print a tick that is 1e-17 in place of 0.
    return f"{round(value, 10):g}".replace("-", "\N{MINUS SIGN}")


def save_nomogram(
    path: Path, nomogram: CoxNomogram, patient: NomogramResult | None, style: Style = "light", language: Language = "en"
) -> None:
    """Draw the nomogram into a file.

    Parameters
    ----------
    path : Path
        The suffix chooses the format: .png (200 dpi), .pdf or .svg.
    nomogram : CoxNomogram
        Its axes and points.
    patient : NomogramResult or None
        None draws the empty nomogram.
    style : {"light", "dark"}
        Palette.
    language : {"en", "zh"}
        See `draw_nomogram`.

    Raises
    ------
    InputError
        Another suffix, or the file cannot be written.
    """
    if path.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise InputError(f"expected a file name ending in .png, .pdf or .svg, found {path.name}")
    figure = Figure(figsize=(9.0, 5.6), facecolor=PALETTES[style].paper)
    draw_nomogram(figure.add_axes((0.02, 0.02, 0.96, 0.96)), nomogram, patient, style, language)
    try:
        figure.savefig(path, dpi=200)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error
