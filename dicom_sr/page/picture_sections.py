"""The sections of the pages with pictures: slices with contour and attribution, and the caller's nomogram."""

from __future__ import annotations

from typing import Any

import numpy as np
from contourpy import contour_generator
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection

from dicom_sr.page.boxes import Box
from dicom_sr.page.canvas import WIDTH, PageCanvas
from dicom_sr.page.page_words import page_words
from dicom_sr.report import numbers
from dicom_sr.report.plain_text import regimen_name
from dicom_sr.report.report_inputs import PagePictures, SequencePicture, Style
from dicom_sr.report.treatment_report import TreatmentReport
from dicom_sr.report.wording import Wording

CAPTION = 15.0
LEGEND_HEIGHT = 24.0


def main_pictures(pictures: PagePictures) -> tuple[SequencePicture | None, SequencePicture | None]:
    """Return the two slices that the first page shows.

    Parameters
    ----------
    pictures : PagePictures
        With one slice of each kind for each sequence, or without any.

    Returns
    -------
    pair of SequencePicture or None
        Largest section of the tumour, and the slice that the network weighed most, of the sequence that is listed last.
    """
    largest = pictures.largest[-1] if pictures.largest else None
    weighed = pictures.sequences[-1] if pictures.sequences else None
    return largest, weighed


def main_slices(canvas: PageCanvas, box: Box, pictures: PagePictures, words: Wording) -> None:
    """Draw the largest section and the slice that weighed most of one sequence, side by side.

    Parameters
    ----------
    canvas : PageCanvas
        The page.
    box : Box
        At least 120 units high.
    pictures : PagePictures
        With at least one slice.
    words : Wording
        Wording of the language.
    """
    largest, weighed = main_pictures(pictures)
    on_page = page_words(words)
    kinds = ((largest, on_page.largest, False), (weighed, on_page.weighed_most_short, True))
    shown = [(picture, kind, heat) for picture, kind, heat in kinds if picture is not None]
    if weighed is not None and weighed.attribution_yx is not None:
        if box.height > box.width * 0.7:  # on paper there is more room below
            side, captions = (box.width - 10) / len(shown), 2 * canvas.line_height(CAPTION)
            box, below = box.split(min(box.height - 60, side + captions))
        else:
            box, below = box.beside(box.width * 0.7, 10)
        legend(canvas, below, words, stacked=True)
    for cell, (picture, kind, heat) in zip(box.columns(len(shown), 10), shown, strict=True):
        slice_with_caption(canvas, cell, picture, kind, heat, words)


def all_slices(canvas: PageCanvas, box: Box, pictures: PagePictures, words: Wording) -> None:
    """Draw of every sequence the largest section, the slice that weighed most, and its attribution map.

    Parameters
    ----------
    canvas : PageCanvas
        The page.
    box : Box
        Is divided into one column per sequence.
    pictures : PagePictures
        With at least one slice.
    words : Wording
        Wording of the language.
    """
    on_page = page_words(words)
    heading = on_page.slices_title if pictures.sequences else on_page.slices_title_largest
    canvas.fitted(box, box.y, heading, 17, bold=True, smallest=12)
    body = box.split(canvas.line_height(17) + 2)[1]
    if any(picture.attribution_yx is not None for picture in pictures.sequences):
        body, below = body.split(body.height - _legend_height(canvas, body.width, words))
        legend(canvas, below, words)
    largest = {picture.role: picture for picture in pictures.largest}
    roles = list(dict.fromkeys(picture.role for picture in (*pictures.sequences, *pictures.largest)))
    weighed = {picture.role: picture for picture in pictures.sequences}
    # At least three columns: a single sequence would fill the page and show its pixels.
    for column, role in zip(body.columns(max(3, len(roles)), 20), roles, strict=False):
        slices = [(largest.get(role), on_page.largest, False), (weighed.get(role), on_page.weighed_most_short, True)]
        shown = [(picture, kind, heat) for picture, kind, heat in slices if picture is not None]
        for cell, (picture, kind, heat) in zip(column.columns(2, 12), shown, strict=False):
            slice_with_caption(canvas, cell, picture, kind, heat, words)


