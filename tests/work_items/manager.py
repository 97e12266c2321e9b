"""A worklist manager: UPS Push, Pull and Watch by pynetdicom, and UPS-RS, over one list.

Its states are those of PS3.4 Table CC.1.1-2, written down here from the standard and not from the program under test.
"""

from __future__ import annotations

import contextlib
import json
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlparse

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import (
    UnifiedProcedureStepEvent,
    UnifiedProcedureStepPull,
    UnifiedProcedureStepPush,
    UnifiedProcedureStepWatch,
)

CODE = ("NPC-TREATMENT", "99CPTDN")
# Columns: null, SCHEDULED, IN PROGRESS, COMPLETED, CANCELED; a state is the next one, a number the status.
STATES = ("", "SCHEDULED", "IN PROGRESS", "COMPLETED", "CANCELED")
STANDARD: dict[tuple[str, bool | None], tuple[str | int, ...]] = {
    ("create", None): ("SCHEDULED", 0x0111, 0x0111, 0x0111, 0x0111),
    ("IN PROGRESS", True): (0xC307, "IN PROGRESS", 0xC302, 0xC300, 0xC300),
    ("IN PROGRESS", False): (0xC307, 0xC301, 0xC301, 0xC301, 0xC301),
    ("SCHEDULED", None): (0xC307, 0xC303, 0xC303, 0xC303, 0xC303),
    ("COMPLETED", True): (0xC307, 0xC310, "COMPLETED", 0xB306, 0xC300),
    ("COMPLETED", False): (0xC307, 0xC301, 0xC301, 0xC301, 0xC301),
    ("request cancel", None): (0xC307, "CANCELED", "IN PROGRESS", 0xC311, 0xB304),
    ("CANCELED", True): (0xC307, 0xC310, "CANCELED", 0xC300, 0xB304),
    ("CANCELED", False): (0xC307, 0xC301, 0xC301, 0xC301, 0xC301),
}


