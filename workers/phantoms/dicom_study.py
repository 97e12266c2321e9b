"""A phantom patient as DICOM: a study of three MR series and an RTSTRUCT, as a scanner and a planning system send them.

Every object says that it is synthetic: Patient Comments, Image Comments, manufacturer and device name.

References: PS3.3 C.8.3 (MR Image), C.7.6.2 (Image Plane), C.8.8.5 and C.8.8.6 (Structure Set, ROI Contour).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
from pydicom import Dataset, FileMetaDataset
from pydicom.dataset import FileDataset
from pydicom.uid import (
    PYDICOM_IMPLEMENTATION_UID,
    UID,
    ExplicitVRLittleEndian,
    MRImageStorage,
    RTStructureSetStorage,
    generate_uid,
)

from workers.phantoms.images import (
    N_ANGLES,
    ROLES,
    TRAINING_SCANNERS,
    Grid,
    ScannerRange,
    Subject,
    Tumour,
    render,
    tissues,
)
from workers.phantoms.population import PhantomPatient, draw_patient, patient_rng, published_nomogram
from workers.phantoms.writing import SCANNERS, PhantomCohort, subject_of
from workers.training.cohort_origin import COMMENTS, MANUFACTURER

SYNTHETIC = COMMENTS
MATRIX, SPACING_MM, THICKNESS_MM, N_SLICES = 256, 0.9, 5.0, 22
RTSTRUCT = "rtstruct.dcm"
LOWEST_MM = -52.5  # z of the first slice
STUDY_TIME = datetime(2024, 3, 1, 9, 30)
# Position of the nasopharynx in the scanner's frame of reference: x, y, z in mm.
TABLE_OFFSET_MM = (2.0, -14.0, 31.0)


@dataclass(frozen=True)
class Protocol:
    """Acquisition parameters of one series; times in ms, `minutes_after_start` counts from the start of the study."""

    description: str
    protocol: str
    echo_time_ms: float
    repetition_time_ms: float
    echo_train_length: int
    minutes_after_start: int
    contrast: bool = False
    options: str = "SP"


PROTOCOLS: dict[str, Protocol] = {
    "T1w": Protocol("t1_tse_tra", "T1 TSE TRA", 11.0, 620.0, 3, 6),
    "T2w": Protocol("t2_tse_tra", "T2 TSE TRA", 92.0, 4200.0, 16, 2),
    "CE-T1w": Protocol("t1_tse_tra_fs +C", "T1 TSE FS TRA GD", 12.0, 680.0, 3, 16, contrast=True, options="FS"),
}
ROI_COLOURS = {"GTVp": (255, 0, 0), "GTVnd": (255, 128, 0), "PTV70": (0, 0, 255), "Brainstem": (0, 255, 0)}
ROI_TYPES = {"GTVp": "GTV", "GTVnd": "GTV", "PTV70": "PTV", "Brainstem": "ORGAN"}
# Numbers do not follow the order in the file: a reader that matches ROIs by position finds the wrong one.
ROI_NUMBERS = {"Brainstem": 1, "GTVnd": 3, "PTV70": 7, "GTVp": 5}


@dataclass(frozen=True)
class WrittenStudy:
    """The files of a written study, with its UIDs.

    Attributes
    ----------
    folder : Path
        Of all files.
    study_instance_uid : str
        Of the study.
    series : mapping of str to tuple of Path
        Images by role, from the lowest slice upwards.
    series_instance_uids : mapping of str to str
        By role.
    rtstruct : Path
        Contours on the CE-T1w series.
    """

    folder: Path
    study_instance_uid: str
    series: Mapping[str, tuple[Path, ...]]
    series_instance_uids: Mapping[str, str]
    rtstruct: Path

    @property
    def files(self) -> tuple[Path, ...]:
        """All files, the RTSTRUCT last."""
        return (*(path for paths in self.series.values() for path in paths), self.rtstruct)


def write_study(
    phantom: PhantomPatient,
    folder: Path,
    patient_id: str,
    birth_date: date | None = None,
    *,
    patient_name: str = "Phantom^Synthetic",
    study_datetime: datetime = STUDY_TIME,
    roles: Sequence[str] = ROLES,
    n_slices: int = N_SLICES,
    matrix: int = MATRIX,
    seed: int = 0,
    number: int = 0,
    scanner: ScannerRange = TRAINING_SCANNERS,
) -> WrittenStudy:
    """Write one phantom as a study: ``folder/<role>/<n>.dcm`` and ``folder/rtstruct.dcm``.

    Parameters
    ----------
    phantom : PhantomPatient
        Facts and latent scores.
    folder : Path
        Created if necessary.
    patient_id : str
        Patient ID of all objects.
    birth_date : date, optional
        By default one that gives the phantom's age on the day of the study.
    patient_name : str
        Person Name.
    study_datetime : datetime
        Start of the study.
    roles : sequence of str
        Which series, for example without T2w. The contour is drawn on CE-T1w, else on the last one.
    n_slices, matrix : int
        Of each series; the field of view does not change.
    seed, number : int
        Of the phantom's images; equal arguments always write equal pixels and UIDs.
    scanner : ScannerRange
        The range from which each series' scanner is drawn.

    Returns
    -------
    WrittenStudy
        Files and UIDs.
    """
    subject = subject_of(phantom, seed, number)
    grid = study_grid(n_slices, matrix)
    labels = tissues(subject.head, grid)
    born = birth_date or _born(study_datetime.date(), int(phantom.record["age_years"]))
    study = _Study(patient_id, patient_name, born, str(phantom.record["sex"]), study_datetime, f"{seed}.{number}")
    written: dict[str, tuple[Path, ...]] = {}
    for at, role in enumerate(roles):
        image = render(subject, role, grid, labels, scanner, patient_rng(seed, number, 10 + ROLES.index(role)))
        stored = np.round(np.clip(image, 0, 4095)).astype(np.uint16)
        written[role] = _write_series(study, role, at + 2, stored, grid, folder / role)
    contoured = "CE-T1w" if "CE-T1w" in roles else roles[-1]
    rtstruct = folder / RTSTRUCT
    _save(_structure_set(study, subject, grid, contoured), rtstruct)
    uids = {role: study.uid(f"series/{role}") for role in roles}
    return WrittenStudy(folder, study.uid("study"), written, uids, rtstruct)


def write_phantom_study(
    folder: Path, *, seed: int, patient_id: str, birth_date: date, study_date: date, roles: Sequence[str] = ROLES
) -> WrittenStudy:
    """Write one synthetic patient by seed, for demonstrations and tests; see `write_study`."""
    phantom = draw_patient(seed, 0, published_nomogram())
    when = datetime.combine(study_date, STUDY_TIME.time())
    return write_study(phantom, folder, patient_id, birth_date, study_datetime=when, roles=roles, seed=seed)


def write_cohort_studies(
    cohort: PhantomCohort, folder: Path, progress: Callable[[int, int], None] = lambda done, total: None
) -> None:
    """Write every patient of a phantom cohort as a study in ``folder/<patient_id>/``; finished studies stay."""
    scanner = SCANNERS[cohort.scanners]
    for number, phantom in enumerate(cohort.patients()):
        patient_id = str(phantom.record["patient_id"])
        if not (folder / patient_id / RTSTRUCT).is_file():  # written last
            write_study(phantom, folder / patient_id, patient_id, seed=cohort.seed, number=number, scanner=scanner)
        progress(number + 1, cohort.size)


@dataclass(frozen=True)
class _Study:
    """Identity shared by all objects of one study."""

    patient_id: str
    patient_name: str
    birth_date: date
    sex: str
    when: datetime
    source: str

    def uid(self, what: str) -> str:
        return generate_uid(entropy_srcs=["cptdn phantom", self.patient_id, str(self.when), self.source, what])

    def instance(self, sop_class_uid: str, sop_instance_uid: str) -> FileDataset:
        """Patient, study and equipment modules of one object."""
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = UID(sop_class_uid)
        meta.MediaStorageSOPInstanceUID = UID(sop_instance_uid)
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.ImplementationClassUID = PYDICOM_IMPLEMENTATION_UID
        ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        ds.SpecificCharacterSet = "ISO_IR 192"
        ds.SOPClassUID, ds.SOPInstanceUID = sop_class_uid, sop_instance_uid
        ds.PatientName, ds.PatientID = self.patient_name, self.patient_id
        ds.PatientBirthDate, ds.PatientSex = self.birth_date.strftime("%Y%m%d"), self.sex
        years = (self.when.date() - self.birth_date).days // 365.2425
        ds.PatientAge = f"{int(years):03d}Y"
        ds.PatientComments = SYNTHETIC
        ds.StudyInstanceUID = self.uid("study")
        ds.StudyDate, ds.StudyTime = self.when.strftime("%Y%m%d"), self.when.strftime("%H%M%S")
        ds.StudyID, ds.AccessionNumber = "1", ""
        ds.StudyDescription = "MR nasopharynx (synthetic phantom)"
        # What an order for such a study states (PS3.3 C.7.2.2), so that the diagnosis comes with the images.
        ds.AdmittingDiagnosesDescription = "Nasopharyngeal carcinoma"
        ds.AdmittingDiagnosesCodeSequence = [_diagnosis_code()]
        ds.ReferringPhysicianName = ""
        ds.Manufacturer = MANUFACTURER
        ds.ManufacturerModelName = "phantom"
        ds.DeviceSerialNumber = "0"
        ds.SoftwareVersions = "1"
        return ds


def _diagnosis_code() -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator = "C11.9", "I10"  # ICD-10, PS3.16 table 8-1
    code.CodeMeaning = "Malignant neoplasm of nasopharynx, unspecified"
    return code


def _born(day: date, age_years: int) -> date:
    # Half a year past the birthday: the age in years is the same however leap days are counted.
    return day - timedelta(days=int(age_years * 365.2425) + 183)


def study_grid(n_slices: int = N_SLICES, matrix: int = MATRIX) -> Grid:
    """Return the sections of a study's series; the field of view does not depend on their number.

    Parameters
    ----------
    n_slices, matrix : int
        Of each series.
    """
    spacing = SPACING_MM * MATRIX / matrix
    across = ((np.arange(matrix) - (matrix - 1) / 2) * spacing).astype(np.float32)
    thickness = THICKNESS_MM * N_SLICES / n_slices
    return Grid(across, across, (LOWEST_MM + thickness * np.arange(n_slices)).astype(np.float32))


def _write_series(
    study: _Study, role: str, series_number: int, stored: np.ndarray[tuple[int, ...], np.dtype[np.uint16]], grid: Grid,
    folder: Path,
) -> tuple[Path, ...]:  # fmt: skip
    protocol = PROTOCOLS[role]
    acquired = study.when + timedelta(minutes=protocol.minutes_after_start)
    paths = []
    for k, z in enumerate(grid.z_mm):
        ds = study.instance(MRImageStorage, study.uid(f"{role}/{k}"))
        _describe_series(ds, study, role, protocol, series_number, acquired)
        _describe_plane(ds, grid, float(z), k)
        _describe_pixels(ds, stored[k])
        path = folder / f"{k + 1:03d}.dcm"
        _save(ds, path)
        paths.append(path)
    return tuple(paths)


def _describe_series(
    ds: Dataset, study: _Study, role: str, protocol: Protocol, series_number: int, acquired: datetime
) -> None:
    ds.Modality = "MR"
    ds.SeriesInstanceUID = study.uid(f"series/{role}")
    ds.SeriesNumber = series_number
    ds.SeriesDescription, ds.ProtocolName = protocol.description, protocol.protocol
    ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = acquired.strftime("%Y%m%d")
    ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = acquired.strftime("%H%M%S")
    ds.BodyPartExamined = "HEADNECK"
    ds.PatientPosition = "HFS"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    ds.ImageComments = SYNTHETIC
    ds.ScanningSequence, ds.SequenceVariant, ds.ScanOptions = "SE", "SK", protocol.options
    ds.MRAcquisitionType = "2D"
    ds.EchoTime, ds.RepetitionTime = protocol.echo_time_ms, protocol.repetition_time_ms
    ds.EchoTrainLength, ds.FlipAngle = protocol.echo_train_length, 150
    ds.MagneticFieldStrength, ds.ImagingFrequency, ds.ImagedNucleus = 3, 123.2, "1H"
    ds.NumberOfAverages, ds.EchoNumbers, ds.AcquisitionNumber = 1, 1, 1
    if protocol.contrast:
        ds.ContrastBolusAgent = "Gadolinium (synthetic)"
        ds.ContrastBolusRoute = "IV"
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = study.uid("frame of reference"), ""


def _describe_plane(ds: Dataset, grid: Grid, z_mm: float, k: int) -> None:
    spacing = float(grid.x_mm[1] - grid.x_mm[0])
    thickness = float(grid.z_mm[1] - grid.z_mm[0])
    ox, oy, oz = TABLE_OFFSET_MM
    ds.InstanceNumber = k + 1
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    # Rounded to 0.1 um: a DS value has at most 16 characters (PS3.5, section 6.2).
    ds.ImagePositionPatient = [
        round(float(grid.x_mm[0]) + ox, 4),
        round(float(grid.y_mm[0]) + oy, 4),
        round(z_mm + oz, 4),
    ]
    ds.SliceLocation = round(z_mm + oz, 4)
    ds.PixelSpacing = [round(spacing, 6), round(spacing, 6)]
    ds.SliceThickness = ds.SpacingBetweenSlices = round(thickness, 4)


def _describe_pixels(ds: Dataset, plane: np.ndarray[tuple[int, ...], np.dtype[np.uint16]]) -> None:
    ds.Rows, ds.Columns = plane.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    # 12 bits in 16, as MR scanners send them; PS3.3 C.8.3.1 asks for MONOCHROME2 or MONOCHROME1.
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.WindowCenter, ds.WindowWidth = round(float(plane.max()) / 2), round(float(plane.max()))
    ds.PixelData = plane.astype("<u2").tobytes()


def _structure_set(study: _Study, subject: Subject, grid: Grid, role: str) -> FileDataset:
    """GTVp beside a brainstem, a node and a target volume, drawn on one series."""
    ds = study.instance(RTStructureSetStorage, study.uid("rtstruct"))
    drawn = study.when + timedelta(days=1)
    ds.Modality, ds.SeriesInstanceUID, ds.SeriesNumber = "RTSTRUCT", study.uid("series/rtstruct"), 90
    ds.SeriesDescription = "Contours (synthetic phantom)"
    ds.SeriesDate = ds.StructureSetDate = drawn.strftime("%Y%m%d")
    ds.SeriesTime = ds.StructureSetTime = drawn.strftime("%H%M%S")
    ds.InstanceNumber, ds.StructureSetLabel = 1, "PHANTOM"
    ds.OperatorsName = ""
    ds.ApprovalStatus = "UNAPPROVED"
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = study.uid("frame of reference"), ""
    ds.ReferencedFrameOfReferenceSequence = [_referenced_frame(study, grid, role)]
    contours = _contours(subject.tumour, grid)
    ds.StructureSetROISequence, ds.ROIContourSequence, ds.RTROIObservationsSequence = [], [], []
    for name, number in ROI_NUMBERS.items():
        _add_roi(ds, study, name, number, contours[name], grid, role)
    return ds


def _referenced_frame(study: _Study, grid: Grid, role: str) -> Dataset:
    series = Dataset()
    series.SeriesInstanceUID = study.uid(f"series/{role}")
    series.ContourImageSequence = [_image_reference(study, role, k) for k in range(len(grid.z_mm))]
    referenced = Dataset()
    referenced.ReferencedSOPClassUID = "1.2.840.10008.3.1.2.3.1"  # Detached Study Management, as PS3.3 C.8.8.5 asks
    referenced.ReferencedSOPInstanceUID = study.uid("study")
    referenced.RTReferencedSeriesSequence = [series]
    frame = Dataset()
    frame.FrameOfReferenceUID = study.uid("frame of reference")
    frame.RTReferencedStudySequence = [referenced]
    return frame


def _image_reference(study: _Study, role: str, k: int) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = MRImageStorage, study.uid(f"{role}/{k}")
    return item


Polygons = dict[int, np.ndarray[tuple[int, ...], np.dtype[np.float64]]]  # slice -> (n, 2) x, y in the phantom's frame


def _contours(tumour: Tumour, grid: Grid) -> dict[str, Polygons]:
    angles = np.linspace(-np.pi, np.pi, N_ANGLES, endpoint=False, dtype=np.float32)
    gtv: Polygons = {}
    target: Polygons = {}
    for k, z in enumerate(grid.z_mm):
        outline = tumour.outline(float(z), angles, drawn=True)
        if outline is not None:
            gtv[k] = _polygon(tumour.centre_mm, outline, angles)
            target[k] = _polygon(tumour.centre_mm, outline + 5.0, angles)
    brainstem = {k: _ellipse((0, 38), (15, 10.5), angles) for k, z in enumerate(grid.z_mm) if -20 < z < 40}
    node = {k: _ellipse((38, 8), (8, 10), angles) for k, z in enumerate(grid.z_mm) if -45 < z < -25}
    return {"GTVp": gtv, "PTV70": target, "Brainstem": brainstem, "GTVnd": node}


def _polygon(
    centre_mm: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    radius: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
    angles: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    x, y = centre_mm[0] + radius * np.cos(angles), centre_mm[1] + radius * np.sin(angles)
    return np.column_stack([x, y]).astype(np.float64)


def _ellipse(
    centre: tuple[float, float], radii: tuple[float, float], angles: np.ndarray[tuple[int, ...], np.dtype[np.float32]]
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    x, y = centre[0] + radii[0] * np.cos(angles), centre[1] + radii[1] * np.sin(angles)
    return np.column_stack([x, y]).astype(np.float64)


def _add_roi(ds: Dataset, study: _Study, name: str, number: int, polygons: Polygons, grid: Grid, role: str) -> None:
    roi = Dataset()
    roi.ROINumber, roi.ROIName = number, name
    roi.ReferencedFrameOfReferenceUID = study.uid("frame of reference")
    roi.ROIGenerationAlgorithm = "AUTOMATIC"
    ds.StructureSetROISequence.append(roi)
    contours = Dataset()
    contours.ReferencedROINumber, contours.ROIDisplayColor = number, list(ROI_COLOURS[name])
    contours.ContourSequence = [_contour(study, role, k, xy, grid) for k, xy in polygons.items()]
    ds.ROIContourSequence.append(contours)
    observation = Dataset()
    observation.ObservationNumber, observation.ReferencedROINumber = number, number
    observation.RTROIInterpretedType, observation.ROIInterpreter = ROI_TYPES[name], ""
    ds.RTROIObservationsSequence.append(observation)


def _contour(
    study: _Study, role: str, k: int, xy: np.ndarray[tuple[int, ...], np.dtype[np.float64]], grid: Grid
) -> Dataset:
    ox, oy, oz = TABLE_OFFSET_MM
    z = float(grid.z_mm[k]) + oz
    item = Dataset()
    item.ContourGeometricType = "CLOSED_PLANAR"
    item.NumberOfContourPoints = len(xy)
    # In the frame of reference, so with the table's offset; 0.001 mm fits into 16 characters (PS3.5, section 6.2).
    item.ContourData = [f"{value:.3f}" for x, y in xy for value in (x + ox, y + oy, z)]
    item.ContourImageSequence = [_image_reference(study, role, k)]
    return item


def _save(ds: FileDataset, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)