def slice_with_caption(
    canvas: PageCanvas, box: Box, picture: SequencePicture, kind: str, heat: bool, words: Wording
) -> None:
    """Draw what a slice is, and below it the slice.

    Parameters
    ----------
    canvas : PageCanvas
        The page.
    box : Box
        For caption and slice.
    picture : SequencePicture
        In radiological view.
    kind : str
        Second line of the caption.
    heat : bool
        Also draw the attribution map.
    words : Wording
        Wording of the language.
    """
    on_page = page_words(words)
    number = on_page.image_number.format(n=picture.number) if picture.number else ""
    y = canvas.fitted(
        box, box.y, ", ".join(part for part in (picture.role.value, number) if part), CAPTION, smallest=11
    )
    y = canvas.fitted(box, y - 2, kind, CAPTION, canvas.palette.dim, smallest=11) + 2
    image = box.split(y - box.y)[1]
    draw_slice(canvas, image, picture, heat)


def _legend_height(canvas: PageCanvas, width: float, words: Wording) -> float:
    n_lines = len(canvas.wrapped(page_words(words).attribution_of, 14, width - 190))
    return max(1, n_lines) * canvas.line_height(14) + 6


def legend(canvas: PageCanvas, box: Box, words: Wording, stacked: bool = False) -> None:
    """Draw the colours of the attribution map from low to high and what it explains, below it where `stacked`."""
    on_page = page_words(words)
    bar = Box(box.x, box.y + 8, 80 if not stacked else min(80, box.width), 12)
    canvas.drawing.imshow(
        np.linspace(0, 1, 64)[None, :], cmap="inferno", extent=(bar.x, bar.x + bar.width, bar.bottom, bar.y),
        aspect="auto", vmin=0, vmax=1, zorder=len(canvas.drawing.images),
    )  # fmt: skip
    if stacked:
        y = canvas.fitted(box, bar.bottom + 2, on_page.attribution_scale, 14, canvas.palette.dim)
        canvas.paragraph(box, y, on_page.attribution_of, 13, canvas.palette.dim)
        return
    canvas.text(bar.x + bar.width + 8, box.y + 4, on_page.attribution_scale, 14, canvas.palette.dim)
    text = Box(box.x + 180, box.y, box.width - 180, box.height)
    canvas.paragraph(text, box.y + 4, on_page.attribution_of, 14, canvas.palette.dim)


def draw_slice(canvas: PageCanvas, box: Box, picture: SequencePicture, heat: bool) -> None:
    """Draw a slice as large as its box allows, with contour, attribution map, and the patient's sides.

    Parameters
    ----------
    canvas : PageCanvas
        The page.
    box : Box
        The slice is drawn in its upper left corner, with its own proportions in mm.
    picture : SequencePicture
        Grey values in [0, 1], in radiological view.
    heat : bool
        Also draw the attribution map.
    """
    ax, (rows, columns) = canvas.drawing, np.shape(picture.image_yx)
    # In millimetres: a patch with other spacings in rows and columns must not be stretched.
    tall = rows * picture.spacing_mm[0] / (columns * picture.spacing_mm[1])
    width = min(box.width, box.height / tall)
    shown = Box(box.x, box.y, width, width * tall)
    # All slices share one pair of axes, so each has a z-order of its own: its contour is above it, and slice and
    # attribution map, which have the same order, become one image in a PDF.
    above = len(ax.images)
    place: dict[str, Any] = {
        "extent": (shown.x, shown.x + shown.width, shown.bottom, shown.y), "aspect": "auto",
        "interpolation": "bilinear", "vmin": 0, "vmax": 1, "zorder": above,
    }  # fmt: skip
    ax.imshow(picture.image_yx, cmap="gray", **place)
    if heat and picture.attribution_yx is not None:
        # Where the attribution is low the slice stays visible; at its maximum the map covers 70 %.
        opacity = np.clip(np.asarray(picture.attribution_yx, float), 0, 1) * 0.7
        ax.imshow(picture.attribution_yx, cmap="inferno", alpha=opacity, **place)
    _outline(canvas, shown, picture, above)
    _sides(canvas, shown)


