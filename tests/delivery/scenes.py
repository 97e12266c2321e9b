"""A report whose delivery to a small PACS is pending."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from sqlalchemy import select

from config.settings import Settings
from node.ledger.database import Ledger, now_utc
from node.ledger.reports import StoredObject
from node.ledger.tables import Delivery, Outbox, Report, ReportObject
from node.store.study_store import StudyStore
from node.workflow.delivery import DeliveryOutcome, Fallback, deliver

SR = "1.2.840.10008.5.1.4.1.1.88.34"
SR_ENHANCED = "1.2.840.10008.5.1.4.1.1.88.22"
SC = "1.2.840.10008.5.1.4.1.1.7"
PDF = "1.2.840.10008.5.1.4.1.1.104.1"


@dataclass
class DeliveryScene:
    """A ledger, a store and settings, with functions that read like the story of a delivery."""

    ledger: Ledger
    store: StudyStore
    settings: Settings

    def report(self, classes: dict[str, str] | None = None, pacs: str = "main") -> int:
        """Keep a report with one object a kind; returns the id of its delivery."""
        study = generate_uid()
        with self.ledger.begin() as session:
            report = Report(
                study_instance_uid=study, job_id="j", identity=generate_uid()[-60:], computation="c",
                request_digest="d", bundle_digest="b", revision=1, sop_instance_uid=generate_uid(), result={},
                created_at=now_utc(),
            )  # fmt: skip
            session.add(report)
            session.flush()
            report_id = report.id
            delivery = Delivery(
                report_id=report_id, pacs=pacs, state="pending", not_before=now_utc(), objects={},
                created_at=now_utc(),
            )  # fmt: skip
            session.add(delivery)
            session.flush()
        for kind, sop_class in (classes or {"sr": SR, "sc": SC}).items():
            self.add_object(report_id, kind, sop_class, study)
        return delivery.id

    def add_object(self, report_id: int, kind: str, sop_class: str, study: str) -> StoredObject:
        ds = Dataset()
        ds.SOPClassUID, ds.SOPInstanceUID, ds.StudyInstanceUID = sop_class, generate_uid(), study
        ds.SeriesInstanceUID, ds.PatientID, ds.Modality = generate_uid(), "P-1", "SR"
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        buffer = BytesIO()
        ds.save_as(buffer, enforce_file_format=True)
        path = self.store.save_report(study, ds.SOPInstanceUID, buffer.getvalue())
        stored = StoredObject(kind, sop_class, str(ds.SOPInstanceUID), str(ExplicitVRLittleEndian), "", path)
        with self.ledger.begin() as session:
            session.add(
                ReportObject(
                    sop_instance_uid=stored.sop_instance_uid, report_id=report_id, kind=kind, sop_class_uid=sop_class,
                    transfer_syntax_uid=stored.transfer_syntax_uid, digest="", path=path,
                )
            )  # fmt: skip
        return stored

    def deliver(self, delivery_id: int, fallback: Fallback | None = None) -> DeliveryOutcome:
        return deliver(self.ledger, self.settings, self.store, delivery_id, "worker", fallback)

    def due_now(self, delivery_id: int) -> None:
        """Let the waiting time pass."""
        with self.ledger.begin() as session:
            session.get_one(Delivery, delivery_id).not_before = now_utc()

    def row(self, delivery_id: int) -> Delivery:
        with self.ledger.begin() as session:
            return session.get_one(Delivery, delivery_id)

    def objects(self, delivery_id: int) -> dict[str, StoredObject]:
        """Kind -> object of the delivery's report."""
        with self.ledger.begin() as session:
            report_id = session.get_one(Delivery, delivery_id).report_id
            rows = session.scalars(select(ReportObject).where(ReportObject.report_id == report_id))
            return {
                row.kind: StoredObject(
                    row.kind, row.sop_class_uid, row.sop_instance_uid, row.transfer_syntax_uid, row.digest, row.path
                )
                for row in rows
            }

    def messages(self) -> int:
        with self.ledger.begin() as session:
            return len(list(session.scalars(select(Outbox))))

    def bytes_of(self, stored: StoredObject) -> bytes:
        return Path(self.store.path(stored.path)).read_bytes()
