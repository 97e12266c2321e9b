"""Result and document messages of a report: ORU^R01, and MDM^T02, T10 and T11 (HL7 v2.5.1 chapters 7 and 9).

What a message says depends on what its receiver has of earlier reports of the study (`Earlier`): a first result is
final or preliminary, a later one a correction, and a withdrawal deletes.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from dicom_sr.coding.message_codes import PDF_REPORT
from dicom_sr.header.attributes import local_time
from dicom_sr.hl7_v2.observations import Key, Observation, encapsulated, observations_of
from dicom_sr.hl7_v2.subject import Subject, filler_order_number, obr, orc, pid, pv1
from dicom_sr.hl7_v2.writing import CharacterSet, FormattedText, day, message, moment, segment
from dicom_sr.report.plain_text import plain_text
from dicom_sr.report.report_inputs import ReportOptions
from dicom_sr.report.treatment_report import TreatmentReport

Version = Literal["2.3.1", "2.4", "2.5", "2.5.1"]
DocumentEvent = Literal["T02", "T10", "T11"]
RESULT_KIND = "oru"  # for `control_id`
CONTROL_ID_LENGTH = 20  # of MSH-10 until version 2.5.1
# Table 0123 (OBR-25) and table 0085 (OBX-11).
PRELIMINARY, FINAL, CORRECTED, NOT_AVAILABLE, DELETED = "P", "F", "C", "X", "D"
COMPLETED, CANCELLED = "CM", "CA"  # table 0038 (ORC-5)
DIAGNOSTIC_IMAGING = "DI"  # table 0270 (TXA-2)
DOCUMENTED = "DO"  # table 0271 (TXA-17): no person has authenticated the document
AVAILABLE, UNAVAILABLE = "AV", "UN"  # table 0273 (TXA-19)
_DOCUMENT = Observation(PDF_REPORT, "FT", "")


@dataclass(frozen=True)
class Envelope:
    """What a message says of sender and receiver.

    Attributes
    ----------
    sending_application, sending_facility, receiving_application, receiving_facility : str
        MSH-3 to MSH-6: a namespace, or namespace, universal identifier and its type with ``^`` between them.
    receiver : str
        Our name of the receiver: messages of one report to two receivers have control ids of their own.
    """

    sending_application: str = "CPTDN"
    sending_facility: str = ""
    receiving_application: str = ""
    receiving_facility: str = ""
    version: Version = "2.5.1"
    character_set: CharacterSet = "UNICODE UTF-8"
    receiver: str = ""

    @property
    def namespace(self) -> str:
        """The namespace of our order and document numbers."""
        return self.sending_application.partition("^")[0]


@dataclass(frozen=True)
class Earlier:
    """What a receiver has of earlier reports of the study.

    Attributes
    ----------
    reports : tuple of TreatmentReport
        All that it may have got, in the order of their revisions.
    document_number : str
        TXA-12 of the document that it has acknowledged and that is current there; empty where there is none, or it was
        withdrawn.
    doubtful : tuple of str
        TXA-12 of documents that were sent since, whose acknowledgement never came.
    """

    reports: tuple[TreatmentReport, ...] = ()
    document_number: str = ""
    doubtful: tuple[str, ...] = ()


def result_message(
    report: TreatmentReport,
    sr_instance_uid: str,
    subject: Subject,
    envelope: Envelope,
    options: ReportOptions | None = None,
    earlier: Earlier | None = None,
    pdf: bytes | None = None,
) -> bytes:
    """Write the results as ORU^R01 (section 7.3.1).

    Parameters
    ----------
    report : TreatmentReport
        Any report, also a refusal or a withdrawal.
    sr_instance_uid : str
        SOP Instance UID of its SR.
    subject : Subject
        Patient and order. Of a withdrawal that of the report that is withdrawn: its record is corrected.
    envelope : Envelope
        Sender, receiver, version and character set.
    options : ReportOptions or None
        Language, time zone, preliminary or final.
    earlier : Earlier or None
        What the receiver has; None: nothing.
    pdf : bytes or None
        The page.

    Returns
    -------
    bytes
        The same arguments give the same bytes.
    """
    options, earlier = options or ReportOptions(), earlier or Earlier()
    now = moment(local_time(report, options))
    observations = observations_of(report, options, sr_instance_uid, pdf)
    stated = _stated_before(earlier.reports, options)
    deleted = [each for key, each in stated.items() if key not in {each.key for each in observations}]
    status = _result_status(report, options, earlier)
    lines = [
        _msh(report, envelope, now, ("ORU", "R01", "ORU_R01"), RESULT_KIND),
        pid(subject),
        *([pv1(subject)] if subject.referring_physician else []),
        orc(subject, envelope.namespace, CANCELLED if report.withdrawal is not None else COMPLETED),
        obr(subject, envelope.namespace, status, now),
    ]
    for position, observation in enumerate((*observations, *deleted), start=1):
        is_deleted = position > len(observations)
        own = DELETED if is_deleted else CORRECTED if observation.key in stated else _first_status(options)
        lines.append(_obx(position, observation, own, now, envelope))
        if observation.note and not is_deleted:
            lines.append(segment("NTE", {1: "1", 2: "L", 3: FormattedText(observation.note)}))
    return message(lines, envelope.character_set)


def document_event(report: TreatmentReport, earlier: Earlier, withdrawn_by: DocumentEvent = "T11") -> DocumentEvent:
    """Return the event of the document message.

    Parameters
    ----------
    report : TreatmentReport
        Any report.
    earlier : Earlier
        What the receiver has.
    withdrawn_by : {"T11", "T10"}
        What a withdrawal is sent as: the cancellation of the document, or its replacement by the page that says
        withdrawn.

    Returns
    -------
    {"T02", "T10", "T11"}
        Original, replacement, cancellation.
    """
    if report.withdrawal is not None and earlier.document_number:
        return withdrawn_by
    return "T10" if earlier.document_number else "T02"


def document_message(
    report: TreatmentReport,
    sr_instance_uid: str,
    subject: Subject,
    envelope: Envelope,
    options: ReportOptions | None = None,
    earlier: Earlier | None = None,
    pdf: bytes | None = None,
    withdrawn_by: DocumentEvent = "T11",
) -> bytes:
    """Write the document as MDM^T02, T10 or T11 (sections 9.6.2, 9.6.10 and 9.6.11).

    Parameters
    ----------
    report, sr_instance_uid, subject, envelope, options, earlier
        As of `result_message`; the UID is the unique document number (TXA-12).
    pdf : bytes or None
        The page; without one the document is the report as text.
    withdrawn_by : {"T11", "T10"}
        As of `document_event`.

    Returns
    -------
    bytes
        The same arguments give the same bytes.
    """
    options, earlier = options or ReportOptions(), earlier or Earlier()
    event = document_event(report, earlier, withdrawn_by)
    page = replace(_DOCUMENT, value=FormattedText(plain_text(report, options.language)))
    if pdf is not None:
        page = replace(page, value_type="ED", value=encapsulated(pdf))
    if event == "T11":
        return _document(report, subject, envelope, options, event, earlier.document_number)
    parent = earlier.document_number if event == "T10" else ""
    return _document(report, subject, envelope, options, event, sr_instance_uid, parent, page)


def cancellation_message(
    report: TreatmentReport, subject: Subject, envelope: Envelope, options: ReportOptions, number: str
) -> bytes:
    """Write the cancellation of a document of which it is not known whether it arrived (MDM^T11).

    It goes before the document of its successor. A receiver that has no such document refuses it, which is no failure.

    Parameters
    ----------
    report : TreatmentReport
        The successor.
    subject, envelope, options
        As of `result_message`.
    number : str
        TXA-12 of the document.

    Returns
    -------
    bytes
        The same arguments give the same bytes.
    """
    return _document(report, subject, envelope, options, "T11", number)


def _document(
    report: TreatmentReport, subject: Subject, envelope: Envelope, options: ReportOptions, event: DocumentEvent,
    number: str, parent: str = "", page: Observation | None = None,
) -> bytes:  # fmt: skip
    now = moment(local_time(report, options))
    # A cancellation has no content, and so the structure of T01 (section 9.6.11).
    structure = "MDM_T01" if page is None else "MDM_T02"
    cancelled = report.withdrawal is not None or page is None
    first = _first_status(options)
    status = NOT_AVAILABLE if cancelled else CORRECTED if parent else first
    lines = [
        _msh(report, envelope, now, ("MDM", event, structure), document_kind(event, number)),
        segment("EVN", {1: event, 2: now}),
        pid(subject),
        pv1(subject),
    ]
    if envelope.version in ("2.5", "2.5.1"):  # earlier versions have no order in a document message
        lines.append(orc(subject, envelope.namespace, CANCELLED if cancelled else COMPLETED))
        lines.append(obr(subject, envelope.namespace, status, now))
        because = report.withdrawal.because if report.withdrawal is not None else ""
        lines += [segment("NTE", {1: "1", 2: "L", 3: FormattedText(because)})] if because else []
    lines.append(
        segment(
            "TXA",
            {
                1: "1",
                2: DIAGNOSTIC_IMAGING,
                3: "FT" if page is None or page.value_type == "FT" else "AP",
                4: subject.study_time,
                6: now,
                8: now if parent else "",
                12: (number, envelope.namespace),
                13: (parent, envelope.namespace) if parent else "",
                14: subject.placer_order_number,
                15: (filler_order_number(subject.study_instance_uid), envelope.namespace),
                17: DOCUMENTED,
                19: UNAVAILABLE if page is None else AVAILABLE,
                21: "withdrawn" if report.withdrawal is not None else "replaced" if parent or page is None else "",
            },
        )
    )
    if page is not None:
        lines.append(_obx(1, page, CORRECTED if parent else first, now, envelope))
    return message(lines, envelope.character_set)


def document_kind(event: DocumentEvent, number: str) -> str:
    """Return the kind of a document message, for `control_id`."""
    return f"mdm/{event}/{number}"


def control_id(report: TreatmentReport, kind: str, envelope: Envelope) -> str:
    """Return the message control id (MSH-10).

    A message that is sent again after a lost acknowledgement has the same one, so that the receiver recognises it.

    Parameters
    ----------
    kind : str
        Of the message: each report has one of each kind for a receiver.

    Returns
    -------
    str
        20 letters and digits.
    """
    named = "/".join((report.report_identity, kind, envelope.receiver))
    return base64.b32encode(hashlib.sha256(named.encode()).digest()).decode("ascii")[:CONTROL_ID_LENGTH]


def _first_status(options: ReportOptions) -> str:
    return PRELIMINARY if options.preliminary else FINAL


def _result_status(report: TreatmentReport, options: ReportOptions, earlier: Earlier) -> str:
    # "No results available" rather than "C": what was deleted has no successor, and a receiver that reads no OBX-11
    # must not show it as a corrected result.
    if report.withdrawal is not None:
        return NOT_AVAILABLE
    # Also of a preliminary result: "P" would be its normal progress, "C" says that what was sent before is replaced.
    return CORRECTED if earlier.reports else _first_status(options)


def _stated_before(reports: Sequence[TreatmentReport], options: ReportOptions) -> dict[Key, Observation]:
    """Return what earlier reports have stated, by key: of all of them, since one in between may never have arrived."""
    return {each.key: each for report in reports for each in observations_of(report, options, "", b"")}


def _msh(report: TreatmentReport, envelope: Envelope, now: str, kind: tuple[str, str, str], name: str) -> str:
    parties = (
        envelope.sending_application, envelope.sending_facility,
        envelope.receiving_application, envelope.receiving_facility,
    )  # fmt: skip
    return segment(
        "MSH",
        {
            **{number: tuple(party.split("^")) for number, party in enumerate(parties, start=3)},
            7: now,
            9: kind,
            10: control_id(report, name, envelope),
            # Table 0103: a receiver in production must not file a result of a demonstration model.
            11: "T" if report.model.demonstration else "P",
            12: envelope.version,
            18: envelope.character_set,
        },
    )


def _obx(position: int, observation: Observation, status: str, now: str, envelope: Envelope) -> str:
    name, unit = observation.name, observation.unit
    value_type, value = observation.value_type, observation.value
    if value_type == "CWE" and envelope.version in ("2.3.1", "2.4"):  # CE until then, without the original text
        value_type, value = "CE", value[:3]  # type: ignore[assignment]
    observed = observation.observed_on
    return segment(
        "OBX",
        {
            1: str(position),
            2: value_type,
            3: (name.value, name.meaning, name.scheme),
            4: observation.sub_id,
            5: "" if status == DELETED else value,
            6: "" if unit is None else (unit.value, unit.meaning, unit.scheme),
            11: status,
            14: now if observed is None else day(observed),
        },
    )
