"""The attributes that the IODs of our objects require, from the tables of PS3.3.

Listed are the attributes of type 1 (present with a value) and type 2 (present, may be empty) at the top level of each
mandatory module. The content tree of an SR is not here: reading the report back from it checks more than a table could.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydicom import Dataset
from pydicom.uid import (
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EncapsulatedPDFStorage,
    EnhancedSRStorage,
    KeyObjectSelectionDocumentStorage,
    RTStructureSetStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)


@dataclass(frozen=True)
class Module:
    """The required attributes of one module, by their keywords; `section` is that of PS3.3."""

    section: str
    type_1: tuple[str, ...] = ()
    type_2: tuple[str, ...] = ()


PATIENT = Module("C.7.1.1", (), ("PatientName", "PatientID", "PatientBirthDate", "PatientSex"))
GENERAL_STUDY = Module(
    "C.7.2.1",
    ("StudyInstanceUID",),
    ("StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "StudyID"),
)
GENERAL_SERIES = Module("C.7.3.1", ("Modality", "SeriesInstanceUID"), ("SeriesNumber",))
GENERAL_EQUIPMENT = Module("C.7.5.1", (), ("Manufacturer",))
ENHANCED_GENERAL_EQUIPMENT = Module(
    "C.7.5.2", ("Manufacturer", "ManufacturerModelName", "DeviceSerialNumber", "SoftwareVersions")
)
GENERAL_IMAGE = Module("C.7.6.1", (), ("InstanceNumber",))
IMAGE_PIXEL = Module(
    "C.7.6.3",
    (
        "SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit",
        "PixelRepresentation",
    ),
)  # fmt: skip
MULTI_FRAME_FUNCTIONAL_GROUPS = Module(
    "C.7.6.16",
    ("ContentDate", "ContentTime", "InstanceNumber", "NumberOfFrames", "SharedFunctionalGroupsSequence"),
)
MULTI_FRAME_DIMENSION = Module("C.7.6.17", ("DimensionOrganizationSequence",))
SC_EQUIPMENT = Module("C.8.6.1", ("ConversionType",))
SEGMENTATION_SERIES = Module("C.8.20.1", ("Modality", "SeriesNumber"))
SEGMENTATION_IMAGE = Module(
    "C.8.20.2",
    ("ImageType", "LossyImageCompression", "SegmentationType", "SegmentSequence", "ContentLabel"),
    ("ContentDescription",),
)
SOP_COMMON = Module("C.12.1", ("SOPClassUID", "SOPInstanceUID"))
SR_DOCUMENT_SERIES = Module(
    "C.17.1", ("Modality", "SeriesInstanceUID", "SeriesNumber"), ("ReferencedPerformedProcedureStepSequence",)
)
SR_DOCUMENT_GENERAL = Module(
    "C.17.2",
    ("InstanceNumber", "CompletionFlag", "VerificationFlag", "ContentDate", "ContentTime"),
    ("PerformedProcedureCodeSequence",),
)
RT_SERIES = Module("C.8.8.1", ("Modality", "SeriesInstanceUID"), ("SeriesNumber", "OperatorsName"))
STRUCTURE_SET = Module("C.8.8.5", ("StructureSetLabel",), ("StructureSetDate", "StructureSetTime"))
KEY_OBJECT_DOCUMENT_SERIES = Module(
    "C.17.6.1", ("Modality", "SeriesInstanceUID", "SeriesNumber"), ("ReferencedPerformedProcedureStepSequence",)
)
KEY_OBJECT_DOCUMENT = Module(
    "C.17.6.2", ("InstanceNumber", "ContentDate", "ContentTime", "CurrentRequestedProcedureEvidenceSequence")
)
ENCAPSULATED_DOCUMENT_SERIES = Module("C.24.1", ("Modality", "SeriesInstanceUID", "SeriesNumber"))
ENCAPSULATED_DOCUMENT = Module(
    "C.24.2",
    ("InstanceNumber", "BurnedInAnnotation", "MIMETypeOfEncapsulatedDocument", "EncapsulatedDocument"),
    ("ContentDate", "ContentTime", "AcquisitionDateTime", "DocumentTitle", "ConceptNameCodeSequence"),
)

_EVERY_OBJECT = (PATIENT, GENERAL_STUDY, SOP_COMMON)
_SR = (*_EVERY_OBJECT, SR_DOCUMENT_SERIES, GENERAL_EQUIPMENT, SR_DOCUMENT_GENERAL)

MANDATORY_MODULES: dict[str, tuple[Module, ...]] = {
    EnhancedSRStorage: _SR,  # A.35.2
    ComprehensiveSRStorage: _SR,  # A.35.3
    Comprehensive3DSRStorage: _SR,  # A.35.13
    KeyObjectSelectionDocumentStorage: (  # A.35.4
        *_EVERY_OBJECT,
        KEY_OBJECT_DOCUMENT_SERIES,
        GENERAL_EQUIPMENT,
        KEY_OBJECT_DOCUMENT,
    ),
    SecondaryCaptureImageStorage: (*_EVERY_OBJECT, GENERAL_SERIES, SC_EQUIPMENT, GENERAL_IMAGE, IMAGE_PIXEL),  # A.8.1
    EncapsulatedPDFStorage: (  # A.45.1
        *_EVERY_OBJECT,
        ENCAPSULATED_DOCUMENT_SERIES,
        GENERAL_EQUIPMENT,
        SC_EQUIPMENT,
        ENCAPSULATED_DOCUMENT,
    ),
    RTStructureSetStorage: (  # A.19
        *_EVERY_OBJECT,
        RT_SERIES,
        GENERAL_EQUIPMENT,
        STRUCTURE_SET,
    ),
    SegmentationStorage: (  # A.51
        *_EVERY_OBJECT,
        GENERAL_SERIES,
        SEGMENTATION_SERIES,
        GENERAL_EQUIPMENT,
        ENHANCED_GENERAL_EQUIPMENT,
        GENERAL_IMAGE,
        IMAGE_PIXEL,
        SEGMENTATION_IMAGE,
        MULTI_FRAME_FUNCTIONAL_GROUPS,
        MULTI_FRAME_DIMENSION,
    ),
}


def missing_attributes(ds: Dataset) -> Iterator[str]:
    """Yield the required attributes that an object lacks.

    Parameters
    ----------
    ds : Dataset
        An object of one of the SOP classes in `MANDATORY_MODULES`.

    Yields
    ------
    str
        Keyword and type of each attribute of type 1 that is absent or empty, and of type 2 that is absent.

    Raises
    ------
    KeyError
        The SOP class is not in the table.
    """
    for module in MANDATORY_MODULES[ds.SOPClassUID]:
        for keyword in module.type_1:
            if keyword not in ds or ds[keyword].is_empty:
                yield f"{keyword} (type 1)"
        for keyword in module.type_2:
            if keyword not in ds:
                yield f"{keyword} (type 2)"
