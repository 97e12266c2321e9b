"""The last look before anything is stored: a broken report cannot be sent.

`check_report` asks whether the report holds together, `validate` whether each object has what its IOD demands and
whether the SR reads back as the very report it was made from.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence

from highdicom._standard_utils import get_iod_module_map, get_module_attribute_map, get_sop_class_iod_map
from pydicom import Dataset, dcmread

from config.indication.vocabulary import TreatmentArm
from dicom_sr.coding import codes
from dicom_sr.header.characters import text_of
from dicom_sr.reading.reader import read_report
from dicom_sr.report.errors import InvalidReportError, ReportError
from dicom_sr.report.report_inputs import ReportObject, SourceStudy
from dicom_sr.report.treatment_report import ArmResult, Reason, Scenario, TreatmentReport

REASON_CODE = re.compile(r"[A-Za-z0-9_.-]+")
UID = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+")
# the table lists the attributes of every value type as if one item needed them all; reading back checks the content
CONDITIONAL_MODULES = ("sr-document-content",)
ROUNDING = 0.0011  # a difference this near to the threshold may round to either side of it


def check_report(report: TreatmentReport, sources: SourceStudy) -> None:
    """Raises InvalidReportError naming the first thing that does not hold together."""
    for complaint in _complaints(report, sources):
        raise InvalidReportError(f"report {report.report_identity[:12]}: {complaint}")


def _complaints(report: TreatmentReport, sources: SourceStudy) -> Iterator[str]:
    if not report.report_identity or report.revision < 1:
        yield f"expected an identity and a revision of at least 1, found {report.revision}"
    if report.computed and report.refusals:
        yield f"expected either a result or refusals, found both ({report.refusals[0].code})"
    if not report.computed and not report.refusals:
        yield "expected a result or the reasons why there is none, found neither"
    yield from _uid_complaints(report)
    yield from _source_complaints(report, sources)
    for reason in (*report.quality, *report.warnings, *report.refusals):
        yield from _reason_complaints(reason)
    for fact in (report.ebv_dna.provenance, report.stage.provenance):
        if fact is not None and not fact.source:
            yield "expected a source for each clinical fact, found an empty one"
    categories = [scenario.ebv_category for scenario in report.scenarios]
    if len(set(categories)) != len(categories):
        yield f"expected one scenario per EBV DNA category, found {', '.join(categories)}"
    if report.computed and sorted(set(report.horizons_months)) != list(report.horizons_months):
        yield f"expected ascending horizons, found {report.horizons_months}"
    for scenario in report.scenarios:
        yield from _scenario_complaints(report, scenario)


def _uid_complaints(report: TreatmentReport) -> Iterator[str]:
    uids = [report.study_instance_uid, *report.predecessors]
    for series in report.series:
        uids += [series.series_instance_uid, series.sop_class_uid, series.representative_sop_instance_uid]
    for used in report.contours:
        uids += [used.sop_instance_uid, used.sop_class_uid, used.series_instance_uid, used.study_instance_uid]
    for uid in uids:
        if len(uid) > 64 or not UID.fullmatch(uid):
            yield f"expected a DICOM UID, found {uid!r}"


def _source_complaints(report: TreatmentReport, sources: SourceStudy) -> Iterator[str]:
    if not sources.mr:
        yield "expected the MR instances of the study, found none"
        return
    found = text_of(sources.mr[0], "PatientID", sources.character_set), str(sources.mr[0].StudyInstanceUID)
    if found != (report.patient_id, report.study_instance_uid):
        yield "expected the patient and the study of the report, found MR instances of another"
    held = {str(ds.SOPInstanceUID) for ds in sources.mr}
    for series in report.series:
        if series.representative_sop_instance_uid not in held:
            yield f"the representative slice {series.representative_sop_instance_uid} is not among the MR instances"


def _reason_complaints(reason: Reason) -> Iterator[str]:
    if not REASON_CODE.fullmatch(reason.code) or not reason.text:
        yield f"expected a reason with a code and a sentence, found {reason.code!r}: {reason.text!r}"


def _scenario_complaints(report: TreatmentReport, scenario: Scenario) -> Iterator[str]:
    arms = ((TreatmentArm.ICT_CCRT, scenario.ict_ccrt), (TreatmentArm.CCRT, scenario.ccrt))
    for arm, result in arms:
        if result.arm is not arm:
            yield f"expected the result of {arm.value}, found that of {result.arm.value}"
        yield from _arm_complaints(report, result)
    if not set(scenario.difference_ci95) <= set(report.horizons_months):
        yield f"expected intervals at {report.horizons_months}, found {sorted(scenario.difference_ci95)}"
    horizon = report.model.horizon_months
    if horizon not in scenario.ict_ccrt.dfs or horizon not in scenario.ccrt.dfs:
        yield f"expected DFS at the decision horizon of {horizon} months, found none"
        return
    gain = scenario.difference(horizon) - report.model.threshold
    follows = TreatmentArm.ICT_CCRT if gain > 0 else TreatmentArm.CCRT
    if abs(gain) > ROUNDING and scenario.recommendation is not follows:
        yield f"expected {follows.value} as recommended regimen, found {scenario.recommendation.value}"


def _arm_complaints(report: TreatmentReport, result: ArmResult) -> Iterator[str]:
    if tuple(sorted(result.dfs)) != report.horizons_months:
        yield f"{result.arm.value}: expected DFS at {report.horizons_months} months, found {sorted(result.dfs)}"
    for months, estimate in result.dfs.items():
        low, high = estimate.ci95
        if not 0 <= low <= estimate.value <= high <= 1:
            yield f"{result.arm.value}: expected 0 <= low <= DFS <= high <= 1 at {months} months, found {estimate}"
    unknown = set(result.points) - set(codes.POINTS)
    if unknown:
        yield f"{result.arm.value}: expected points for {sorted(codes.POINTS)}, found {sorted(unknown)}"


def validate(objects: Sequence[ReportObject], report: TreatmentReport, sources: SourceStudy) -> None:
    """Raises InvalidReportError when an object may not be stored."""
    for each in objects:
        sent = _as_received(each)
        missing = list(_missing_attributes(sent))
        if missing:
            raise InvalidReportError(f"{each.kind} {each.sop_instance_uid}: lacks {', '.join(missing)}")
        if each.kind == "sr":
            _check_sr(sent, report, sources)


def _as_received(each: ReportObject) -> Dataset:
    """The object encoded and decoded again: what a receiver gets."""
    try:
        received = dcmread(io.BytesIO(each.encoded))
        received.decode()
    except (AttributeError, TypeError, ValueError, UnicodeError) as error:
        raise InvalidReportError(f"{each.kind} {each.sop_instance_uid}: cannot be encoded: {error}") from error
    return received


def load_tables() -> None:
    """Read highdicom's tables of the standard, which it keeps."""
    for load in (get_sop_class_iod_map, get_iod_module_map, get_module_attribute_map):
        load()


