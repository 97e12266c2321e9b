"""Taking one received object in: check, store, index, then answer. No network and no pynetdicom here.

How a success status is earned, in this order: the header could be read and agrees with the command, the bytes and
their final name are on the disk (fsync of file and folder), the ledger row is committed. Any other outcome has a status
of its own, and what is not accepted is kept in quarantine with its reason.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError

from node.audit.recorder import StudyTally
from node.dicom.headers.early_header import EarlyHeader, read_early_header
from node.dicom.headers.full_header import read_header
from node.dicom.headers.structure import (
    SERIES_INSTANCE_UID,
    SOP_CLASS_UID,
    SOP_INSTANCE_UID,
    STUDY_INSTANCE_UID,
    EncodingError,
)
from node.dicom.network.statuses import StoreStatus
from node.ledger import associations, instances
from node.ledger.associations import Peer
from node.ledger.cases import record_arrival, schedule_assessment
from node.ledger.database import Ledger, is_retryable, now_utc
from node.ledger.group_commit import InstanceWriter
from node.ledger.tables import Quarantined, Row
from node.store.incoming import IncomingFile
from node.store.names import is_uid
from node.store.part10 import FileMeta
from node.store.study_store import StoredFile, StudyStore

UNREADABLE = "unreadable_instance"
CONFLICTING = "conflicting_instance"
EARLY_HEADER_BYTES = 1 << 17  # so much of an object may hold its header; some scanners put 100 kB of their own into it

log = structlog.get_logger("cptdn.intake")


@dataclass(frozen=True)
class Outcome:
    """The answer to one C-STORE: `comment` is the Error Comment (0000,0902), free of patient data."""

    status: StoreStatus
    comment: str = ""
    study_instance_uid: str | None = None


@dataclass
class Sender:
    """One open association, as the intake sees it."""

    peer: Peer
    studies: set[str] = field(default_factory=set)  # touched, and noted so in the ledger
    noted: set[tuple[str, str]] = field(default_factory=set)  # study and modality: only MR makes a case of a study
    tallies: dict[str, StudyTally] = field(default_factory=dict)  # study -> what was stored of it, for the audit trail


class Refusal(Exception):  # noqa: N818 - an outcome that travels up, not a failure of ours
    """The object is not taken as a study's instance; it goes to quarantine."""

    def __init__(self, status: StoreStatus, code: str, text: str, study: str | None = None) -> None:
        super().__init__(text)
        self.status, self.code, self.text, self.study = status, code, text, study


