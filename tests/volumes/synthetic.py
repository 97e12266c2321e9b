"""Writers of synthetic DICOM for tests: MR series (classic and Enhanced) on any grid, RTSTRUCT, registration.

Everything is written with pydicom from arrays and plain geometry, so a test knows what it must find again.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydicom import Dataset, FileDataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

MR_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.4"
ENHANCED_MR_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.4.1"
RT_STRUCTURE_SET_STORAGE = "1.2.840.10008.5.1.4.1.1.481.3"
SPATIAL_REGISTRATION_STORAGE = "1.2.840.10008.5.1.4.1.1.66.1"
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
PATIENT = {"PatientName": "Phantom^Test", "PatientID": "P-1", "PatientBirthDate": "19800101", "PatientSex": "F"}


class SeriesGeometry:
    """Where a synthetic series lies. spacing_mm : (rows, columns, slices); orientation : row then column cosines."""

    def __init__(
        self,
        spacing_mm: Sequence[float] = (1.0, 1.0, 3.0),
        origin_lps_mm: Sequence[float] = (-64.0, -64.0, -30.0),
        orientation: Sequence[float] = AXIAL,
    ) -> None:
        self.spacing_mm = tuple(float(s) for s in spacing_mm)
        self.origin = np.asarray(origin_lps_mm, dtype=float)
        self.row = np.asarray(orientation[:3], dtype=float)
        self.column = np.asarray(orientation[3:], dtype=float)
        self.normal = np.cross(self.row, self.column)

    def points(self, indices_xyz: ArrayLike) -> NDArray[np.float64]:
        """(n, 3) voxel indices xyz -> LPS mm."""
        indices = np.asarray(indices_xyz, dtype=float)
        y_mm, x_mm, z_mm = self.spacing_mm
        scaled = indices * (x_mm, y_mm, z_mm)
        return self.origin + scaled @ np.vstack([self.row, self.column, self.normal])

    @property
    def orientation(self) -> list[float]:
        return [*self.row.tolist(), *self.column.tolist()]


def rotation(degrees: float, axis: Sequence[float]) -> NDArray[np.float64]:
    """(3, 3) rotation about an axis (Rodrigues)."""
    x, y, z = np.asarray(axis, dtype=float) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.radians(degrees)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def tilted(degrees: float, axis: Sequence[float]) -> list[float]:
    """Axial row and column cosines after a rotation."""
    turned = rotation(degrees, axis)
    return [*turned[:, 0].tolist(), *turned[:, 1].tolist()]


def write_series(
    folder: Path,
    volume_zyx: NDArray[np.integer],
    geometry: SeriesGeometry | None = None,
    *,
    study_uid: str | None = None,
    series_uid: str | None = None,
    frame_of_reference_uid: str | None = None,
    header: Mapping[str, object] | None = None,
) -> list[Path]:
    """One classic MR series, a 16-bit file a slice in z order; header : further keywords for every instance."""
    geometry = geometry or SeriesGeometry()
    folder.mkdir(parents=True, exist_ok=True)
    shared = {
        "StudyInstanceUID": study_uid or generate_uid(),
        "SeriesInstanceUID": series_uid or generate_uid(),
        "FrameOfReferenceUID": frame_of_reference_uid or generate_uid(),
    }
    paths = []
    for z, pixels in enumerate(volume_zyx):
        ds = _image(MR_IMAGE_STORAGE, pixels, shared)
        ds.InstanceNumber = z + 1
        ds.ImagePositionPatient = geometry.points([0, 0, z]).tolist()
        ds.ImageOrientationPatient = geometry.orientation
        ds.PixelSpacing = list(geometry.spacing_mm[:2])
        ds.SliceThickness = geometry.spacing_mm[2]
        ds.SpacingBetweenSlices = geometry.spacing_mm[2]
        for keyword, value in (header or {}).items():
            setattr(ds, keyword, value)
        path = folder / f"mr{z:03d}.dcm"
        ds.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def write_enhanced(
    path: Path,
    volume_zyx: NDArray[np.integer],
    geometry: SeriesGeometry | None = None,
    *,
    study_uid: str | None = None,
    series_uid: str | None = None,
    frame_of_reference_uid: str | None = None,
    temporal_positions: int = 1,
) -> Path:
    """One Enhanced MR object; with temporal_positions > 1 the frames repeat the positions that many times."""
    geometry = geometry or SeriesGeometry()
    per_position = len(volume_zyx) // temporal_positions
    ds = _image(ENHANCED_MR_IMAGE_STORAGE, volume_zyx[0], {
        "StudyInstanceUID": study_uid or generate_uid(),
        "SeriesInstanceUID": series_uid or generate_uid(),
        "FrameOfReferenceUID": frame_of_reference_uid or generate_uid(),
    })  # fmt: skip
    ds.NumberOfFrames = len(volume_zyx)
    ds.PixelData = volume_zyx.astype("<u2").tobytes()
    measures, orientation, values, shared = Dataset(), Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = list(geometry.spacing_mm[:2])
    measures.SliceThickness = geometry.spacing_mm[2]
    orientation.ImageOrientationPatient = geometry.orientation
    values.RescaleSlope, values.RescaleIntercept, values.RescaleType = 1, 0, "US"
    shared.PixelMeasuresSequence = [measures]
    shared.PlaneOrientationSequence = [orientation]
    shared.PixelValueTransformationSequence = [values]
    ds.SharedFunctionalGroupsSequence = [shared]
    groups = []
    for frame in range(len(volume_zyx)):
        position, content, group = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = geometry.points([0, 0, frame % per_position]).tolist()
        content.TemporalPositionIndex = frame // per_position + 1
        content.StackID = "1"
        content.InStackPositionNumber = frame % per_position + 1
        group.PlanePositionSequence = [position]
        group.FrameContentSequence = [content]
        groups.append(group)
    ds.PerFrameFunctionalGroupsSequence = groups
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)
    return path


def write_rtstruct(
    path: Path,
    rois: Mapping[str, Sequence[ArrayLike]],
    frame_of_reference_uid: str,
    *,
    study_uid: str | None = None,
    types: Mapping[str, str] | None = None,
    geometric_type: str = "CLOSED_PLANAR",
    images: Mapping[float, str] | None = None,
    header: Mapping[str, object] | None = None,
) -> Path:
    """One RTSTRUCT. rois : name -> its contours, each (n, 3) LPS mm, numbered from 11 on in steps of 3.

    types : name -> RT ROI Interpreted Type (GTV otherwise); images : z of a contour -> SOP Instance UID it refers to.
    """
    ds = _object(RT_STRUCTURE_SET_STORAGE, "RTSTRUCT", {
        "StudyInstanceUID": study_uid or generate_uid(), "SeriesInstanceUID": generate_uid(),
    })  # fmt: skip
    ds.StructureSetLabel = "TEST"
    ds.StructureSetDate, ds.StructureSetTime = ds.StudyDate, ds.StudyTime
    ds.ApprovalStatus = "APPROVED"
    reference = Dataset()
    reference.FrameOfReferenceUID = frame_of_reference_uid
    ds.ReferencedFrameOfReferenceSequence = [reference]
    ds.StructureSetROISequence, ds.ROIContourSequence, ds.RTROIObservationsSequence = [], [], []
    for number, (name, contours) in zip(range(11, 10_000, 3), rois.items(), strict=False):
        item, drawn, observed = Dataset(), Dataset(), Dataset()
        item.ROINumber, item.ROIName = number, name
        item.ReferencedFrameOfReferenceUID = frame_of_reference_uid
        item.ROIGenerationAlgorithm = "MANUAL"
        drawn.ReferencedROINumber = number
        drawn.ROIDisplayColor = [255, 0, 0]
        if contours:
            drawn.ContourSequence = [_contour(points, geometric_type, images or {}) for points in contours]
        observed.ObservationNumber = observed.ReferencedROINumber = number
        observed.RTROIInterpretedType = (types or {}).get(name, "GTV")
        observed.ROIInterpreter = ""
        ds.StructureSetROISequence.append(item)
        # the contours stand in another order than the names, as programs in the wild have it
        ds.ROIContourSequence.insert(0, drawn)
        ds.RTROIObservationsSequence.append(observed)
    for keyword, value in (header or {}).items():
        setattr(ds, keyword, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)
    return path


def write_registration(path: Path, from_uid: str, to_uid: str, matrix: ArrayLike, kind: str = "RIGID") -> Path:
    """One Spatial Registration: matrix (4, 4) carries from_uid to to_uid, the registered frame of reference."""
    ds = _object(SPATIAL_REGISTRATION_STORAGE, "REG", {
        "StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid(), "FrameOfReferenceUID": to_uid,
    })  # fmt: skip
    ds.ContentDate, ds.ContentTime = ds.StudyDate, ds.StudyTime
    ds.InstanceNumber, ds.ContentLabel, ds.ContentDescription, ds.ContentCreatorName = 1, "REG", "", ""
    ds.RegistrationSequence = []
    for uid, values in ((to_uid, np.eye(4)), (from_uid, np.asarray(matrix, dtype=float))):
        item, registration, entry = Dataset(), Dataset(), Dataset()
        entry.FrameOfReferenceTransformationMatrixType = kind
        entry.FrameOfReferenceTransformationMatrix = [f"{v:.12g}" for v in values.ravel()]
        registration.MatrixSequence = [entry]
        item.FrameOfReferenceUID = uid
        item.MatrixRegistrationSequence = [registration]
        ds.RegistrationSequence.append(item)
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)
    return path


def circle(
    centre_lps_mm: ArrayLike, radius_mm: float, first: ArrayLike, second: ArrayLike, n: int = 360
) -> NDArray[np.float64]:
    """(n, 3) points in the plane of two orthonormal vectors; the polygon's area is that of the circle."""
    angle = np.arange(n) * 2 * np.pi / n
    radius = radius_mm * np.sqrt(2 * np.pi / n / np.sin(2 * np.pi / n))
    along = np.outer(np.cos(angle), np.asarray(first)) + np.outer(np.sin(angle), np.asarray(second))
    return np.asarray(centre_lps_mm) + radius * along


