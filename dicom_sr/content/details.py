"""Details of the computation: sources of the facts, series, contour, decision rule, versions.

TID 1500 is extensible and has no rows for these; every item has a name of the private scheme and one plain value.
Containers of one name differ in a concept modifier or a tracking identifier, never in their order alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from highdicom.sr import ContainerContentItem, ContentItem

from dicom_sr.coding import codes, result_codes
from dicom_sr.coding.concept import Concept
from dicom_sr.coding.items import (
    CONCEPT_MOD,
    CONTAINS,
    OBS_CONTEXT,
    code,
    container,
    day,
    image,
    moment,
    number,
    text,
    uid,
)
from dicom_sr.content.measurements import source_of_contour, tumour_name
from dicom_sr.report import numbers
from dicom_sr.report.report_status import ReplacedReport, Withdrawal
from dicom_sr.report.treatment_report import ConditionOfUse, ContourUsed, Fact, SeriesUsed, Stability, TreatmentReport

# Changes whenever a reader of the old layout could not read the new one; tests/dicom_sr/layouts has a file of each.
LAYOUT = "2"


def details(report: TreatmentReport, created: datetime) -> ContainerContentItem:
    """Build the container of details, the last one of the document.

    Parameters
    ----------
    report : TreatmentReport
        Any report, also a refusal.
    created : datetime
        The report's time in the site's time zone.

    Returns
    -------
    ContainerContentItem
        Everything that the other containers do not say, so that the report can be read back from the SR alone.
    """
    children = [*_decision(report), *_facts(report)]
    children += [series_used(series) for series in report.series]
    children += [contour_used(index, contour) for index, contour in enumerate(report.contours)]
    children += [condition_of_use(condition) for condition in report.conditions]
    children += [withdrawal(report.withdrawal)] if report.withdrawal else []
    children += [replaced(report.replaced)] if report.replaced else []
    return container(codes.DETAILS, [*children, *_versions(report, created)])


def _decision(report: TreatmentReport) -> Iterator[ContentItem]:
    for months in report.horizons_months:
        yield number(result_codes.horizon(months), str(months), codes.MONTH)
    yield number(codes.DECISION_HORIZON, str(report.model.horizon_months), codes.MONTH)
    yield number(codes.DECISION_THRESHOLD, numbers.threshold(report.model.threshold), codes.PERCENTAGE_POINTS)
    yield code(codes.DECISION_RULE, codes.DECISION_RULES[report.model.rule])
    if report.stability is not None:
        yield stability(report.stability)
    yield from _text(codes.NOMOGRAM_CITATION, report.model.nomogram_citation)


def stability(stability: Stability) -> ContainerContentItem:
    """Build the container of the recomputations: how many had the same answer, in all and by kind."""
    parts = [
        container(
            codes.STABILITY_PART, [text(codes.STABILITY_KIND, part.kind, CONCEPT_MOD), *_counts(part.held, part.of)]
        )
        for part in stability.parts
    ]
    share = number(codes.STABILITY_SHARE, numbers.threshold(stability.minimum_share), codes.PERCENT)
    return container(codes.STABILITY, [*_counts(stability.held, stability.of), share, *parts])


def _counts(held: int, of: int) -> list[ContentItem]:
    return [
        number(codes.STABILITY_HELD, str(held), codes.NUMBER),
        number(codes.STABILITY_OF, str(of), codes.NUMBER),
    ]


def _facts(report: TreatmentReport) -> Iterator[ContentItem]:
    yield from _text(codes.AGE_SOURCE, report.age_source)
    yield from _text(codes.EBV_AS_GIVEN, report.ebv_dna.as_given)
    if report.ebv_dna.provenance is not None:
        yield clinical_fact(codes.EBV_FACT, report.ebv_dna.provenance)
    # Here and not among the evaluations: there it would take a line of the first screen before the numbers.
    yield code(codes.STAGE_VERIFIED, codes.YES if report.stage.verified else codes.NO)
    if report.stage.provenance is not None:
        yield clinical_fact(codes.STAGE_FACT, report.stage.provenance)


def clinical_fact(name: Concept, fact: Fact) -> ContainerContentItem:
    """Build the container with source, date and author of one clinical value; `name` says which value."""
    children: list[ContentItem] = [code(codes.FACT_NAME, name, CONCEPT_MOD), *_text(codes.FACT_SOURCE, fact.source)]
    if fact.observed_on is not None:
        children.append(day(codes.FACT_DATE, fact.observed_on))
    children += _text(codes.FACT_SET_BY, fact.set_by)
    return container(codes.CLINICAL_FACT, children)


def series_used(series: SeriesUsed) -> ContainerContentItem:
    """Build the container of one MR series: role, reason, number of tumour slices, UIDs, representative image."""
    return container(
        codes.SERIES_USED,
        [
            code(codes.SERIES_ROLE, codes.SERIES_ROLES[series.role], CONCEPT_MOD),
            *_text(codes.SERIES_DESCRIPTION, series.description),
            *_text(codes.SERIES_REASON, series.reason),
            number(codes.TUMOUR_SLICES, str(series.n_tumour_slices), codes.SLICE),
            uid(codes.SERIES_INSTANCE_UID, series.series_instance_uid),
            image(
                codes.REPRESENTATIVE_IMAGE,
                series.sop_class_uid,
                series.representative_sop_instance_uid,
                series.representative_frame_number,
            ),
        ],
    )


def contour_used(index: int, contour: ContourUsed) -> ContainerContentItem:
    """Build the container of one contour.

    Parameters
    ----------
    index : int
        Position of the contour in the report, from 0.
    contour : ContourUsed
        The contour; its volume is in the measurement group with the same tracking identifier.

    Returns
    -------
    ContainerContentItem
        ROI, reason, number of slices, and the reference to RTSTRUCT or SEG.
    """
    return container(
        codes.CONTOUR_USED,
        [
            text(codes.TRACKING_IDENTIFIER, tumour_name(index), OBS_CONTEXT),
            text(codes.ROI_NAME, contour.roi_name),
            number(codes.ROI_NUMBER, str(contour.roi_number), codes.NUMBER),
            number(codes.CONTOUR_SLICES, str(contour.n_slices), codes.SLICE),
            *_text(codes.CONTOUR_REASON, contour.reason),
            source_of_contour(codes.CONTOUR_OBJECT, contour, CONTAINS),
            uid(codes.SERIES_INSTANCE_UID, contour.series_instance_uid),
            uid(codes.STUDY_INSTANCE_UID, contour.study_instance_uid),
        ],
    )


def condition_of_use(condition: ConditionOfUse) -> ContainerContentItem:
    """Build the container of one condition of use: which one, its state, and the grounds."""
    return container(
        codes.CONDITION_OF_USE,
        [
            code(codes.CONDITION, codes.CONDITIONS[condition.code], CONCEPT_MOD),
            code(codes.CONDITION_STATE, codes.CONDITION_STATES[condition.state]),
            *_text(codes.CONDITION_GROUNDS, condition.text),
        ],
    )


def withdrawal(withdrawn: Withdrawal) -> ContainerContentItem:
    """Build the container of a withdrawal: since when, by whom or what, and why."""
    children = [moment(codes.WITHDRAWN_SINCE, withdrawn.since), *_text(codes.WITHDRAWN_BY, withdrawn.by)]
    return container(codes.WITHDRAWAL, [*children, *_text(codes.WITHDRAWN_BECAUSE, withdrawn.because)])


def replaced(earlier: ReplacedReport) -> ContainerContentItem:
    """Build the container of the report that is replaced, by revision and time as its pictures name it."""
    revision = number(codes.REVISION, str(earlier.revision), codes.NUMBER)
    return container(codes.REPLACED, [revision, moment(codes.REPORT_CREATED, earlier.created)])


def _versions(report: TreatmentReport, created: datetime) -> Iterator[ContentItem]:
    yield number(codes.REVISION, str(report.revision), codes.NUMBER)
    yield moment(codes.REPORT_CREATED, created)
    yield from _text(codes.SOFTWARE_VERSION, report.software_version)
    yield from _text(codes.REPORT_IDENTITY, report.report_identity)
    yield text(codes.LAYOUT_VERSION, LAYOUT)


def _text(name: Concept, value: str | None) -> list[ContentItem]:
    return [text(name, value)] if value else []
