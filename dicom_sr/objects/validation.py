"""Validation before anything is stored, so that an invalid report cannot be sent.

`check_report` checks the report value for contradictions; `validate` checks that each object has what its IOD requires
and that the SR, encoded and read back, gives the report that it was made from.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence

from pydicom import DataElement, Dataset, dcmread
from pydicom.datadict import dictionary_VM
from pydicom.multival import MultiValue

from config.indication.vocabulary import AnswerGround, TreatmentArm
from dicom_sr.coding.result_codes import FACTORS
from dicom_sr.header.copied_values import patient_and_study
from dicom_sr.header.value_rules import ENUMERATED, RULES
from dicom_sr.objects.mandatory_attributes import missing_attributes
from dicom_sr.reading.reader import read_report
from dicom_sr.report.errors import InvalidReportError, ReportError
from dicom_sr.report.report_inputs import ReportObject, SourceStudy
from dicom_sr.report.treatment_report import ArmResult, Reason, Scenario, TreatmentReport

UID_LENGTH = 64
OWN_UIDS = ("SOPInstanceUID", "SeriesInstanceUID")  # generated here, without leading zeros
REASON_CODE = re.compile(r"[A-Za-z0-9_.-]+")
# PS3.5 9.1: numbers without leading zeros, separated by dots; the length of at most 64 is checked below.
UID = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+")
# UIDs of others are copied as they are: with leading zeros removed, a reference would name another object.
COPIED_UID = re.compile(r"\d+(\.\d+)+", re.ASCII)
# The displayed difference of two rates, each rounded to 0.001, is within 0.001 of the exact one. Nearer than that to
# the threshold it may be on the other side of it than the exact difference, by which earlier versions recommended.
ROUNDING = 0.0011


def check_report(report: TreatmentReport, sources: SourceStudy) -> None:
    """Check that a report does not contradict itself or its sources.

    Parameters
    ----------
    report : TreatmentReport
        The report.
    sources : SourceStudy
        The data sets that it names.

    Raises
    ------
    InvalidReportError
        Names the first contradiction: what was expected, and what was found.
    """
    for contradiction in _contradictions(report, sources):
        raise InvalidReportError(f"report {report.report_identity[:12]}: {contradiction}")


def _contradictions(report: TreatmentReport, sources: SourceStudy) -> Iterator[str]:
    if not report.report_identity or report.revision < 1:
        yield f"expected an identity and a revision of at least 1, found {report.revision}"
    if report.computed and report.refusals:
        yield f"expected either a result or refusals, found both ({report.refusals[0].code})"
    if report.withdrawal is not None:
        yield from _withdrawal_contradictions(report)
    elif not report.computed and not report.refusals:
        yield "expected a result or the reasons why there is none, found neither"
    yield from _uid_contradictions(report)
    yield from _source_contradictions(report, sources)
    for reason in (*report.quality, *report.warnings, *report.refusals):
        yield from _reason_contradictions(reason)
    for fact in (report.ebv_dna.provenance, report.stage.provenance):
        if fact is not None and not fact.source:
            yield "expected a source for each clinical fact, found an empty one"
    categories = [scenario.ebv_category for scenario in report.scenarios]
    if len(set(categories)) != len(categories):
        yield f"expected one scenario per EBV DNA category, found {', '.join(categories)}"
    if report.computed and sorted(set(report.horizons_months)) != list(report.horizons_months):
        yield f"expected ascending horizons, found {report.horizons_months}"
    for scenario in report.scenarios:
        yield from _scenario_contradictions(report, scenario)


def _withdrawal_contradictions(report: TreatmentReport) -> Iterator[str]:
    # A number of the withdrawn result would be read as one that is valid.
    if report.computed or report.scores is not None:
        yield "expected no result beside a withdrawal, found one"
    if not report.predecessors:
        yield "expected the report that is withdrawn among the predecessors, found none"
    if report.withdrawal is not None and not report.withdrawal.because:
        yield "expected the reason of a withdrawal, found an empty one"


def _uid_contradictions(report: TreatmentReport) -> Iterator[str]:
    uids = [report.study_instance_uid]
    for series in report.series:
        uids += [series.series_instance_uid, series.sop_class_uid, series.representative_sop_instance_uid]
    for used in report.contours:
        uids += [used.sop_instance_uid, used.sop_class_uid, used.series_instance_uid, used.study_instance_uid]
    for uid in uids:
        if len(uid) > 64 or not COPIED_UID.fullmatch(uid):
            yield f"expected a DICOM UID, found {uid!r}"
    for uid in report.predecessors:
        if len(uid) > 64 or not UID.fullmatch(uid):
            yield f"expected the UID of a report of ours, found {uid!r}"


def _source_contradictions(report: TreatmentReport, sources: SourceStudy) -> Iterator[str]:
    if not sources.mr:
        yield "expected the MR instances of the study, found none"
        return
    # A report from another patient's images would look valid in every other respect.
    copied = patient_and_study(sources)
    if (str(copied.PatientID or ""), str(copied.StudyInstanceUID)) != (report.patient_id, report.study_instance_uid):
        yield "expected the patient and the study of the report, found MR instances of another"
    instances = {str(ds.SOPInstanceUID) for ds in sources.mr}
    for series in report.series:
        if series.representative_sop_instance_uid not in instances:
            yield f"the representative slice {series.representative_sop_instance_uid} is not among the MR instances"


def _reason_contradictions(reason: Reason) -> Iterator[str]:
    if not REASON_CODE.fullmatch(reason.code) or not reason.text:
        yield f"expected a reason with a code and a sentence, found {reason.code!r}: {reason.text!r}"


def _scenario_contradictions(report: TreatmentReport, scenario: Scenario) -> Iterator[str]:
    arms = ((TreatmentArm.ICT_CCRT, scenario.ict_ccrt), (TreatmentArm.CCRT, scenario.ccrt))
    for arm, result in arms:
        if result.arm is not arm:
            yield f"expected the result of {arm.value}, found that of {result.arm.value}"
        yield from _arm_contradictions(report, result)
    if not set(scenario.difference_ci95) <= set(report.horizons_months):
        yield f"expected intervals at {report.horizons_months}, found {sorted(scenario.difference_ci95)}"
    horizon = report.model.horizon_months
    if horizon not in scenario.ict_ccrt.dfs or horizon not in scenario.ccrt.dfs:
        yield f"expected DFS at the decision horizon of {horizon} months, found none"
        return
    is_valid = report.is_valid
    if scenario.ground is AnswerGround.POINT_DIFFERENCE:
        # Reports of earlier versions: by the exact difference, whatever the warnings said.
        if abs(scenario.difference(horizon) - report.model.threshold) <= ROUNDING:
            return
        is_valid = True
    by_rule = Scenario.decided(
        scenario.ebv_category, scenario.ict_ccrt, scenario.ccrt, scenario.difference_ci95, report.model,
        is_valid=is_valid, stability=report.stability,
    )  # fmt: skip
    if (by_rule.recommendation, by_rule.ground) != (scenario.recommendation, scenario.ground):
        yield (
            f"expected {by_rule.recommendation.value} by {by_rule.ground.value} as recommendation, found "
            f"{scenario.recommendation.value} by {scenario.ground.value}"
        )


def _arm_contradictions(report: TreatmentReport, result: ArmResult) -> Iterator[str]:
    if tuple(sorted(result.dfs)) != report.horizons_months:
        yield f"{result.arm.value}: expected DFS at {report.horizons_months} months, found {sorted(result.dfs)}"
    for months, estimate in result.dfs.items():
        low, high = estimate.ci95
        if not 0 <= low <= estimate.value <= high <= 1:
            yield f"{result.arm.value}: expected 0 <= low <= DFS <= high <= 1 at {months} months, found {estimate}"
    unknown = set(result.points) - set(FACTORS)
    if unknown:
        yield f"{result.arm.value}: expected points for {sorted(FACTORS)}, found {sorted(unknown)}"


def validate(objects: Sequence[ReportObject], report: TreatmentReport, sources: SourceStudy) -> None:
    """Check that the objects may be stored.

    Parameters
    ----------
    objects : sequence of ReportObject
        The objects of one report.
    report : TreatmentReport
        The report that they were built from.
    sources : SourceStudy
        Every MR instance and contour of it must be among the evidence of the SR.

    Raises
    ------
    InvalidReportError
        An object cannot be encoded or lacks a required attribute, or the SR reads back as another report.
    """
    # The encoded form is checked, not the data set in memory: encoding pads, strips and converts values.
    for built in objects:
        received = _as_received(built)
        missing = list(missing_attributes(received))
        if missing:
            raise InvalidReportError(f"{built.kind} {built.sop_instance_uid}: missing {', '.join(missing)}")
        for violation in value_violations(received):
            raise InvalidReportError(f"{built.kind} {built.sop_instance_uid}: {violation}")
        if built.kind == "sr":
            _check_sr(received, report, sources)


def value_violations(ds: Dataset) -> Iterator[str]:
    """Yield the values of an object that do not conform to their value representation, also those of items.

    Parameters
    ----------
    ds : Dataset
        An object of this report, as a receiver reads it.

    Yields
    ------
    str
        Attribute, what was expected and what was found.

    References
    ----------
    PS3.5 table 6.2-1.
    """
    for keyword in OWN_UIDS:
        uid = str(ds.get(keyword) or "0.0")
        if len(uid) > UID_LENGTH or not UID.fullmatch(uid):
            yield f"{keyword}: expected a UID of our own, found {uid[:80]!r}"
    for element in ds.iterall():
        if element.VR not in RULES or element.is_empty:
            continue
        several = element.value if isinstance(element.value, MultiValue | list | tuple) else None
        if several is not None and len(several) > 1 and dictionary_VM(element.tag) == "1":
            yield f"{element.keyword}: expected one value, found {len(several)}"
        for value in [element.value] if several is None else several:
            if str(value) and not _conforms(element, str(value)):
                expected = _expected(element)
                yield f"{element.keyword or element.tag}: expected {expected}, found {str(value)[:80]!r}"


def _conforms(element: DataElement, text: str) -> bool:
    if element.VR == "UI":
        return len(text) <= UID_LENGTH and COPIED_UID.fullmatch(text) is not None
    return RULES[element.VR][1](text) and text in ENUMERATED.get(element.keyword, (text,))


def _expected(element: DataElement) -> str:
    return " or ".join(ENUMERATED.get(element.keyword, ())) or RULES[element.VR][0]


def _as_received(built: ReportObject) -> Dataset:
    """Return the object encoded and decoded again, as a receiver sees it."""
    try:
        received = dcmread(io.BytesIO(built.encoded))
        received.decode()  # pydicom decodes lazily: without this a text in a wrong encoding would pass
    except (AttributeError, TypeError, ValueError, UnicodeError) as error:
        raise InvalidReportError(f"{built.kind} {built.sop_instance_uid}: cannot be encoded: {error}") from error
    return received


def _check_sr(ds: Dataset, report: TreatmentReport, sources: SourceStudy) -> None:
    try:
        read_back = read_report(ds)
    except ReportError as error:
        raise InvalidReportError(f"the SR cannot be read back: {error}") from error
    # Both values are normalised and rounded, so equality is exact: any difference is a loss on the way.
    if read_back != report:
        names = [name for name in vars(report) if getattr(report, name) != getattr(read_back, name)]
        raise InvalidReportError(f"the SR reads back as another report: {', '.join(names)} differ")
    listed = set(evidence_uids(ds))
    missing = [str(each.SOPInstanceUID) for each in sources.mr if str(each.SOPInstanceUID) not in listed]
    missing += [used.sop_instance_uid for used in report.contours if used.sop_instance_uid not in listed]
    if missing:
        raise InvalidReportError(
            f"expected every instance used in the SR's evidence, {len(missing)} are missing, first {missing[0]}"
        )


def evidence_uids(ds: Dataset) -> Iterator[str]:
    """Yield the SOP Instance UIDs in both evidence sequences of an SR.

    Parameters
    ----------
    ds : Dataset
        A Structured Report.

    Yields
    ------
    str
        UIDs of the current requested procedure, then of the pertinent other evidence.

    References
    ----------
    PS3.3 C.17.2.3.
    """
    for keyword in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence"):
        for study in ds.get(keyword) or ():
            for series in study.ReferencedSeriesSequence:
                yield from (str(item.ReferencedSOPInstanceUID) for item in series.ReferencedSOPSequence)
