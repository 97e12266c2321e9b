"""HL7 v2 messages to facts: results (ORU^R01), orders of treatment (ORM, RDS and others), deaths and merges (ADT).

The acknowledgement is AA when everything is recorded (also for a repeated message), AE when a result or its patient
cannot be used (what can be used is recorded), and AR for a message that is not processed here: another message type,
test data, or no HL7. A result with a known code that is left out is never AA.

Source: HL7 v2.5.1 chapters 2 (MSH), 4 (orders) and 7 (ORU), tables 0008, 0085 and 0211.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import hl7
from sqlalchemy.orm import Session

from config.errors import InputError
from config.settings import Settings
from node.clinical.entries import FactEntry, birth_date_entry, record_entries
from node.clinical.follow_up_statements import FollowUpStatements, record_statements
from node.clinical.hl7_acknowledgement import CONTROL_ID_LENGTH, acknowledge
from node.clinical.hl7_demographics import UPDATE_TRIGGERS, demographics_of, record_update
from node.clinical.hl7_fields import component, field_text
from node.clinical.hl7_follow_up import ADT_TRIGGERS, follow_up_of
from node.clinical.hl7_observations import read_observations
from node.clinical.hl7_orders import ORDER_MESSAGES, CancelledOrder, orders_of
from node.clinical.hl7_patients import (
    MERGE_TRIGGERS,
    UNLINK_TRIGGERS,
    Demographics,
    Merge,
    Patient,
    merges_of,
    patient_of,
    unlinked_of,
)
from node.clinical.results import CodedResult, interpret_results
from node.ledger.cases import schedule_patient
from node.ledger.database import Ledger
from node.ledger.facts import facts_of, is_recorded, withdraw_fact
from node.ledger.follow_up import has_report, is_follow_up_recorded
from node.ledger.merges import record_merge, undo_merge

# HL7 table 0211 and what interfaces write instead of it. GBK and GB2312 are subsets of GB18030.
CHARSETS: Mapping[str, str] = {
    "": "", "ASCII": "ascii", "8859/1": "latin-1", "8859/15": "iso8859-15", "UNICODE": "utf-8",
    "UNICODE UTF-8": "utf-8", "UTF-8": "utf-8", "UTF8": "utf-8", "GB 18030-2000": "gb18030", "GB18030": "gb18030",
    "GBK": "gb18030", "GB2312": "gb18030", "CP936": "gb18030", "BIG-5": "big5", "BIG5": "big5",
}  # fmt: skip
ALL_ADT_TRIGGERS = ADT_TRIGGERS | MERGE_TRIGGERS | UNLINK_TRIGGERS
SOURCE_LENGTH = 255  # of the ledger's column


@dataclass
class PatientContent:
    """What a message says about one patient."""

    patient: Patient
    results: list[CodedResult] = field(default_factory=list)
    starts: list[FactEntry] = field(default_factory=list)
    cancelled: list[CancelledOrder] = field(default_factory=list)
    follow_up: FollowUpStatements = field(default_factory=FollowUpStatements)

    @property
    def is_broadcast(self) -> bool:
        """Whether it says nothing that was sent for this program."""
        addressed = (self.results, self.starts, self.cancelled, self.follow_up.entries, self.follow_up.problems)
        return not any(addressed)


@dataclass
class ClinicalMessage:
    """A parsed message: its sender, content by patient, and a sentence for each result that is left out."""

    control_id: str
    sender: str
    sent_at: str
    digest: str
    contents: list[PatientContent] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    merges: list[Merge] = field(default_factory=list)
    unlinked: list[Merge] = field(default_factory=list)
    updates: list[tuple[Patient, Demographics]] = field(default_factory=list)

    @property
    def source(self) -> str:
        """The source recorded with each fact; a message with the same source is a repetition.

        MSH-7 is part of it, because senders restart their control ids, and a digest of the content, because a sender
        that corrects a refused message may send it again under the same id.
        """
        return self._source("message")

    @property
    def update_source(self) -> str:
        """The source of what an update says of the patient alone: the rest of its message is no repetition then."""
        return self._source("patient update")

    def _source(self, kind: str) -> str:
        name = f"HL7 {self.sender} {kind} {self.control_id} of {self.sent_at}"
        return f"{name[: SOURCE_LENGTH - len(self.digest) - 3]} ({self.digest})"

    @property
    def written_at(self) -> datetime | None:
        """The time of MSH-7 in UTC; None where it is no time. Without an offset it is local time of this machine."""
        match = re.fullmatch(r"(\d{8})(\d{2})?(\d{2})?(\d{2})?(?:\.\d+)?([+-]\d{4})?", self.sent_at)
        if match is None:
            return None
        day, hours, minutes, seconds, offset = match.groups()
        text = f"{day}{hours or '00'}{minutes or '00'}{seconds or '00'}"
        try:
            if offset:
                return datetime.strptime(text + offset, "%Y%m%d%H%M%S%z").astimezone(UTC)
            return datetime.strptime(text, "%Y%m%d%H%M%S").astimezone(UTC)
        except (ValueError, OverflowError, OSError):
            return None


class RejectedMessageError(InputError):
    """The message is not processed here (AR)."""


def handle_message(raw: bytes, ledger: Ledger, settings: Settings) -> bytes:
    """Record the facts of one message, and acknowledge it.

    Parameters
    ----------
    raw : bytes
        The message without its MLLP frame.
    ledger : Ledger
        Receives the facts; they are durable before the acknowledgement is built.
    settings : Settings
        Issuer, local codes and character set of the site; threshold and conversion of EBV DNA.

    Returns
    -------
    bytes
        The ACK message without frame.
    """
    try:
        text, charset = decode(raw, settings.hl7.default_charset)
        message = parse_message(text, settings)
    except RejectedMessageError as error:
        return acknowledge(raw, "AR", [str(error)])
    problems, notes = list(message.problems), []
    # Committed before the acknowledgement is built: with AA the laboratory forgets the message.
    with ledger.begin() as session:
        for merges, record in ((message.merges, record_merge), (message.unlinked, undo_merge)):
            for merge in merges:
                record(session, merge.prior.identity, merge.surviving.identity, message.source, message.written_at)
        for patient, demographics in message.updates:
            problems += record_update(session, patient, demographics, message.update_source, message.written_at)
        for content in message.contents:
            refused, not_needed = _record(session, content, message, settings)
            problems += refused
            notes += not_needed
    return acknowledge(raw, "AE" if problems else "AA", problems, charset, notes)


def decode(raw: bytes, default_charset: str) -> tuple[str, str]:
    """Decode a message by its character set (MSH-18).

    Parameters
    ----------
    raw : bytes
        The message.
    default_charset : str
        The site's character set for messages that declare none.

    Returns
    -------
    tuple of (str, str)
        The text, and the name of the Python codec.

    Raises
    ------
    RejectedMessageError
        When the message does not begin with MSH, declares an unknown character set, or is not text in it.
    """
    header = raw.lstrip(b"\r\n\t ").split(b"\r", 1)[0]
    if not header.startswith(b"MSH") or len(header) < 9:
        raise RejectedMessageError("not an HL7 v2 message: it does not begin with MSH")
    fields = header.split(header[3:4])
    declared = fields[17].split(b"~")[0].decode("ascii", "replace").strip().upper() if len(fields) > 17 else ""
    if declared not in CHARSETS:
        raise RejectedMessageError(f"the character set {declared!r} (MSH-18) is not known")
    codec = CHARSETS[declared] or CHARSETS.get(default_charset.upper(), "utf-8") or "utf-8"
    try:
        return raw.decode(codec), codec
    except UnicodeDecodeError as error:
        raise RejectedMessageError(f"the message is not text in {declared or default_charset} (MSH-18)") from error


def parse_message(text: str, settings: Settings) -> ClinicalMessage:
    """Parse a message of results or of orders.

    Parameters
    ----------
    text : str
        The decoded message; line feeds are accepted as segment separators.
    settings : Settings
        Issuer and local codes of the site.

    Returns
    -------
    ClinicalMessage
        Results of OBX segments with a known code, diagnoses of DG1 segments, and orders of treatment; others are
        ignored.

    Raises
    ------
    RejectedMessageError
        When it is another message type, not production data, or cannot be parsed.
    """
    normal = re.sub(r"\r\n|\n", "\r", text.strip()) + "\r"
    delimiters = normal[3:4] + normal[4:].split(normal[3], 1)[0]
    if len(set(delimiters)) != len(delimiters):  # HL7 v2.5.1 section 2.5.4
        raise RejectedMessageError(f"expected delimiters that differ in MSH-1 and MSH-2, found {delimiters[:8]!r}")
    try:
        message = hl7.parse(normal)
        header = message.segment("MSH")
    except (hl7.HL7Exception, KeyError, IndexError, ValueError, AssertionError) as error:
        raise RejectedMessageError(f"the message cannot be parsed: {error}") from error
    kind, trigger = component(header, 9, 0), component(header, 9, 1)
    is_adt = kind == "ADT" and trigger in ALL_ADT_TRIGGERS
    if (kind, trigger) != ("ORU", "R01") and kind not in ORDER_MESSAGES and not is_adt:
        expected = f"ORU^R01, {', '.join(sorted(ORDER_MESSAGES))}, ADT^{', ADT^'.join(sorted(ALL_ADT_TRIGGERS))}"
        raise RejectedMessageError(f"message type {kind}^{trigger} is not supported; expected {expected}")
    control_id = field_text(header, 10)
    if not control_id or len(control_id) > CONTROL_ID_LENGTH:
        raise RejectedMessageError("the message control id (MSH-10) is missing or too long")
    processing = component(header, 11, 0)
    # T and D are test data (table 0103): a result of an invented patient must not reach a real one.
    if processing not in ("", "P"):
        raise RejectedMessageError(f"processing id {processing!r} (MSH-11) is not production")
    sender = "/".join(part for part in (component(header, 3, 0), component(header, 4, 0)) if part)
    digest = hashlib.sha256(normal.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    clinical = ClinicalMessage(control_id, sender, field_text(header, 7), digest)
    if is_adt and trigger in MERGE_TRIGGERS:  # says nothing else: the patient that goes on has messages of its own
        clinical.merges, clinical.problems = merges_of(message, settings)
        return clinical
    if is_adt and trigger in UNLINK_TRIGGERS:
        clinical.unlinked, clinical.problems = unlinked_of(message, settings)
        return clinical
    for patient_segment, segments in _patients(message):
        if is_adt:  # of the patient alone: its results and diagnoses come by their own messages
            segments = []
            known = patient_of(patient_segment, settings)
            if trigger in UPDATE_TRIGGERS and known is not None:
                clinical.updates.append((known, demographics_of(patient_segment)))
        observations = read_observations(segments, component(header, 4, 0), settings)
        orders = orders_of(segments, settings) if kind in ORDER_MESSAGES else None
        clinical.problems += [*observations.problems, *(orders.problems if orders else ())]
        follow_up = follow_up_of(patient_segment, segments, orders, settings)
        nothing = not observations.results and not (orders and (orders.starts or orders.cancelled))
        if nothing and follow_up.is_empty:
            continue
        patient = patient_of(patient_segment, settings)
        if patient is None:
            clinical.problems.append("a result has no patient identifier (PID-3)")
            continue
        content = PatientContent(patient, observations.results, follow_up=follow_up)
        if orders is not None:
            content.starts, content.cancelled = orders.starts, orders.cancelled
        clinical.contents.append(content)
    return clinical


def _record(
    session: Session, content: PatientContent, message: ClinicalMessage, settings: Settings
) -> tuple[list[str], list[str]]:
    """Record what a message says about one patient; return the sentences of what cannot be used or was not needed."""
    patient = content.patient
    # A hospital tells of the deaths of all its patients; of those without a report nothing is recorded.
    if content.is_broadcast and not has_report(session, patient.patient_id, patient.issuer):
        return [], []
    interpreted = interpret_results(content.results, settings)
    # Senders repeat a message whose acknowledgement they did not get; it is acknowledged as before and recorded once.
    if _is_repetition(session, patient.patient_id, message.source):
        return [*interpreted.refused, *_refused_follow_up(session, content, message, settings)], interpreted.notes
    entries: list[FactEntry] = [*interpreted.entries, *content.starts]
    known = facts_of(session, patient.patient_id, patient.issuer).birth_date
    if patient.birth_date:
        try:
            born = birth_date_entry(patient.birth_date)
        except InputError as error:
            return [f"{error} (PID-7)"], []
        # A wrong birth date means a wrong patient, or a Patient ID used twice: nothing of the message is recorded.
        if known is not None and known.day.isoformat() != born.value["day"]:
            sentence = (
                f"the birth date of patient {patient.patient_id} (PID-7) is not the one on record; nothing was recorded"
            )
            return [sentence], []
        if known is None:
            entries.append(born)
    identity = (session, patient.patient_id, patient.issuer)
    try:
        record_entries(*identity, entries, message.source, "HL7", message.written_at)
    except InputError as error:
        return [*interpreted.refused, f"{error}; nothing was recorded"], interpreted.notes
    n_withdrawn = sum(withdraw_fact(*identity, name, day) for name, day in interpreted.withdrawn)
    n_withdrawn += sum(
        withdraw_fact(*identity, "treatment_start", None, cancelled.number) for cancelled in content.cancelled
    )
    if n_withdrawn:
        schedule_patient(*identity)
    return [*interpreted.refused, *_record_follow_up(session, content, message, settings)], interpreted.notes


def _record_follow_up(
    session: Session, content: PatientContent, message: ClinicalMessage, settings: Settings
) -> list[str]:
    """Record follow-up; return a sentence for each statement that cannot be used."""
    whose = (session, settings, content.patient.patient_id, content.patient.issuer)
    _, problems = record_statements(*whose, content.follow_up, message.source, "HL7", message.written_at)
    return problems


def _refused_follow_up(
    session: Session, content: PatientContent, message: ClinicalMessage, settings: Settings
) -> list[str]:
    """Return the sentences of a repeated message, and record nothing."""
    savepoint = session.begin_nested()
    problems = _record_follow_up(session, content, message, settings)
    savepoint.rollback()
    return problems


def _is_repetition(session: Session, patient_id: str, source: str) -> bool:
    return is_recorded(session, patient_id, source) or is_follow_up_recorded(session, patient_id, source)


def _patients(message: Any) -> Iterator[tuple[Any, list[Any]]]:
    """Yield each PID with the segments that belong to it."""
    current: Any = None
    belonging: list[Any] = []
    for segment in message:
        name = str(segment[0])
        if name == "PID":
            if current is not None or belonging:
                yield current, belonging
            current, belonging = segment, []
        elif name in ("ORC", "TQ1", "OBR", "OBX", "SPM", "DG1", "RXO", "RXE", "RXD", "RXG", "RXA"):
            belonging.append(segment)
    if current is not None or belonging:  # an update of a patient has no other segment
        yield current, belonging
