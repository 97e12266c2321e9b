from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from pydicom import Dataset, dcmread
from pydicom.uid import ImplicitVRLittleEndian

from config.indication.vocabulary import SeriesRole
from dicom_sr.content.structured_report import build_sr
from dicom_sr.objects.build import build_objects
from dicom_sr.reading.reader import read_report
from dicom_sr.report.errors import ReportError, UnreadableReportError
from dicom_sr.report.json_form import load
from dicom_sr.report.report_inputs import ReportOptions, SourceStudy
from dicom_sr.report.treatment_report import TreatmentReport
from tests.dicom_sr import samples
from tests.dicom_sr.strategies import reports
from tests.dicom_sr.test_flattening import check_flattened

SR_ONLY = ReportOptions(kinds=("sr",))
SMALL = SourceStudy(tuple(samples.mr_dataset(role, 0) for role in samples.ROLES))
INSTANCES = tuple(samples.instance_uid(role, 0) for role in samples.ROLES)
EVERY_REPORT = reports("PID-0042", samples.STUDY, INSTANCES)


def sent(report: TreatmentReport, sources: SourceStudy | None = None) -> Dataset:
    """The SR as a receiver reads it from disk."""
    sources = samples.sources() if sources is None else sources
    file = io.BytesIO()
    build_sr(report, sources, SR_ONLY).save_as(file, enforce_file_format=True)
    file.seek(0)
    return dcmread(file)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(EVERY_REPORT)
def test_any_report_written_and_read_back_is_equal(report: TreatmentReport) -> None:
    """Building includes validation, which encodes the SR and decodes it again."""
    [sr] = build_objects(report, SMALL, None, SR_ONLY)
    assert read_report(sr.dataset) == report
    check_flattened(sr.dataset)


@pytest.mark.long
@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(EVERY_REPORT)
def test_many_reports_written_and_read_back_are_equal(report: TreatmentReport) -> None:
    [sr] = build_objects(report, SMALL, None, SR_ONLY)
    assert read_report(sr.dataset) == report


@pytest.mark.parametrize(
    "sop_class", [pytest.param("comprehensive_3d", marks=pytest.mark.long), "comprehensive", "enhanced"]
)
@pytest.mark.parametrize("make", [*samples.CASES.values(), samples.crowded, samples.differing])
def test_reads_every_case_in_every_class(make, sop_class, tmp_path: Path) -> None:
    report = make()
    sources = samples.sources()
    objects = build_objects(report, sources, None, ReportOptions(kinds=("sr",), sop_class=sop_class, timezone="+0800"))
    objects[0].dataset.save_as(tmp_path / "report.dcm", enforce_file_format=True)
    assert read_report(tmp_path / "report.dcm") == report


def test_changes_that_a_pacs_makes_do_not_matter(tmp_path: Path) -> None:
    ds = sent(samples.scored())
    ds.PatientID = "COERCED-1"
    ds.RetrieveAETitle, ds.InstanceAvailability = "PACS", "ONLINE"
    ds.add_new(0x00091010, "LO", "a private note")
    for item in ds.ContentSequence:
        for child in item.get("ContentSequence", []):
            child.ObservationDateTime = "20240312120000"
    ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    ds.save_as(tmp_path / "coerced.dcm", enforce_file_format=True, implicit_vr=True, little_endian=True)
    assert read_report(tmp_path / "coerced.dcm") == replace(samples.scored(), patient_id="COERCED-1")


def test_items_are_found_by_code_at_any_position() -> None:
    ds = sent(samples.unknown_ebv())
    ds.ContentSequence = list(reversed(ds.ContentSequence))
    for container in ds.ContentSequence:
        for item in container.get("ConceptNameCodeSequence", []):
            item.CodeMeaning = "translated by somebody"
    assert read_report(ds) == samples.unknown_ebv()


def test_objects_of_other_programs_are_refused_with_what_was_found(tmp_path: Path) -> None:
    with pytest.raises(UnreadableReportError, match="found MR Image Storage"):
        read_report(samples.mr_dataset(SeriesRole.T1W, 0))
    foreign = sent(samples.scored())
    foreign.ContentSequence = foreign.ContentSequence[:3]
    with pytest.raises(UnreadableReportError, match="found another one \\('Oncology Measurement Report'\\)"):
        read_report(foreign)
    (tmp_path / "text.dcm").write_text("no DICOM at all" * 20)
    with pytest.raises(UnreadableReportError, match="expected a DICOM file"):
        read_report(tmp_path / "text.dcm")
    with pytest.raises(UnreadableReportError, match="cannot be read: No such file"):
        read_report(tmp_path / "absent.dcm")


@pytest.mark.parametrize("lost", ["DETAILS/CREATED", "C0034375/PERMITTED_USE", "126010/ICT"])
def test_a_report_with_a_missing_item_is_an_error_or_reads_on_the_safe_side(lost: str) -> None:
    ds = sent(samples.scored())
    container_code, _, child_code = lost.partition("/")
    for container in ds.ContentSequence:
        if container.ConceptNameCodeSequence[0].CodeValue != container_code:
            continue
        if child_code == "ICT":
            container.ContentSequence = container.ContentSequence[:1]
        else:
            container.ContentSequence = [
                item for item in container.ContentSequence if item.ConceptNameCodeSequence[0].CodeValue != child_code
            ]
    if child_code == "PERMITTED_USE":
        assert read_report(ds).model.demonstration  # nobody said that it may be used
    else:
        with pytest.raises(ReportError):
            read_report(ds)


LAYOUTS = Path(__file__).parent / "layouts"


@pytest.mark.parametrize("path", sorted(LAYOUTS.glob("*.dcm")), ids=lambda path: path.stem)
def test_reports_of_every_layout_ever_written_stay_readable(path: Path) -> None:
    """The files were written once, by the version that introduced the layout; the JSON beside each is its report."""
    expected = load(json.loads(path.with_suffix(".json").read_text(encoding="utf-8")))
    assert read_report(path) == expected


def test_a_layout_of_the_future_is_refused_by_its_number() -> None:
    ds = sent(samples.scored())
    for container in ds.ContentSequence:
        for item in container.get("ContentSequence", []):
            if item.get("ConceptNameCodeSequence", [Dataset()])[0].get("CodeValue") == "LAYOUT":
                item.TextValue = "3"
    with pytest.raises(UnreadableReportError, match="expected a report of layout 1, 2, found 3"):
        read_report(ds)
