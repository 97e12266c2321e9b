"""Work items of worklist managers (UPS Pull): query, claim, tell the progress and the end.

    scheduled at the manager --query--> SCHEDULED here, with a Transaction UID that is recorded before it is sent
      --N-ACTION or PUT state--> IN PROGRESS | TAKEN, where another performer was faster
      --N-SET or POST, whenever the progress has changed--> IN PROGRESS
      --the same with outputs or reason, then N-ACTION or PUT state--> COMPLETED | CANCELED

Each message may be repeated: what it asks for follows from the ledger, and the manager answers a repetition in a way of
its own (C302, B304, B306). So a process may die between any two of them, and several nodes may run this.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta

import structlog
from pydicom.uid import generate_uid
from sqlalchemy.orm import Session

from config.errors import CptdnError
from config.settings import Settings, WorklistSettings
from node.dicom.procedure_steps.reading import read_request
from node.dicom.procedure_steps.writing import performed, progress_of
from node.dicom.scu.worklist_client import ManagerAnswer, Reply, WorklistClient, dimse_client
from node.dicom.scu.worklist_web_client import web_client
from node.ledger import work_items as ledger_items
from node.ledger.backoff import backoff_s
from node.ledger.database import Ledger, does_not_answer, now_utc
from node.ledger.work_item_machine import Event, State
from node.ledger.work_item_tables import WorkItem
from node.store.names import is_uid

log = structlog.get_logger("cptdn.work_items")


class Worklist:
    """One configured worklist manager.

    Parameters
    ----------
    ledger : Ledger
        Where the work items are.
    settings : Settings
        `[work_items]` code, our AE title, the lease of a message.
    worklist : WorklistSettings
        The manager.
    """

    def __init__(self, ledger: Ledger, settings: Settings, worklist: WorklistSettings) -> None:
        self._ledger, self._settings, self._worklist = ledger, settings, worklist
        self._query_after = now_utc()

    def run_due(self) -> int:
        """Query the manager when that is due, and tell it what it does not know yet.

        Returns
        -------
        int
            Number of work items that the manager was spoken to about.
        """
        is_query_due = now_utc() >= self._query_after
        taken = self._take()
        if not taken and not is_query_due:
            return 0
        if is_query_due:
            self._query_after = now_utc() + timedelta(seconds=self._worklist.poll_every_s)
        try:
            with self._client() as client:
                if is_query_due:
                    self._query(client)
                    taken += self._take()
                while taken:
                    self._speak_safely(client, taken[0])
                    taken.pop(0)
        except CptdnError as error:
            self._postpone(taken, str(error))
            log.warning("worklist_unavailable", worklist=self._worklist.name, error=str(error))
        return len(taken)

    def _client(self) -> AbstractContextManager[WorklistClient]:
        if self._worklist.url is not None:
            return web_client(self._worklist)
        return dimse_client(self._worklist, self._settings.node.ae_title)

    def _take(self) -> list[int]:
        lease = timedelta(seconds=self._settings.jobs.lease_s)
        with self._ledger.begin() as session:
            return ledger_items.take_told(session, self._worklist.name, lease)

    def _query(self, client: WorklistClient) -> None:
        for uid in client.scheduled(self._settings.work_items):
            try:
                self._add(client, uid)
            except CptdnError:
                raise
            except Exception as error:  # one that cannot be read must not keep the others waiting
                if does_not_answer(error):
                    raise
                log.warning("work_item_unreadable", worklist=self._worklist.name, uid=uid, error=type(error).__name__)

    def _add(self, client: WorklistClient, uid: str) -> None:
        with self._ledger.begin() as session:
            is_known = ledger_items.find_item(session, uid, self._worklist.name) is not None
        ds = None if is_known or not is_uid(uid) else client.get(uid)
        if ds is None:
            return
        request = read_request(ds)
        # A manager may ignore keys of the query.
        if not request.is_for(self._settings.work_items) or ds.get("ProcedureStepState") != State.SCHEDULED:
            return
        new = ledger_items.NewItem(
            uid, self._worklist.name, request.inputs, request.patient_id, request.issuer, ds.to_json_dict()
        )  # fmt: skip
        with self._ledger.begin() as session:
            ledger_items.add_item(session, new)

    # --- one work item ---

    def _speak_safely(self, client: WorklistClient, item_id: int) -> None:
        try:
            self._speak(client, item_id)
        except CptdnError:
            raise
        except Exception as error:  # an error with one work item must not keep all others waiting
            if does_not_answer(error):
                raise
            log.exception("work_item_not_told", id=item_id)
            self._postpone([item_id], f"unexpected error: {type(error).__name__}")

    def _speak(self, client: WorklistClient, item_id: int) -> None:
        with self._ledger.begin() as session:
            item = ledger_items.lock_item(session, item_id)
            if item.transaction_uid is None:
                # Recorded before it is sent: after a crash the claim is repeated, and recognised as ours.
                item.transaction_uid = str(generate_uid())
        if item.state == State.SCHEDULED:
            self._claim(client, item)
        elif item.ending is not None:
            self._end(client, item)
        elif item.state == State.IN_PROGRESS and item.progress != item.told:
            self._tell_progress(client, item)

    def _claim(self, client: WorklistClient, item: WorkItem) -> None:
        uid, lock = item.uid, str(item.transaction_uid)
        answer = client.change_state(uid, State.IN_PROGRESS, lock)
        if answer.reply in (Reply.IN_PROGRESS, Reply.NOT_OURS):
            # Ours, if a process died before it recorded the answer: only who has the Transaction UID may change it.
            answer = client.update(uid, lock, progress_of(item))
        if answer.reply is Reply.DONE:
            self._record(item.id, Event.CLAIM)
            if self._worklist.url is None:
                client.watch(uid, self._settings.node.ae_title)
            return
        self._not_done(item.id, answer)

    def _tell_progress(self, client: WorklistClient, item: WorkItem) -> None:
        answer = client.update(item.uid, str(item.transaction_uid), progress_of(item))
        if answer.reply is not Reply.DONE:
            self._not_done(item.id, answer)
            return
        with self._ledger.begin() as session:
            row = ledger_items.lock_item(session, item.id)
            row.told, row.attempts, row.error_text = item.progress, 0, None
            row.not_before = now_utc()  # there may be newer progress, or an ending

    def _end(self, client: WorklistClient, item: WorkItem) -> None:
        state, lock = State((item.ending or {})["state"]), str(item.transaction_uid)
        answer = client.update(item.uid, lock, performed(item, self._settings))
        # Ended already: by us before a process died, which the change of state finds out.
        if answer.reply in (Reply.DONE, Reply.ENDED):
            answer = client.change_state(item.uid, state, lock)
        if answer.reply is Reply.DONE:
            self._record(item.id, Event.COMPLETE if state is State.COMPLETED else Event.CANCEL)
            return
        self._not_done(item.id, answer)

    # --- what is recorded ---

    def _record(self, item_id: int, event: Event, note: str | None = None) -> None:
        with self._ledger.begin() as session:
            row = ledger_items.lock_item(session, item_id)
            # Another node may have recorded the same answer.
            if row.state in (State.SCHEDULED, State.IN_PROGRESS) and not (
                event is Event.CLAIM and row.state == State.IN_PROGRESS
            ):
                ledger_items.apply(row, event)
            row.attempts, row.error_text, row.not_before = 0, note, now_utc()
            row.judged_after = now_utc()

    def _not_done(self, item_id: int, answer: ManagerAnswer) -> None:
        if answer.reply is Reply.LATER:
            self._postpone([item_id], answer.note)
        elif answer.reply is Reply.UNKNOWN:
            self._record(item_id, Event.GONE, answer.note)
        else:
            self._record(item_id, Event.TAKEN, answer.note)

    def _postpone(self, item_ids: list[int], reason: str) -> None:
        with self._ledger.begin() as session:
            for item_id in item_ids:
                self._wait(session, ledger_items.lock_item(session, item_id), reason)

    def _wait(self, session: Session, row: WorkItem, reason: str) -> None:
        now, worklist = now_utc(), self._worklist
        row.attempts, row.error_text = row.attempts + 1, reason
        row.not_before = now + timedelta(
            seconds=backoff_s(worklist.retry_first_s, worklist.retry_longest_s, row.attempts)
        )
        ending = row.ending
        # One that is not claimed is not given up: it stays scheduled at its manager. Of one in progress only the end
        # counts: until then its study goes on, whether the manager hears of it or not.
        if row.state == State.IN_PROGRESS and ending is not None:
            ended = now - timedelta(days=worklist.give_up_after_days)
            if ending["at"] < ended.isoformat():
                ledger_items.apply(row, Event.GONE)


def worklists(ledger: Ledger, settings: Settings) -> list[tuple[str, Callable[[], int]]]:
    """Return the name and the work of each configured worklist.

    Parameters
    ----------
    ledger : Ledger
        Where the work items are.
    settings : Settings
        Its `[[worklist]]` sections.
    """
    return [(each.name, Worklist(ledger, settings, each).run_due) for each in settings.worklist]
