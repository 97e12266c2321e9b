"""RTSTRUCT: the drawn contours of each region of interest, in LPS millimetres.

The three sequences of an RT Structure Set are tied by ROI Number, not by their order: names and frame of reference
(Structure Set module, PS3.3 C.8.8.5), contours (ROI Contour module, C.8.8.6), interpreted types (RT ROI Observations
module, C.8.8.8).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.errors import InvalidDicomError

from config.arrays import FloatArray
from config.errors import IneligibleStudyError, InputError
from config.messages.message import message
from node.dicom.headers.conforming import read_conforming
from workers.volumes.parsing import PARSE_ERRORS

RT_STRUCTURE_SET_STORAGE = "1.2.840.10008.5.1.4.1.1.481.3"
CLOSED_PLANAR_XOR = "CLOSEDPLANAR_XOR"
CLOSED_PLANAR = frozenset({"CLOSED_PLANAR", CLOSED_PLANAR_XOR})


@dataclass(frozen=True)
class Contour:
    """One drawn line.

    Attributes
    ----------
    geometric_type : str
        Contour Geometric Type in upper case, for example ``CLOSED_PLANAR``; empty where none is given.
    points_lps_mm : float64, shape (n, 3)
        In drawing order; the last point of a closed contour is joined to the first.
    sop_instance_uids : tuple of str
        Images that the contour names as those it was drawn on; often empty.
    """

    geometric_type: str
    points_lps_mm: FloatArray
    sop_instance_uids: tuple[str, ...]

    @property
    def is_closed(self) -> bool:
        """Whether the contour may enclose an area: points, open lines and fewer than three points do not.

        A contour without a type, which is an error of its writer, counts as closed, as it does for the node.
        """
        return self.geometric_type in (*CLOSED_PLANAR, "") and len(self.points_lps_mm) >= 3


@dataclass(frozen=True)
class Roi:
    """One region of interest.

    Attributes
    ----------
    number : int
        ROI Number.
    name : str
        ROI Name, in the character set of the object.
    roi_type : str
        RT ROI Interpreted Type (GTV, CTV, ORGAN, ...), empty where none is given.
    frame_of_reference_uid : str
        Of its points; empty where none is named.
    contours : tuple of Contour
        Of any geometric type; empty where the region was named but not drawn.
    problem : IneligibleStudyError, optional
        Why this region cannot be used although others of the structure set can.
    """

    number: int
    name: str
    roi_type: str
    frame_of_reference_uid: str
    contours: tuple[Contour, ...]
    problem: IneligibleStudyError | None = field(default=None, compare=False)

    @property
    def geometric_types(self) -> tuple[str, ...]:
        """The different geometric types of its contours, sorted."""
        return tuple(sorted({contour.geometric_type for contour in self.contours}))


def read_rtstruct(rtstruct_path: Path) -> list[Roi]:
    """Read the ROIs of one RTSTRUCT, in the order of its structure set.

    Parameters
    ----------
    rtstruct_path : Path
        The stored object.

    Returns
    -------
    list of Roi
        Also those without contours.

    Raises
    ------
    InputError
        There is no such file.
    IneligibleStudyError
        ``unreadable_instance`` when the file is damaged or no RTSTRUCT.

    References
    ----------
    PS3.3 A.19 (RT Structure Set IOD), C.8.8.5, C.8.8.6, C.8.8.8.
    """
    try:
        dataset = read_conforming(rtstruct_path)
        if dataset.get("SOPClassUID") != RT_STRUCTURE_SET_STORAGE:
            sop_class = dataset.get("SOPClassUID") or dataset.get("Modality") or message("rtstruct.no_sop_class")
            found = getattr(sop_class, "name", sop_class)
            text = message("unreadable_instance.rtstruct_class", file=rtstruct_path.name, found=found)
            raise IneligibleStudyError("unreadable_instance", text)
        return _rois(dataset)
    except IneligibleStudyError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"expected an RTSTRUCT file, found nothing at {rtstruct_path}") from error
    except InvalidDicomError as error:
        text = message("unreadable_instance.no_dicom", file=rtstruct_path.name)
        raise IneligibleStudyError("unreadable_instance", text) from error
    except PARSE_ERRORS as error:
        text = message("unreadable_instance.rtstruct", file=rtstruct_path.name, kind=type(error).__name__, error=error)
        raise IneligibleStudyError("unreadable_instance", text) from error


def roi_named(rois: list[Roi], name: str) -> Roi:
    """Return the one ROI of this name, or else of this number.

    Parameters
    ----------
    rois : list of Roi
        As `read_rtstruct` returns them.
    name : str
        ROI Name, or ROI Number as text.

    Raises
    ------
    InputError
        No ROI or several have this name; the message lists all.
    """
    # Names first: an ROI may be called "3", and a number as text is the fallback.
    same = [roi for roi in rois if roi.name == name] or [roi for roi in rois if str(roi.number) == name]
    if len(same) != 1:
        known = ", ".join(f"{roi.number} {roi.name}" for roi in rois) or "none"
        raise InputError(f"expected one ROI {name!r}, found {len(same)}; the structure set has: {known}")
    return same[0]


def _rois(dataset: Dataset) -> list[Roi]:
    items = list(dataset.get("StructureSetROISequence") or [])
    # ROI Number is unique by the standard (PS3.3 C.8.8.5), yet files merged from two structure sets repeat one; names
    # and contours could then be tied in more than one way.
    numbers = Counter(int(item.ROINumber) for item in items)
    drawn = _items_by_number(dataset)
    types = _roi_types(dataset)
    common_frame = _frame_of_the_structure_set(dataset)
    rois = []
    for item in items:
        number, name = int(item.ROINumber), str(item.get("ROIName") or "")
        contours: tuple[Contour, ...] = ()
        problem: IneligibleStudyError | None = None
        try:
            contours = tuple(contour for part in drawn.get(number, ()) for contour in _contours(part))
        except PARSE_ERRORS as error:  # another ROI of the same structure set may be whole
            text = message("unreadable_instance.contours", number=number, name=name, error=error)
            problem = IneligibleStudyError("unreadable_instance", text)
        if numbers[number] > 1:
            names = [str(other.get("ROIName") or "") for other in items if int(other.ROINumber) == number]
            problem = _ambiguous(number, names)
        frame = str(item.get("ReferencedFrameOfReferenceUID") or "") or common_frame
        rois.append(Roi(number, name, types.get(number, ""), frame, contours, problem))
    return rois


def _items_by_number(dataset: Dataset) -> Mapping[int, list[Dataset]]:
    """Return the items of the ROI Contour Sequence by ROI Number; some writers begin a new item for each plane."""
    items: dict[int, list[Dataset]] = {}
    for item in dataset.get("ROIContourSequence") or []:
        number = item.get("ReferencedROINumber")
        if number is not None:  # without a number the owner of the contours is unknown
            items.setdefault(int(number), []).append(item)
    return items


def _frame_of_the_structure_set(dataset: Dataset) -> str:
    """Return the one frame of reference that the structure set names; empty where it names none or several."""
    uids = {
        str(item.FrameOfReferenceUID)
        for item in dataset.get("ReferencedFrameOfReferenceSequence") or []
        if item.get("FrameOfReferenceUID")
    }
    own = str(dataset.get("FrameOfReferenceUID") or "")
    uids = uids or ({own} if own else set())
    # Of several frames none can be assumed: contours would be placed in the wrong one without a sign.
    return uids.pop() if len(uids) == 1 else ""


def _ambiguous(number: int, names: Sequence[str]) -> IneligibleStudyError:
    """Return the refusal of an ROI Number that is not unique within the structure set (PS3.3 C.8.8.5)."""
    owners = [message("roi.name", name=name) for name in names]
    text = message("ambiguous_roi.number", number=number, owners=owners)
    return IneligibleStudyError("ambiguous_roi", text)


def _roi_types(dataset: Dataset) -> Mapping[int, str]:
    return {
        int(item.ReferencedROINumber): str(item.get("RTROIInterpretedType") or "")
        for item in dataset.get("RTROIObservationsSequence") or []
        if item.get("ReferencedROINumber") is not None
    }


def _contours(item: Dataset) -> Iterator[Contour]:
    for contour in item.get("ContourSequence") or []:
        yield Contour(
            geometric_type=str(contour.get("ContourGeometricType") or "").strip().upper(),
            points_lps_mm=_points(contour),
            sop_instance_uids=tuple(
                str(image.ReferencedSOPInstanceUID)
                for image in contour.get("ContourImageSequence") or []
                if image.get("ReferencedSOPInstanceUID")
            ),
        )


def _points(contour: Dataset) -> FloatArray:
    """(n, 3) from Contour Data."""
    if "ContourData" not in contour:
        return np.empty((0, 3))
    element: Any = contour.get_item("ContourData")
    value = element.value
    # From the stored bytes: a long contour has ten thousands of decimal strings, and pydicom makes an object of each.
    if isinstance(element, RawDataElement) and isinstance(value, bytes):
        value = value.rstrip(b" \0\\").split(b"\\") if value.strip(b" \0\\") else []
    numbers = np.array(value if value is not None else [], dtype=np.float64).ravel()
    if numbers.size % 3 or not np.all(np.isfinite(numbers)):
        kind = "that are not all finite" if numbers.size % 3 == 0 else "that are no triples"
        raise ValueError(f"{numbers.size} coordinates {kind} in one contour")
    return np.asarray(numbers.reshape(-1, 3))
