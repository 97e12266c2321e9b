"""HL7 v2 ORU^R01: laboratory results to facts.

The acknowledgement is AA when everything is recorded (also for a repeated message), AE when a result or its patient
cannot be used (what can be used is recorded), and AR for a message that is not processed here: another message type,
test data, or no HL7.

Source: HL7 v2.5.1 chapters 2 (MSH) and 7 (ORU), tables 0008, 0085 and 0211.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import hl7
from sqlalchemy.orm import Session

from config.errors import InputError
from config.settings import Settings
from node.cases.dates import parse_date
from node.clinical.codes import SNOMED_NOT_DETECTED, Meaning, meaning_of
from node.clinical.entries import FactEntry, birth_date_entry, record_entries
from node.clinical.hl7_acknowledgement import CONTROL_ID_LENGTH, acknowledge
from node.clinical.hl7_fields import component, component_of, field_text
from node.clinical.results import CodedResult, edition_words, interpret_results
from node.clinical.staging_codes import CATEGORIES
from node.ledger.cases import schedule_patient
from node.ledger.database import Ledger
from node.ledger.facts import facts_of, is_recorded, withdraw_fact

# HL7 table 0211 and what interfaces write instead of it. GBK and GB2312 are subsets of GB18030.
CHARSETS: Mapping[str, str] = {
    "": "", "ASCII": "ascii", "8859/1": "latin-1", "8859/15": "iso8859-15", "UNICODE": "utf-8",
    "UNICODE UTF-8": "utf-8", "UTF-8": "utf-8", "UTF8": "utf-8", "GB 18030-2000": "gb18030", "GB18030": "gb18030",
    "GBK": "gb18030", "GB2312": "gb18030", "CP936": "gb18030", "BIG-5": "big5", "BIG5": "big5",
}  # fmt: skip
FINAL, CORRECTED, WITHDRAWN = "F", "C", frozenset({"D", "W", "X"})
SOURCE_LENGTH = 255  # of the ledger's column


@dataclass(frozen=True)
class Patient:
    """Patient identifier, its issuer (PID-3) and the birth date (PID-7)."""

    patient_id: str
    issuer: str
    birth_date: str = ""


@dataclass
class OruMessage:
    """A parsed message: its sender, results by patient, and a sentence for each patient without an identifier."""

    control_id: str
    sender: str
    sent_at: str
    results: list[tuple[Patient, list[CodedResult]]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def source(self) -> str:
        """The source recorded with each fact; a message with the same source is a repetition.

        MSH-7 is part of it, because senders restart their control ids.
        """
        return f"HL7 {self.sender} message {self.control_id} of {self.sent_at}"[:SOURCE_LENGTH]


class RejectedMessageError(InputError):
    """The message is not processed here (AR)."""


def handle_message(raw: bytes, ledger: Ledger, settings: Settings) -> bytes:
    """Record the facts of one ORU message, and acknowledge it.

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
        message = parse_oru(text, settings)
    except RejectedMessageError as error:
        return acknowledge(raw, "AR", [str(error)])
    problems = list(message.problems)
    # Committed before the acknowledgement is built: with AA the laboratory forgets the message.
    with ledger.begin() as session:
        for patient, results in message.results:
            problems += _record(session, patient, results, message, settings)
    return acknowledge(raw, "AE" if problems else "AA", problems, charset)


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