class Intake:
    """The receive path behind the network. Threads share it."""

    def __init__(
        self,
        ledger: Ledger,
        store: StudyStore,
        node_id: str,
        on_instance: Callable[[str], None] = lambda _study: None,
        on_release: Callable[[set[str]], None] = lambda _studies: None,
        on_transfer: Callable[[Sender], None] = lambda _sender: None,
    ) -> None:
        """on_release : told the studies of an association that has ended; on_transfer : told its sender, after that."""
        self.ledger = ledger
        self.store = store
        self.node_id = node_id
        self._on_instance = on_instance
        self._on_release = on_release
        self._on_transfer = on_transfer
        self._open: dict[str, Sender] = {}
        self._lock = threading.Lock()
        self._writer = InstanceWriter(ledger, store.require_file)

    # --- associations ---

    def opened(self, peer: Peer) -> Sender:
        """An association has been accepted."""
        sender = Sender(peer)
        with self._lock:
            self._open[peer.association_id] = sender
        return sender

    def closed(self, sender: Sender) -> None:
        """It ended, in whatever way; safe to call twice."""
        with self._lock:
            known = self._open.pop(sender.peer.association_id, None)
        if known is None or not known.studies:
            return
        try:
            with self.ledger.begin() as session:
                associations.close(session, sender.peer.association_id, now_utc())
        except SQLAlchemyError as error:
            # The row stays open; without further heartbeats the watchdog closes it.
            log.error("association_not_closed", association=sender.peer.association_id, error=type(error).__name__)
        self._on_release(set(known.studies))
        self._on_transfer(known)

    def open_associations(self) -> list[Sender]:
        with self._lock:
            return list(self._open.values())

    def heartbeat(self) -> None:
        """Tell other processes that the associations of this one are alive; called by the service now and then."""
        ids = [sender.peer.association_id for sender in self.open_associations() if sender.studies]
        if ids:
            with self.ledger.begin() as session:
                associations.heartbeat(session, ids, now_utc())

    def close(self) -> None:
        """No object comes any more: give back what this path holds."""
        self._writer.close()

    # --- objects ---

    def has_room(self, size_bytes: int = 0) -> bool:
        return self.store.has_room(size_bytes)

    def take(self, meta: FileMeta, data: bytes | memoryview, sender: Sender) -> Outcome:
        """Store one whole data set. Never raises for what a sender or the disk can do wrong."""
        if not self.has_room(len(data)):
            return Outcome(StoreStatus.OUT_OF_RESOURCES, "storage is below its free-space limit")
        try:
            with self.store.open_incoming(meta) as incoming:
                incoming.write(data)
                return self.take_incoming(incoming, sender)
        except OSError as error:
            return self.storage_failed(meta, error)

    def storage_failed(self, meta: FileMeta, error: OSError) -> Outcome:
        log.error("storage_failed", sop_instance_uid=meta.sop_instance_uid, error=str(error))
        return Outcome(StoreStatus.OUT_OF_RESOURCES, "storage failed")

    def take_incoming(self, incoming: IncomingFile, sender: Sender, head: EarlyHeader | None = None) -> Outcome:
        """Store a data set whose bytes are all in `incoming`. Never raises for what a sender or the disk do wrong.

        head : what its first bytes told while the rest of it arrived.
        """
        incoming.begin_writing()
        try:
            try:
                row = self._checked(incoming, sender, head)
                return self._index(incoming, row, sender)
            except Refusal as refusal:
                return self._set_aside(incoming, refusal, sender, refusal.study)
        except SQLAlchemyError as error:
            log.error("ledger_failed", sop_instance_uid=incoming.meta.sop_instance_uid, error=str(error.__cause__))
            return Outcome(StoreStatus.OUT_OF_RESOURCES, "the ledger does not answer")
        except OSError as error:
            return self.storage_failed(incoming.meta, error)

    def _checked(self, incoming: IncomingFile, sender: Sender, head: EarlyHeader | None) -> Row:
        """The ledger row of a data set that is what was announced. Raises Refusal, OSError."""
        meta = incoming.meta
        if head is None:  # it came in small pieces
            head = read_early_header(incoming.first_bytes(EARLY_HEADER_BYTES), meta.transfer_syntax_uid)
        if head is not None and head.size_bytes == incoming.size_bytes:
            uids, header = head.uids, head.header
        else:
            try:
                read = read_header(Path(incoming.path), incoming.data_offset, meta.transfer_syntax_uid)
            except EncodingError as error:
                study = error.uids.get(STUDY_INSTANCE_UID, "")
                named = study if is_uid(study) else None
                raise Refusal(StoreStatus.UNREADABLE, UNREADABLE, str(error), named) from error
            uids, header = read.uids, read.values
        _check_identity(meta, uids)
        return _row_of(incoming, header, uids, sender.peer.calling_ae, now_utc())

    def _index(self, incoming: IncomingFile, row: Row, sender: Sender) -> Outcome:
        study, modality = row["study_instance_uid"], row["modality"]
        stored = self.store.store_instance(incoming, study, row["series_instance_uid"])
        row["path"] = stored.path
        if (study, modality) in sender.noted and self._writer.add(row):
            self._count(sender, row, new=True)
            self._on_instance(study)
            return Outcome(StoreStatus.SUCCESS, study_instance_uid=study)
        try:
            known, conflict = self._write_row(row, sender)
        except SQLAlchemyError as error:
            if not is_retryable(error):
                raise
            known, conflict = self._write_row(row, sender)
        sender.studies.add(study)
        sender.noted.add((study, modality))
        if conflict:
            return self._conflict(incoming, stored, study, sender)
        self._count(sender, row, new=not known)
        if not known:
            self._on_instance(study)
        return Outcome(StoreStatus.SUCCESS, study_instance_uid=study)

    @staticmethod
    def _count(sender: Sender, row: Row, new: bool) -> None:
        """For the audit trail: what this association has brought of a study."""
        tally = sender.tallies.setdefault(row["study_instance_uid"], StudyTally())
        tally.add(row["sop_class_uid"], row["patient_id"], new=new)

    def _write_row(self, row: Row, sender: Sender) -> tuple[bool, bool]:
        """Index the first object of a study in an association, or one that is here already: whether its UID was known,
        and whether with other bytes.

        Raises OSError when retention has taken the file away meanwhile, in the belief that nobody sends it again.
        """
        study, modality = row["study_instance_uid"], row["modality"]
        with self.ledger.begin() as session:
            first = (study, modality) not in sender.noted
            if first:
                instances.lock_study(session, study)
                associations.record_study(session, sender.peer, study, row["received_at"])
            known = instances.add_instance(session, row)
            if first:
                record_arrival(session, modality, study, row["patient_id"], row["issuer"])
            conflict = known is not None and known.digest != row["digest"]
            if known is not None and not conflict and known.path != row["path"]:
                known.path = row["path"]  # the file of the row had been lost or moved; these are the same bytes
            if not conflict:  # what conflicts is not indexed, and another association may be setting it aside already
                self.store.require_file(row["path"])
        return known is not None, conflict

    def _conflict(self, incoming: IncomingFile, stored: StoredFile, study: str, sender: Sender) -> Outcome:
        """The UID stands here with other bytes: the first stays, these are kept aside, and the sender is told."""
        refusal = Refusal(
            StoreStatus.CONFLICTING_INSTANCE, CONFLICTING,
            f"this SOP Instance UID is already stored with other content: {incoming.meta.sop_instance_uid}",
        )  # fmt: skip
        incoming.moved_to(str(self.store.path(stored.path)))
        return self._set_aside(incoming, refusal, sender, study)

    def _set_aside(self, incoming: IncomingFile, refusal: Refusal, sender: Sender, study: str | None) -> Outcome:
        stored = self.store.quarantine(incoming, refusal.code, refusal.text)
        uid = incoming.meta.sop_instance_uid
        with self.ledger.begin() as session:
            instances.add_quarantined(
                session,
                Quarantined(
                    code=refusal.code, text=refusal.text, sop_instance_uid=uid if is_uid(uid) else "",
                    study_instance_uid=study, digest=stored.digest, path=stored.path,
                    calling_ae=sender.peer.calling_ae, received_at=now_utc(),
                ),
            )  # fmt: skip
            if study is not None:
                schedule_assessment(session, study)
        log.warning("quarantined", code=refusal.code, reason=refusal.text, sop_instance_uid=uid, digest=stored.digest)
        if study is not None:
            self._on_instance(study)
        return Outcome(refusal.status, refusal.text, study)


