"""Imaging Measurements: comparison and regimens, scores, tumour, algorithm."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from highdicom.sr import (
    AlgorithmIdentification,
    CompositeContentItem,
    ContainerContentItem,
    ContentSequence,
    FindingSite,
    ImageContentItem,
    MeasurementsAndQualitativeEvaluations,
    ReferencedSegment,
    RelationshipTypeValues,
    SourceSeriesForSegmentation,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom.uid import SegmentationStorage

from dicom_sr.coding import codes
from dicom_sr.coding.concept import Concept
from dicom_sr.coding.items import INFERRED_FROM, composite, container, image, keep_separate
from dicom_sr.content.numeric_items import measurement
from dicom_sr.content.regimen_groups import regimen_groups, tracking
from dicom_sr.report import numbers
from dicom_sr.report.treatment_report import ContourUsed, Scores, TreatmentReport

SEGMENT_NUMBER = 1
BUNDLE_PARAMETER = "bundle"
NETWORK_PARAMETER = "network"
NOMOGRAM_PARAMETER = "nomogram"


@dataclass(frozen=True)
class SegmentReference:
    """A segment of this report's SEG objects: the contour on the grid of one series.

    Attributes
    ----------
    sop_instance_uid : str
        The SEG.
    source_series_uid : str
        The MR series.
    contour : (str, int) or None
        SOP Instance UID of the contour object and ROI or segment number of the contour.
    drawn_here : bool
        False where the contour was drawn on another grid and resampled.
    """

    sop_instance_uid: str
    source_series_uid: str
    contour: tuple[str, int] | None
    drawn_here: bool = True


def imaging_measurements(report: TreatmentReport, segments: Sequence[SegmentReference]) -> ContainerContentItem:
    """Build the container (126010, DCM, "Imaging Measurements"), TID 1500 rows 6 to 9.

    Parameters
    ----------
    report : TreatmentReport
        Any report, also a refusal.
    segments : sequence of SegmentReference
        The group of a contour refers to the segment of the same contour, preferably on the series that it was drawn on;
        contours without one are written without geometry.

    Returns
    -------
    ContainerContentItem
        Per EBV DNA category one group that compares the regimens, then one group per regimen, then the scores, the
        contours, and the algorithm.
    """
    # TID 1500 has the algorithm once for all groups; highdicom's templates only offer it per measurement, so it is
    # appended to the container here.
    groups: list[Any] = [group[0] for group in _groups(report, segments)]
    measurements = container(codes.IMAGING_MEASUREMENTS, groups)
    measurements.ContentSequence.extend(algorithm_identification(report))
    keep_separate(measurements)
    return measurements


def _groups(
    report: TreatmentReport, segments: Sequence[SegmentReference]
) -> Iterator[MeasurementsAndQualitativeEvaluations | VolumetricROIMeasurementsAndQualitativeEvaluations]:
    yield from regimen_groups(report)
    if report.scores is not None:
        yield scores_group(report, report.scores)
    for index, contour in enumerate(report.contours):
        yield tumour_group(report, index, contour, _segment_of(contour, segments))


def _segment_of(contour: ContourUsed, segments: Sequence[SegmentReference]) -> SegmentReference | None:
    """Return the segment whose voxels have the volume of the contour: the first one drawn on its own series."""
    same = [each for each in segments if each.contour == (contour.sop_instance_uid, contour.roi_number)]
    return min(same, key=lambda each: not each.drawn_here, default=None)


def scores_group(report: TreatmentReport, scores: Scores) -> MeasurementsAndQualitativeEvaluations:
    """Build the group of the two scores (TID 1501).

    Parameters
    ----------
    report : TreatmentReport
        The report, for the tracking UID.
    scores : Scores
        Its scores.

    Returns
    -------
    MeasurementsAndQualitativeEvaluations
        Both scores; of an ensemble also their errors.
    """
    named = [
        (codes.PROGNOSTIC_SCORE, numbers.score(scores.prognostic_score)),
        (codes.PREDICTIVE_SCORE, numbers.score(scores.predictive_score)),
        *_errors(scores),
    ]
    return MeasurementsAndQualitativeEvaluations(
        tracking(report, "Scores"),
        measurements=[
            measurement(name, shown, codes.NUMBER if name is codes.MODELS else codes.SCORE) for name, shown in named
        ],
    )


def _errors(scores: Scores) -> list[tuple[Concept, str]]:
    if scores.error is None:
        return []
    return [
        (codes.MODELS, str(scores.error.members)),
        (codes.PROGNOSTIC_SE, numbers.score(scores.error.prognostic_se)),
        (codes.PREDICTIVE_SE, numbers.score(scores.error.predictive_se)),
        (codes.SCORES_CORRELATION, numbers.score(scores.error.correlation)),
        (codes.SCORES_DF, f"{scores.error.degrees_of_freedom:.1f}"),
    ]


def tumour_group(
    report: TreatmentReport, index: int, contour: ContourUsed, segment: SegmentReference | None
) -> MeasurementsAndQualitativeEvaluations | VolumetricROIMeasurementsAndQualitativeEvaluations:
    """Build the group of one contour: the primary tumour and its volume in cm3.

    Parameters
    ----------
    report : TreatmentReport
        The report, for the tracking UID.
    index : int
        Position of the contour in the report, from 0.
    contour : ContourUsed
        The contour.
    segment : SegmentReference or None
        The segment with this contour. TID 1411 requires a region; without a segment the group follows TID 1501.

    Returns
    -------
    MeasurementsAndQualitativeEvaluations or VolumetricROIMeasurementsAndQualitativeEvaluations
        The same items in both cases.
    """
    volume = measurement(codes.VOLUME, numbers.volume(contour.volume_ml), codes.CUBIC_CENTIMETRE)
    volume[0].ContentSequence = ContentSequence(
        [source_of_contour(codes.SOURCE_OF_MEASUREMENT, contour, INFERRED_FROM)]
    )
    common: dict[str, Any] = {
        "tracking_identifier": tracking(report, tumour_name(index)),
        "finding_type": codes.PRIMARY_NEOPLASM.code,
        "finding_sites": [FindingSite(codes.NASOPHARYNX.code)],
        "measurements": [volume],
    }
    # PixelMed compares every TID 1501 group with TID 1411 as soon as one group of the document is of that template, and
    # reports three false errors per group; dciodvfy and highdicom read both.
    if segment is None:
        return MeasurementsAndQualitativeEvaluations(**common)
    reference = ReferencedSegment(
        SegmentationStorage,
        segment.sop_instance_uid,
        SEGMENT_NUMBER,
        source_series=SourceSeriesForSegmentation(segment.source_series_uid),
    )
    return VolumetricROIMeasurementsAndQualitativeEvaluations(referenced_segment=reference, **common)


def tumour_name(index: int) -> str:
    """Return the tracking identifier of the n-th contour, from 0."""
    return "Primary tumour" if index == 0 else f"Primary tumour, contour {index + 1}"


def source_of_contour(
    name: Concept, contour: ContourUsed, relation: RelationshipTypeValues
) -> ImageContentItem | CompositeContentItem:
    """Build the reference to the RTSTRUCT or SEG that holds a contour.

    Parameters
    ----------
    name : Concept
        Purpose of the reference.
    contour : ContourUsed
        The contour, in this study or another one of the patient.
    relation : RelationshipTypeValues
        Relationship to the parent.

    Returns
    -------
    ImageContentItem or CompositeContentItem
        A SEG is an image, an RTSTRUCT is not (PS3.3 C.17.3.2).
    """
    refer = image if contour.sop_class_uid == SegmentationStorage else composite
    return refer(name, contour.sop_class_uid, contour.sop_instance_uid, relation=relation)


def algorithm_identification(report: TreatmentReport) -> AlgorithmIdentification:
    """Build the algorithm identification (TID 4019), once for all measurements.

    Parameters
    ----------
    report : TreatmentReport
        Any report.

    Returns
    -------
    AlgorithmIdentification
        Name and version of the model bundle; the digests of bundle, network and nomogram as parameters, one per line.
    """
    model = report.model
    digests = (
        (BUNDLE_PARAMETER, model.digest),
        (NETWORK_PARAMETER, model.network_digest),
        (NOMOGRAM_PARAMETER, model.nomogram_digest),
    )
    # One text with a line for each: a reader that flattens the report would lose all but one of several.
    lines = "\r\n".join(f"{name} {digest}" for name, digest in digests if digest)
    return AlgorithmIdentification(
        model.name,
        model.version,
        parameters=[lines] if lines else None,
        family=codes.ARTIFICIAL_INTELLIGENCE.code,
    )