def work_item(study: str | None, patient_id: str = "P-1", code: tuple[str, str] = CODE, **values: Any) -> Dataset:
    """Attributes of a scheduled work item about a study."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.ProcedureStepState, ds.InputReadinessState = "SCHEDULED", "READY"
    ds.ScheduledProcedureStepPriority, ds.ProcedureStepLabel = "MEDIUM", "Nasopharynx"
    ds.PatientID, ds.PatientName = patient_id, "Phantom^One"
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator = code
    item.CodeMeaning = "Prognosis"
    ds.ScheduledWorkitemCodeSequence = [item]
    ds.InputInformationSequence = []
    if study is not None:
        source = Dataset()
        source.TypeOfInstances, source.StudyInstanceUID = "DICOM", study
        ds.InputInformationSequence.append(source)
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


@dataclass
class Listed:
    """A work item of the manager, with everything that was done to it."""

    ds: Dataset
    transaction_uid: str | None = None
    by: list[str] = field(default_factory=list)  # one entry for each claim that was granted
    ends: list[str] = field(default_factory=list)
    progress: list[str] = field(default_factory=list)
    watched_by: set[str] = field(default_factory=set)

    @property
    def state(self) -> str:
        return str(self.ds.ProcedureStepState)


class Manager:
    """The list, and what it answers; `lose` is the share of changes whose answer is lost although they were made."""

    def __init__(self) -> None:
        self.items: dict[str, Listed] = {}
        self.lock = threading.RLock()
        self.snatch: set[str] = set()  # another performer claims these right before ours does
        self.draw(0, lose=0.0)

    def draw(self, seed: int, lose: float) -> None:
        """Lose this share of answers from now on."""
        self._random, self.lose = random.Random(seed), lose

    def schedule(self, ds: Dataset) -> str:
        uid = str(generate_uid())
        ds.SOPClassUID, ds.SOPInstanceUID = UnifiedProcedureStepPush, uid
        with self.lock:
            self.items[uid] = Listed(ds)
        return uid

    def is_lost(self) -> bool:
        with self.lock:
            return self._random.random() < self.lose

    def change(self, uid: str, wanted: str, transaction_uid: str, by: str = "node") -> int:
        with self.lock:
            item = self.items.get(uid)
            if item is not None and uid in self.snatch and wanted == "IN PROGRESS" and item.state == "SCHEDULED":
                item.transaction_uid, item.ds.ProcedureStepState = str(generate_uid()), "IN PROGRESS"
                item.by.append("another")
            state = item.state if item is not None else ""
            is_correct: bool | None = None
            if wanted != "SCHEDULED":
                expected = item.transaction_uid if item is not None else None
                is_correct = bool(transaction_uid) and (expected is None or expected == transaction_uid)
            found = STANDARD[wanted, is_correct][STATES.index(state)]
            if isinstance(found, int) or item is None:
                assert isinstance(found, int)
                return found
            if wanted in ("COMPLETED", "CANCELED") and not is_complete(item.ds, wanted):
                return 0xC304
            item.ds.ProcedureStepState = found
            if wanted == "IN PROGRESS":
                item.transaction_uid = transaction_uid
                item.by.append(by)
            else:
                item.ends.append(wanted)
            return 0x0000

    def request_cancel(self, uid: str) -> int:
        with self.lock:
            item = self.items.get(uid)
            found = STANDARD["request cancel", None][STATES.index(item.state if item else "")]
            if isinstance(found, int) or item is None:
                assert isinstance(found, int)
                return found
            item.ds.ProcedureStepState = found
            return 0x0000

    def update(self, uid: str, transaction_uid: str, changes: Dataset) -> int:
        with self.lock:
            item = self.items.get(uid)
            if item is None:
                return 0xC307
            # PS3.4 CC.2.6.3: an update needs the lock, and nothing of an ended one may be changed.
            if item.state in ("COMPLETED", "CANCELED"):
                return 0xC300
            if item.state != "IN PROGRESS":
                return 0xC310
            if transaction_uid != item.transaction_uid:
                return 0xC301
            item.ds.update({element.tag: element for element in changes if element.keyword != "TransactionUID"})
            said = changes.get("ProcedureStepProgressInformationSequence") or [Dataset()]
            if "ProcedureStepProgressDescription" in said[0]:
                item.progress.append(str(said[0].ProcedureStepProgressDescription))
            return 0x0000


def is_complete(ds: Dataset, wanted: str) -> bool:
    """Whether a work item has what PS3.4 Table CC.2.5-3 requires of this final state."""
    if wanted == "CANCELED":
        said = ds.ProcedureStepProgressInformationSequence[0]
        return all(
            keyword in said and said[keyword].value
            for keyword in ("ProcedureStepCancellationDateTime", "ReasonForCancellation",
                            "ProcedureStepDiscontinuationReasonCodeSequence")
        )  # fmt: skip
    step = (ds.get("UnifiedProcedureStepPerformedProcedureSequence") or [Dataset()])[0]
    needed = ("PerformedStationNameCodeSequence", "PerformedProcedureStepStartDateTime",
              "PerformedProcedureStepEndDateTime", "PerformedWorkitemCodeSequence")  # fmt: skip
    return all(keyword in step and step[keyword].value for keyword in needed) and "OutputInformationSequence" in step


# --- DIMSE ---


@contextmanager
def dimse_manager(manager: Manager, port: int = 0) -> Iterator[int]:
    ae = AE(ae_title="WORKLIST")
    for context in (UnifiedProcedureStepPush, UnifiedProcedureStepPull, UnifiedProcedureStepWatch):
        ae.add_supported_context(context)

    def find(event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        query = event.identifier
        code = query.ScheduledWorkitemCodeSequence[0]
        with manager.lock:
            found = [item.ds for item in manager.items.values() if item.state == query.ProcedureStepState]
        for ds in found:
            own = ds.ScheduledWorkitemCodeSequence[0]
            if (own.CodeValue, own.CodingSchemeDesignator) == (code.CodeValue, code.CodingSchemeDesignator):
                answer = Dataset()
                answer.SOPInstanceUID = ds.SOPInstanceUID
                yield 0xFF00, answer

    def get(event: evt.Event) -> tuple[int, Dataset | None]:
        item = manager.items.get(str(event.request.RequestedSOPInstanceUID))
        return (0xC307, None) if item is None else (0x0000, item.ds)

    def act(event: evt.Event) -> tuple[int, None]:
        uid, said = str(event.request.RequestedSOPInstanceUID), event.action_information
        if event.action_type == 3:
            manager.items[uid].watched_by.add(str(said.ReceivingAE))
            return 0x0000, None
        status = manager.change(uid, str(said.ProcedureStepState), str(said.TransactionUID))
        if manager.is_lost():
            event.assoc.abort()
        return status, None

    def change(event: evt.Event) -> tuple[int, Dataset | None]:
        ds = event.modification_list
        status = manager.update(str(event.request.RequestedSOPInstanceUID), str(ds.TransactionUID), ds)
        if manager.is_lost():
            event.assoc.abort()
        return status, None

    handlers = [(evt.EVT_C_FIND, find), (evt.EVT_N_GET, get), (evt.EVT_N_ACTION, act), (evt.EVT_N_SET, change)]
    server = ae.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()


def report_cancel_request(port: int, uid: str, because: str) -> int:
    """What a manager does when somebody asks it to cancel a work item in progress: it tells the performer."""
    ae = AE(ae_title="WORKLIST")
    ae.add_requested_context(UnifiedProcedureStepEvent)
    role = build_role(UnifiedProcedureStepEvent, scp_role=True)
    assoc = ae.associate("127.0.0.1", port, ae_title="CPTDN", ext_neg=[role])
    assert assoc.is_established
    ds = Dataset()
    ds.RequestingAE, ds.ReasonForCancellation = "RIS", because
    status, _ = assoc.send_n_event_report(ds, 2, UnifiedProcedureStepPush, uid, meta_uid=UnifiedProcedureStepEvent)
    assoc.release()
    return int(status.Status)


# --- UPS-RS ---

HTTP = {0x0000: 200, 0xB304: 200, 0xB306: 200, 0xC307: 404}  # PS3.18 tables 11.6.3-1 and 11.7.3-1; the rest is 409


@contextmanager
def web_manager(manager: Manager, port: int = 0) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts, query = urlparse(self.path), parse_qs(urlparse(self.path).query)
            uid = parts.path.split("/workitems")[1].strip("/")
            if uid:
                item = manager.items.get(uid)
                self._answer(404 if item is None else 200, [] if item is None else [item.ds.to_json_dict()])
                return
            with manager.lock:
                found = [
                    item.ds.to_json_dict()
                    for item in manager.items.values()
                    if item.state == query["ProcedureStepState"][0]
                    and item.ds.ScheduledWorkitemCodeSequence[0].CodeValue
                    == query["ScheduledWorkitemCodeSequence.CodeValue"][0]
                ]
            self._answer(200 if found else 204, found)

        def do_PUT(self) -> None:
            uid, ds = self.path.split("/")[-2], self._body()
            status = manager.change(uid, str(ds.ProcedureStepState), str(ds.TransactionUID))
            self._finish(status)

        def do_POST(self) -> None:
            parts = urlparse(self.path)
            transaction_uid = parse_qs(parts.query).get("transaction-uid", [""])[0]
            self._finish(manager.update(parts.path.split("/")[-1], transaction_uid, self._body()))

        def _body(self) -> Dataset:
            return Dataset.from_json(json.loads(self.rfile.read(int(self.headers["Content-Length"])))[0])

        def _finish(self, status: int) -> None:
            if manager.is_lost():
                self.close_connection = True
                self.connection.close()
                return
            self._answer(HTTP.get(status, 409), [])

        def _answer(self, status: int, document: list[Any]) -> None:
            content = json.dumps(document).encode() if status != 204 else b""
            self.send_response(status)
            self.send_header("Content-Type", "application/dicom+json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

        def handle(self) -> None:
            with contextlib.suppress(OSError, ValueError):  # the lost answer has closed the connection
                super().handle()

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
