"""A small PACS: storage, query/retrieve and storage commitment in one process, for the demonstration and for tests.

It saves files in a folder, answers C-ECHO, C-FIND (patient, study, series, image level), C-MOVE and C-GET, and commits
what it has. `Behaviour` gives it the difficulties of real ones. It has no index, no access control and no backup: it
is not a PACS to use.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import AE, AllStoragePresentationContexts, build_context, build_role, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.events import Event, EventHandlerType
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    PatientRootQueryRetrieveInformationModelFind,
    PatientRootQueryRetrieveInformationModelGet,
    PatientRootQueryRetrieveInformationModelMove,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

from config.settings import NodeSettings, TlsSettings
from node.dicom.network.commitment import commitment_result
from node.dicom.network.connection import PeerAE
from node.dicom.network.contexts import (
    PLAIN_SYNTAXES,
    STORAGE_COMMITMENT_INSTANCE,
    STORAGE_COMMITMENT_PUSH,
    TRANSFER_SYNTAXES,
    VERIFICATION,
)
from node.dicom.network.library_settings import configure_pydicom_pynetdicom
from node.dicom.network.server import GuardedServer
from node.dicom.network.tls import client_context, server_context
from node.small_pacs.matching import level_of, matches, rejected_by, response_for
from node.store.names import uid_name
from node.store.part10 import FileMeta, file_header

NO_SUCH_INSTANCE = 0x0112
CLASS_NOT_SUPPORTED = 0x0122
MOVE_DESTINATION_UNKNOWN = 0xA801

_FIND = (PatientRootQueryRetrieveInformationModelFind, StudyRootQueryRetrieveInformationModelFind)
_MOVE = (PatientRootQueryRetrieveInformationModelMove, StudyRootQueryRetrieveInformationModelMove)
_GET = (PatientRootQueryRetrieveInformationModelGet, StudyRootQueryRetrieveInformationModelGet)


@dataclass(frozen=True)
class Behaviour:
    """How the PACS behaves; the defaults are those of a PACS without faults.

    Attributes
    ----------
    refuse_classes : frozenset of str
        SOP Class UIDs that it does not accept in a negotiation.
    store_status : int
        Status of every C-STORE response (PS3.4 B.2.3); with a failure nothing is stored.
    abort_after : int or None
        Objects received on one association after which it aborts the association.
    commitment_status : int
        Status of every response to a request for commitment (PS3.7 section 10.1.4.1.10); with a failure no result
        follows.
    commitment : {"same", "new", "held", "previous", "never", "none"}
        Whether the result is reported on the same association, on a new one to the requestor's `Destination`, when
        `report_held` is called, on the association of the next request, or never; with "none" the service is not
        offered.
    lose, lose_classes : dict of str to int
        SOP Instance UIDs and SOP Class UIDs that it does not commit, with their Failure Reason (PS3.3 C.14.1.1).
    delay_s : float
        Seconds before it reports the result of a commitment.
    implicit_only : bool
        Whether it offers storage commitment in Implicit VR Little Endian only.
    ignored_keys : frozenset of str
        Keywords of query keys that it does not match on, as a PACS may for optional keys (PS3.4 C.2.2.1.3); a faulty
        one does so for required keys.
    honours_rejection_notes : bool
        Whether it hides what a rejection note names, and the note, from queries and retrievals (IHE RAD, IOCM).
    """

    refuse_classes: frozenset[str] = frozenset()
    store_status: int = 0x0000
    abort_after: int | None = None
    commitment_status: int = 0x0000
    commitment: Literal["same", "new", "held", "previous", "never", "none"] = "same"
    lose: dict[str, int] = field(default_factory=dict)
    lose_classes: dict[str, int] = field(default_factory=dict)
    delay_s: float = 0.0
    implicit_only: bool = False
    ignored_keys: frozenset[str] = frozenset()
    honours_rejection_notes: bool = False


@dataclass(frozen=True)
class Destination:
    """Where an AE title can be reached: for C-MOVE, and for commitments on a new association."""

    ae_title: str
    host: str
    port: int


@dataclass
class ArchivedFile:
    """One object in the archive.

    Attributes
    ----------
    path : Path
        The file.
    sop_class_uid, sop_instance_uid, transfer_syntax_uid : str
        As negotiated and requested, or of the file's meta information.
    calling_ae : str
        AE title of the sender; empty for a file that was added without the network.
    times_received : int
        Number of C-STORE requests with this SOP Instance UID.
    """

    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    calling_ae: str
    times_received: int = 1


class SmallPacs:
    """A PACS for tests and the demonstration; use it as a context manager.

    Parameters
    ----------
    folder : Path
        Where received files are saved; made when it does not exist.
    ae_title, host, port : str, str, int
        Its address; with port 0 the system chooses one (see `port`).
    behaviour : Behaviour, optional
        May be replaced while it runs; accepted contexts change for new associations only.
    destinations : tuple of Destination
        AE titles that it knows, for C-MOVE and for commitment results on a new association.
    tls : TlsSettings, optional
        Certificates for both directions.

    Attributes
    ----------
    stored : dict of SOP Instance UID to ArchivedFile
        Everything in the archive.
    commitments : list of str
        Transaction UIDs of the requests received.
    held : list
        Commitment results that are not reported yet; see `report_held`.
    requests : list of str
        Queries and retrievals received, for example ``C-FIND STUDY`` or ``C-MOVE`` with a Series Instance UID.
    """

    def __init__(
        self,
        folder: Path,
        ae_title: str = "PACS",
        host: str = "127.0.0.1",
        port: int = 0,
        behaviour: Behaviour | None = None,
        destinations: tuple[Destination, ...] = (),
        tls: TlsSettings | None = None,
    ) -> None:
        self.folder = folder
        self.ae_title = ae_title
        self.behaviour = behaviour or Behaviour()
        self.destinations = {destination.ae_title: destination for destination in destinations}
        self.stored: dict[str, ArchivedFile] = {}
        self.commitments: list[str] = []
        self.held: list[_CommitmentReport] = []
        self.requests: list[str] = []
        self._changed = threading.Condition()  # notified with each stored object and each commitment request
        self._host, self._port, self._tls = host, port, tls
        self._server: GuardedServer | None = None

    # --- start and stop ---

    def start(self) -> SmallPacs:
        """Listen in a thread of its own; the same archive can be started again after `stop`."""
        configure_pydicom_pynetdicom()
        self.folder.mkdir(parents=True, exist_ok=True)
        ae = AE(ae_title=self.ae_title)
        ae.network_timeout = ae.acse_timeout = ae.dimse_timeout = 30.0
        ae.maximum_pdu_size = NodeSettings().max_pdu_bytes
        handlers: list[EventHandlerType] = [
            (evt.EVT_REQUESTED, self._requested),
            (evt.EVT_C_ECHO, lambda _event: 0x0000),
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_C_FIND, self._find),
            (evt.EVT_C_MOVE, self._move),
            (evt.EVT_C_GET, self._get),
            (evt.EVT_N_ACTION, self._commit),
        ]
        server = ae.make_server(
            (self._host, self._port), contexts=self._contexts(), evt_handlers=handlers, server_class=GuardedServer,
            ssl_context=server_context(self._tls) if self._tls else None,
        )  # fmt: skip
        self._server = cast(GuardedServer, server)
        self._port = int(self._server.server_address[1])
        self._server.start_thread()
        return self

    def stop(self) -> None:
        """Close the port and the open associations; the archive stays."""
        if self._server is not None:
            self._server.stop(0.5)
            self._server = None

    def __enter__(self) -> SmallPacs:
        return self.start()

    def __exit__(self, *_error: object) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """The port in use; 0 before the first start where the system chooses it."""
        return self._port

    # --- for tests and the demonstration ---

    def wait_for(self, condition: Callable[[SmallPacs], bool], timeout_s: float) -> bool:
        """Wait until a condition is true.

        Parameters
        ----------
        condition : callable
            Evaluated now, after each stored object and after each commitment request.
        timeout_s : float
            Longest wait in seconds.

        Returns
        -------
        bool
            Whether the condition became true in time.
        """
        with self._changed:
            return self._changed.wait_for(lambda: condition(self), timeout_s)

    def of_class(self, sop_class_uid: str) -> list[ArchivedFile]:
        """Return the archived files of one SOP class, in order of arrival."""
        return [file for file in self.stored.values() if file.sop_class_uid == sop_class_uid]

    # --- negotiation ---

    def _contexts(self) -> list[Any]:
        behaviour = self.behaviour
        contexts = [build_context(VERIFICATION, list(PLAIN_SYNTAXES))]
        for context in AllStoragePresentationContexts:
            uid = cast(UID, context.abstract_syntax)
            if uid not in behaviour.refuse_classes:
                storage = build_context(uid, list(TRANSFER_SYNTAXES))
                storage.scu_role = storage.scp_role = True  # C-GET sends on the requestor's association
                contexts.append(storage)
        contexts += [build_context(uid, list(PLAIN_SYNTAXES)) for uid in (*_FIND, *_MOVE, *_GET)]
        if behaviour.commitment != "none":
            syntaxes = ["1.2.840.10008.1.2"] if behaviour.implicit_only else list(PLAIN_SYNTAXES)
            contexts.append(build_context(STORAGE_COMMITMENT_PUSH, syntaxes))
        return contexts

    def _requested(self, event: Event) -> None:
        # For each association, so that a test can change the behaviour while the server runs.
        event.assoc.acceptor.supported_contexts = self._contexts()

    # --- storage ---

    def _store(self, event: Event) -> int:
        behaviour = self.behaviour
        request = cast(C_STORE, event.request)
        if behaviour.abort_after is not None:
            event.assoc.received_here = getattr(event.assoc, "received_here", 0) + 1  # type: ignore[attr-defined]
            if event.assoc.received_here > behaviour.abort_after:  # type: ignore[attr-defined]
                event.assoc.abort()
                return 0x0110
        if behaviour.store_status & 0xF000 not in (0x0000, 0xB000) or behaviour.store_status in (0x0110, 0x0122):
            return behaviour.store_status
        meta = FileMeta(
            str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID), str(event.context.transfer_syntax),
            str(event.assoc.requestor.ae_title).strip(),
        )  # fmt: skip
        # The bytes as they came: tests compare them with what was sent.
        self._save(meta, event.encoded_dataset(include_meta=False))
        return behaviour.store_status

    def _save(self, meta: FileMeta, data: bytes) -> None:
        uid = uid_name(meta.sop_instance_uid)
        path = self.folder / f"{uid}.dcm"
        path.write_bytes(file_header(meta) + data)
        with self._changed:
            known = self.stored.get(uid)
            times = known.times_received + 1 if known else 1
            self.stored[uid] = ArchivedFile(
                path, meta.sop_class_uid, uid, meta.transfer_syntax_uid, meta.source_ae_title, times
            )  # fmt: skip
            self._changed.notify_all()

    def add(self, path: Path) -> None:
        """Add a file to the archive without the network; it is not copied.

        Parameters
        ----------
        path : Path
            A Part-10 file that stays where it is.
        """
        ds = dcmread(path, stop_before_pixels=True)
        uid = str(ds.SOPInstanceUID)
        self.stored[uid] = ArchivedFile(path, str(ds.SOPClassUID), uid, str(ds.file_meta.TransferSyntaxUID), "")

    # --- query and retrieve ---

    def _headers(self) -> Iterator[tuple[ArchivedFile, Dataset]]:
        headers = [(file, dcmread(file.path, stop_before_pixels=True)) for file in list(self.stored.values())]
        rejected = set[str]()
        if self.behaviour.honours_rejection_notes:
            rejected = rejected_by(ds for _, ds in headers)
        yield from ((file, ds) for file, ds in headers if ds.SOPInstanceUID not in rejected)

    def _find(self, event: Event) -> Iterator[tuple[int, Dataset | None]]:
        query = event.identifier
        level = level_of(query)
        self.requests.append(f"C-FIND {level.name}")
        seen: set[str] = set()
        for _, ds in self._headers():
            key = str(ds.get(level.key, ""))
            if key in seen or not matches(ds, query, self.behaviour.ignored_keys):
                continue
            seen.add(key)
            if event.is_cancelled:
                yield 0xFE00, None
                return
            answer = response_for(ds, query, self.ae_title)
            if "NumberOfSeriesRelatedInstances" in query:
                same = [other for _, other in self._headers() if other.SeriesInstanceUID == ds.SeriesInstanceUID]
                answer.NumberOfSeriesRelatedInstances = len(same)
            yield 0xFF00, answer

    def _selected(self, query: Dataset) -> list[ArchivedFile]:
        return [file for file, ds in self._headers() if matches(ds, query)]

    def _move(self, event: Event) -> Iterator[Any]:
        self.requests.append(f"C-MOVE {event.identifier.get('SeriesInstanceUID', '')}")
        destination = self.destinations.get(str(event.move_destination).strip())
        if destination is None:
            yield None, None  # pynetdicom answers A801: move destination unknown
            return
        selected = self._selected(event.identifier)
        needed = dict.fromkeys((file.sop_class_uid, file.transfer_syntax_uid) for file in selected)
        contexts = [build_context(sop_class, syntax) for sop_class, syntax in needed]
        contexts = contexts or [build_context(VERIFICATION)]
        yield destination.host, destination.port, {"ae_title": destination.ae_title, "contexts": contexts}
        yield len(selected)
        yield from ((0xFF00, dcmread(file.path)) for file in selected)

    def _get(self, event: Event) -> Iterator[Any]:
        self.requests.append(f"C-GET {event.identifier.get('SeriesInstanceUID', '')}")
        selected = self._selected(event.identifier)
        yield len(selected)
        yield from ((0xFF00, dcmread(file.path)) for file in selected)

    # --- storage commitment ---

    def _commit(self, event: Event) -> tuple[int, None]:
        information = event.action_information
        transaction_uid = str(information.TransactionUID)
        references = [
            (str(item.ReferencedSOPClassUID), str(item.ReferencedSOPInstanceUID))
            for item in information.ReferencedSOPSequence
        ]
        behaviour = self.behaviour
        report = _CommitmentReport(self, event.assoc, transaction_uid, references, replace(behaviour))
        due = [report]
        if behaviour.commitment in ("held", "previous", "never") or behaviour.commitment_status:
            due = []
        if behaviour.commitment in ("held", "previous"):
            if behaviour.commitment == "previous":
                due = [replace(each, assoc=event.assoc) for each in self.held[-1:]]
            self.held.append(report)
        for each in due:
            threading.Thread(target=each.send, name="commitment", daemon=True).start()
        with self._changed:
            self.commitments.append(transaction_uid)
            self._changed.notify_all()
        return behaviour.commitment_status, None

    def report_held(self, transaction_uid: str | None = None, only: Collection[str] = ()) -> None:
        """Report held results now, each on a new association; they stay held, so that they can be repeated.

        Parameters
        ----------
        transaction_uid : str, optional
            Of one request; None: all, in the order of the requests.
        only : collection of str
            SOP Instance UIDs that the result contains; empty: all of the request.
        """
        for each in self.held:
            if transaction_uid in (None, each.transaction_uid):
                references = [reference for reference in each.references if not only or reference[1] in only]
                replace(each, references=references, behaviour=replace(self.behaviour, commitment="new")).send()


@dataclass
class _CommitmentReport:
    """One N-EVENT-REPORT to be sent."""

    pacs: SmallPacs
    assoc: Association
    transaction_uid: str
    references: list[tuple[str, str]]
    behaviour: Behaviour

    def send(self) -> None:
        time.sleep(max(self.behaviour.delay_s, 0.01))  # the N-ACTION response must be sent first
        committed, failed = [], []
        for sop_class, uid in self.references:
            reason = self.behaviour.lose.get(uid) or self.behaviour.lose_classes.get(sop_class)
            if reason is None and uid not in self.pacs.stored:
                reason = NO_SUCH_INSTANCE
            if reason is None:
                committed.append((sop_class, uid))
            else:
                failed.append((sop_class, uid, reason))
        event_type, information = commitment_result(self.transaction_uid, committed, failed)
        if self.behaviour.commitment in ("same", "previous") and self.assoc.is_established:
            self._report(self.assoc, event_type, information)
        else:
            self._on_new_association(event_type, information)

    def _on_new_association(self, event_type: int, information: Dataset) -> None:
        destination = self.pacs.destinations.get(str(self.assoc.requestor.ae_title).strip())
        if destination is None:
            return
        ae = PeerAE(ae_title=self.pacs.ae_title)
        syntaxes = ["1.2.840.10008.1.2"] if self.behaviour.implicit_only else list(PLAIN_SYNTAXES)
        context = build_context(STORAGE_COMMITMENT_PUSH, syntaxes)
        tls = self.pacs._tls
        assoc = ae.associate(
            destination.host, destination.port, contexts=[context], ae_title=destination.ae_title,
            ext_neg=[build_role(STORAGE_COMMITMENT_PUSH, scp_role=True)],
            tls_args=(client_context(tls), destination.host) if tls else None,
        )  # fmt: skip
        if assoc.is_established:
            self._report(assoc, event_type, information)
            assoc.release()

    def _report(self, assoc: Association, event_type: int, information: Dataset) -> None:
        assoc.send_n_event_report(information, event_type, STORAGE_COMMITMENT_PUSH, STORAGE_COMMITMENT_INSTANCE)
