"""What a report is built from beside the TreatmentReport itself, and what comes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from pydicom import Dataset

from config.indication.vocabulary import EbvCategory, SeriesRole
from dicom_sr.report.sr_classes import SrClass

Language = Literal["en", "zh"]
Style = Literal["light", "dark"]
ObjectKind = Literal["sr", "sc", "pdf", "seg", "attribution"]


@dataclass(frozen=True)
class SeriesMask:
    """The contour as it was used on one series.

    mask_zyx : (n_slices, rows, columns), non-zero inside the contour.
    slices   : per z the SOP Instance UID and, for Enhanced MR, the 1-based frame number.
    """

    role: SeriesRole
    mask_zyx: NDArray[Any]
    slices: tuple[tuple[str, int | None], ...]


@dataclass(frozen=True)
class SourceStudy:
    """Data sets (without pixels) that were used.

    mr            : every MR instance behind the result; patient and study come from the first.
    contours      : RTSTRUCT or SEG objects that were used, from whatever study they stand in.
    masks         : per series the contour on its grid; without them no SEG is made.
    character_set : what the text of the data sets really is (for example "GB18030"), where a PACS labels it wrongly;
                    None trusts (0008,0005).
    """

    mr: tuple[Dataset, ...]
    contours: tuple[Dataset, ...] = ()
    masks: tuple[SeriesMask, ...] = ()
    character_set: str | None = None


@dataclass(frozen=True)
class SequencePicture:
    """The representative slice of one sequence.

    image_yx, attribution_yx : (rows, columns) in 0..1; mask_yx : (rows, columns), non-zero inside the contour.
    spacing_mm : row and column spacing.
    """

    role: SeriesRole
    image_yx: NDArray[np.floating[Any]]
    mask_yx: NDArray[Any]
    spacing_mm: tuple[float, float] = (1.0, 1.0)
    attribution_yx: NDArray[np.floating[Any]] | None = None
    caption: str = ""


@dataclass(frozen=True)
class PagePictures:
    """What the page shows beside words and numbers.

    draw_nomogram : draws this patient's nomogram into the axes, in the style.
    nomogram_category : with an unknown EBV DNA, the category that the drawing supposes; the page says so beside it.
    """

    draw_nomogram: Callable[[Axes, Style], None] | None = None
    sequences: tuple[SequencePicture, ...] = ()
    nomogram_category: EbvCategory | None = None


@dataclass(frozen=True)
class ReportOptions:
    """Choices of the site.

    timezone : "+0800" as written to (0008,0201); None takes that of `report.created`.
    """

    kinds: tuple[ObjectKind, ...] = ("sr", "sc", "pdf", "seg")
    language: Language = "en"
    sop_class: SrClass = "comprehensive_3d"
    timezone: str | None = None
    preliminary: bool = True
    institution: str | None = None


@dataclass(frozen=True)
class ReportObject:
    """One finished DICOM object, ready to be stored; its data set is not changed any more."""

    kind: ObjectKind
    sop_class_uid: str
    sop_instance_uid: str
    dataset: Dataset

    @cached_property
    def encoded(self) -> bytes:
        """The object as a file (PS3.10), encoded once: what was validated is what is stored.

        Raises what pydicom raises where the data set cannot be encoded.
        """
        written = BytesIO()
        self.dataset.save_as(written, enforce_file_format=True)
        return written.getvalue()
