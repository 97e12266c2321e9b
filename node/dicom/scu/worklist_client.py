"""What this node asks a worklist manager, and how it does that by DIMSE (UPS Pull and Watch, PS3.4 Annex CC).

`worklist_web_client` does the same by UPS-RS. Both answer in the same words, so that the claim of a work item, its
progress and its end are one procedure (`node.workflow.worklists`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from pydicom.dataset import Dataset
from pynetdicom import build_context
from pynetdicom.association import Association

from config.errors import PacsUnavailableError
from config.settings import PacsSettings, WorkItemSettings, WorklistSettings
from node.dicom.network.connection import association
from node.dicom.network.contexts import PLAIN_SYNTAXES
from node.dicom.procedure_steps.identifiers import PULL, PUSH, WATCH, Action
from node.dicom.procedure_steps.writing import code_item
from node.ledger import work_item_machine as machine
from node.ledger.work_item_machine import State

MOST_ITEMS = 200  # answers read of one query; then it is cancelled, and the rest comes with the next one
FIND_MESSAGE = 1


class Reply(Enum):
    """What a manager says to a change."""

    DONE = "done"
    IN_PROGRESS = "the work item is in progress already"
    NOT_OURS = "another performer has the work item"
    ENDED = "the work item has ended"
    UNKNOWN = "the manager does not know the work item"
    LATER = "not now"


@dataclass(frozen=True)
class ManagerAnswer:
    """The answer of a manager to a change.

    Attributes
    ----------
    reply : Reply
        What it means.
    note : str
        Half a sentence for people; empty after a success.
    """

    reply: Reply
    note: str = ""


class WorklistClient(Protocol):
    """A manager, ready to be asked; every method raises PacsUnavailableError when it does not answer."""

    def scheduled(self, items: WorkItemSettings) -> list[str]:
        """Return the UIDs of scheduled work items of a code."""

    def get(self, uid: str) -> Dataset | None:
        """Return a work item; None where the manager does not know it."""

    def change_state(self, uid: str, state: State, transaction_uid: str) -> ManagerAnswer:
        """Change the state of a work item under a Transaction UID."""

    def update(self, uid: str, transaction_uid: str, changes: Dataset) -> ManagerAnswer:
        """Set attributes of a work item in progress."""

    def watch(self, uid: str, receiver: str) -> None:
        """Ask to be told when the cancellation of a work item is requested, where the manager offers that."""


def scheduled_query(items: WorkItemSettings) -> Dataset:
    """Return the keys of a query for scheduled work items.

    Parameters
    ----------
    items : WorkItemSettings
        The code that they must have.
    """
    query = Dataset()
    query.SOPInstanceUID = ""
    query.ProcedureStepState = State.SCHEDULED.value
    code = code_item(items.code, items.code_scheme, "")
    code.CodeMeaning = None
    query.ScheduledWorkitemCodeSequence = [code]
    return query


@contextmanager
def dimse_client(worklist: WorklistSettings, calling_ae: str) -> Iterator[WorklistClient]:
    """Open an association to a manager for as long as the block lasts.

    Raises
    ------
    PacsUnavailableError
        When there is none.
    """
    peer = as_peer(worklist)
    contexts = [build_context(uid, list(PLAIN_SYNTAXES)) for uid in (PULL, WATCH)]
    with association(peer, calling_ae, contexts) as assoc:
        yield _DimseClient(assoc, f"worklist manager {worklist.name!r}")


def as_peer(worklist: WorklistSettings) -> PacsSettings:
    """Return a manager as the peer of an association."""
    return PacsSettings(
        name=worklist.name, ae_title=worklist.ae_title, host=worklist.host, port=worklist.port,
        timeout_s=worklist.timeout_s, tls=worklist.tls,
    )  # fmt: skip


class _DimseClient:
    def __init__(self, assoc: Association, name: str) -> None:
        self._assoc, self._name = assoc, name

    def scheduled(self, items: WorkItemSettings) -> list[str]:
        found: list[str] = []
        self._check()
        for status, identifier in self._assoc.send_c_find(scheduled_query(items), PULL, msg_id=FIND_MESSAGE):
            code = status.get("Status")
            if code in (0xFF00, 0xFF01) and identifier is not None:
                found.append(str(identifier.get("SOPInstanceUID") or ""))
                if len(found) == MOST_ITEMS:
                    self._assoc.send_c_cancel(FIND_MESSAGE, query_model=PULL)
            elif code not in (0x0000, 0xFE00, 0xFF00, 0xFF01):
                raise PacsUnavailableError(f"{self._name} did not answer a query to its end{_said(status)}")
        return [uid for uid in dict.fromkeys(found) if uid]

    def get(self, uid: str) -> Dataset | None:
        self._check()
        status, ds = self._assoc.send_n_get([], PUSH, uid)
        if "Status" not in status:
            raise PacsUnavailableError(f"{self._name} did not answer an N-GET")
        return ds

    def change_state(self, uid: str, state: State, transaction_uid: str) -> ManagerAnswer:
        self._check()
        information = Dataset()
        information.ProcedureStepState, information.TransactionUID = state.value, transaction_uid
        status, _ = self._assoc.send_n_action(information, Action.CHANGE_STATE, PUSH, uid)
        return self._answer(status, state)

    def update(self, uid: str, transaction_uid: str, changes: Dataset) -> ManagerAnswer:
        self._check()
        changes = Dataset(changes)
        changes.TransactionUID = transaction_uid
        status, _ = self._assoc.send_n_set(changes, PUSH, uid)
        return self._answer(status, None)

    def watch(self, uid: str, receiver: str) -> None:
        self._check()
        if not any(context.abstract_syntax == WATCH for context in self._assoc.accepted_contexts):
            return
        information = Dataset()
        information.ReceivingAE, information.DeletionLock = receiver, "FALSE"
        self._assoc.send_n_action(information, Action.SUBSCRIBE, PUSH, uid, meta_uid=WATCH)

    def _check(self) -> None:
        if not self._assoc.is_established:
            raise PacsUnavailableError(f"{self._name} has ended the association")

    def _answer(self, status: Dataset, wanted: State | None) -> ManagerAnswer:
        if "Status" not in status:
            raise PacsUnavailableError(f"{self._name} did not answer")
        code = int(status.Status)
        already = {machine.ALREADY_COMPLETED: State.COMPLETED, machine.ALREADY_CANCELED: State.CANCELED}
        # Warnings: what was asked for is done, with an attribute left out or coerced.
        if code in (machine.SUCCESS, 0x0001, 0x0107, 0x0116, 0xB305) or (wanted and already.get(code) is wanted):
            return ManagerAnswer(Reply.DONE)
        replies = {
            machine.ALREADY_IN_PROGRESS: Reply.IN_PROGRESS, machine.WRONG_UID: Reply.NOT_OURS,
            machine.ENDED: Reply.ENDED, machine.UNKNOWN_ITEM: Reply.UNKNOWN, 0x0112: Reply.UNKNOWN,
            **dict.fromkeys(already, Reply.ENDED),
        }  # fmt: skip
        return ManagerAnswer(replies.get(code, Reply.LATER), f"{self._name} answers{_said(status)}")


def _said(status: Dataset) -> str:
    if "Status" not in status:
        return ""
    comment = str(status.get("ErrorComment") or "")
    return f" (status {int(status.Status):04X}{': ' + comment if comment else ''})"
