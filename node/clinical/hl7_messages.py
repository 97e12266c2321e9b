"""HL7 v2 ORU^R01: laboratory results to facts, and the acknowledgement.

AA: taken (a repeated control id too). AE: understood, but a result or its patient cannot be used; what can be used is
recorded. AR: not ours to process (another message type, test data, not HL7).
Source: HL7 v2.5.1 chapters 2 (MSH, ACK) and 7 (ORU), tables 0008, 0085 and 0211.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Literal

import hl7

from config.errors import InputError
from config.settings import Settings
from node.cases.dates import parse_date
from node.clinical.codes import SNOMED_NOT_DETECTED, meaning_of
from node.clinical.entries import FactEntry, birth_date_entry, record_entries
from node.clinical.results import CodedResult, Sorted, edition_in, sort_results

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from node.ledger.database import Ledger

Acknowledgement = Literal["AA", "AE", "AR"]

CHARSETS: Mapping[str, str] = {
    "": "", "ASCII": "ascii", "8859/1": "latin-1", "8859/15": "iso8859-15", "UNICODE": "utf-8",
    "UNICODE UTF-8": "utf-8", "UTF-8": "utf-8", "UTF8": "utf-8", "GB 18030-2000": "gb18030", "GB18030": "gb18030",
    "GBK": "gb18030", "GB2312": "gb18030", "CP936": "gb18030", "BIG-5": "big5", "BIG5": "big5",
}  # fmt: skip
FINAL, CORRECTED, WITHDRAWN = "F", "C", frozenset({"D", "W", "X"})
CONTROL_ID_LENGTH = 120
SOURCE_LENGTH = 255


@dataclass(frozen=True)
class Patient:
    """PID-3 and PID-7."""

    patient_id: str
    issuer: str
    birth_date: str = ""


@dataclass
class OruMessage:
    """A parsed message: who sent it, and results by patient."""

    control_id: str
    sender: str
    sent_at: str
    results: list[tuple[Patient, list[CodedResult]]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def source(self) -> str:
        """What stands as the source of each fact; it tells a repeated message from a new one.

        The time is part of it because senders start their counters again.
        """
        return f"HL7 {self.sender} message {self.control_id} of {self.sent_at}"[:SOURCE_LENGTH]


class RejectedMessageError(InputError):
    """Not ours to process (AR)."""


def handle_message(raw: bytes, ledger: Ledger, settings: Settings) -> bytes:
    """Take one ORU message and answer it; the facts are durable before the answer exists."""
    try:
        text, charset = decode(raw, settings.hl7.default_charset)
        message = parse_oru(text, settings)
    except RejectedMessageError as error:
        return acknowledge(raw, "AR", [str(error)])
    problems = list(message.problems)
    with ledger.begin() as session:
        for patient, results in message.results:
            problems += _take(session, patient, results, message, settings)
    return acknowledge(raw, "AE" if problems else "AA", problems, charset)


def decode(raw: bytes, default_charset: str) -> tuple[str, str]:
    """The text of a message by its MSH-18, and the codec used. Raises RejectedMessageError."""
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


def parse_oru(text: str, settings: Settings) -> OruMessage:
    """Read an ORU^R01. Raises RejectedMessageError when it is none or cannot be processed at all."""
    normal = re.sub(r"\r\n|\n", "\r", text.strip()) + "\r"
    delimiters = normal[3:4] + normal[4:].split(normal[3], 1)[0]
    if len(set(delimiters)) != len(delimiters):  # HL7 v2.5.1 section 2.5.4
        raise RejectedMessageError(f"expected delimiters that differ in MSH-1 and MSH-2, found {delimiters[:8]!r}")
    try:
        message = hl7.parse(normal)
        header = message.segment("MSH")
    except (hl7.HL7Exception, KeyError, IndexError, ValueError, AssertionError) as error:
        raise RejectedMessageError(f"the message cannot be parsed: {error}") from error
    kind, trigger = _part(header, 9, 0), _part(header, 9, 1)
    if (kind, trigger) != ("ORU", "R01"):
        raise RejectedMessageError(f"message type {kind}^{trigger} is not supported; expected ORU^R01")
    control_id = _text(header, 10)
    if not control_id or len(control_id) > CONTROL_ID_LENGTH:
        raise RejectedMessageError("the message control id (MSH-10) is missing or too long")
    processing = _part(header, 11, 0)
    if processing not in ("", "P"):
        raise RejectedMessageError(f"processing id {processing!r} (MSH-11) is not production")
    sender = "/".join(part for part in (_part(header, 3, 0), _part(header, 4, 0)) if part)
    found = OruMessage(control_id, sender, _text(header, 7))
    for patient_segment, segments in _patients(message):
        results = list(_results(segments, _part(header, 4, 0), settings))
        if not results:
            continue
        patient = _patient(patient_segment, settings)
        if patient is None:
            found.problems.append("a result has no patient identifier (PID-3)")
        else:
            found.results.append((patient, results))
    return found


def acknowledge(raw: bytes, code: Acknowledgement, problems: list[str], charset: str = "utf-8") -> bytes:
    """The ACK of a message, in its own encoding characters; one ERR segment per problem.

    Works on any bytes: a message that is not HL7 gets an AR with an empty control id.
    """
    header = raw.lstrip(b"\r\n\t ").split(b"\r", 1)[0].decode("latin-1")
    separator, encoding = (
        ("|", "^~\\&") if not header.startswith("MSH") or len(header) < 9 else (header[3], header[4:8])
    )
    fields = header.split(separator) if header.startswith("MSH") else []
    sent = fields + [""] * (20 - len(fields))
    now = datetime.now(UTC).strftime("%Y%m%d%H%M%S+0000")
    trigger = sent[8].split(encoding[0])[1] if encoding[0] in sent[8] else ""
    kind = encoding[0].join(part for part in ("ACK", trigger, "ACK") if part)
    control_id = sent[9]
    # Sender and receiver change places; who they are is echoed as they wrote it.
    lines = [
        separator.join(
            ["MSH", encoding, sent[4], sent[5], sent[2], sent[3], now, "", kind, f"A{control_id}"[:CONTROL_ID_LENGTH],
             sent[10] or "P", sent[11] or "2.5.1"]
        ),
        separator.join(["MSA", code, control_id]),
    ]  # fmt: skip
    lines += [
        separator.join(["ERR", "", "", "207", "E", "", "", "", _escaped(text, separator, encoding)])
        for text in problems
    ]
    echoed = "\r".join(lines) + "\r"
    if charset in ("ascii", "latin-1"):
        return echoed.encode("latin-1", "replace")
    return b"\r".join(_recoded(line, charset) for line in echoed.split("\r"))


def _recoded(line: str, charset: str) -> bytes:
    """MSH and MSA echo the sender's own bytes; ERR is our text in the sender's charset."""
    return line.encode(charset, "replace") if line.startswith("ERR") else line.encode("latin-1", "replace")


def _take(
    session: Session, patient: Patient, results: list[CodedResult], message: OruMessage, settings: Settings
) -> list[str]:
    from node.ledger.cases import schedule_patient
    from node.ledger.facts import facts_of, is_recorded, withdraw_fact

    if is_recorded(session, patient.patient_id, message.source):
        return []
    found: Sorted = sort_results(results, settings)
    entries: list[FactEntry] = list(found.entries)
    known = facts_of(session, patient.patient_id, patient.issuer).birth_date
    if patient.birth_date:
        try:
            born = birth_date_entry(patient.birth_date)
        except InputError as error:
            return [f"{error} (PID-7)"]
        if known is not None and known.day.isoformat() != born.value["day"]:
            return [
                f"the birth date of patient {patient.patient_id} (PID-7) is not the one on record; nothing was taken"
            ]
        if known is None:
            entries.append(born)
    record_entries(session, patient.patient_id, patient.issuer, entries, message.source, "HL7")
    gone = sum(withdraw_fact(session, patient.patient_id, patient.issuer, name, day) for name, day in found.withdrawn)
    if gone:
        schedule_patient(session, patient.patient_id, patient.issuer)
    return found.refused


def _patients(message: Any) -> Iterator[tuple[Any, list[Any]]]:
    """Each PID with the segments that belong to it."""
    current: Any = None
    belonging: list[Any] = []
    for segment in message:
        name = str(segment[0])
        if name == "PID":
            if belonging:
                yield current, belonging
            current, belonging = segment, []
        elif name in ("OBR", "OBX", "SPM"):
            belonging.append(segment)
    if belonging:
        yield current, belonging


def _patient(segment: Any, settings: Settings) -> Patient | None:
    """The medical record number of PID-3 where several identifiers are sent, else the first."""
    if segment is None or len(segment) <= 3:
        return None
    identifiers = []
    for repetition in segment[3]:
        parts = [_component(repetition, index) for index in range(5)]
        if parts[0]:
            identifiers.append(parts)
    if not identifiers:
        return None
    chosen = next((parts for parts in identifiers if parts[4] in ("MR", "PI", "PT")), identifiers[0])
    issuer = settings.hl7.issuer if settings.hl7.issuer is not None else chosen[3]
    return Patient(chosen[0], issuer, _text(segment, 7)[:8])


def _results(segments: list[Any], facility: str, settings: Settings) -> Iterator[CodedResult]:
    """Results of final, corrected or withdrawn OBX segments that mean something to us."""
    specimens = {
        index: _specimen(segment) for index, segment in enumerate(segments) if str(segment[0]) in ("SPM", "OBR")
    }
    group = None
    for index, segment in enumerate(segments):
        name = str(segment[0])
        if name == "OBR":
            group = index
        if name != "OBX":
            continue
        status = _text(segment, 11).upper()
        if status not in (FINAL, CORRECTED) and status not in WITHDRAWN:
            continue
        meaning = None
        for code, system in ((0, 2), (3, 5)):
            meaning = meaning or meaning_of(_part(segment, 3, code), _part(segment, 3, system), settings.hl7.codes)
        if meaning is None:
            continue
        yield CodedResult(
            meaning=meaning,
            text=_value(segment),
            unit=_part(segment, 6, 0) or None,
            specimen=_specimen_of(specimens, group, index, segments),
            observed_on=_observed_on(segment, segments[group] if group is not None else None),
            laboratory=_part(segment, 15, 1) or _part(segment, 15, 0) or facility or None,
            edition=edition_in(f"{_text(segment, 5)} {_text(segment, 17)}"),
            withdrawn=status in WITHDRAWN,
        )


def _value(segment: Any) -> str:
    """OBX-5 as the laboratory means it: SN is comparator and number, coded values give their text."""
    kind = _text(segment, 2).upper()
    if kind == "SN":
        parts = [_part(segment, 5, index) for index in range(4)]
        return f"{parts[0]}{parts[1]}{parts[2]}{parts[3]}"
    if kind in ("CE", "CWE", "CNE", "CF"):
        code, text = _part(segment, 5, 0), _part(segment, 5, 1)
        return "not detected" if code in SNOMED_NOT_DETECTED else text or code
    return _text(segment, 5)


def _specimen(segment: Any) -> str:
    """SPM-4 (CWE), or OBR-15 (SPS) of older messages."""
    number = 4 if str(segment[0]) == "SPM" else 15
    parts = [_part(segment, number, index) for index in range(2)]
    return " ".join(part for part in parts if part)


def _specimen_of(specimens: Mapping[int, str], group: int | None, index: int, segments: list[Any]) -> str | None:
    """The specimen of an OBX: an SPM of its order group, before or after it, else the order's OBR-15."""
    start = group if group is not None else 0
    end = next((i for i in range(index, len(segments)) if str(segments[i][0]) == "OBR"), len(segments))
    own = [text for i, text in specimens.items() if start <= i < end and text and str(segments[i][0]) == "SPM"]
    ordered = [specimens[group]] if group is not None and specimens.get(group) else []
    return next(iter([*own, *ordered]), None)


