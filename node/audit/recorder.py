"""Record audit events: one method for each kind of event in DICOM PS3.15 section A.5.3.

    audit = open_audit(settings, "web")
    audit.authentication("anna", address="192.0.2.7", success=False, reason="wrong password")

Recording writes one line and forces it to the disk in the caller's thread. It never raises: a line that cannot be
written is an error in the log. No C-STORE response waits for it, because an association is recorded when it has ended.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from config.settings import PacsSettings, Settings
from config.who_and_when import operating_user
from node.audit import codes
from node.audit.codes import Code
from node.audit.messages import (
    Event,
    Outcome,
    Participant,
    Source,
    Subject,
    alerted,
    audit_message,
    patient,
    queried,
    study,
)
from node.audit.syslog import syslog_message
from node.audit.trail_file import TrailFile
from node.ledger.database import now_utc

log = structlog.get_logger("cptdn.audit")

KEY_FILE = "patient_id.key"
IMPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2"


@dataclass
class StudyTally:
    """What one association has stored of one study.

    Attributes
    ----------
    sop_classes : dict
        Number of instances by SOP Class UID.
    n_new : int
        Instances that were not stored before.
    """

    patient_id: str = ""
    sop_classes: dict[str, int] = field(default_factory=dict)  # SOP Class UID -> number of instances
    n_new: int = 0

    def add(self, sop_class_uid: str, patient_id: str, *, new: bool) -> None:
        """Count one stored instance."""
        self.patient_id = patient_id
        self.sop_classes[sop_class_uid] = self.sop_classes.get(sop_class_uid, 0) + 1
        self.n_new += new


class Audit:
    """The audit trail of one process. Threads share it.

    Parameters
    ----------
    process : str
        ``node``, ``worker``, ``web`` or ``command``.
    """

    def __init__(self, settings: Settings, process: str) -> None:
        self.settings = settings
        self.trail = TrailFile(audit_folder(settings), settings.audit.rotate_mb * 1_000_000)
        self._host = socket.gethostname()
        self._process = process
        self._source = Source(settings.audit.source_id or settings.node.ae_title, settings.audit.site)
        self._alerts: dict[tuple[str, str], _Suppressed] = {}
        self._lock = threading.Lock()

    # --- the program ---

    def started(self) -> None:
        """Record Application Start."""
        self._application(codes.APPLICATION_START)

    def stopped(self) -> None:
        """Record Application Stop."""
        self._application(codes.APPLICATION_STOP)

    def _application(self, kind: Code) -> None:
        launcher = Participant(_person(), True, codes.APPLICATION_LAUNCHER, address=self._host)
        self._record(
            Event(codes.APPLICATION_ACTIVITY, "E", (kind,)), [self._us(codes.APPLICATION, False), launcher], []
        )  # fmt: skip

    # --- instances ---

    def received(self, calling_ae: str, address: str, studies: Mapping[str, StudyTally]) -> None:
        """Record DICOM Instances Transferred, one message for each study: an association that stored them has ended.

        The action is Create when at least one instance was new, and Read when all were stored before.
        """
        # One message for each study: one for each instance would make the trail a hundred times as long.
        for uid, tally in studies.items():
            sender = Participant(calling_ae, True, codes.SOURCE_ROLE, ae_title=calling_ae, address=address)
            self._record(
                Event(codes.INSTANCES_TRANSFERRED, "C" if tally.n_new else "R"),
                [sender, self._us(codes.DESTINATION_ROLE, False)], [study(uid, tally.sop_classes)], tally.patient_id,
            )  # fmt: skip

    def sending(self, pacs: PacsSettings, study_uid: str, patient_id: str, sop_classes: Mapping[str, int]) -> None:
        """Record Begin Transferring DICOM Instances: objects of a report are about to be sent to a PACS.

        Parameters
        ----------
        sop_classes : mapping
            Number of objects by SOP Class UID.

        References
        ----------
        PS3.15 section A.5.3.3.
        """
        event = Event(codes.BEGIN_TRANSFERRING, "E")
        self._record(event, self._to(pacs), [study(study_uid, sop_classes)], patient_id)

    def sent(
        self, pacs: PacsSettings, study_uid: str, patient_id: str, sop_classes: Mapping[str, int], failure: str = ""
    ) -> None:
        """Record DICOM Instances Transferred: how the sending ended.

        Parameters
        ----------
        failure : str
            Why not all were accepted; empty: success.
        """
        outcome = Outcome.MINOR_FAILURE if failure else Outcome.SUCCESS
        event = Event(codes.INSTANCES_TRANSFERRED, "C", (), outcome, failure)
        self._record(event, self._to(pacs), [study(study_uid, sop_classes)], patient_id)

    def exported(self, url: str, study_uid: str, patient_id: str, failure: str = "") -> None:
        """Record Export: a report was sent as other than DICOM (FHIR).

        Parameters
        ----------
        url : str
            Where it was sent.
        failure : str
            Why it was not accepted; empty: success.

        References
        ----------
        PS3.15 section A.5.3.4.
        """
        outcome = Outcome.MINOR_FAILURE if failure else Outcome.SUCCESS
        there = Participant(url, False, codes.DESTINATION_MEDIA, media=codes.URI_MEDIA)
        event = Event(codes.EXPORT, "R", (), outcome, failure)
        self._record(event, [self._us(codes.SOURCE_ROLE, True), there], [study(study_uid, {})], patient_id)

    def accessed(
        self, user: str, what: str, study_uid: str, patient_id: str, *, action: str = "U", address: str = ""
    ) -> None:
        """Record DICOM Instances Accessed: a user saw a study or its report (action R) or decided about it (U).

        Parameters
        ----------
        what : str
            Command or page, for example ``studies hold``.
        """
        event = Event(codes.INSTANCES_ACCESSED, action, (codes.command_code(what),))
        about = [study(study_uid, {})] if study_uid else []
        self._record(event, [self._by(user, address)], about, patient_id)

    def patient_record(self, user: str, what: str, patient_id: str, address: str = "") -> None:
        """Record Patient Record: a user changed a fact about a patient.

        Parameters
        ----------
        what : str
            Command or page, for example ``clinical set``.

        References
        ----------
        PS3.15 section A.5.3.14.
        """
        event = Event(codes.PATIENT_RECORD, "U", (codes.command_code(what),))
        self._record(event, [self._by(user, address)], [], patient_id)

    def queried(self, pacs: PacsSettings, sop_class_uid: str, identifier: Dataset, patient_id: str) -> None:
        """Record Query: a C-FIND of ours is about to be sent.

        Where the site does not want the Patient ID in the trail as it is, it is removed from the identifier as well.
        """
        recorded = identifier
        if self.settings.audit.patient_id != "plain" and "PatientID" in identifier:
            recorded = Dataset()  # not a copy: pydicom's copies share their elements
            for element in identifier:
                if element.keyword != "PatientID":
                    recorded.add(element)
        encoded = dataset_bytes(recorded)
        subject = queried(sop_class_uid, encoded, IMPLICIT_LITTLE_ENDIAN)
        self._record(Event(codes.QUERY, "E"), self._to(pacs), [subject], patient_id)

    # --- access ---

    def authentication(self, user: str, *, address: str, success: bool, logout: bool = False, reason: str = "") -> None:
        """Record User Authentication: a log-in, a failed one, or a log-out.

        Parameters
        ----------
        address : str
            Of the user's machine; empty: this machine.
        reason : str
            Why a log-in failed; never what was typed as a password.

        References
        ----------
        PS3.15 section A.5.3.12.
        """
        outcome = Outcome.SUCCESS if success else Outcome.MINOR_FAILURE
        event = Event(
            codes.USER_AUTHENTICATION, "E", (codes.LOGOUT if logout else codes.LOGIN,), outcome, reason
        )  # fmt: skip
        self._record(event, [Participant(user, True, address=address or self._host), self._us(None, False)], [])

    def security_alert(
        self, text: str, *, user: str = "", address: str = "", kind: Code = codes.USE_OF_RESTRICTED_FUNCTION,
        success: bool = False,
    ) -> None:  # fmt: skip
        """Record Security Alert: a refusal, or a change of what protects the node.

        The same text about the same peer is recorded once in `[audit] alerts_every_s`, and the next message contains
        the number of those in between: a port scan must not fill the disk.

        Parameters
        ----------
        text : str
            What was refused or changed.
        user, address : str
            Who, as far as it is known.
        kind : Code
            EventTypeCode.
        success : bool
            True for a permitted change, which is always recorded.

        References
        ----------
        PS3.15 section A.5.3.11.
        """
        n_suppressed = 0 if success else self._n_suppressed(text, user or address)
        if n_suppressed is None:
            return
        description = f"{text} ({n_suppressed} more since the last message)" if n_suppressed else text
        outcome = Outcome.SUCCESS if success else Outcome.SERIOUS_FAILURE
        participants = [self._us(None, not user)]
        if user or address:
            participants.append(Participant(user or "unknown", bool(user), address=address))
        subject = alerted(address or self._host, codes.NODE_ID, description)
        self._record(Event(codes.SECURITY_ALERT, "E", (kind,), outcome, description), participants, [subject])

    def _n_suppressed(self, text: str, peer: str) -> int | None:
        """Return how many of these were not recorded since the last one; None when this one must not be recorded."""
        now = time.monotonic()
        with self._lock:
            if len(self._alerts) > 10_000:
                self._alerts.clear()
            suppressed = self._alerts.setdefault((text, peer), _Suppressed(until=now))
            if now < suppressed.until:
                suppressed.n += 1
                return None
            n, suppressed.n, suppressed.until = suppressed.n, 0, now + self.settings.audit.alerts_every_s
            return n

    # --- writing ---

    def _us(self, role: Code | None, requestor: bool) -> Participant:
        return Participant(
            f"{self._process}:{os.getpid()}@{self._host}", requestor, role, ae_title=self.settings.node.ae_title,
            user_name=f"cptdn {self._process}", address=self._host,
        )  # fmt: skip

    def _by(self, user: str, address: str) -> Participant:
        return Participant(user, True, address=address or self._host)

    def _to(self, pacs: PacsSettings) -> list[Participant]:
        there = Participant(
            pacs.name, False, codes.DESTINATION_ROLE, ae_title=pacs.ae_title, address=pacs.host
        )  # fmt: skip
        return [self._us(codes.SOURCE_ROLE, True), there]

    def _record(
        self, event: Event, participants: Sequence[Participant], subjects: Sequence[Subject], patient_id: str = ""
    ) -> None:
        settings = self.settings.audit
        if not settings.enabled:
            return
        now = now_utc()
        try:
            shown = self._patient_id(patient_id)
            about = [*subjects, patient(shown)] if shown else list(subjects)
            message = audit_message(event, participants, self._source, about, now)
            is_new_file = self.trail.append(syslog_message(now, self._host, os.getpid(), message))
            if is_new_file and settings.keep_days is not None and settings.syslog is None:
                self.trail.prune(settings.keep_days, before=max(self.trail.numbers()))
        except OSError as error:
            log.error("audit_not_written", event_name=event.id.meaning, error=str(error))

    def _patient_id(self, patient_id: str) -> str:
        form = self.settings.audit.patient_id
        if not patient_id or form == "none":
            return ""
        if form == "plain":
            return patient_id
        key = _key(self.settings.storage.root / "audit" / KEY_FILE)
        return "hmac-sha256:" + hmac.new(key, patient_id.encode(), hashlib.sha256).hexdigest()[:32]


@dataclass
class _Suppressed:
    """Until when (monotonic clock) an alert is only counted, and how often it was."""

    until: float
    n: int = 0


def dataset_bytes(ds: Dataset) -> bytes:
    """Return a data set encoded in implicit VR little endian."""
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = True, True
    write_dataset(buffer, ds)
    return buffer.getvalue()


def open_audit(settings: Settings, process: str = "command") -> Audit:
    """Return the audit trail that the settings name; nothing is written before the first event."""
    return Audit(settings, process)


@contextmanager
def audited(audit: Audit) -> Iterator[Audit]:
    """Record Application Start at the beginning of the block and Application Stop at its end."""
    audit.started()
    try:
        yield audit
    finally:
        audit.stopped()


def audit_folder(settings: Settings) -> Path:
    """Return the folder of the trail.

    Returns
    -------
    Path
        One for each machine, because a shared file system does not append atomically.
    """
    return settings.audit.folder or settings.storage.root / "audit" / socket.gethostname()


def command_user() -> str:
    """Return the user of the command line.

    Returns
    -------
    str
        ``login@machine``.
    """
    return _person()


def _person() -> str:
    return f"{operating_user()}@{socket.gethostname()}"


def _key(path: Path) -> bytes:
    """Return the key under which patient identifiers are hashed; it is created when it is first needed."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(os.urandom(32))
            stream.flush()
            os.fsync(stream.fileno())
        try:
            os.link(temporary, path)  # not a rename: all processes must use the key of the first one
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
        return path.read_bytes()
