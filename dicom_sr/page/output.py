"""Pages as pixels and as a PDF."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import PdfPages

from config.arrays import RgbArray
from dicom_sr.page.canvas import WIDTH, PageCanvas
from dicom_sr.page.text_layer import PdfText, draw_into_pixels

# Over matplotlib's own defaults, so that a matplotlibrc of the machine changes nothing.
DRAWING = {
    "pdf.fonttype": 3,  # Noto CJK has no TrueType outlines, which type 42 needs
    "pdf.compression": 6,
    "path.simplify": True,
    "text.parse_math": False,  # a "$" in the name of a ROI is not a formula
    "text.hinting": "no_hinting",  # hinted letters are up to 8 % wider than they were measured
    "hatch.linewidth": 3,
}


def drawing_settings() -> AbstractContextManager[None]:
    """Return the context in which pages are drawn: matplotlib's defaults and the settings of this module."""
    # rc_context refuses keys that the installed version of matplotlib does not have.
    known: dict[Any, Any] = {key: value for key, value in DRAWING.items() if key in mpl.rcParams}
    return mpl.rc_context({**mpl.rcParamsDefault, **known, "backend": "agg"})


def page_pixels(page: PageCanvas) -> RgbArray:
    """Render a page.

    Parameters
    ----------
    page : PageCanvas
        Complete.

    Returns
    -------
    array of uint8, shape (rows, columns, 3)
        RGB, 0 to 255; a dark page has 1024 x 1024 pixels.
    """
    canvas = FigureCanvasAgg(page.figure)
    with drawing_settings():
        canvas.draw()
    drawn = np.asarray(canvas.buffer_rgba())
    # Alpha is dropped, since the paper is opaque. Contiguous, as DICOM needs it; plane by plane, which takes a tenth of
    # the time of copying the slice.
    pixels = np.empty((*drawn.shape[:2], 3), np.uint8)
    for channel in range(3):
        pixels[..., channel] = drawn[..., channel]
    draw_into_pixels(page.texts, pixels, pixels.shape[1] / WIDTH, page.chinese)
    return pixels


def pages_pdf(pages: Sequence[PageCanvas], title: str, created: datetime) -> bytes:
    """Write pages as one PDF: vectors and text, not pictures.

    Parameters
    ----------
    pages : sequence of PageCanvas
        Complete.
    title : str
        Title of the document.
    created : datetime
        Creation date of the document; with the report's own time the same pages give the same bytes.

    Returns
    -------
    bytes
        A PDF with one page per canvas.
    """
    pdf = io.BytesIO()
    # The report's time and no other: matplotlib would write the present one, and equal reports would differ.
    metadata = {"Title": title, "Creator": "cptdn-node", "Producer": "matplotlib", "CreationDate": created}
    with drawing_settings(), PdfPages(pdf, metadata=metadata) as document:
        for page in pages:
            page.figure.add_artist(PdfText(page.texts, (WIDTH, page.height), page.chinese))
            document.savefig(page.figure, facecolor=page.figure.get_facecolor())
    return pdf.getvalue()
