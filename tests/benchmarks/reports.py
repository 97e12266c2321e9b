"""A Structured Report as the node writes it, as a file to be sent."""

from __future__ import annotations

from pathlib import Path

from dicom_sr.objects.build import build_objects
from dicom_sr.report.report_inputs import ReportOptions
from tests.dicom_sr.samples import scored, sources


def structured_report(folder: Path) -> tuple[Path, str, str, str]:
    """The file, its SOP Class, SOP Instance and transfer syntax."""
    [made] = build_objects(scored(), sources(), None, ReportOptions(kinds=("sr",)))
    path = folder / "report.dcm"
    made.dataset.save_as(path, enforce_file_format=True)
    return path, made.sop_class_uid, made.sop_instance_uid, str(made.dataset.file_meta.TransferSyntaxUID)
