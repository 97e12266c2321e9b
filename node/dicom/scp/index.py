"""Ledger rows of received instances: on return they are committed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from config.messages.stored import named
from node.dicom.headers.instance_header import InstanceHeader
from node.dicom.scp.checks import UNREADABLE, InstanceRefusedError
from node.dicom.scp.senders import Sender
from node.ledger import associations, instances
from node.ledger.cases import open_case, record_arrival, schedule_assessment, schedule_touched
from node.ledger.database import Ledger, is_retryable, now_utc
from node.ledger.group_commit import InstanceWriter
from node.ledger.tables import Quarantined, Row
from node.store.names import is_uid
from node.store.part10 import FileMeta
from node.store.study_store import StoredFile, StudyStore

# Images of which a case is made (PS3.4 section B.5).
MR_CLASSES = frozenset({
    "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.4.4",
})  # fmt: skip
# PostgreSQL refuses NUL in text; other control characters would break tables and logs.
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class IndexResult(Enum):
    """What the ledger had for a SOP Instance UID."""

    NEW = "new"
    ALREADY_STORED = "already stored"  # the same bytes: a success without a second row
    OTHER_BYTES = "other bytes"  # the first ones stay; whether the content is the same is compared afterwards


@dataclass(frozen=True)
class Indexed:
    """What became of a row.

    Attributes
    ----------
    result : IndexResult
        What the ledger had.
    stored_path, stored_study_instance_uid : str
        Of the instance that has the UID already, where its bytes are others; else empty.
    """

    result: IndexResult
    stored_path: str = ""
    stored_study_instance_uid: str = ""


class InstanceIndex:
    """Adds instances to the ledger. Threads share it; call `close` at the end."""

    def __init__(self, ledger: Ledger, store: StudyStore) -> None:
        self._ledger = ledger
        self._store = store
        self._writer = InstanceWriter(ledger, store.require_file)

    def close(self) -> None:
        """Release the connection to the ledger; safe to call twice."""
        self._writer.close()

    def add(self, row: Row, sender: Sender) -> Indexed:
        """Add an instance whose bytes are durable.

        Parameters
        ----------
        row : Row
            Every column of `instances`.
        sender : Sender
            The association it came over; updated where the instance is new. One that is stored already is no arrival:
            neither its case nor its association is recorded as receiving.

        Returns
        -------
        Indexed
            Whether the instance is new.

        Raises
        ------
        SQLAlchemyError
            The ledger does not answer.
        OSError
            Retention removed the file before the row was committed.
        """
        key = row["study_instance_uid"], row["modality"]
        # The first instance of a study also opens its case and records the association; the others share transactions.
        # False means that the UID is known: the slow way then compares the digests.
        if key in sender.recorded and self._writer.add(row):
            return Indexed(IndexResult.NEW)
        try:
            indexed = self._add_with_study(row, sender)
        except SQLAlchemyError as error:
            # Two associations that open one case at the same moment: the second attempt finds the row of the first.
            if not is_retryable(error):
                raise
            indexed = self._add_with_study(row, sender)
        # Only after the commit: `recorded` lets the next instance skip association and case.
        if indexed.result is IndexResult.NEW:
            sender.studies.add(row["study_instance_uid"])
            sender.recorded.add(key)
        return indexed

    def _add_with_study(self, row: Row, sender: Sender) -> Indexed:
        """Add the first new instance of a study in an association, or one whose UID is in the ledger."""
        study, modality = row["study_instance_uid"], row["modality"]
        with self._ledger.begin() as session:
            # Before the first row: retention may be deleting this very study, and the row of a new object would lose
            # its file.
            instances.lock_study(session, study)
            stored = instances.add_instance(session, row)
            if stored is None and (study, modality) not in sender.recorded:
                associations.record_study(session, sender.peer, study, row["received_at"])
                record_arrival(session, modality, study, row["patient_id"], row["issuer"])
            if stored is not None and stored.digest != row["digest"]:
                # Its file is not required: another association may be removing the same bytes.
                return Indexed(IndexResult.OTHER_BYTES, stored.path, stored.study_instance_uid)
            if stored is not None and stored.path != row["path"]:
                stored.path = row["path"]  # the file of the row was lost or moved; these are the same bytes
            # Last, under the lock: the file may have been removed between its fsync and this transaction.
            self._store.require_file(row["path"])
        return Indexed(IndexResult.NEW if stored is None else IndexResult.ALREADY_STORED)

    def remove_file(self, row: Row) -> None:
        """Remove the file of a row that was not added, unless the ledger names it by now. Raises SQLAlchemyError."""
        with self._ledger.begin() as session:
            # Under the lock: the stored row may have been deleted, and the same bytes added by another association.
            instances.lock_study(session, row["study_instance_uid"])
            stored = instances.find_instance(session, row["sop_instance_uid"])
            if stored is None or stored.path != row["path"]:
                self._store.remove_instance(row["path"])

    def add_quarantined(
        self, meta: FileMeta, refusal: InstanceRefusedError, quarantined: StoredFile, sender: Sender
    ) -> None:
        """Add a quarantined object, and have the case of its study assessed again. Raises SQLAlchemyError.

        Parameters
        ----------
        meta : FileMeta
            What was announced; a UID that is none is recorded as empty.
        refusal : InstanceRefusedError
            Code and reason.
        quarantined : StoredFile
            Durable.
        sender : Sender
            The association it came over.
        """
        uid = meta.sop_instance_uid
        with self._ledger.begin() as session:
            instances.add_quarantined(
                session,
                Quarantined(
                    code=refusal.code, text=str(refusal.text), message=named(refusal.text),
                    sop_instance_uid=uid if is_uid(uid) else "",
                    study_instance_uid=refusal.study_instance_uid,
                    differences=[str(each) for each in refusal.differences],
                    digest=quarantined.digest, path=quarantined.path, calling_ae=sender.peer.calling_ae,
                    association_id=sender.peer.association_id, received_at=now_utc(),
                ),
            )  # fmt: skip
            if refusal.study_instance_uid is not None:
                # A study of which nothing can be read has a case, too: it is the place where that is seen.
                if refusal.code == UNREADABLE and meta.sop_class_uid in MR_CLASSES:
                    open_case(session, refusal.study_instance_uid, "", "")
                # All cases of its patient: a conflicting contour may be in a study of its own, which has no case.
                schedule_assessment(session, refusal.study_instance_uid)
                schedule_touched(session, [refusal.study_instance_uid])


def instance_row(meta: FileMeta, header: InstanceHeader, stored: StoredFile, sender: Sender) -> Row:
    """Build the ledger row of a stored instance.

    Parameters
    ----------
    meta : FileMeta
        Of the command.
    header : InstanceHeader
        Checked against it.
    stored : StoredFile
        Where its bytes are.
    sender : Sender
        Who sent it.

    Returns
    -------
    Row
        Every column of `instances`; texts are cut to the length of their column.
    """
    values = header.values
    frame_of_reference = _text(values.get("FrameOfReferenceUID"))
    return {
        "sop_instance_uid": meta.sop_instance_uid, "sop_class_uid": meta.sop_class_uid,
        "transfer_syntax_uid": meta.transfer_syntax_uid,
        "study_instance_uid": header.study_instance_uid, "series_instance_uid": header.series_instance_uid,
        "frame_of_reference_uid": frame_of_reference if is_uid(frame_of_reference) else None,
        "modality": _text(values.get("Modality"))[:16], "patient_id": _text(values.get("PatientID"))[:255],
        "issuer": _text(values.get("IssuerOfPatientID"))[:255], "digest": stored.digest, "path": stored.path,
        "size_bytes": stored.size_bytes, "header": values, "calling_ae": sender.peer.calling_ae,
        "received_at": now_utc(),
    }  # fmt: skip


def _text(value: Any) -> str:
    """Return a header value as text that any database accepts: PostgreSQL refuses NUL."""
    text = str(value) if value is not None else ""
    return text if text.isprintable() else _CONTROL.sub("", text)