def _observed_on(segment: Any, order: Any) -> date | None:
    """OBX-14, else the order's OBR-7."""
    for holder, number in ((segment, 14), (order, 7)):
        text = _text(holder, number) if holder is not None else ""
        if text:
            try:
                return parse_date(text[:14] if len(text) >= 14 else text[:8])
            except InputError:
                continue
    return None


def _text(segment: Any, number: int) -> str:
    return str(segment[number]).strip() if len(segment) > number else ""


def _part(segment: Any, number: int, component: int) -> str:
    """A component of the first repetition of a field, unescaped."""
    if len(segment) <= number or not len(segment[number]):
        return ""
    return _component(segment[number][0], component)


def _component(repetition: Any, index: int) -> str:
    if isinstance(repetition, str):
        return repetition.strip() if index == 0 else ""
    if index >= len(repetition):
        return ""
    part = repetition[index]
    return str(part[0] if not isinstance(part, str) and len(part) else part).strip()


def _escaped(text: str, separator: str, encoding: str) -> str:
    """Text with the message's delimiters escaped (HL7 v2.5.1, 2.7.1)."""
    escape = encoding[2] if len(encoding) > 2 else "\\"
    names = {escape: "E", separator: "F", encoding[0]: "S"}
    if len(encoding) > 3:
        names[encoding[3]] = "T"
    if len(encoding) > 1:
        names[encoding[1]] = "R"
    return "".join(f"{escape}{names[c]}{escape}" if c in names else " " if c in "\r\n" else c for c in text)
