"""Series of several volumes as scanners of three vendors write them, made from the series of a synthetic study."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from tests.flow.variants import save

ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"
COPIED = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate", "StudyTime",
    "StudyID", "AccessionNumber", "ReferringPhysicianName", "SeriesInstanceUID", "SeriesNumber", "SeriesDescription",
    "Modality", "FrameOfReferenceUID", "BodyPartExamined", "Manufacturer", "ContrastBolusAgent",
    "AdmittingDiagnosesDescription", "AdmittingDiagnosesCodeSequence", "PositionReferenceIndicator",
)  # fmt: skip

Change = Callable[[Dataset], None]


def dimmed(ds: Dataset, by: int) -> None:
    """Other pixels than the original: a volume that must not be taken for it."""
    ds.PixelData = (np.frombuffer(ds.PixelData, "<u2") // by).astype("<u2").tobytes()


def volumes(slices: Sequence[Dataset], folder: Path, changes: Sequence[Change]) -> list[Path]:
    """One classic series with a volume for each change; the first keeps its SOP Instance UIDs."""
    folder.mkdir(parents=True)
    paths = []
    for number, change in enumerate(changes):
        for ds in slices:
            one = copy.deepcopy(ds)
            if number:
                one.SOPInstanceUID = generate_uid(entropy_srcs=[str(ds.SOPInstanceUID), str(number)])
            change(one)
            one.InstanceNumber = len(paths) + 1
            paths.append(save(one, folder / f"{number}-{len(paths):03d}.dcm"))
    return paths


def enhanced_dixon(slices: Sequence[Dataset], path: Path) -> Path:
    """One Enhanced MR object with water, in-phase, opposed-phase and fat frames, slice by slice."""
    first = slices[0]
    ds = Dataset()
    for keyword in COPIED:
        if keyword in first:
            ds[keyword] = first[keyword]
    ds.SOPClassUID, ds.SOPInstanceUID = (
        ENHANCED_MR,
        generate_uid(entropy_srcs=[str(first.SeriesInstanceUID), "enhanced"]),
    )
    ds.ImageType = ["ORIGINAL", "PRIMARY", "DIXON", "MIXED"]
    ds.InstanceNumber, ds.ContentDate, ds.ContentTime = 1, first.StudyDate, first.StudyTime
    ds.AcquisitionDateTime = f"{first.StudyDate}{first.StudyTime}"
    for keyword in ("SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns", "BitsAllocated", "BitsStored",
                    "HighBit", "PixelRepresentation", "MagneticFieldStrength"):  # fmt: skip
        if keyword in first:
            ds[keyword] = first[keyword]
    ds.EchoPulseSequence, ds.MRAcquisitionType = "SPIN", "2D"
    shared, groups, pixels = _shared(first), [], []
    for at, one in enumerate(slices, start=1):
        for number, kind in enumerate(("OUT_OF_PHASE", "IN_PHASE", "FAT", "WATER")):
            groups.append(_frame(one, at, number + 1, kind))
            stored = np.frombuffer(one.PixelData, "<u2")
            pixels.append((stored if kind == "WATER" else stored // (number + 2)).astype("<u2").tobytes())
    ds.SharedFunctionalGroupsSequence, ds.PerFrameFunctionalGroupsSequence = [shared], groups
    ds.NumberOfFrames, ds.PixelData = len(groups), b"".join(pixels)
    ds.file_meta = copy.deepcopy(first.file_meta)
    ds.file_meta.MediaStorageSOPClassUID = ENHANCED_MR
    path.parent.mkdir(parents=True, exist_ok=True)
    return save(ds, path)


def _shared(first: Dataset) -> Dataset:
    shared = Dataset()
    shared.PixelMeasuresSequence = [_item(first, "PixelSpacing", "SliceThickness", "SpacingBetweenSlices")]
    shared.PlaneOrientationSequence = [_item(first, "ImageOrientationPatient")]
    timing = Dataset()
    timing.RepetitionTime, timing.FlipAngle = float(first.RepetitionTime), float(first.get("FlipAngle") or 90)
    timing.EchoTrainLength = int(first.get("EchoTrainLength") or 1)
    shared.MRTimingAndRelatedParametersSequence = [timing]
    echo = Dataset()
    echo.EffectiveEchoTime = float(first.EchoTime)
    shared.MREchoSequence = [echo]
    return shared


def _frame(one: Dataset, position: int, number: int, kind: str) -> Dataset:
    group, content, frame_type = Dataset(), Dataset(), Dataset()
    content.StackID, content.InStackPositionNumber = "1", position
    content.DimensionIndexValues = [1, position, number]
    frame_type.FrameType = ["ORIGINAL", "PRIMARY", "DIXON", kind]
    frame_type.ComplexImageComponent, frame_type.AcquisitionContrast = "MAGNITUDE", "T1"
    group.FrameContentSequence, group.MRImageFrameTypeSequence = [content], [frame_type]
    group.PlanePositionSequence = [_item(one, "ImagePositionPatient")]
    return group


def _item(source: Dataset, *keywords: str) -> Dataset:
    item = Dataset()
    for keyword in keywords:
        if keyword in source:
            item[keyword] = source[keyword]
    return item
