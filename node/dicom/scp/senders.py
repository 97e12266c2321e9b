"""The associations that are open, and what each of them has brought."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
from sqlalchemy.exc import SQLAlchemyError

from node.audit.recorder import StudyTally
from node.ledger import associations
from node.ledger.associations import Peer
from node.ledger.database import Ledger, now_utc
from node.ledger.discarded import DiscardedObject, record_discarded
from node.ledger.tables import Row

log = structlog.get_logger("cptdn.intake")

MOST_UNRECORDED = 100_000  # discarded objects that wait for a ledger that does not answer


@dataclass
class Sender:
    """One open association.

    Parameters
    ----------
    peer : Peer
        Who opened it.
    studies : set of str
        Studies that it is recorded to have sent a new part of.
    recorded : set of (str, str)
        Study and modality of new instances after which the ledger has rows for association and case: only MR opens a
        case.
    tallies : dict of str to StudyTally
        What was stored, by study, for the audit trail.
    """

    peer: Peer
    studies: set[str] = field(default_factory=set)
    recorded: set[tuple[str, str]] = field(default_factory=set)
    tallies: dict[str, StudyTally] = field(default_factory=dict)

    def count(self, row: Row, *, is_new: bool) -> None:
        """Count an instance that is in the ledger."""
        tally = self.tallies.setdefault(row["study_instance_uid"], StudyTally())
        tally.add(row["sop_class_uid"], row["patient_id"], new=is_new)


class OpenSenders:
    """The open associations of this process. Threads share it.

    Parameters
    ----------
    ledger : Ledger
        Where other processes see which studies are still arriving.
    on_release : callable
        Called with the studies of an association that has ended.
    on_transfer : callable
        Called with its sender, after that.
    """

    def __init__(
        self, ledger: Ledger, on_release: Callable[[set[str]], None], on_transfer: Callable[[Sender], None]
    ) -> None:
        self._ledger = ledger
        self._on_release = on_release
        self._on_transfer = on_transfer
        self._senders: dict[str, Sender] = {}
        self._discarded: list[DiscardedObject] = []  # not in the ledger yet
        self._lock = threading.Lock()

    def open(self, peer: Peer) -> Sender:
        """Return the sender of an association that has been accepted.

        Parameters
        ----------
        peer : Peer
            With a new id; its row is written with the first instance, not here.
        """
        sender = Sender(peer)
        with self._lock:
            self._senders[peer.association_id] = sender
        return sender

    def close(self, sender: Sender) -> None:
        """Record the end of an association, released, aborted or lost; safe to call twice."""
        with self._lock:
            open_sender = self._senders.pop(sender.peer.association_id, None)
        self._record_discarded()
        # A C-ECHO or a rejected object touches no study: nothing to record, and no row to close.
        if open_sender is None or not open_sender.tallies:
            return
        # Instances that were stored before have no row of the association and change no case.
        if open_sender.studies:
            self._record_end(sender)
        self._on_release(set(open_sender.studies))
        self._on_transfer(open_sender)

    def _record_end(self, sender: Sender) -> None:
        try:
            with self._ledger.begin() as session:
                associations.close(session, sender.peer.association_id, now_utc())
        except SQLAlchemyError as error:
            # Its row says "open"; the watchdog closes it when no heartbeat comes any more.
            log.error("association_not_closed", association=sender.peer.association_id, error=type(error).__name__)

    def heartbeat(self) -> None:
        """Record that the associations of this process are alive, for other processes; called every few seconds."""
        self._record_discarded()
        with self._lock:
            # An association without instances has no row.
            ids = [sender.peer.association_id for sender in self._senders.values() if sender.studies]
        if ids:
            with self._ledger.begin() as session:
                associations.heartbeat(session, ids, now_utc())

    def count_discarded(self, discarded: DiscardedObject) -> None:
        """Count an object that was received and discarded; written to the ledger with the next heartbeat or end."""
        with self._lock:
            self._discarded.append(discarded)

    def _record_discarded(self) -> None:
        with self._lock:
            discarded, self._discarded = self._discarded, []
        if not discarded:
            return
        try:
            # One transaction for all: a commit for each would cost more than receiving them.
            with self._ledger.begin() as session:
                record_discarded(session, discarded)
        except SQLAlchemyError as error:
            log.error("discarded_not_recorded", n=len(discarded), error=type(error).__name__)
            with self._lock:
                self._discarded = (discarded + self._discarded)[:MOST_UNRECORDED]
