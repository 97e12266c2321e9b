"""Headers of structure sets, segmentations and registrations: their references, ROIs and extents.

An RTSTRUCT of a whole plan has some hundred thousand points; they are read once, and only their extent is saved.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.tag import Tag

from node.cases.rigid_registration import joined_frames

MAX_CONTOUR_BYTES = 4_000_000  # the extent of a larger contour is not computed; the worker reads all of it
MAX_REFERENCES = 5_000  # SOP Instance UIDs that are saved of one object
CONTOUR_DATA = Tag("ContourData")
_NUMBERS = b"0123456789.+-eE\\ "


class ContourItem(NamedTuple):
    """What is read of one item of a Contour Sequence.

    Attributes
    ----------
    geometric_type : str
        Contour Geometric Type, in capitals; empty where it is missing.
    image_uids : list of str
        Referenced SOP Instance UIDs of its Contour Image Sequence.
    points : array, shape (n, 3), or None
        As of `contour_points`.
    """

    geometric_type: str
    image_uids: list[str]
    points: Any


def structure_set_header(
    ds: Dataset, contour_items: Mapping[int, Sequence[ContourItem]] | None = None
) -> dict[str, Any]:
    """Read an RTSTRUCT.

    Parameters
    ----------
    ds : Dataset
        An RT Structure Set with all sequences.
    contour_items : mapping, optional
        The items of its ROI Contour Sequence by Referenced ROI Number, where they were read before; the sequence of
        `ds` by default.

    Returns
    -------
    dict
        ``Rois``, one entry per ROI: number, name, type (RT ROI Interpreted Type), n_contours, geometric_types,
        extent_mm ([[x, y, z], [x, y, z]], least and greatest corner, LPS, mm, or None) and frame_of_reference_uid;
        ``ContourReferences``, UIDs of frames of reference, series, studies and instances; label, date, time and
        approval.

    References
    ----------
    PS3.3 A.19, C.8.8.5 to C.8.8.8; the three sequences are matched by ROI Number, not by position.
    """
    references = _References()
    for frame in ds.get("ReferencedFrameOfReferenceSequence") or ():
        references.frames.append(_uid(frame, "FrameOfReferenceUID"))
        for study in frame.get("RTReferencedStudySequence") or ():
            references.studies.append(_uid(study, "ReferencedSOPInstanceUID"))
            for series in study.get("RTReferencedSeriesSequence") or ():
                references.series.append(_uid(series, "SeriesInstanceUID"))
                references.instances += [
                    _uid(image, "ReferencedSOPInstanceUID") for image in series.get("ContourImageSequence") or ()
                ]
    # By ROI Number: the three sequences may have different orders and lengths (PS3.3 C.8.8.5, C.8.8.6, C.8.8.8).
    types = {
        _number(item, "ReferencedROINumber"): str(item.get("RTROIInterpretedType") or "")
        for item in ds.get("RTROIObservationsSequence") or ()
    }
    # Some writers begin a new item of the ROI Contour Sequence for each plane: all items of a number belong together.
    if contour_items is None:
        parts: dict[int, list[ContourItem]] = {}
        for item in ds.get("ROIContourSequence") or ():
            items = map(_contour_item, item.get("ContourSequence") or ())
            parts.setdefault(_number(item, "ReferencedROINumber"), []).extend(items)
        contour_items = parts
    contours = {number: _contours(of_roi, references) for number, of_roi in contour_items.items()}
    common_frame_uid = _common_frame(references.frames)
    rois = []
    for item in ds.get("StructureSetROISequence") or ():
        number = _number(item, "ROINumber")
        frame_uid = _uid(item, "ReferencedFrameOfReferenceUID") or common_frame_uid
        references.frames.append(frame_uid)
        rois.append({
            "number": number,
            "name": str(item.get("ROIName") or "").strip(),
            "type": types.get(number, ""),
            "frame_of_reference_uid": frame_uid,
            **contours.get(number, {"n_contours": 0, "geometric_types": [], "extent_mm": None}),
        })  # fmt: skip
    header: dict[str, Any] = {"Rois": rois, "ContourReferences": references.as_dict()}
    for keyword in ("StructureSetLabel", "StructureSetDate", "StructureSetTime", "ApprovalStatus", "ReviewDate"):
        if ds.get(keyword):
            header[keyword] = str(ds.get(keyword))
    if references.first_frame:
        header["FrameOfReferenceUID"] = references.first_frame
    return header


def segmentation_header(ds: Dataset) -> dict[str, Any]:
    """Read a SEG; its segments have the form of ROIs.

    Parameters
    ----------
    ds : Dataset
        A Segmentation with all sequences, without pixels.

    Returns
    -------
    dict
        ``Rois`` and ``ContourReferences`` as of `structure_set_header`; n_contours is the number of frames of a
        segment, and extent_mm is None because it would need the pixels.

    References
    ----------
    PS3.3 A.51, C.8.20.
    """
    references = _References()
    references.frames.append(_uid(ds, "FrameOfReferenceUID"))
    for series in ds.get("ReferencedSeriesSequence") or ():
        references.series.append(_uid(series, "SeriesInstanceUID"))
        references.instances += [
            _uid(image, "ReferencedSOPInstanceUID") for image in series.get("ReferencedInstanceSequence") or ()
        ]
    frames_of = _frames_of_segments(ds)
    rois = [
        {
            "number": (number := _number(item, "SegmentNumber")),
            "name": str(item.get("SegmentLabel") or item.get("SegmentDescription") or "").strip(),
            "type": "",
            "frame_of_reference_uid": references.first_frame,
            "n_contours": frames_of.get(number, 0),
            "geometric_types": ["SEGMENT"],
            "extent_mm": None,
        }
        for item in ds.get("SegmentSequence") or ()
    ]
    header: dict[str, Any] = {"Rois": rois, "ContourReferences": references.as_dict()}
    for keyword in ("ContentLabel", "SegmentationType"):
        if ds.get(keyword):
            header[keyword] = str(ds.get(keyword))
    return header


def _frames_of_segments(ds: Dataset) -> dict[int, int]:
    """Count the frames of each segment, because a segment may be declared without any frame."""

    def shown(group: Dataset) -> list[int]:
        items = group.get("SegmentIdentificationSequence") or ()
        return [_number(item, "ReferencedSegmentNumber") for item in items]

    # A single segment is named once in the shared groups (PS3.3 C.7.6.16.2.17), and a frame of a label map shows all.
    declared = [_number(item, "SegmentNumber") for item in ds.get("SegmentSequence") or ()]
    of_all = [number for group in (ds.get("SharedFunctionalGroupsSequence") or ())[:1] for number in shown(group)]
    frames_of: dict[int, int] = {}
    for frame in ds.get("PerFrameFunctionalGroupsSequence") or ():
        for number in shown(frame) or of_all or declared:
            frames_of[number] = frames_of.get(number, 0) + 1
    return frames_of


def registration_header(ds: Dataset) -> dict[str, Any]:
    """Read a Spatial Registration.

    Parameters
    ----------
    ds : Dataset
        A Spatial Registration with all sequences.

    Returns
    -------
    dict
        ``RegisteredFrames``, one entry per frame of reference that the object names, its own among them:
        frame_of_reference_uid and is_rigid, whether points of it are carried by one rigid matrix.

    References
    ----------
    PS3.3 A.39.1, C.20.2.
    """
    matrices, problems = joined_frames(ds)
    return {
        "RegisteredFrames": [
            {"frame_of_reference_uid": uid, "is_rigid": uid in matrices} for uid in (*matrices, *problems)
        ]
    }


class _References:
    def __init__(self) -> None:
        self.frames: list[str] = []
        self.series: list[str] = []
        self.studies: list[str] = []
        self.instances: list[str] = []

    @property
    def first_frame(self) -> str:
        return next((uid for uid in self.frames if uid), "")

    def as_dict(self) -> dict[str, list[str]]:
        return {
            "frame_of_reference_uids": _distinct(self.frames),
            "series_instance_uids": _distinct(self.series),
            "study_instance_uids": _distinct(self.studies),
            "sop_instance_uids": _distinct(self.instances)[:MAX_REFERENCES],
        }


def _contours(items: Sequence[ContourItem], references: _References) -> dict[str, Any]:
    kinds = {item.geometric_type for item in items}
    corners: list[Any] = []
    for item in items:
        references.instances += item.image_uids
        if item.points is not None:
            corners += [item.points.min(axis=0), item.points.max(axis=0)]
    extent = None
    if corners:
        both = np.stack(corners)
        extent = [np.round(both.min(axis=0), 2).tolist(), np.round(both.max(axis=0), 2).tolist()]
    return {"n_contours": len(items), "geometric_types": sorted(kinds), "extent_mm": extent}


def _contour_item(contour: Dataset) -> ContourItem:
    raw = contour.get_item(CONTOUR_DATA).value if CONTOUR_DATA in contour else None
    return ContourItem(
        geometric_type=str(contour.get("ContourGeometricType") or "").strip().upper(),
        image_uids=[_uid(image, "ReferencedSOPInstanceUID") for image in contour.get("ContourImageSequence") or ()],
        points=contour_points(raw),
    )


def contour_points(raw: Any) -> Any:
    """Return the points of a contour, LPS, mm.

    Parameters
    ----------
    raw : bytes, or sequence of number
        Contour Data (3006,0050) as it is stored, or as pydicom decoded it.

    Returns
    -------
    array, shape (n, 3), or None
        None for a damaged contour, which has no extent (the worker, which reads all contours, refuses or uses it), and
        for one of more than `MAX_CONTOUR_BYTES`.
    """
    # The text is split here, because pydicom's number objects cost seconds for a large structure set.
    if isinstance(raw, bytes):
        if len(raw) > MAX_CONTOUR_BYTES:
            return None
        values = _numbers(raw)
    else:
        values = np.asarray(raw if raw is not None else [], dtype=float)
    if values.size < 3 or values.size % 3 or not np.isfinite(values).all():
        return None
    return values.reshape(-1, 3)


def _numbers(raw: bytes) -> Any:
    """Return the numbers of a text; what is no JSON when its backslashes are commas takes the slow way."""
    # A third of the time of `float` for each part. Only these characters: JSON has words and brackets, too.
    if not raw.translate(None, _NUMBERS):
        try:
            return np.array(orjson.loads(b"[" + raw.replace(b"\\", b",") + b"]"), dtype=float)
        except ValueError:  # empty parts, leading zeros and the like
            pass
    return np.array([float(part) for part in raw.strip(b" \0").split(b"\\") if part.strip()])


def _common_frame(uids: Sequence[str]) -> str:
    """Return the one frame of reference that the structure set names; empty where it names none or several."""
    # Type 1 for each ROI (PS3.3 C.8.8.5), yet often absent; workers/volumes/rtstruct.py reads by the same rule.
    named = {uid for uid in uids if uid}
    return named.pop() if len(named) == 1 else ""


def _uid(item: Dataset, keyword: str) -> str:
    return str(item.get(keyword) or "")


def _number(item: Dataset, keyword: str) -> int:
    value = item.get(keyword)
    return int(value) if value not in (None, "") and not isinstance(value, DicomSequence) else -1


def _distinct(values: Iterable[str]) -> list[str]:
    return [value for value in dict.fromkeys(values) if value]
