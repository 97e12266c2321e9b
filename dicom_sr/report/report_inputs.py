"""The inputs of a report's objects beside the TreatmentReport itself, and the finished object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from typing import TYPE_CHECKING, Literal

from pydicom import Dataset

from config.arrays import AnyFloatArray, PixelArray
from config.indication.vocabulary import EbvCategory, SeriesRole, TreatmentArm
from dicom_sr.report.sr_classes import SrClass
from dicom_sr.report.treatment_report import TreatmentReport

if TYPE_CHECKING:  # the node takes these types without loading matplotlib
    from matplotlib.axes import Axes

Language = Literal["en", "zh"]
Style = Literal["light", "dark"]
ObjectKind = Literal["sr", "sc", "pdf", "seg", "attribution", "rtstruct", "ko"]


@dataclass(frozen=True)
class SeriesMask:
    """The contour as it was used on one series.

    Attributes
    ----------
    mask_zyx : array of shape (n_slices, rows, columns)
        On the grid of the series, non-zero inside the contour.
    slices : tuple of (str, int or None)
        For each z the SOP Instance UID and, for Enhanced MR, the frame number (from 1).
    contour : (str, int) or None
        SOP Instance UID of the contour object and ROI or segment number of the contour; None where it is not known, so
        that the SR does not tie a volume to this mask.
    drawn_here : bool
        False where the contour was drawn on another grid and resampled.
    """

    role: SeriesRole
    mask_zyx: PixelArray
    slices: tuple[tuple[str, int | None], ...]
    contour: tuple[str, int] | None = None
    drawn_here: bool = True


@dataclass(frozen=True)
class SourceStudy:
    """The data sets (without pixels) that a result was computed from.

    Attributes
    ----------
    mr : tuple of Dataset
        Every MR instance that was used; patient and study attributes are copied from the first.
    contours : tuple of Dataset
        The RTSTRUCT or SEG objects that were used; they may belong to another study of the patient.
    masks : tuple of SeriesMask
        The contour on the grid of each series; a SEG is built for each.
    character_set : str or None
        The real encoding of the text as a DICOM defined term (for example "GB18030"), where a PACS labels it wrongly;
        None trusts Specific Character Set (0008,0005).
    """

    mr: tuple[Dataset, ...]
    contours: tuple[Dataset, ...] = ()
    masks: tuple[SeriesMask, ...] = ()
    character_set: str | None = None


@dataclass(frozen=True)
class SequencePicture:
    """One slice of one MR sequence in radiological view: the patient's right is at the left edge.

    Attributes
    ----------
    image_yx : array of shape (rows, columns)
        Grey values in [0, 1].
    mask_yx : array of shape (rows, columns)
        Non-zero inside the contour.
    spacing_mm : pair of float
        Distance between rows, and between columns, as in Pixel Spacing (0028,0030).
    attribution_yx : array of shape (rows, columns), or None
        Attribution (Grad-CAM) in [0, 1].
    number : str
        The number by which a viewer calls the slice: Instance Number (0020,0013) or frame; empty where unknown.
    source : (str, int or None) or None
        SOP Instance UID and, of Enhanced MR, frame number (from 1) of the slice; None where it is not known.
    """

    role: SeriesRole
    image_yx: AnyFloatArray
    mask_yx: PixelArray
    spacing_mm: tuple[float, float] = (1.0, 1.0)
    attribution_yx: AnyFloatArray | None = None
    number: str = ""
    source: tuple[str, int | None] | None = None


@dataclass(frozen=True)
class DfsCurves:
    """Disease-free survival over time under both regimens, for one category of EBV DNA.

    Attributes
    ----------
    months : array of shape (k,)
        Ascending, from 0; between two of them the survival is that of the earlier one.
    dfs : mapping of TreatmentArm to array of shape (k,)
        Probabilities in [0, 1].
    """

    ebv_category: EbvCategory
    months: AnyFloatArray
    dfs: Mapping[TreatmentArm, AnyFloatArray]


@dataclass(frozen=True)
class ModelPerformance:
    """How a model performed on cases that no part of it had seen, as its manifest states it.

    Attributes
    ----------
    group : str
        Which cases, for example "out of fold".
    n_cases : int or None
        None where it is not stated, as the figures.
    c_index, slope : float or None
        Harrell's C-index and the calibration slope, with their 95 % intervals.
    """

    group: str
    n_cases: int | None = None
    c_index: float | None = None
    c_index_ci95: tuple[float, float] | None = None
    slope: float | None = None
    slope_ci95: tuple[float, float] | None = None


@dataclass(frozen=True)
class GuidelineText:
    """What the site says about guidelines and about the harms of induction chemotherapy, and who answers for it."""

    text: str
    source: str
    date: str
    signer: str


@dataclass(frozen=True)
class PagePictures:
    """The pictures of the page, and what else it shows that is not part of the report.

    Attributes
    ----------
    draw_nomogram : callable or None
        Draws this patient's nomogram into the axes, in the style; the nomogram itself is unknown to this room. With
        unknown EBV DNA it draws both categories.
    sequences : tuple of SequencePicture
        The slices that the network weighed most, at most one per series role, in the order in which they are shown.
    largest : tuple of SequencePicture
        The slices with the largest tumour section, likewise.
    curves : tuple of DfsCurves
        One per scenario of the report.
    performance : ModelPerformance or None
        None where the model states none.
    """

    draw_nomogram: Callable[[Axes, Style], None] | None = None
    sequences: tuple[SequencePicture, ...] = ()
    largest: tuple[SequencePicture, ...] = ()
    curves: tuple[DfsCurves, ...] = ()
    performance: ModelPerformance | None = None

    def permitted_by(self, report: TreatmentReport) -> PagePictures:
        """Return those that a report may show.

        Parameters
        ----------
        report : TreatmentReport
            Where nothing was computed, the network weighed nothing; the slices of a withdrawn result explain nothing.

        Returns
        -------
        PagePictures
            All of them, the largest sections alone, or none.
        """
        if report.computed:
            return self
        return PagePictures(largest=self.largest if report.withdrawal is None else ())


@dataclass(frozen=True)
class ReportOptions:
    """The site's choices.

    Attributes
    ----------
    kinds : tuple of ObjectKind
        The objects to be built.
    sop_class : SrClass
        The SOP class of the SR.
    timezone : str or None
        Offset from UTC as in (0008,0201), for example "+0800"; None takes that of `report.created`.
    preliminary : bool
        Whether the SR is flagged PRELIMINARY (0040,A496).
    institution : str or None
        Institution Name (0008,0080) of the objects.
    device_serial_number, device_udi : str or None
        Serial number and Unique Device Identifier that the site has given to this installation; without a serial number
        one follows from the model bundle.
    guideline : GuidelineText or None
        The site's text about guidelines and harms on the pages; None has the sentence that comes with the program.
    predecessors : tuple of (str, str) or None
        SOP Class UID and SOP Instance UID of the earlier SRs that the SR replaces at one destination, where these are
        not those of the report: a destination that refuses a SOP class has other forms of them, or none. None: the
        report's.
    """

    kinds: tuple[ObjectKind, ...] = ("sr", "sc", "pdf", "seg")
    language: Language = "en"
    sop_class: SrClass = "comprehensive_3d"
    timezone: str | None = None
    # Preliminary unless the site says otherwise: no person has verified the result (PS3.3 C.17.2, Preliminary Flag).
    preliminary: bool = True
    institution: str | None = None
    device_serial_number: str | None = None
    device_udi: str | None = None
    guideline: GuidelineText | None = None
    predecessors: tuple[tuple[str, str], ...] | None = None


@dataclass(frozen=True)
class ReportObject:
    """One finished DICOM object. Its data set is not changed any more, since `encoded` is computed once."""

    kind: ObjectKind
    sop_class_uid: str
    sop_instance_uid: str
    dataset: Dataset

    @cached_property
    def encoded(self) -> bytes:
        """The object as a DICOM file (PS3.10); the bytes that were validated are the bytes that are stored.

        Raises
        ------
        AttributeError, TypeError, ValueError, UnicodeError
            As pydicom raises them where the data set cannot be encoded.
        """
        file = BytesIO()
        # With preamble and meta information, since the bytes are also the file on disk (PS3.10 7.1).
        self.dataset.save_as(file, enforce_file_format=True)
        return file.getvalue()