def sphere_contours(
    geometry: SeriesGeometry, n_slices: int, centre_lps_mm: ArrayLike, radius_mm: float
) -> list[NDArray[np.float64]]:
    """Circles in which the planes of a series cut a sphere."""
    contours = []
    for z in range(n_slices):
        plane = geometry.points([0, 0, z])
        away = (np.asarray(centre_lps_mm) - plane) @ geometry.normal
        if abs(away) < radius_mm:
            centre = np.asarray(centre_lps_mm) - away * geometry.normal
            contours.append(circle(centre, float(np.sqrt(radius_mm**2 - away**2)), geometry.row, geometry.column))
    return contours


def _contour(points: ArrayLike, geometric_type: str, images: Mapping[float, str]) -> Dataset:
    item = Dataset()
    points = np.asarray(points, dtype=float)
    item.ContourGeometricType = geometric_type
    item.NumberOfContourPoints = len(points)
    item.ContourData = [f"{v:.4f}" for v in points.ravel()]
    uid = images.get(round(float(points[0, 2]), 2))
    if uid is not None:
        image = Dataset()
        image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = MR_IMAGE_STORAGE, uid
        item.ContourImageSequence = [image]
    return item


def _image(sop_class_uid: str, pixels: NDArray[np.integer], uids: Mapping[str, str]) -> FileDataset:
    ds = _object(sop_class_uid, "MR", uids)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "M"]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = pixels.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 0
    ds.PixelData = pixels.astype("<u2").tobytes()
    return ds


def _object(sop_class_uid: str, modality: str, uids: Mapping[str, str]) -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = sop_class_uid
    meta.MediaStorageSOPInstanceUID = generate_uid()
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID, ds.Modality = sop_class_uid, meta.MediaStorageSOPInstanceUID, modality
    now = datetime.datetime(2026, 3, 2, 9, 30)
    ds.StudyDate, ds.StudyTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    ds.StudyID, ds.AccessionNumber, ds.ReferringPhysicianName = "1", "A-1", ""
    ds.SeriesNumber, ds.Manufacturer = 1, "Phantom"
    for keyword, value in {**PATIENT, **uids}.items():
        setattr(ds, keyword, value)
    return ds
