"""Imaging Measurements: comparison, regimens, inputs and scores, tumour, algorithm.

The ends of a rate's interval are two NUM items after it, with names of their own, because viewers do not show the
children of a NUM item.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from highdicom.sr import (
    AlgorithmIdentification,
    ContainerContentItem,
    FindingSite,
    Measurement,
    MeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    ReferencedSegment,
    SourceSeriesForSegmentation,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom.uid import SegmentationStorage
from pydicom.valuerep import DS

from dicom_sr.coding import codes
from dicom_sr.coding.items import container, keep_separate
from dicom_sr.header.uids import uid_for
from dicom_sr.report import numbers
from dicom_sr.report.plain_text import ebv_condition
from dicom_sr.report.treatment_report import ArmResult, ContourUsed, Scenario, Scores, TreatmentReport
from dicom_sr.report.wording import ENGLISH

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
        Per EBV DNA category one group that compares the regimens, then one group per regimen, then inputs and scores,
        the contours, and the algorithm.
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
    for scenario in report.scenarios:
        yield comparison_group(report, scenario)
    for scenario in report.scenarios:
        for result in (scenario.ict_ccrt, scenario.ccrt):
            yield regimen_group(report, scenario, result)
    yield inputs_group(report)
    for index, contour in enumerate(report.contours):
        yield tumour_group(report, index, contour, _segment_of(contour, segments))


def _segment_of(contour: ContourUsed, segments: Sequence[SegmentReference]) -> SegmentReference | None:
    """Return the segment whose voxels have the volume of the contour: the first one drawn on its own series."""
    same = [each for each in segments if each.contour == (contour.sop_instance_uid, contour.roi_number)]
    return min(same, key=lambda each: not each.drawn_here, default=None)


def comparison_group(report: TreatmentReport, scenario: Scenario) -> MeasurementsAndQualitativeEvaluations:
    """Build the group that compares the regimens for one EBV DNA category (TID 1501).

    Parameters
    ----------
    report : TreatmentReport
        A computed report.
    scenario : Scenario
        One of its scenarios.

    Returns
    -------
    MeasurementsAndQualitativeEvaluations
        Per horizon, latest first, DFS under ICT+CCRT minus DFS under CCRT in percentage points, with its
        interval where there is one.
    """
    measured = []
    for months in _latest_first(report):
        measured.append(_points(codes.difference(months), scenario.difference(months)))
        if months in scenario.difference_ci95:
            low, high = scenario.difference_ci95[months]
            measured += [_points(codes.difference_low(months), low), _points(codes.difference_high(months), high)]
    return MeasurementsAndQualitativeEvaluations(
        _tracking(report, _named(report, scenario, "Comparison of the regimens")),
        measurements=measured,
        qualitative_evaluations=[
            _assumed(scenario),
            QualitativeEvaluation(codes.GROUND.code, codes.GROUNDS[scenario.ground].code),
        ],
    )


def regimen_group(
    report: TreatmentReport, scenario: Scenario, result: ArmResult
) -> MeasurementsAndQualitativeEvaluations:
    """Build the group of one regimen for one EBV DNA category (TID 1501).

    Parameters
    ----------
    report : TreatmentReport
        A computed report.
    scenario : Scenario
        One of its scenarios.
    result : ArmResult
        The regimen's result in this scenario.

    Returns
    -------
    MeasurementsAndQualitativeEvaluations
        Per horizon, latest first, DFS and its interval in percent; then total points and the points of each factor.
    """
    measured = []
    for months in _latest_first(report):
        estimate = result.dfs[months]
        measured += [
            _percent(codes.dfs(months), estimate.value),
            _percent(codes.dfs_low(months), estimate.ci95[0]),
            _percent(codes.dfs_high(months), estimate.ci95[1]),
        ]
    measured.append(_measurement(codes.TOTAL_POINTS, numbers.points(result.total_points), codes.POINT))
    for factor, concept in codes.POINTS.items():
        if factor in result.points:
            measured.append(_measurement(concept, numbers.points(result.points[factor]), codes.POINT))
    regimen = QualitativeEvaluation(codes.REGIMEN.code, codes.REGIMENS[result.arm].code)
    return MeasurementsAndQualitativeEvaluations(
        _tracking(report, _named(report, scenario, result.arm.value)),
        measurements=measured,
        qualitative_evaluations=[regimen, _assumed(scenario)],
    )


def inputs_group(report: TreatmentReport) -> MeasurementsAndQualitativeEvaluations:
    """Build the group of inputs and scores (TID 1501).

    Parameters
    ----------
    report : TreatmentReport
        Any report.

    Returns
    -------
    MeasurementsAndQualitativeEvaluations
        Age in years, EBV DNA and its threshold in copies/mL, and the two scores, where they are known.
    """
    measured = []
    if report.age_years is not None:
        measured.append(_measurement(codes.SUBJECT_AGE, numbers.age(report.age_years), codes.YEAR))
    if report.ebv_dna.copies_per_ml is not None:
        measured.append(_copies(codes.EBV_COPIES, report.ebv_dna.copies_per_ml))
    measured.append(_copies(codes.EBV_THRESHOLD, report.ebv_dna.threshold_copies_per_ml))
    if report.scores is not None:
        prognostic, predictive = report.scores.prognostic_score, report.scores.predictive_score
        measured.append(_measurement(codes.PROGNOSTIC_SCORE, numbers.score(prognostic), codes.SCORE))
        measured.append(_measurement(codes.PREDICTIVE_SCORE, numbers.score(predictive), codes.SCORE))
        measured += [_measurement(name, shown, codes.SCORE) for name, shown in _errors(report.scores)]
    return MeasurementsAndQualitativeEvaluations(_tracking(report, "Inputs and scores"), measurements=measured)


def _errors(scores: Scores) -> list[tuple[codes.Concept, str]]:
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
    name = "Primary tumour" if index == 0 else f"Primary tumour, contour {index + 1}"
    volume = _measurement(codes.VOLUME, numbers.volume(contour.volume_ml), codes.CUBIC_CENTIMETRE)
    common: dict[str, Any] = {
        "tracking_identifier": _tracking(report, name),
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


def algorithm_identification(report: TreatmentReport) -> AlgorithmIdentification:
    """Build the algorithm identification (TID 4019), once for all measurements.

    Parameters
    ----------
    report : TreatmentReport
        Any report.

    Returns
    -------
    AlgorithmIdentification
        Name and version of the model bundle; the digests of bundle, network and nomogram as parameters.
    """
    model = report.model
    digests = (
        (BUNDLE_PARAMETER, model.digest),
        (NETWORK_PARAMETER, model.network_digest),
        (NOMOGRAM_PARAMETER, model.nomogram_digest),
    )
    return AlgorithmIdentification(
        model.name,
        model.version,
        parameters=[f"{name} {digest}" for name, digest in digests if digest] or None,
        family=codes.ARTIFICIAL_INTELLIGENCE.code,
    )


def _latest_first(report: TreatmentReport) -> list[int]:
    return sorted(report.horizons_months, reverse=True)


def _named(report: TreatmentReport, scenario: Scenario, name: str) -> str:
    return f"{name}, {ebv_condition(report, scenario, ENGLISH)}" if len(report.scenarios) > 1 else name


def _tracking(report: TreatmentReport, name: str) -> TrackingIdentifier:
    # The Tracking UID is unique in the document, so the name of a group must be as well: with two scenarios it contains
    # the EBV DNA category.
    return TrackingIdentifier(uid_for(report.report_identity, f"track/{name}"), name)


def _assumed(scenario: Scenario) -> QualitativeEvaluation:
    return QualitativeEvaluation(codes.EBV_ASSUMED.code, codes.EBV_CATEGORIES[scenario.ebv_category].code)


def _percent(name: codes.Concept, fraction: float) -> Measurement:
    return _measurement(name, numbers.percent(fraction), codes.PERCENT)


def _points(name: codes.Concept, fraction: float) -> Measurement:
    return _measurement(name, numbers.percent(fraction), codes.PERCENTAGE_POINTS)


def _copies(name: codes.Concept, value: float) -> Measurement:
    return _measurement(name, numbers.copies(value), codes.COPIES_PER_ML, value)


def _measurement(name: codes.Concept, shown: str, unit: codes.Concept, exact: float | None = None) -> Measurement:
    """Build a measurement (TID 300) with the number as shown, and the exact one where that is another."""
    measurement = Measurement(name.code, 0, unit.code)
    # highdicom writes all digits of a float; a reader should see the string that every other object shows.
    measured = measurement[0].MeasuredValueSequence[0]
    measured.NumericValue = DS(shown)
    if exact is not None and float(shown) != exact:
        measured.FloatingPointValue = exact
    return measurement
