"""The header of a study from what is left of it: our own objects, an image, or the ledger."""

from __future__ import annotations

import structlog
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError

from dicom_sr.header.uids import series_uid_of
from dicom_sr.report.sr_classes import SR_SOP_CLASS_UIDS
from dicom_sr.report.treatment_report import TreatmentReport
from node.ledger.cases import get_case
from node.ledger.instances import instances_of_study
from node.ledger.reports import objects_of, reports_of
from workers.pipeline.context import WorkerContext

log = structlog.get_logger("cptdn.withdrawals")


def header_of_study(context: WorkerContext, report: TreatmentReport) -> Dataset:
    """Return a header of a study whose images may be gone: of one of our objects, else of an image, else the ledger's.

    Parameters
    ----------
    context : WorkerContext
        Ledger and store.
    report : TreatmentReport
        A report with predecessors, whose objects are the first source.

    Returns
    -------
    Dataset
        Patient, study and request as the objects of a report copy them.
    """
    study = report.study_instance_uid
    with context.ledger.read() as session:
        # Of earlier reports only: the same bytes, and no evidence of itself, when a form of it is built later.
        earlier = [each for each in reports_of(session, study) if each.revision < report.revision]
        ours = [row for each in earlier for row in objects_of(session, each.id)]
        paths = [row.path for row in sorted(ours, key=lambda row: row.kind != "sr") if row.sop_class_uid]
        paths += [row.path for row in instances_of_study(session, study) if row.modality == "MR"][:1]
        issuer = get_case(session, study).issuer
    for path in paths:
        try:
            found = dcmread(context.store.path(path), stop_before_pixels=True)
        except (OSError, InvalidDicomError, EOFError) as error:
            log.warning("the header is read from another file", error=type(error).__name__)
            continue
        if found.get("StudyInstanceUID") == study:
            return _with_request(found)
    header = Dataset()
    header.PatientID, header.IssuerOfPatientID, header.StudyInstanceUID = report.patient_id, issuer, study
    header.SOPInstanceUID = report.predecessors[-1]
    header.SOPClassUID = SR_SOP_CLASS_UIDS[context.settings.report.sop_class]
    header.SeriesInstanceUID = series_uid_of(report.predecessors[-1])
    return header


def _with_request(header: Dataset) -> Dataset:
    """Return a header of ours with the request where the MR has it, from which the objects copy it."""
    requests = header.get("ReferencedRequestSequence")
    if requests and "RequestAttributesSequence" not in header:
        header.RequestAttributesSequence = requests
    return header
