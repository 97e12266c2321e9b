"""The attributes that make an instance what it is: whom it shows, what was measured, where, when and how.

An attribute counts when the rules of a case, the computation or the report use it, because a change of it could change
a result. Everything else may be added, removed or coerced on the way and does not count: StudyID, accession number,
institution, physicians, issuer of the Patient ID, description of the study, names of a series as far as the series
rules read nothing else in them, numbers of series and instances, private elements, group lengths, padding, character
set, window, Original Attributes Sequence, what Imaging Object Change Management adds, and how pixels are stored (bits,
sign, compression, fragments).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Group:
    """Attributes that count for one reason.

    Attributes
    ----------
    why : str
        The reason.
    keywords : tuple of str
        Of the data set itself, not of its sequences.
    when_both_state_it : bool
        True where only a contradiction counts: an archive adds the value where a scanner left it out. False where an
        absent and a present value differ, too: what was measured is not added afterwards.
    """

    why: str
    keywords: tuple[str, ...]
    when_both_state_it: bool = False


GROUPS = (
    Group(
        "which object it is: everything refers to it by these",
        ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality"),
    ),
    Group("whose it is: another Patient ID is another patient", ("PatientID",)),
    # The issuer names the authority that gave the Patient ID; archives replace it by their own.
    Group(
        "whose it is: the report names the patient, and the age is computed from the birth date",
        ("PatientName", "PatientBirthDate", "PatientSex", "PatientAge"),
        when_both_state_it=True,
    ),
    Group(
        "where it is: contours and slices meet in these coordinates (PS3.3 C.7.6.2)",
        (
            "Rows", "Columns", "NumberOfFrames", "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient",
            "SliceThickness",
        ),
    ),
    # Toolkits that recompress compute the spacing where a scanner left it out.
    Group("where it is", ("SpacingBetweenSlices", "PatientPosition"), when_both_state_it=True),
    Group(
        "when it was made: the age at the study, the interval to the treatment and the order of the series follow",
        (
            "StudyDate", "StudyTime", "SeriesDate", "SeriesTime", "AcquisitionDate", "AcquisitionTime",
            "AcquisitionDateTime", "ContentDate", "ContentTime", "StructureSetDate", "StructureSetTime",
        ),
        when_both_state_it=True,
    ),
    Group(
        "how it was acquired: series roles follow from it, and it tells the volumes of one series apart",
        (
            "ImageType", "ScanningSequence", "SequenceVariant", "ScanOptions", "MRAcquisitionType", "AngioFlag",
            "RepetitionTime", "EchoTime", "EchoNumbers", "EchoTrainLength", "InversionTime", "FlipAngle",
            "MagneticFieldStrength", "DiffusionBValue", "TriggerTime", "TemporalPositionIdentifier",
            "NumberOfTemporalPositions", "SequenceName", "PulseSequenceName", "AcquisitionContrast",
            "ComplexImageComponent", "VolumetricProperties", "EchoPulseSequence", "EchoPlanarPulseSequence",
            "MultipleSpinEcho", "SteadyStatePulseSequence", "SpectrallySelectedSuppression", "TimeOfFlightContrast",
            "PhaseContrast",
        ),
    ),
    Group(
        "whether an agent was given: T1w and CE-T1w differ by it",
        (
            "ContrastBolusAgent", "ContrastBolusVolume", "ContrastBolusTotalDose", "ContrastBolusAgentSequence",
        ),
    ),
    Group(
        "what a stored value means (PS3.3 C.7.6.3, C.11.1)",
        ("RescaleSlope", "RescaleIntercept", "PhotometricInterpretation", "SamplesPerPixel"),
    ),
    Group(
        "the functional groups of a multi-frame object: position, timing and acquisition of each frame",
        ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
    ),
    Group(
        "what is contoured, under which name and number, in which frame of reference, and whether it is approved",
        (
            "StructureSetROISequence", "ROIContourSequence", "RTROIObservationsSequence",
            "ReferencedFrameOfReferenceSequence", "ApprovalStatus",
        ),
    ),
    Group(
        "what is segmented",
        ("SegmentationType", "SegmentSequence", "MaximumFractionalValue"),
    ),
    Group("which frames of reference a registration joins, and how", ("RegistrationSequence",)),
)  # fmt: skip

# Sequence -> attributes of its items that count. In the items of a sequence that is not named here, every attribute of
# the standard counts but those of `NOT_IN_ITEMS`.
_CODE = frozenset({"CodeValue", "LongCodeValue", "URNCodeValue", "CodingSchemeDesignator"})
ITEMS: Mapping[str, frozenset[str]] = {
    "ContrastBolusAgentSequence": _CODE,
    "StructureSetROISequence": frozenset({"ROINumber", "ROIName", "ReferencedFrameOfReferenceUID"}),
    "ROIContourSequence": frozenset({"ReferencedROINumber", "ContourSequence"}),
    "ContourSequence": frozenset({"ContourGeometricType", "ContourData", "ContourImageSequence"}),
    "ContourImageSequence": frozenset({"ReferencedSOPInstanceUID", "ReferencedFrameNumber"}),
    "RTROIObservationsSequence": frozenset({"ReferencedROINumber", "RTROIInterpretedType"}),
    "ReferencedFrameOfReferenceSequence": frozenset({"FrameOfReferenceUID"}),
    "SegmentSequence": frozenset(
        {
            "SegmentNumber", "SegmentLabel", "SegmentedPropertyCategoryCodeSequence",
            "SegmentedPropertyTypeCodeSequence",
        }
    ),
    "SegmentedPropertyCategoryCodeSequence": _CODE,
    "SegmentedPropertyTypeCodeSequence": _CODE,
}  # fmt: skip

# The meaning is the code in words, of whatever language; comments are no measurement.
NOT_IN_ITEMS = frozenset({"CodeMeaning", "FrameComments", "MappingResource", "MappingResourceUID", "ContextUID"})

# Sequences whose order means nothing: their items have a number of their own (PS3.3 C.8.8.5, C.8.8.6, C.8.8.8).
NUMBERED: Mapping[str, str] = {
    "StructureSetROISequence": "ROINumber",
    "ROIContourSequence": "ReferencedROINumber",
    "RTROIObservationsSequence": "ReferencedROINumber",
    "SegmentSequence": "SegmentNumber",
}

# What an absent element means.
DEFAULTS: Mapping[str, float] = {
    "RescaleSlope": 1.0, "RescaleIntercept": 0.0, "NumberOfFrames": 1.0, "SamplesPerPixel": 1.0,
}  # fmt: skip
