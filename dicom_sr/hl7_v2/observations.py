"""The content of a report as observations: one for each number, answer, condition and text of the SR (OBX, NTE).

Values and texts are those of the SR, since both take them from the report by the same functions. Each observation has
a key (OBX-3 and OBX-4) that is the same in every revision, so that a correction replaces exactly what it corrects.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from typing import Literal

from highdicom.sr import CodedConcept, ContentItem

from dicom_sr.coding import codes, result_codes
from dicom_sr.coding.concept import OURS, Concept
from dicom_sr.coding.message_codes import MODEL_BUNDLE, PDF_REPORT, SOP_INSTANCE_UID, ground
from dicom_sr.coding.result_codes import HIGH, LOW
from dicom_sr.content.evaluations import recommendation_items
from dicom_sr.content.patient_characteristics import stage_items
from dicom_sr.content.regimen_groups import assumed_category
from dicom_sr.hl7_v2.writing import Field, FormattedText, number
from dicom_sr.report import numbers
from dicom_sr.report.plain_text import condition_lines, result_table, summary_text
from dicom_sr.report.report_inputs import ReportOptions
from dicom_sr.report.treatment_report import NOT_DETECTED, TreatmentReport

ValueType = Literal["CWE", "ED", "FT", "NM", "SN", "ST"]  # table 0125
Key = tuple[str, str, str]  # OBX-3.1, OBX-3.3, OBX-4


@dataclass(frozen=True)
class Observation:
    """One OBX segment, and the note behind it.

    Attributes
    ----------
    name : Concept
        OBX-3.
    value : Field
        OBX-5; None of one that is deleted.
    unit : Concept or None
        OBX-6.
    sub_id : str
        OBX-4, tells observations of one code apart; never empty, since version 2.3.1 requires one.
    note : str
        Text of an NTE segment behind it; empty: none.
    observed_on : date or None
        OBX-14, where it is another day than that of the report.
    """

    name: Concept
    value_type: ValueType
    value: Field
    unit: Concept | None = None
    sub_id: str = "1"
    note: str = ""
    observed_on: date | None = None

    @property
    def key(self) -> Key:
        """What identifies it in every revision of a report."""
        return self.name.value, self.name.scheme, self.sub_id


def observations_of(
    report: TreatmentReport, options: ReportOptions, sr_instance_uid: str, pdf: bytes | None = None
) -> list[Observation]:
    """List the observations of a report, the answer first.

    Parameters
    ----------
    report : TreatmentReport
        Any report. Of a withdrawal only the withdrawal itself: its inputs would look like results that are valid.
    options : ReportOptions
        Language of the texts.
    sr_instance_uid : str
        SOP Instance UID of its SR.
    pdf : bytes or None
        The page.

    Returns
    -------
    list of Observation
        Each key once.
    """
    found = [*_answer(report, options)]
    if report.withdrawal is None:
        found += [*_numbers(report), *_inputs(report), *_conditions(report, options), *_texts(report, options)]
    found += _reasons(codes.REFUSAL, [f"{each.text} [{each.code}]" for each in report.refusals])
    if pdf is not None:
        found.append(Observation(PDF_REPORT, "ED", encapsulated(pdf)))
    return [*found, *_links(report, sr_instance_uid)]


def encapsulated(pdf: bytes) -> Field:
    """Write a PDF as data type ED.

    Parameters
    ----------
    pdf : bytes
        The whole file.

    Returns
    -------
    Field
        Other application data (AP, table 0191) in Base64 (table 0299).
    """
    return ("", "AP", "PDF", "Base64", base64.b64encode(pdf).decode("ascii"))


def _answer(report: TreatmentReport, options: ReportOptions) -> Iterator[Observation]:
    yield from (_of_item(item) for item in recommendation_items(report))
    yield Observation(codes.SUMMARY, "FT", FormattedText(summary_text(report, options.language)))


def _numbers(report: TreatmentReport) -> Iterator[Observation]:
    for scenario in report.scenarios:
        assumed = assumed_category(report, scenario)
        yield _coded(ground(assumed), codes.GROUNDS[scenario.ground])
        for months in sorted(report.horizons_months, reverse=True):
            values = (scenario.difference(months), *scenario.difference_ci95.get(months, ()))
            for end, value in zip((None, LOW, HIGH), values, strict=False):
                name = result_codes.difference(months, assumed, end)
                yield _number(name, numbers.percent(value), codes.PERCENTAGE_POINTS)
            for result in (scenario.ict_ccrt, scenario.ccrt):
                estimate = result.dfs[months]
                for end, value in zip((None, LOW, HIGH), (estimate.value, *estimate.ci95), strict=True):
                    name = result_codes.dfs(months, result.arm, assumed, end)
                    yield _number(name, numbers.percent(value), codes.PERCENT)
    if report.scores is not None:
        yield _number(codes.PROGNOSTIC_SCORE, numbers.score(report.scores.prognostic_score), codes.SCORE)
        yield _number(codes.PREDICTIVE_SCORE, numbers.score(report.scores.predictive_score), codes.SCORE)


def _inputs(report: TreatmentReport) -> Iterator[Observation]:
    permitted = codes.DEMONSTRATION_ONLY if report.model.demonstration else codes.AS_INTENDED
    yield _coded(codes.PERMITTED_USE, permitted)
    if report.age_years is not None:
        yield _number(codes.SUBJECT_AGE, numbers.age(report.age_years), codes.YEAR)
    yield from _ebv_dna(report)
    yield from (_of_item(item) for item in stage_items(report.stage))
    for position, contour in enumerate(report.contours, start=1):
        volume = numbers.volume(contour.volume_ml)
        yield _number(codes.VOLUME, volume, codes.CUBIC_CENTIMETRE, str(position), f"Contour {contour.roi_name}")


def _ebv_dna(report: TreatmentReport) -> Iterator[Observation]:
    ebv = report.ebv_dna
    day = ebv.provenance.observed_on if ebv.provenance is not None else None
    yield _coded(codes.EBV_CATEGORY, codes.EBV_CATEGORIES[ebv.category])
    copies = ebv.bound_copies_per_ml if ebv.copies_per_ml is None else ebv.copies_per_ml
    if ebv.comparator == NOT_DETECTED:
        yield replace(_coded(codes.EBV_DNA, codes.NOT_DETECTED), observed_on=day)
    elif copies is not None:
        shown = number(numbers.copies(copies))
        load = Observation(codes.EBV_DNA, "NM", shown, codes.COPIES_PER_ML, observed_on=day)
        # Structured numeric, section 2.A.72: comparator and number.
        yield load if ebv.comparator is None else replace(load, value_type="SN", value=(ebv.comparator, shown))
    if ebv.as_given:
        yield Observation(codes.EBV_AS_GIVEN, "ST", ebv.as_given, observed_on=day)
    yield _number(codes.EBV_THRESHOLD, number(numbers.copies(ebv.threshold_copies_per_ml)), codes.COPIES_PER_ML)


def _conditions(report: TreatmentReport, options: ReportOptions) -> Iterator[Observation]:
    """One coded observation for each condition of use, with its grounds as a note; then all of them as one text."""
    for condition in report.conditions:
        name, state = codes.CONDITIONS[condition.code], codes.CONDITION_STATES[condition.state]
        yield replace(_coded(name, state), note=condition.text)
    if report.conditions:
        text = condition_lines(report, options.language)
        yield Observation(codes.CONDITIONS_OF_USE, "FT", FormattedText(text))


def _texts(report: TreatmentReport, options: ReportOptions) -> Iterator[Observation]:
    yield from _reasons(codes.WARNING, [f"{each.text} [{each.code}]" for each in report.warnings])
    yield from _reasons(codes.QUALITY_FINDING, [f"{each.text} [{each.code}]" for each in report.quality])
    if report.computed:
        yield Observation(codes.FINDING, "FT", FormattedText(result_table(report, options.language)))
    for name, text in (
        (codes.INTENDED_USE, report.model.intended_use),
        (codes.TRAINING_POPULATION, report.model.training_population),
        (MODEL_BUNDLE, " ".join((report.model.name, report.model.version, report.model.digest))),
        (codes.SOFTWARE_VERSION, report.software_version),
    ):
        if text:
            yield Observation(name, "FT", FormattedText(text))


def _reasons(name: Concept, texts: list[str]) -> Iterator[Observation]:
    for position, text in enumerate(texts, start=1):
        yield Observation(name, "FT", FormattedText(text), sub_id=str(position))


def _links(report: TreatmentReport, sr_instance_uid: str) -> Iterator[Observation]:
    # As text: of the data types for references RP names an application that receivers would have to know.
    yield Observation(codes.STUDY_INSTANCE_UID, "ST", report.study_instance_uid)
    yield Observation(SOP_INSTANCE_UID, "ST", sr_instance_uid)


def _number(name: Concept, shown: str, unit: Concept, sub_id: str = "1", note: str = "") -> Observation:
    return Observation(name, "NM", shown, unit, sub_id, note)


def _coded(name: Concept, value: Concept) -> Observation:
    return Observation(name, "CWE", (value.value, value.meaning, value.scheme))


def _of_item(item: ContentItem) -> Observation:
    """Return the observation of a CODE or TEXT item of the SR."""
    name = _concept(item.ConceptNameCodeSequence[0])
    if item.ValueType == "CODE":
        return _coded(name, _concept(item.ConceptCodeSequence[0]))
    return Observation(name, "ST", str(item.TextValue))


def _concept(coded: CodedConcept) -> Concept:
    return Concept(coded.value, coded.scheme_designator, coded.meaning, OURS)
