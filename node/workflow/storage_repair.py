"""Repair differences between ledger and disk where no data can be lost; for the others there is advice.

A file without a row passes the same checks as an arriving instance. A damaged file goes to quarantine. A lost or
damaged instance loses its row, so that it is new when the PACS sends it again; until then its case is incomplete. When
the same bytes return, the inputs have the digest of the current report, and nothing is computed.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable

from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from config.errors import InputError
from config.messages.message import message
from node.dicom.network.statuses import StoreStatus
from node.dicom.scp.checks import UNREADABLE
from node.dicom.scp.intake import Intake
from node.ledger.associations import Peer
from node.ledger.cases import record, schedule_touched
from node.ledger.database import Ledger, now_utc
from node.ledger.instances import add_quarantined
from node.ledger.tables import Instance, Quarantined
from node.store.consistency import Finding, digest_of
from node.store.part10 import FileMeta, skip_file_header
from node.store.study_store import StudyStore

NOT_STORED = (StoreStatus.OUT_OF_RESOURCES, StoreStatus.TOO_LARGE)
SENDER = "CPTDN-REPAIR"

ADVICE = {
    "missing_file": "send the study again from the PACS",
    "damaged_file": "send the study again from the PACS; check the disk for errors",
    "missing_report": "restore the file from the backup, or compute it again with `cptdn reprocess`",
    "damaged_report": "restore the file from the backup; the PACS has the object as it was sent",
    "orphan_report": "nothing to do: a repeated step uses the file",
    "missing_quarantine": "`cptdn quarantine dismiss` when the file is not needed",
}


class Repair:
    """Repairs findings of `node.store.consistency.check_consistency`, one at a time.

    Parameters
    ----------
    ledger : Ledger
        The ledger that was examined.
    store : StudyStore
        The store that was examined; its deletion lock is held by the caller.
    """

    def __init__(self, ledger: Ledger, store: StudyStore) -> None:
        self._ledger, self._store = ledger, store
        self._repairs: dict[str, Callable[[Finding], str]] = {
            "missing_file": self._delete_row_of_missing_file,
            "damaged_file": self._quarantine,
            "orphan_file": self._index_orphan,
            "orphan_artefacts": self._remove,
            "leftover": self._remove,
        }

    def __call__(self, finding: Finding) -> str:
        """Repair one finding; return what was done, empty when the finding needs an administrator."""
        repair = self._repairs.get(finding.kind)
        return repair(finding) if repair is not None else ""

    def _delete_row_of_missing_file(self, finding: Finding) -> str:
        self._delete_row(finding, message("repair.missing"))
        return "its row was deleted; send the study again from the PACS"

    def _quarantine(self, finding: Finding) -> str:
        digest = digest_of(self._store.path(finding.path)) or digest_of(self._store.path(finding.path), whole=True)
        # The file first: a row that is deleted before would leave a damaged file without any trace if this stops here.
        path = self._store.quarantine_stored(finding.path, UNREADABLE, finding.text)
        with self._ledger.begin() as session:
            add_quarantined(
                session,
                Quarantined(
                    code=UNREADABLE, text=f"The stored file of this instance is damaged: {finding.text}.",
                    sop_instance_uid=finding.sop_instance_uid or "", study_instance_uid=finding.study_instance_uid,
                    digest=digest, path=path, calling_ae=SENDER, association_id=None, received_at=now_utc(),
                ),
            )  # fmt: skip
        self._delete_row(finding, message("repair.damaged"))
        return "moved to quarantine; send the study again from the PACS"

    def _delete_row(self, finding: Finding, why: str) -> None:
        study = finding.study_instance_uid or ""
        with self._ledger.begin() as session:
            row = session.get(Instance, finding.sop_instance_uid)
            # Repaired or received again since the check.
            if row is None or row.path != finding.path:
                return
            schedule_touched(session, [study])  # before the row is deleted: it is found by the row's Patient ID
            session.delete(row)
            text = message("repair.send_again", uid=finding.sop_instance_uid, why=why)
            record(session, study, "storage", text, actor="administrator")

    def _index_orphan(self, finding: Finding) -> str:
        path = self._store.path(finding.path)
        try:
            file_meta = dcmread(path, specific_tags=[], stop_before_pixels=True).file_meta
            meta = FileMeta(
                str(file_meta.MediaStorageSOPClassUID), str(file_meta.MediaStorageSOPInstanceUID),
                str(file_meta.TransferSyntaxUID), str(file_meta.get("SourceApplicationEntityTitle", "")),
            )  # fmt: skip
            with open(path, "rb") as file:
                skip_file_header(file)
                data = file.read()
        except (InvalidDicomError, InputError, AttributeError, ValueError) as error:
            self._store.quarantine_stored(finding.path, UNREADABLE, f"not a DICOM file ({type(error).__name__})")
            return "not readable; moved to quarantine"
        return self._take_as_arriving(finding, meta, data)

    def _take_as_arriving(self, finding: Finding, meta: FileMeta, data: bytes) -> str:
        def released(studies: set[str]) -> None:
            with self._ledger.begin() as session:
                schedule_touched(session, studies)

        intake = Intake(self._ledger, self._store, "repair", on_release=released)
        peer = Peer(str(uuid.uuid4()), "repair", meta.source_ae_title or SENDER, "", now_utc())
        sender = intake.senders.open(peer)
        try:
            # By the intake, so that an orphan passes exactly the checks of an arriving object.
            outcome = intake.receive(meta, data, sender)
        finally:
            intake.senders.close(sender)
            intake.close()
        with self._ledger.begin() as session:
            row = session.get(Instance, meta.sop_instance_uid)
            is_indexed = row is not None and row.path == finding.path
        if outcome.status in NOT_STORED:
            return ""
        if not is_indexed:
            self._store.path(finding.path).unlink(
                missing_ok=True
            )  # the intake has stored these bytes under another name
        return "indexed" if outcome.status == StoreStatus.SUCCESS else f"moved to quarantine: {outcome.comment}"

    def _remove(self, finding: Finding) -> str:
        path = self._store.path(finding.path)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            os.unlink(path)
        return "removed"
