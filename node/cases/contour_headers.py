"""What ties a structure set, a segmentation or a registration to images, read without touching its points twice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.tag import Tag

MAX_CONTOUR_BYTES = 4_000_000  # one contour beyond this says nothing about its extent; the worker reads it in full
MAX_REFERENCES = 5_000
CONTOUR_DATA = Tag("ContourData")


def structure_set_header(ds: Dataset) -> dict[str, Any]:
    """RTSTRUCT: references, approval and one entry per ROI, matched by ROI Number (PS3.3 A.19, C.8.8.5-8.8).

    Rois: number, name, type (RT ROI Interpreted Type), n_contours, geometric_types, extent_mm
    ([[x, y, z] least, [x, y, z] greatest] in patient coordinates) and frame_of_reference_uid.
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
    types = {
        _number(item, "ReferencedROINumber"): str(item.get("RTROIInterpretedType") or "")
        for item in ds.get("RTROIObservationsSequence") or ()
    }
    drawn = {
        _number(item, "ReferencedROINumber"): _drawn(item.get("ContourSequence") or (), references)
        for item in ds.get("ROIContourSequence") or ()
    }
    rois = []
    for item in ds.get("StructureSetROISequence") or ():
        number = _number(item, "ROINumber")
        frame_uid = _uid(item, "ReferencedFrameOfReferenceUID")
        references.frames.append(frame_uid)
        rois.append({
            "number": number,
            "name": str(item.get("ROIName") or "").strip(),
            "type": types.get(number, ""),
            "frame_of_reference_uid": frame_uid,
            **drawn.get(number, {"n_contours": 0, "geometric_types": [], "extent_mm": None}),
        })  # fmt: skip
    header: dict[str, Any] = {"Rois": rois, "ContourReferences": references.as_dict()}
    for keyword in ("StructureSetLabel", "StructureSetDate", "StructureSetTime", "ApprovalStatus", "ReviewDate"):
        if ds.get(keyword):
            header[keyword] = str(ds.get(keyword))
    if references.first_frame:
        header["FrameOfReferenceUID"] = references.first_frame
    return header


def segmentation_header(ds: Dataset) -> dict[str, Any]:
    """SEG: segments as ROIs, the series and images they were drawn on (PS3.3 A.51)."""
    references = _References()
    references.frames.append(_uid(ds, "FrameOfReferenceUID"))
    for series in ds.get("ReferencedSeriesSequence") or ():
        references.series.append(_uid(series, "SeriesInstanceUID"))
        references.instances += [
            _uid(image, "ReferencedSOPInstanceUID") for image in series.get("ReferencedInstanceSequence") or ()
        ]
    frames_of: dict[int, int] = {}
    for frame in ds.get("PerFrameFunctionalGroupsSequence") or ():
        for item in frame.get("SegmentIdentificationSequence") or ():
            number = _number(item, "ReferencedSegmentNumber")
            frames_of[number] = frames_of.get(number, 0) + 1
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


def registration_header(ds: Dataset) -> dict[str, Any]:
    """Spatial Registration: which frames of reference it joins, and whether rigidly (PS3.3 A.39.1, C.20.2).

    RegisteredFrames: own frame of reference first, then one entry per registered frame with its matrix types.
    """
    frames = []
    for item in ds.get("RegistrationSequence") or ():
        matrix_types = []
        for registration in item.get("MatrixRegistrationSequence") or ():
            for matrix in registration.get("MatrixSequence") or ():
                matrix_types.append(str(matrix.get("FrameOfReferenceTransformationMatrixType") or ""))
        frames.append({"frame_of_reference_uid": _uid(item, "FrameOfReferenceUID"), "matrix_types": matrix_types})
    return {"RegisteredFrames": frames}


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


def _drawn(contours: Sequence[Dataset], references: _References) -> dict[str, Any]:
    kinds: set[str] = set()
    corners: list[Any] = []
    for contour in contours:
        kinds.add(str(contour.get("ContourGeometricType") or ""))
        references.instances += [
            _uid(image, "ReferencedSOPInstanceUID") for image in contour.get("ContourImageSequence") or ()
        ]
        points = _points(contour)
        if points is not None:
            corners += [points.min(axis=0), points.max(axis=0)]
    extent = None
    if corners:
        both = np.stack(corners)
        extent = [np.round(both.min(axis=0), 2).tolist(), np.round(both.max(axis=0), 2).tolist()]
    return {"n_contours": len(contours), "geometric_types": sorted(kinds), "extent_mm": extent}


def _points(contour: Dataset) -> Any:
    """(n, 3) points of a contour; the text is split here because pydicom's number objects cost seconds on big sets."""
    if CONTOUR_DATA not in contour:
        return None
    raw = contour.get_item(CONTOUR_DATA).value
    if isinstance(raw, bytes):
        if len(raw) > MAX_CONTOUR_BYTES:
            return None
        values = np.array([float(part) for part in raw.strip(b" \0").split(b"\\") if part.strip()])
    else:
        values = np.asarray(raw if raw is not None else [], dtype=float)
    if values.size < 3 or values.size % 3 or not np.isfinite(values).all():
        return None
    return values.reshape(-1, 3)


def _uid(item: Dataset, keyword: str) -> str:
    return str(item.get(keyword) or "")


def _number(item: Dataset, keyword: str) -> int:
    value = item.get(keyword)
    return int(value) if value not in (None, "") and not isinstance(value, DicomSequence) else -1


def _distinct(values: Iterable[str]) -> list[str]:
    return [value for value in dict.fromkeys(values) if value]
