"""Qualitative Evaluations: the first container, so that the result is on a viewer's first screen.

Summary, answer, permitted use and warnings come first; stage and EBV DNA are in Patient Characteristics.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from highdicom.sr import ContainerContentItem, ContentItem, ContentSequence

from dicom_sr.coding import codes
from dicom_sr.coding.concept import Concept
from dicom_sr.coding.items import CONCEPT_MOD, OBS_CONTEXT, code, container, text
from dicom_sr.report.plain_text import condition_lines, result_table, summary_text
from dicom_sr.report.report_inputs import ReportOptions
from dicom_sr.report.treatment_report import Reason, TreatmentReport


def qualitative_evaluations(report: TreatmentReport, options: ReportOptions) -> ContainerContentItem:
    """Build the container (C0034375, UMLS, "Qualitative Evaluations"), TID 1500 row 12.

    Parameters
    ----------
    report : TreatmentReport
        Any report, also a refusal.
    options : ReportOptions
        Language of summary and table.

    Returns
    -------
    ContainerContentItem
        The summary first, then answer or "not computed", permitted use and warnings.
    """
    return container(codes.QUALITATIVE_EVALUATIONS, _items(report, options))


def _items(report: TreatmentReport, options: ReportOptions) -> Iterator[ContentItem]:
    # At 1280 x 720, dsr2html shows four items without scrolling and OHIF nine: only a text has answer, certainty,
    # numbers, conditions, contour and revision in so little room.
    yield text(codes.SUMMARY, summary_text(report, options.language))
    yield from recommendation_items(report)
    yield code(codes.PERMITTED_USE, codes.DEMONSTRATION_ONLY if report.model.demonstration else codes.AS_INTENDED)
    yield from reason_items((codes.REFUSAL, each) for each in report.refusals)
    named = [(codes.WARNING, each) for each in report.warnings] + [
        (codes.QUALITY_FINDING, each) for each in report.quality
    ]
    # In one order of severity; the concept of each says which list it is of.
    yield from reason_items(sorted(named, key=lambda pair: pair[1].severity.rank))
    grounds = {scenario.ground for scenario in report.scenarios}
    if len(grounds) == 1:
        yield code(codes.GROUND, codes.GROUNDS[grounds.pop()])
    if report.computed:
        # OHIF draws a TEXT item named 121071 "Finding" in a fixed-width font, which an aligned table needs.
        yield text(codes.FINDING, result_table(report, options.language))
    if report.conditions:
        yield text(codes.CONDITIONS_OF_USE, condition_lines(report, options.language))
    if report.model.intended_use:
        yield text(codes.INTENDED_USE, report.model.intended_use)
    if report.model.training_population:
        yield text(codes.TRAINING_POPULATION, report.model.training_population)


def recommendation_items(report: TreatmentReport) -> Iterator[ContentItem]:
    """Yield the CODE items of the recommendation.

    Parameters
    ----------
    report : TreatmentReport
        Any report.

    Yields
    ------
    ContentItem
        "Withdrawn" for a withdrawal, "Not computed" for a refusal; otherwise the recommended regimen; where EBV DNA is
        unknown and decides, "depends" and the regimen of each category.
    """
    if not report.computed:
        yield code(codes.OUTCOME, codes.NOT_COMPUTED if report.withdrawal is None else codes.WITHDRAWN)
        return
    common = report.recommendation
    yield code(codes.RECOMMENDED_REGIMEN, codes.ANSWERS[common] if common else codes.REGIMENS_DIFFER)
    if common is None:
        for scenario in report.scenarios:
            name = codes.RECOMMENDED_BY_CATEGORY[scenario.ebv_category]
            yield code(name, codes.ANSWERS[scenario.recommendation])


def reason_items(findings: Iterable[tuple[Concept, Reason]]) -> Iterator[ContentItem]:
    """Yield one TEXT item per reason, with its code and severity as concept modifiers.

    Parameters
    ----------
    findings : iterable of Concept and Reason
        In the order of the document; the concept says which list a reason belongs to.

    Yields
    ------
    ContentItem
        The sentence, then its code in brackets, since viewers do not show the children of an item. A tracking
        identifier tells several findings with one code apart.
    """
    counts: Counter[tuple[Concept, str]] = Counter()
    for name, reason in findings:
        counts[name, reason.code] += 1
        item = text(name, f"{reason.text} [{reason.code}]")
        item.ContentSequence = ContentSequence(
            [
                code(codes.REASON_CODE, codes.reason(reason.code), CONCEPT_MOD),
                code(codes.SEVERITY, codes.SEVERITIES[reason.severity], CONCEPT_MOD),
                text(codes.TRACKING_IDENTIFIER, f"{reason.code} {counts[name, reason.code]}", OBS_CONTEXT),
            ]
        )
        yield item
