"""The picture: every label inside, none on top of another, the patient's marks where the ruler says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from config.errors import InputError
from config.indication.vocabulary import TreatmentArm
from config.settings import BUNDLES
from tests.peers import chinese_font
from workers.nomogram.drawing import LEFT, PALETTES, RIGHT, Language, Style, draw_nomogram, save_nomogram
from workers.nomogram.nomogram_file import load_nomogram
from workers.nomogram.recalibration import Recalibration, recalibrated
from workers.survival.covariates import PatientCovariates

NOMOGRAM = load_nomogram(BUNDLES / "demonstration")
EXAMPLE = NOMOGRAM.score(PatientCovariates(40, True, 0.0, -0.4))


@pytest.mark.parametrize("style", ["light", "dark"])
@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("size", [(9.0, 5.6), (6.0, 3.8), (10.24, 7.0)])
def test_no_label_leaves_the_axes_or_covers_another(
    style: Style, language: Language, size: tuple[float, float]
) -> None:
    if language == "zh":
        chinese_font()
    figure = Figure(figsize=size, dpi=100)
    canvas = FigureCanvasAgg(figure)
    ax = figure.add_axes((0.02, 0.02, 0.96, 0.96))
    draw_nomogram(ax, NOMOGRAM, EXAMPLE, style, language)
    canvas.draw()
    assert_legible(ax, size)


def test_short_axes_have_fewer_numbers() -> None:
    """A recalibration that found no effect of the treatment leaves two axes of a seventh of the width."""
    size = (9.0, 5.6)
    without = recalibrated(NOMOGRAM, Recalibration(0.0, 1.0, 0.0, np.zeros((3, 3))), "a test", 0.0)
    figure = Figure(figsize=size, dpi=100)
    canvas = FigureCanvasAgg(figure)
    ax = figure.add_axes((0.02, 0.02, 0.96, 0.96))
    draw_nomogram(ax, without, without.score(PatientCovariates(40, True, 0.0, -0.4)))
    canvas.draw()
    assert_legible(ax, size)


def assert_legible(ax: Axes, size: tuple[float, float]) -> None:
    boxes = [(text.get_text(), text.get_window_extent()) for text in ax.texts]
    for text, box in boxes:
        assert box.x0 >= 0, text
        assert box.x1 <= size[0] * 100, text
        assert box.y0 >= 0, text
    overlapping = [
        (one, other)
        for at, (one, box) in enumerate(boxes)
        for other, second in boxes[at + 1 :]
        if box.x0 < second.x1 - 0.5 and second.x0 < box.x1 - 0.5 and box.y0 < second.y1 - 3 and second.y0 < box.y1 - 3
    ]
    assert overlapping == []


def test_marks_stand_where_the_ruler_says() -> None:
    """Fig. 2 of the paper: 70.0 points for CCRT of 100; totals 122.6 and 148.2 of 240."""
    figure = Figure(figsize=(9, 5.6))
    ax = figure.add_axes((0, 0, 1, 1))
    draw_nomogram(ax, NOMOGRAM, EXAMPLE)
    places: dict[str, set[float]] = {}
    for line in ax.lines:
        if line.get_marker() in ("o", "s"):
            x = (np.asarray(line.get_xdata())[0] - LEFT) / (RIGHT - LEFT)
            places.setdefault(str(line.get_color()), set()).add(round(float(x), 6))
    colors = PALETTES["light"].arms
    assert places[colors[TreatmentArm.CCRT]] == {0.7, round(148.17553934967765 / 240, 6)}
    assert places[colors[TreatmentArm.ICT_CCRT]] == {round(0.44457972830706396, 6), round(122.63351218038405 / 240, 6)}


def test_empty_nomogram_has_no_patient() -> None:
    figure = Figure(figsize=(9, 5.6))
    ax = figure.add_axes((0, 0, 1, 1))
    draw_nomogram(ax, NOMOGRAM)
    assert all(line.get_marker() in (None, "None", "") for line in ax.lines)


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_saved_in_each_format(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"nomogram.{suffix}"
    save_nomogram(path, NOMOGRAM, EXAMPLE)
    begins = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}
    assert path.read_bytes().startswith(begins[suffix])


def test_other_formats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.png, \.pdf or \.svg"):
        save_nomogram(tmp_path / "nomogram.bmp", NOMOGRAM, None)
