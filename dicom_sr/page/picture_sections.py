"""The sections of the page with pictures: the representative slices, and the nomogram as the caller draws it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.collections import PathCollection
from matplotlib.path import Path
from matplotlib.transforms import Affine2D, Bbox, TransformedBbox

from dicom_sr.page.canvas import Box, PageCanvas
from dicom_sr.report import numbers
from dicom_sr.report.plain_text import ebv_condition, regimen_name
from dicom_sr.report.report_inputs import PagePictures, SequencePicture, Style
from dicom_sr.report.treatment_report import TreatmentReport
from dicom_sr.report.wording import Wording


def sequences(
    canvas: PageCanvas, box: Box, pictures: Sequence[SequencePicture], words: Wording, stacked: bool = False
) -> None:
    """Draw the representative slice of each sequence with the contour, and its attribution map where there is one.

    Parameters
    ----------
    canvas : PageCanvas
        The page.
    box : Box
        Is divided into at least three cells.
    pictures : sequence of SequencePicture
        The slices, in the order in which they are shown.
    words : Wording
        Wording of the language.
    stacked : bool
        One under the other, for a narrow box; otherwise side by side.
    """
    canvas.text(box.x, box.y, words.sequences, 15, bold=True)
    has_heat = any(picture.attribution_yx is not None for picture in pictures)
    legend = f"{words.with_contour} / {words.attribution}" if has_heat else words.with_contour
    canvas.text(box.x + box.width, box.y + 2, legend, 12, canvas.palette.dim, align="right")
    body = box.split(canvas.line_height(15) + 2)[1]
    # At least three cells: a single slice would fill the page and show its pixels.
    n = max(3, len(pictures))
    cells = body.rows(n, 6) if stacked else body.columns(n, 16)
    for cell, picture in zip(cells, pictures, strict=False):
        sequence(canvas, cell, picture)


def sequence(canvas: PageCanvas, box: Box, picture: SequencePicture) -> None:
    """Draw caption, slice with contour, and the same slice with the attribution map where there is one."""
    caption = f"{picture.role.value}  {picture.caption}".strip()
    y = canvas.fitted(box, box.y, caption, 13, canvas.palette.dim)
    image_box = box.split(y - box.y)[1]
    with_heat = picture.attribution_yx is not None
    outline: Sequence[Path] = ()
    for index, part in enumerate(image_box.columns(2 if with_heat else 1, 6)):
        outline = _slice(canvas, part, picture, outline, heat=index == 1)


def _slice(
    canvas: PageCanvas, box: Box, picture: SequencePicture, outline: Sequence[Path], heat: bool
) -> Sequence[Path]:
    """Draw the slice as large as its box allows; return the contour in pixels, so that it is traced once a slice."""
    ax, (rows, columns) = canvas.drawing, np.shape(picture.image_yx)
    # In millimetres: a patch with other spacings in rows and columns must not be stretched.
    tall = rows * picture.spacing_mm[0] / (columns * picture.spacing_mm[1])
    width = min(box.width, box.height / tall)
    shown = Box(box.x, box.y + (box.height - width * tall) / 2, width, width * tall)
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
    if not np.any(picture.mask_yx):
        return outline
    to_canvas = Affine2D().translate(0.5, 0.5).scale(shown.width / columns, shown.height / rows)
    to_display = to_canvas.translate(shown.x, shown.y) + ax.transData
    if not outline:
        contours = ax.contour(np.asarray(picture.mask_yx, float), levels=[0.5], transform=to_display)
        outline = contours.get_paths()
        contours.remove()
    edge = TransformedBbox(Bbox.from_bounds(-0.5, -0.5, columns, rows), to_display)
    for color, line_width in (("black", 2.2), (canvas.palette.contour, 1.2)):
        lines = PathCollection(
            outline, facecolors="none", edgecolors=color, linewidths=line_width, transform=to_display, zorder=above
        )  # fmt: skip
        lines.set_clip_box(edge)
        ax.add_collection(lines, autolim=False)
    return outline


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
        A computed report. With two scenarios the EBV DNA category of the drawing is written instead of the points.
    pictures : PagePictures
        With the drawing function; None leaves the box empty below its title.
    style : Style
        Is passed to the drawing function.
    words : Wording
        Wording of the language.
    """
    canvas.text(box.x, box.y, words.nomogram, 15, bold=True)
    category = pictures.nomogram_category
    drawn = [scenario for scenario in report.scenarios if category in (None, scenario.ebv_category)]
    if len(report.scenarios) > 1 and len(drawn) == 1:
        canvas.text(box.x + box.width, box.y + 2, ebv_condition(report, drawn[0], words), 12, align="right")
    elif len(report.scenarios) == 1:
        arms = (report.scenarios[0].ict_ccrt, report.scenarios[0].ccrt)
        totals = ", ".join(f"{regimen_name(arm.arm, words)} {numbers.points(arm.total_points)}" for arm in arms)
        canvas.text(box.x + box.width, box.y + 2, f"{words.points}: {totals}", 12, canvas.palette.dim, align="right")
    if pictures.draw_nomogram is not None:
        pictures.draw_nomogram(canvas.axes(box.split(canvas.line_height(15) + 2)[1]), style)