def _check_identity(meta: FileMeta, uids: Mapping[int, str]) -> None:
    """The data set is what the command says it is, and can be filed. Raises Refusal."""
    for tag, keyword in (
        (SOP_CLASS_UID, "SOPClassUID"), (SOP_INSTANCE_UID, "SOPInstanceUID"),
        (STUDY_INSTANCE_UID, "StudyInstanceUID"), (SERIES_INSTANCE_UID, "SeriesInstanceUID"),
    ):  # fmt: skip
        value = uids.get(tag, "")
        if not is_uid(value):
            found = f"found {value[:80]!r}" if value else "it is missing or empty"
            raise Refusal(StoreStatus.UNREADABLE, UNREADABLE, f"expected a UID in {keyword}, {found}")
    if uids[SOP_CLASS_UID] != meta.sop_class_uid:
        raise Refusal(
            StoreStatus.SOP_CLASS_MISMATCH, UNREADABLE,
            f"the command announces another SOP Class than the data set has: {meta.sop_class_uid}, "
            f"{uids[SOP_CLASS_UID]}",
        )  # fmt: skip
    if uids[SOP_INSTANCE_UID] != meta.sop_instance_uid:
        raise Refusal(
            StoreStatus.SOP_INSTANCE_MISMATCH, UNREADABLE,
            f"the command announces another SOP Instance than the data set has: {meta.sop_instance_uid}, "
            f"{uids[SOP_INSTANCE_UID]}",
        )  # fmt: skip


_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def _row_of(
    incoming: IncomingFile, header: dict[str, Any], uids: Mapping[int, str], calling_ae: str, received_at: datetime
) -> Row:
    """Every column of the ledger row but its path."""
    frame_of_reference = _text(header.get("FrameOfReferenceUID"))
    return {
        "sop_instance_uid": incoming.meta.sop_instance_uid, "sop_class_uid": incoming.meta.sop_class_uid,
        "transfer_syntax_uid": incoming.meta.transfer_syntax_uid,
        "study_instance_uid": uids[STUDY_INSTANCE_UID], "series_instance_uid": uids[SERIES_INSTANCE_UID],
        "frame_of_reference_uid": frame_of_reference if is_uid(frame_of_reference) else None,
        "modality": _text(header.get("Modality"))[:16], "patient_id": _text(header.get("PatientID"))[:255],
        "issuer": _text(header.get("IssuerOfPatientID"))[:255], "digest": incoming.digest,
        "size_bytes": incoming.size_bytes, "header": header, "calling_ae": calling_ae, "received_at": received_at,
    }  # fmt: skip


def _text(value: Any) -> str:
    """A header value as text that any database takes (PostgreSQL refuses NUL)."""
    text = str(value) if value is not None else ""
    return text if text.isprintable() else _CONTROL.sub("", text)