def parse_oru(text: str, settings: Settings) -> OruMessage:
    """Parse an ORU^R01 message.

    Parameters
    ----------
    text : str
        The decoded message; line feeds are accepted as segment separators.
    settings : Settings
        Issuer and local codes of the site.

    Returns
    -------
    OruMessage
        Results of OBX segments with a known code, and diagnoses of DG1 segments; others are ignored.

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
    if (kind, trigger) != ("ORU", "R01"):
        raise RejectedMessageError(f"message type {kind}^{trigger} is not supported; expected ORU^R01")
    control_id = field_text(header, 10)
    if not control_id or len(control_id) > CONTROL_ID_LENGTH:
        raise RejectedMessageError("the message control id (MSH-10) is missing or too long")
    processing = component(header, 11, 0)
    # T and D are test data (table 0103): a result of an invented patient must not reach a real one.
    if processing not in ("", "P"):
        raise RejectedMessageError(f"processing id {processing!r} (MSH-11) is not production")
    sender = "/".join(part for part in (component(header, 3, 0), component(header, 4, 0)) if part)
    oru = OruMessage(control_id, sender, field_text(header, 7))
    for patient_segment, segments in _patients(message):
        results = list(_results(segments, component(header, 4, 0), settings))
        if not results:
            continue
        patient = _patient(patient_segment, settings)
        if patient is None:
            oru.problems.append("a result has no patient identifier (PID-3)")
        else:
            oru.results.append((patient, results))
    return oru


def _record(
    session: Session, patient: Patient, results: list[CodedResult], message: OruMessage, settings: Settings
) -> list[str]:
    # Senders repeat a message whose acknowledgement they did not get; it is acknowledged again and recorded once.
    if is_recorded(session, patient.patient_id, message.source):
        return []
    interpreted = interpret_results(results, settings)
    entries: list[FactEntry] = list(interpreted.entries)
    known = facts_of(session, patient.patient_id, patient.issuer).birth_date
    if patient.birth_date:
        try:
            born = birth_date_entry(patient.birth_date)
        except InputError as error:
            return [f"{error} (PID-7)"]
        # A wrong birth date means a wrong patient, or a Patient ID used twice: nothing of the message is recorded.
        if known is not None and known.day.isoformat() != born.value["day"]:
            return [
                f"the birth date of patient {patient.patient_id} (PID-7) is not the one on record; nothing was recorded"
            ]
        if known is None:
            entries.append(born)
    record_entries(session, patient.patient_id, patient.issuer, entries, message.source, "HL7")
    n_withdrawn = sum(
        withdraw_fact(session, patient.patient_id, patient.issuer, name, day) for name, day in interpreted.withdrawn
    )
    if n_withdrawn:
        schedule_patient(session, patient.patient_id, patient.issuer)
    return interpreted.refused


def _patients(message: Any) -> Iterator[tuple[Any, list[Any]]]:
    """Yield each PID with the segments that belong to it."""
    current: Any = None
    belonging: list[Any] = []
    for segment in message:
        name = str(segment[0])
        if name == "PID":
            if belonging:
                yield current, belonging
            current, belonging = segment, []
        elif name in ("OBR", "OBX", "SPM", "DG1"):
            belonging.append(segment)
    if belonging:
        yield current, belonging


def _patient(segment: Any, settings: Settings) -> Patient | None:
    """Return the medical record number of PID-3 where several identifiers are sent, else the first."""
    if segment is None or len(segment) <= 3:
        return None
    identifiers = []
    for repetition in segment[3]:
        parts = [component_of(repetition, index) for index in range(5)]
        if parts[0]:
            identifiers.append(parts)
    if not identifiers:
        return None
    # PID-3 may have the social security number first; MR, PI and PT of table 0203 are numbers of the hospital.
    chosen = next((parts for parts in identifiers if parts[4] in ("MR", "PI", "PT")), identifiers[0])
    # The site's setting first: interface engines write other names of the authority than the images have.
    issuer = settings.hl7.issuer if settings.hl7.issuer is not None else chosen[3]
    return Patient(chosen[0], issuer, field_text(segment, 7)[:8])


def _results(segments: list[Any], facility: str, settings: Settings) -> Iterator[CodedResult]:
    """Yield the results of final, corrected or withdrawn OBX segments with a known code."""
    specimens = {
        index: _specimen(segment) for index, segment in enumerate(segments) if str(segment[0]) in ("SPM", "OBR")
    }
    group = None
    for index, segment in enumerate(segments):
        name = str(segment[0])
        if name == "OBR":
            group = index
        if name == "DG1":
            yield from _diagnosis(segment)
        if name != "OBX":
            continue
        status = field_text(segment, 11).upper()
        # Preliminary results (P, I, R) are replaced by the final one (table 0085).
        if status not in (FINAL, CORRECTED) and status not in WITHDRAWN:
            continue
        meaning = None
        # OBX-3 has a code and an alternative one; either may be the LOINC code.
        for code, system in ((0, 2), (3, 5)):
            meaning = meaning or meaning_of(
                component(segment, 3, code), component(segment, 3, system), settings.hl7.codes
            )
        if meaning is None:
            continue
        yield CodedResult(
            meaning=meaning,
            text=_code_and_text(segment, 5) if meaning.fact == "diagnosis" else _value(segment),
            unit=component(segment, 6, 0) or None,
            specimen=_specimen_of(specimens, group, index, segments),
            observed_on=_observed_on(segment, segments[group] if group is not None else None),
            laboratory=component(segment, 15, 1) or component(segment, 15, 0) or facility or None,
            edition=edition_words(component(segment, 17, 1) or component(segment, 17, 0)),
            withdrawn=status in WITHDRAWN,
        )


def _value(segment: Any) -> str:
    """Return OBX-5 as text: of SN the comparator and the number, of a coded value its text."""
    kind = field_text(segment, 2).upper()
    if kind == "SN":
        parts = [component(segment, 5, index) for index in range(4)]
        return f"{parts[0]}{parts[1]}{parts[2]}{parts[3]}"
    if kind in ("CE", "CWE", "CNE", "CF"):
        code, text = component(segment, 5, 0), component(segment, 5, 1)
        if code in CATEGORIES:
            return CATEGORIES[code]
        return "not detected" if code in SNOMED_NOT_DETECTED else text or code
    return field_text(segment, 5)


def _diagnosis(segment: Any) -> Iterator[CodedResult]:
    """Yield the diagnosis of a DG1: code and text of DG1-3, description of DG1-4, day of DG1-5 (HL7 v2.5.1 6.5.2)."""
    text = f"{_code_and_text(segment, 3)} {field_text(segment, 4)}".strip()
    if not text or field_text(segment, 21).upper() == "D":  # deleted
        return
    day = field_text(segment, 5)[:8]
    try:
        yield CodedResult(Meaning("diagnosis"), text, observed_on=parse_date(day) if day else None)
    except InputError:
        yield CodedResult(Meaning("diagnosis"), text)


def _code_and_text(segment: Any, number: int) -> str:
    """Return code and text of a coded field, each where it is there: of a diagnosis both count."""
    parts = (component(segment, number, index) for index in range(2))
    return " ".join(part for part in parts if part)


def _specimen(segment: Any) -> str:
    """Return SPM-4 (CWE), or OBR-15 (SPS) of older messages."""
    number = 4 if str(segment[0]) == "SPM" else 15
    parts = [component(segment, number, index) for index in range(2)]
    return " ".join(part for part in parts if part)


def _specimen_of(specimens: Mapping[int, str], group: int | None, index: int, segments: list[Any]) -> str | None:
    """Return the specimen of an OBX: an SPM of its order group, before or after it, else the order's OBR-15."""
    start = group if group is not None else 0
    end = next((i for i in range(index, len(segments)) if str(segments[i][0]) == "OBR"), len(segments))
    own = [text for i, text in specimens.items() if start <= i < end and text and str(segments[i][0]) == "SPM"]
    ordered = [specimens[group]] if group is not None and specimens.get(group) else []
    return next(iter([*own, *ordered]), None)


def _observed_on(segment: Any, order: Any) -> date | None:
    """Return the day of OBX-14, else of the order's OBR-7."""
    for source, number in ((segment, 14), (order, 7)):
        text = field_text(source, number) if source is not None else ""
        if text:
            try:
                return parse_date(text[:14] if len(text) >= 14 else text[:8])
            except InputError:
                continue
    return None
