"""The steps from a received data set to the status of its response. No network here.

An object of a class that no case is made of is read to its end, counted and discarded. Of every other object, a success
status means, in this order: the header was read and agrees with the command, the bytes and their final name are on the
disk (fsync of file and folder), the ledger row is committed. Any other outcome has a status of its own, and what is not
accepted is quarantined with its reason.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import structlog
from sqlalchemy.exc import SQLAlchemyError

from config.messages.message import message, text_of
from node.dicom.content.comparison_client import ComparisonFailedError, ContentComparison
from node.dicom.headers.identifying_uids import find_identifying_uids
from node.dicom.headers.reading import read_instance_header
from node.dicom.headers.structure import STUDY_INSTANCE_UID, EncodingError
from node.dicom.network.contexts import is_other_storage_class
from node.dicom.network.statuses import StoreStatus
from node.dicom.scp.checks import UNREADABLE, InstanceRefusedError, check_identity
from node.dicom.scp.index import Indexed, IndexResult, InstanceIndex, instance_row
from node.dicom.scp.instance import DiscardedInstance, IncomingInstance, Outcome, storage_failed
from node.dicom.scp.senders import OpenSenders, Sender
from node.ledger.database import Ledger
from node.ledger.discarded import DiscardedObject
from node.ledger.tables import Row
from node.store.names import is_uid
from node.store.part10 import FileMeta
from node.store.study_store import StudyStore

log = structlog.get_logger("cptdn.intake")


class Intake:
    """Receives instances into one store and ledger. Threads share it; call `close` at the end.

    Parameters
    ----------
    ledger, store
        Where rows and files go.
    node_id : str
        Identifies this process in the ledger.
    on_instance : callable
        Called with the Study Instance UID of each new or quarantined instance.
    on_release, on_transfer : callable
        See `OpenSenders`.
    """

    def __init__(
        self,
        ledger: Ledger,
        store: StudyStore,
        node_id: str,
        on_instance: Callable[[str], None] = lambda _study: None,
        on_release: Callable[[set[str]], None] = lambda _studies: None,
        on_transfer: Callable[[Sender], None] = lambda _sender: None,
    ) -> None:
        self.node_id = node_id
        self.senders = OpenSenders(ledger, on_release, on_transfer)
        self._store = store
        self._on_instance = on_instance
        self._index = InstanceIndex(ledger, store)
        self._comparison = ContentComparison()

    def close(self) -> None:
        """Release what receiving needs; no instance may arrive any more."""
        self._index.close()
        self._comparison.close()

    def begin(self, meta: FileMeta, max_bytes: int | None = None, expected_bytes: int = 0) -> IncomingInstance:
        """Begin an instance that a command announced.

        Parameters
        ----------
        meta : FileMeta
            What was announced.
        max_bytes : int, optional
            Limit of the data set; none by default.
        expected_bytes : int
            Size of the data set where it is known, for the check of the free space.

        Returns
        -------
        IncomingInstance
            Write the data set into it, then `finish` and discard it. Its `failure` is set when there is no room; of a
            class that no case is made of it is a `DiscardedInstance`.
        """
        # Before the free space is checked: nothing of it is stored.
        if is_other_storage_class(meta.sop_class_uid):
            return DiscardedInstance(meta)
        # The instance is read to its end although nothing is stored: the sender reads our response only after its data
        # set.
        if not self._store.has_room(expected_bytes):
            failure = Outcome(StoreStatus.OUT_OF_RESOURCES, "storage is below its free-space limit")
            return IncomingInstance(meta, None, max_bytes, failure)
        try:
            return IncomingInstance(meta, self._store.open_incoming(meta), max_bytes)
        except OSError as error:
            return IncomingInstance(meta, None, max_bytes, storage_failed(meta, error))

    def finish(self, instance: IncomingInstance, sender: Sender) -> Outcome:
        """Read, check, store, index and count an instance whose data set has arrived as a whole.

        Parameters
        ----------
        instance : IncomingInstance
            The caller discards it afterwards.
        sender : Sender
            The association it came over.

        Returns
        -------
        Outcome
            Nothing that a sender, the disk or the ledger can do raises an error here.
        """
        if isinstance(instance, DiscardedInstance):
            return self._discard(instance)
        try:
            return instance.failure or self._finish(instance, sender)
        finally:
            # Before the response: nothing is left in `incoming` then. The file is closed after it.
            instance.remove_temporary_name()

    def _finish(self, instance: IncomingInstance, sender: Sender) -> Outcome:
        # The disk writes while the header is read and checked; `store_instance` then waits for less.
        instance.file.start_writing()
        meta = instance.meta
        try:
            try:
                # The order is the promise to the sender: it may delete its copy after our success. File before row,
                # because a row without a file is a lost object, and a file without a row is only an orphan, which the
                # next attempt replaces.
                if instance.unreadable:
                    raise InstanceRefusedError(StoreStatus.UNREADABLE, UNREADABLE, instance.unreadable)
                header = read_instance_header(instance.file, instance.early_header)
                check_identity(meta, header)
                # Not quarantined: it is no evidence about a case of this node, and its sender still has it.
                if difference := instance.requested.difference(header):
                    return Outcome(StoreStatus.NOT_REQUESTED, difference)
                stored = self._store.store_instance(
                    instance.file, header.study_instance_uid, header.series_instance_uid
                )
                row = instance_row(meta, header, stored, sender)
                indexed = self._index.add(row, sender)
                if indexed.result is IndexResult.OTHER_BYTES:
                    self._require_same_content(instance, row, indexed)
            # Refused, and still saved: the object is the only evidence of what its sender got wrong.
            except EncodingError as error:
                return self._quarantine(instance, InstanceRefusedError.of_encoding(error), sender)
            except InstanceRefusedError as refusal:
                return self._quarantine(instance, refusal, sender)
            is_new = indexed.result is IndexResult.NEW
            # After the commit only: the audit trail must not report objects that the ledger does not have.
            sender.count(row, is_new=is_new)
            if is_new:
                self._on_instance(header.study_instance_uid)
            return Outcome(StoreStatus.SUCCESS, study_instance_uid=header.study_instance_uid)
        # "Out of resources" (A7xx) says that the same bytes may be accepted later; Cxxx would blame the object (PS3.4
        # Table B.2-1).
        except SQLAlchemyError as error:
            log.error("ledger_failed", sop_instance_uid=meta.sop_instance_uid, error=str(error.__cause__))
            return Outcome(StoreStatus.OUT_OF_RESOURCES, "the ledger does not answer")
        except OSError as error:
            return storage_failed(meta, error)

    def receive(self, meta: FileMeta, data: bytes | memoryview, sender: Sender) -> Outcome:
        """Begin, write and finish an instance whose data set is in memory.

        Parameters
        ----------
        meta : FileMeta
            What was announced.
        data : bytes-like
            The whole encoded data set.
        sender : Sender
            The association it came over.

        Returns
        -------
        Outcome
            As from `finish`.
        """
        with self.begin(meta, expected_bytes=len(data)) as instance:
            instance.write(data)
            return self.finish(instance, sender)

    def _discard(self, instance: DiscardedInstance) -> Outcome:
        """Count an object of another class; a success, because a refusal makes many senders stop."""
        meta = instance.meta
        study = find_identifying_uids(bytes(instance.beginning), meta.transfer_syntax_uid).get(STUDY_INSTANCE_UID, "")
        study = study if is_uid(study) else ""
        self.senders.count_discarded(DiscardedObject(study, meta.sop_class_uid, meta.sop_instance_uid))
        log.info("discarded", sop_class_uid=meta.sop_class_uid, sop_instance_uid=meta.sop_instance_uid, study=study)
        return Outcome(StoreStatus.SUCCESS, study_instance_uid=study or None)

    def _require_same_content(self, instance: IncomingInstance, row: Row, indexed: Indexed) -> None:
        """Remove other bytes of a stored instance from its study; refuse them unless their content is the same.

        The first bytes stay, because the inputs of a report are named by their digest. Senders of such objects wait
        for the comparison, in a process of its own; nobody else does.
        """
        stored = self._store.path(indexed.stored_path)
        self._store.require_file(indexed.stored_path)
        try:
            differences = self._comparison.differences(stored, Path(instance.path))
        except ComparisonFailedError as error:
            differences = (message("comparison.failed", error=text_of(error)),)
        self._index.remove_file(row)
        if differences:
            raise InstanceRefusedError.of_conflict(instance.meta, indexed.stored_study_instance_uid, differences)

    def _quarantine(self, instance: IncomingInstance, refusal: InstanceRefusedError, sender: Sender) -> Outcome:
        quarantined = self._store.quarantine(instance.file, refusal.code, refusal.text)
        self._index.add_quarantined(instance.meta, refusal, quarantined, sender)
        log.warning(
            "quarantined", code=refusal.code, reason=refusal.text, sop_instance_uid=instance.meta.sop_instance_uid,
            digest=quarantined.digest,
        )  # fmt: skip
        if refusal.study_instance_uid is not None:
            self._on_instance(refusal.study_instance_uid)
        return Outcome(refusal.status, refusal.text, refusal.study_instance_uid)
