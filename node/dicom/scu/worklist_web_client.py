"""A worklist manager by UPS-RS (PS3.18 chapter 11): the same questions as by DIMSE, as HTTP requests.

Events come by a WebSocket there, which this client does not open: a request for cancellation of a work item in progress
is not seen by this way.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from pydicom.dataset import Dataset

from config.errors import PacsUnavailableError, SettingsError
from config.settings import WorkItemSettings, WorklistSettings
from node.dicom.network.tls import client_context
from node.dicom.scu.worklist_client import MOST_ITEMS, ManagerAnswer, Reply, WorklistClient
from node.ledger.work_item_machine import State

JSON = "application/dicom+json"
OK, CONFLICT, GONE, NOT_FOUND = 200, 409, 410, 404
NO_CONTENT, BAD_REQUEST = 204, 400


@contextmanager
def web_client(worklist: WorklistSettings) -> Iterator[WorklistClient]:
    """Open a connection to a manager for as long as the block lasts.

    Raises
    ------
    SettingsError
        Its token or TLS files cannot be used.
    """
    verify: ssl.SSLContext | bool = client_context(worklist.tls) if worklist.tls is not None else True
    headers = {"Accept": JSON, **_authorization(worklist)}
    with httpx.Client(
        base_url=str(worklist.url).rstrip("/"), timeout=worklist.timeout_s, verify=verify, headers=headers
    ) as client:
        yield _WebClient(client, f"worklist manager {worklist.name!r}")


class _WebClient:
    def __init__(self, client: httpx.Client, name: str) -> None:
        self._client, self._name = client, name

    def scheduled(self, items: WorkItemSettings) -> list[str]:
        code = "ScheduledWorkitemCodeSequence"
        query = {
            "ProcedureStepState": State.SCHEDULED.value, f"{code}.CodeValue": items.code,
            f"{code}.CodingSchemeDesignator": items.code_scheme, "limit": str(MOST_ITEMS),
        }  # fmt: skip
        answer = self._request("GET", "/workitems", params=query)
        if answer.status_code == NO_CONTENT:
            return []
        if answer.status_code != OK:
            raise PacsUnavailableError(f"{self._name} refused a query ({_said(answer)})")
        uids = (str(ds.get("SOPInstanceUID") or "") for ds in _data_sets(answer, self._name))
        return [uid for uid in dict.fromkeys(uids) if uid]

    def get(self, uid: str) -> Dataset | None:
        answer = self._request("GET", f"/workitems/{uid}")
        if answer.status_code in (NOT_FOUND, GONE):
            return None
        if answer.status_code != OK:
            raise PacsUnavailableError(f"{self._name} did not return a work item ({_said(answer)})")
        found = _data_sets(answer, self._name)
        return found[0] if found else None

    def change_state(self, uid: str, state: State, transaction_uid: str) -> ManagerAnswer:
        wanted = Dataset()
        wanted.ProcedureStepState, wanted.TransactionUID = state.value, transaction_uid
        answer = self._request("PUT", f"/workitems/{uid}/state", wanted)
        found = self._reply(answer)
        if found.reply is not Reply.NOT_OURS:
            return found
        # One status for several refusals (PS3.18 section 11.7.3): the state of the work item tells which.
        now = self.get(uid)
        is_at = str(now.get("ProcedureStepState") or "") if now is not None else ""
        if is_at == state and state is not State.IN_PROGRESS:
            return ManagerAnswer(Reply.DONE)
        if is_at in (State.COMPLETED, State.CANCELED):
            return ManagerAnswer(Reply.ENDED, found.note)
        return ManagerAnswer(Reply.IN_PROGRESS if is_at == State.IN_PROGRESS else Reply.LATER, found.note)

    def update(self, uid: str, transaction_uid: str, changes: Dataset) -> ManagerAnswer:
        # The Transaction UID is a parameter of the request, PS3.18 section 11.6.1.
        found = self._reply(
            self._request("POST", f"/workitems/{uid}", changes, params={"transaction-uid": transaction_uid})
        )
        if found.reply is not Reply.NOT_OURS:
            return found
        now = self.get(uid)
        if now is not None and str(now.get("ProcedureStepState") or "") in (State.COMPLETED, State.CANCELED):
            return ManagerAnswer(Reply.ENDED, found.note)
        return found

    def watch(self, uid: str, receiver: str) -> None:
        """Do nothing: events come by a WebSocket."""

    def _request(
        self, method: str, path: str, body: Dataset | None = None, params: dict[str, str] | None = None
    ) -> httpx.Response:
        content = None if body is None else f"[{body.to_json()}]".encode()
        headers = {} if body is None else {"Content-Type": JSON}
        try:
            return self._client.request(method, path, content=content, headers=headers, params=params)
        except httpx.HTTPError as error:
            raise PacsUnavailableError(f"{self._name} does not answer ({type(error).__name__})") from error

    def _reply(self, answer: httpx.Response) -> ManagerAnswer:
        note = f"{self._name} answers {_said(answer)}"
        if answer.is_success:
            return ManagerAnswer(Reply.DONE)
        if answer.status_code in (NOT_FOUND, GONE):
            return ManagerAnswer(Reply.UNKNOWN, note)
        if answer.status_code in (CONFLICT, BAD_REQUEST):
            return ManagerAnswer(Reply.NOT_OURS, note)
        return ManagerAnswer(Reply.LATER, note)


def _data_sets(answer: httpx.Response, name: str) -> list[Dataset]:
    try:
        document = answer.json()
        return [Dataset.from_json(each) for each in (document if isinstance(document, list) else [document])]
    except Exception as error:  # a broken answer raises anything
        raise PacsUnavailableError(f"{name} returned no DICOM JSON ({type(error).__name__})") from error


def _said(answer: httpx.Response) -> str:
    warning = answer.headers.get("Warning", "")
    return f"{answer.status_code} {answer.reason_phrase}".rstrip() + (f": {warning}" if warning else "")


def _authorization(worklist: WorklistSettings) -> dict[str, str]:
    if worklist.token_file is None:
        return {}
    try:
        return {"Authorization": f"Bearer {worklist.token_file.read_text(encoding='utf-8').strip()}"}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"[[worklist]] {worklist.name}: token_file cannot be read: {error}") from error