def _missing_attributes(ds: Dataset) -> Iterator[str]:
    """Attributes of type 1 that are absent or empty, and of type 2 that are absent, in the mandatory modules."""
    iod = get_sop_class_iod_map()[ds.SOPClassUID]
    for module in get_iod_module_map()[iod]:
        if module["usage"] != "M" or module["key"] in CONDITIONAL_MODULES:
            continue
        for attribute in get_module_attribute_map()[module["key"]]:
            keyword, kind = attribute["keyword"], attribute["type"]
            if attribute["path"] or kind not in ("1", "2"):
                continue
            if keyword not in ds or (kind == "1" and ds[keyword].is_empty):
                yield f"{keyword} (type {kind})"


def _check_sr(ds: Dataset, report: TreatmentReport, sources: SourceStudy) -> None:
    try:
        found = read_report(ds)
    except ReportError as error:
        raise InvalidReportError(f"the SR cannot be read back: {error}") from error
    if found != report:
        names = [name for name in vars(report) if getattr(report, name) != getattr(found, name)]
        raise InvalidReportError(f"the SR reads back as another report: {', '.join(names)} differ")
    listed = set(evidence_uids(ds))
    missing = [str(each.SOPInstanceUID) for each in sources.mr if str(each.SOPInstanceUID) not in listed]
    missing += [used.sop_instance_uid for used in report.contours if used.sop_instance_uid not in listed]
    if missing:
        raise InvalidReportError(f"the SR's evidence lacks {len(missing)} instances used, first {missing[0]}")


def evidence_uids(ds: Dataset) -> Iterator[str]:
    """SOP Instance UIDs of both evidence sequences."""
    for keyword in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence"):
        for study in ds.get(keyword) or ():
            for series in study.ReferencedSeriesSequence:
                yield from (str(item.ReferencedSOPInstanceUID) for item in series.ReferencedSOPSequence)
