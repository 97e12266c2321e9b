"""A study, its reports and one destination that may do anything: the real ledger and `deliver`, a channel of the test.

Time is driven. `World.events` are everything that may happen next; `World.do` lets one of them happen and checks what
must always be true; `World.settle` lets the destination work again and checks that every delivery ends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import delete, event, insert, select

from config.errors import InputError, PacsUnavailableError, SettingsError
from config.settings import PacsSettings, Settings, StorageSettings
from node.dicom.network.commitment import CommitmentResult
from node.dicom.scu.commitment_scu import CommitmentAnswer
from node.ledger import commitments, deliveries
from node.ledger.cases import open_case
from node.ledger.database import Ledger, now_utc, open_ledger
from node.ledger.delivery_machine import ENDED_STATES
from node.ledger.reports import StoredObject, current_report, record_report
from node.ledger.tables import CaseEvent, CommitmentRequest, Delivery, Outbox, Report, ReportObject
from node.store.study_store import StudyStore
from node.workflow import delivery as machine
from node.workflow import destinations
from node.workflow.channels.channel import (
    LATER,
    REFUSED,
    STORED,
    ChannelContext,
    DestinationKind,
    Parcel,
    Patience,
    Recorded,
    SendResult,
    is_stored,
)

STUDY = "1.2.3"
TABLES = (CommitmentRequest, Delivery, ReportObject, Report, Outbox, CaseEvent)
PATIENCE = Patience(5.0, 3600.0, 7.0)

# What the destination does while objects are sent, and what it does when commitment is requested.
SENDING = (
    "stores", "refuses", "is full", "is down", "loses the response", "worker dies", "tls", "bug", "is replaced",
    "usurped",
)  # fmt: skip
COMMITTING = (
    "later", "commits", "fails", "not offered", "busy", "is down", "no answer", "worker dies", "is replaced", "bug",
)  # fmt: skip
RESULTS = ("committed", "failed", "one committed", "one failed", "uncommittable", "unknown object")


class WorkerDied(BaseException):
    """kill -9 of the worker: nothing more is recorded, and its lease stays."""


@dataclass
class World:
    """The state of everything; `snapshot` and `restore` go back to a moment."""

    folder: Path
    kinds: tuple[str, ...] = ("sr",)
    most_revisions: int = 2
    url: str = ""  # of the ledger; an SQLite file in the folder by default
    mood: str = "stores"
    now: datetime = field(default_factory=now_utc)
    at_destination: list[tuple[int, str]] = field(default_factory=list)  # (revision, kind), in order of arrival
    requests: Counter[int] = field(default_factory=Counter)  # N-ACTIONs by delivery since its last retry

    def __post_init__(self) -> None:
        storage = StorageSettings(root=self.folder, min_free_gb=0)
        self.settings = Settings(pacs=(PacsSettings(name="main"),), storage=storage)
        self.ledger: Ledger = open_ledger(self.url or f"sqlite:///{self.folder}/ledger.db")
        if not self.url:
            self.ledger.engine.dispose()
            event.listen(self.ledger.engine, "connect", lambda raw, _: raw.execute("PRAGMA synchronous=OFF"))
        self.store = StudyStore(self.folder)
        with self.ledger.begin() as session:
            open_case(session, STUDY, "P", "")
        self.revise()

    def kind(self) -> DestinationKind:
        return DestinationKind(lambda _settings: ("main",), lambda _name, context: Destination(self, context))

    # --- what may happen ---

    def events(self) -> list[tuple[str, ...]]:
        rows = self.rows()
        found: list[tuple[str, ...]] = []
        for row in rows:
            if row.state in ("pending", "sent"):
                moods = SENDING if row.state == "pending" else COMMITTING
                found += [("step", str(row.id), mood) for mood in moods]
                # One step that sends and then requests: both moods matter.
                found += [("step", str(row.id), f"stores/{mood}") for mood in COMMITTING if row.state == "pending"]
            found.append(("retry", str(row.id)))
        for request in self.all(CommitmentRequest):
            found += [("result", request.transaction_uid, result) for result in RESULTS]
        if self.revision() < self.most_revisions:
            found.append(("revise",))
        return [*found, ("days",), ("watchdog",)]

    def do(self, what: Sequence[str]) -> None:
        """Let one event happen, then check what must always be true."""
        if what[0] == "step":
            self.step(int(what[1]), what[2])
        elif what[0] == "retry":
            self.retry(int(what[1]))
        elif what[0] == "result":
            self.result(what[1], what[2])
        elif what[0] == "revise":
            self.revise()
        elif what[0] == "days":
            self.now += timedelta(days=8)
        else:
            with self.ledger.begin() as session:
                machine.requeue_overdue(session, self.settings, self.now)
        self.check()

    def step(self, delivery_id: int, mood: str) -> None:
        """A worker does the next step as soon as it may."""
        row = self.row(delivery_id)
        if row.state not in ("pending", "sent"):
            return
        self.now = max(self.now, row.not_before, *(each.lease_until or self.now for each in self.rows()))
        self.now += timedelta(seconds=1)
        self.mood = mood
        destinations_before = destinations.KINDS
        destinations.KINDS = (self.kind(),)
        try:
            machine.deliver(self.ledger, self.settings, self.store, delivery_id, "worker", clock=lambda: self.now)
        except WorkerDied:
            pass
        finally:
            destinations.KINDS = destinations_before

    def retry(self, delivery_id: int) -> None:
        try:
            with self.ledger.begin() as session:
                deliveries.retry_delivery(session, delivery_id, self.now)
            self.requests[delivery_id] = 0
        except InputError:
            row = self.row(delivery_id)
            assert row.state in ("delivered", "superseded") or self.revision_of(row) < self.revision()

    def result(self, transaction_uid: str, result: str) -> None:
        """A result of one request arrives, on whichever association."""
        with self.ledger.begin() as session:
            asked = list(session.get_one(CommitmentRequest, transaction_uid).copies)
        part = asked[:1] if result.startswith("one") else asked
        reason = 0x0122 if result == "uncommittable" else 0x0112
        if result == "unknown object":
            answer = CommitmentResult(transaction_uid, ("9.9.9",), {"9.9.8": 0x0112})
        elif "failed" in result or result == "uncommittable":
            answer = CommitmentResult(transaction_uid, (), dict.fromkeys(part, reason))
        else:
            answer = CommitmentResult(transaction_uid, tuple(part))
        assert commitments.record_commitment(self.ledger, lambda: self.now)(answer)

    def revise(self) -> None:
        """A newer report of the study is recorded."""
        with self.ledger.begin() as session:
            before = current_report(session, STUDY)
            number = before.revision + 1 if before else 1
            objects = [StoredObject(kind, "1.2", f"1.{number}.{kind}", "1.2.1", "", "x") for kind in self.kinds]
            record_report(
                session, study_instance_uid=STUDY, job_id="j", identity=f"i{number}", computation="c",
                request_digest="d", bundle_digest="b", revision=number, sop_instance_uid=f"1.{number}.sr",
                predecessor=before, result={}, objects=objects, destinations=["main"],
            )  # fmt: skip
            for row in session.scalars(select(Delivery).where(Delivery.not_before > self.now)):
                row.not_before = self.now
            for row in session.scalars(select(Delivery).where(Delivery.state == "pending")):
                row.created_at = min(row.created_at, self.now)

    # --- what must be true ---

    def check(self) -> None:
        for row in self.rows():
            if row.state == "dead":
                assert row.error_text, f"delivery {row.id} is dead without a reason"
            if row.state == "delivered":
                assert row.sent_at is not None
            assert self.requests[row.id] <= commitments.MOST_REQUESTS + MOST_REFUSED_REQUESTS
            assert row.commitment_requests <= commitments.MOST_REQUESTS
        revisions = [revision for revision, _ in self.at_destination]
        assert revisions == sorted(revisions), "an earlier report was sent after a newer one"

    def settle(self) -> None:
        """The destination works again: every delivery ends, and the newest report is there and delivered."""
        for _ in range(3):
            for row in self.rows():
                for _ in range(6):
                    if self.row(row.id).state in ENDED_STATES:
                        break
                    self.step(row.id, "stores/commits")
            self.check()
            dead = [row for row in self.rows() if row.state == "dead"]
            if not dead:
                break
            self.do(("watchdog",))
            for row in dead:  # an administrator acts
                self.retry(row.id)
        rows = self.rows()
        assert {row.state for row in rows} <= set(ENDED_STATES), [row.state for row in rows]
        newest = next(row for row in rows if self.revision_of(row) == self.revision())
        assert newest.state == "delivered", (newest.state, newest.error_text)
        assert all((self.revision(), kind) in self.at_destination for kind in self.kinds)
        for row in rows:
            if row is not newest:
                assert row.state in ("delivered", "superseded"), (row.state, row.error_text)

    # --- the ledger ---

    def all(self, table: Any) -> list[Any]:
        with self.ledger.begin() as session:
            return list(session.scalars(select(table)))

    def rows(self) -> list[Delivery]:
        with self.ledger.begin() as session:
            return list(session.scalars(select(Delivery).order_by(Delivery.id)))

    def row(self, delivery_id: int) -> Delivery:
        with self.ledger.begin() as session:
            return session.get_one(Delivery, delivery_id)

    def revision(self) -> int:
        with self.ledger.begin() as session:
            report = current_report(session, STUDY)
            return report.revision if report else 0

    def revision_of(self, row: Delivery) -> int:
        with self.ledger.begin() as session:
            return session.get_one(Report, row.report_id).revision

    def canonical(self) -> Any:
        """The state without what makes no difference: times, texts, and the names of transactions."""
        rows = []
        for row in self.rows():
            objects = tuple(
                sorted(
                    (uid, entry["status"], entry["committed"], entry.get("uncommittable", False),
                     entry.get("begun", False), min(entry.get("times_stored", 0), 2))
                    for uid, entry in row.objects.items()
                )
            )  # fmt: skip
            overdue = self.now - row.created_at > timedelta(days=7)
            leased = row.lease_until is not None and row.lease_until >= self.now
            asked = sorted(
                tuple(sorted((uid, _age(row, uid, n)) for uid, n in request.copies.items()))
                for request in self.all(CommitmentRequest)
                if request.delivery_id == row.id
            )
            rows.append(
                (row.state, min(row.attempts, machine.LEAST_ATTEMPTS), row.commitment_requests, overdue, leased,
                 objects, row.sent_at is not None, tuple(dict.fromkeys(asked)))
            )  # fmt: skip
        return tuple(rows), tuple(dict.fromkeys(self.at_destination))

    def snapshot(self) -> Any:
        with self.ledger.engine.connect() as connection:
            tables = [[dict(row) for row in connection.execute(select(t.__table__)).mappings()] for t in TABLES]
        return tables, self.now, list(self.at_destination), Counter(self.requests)

    def restore(self, snapshot: Any) -> None:
        tables, self.now, at_destination, requests = snapshot
        self.at_destination, self.requests = list(at_destination), Counter(requests)
        with self.ledger.engine.begin() as connection:
            for table in TABLES:
                connection.execute(delete(table))
            for table, values in reversed(list(zip(TABLES, tables, strict=True))):
                if values:
                    connection.execute(insert(table.__table__), values)


MOST_REFUSED_REQUESTS = 12  # requests that were not accepted are limited by attempts and days


def _age(row: Delivery, uid: str, copies: int) -> bool:
    return bool(row.objects.get(uid, {}).get("times_stored", 0) == copies)


class Destination:
    """The channel of the test: it does what the mood of the world says."""

    name = "main"
    patience = PATIENCE

    def __init__(self, world: World, _context: ChannelContext) -> None:
        self.world = world
        self.commitment = self
        self.wait_s = 3600.0
        self.sending, _, committing = world.mood.partition("/")
        self.committing = committing or world.mood

    def select(self, objects: Sequence[StoredObject], recorded: Recorded) -> list[StoredObject]:
        return sorted(objects, key=lambda stored: stored.kind, reverse=True)

    def refusal(self, objects: Sequence[StoredObject], recorded: Recorded) -> str | None:
        document = next(stored for stored in objects if stored.kind == "sr")
        return None if is_stored(recorded, document) else "the destination refuses the SR"

    def send(self, parcel: Parcel, proceed: Callable[[], bool]) -> list[SendResult]:
        if self.sending == "is down":
            raise PacsUnavailableError("cannot be reached")
        if self.sending == "tls":
            raise SettingsError("[tls] expected a PEM file, found none")
        if self.sending == "bug":
            raise ZeroDivisionError
        return [self._store(stored, parcel, proceed) for stored in parcel.objects]

    def _store(self, stored: StoredObject, parcel: Parcel, proceed: Callable[[], bool]) -> SendResult:
        uid, mood = stored.sop_instance_uid, self.sending
        if not proceed():
            return SendResult(uid, LATER, "stopped")
        with self.world.ledger.begin() as session:
            revision = session.get_one(Report, parcel.report_id).revision
            assert deliveries.replaced_by(session, parcel.report_id) is None, "a replaced report is sent"
        if mood == "refuses":
            return SendResult(uid, REFUSED, "not accepted")
        if mood == "is full":
            return SendResult(uid, LATER, "status A700")
        self.world.at_destination.append((revision, stored.kind))
        if mood == "worker dies":
            raise WorkerDied
        if mood == "is replaced" and self.world.revision() < self.world.most_revisions:
            self.world.revise()
        if mood == "usurped":
            with self.world.ledger.begin() as session:
                session.get_one(Delivery, parcel.delivery_id).lease_owner = "another"
        if mood == "loses the response":
            return SendResult(uid, LATER, "the association ended before the response came")
        return SendResult(uid, STORED)

    def request(
        self, transaction_uid: str, objects: Sequence[tuple[str, str]], record: Callable[[CommitmentResult], bool]
    ) -> CommitmentAnswer:
        with self.world.ledger.begin() as session:
            delivery_id = session.get_one(CommitmentRequest, transaction_uid).delivery_id
        self.world.requests[delivery_id] += 1
        mood, uids = self.committing, tuple(uid for _, uid in objects)
        if mood == "is down":
            raise PacsUnavailableError("cannot be reached")
        if mood == "bug":
            raise ZeroDivisionError
        if mood == "worker dies":
            raise WorkerDied
        if mood == "is replaced" and self.world.revision() < self.world.most_revisions:
            self.world.revise()
        if mood == "commits":
            assert record(CommitmentResult(transaction_uid, uids))
        if mood == "fails":
            assert record(CommitmentResult(transaction_uid, (), dict.fromkeys(uids, 0x0112)))
        status = {"busy": 0x0213, "no answer": None}.get(mood, 0x0000)
        return CommitmentAnswer(mood != "not offered", status)
