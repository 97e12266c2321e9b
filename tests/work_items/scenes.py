"""A ledger with studies in any state, a node that answers for work items, and requesters that speak to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE
from pynetdicom.sop_class import UnifiedProcedureStepPush, UnifiedProcedureStepWatch

from config.settings import (
    JobSettings,
    LedgerSettings,
    NodeSettings,
    NotifiedAeSettings,
    PacsSettings,
    Settings,
    StorageSettings,
    WorkItemSettings,
    WorklistSettings,
)
from node.audit.recorder import open_audit
from node.dicom.scp.ae import RunningNode, start_node
from node.dicom.scp.intake import Intake
from node.dicom.scp.work_items import WorkItemService
from node.ledger.cases import open_case, set_state
from node.ledger.commitments import record_commitment
from node.ledger.database import Ledger, now_utc, open_ledger
from node.ledger.tables import Case, Delivery, Report, ReportObject
from node.ledger.work_item_tables import WorkItem
from node.ledger.work_items import find_item, list_items
from node.store.study_store import StudyStore
from node.workflow.work_items import judge_due

SR = "1.2.840.10008.5.1.4.1.1.88.34"
SC = "1.2.840.10008.5.1.4.1.1.7"
REASON = {"code": "stage_not_eligible", "text": "The stage is not T3N1M0."}


def settings_for(root: Path, port: int = 0, **sections: Any) -> Settings:
    """Settings of a node that takes work items; sections replace those here."""
    values: dict[str, Any] = {
        "node": NodeSettings(port=port),
        "storage": StorageSettings(root=root, min_free_gb=0.0),
        "ledger": LedgerSettings(url=f"sqlite:///{root / 'ledger.db'}"),
        "pacs": (PacsSettings(name="main", ae_title="ARCHIVE", storage_commitment=False),),
        "jobs": JobSettings(lease_s=1.0),
        "work_items": WorkItemSettings(receive=True),
    }
    return Settings(**{**values, **sections})


def worklist(port: int = 0, **values: Any) -> WorklistSettings:
    quick = {"port": port or 11114, "poll_every_s": 0.05, "retry_first_s": 0.05, "retry_longest_s": 0.2}
    return WorklistSettings(**{**quick, "timeout_s": 5.0, **values})


def notified(port: int, **values: Any) -> NotifiedAeSettings:
    quick = {"port": port, "retry_first_s": 0.05, "retry_longest_s": 0.2, "timeout_s": 5.0}
    return NotifiedAeSettings(**{**quick, **values})


@dataclass
class Studies:
    """Stands for the case machine: brings studies into states, and reports to a PACS that has stored them."""

    ledger: Ledger
    store: StudyStore

    def open(self, state: str = "queued", patient_id: str = "P-1", study: str | None = None) -> str:
        study = study or str(generate_uid())
        with self.ledger.begin() as session:
            open_case(session, study, patient_id, "")
        self.become(study, state)
        return study

    def become(self, study: str, state: str, *reasons: dict[str, str]) -> None:
        with self.ledger.begin() as session:
            set_state(session, session.get_one(Case, study), state, reasons)

    def report(self, study: str, delivery: str = "delivered") -> list[str]:
        """Add a report of an SR and a picture, and its delivery; returns their SOP Instance UIDs."""
        objects = [self._object(study, SR), self._object(study, SC)]
        now = now_utc()
        with self.ledger.begin() as session:
            report = Report(
                study_instance_uid=study, job_id="j", identity=str(generate_uid())[-60:], computation="c",
                request_digest="d", bundle_digest="b", revision=1, sop_instance_uid=objects[0][1],
                result={}, created_at=now,
            )  # fmt: skip
            session.add(report)
            session.flush()
            for kind, (sop_class, uid, path) in zip(("sr", "sc"), objects, strict=True):
                session.add(
                    ReportObject(
                        sop_instance_uid=uid, report_id=report.id, kind=kind, sop_class_uid=sop_class,
                        transfer_syntax_uid=str(ExplicitVRLittleEndian), digest="", path=path,
                    )
                )  # fmt: skip
            status = "stored" if delivery in ("sent", "delivered") else "refused" if delivery == "dead" else None
            entries = {uid: {"status": status, "committed": False, "note": ""} for _, uid, _ in objects}
            session.add(
                Delivery(report_id=report.id, pacs="main", state=delivery, not_before=now, objects=entries,
                         created_at=now)
            )  # fmt: skip
            set_state(session, session.get_one(Case, study), "reported")
        return [uid for _, uid, _ in objects]

    def _object(self, study: str, sop_class: str) -> tuple[str, str, str]:
        ds = Dataset()
        ds.SOPClassUID, ds.SOPInstanceUID, ds.StudyInstanceUID = sop_class, str(generate_uid()), study
        ds.SeriesInstanceUID = str(generate_uid())
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        buffer = BytesIO()
        ds.save_as(buffer, enforce_file_format=True)
        return sop_class, ds.SOPInstanceUID, self.store.save_report(study, ds.SOPInstanceUID, buffer.getvalue())


@dataclass
class Scene(Studies):
    """A node with its ledger; `judge` is what its task does twice a second."""

    settings: Settings
    node: RunningNode

    @property
    def port(self) -> int:
        return self.node.port

    def judge(self) -> None:
        with self.ledger.begin() as session:
            for item in list_items(session):
                item.judged_after = now_utc()
        judge_due(self.ledger, self.settings)

    def item(self, uid: str, worklist: str = "") -> WorkItem:
        with self.ledger.begin() as session:
            item = find_item(session, uid, worklist)
        assert item is not None
        return item


@contextmanager
def scene(root: Path, **sections: Any) -> Iterator[Scene]:
    settings = settings_for(root, **sections)
    ledger = open_ledger(settings.ledger.url or "")
    store = StudyStore(settings.storage.root, 0.0)
    store.prepare()
    audit = open_audit(settings, "node")
    service = WorkItemService(ledger, settings, audit)
    node = start_node(
        settings, Intake(ledger, store, "test-node"), record_commitment(ledger), audit=audit, work_items=service
    )  # fmt: skip
    try:
        yield Scene(ledger, store, settings, node)
    finally:
        node.stop(1.0)
        store.close()
        ledger.close()


class Requester:
    """A system that creates and watches work items at the node."""

    def __init__(self, port: int, title: str = "RIS") -> None:
        ae = AE(ae_title=title)
        ae.add_requested_context(UnifiedProcedureStepPush)
        ae.add_requested_context(UnifiedProcedureStepWatch)
        self.assoc = ae.associate("127.0.0.1", port, ae_title="CPTDN")
        assert self.assoc.is_established

    def create(self, ds: Dataset, uid: str | None = None) -> tuple[Dataset, str]:
        uid = uid or str(generate_uid())
        status, _ = self.assoc.send_n_create(ds, UnifiedProcedureStepPush, uid)
        return status, uid

    def act(self, uid: str, action: int, **values: Any) -> Dataset:
        ds = Dataset()
        for keyword, value in values.items():
            setattr(ds, keyword, value)
        status, _ = self.assoc.send_n_action(ds if values else None, action, UnifiedProcedureStepPush, uid)
        return status

    def get(self, uid: str, *tags: int) -> tuple[int, Dataset | None]:
        status, ds = self.assoc.send_n_get(list(tags), UnifiedProcedureStepPush, uid)
        return int(status.Status), ds

    def find(self, **keys: Any) -> list[Dataset]:
        query = Dataset()
        query.SOPInstanceUID = ""
        for keyword, value in keys.items():
            setattr(query, keyword, value)
        answers = list(self.assoc.send_c_find(query, UnifiedProcedureStepWatch))
        assert int(answers[-1][0].Status) == 0x0000
        return [ds for _, ds in answers[:-1] if ds is not None]

    def close(self) -> None:
        self.assoc.release()