def _outline(canvas: PageCanvas, shown: Box, picture: SequencePicture, above: int) -> None:
    """Draw the edge of the mask where it crosses half of a pixel, as matplotlib's contour does in 20 times the time."""
    rows, columns = np.shape(picture.image_yx)
    edges: Any = contour_generator(z=np.asarray(picture.mask_yx, float)).lines(0.5)
    scale = np.array([shown.width / columns, shown.height / rows])
    outline = [(shown.x, shown.y) + (edge + 0.5) * scale for edge in edges]
    for color, line_width in (("black", 2.2), (canvas.palette.contour, 1.2)):
        lines = LineCollection(outline, colors=color, linewidths=line_width, zorder=above)
        canvas.drawing.add_collection(lines, autolim=False)


def _sides(canvas: PageCanvas, shown: Box) -> None:
    """Write R and L on small plates at the edges of a picture: on MR the background may be of any grey."""
    size = 16.0
    height = canvas.line_height(size)
    y = shown.y + (shown.height - height) / 2
    for text, x in (("R", shown.x), ("L", shown.x + shown.width - 18)):
        canvas.rectangle(Box(x, y, 18, height), facecolor="black", edgecolor="none", zorder=2.5)
        canvas.text(x + 9, y, text, size, "white", True, "center")


def nomogram(
    canvas: PageCanvas, box: Box, report: TreatmentReport, pictures: PagePictures, style: Style, words: Wording
) -> None:
    """Draw this patient's nomogram as the caller of the report draws it, and write the total points above it.

    Parameters
    ----------
    canvas : PageCanvas
        The page.
    box : Box
        The space for title and drawing.
    report : TreatmentReport
        A computed report. With two scenarios the page says that both are drawn.
    pictures : PagePictures
        With the drawing function; None leaves the box empty below its title.
    style : Style
        Is passed to the drawing function.
    words : Wording
        Wording of the language.
    """
    canvas.text(box.x, box.y, words.nomogram, 17, bold=True)
    if len(report.scenarios) > 1:
        note = page_words(words).nomogram_both
    else:
        arms = (report.scenarios[0].ict_ccrt, report.scenarios[0].ccrt)
        totals = ", ".join(f"{regimen_name(arm.arm, words)} {numbers.points(arm.total_points)}" for arm in arms)
        note = f"{words.points}: {totals}"
    right = box.beside(canvas.text_width(words.nomogram, 17, True))[1]
    canvas.fitted(right, box.y + 2, note, 15, canvas.palette.dim, smallest=9)
    if pictures.draw_nomogram is not None:
        ax = canvas.axes(box.split(canvas.line_height(17) + 2)[1])
        pictures.draw_nomogram(ax, style)
        _take_over_texts(canvas, ax)


def _take_over_texts(canvas: PageCanvas, ax: Axes) -> None:
    """Draw the texts of a drawing as the page draws its own, each on a plate in place of a halo."""
    plates = []
    for text in [each for each in ax.texts if each.get_rotation() == 0]:
        right, up = ax.transData.transform(text.get_position()) / canvas.figure.bbox.width * WIDTH
        em = canvas.units(float(text.get_fontsize()))
        across, down = str(text.get_horizontalalignment()), str(text.get_verticalalignment())
        # The middle of a figure is 0.36, its top 0.74 of the text size above the baseline.
        baseline = canvas.height - up + {"center": 0.36, "top": 0.74}.get(down, 0.0) * em
        bold = text.get_fontweight() in ("bold", 700)
        canvas.text_at(right, baseline, text.get_text(), em, str(text.get_color()), bold, across)
        box = canvas.texts[-1].box
        left, right, bottom = box.x - 1, box.x + box.width + 1, box.bottom - 0.2 * em
        plates.append([(left, box.y), (right, box.y), (right, bottom), (left, bottom)])
        text.remove()
    to_canvas = canvas.drawing.transData
    shape = PolyCollection(plates, facecolors=canvas.palette.paper, transform=to_canvas, zorder=2.5)
    ax.add_collection(shape, autolim=False)
