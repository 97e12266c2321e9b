"""One style for all figures: colours, dashes and matplotlib's settings.

Colours are Okabe and Ito's, which colour-blind readers distinguish; lines differ in dash and marks in shape as well,
so that a grey print loses nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib

INK, FAINT = "#1a1a1a", "#b5b5b5"
FIRST, SECOND = "#D55E00", "#0072B2"  # CCRT, ICT+CCRT
LOW_RISK, HIGH_RISK = "#009E73", "#CC79A7"
SERIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
DASHES = ("-", (0, (5, 2)), (0, (1, 1.2)), "-.")
FORMATS = ("png", "pdf", "svg")
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
    # Ids of SVG elements are random without a salt, and fonts of type 42 stay text that a journal can edit.
    "svg.hashsalt": "cptdn",
    "pdf.fonttype": 42,
}


@contextmanager
def house_style() -> Iterator[None]:
    """Apply the figures' matplotlib settings within a block."""
    with matplotlib.rc_context(STYLE):
        yield
