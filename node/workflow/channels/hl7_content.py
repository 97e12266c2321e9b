"""What a receiver of HL7 v2 is told of a report: it follows from what this receiver has of earlier reports.

A report that was replaced before it was sent is not corrected there, and a document whose acknowledgement never came
may be there or not: it is cancelled first, so that it can never stay beside its successor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset, dcmread

from config.settings import Hl7Message, Hl7OutSettings, Settings
from dicom_sr.header.uids import uid_for
from dicom_sr.hl7_v2.messages import (
    DocumentEvent,
    Earlier,
    Envelope,
    cancellation_message,
    document_message,
    result_message,
)
from dicom_sr.hl7_v2.subject import subject_of
from dicom_sr.report.json_form import load
from dicom_sr.report.report_inputs import ReportOptions
from dicom_sr.report.treatment_report import TreatmentReport
from node.ledger.reports import StoredObject, add_object, objects_of
from node.ledger.supersession import Held
from node.ledger.tables import Report
from node.store.consistency import digest_of
from node.workflow.channels.channel import ChannelContext, Parcel

RESULT, DOCUMENT = "hl7_oru", "hl7_mdm"  # kinds of stored objects
KINDS: dict[Hl7Message, str] = {"ORU^R01": RESULT, "MDM^T02": DOCUMENT}
SUFFIX = ".hl7"


@dataclass(frozen=True)
class PreparedMessage:
    """What one step sends for one message of a report.

    Attributes
    ----------
    cancellations : tuple of bytes
        Sent first; a receiver that has no such document refuses them.
    content : bytes or None
        The message, stored; None where there is nothing to be said: a withdrawal of what was never sent there.
    """

    cancellations: tuple[bytes, ...]
    content: bytes | None


@dataclass(frozen=True)
class _KnownReport:
    """A report of the study.

    Attributes
    ----------
    document_number : str
        SOP Instance UID of its SR.
    header : Dataset
        Of its SR.
    page : Path or None
        File of its Encapsulated PDF.
    """

    report: TreatmentReport
    document_number: str
    header: Dataset
    page: Path | None


def message_uid(sr_instance_uid: str, message: Hl7Message, receiver: str) -> str:
    """Return the UID by which the ledger knows a message of a report to a receiver.

    Parameters
    ----------
    sr_instance_uid : str
        Of the report's Structured Report.
    message : Hl7Message
        As in the settings.
    receiver : str
        Name of the receiver: each has messages of its own.
    """
    return uid_for(sr_instance_uid, f"{KINDS[message]}/{receiver}")


def control_id_of(content: bytes) -> str:
    """Return MSH-10 of a message of ours."""
    return content.split(b"|", 10)[9].decode("ascii")


def prepare_message(
    context: ChannelContext, receiver: Hl7OutSettings, parcel: Parcel, stored: StoredObject
) -> PreparedMessage:
    """Return a message, which is built and stored the first time.

    Parameters
    ----------
    context : ChannelContext
        Ledger, store and settings.
    receiver : Hl7OutSettings
        Character set, version and names.
    parcel : Parcel
        The report, and what the receiver has of earlier ones.
    stored : StoredObject
        The message; without a path it is not built yet.

    Returns
    -------
    PreparedMessage
        The same bytes whenever it is called for this report.
    """
    held = [each for each in parcel.held if each.kind == stored.kind]
    known = {each.report_id: _known_report(context, each.report_id) for each in held}
    own = _known_report(context, parcel.report_id)
    options = _options(context.settings)
    earlier = _earlier(held, known, receiver)
    cancellations = tuple(
        cancellation_message(own.report, subject_of(doubtful.header), _envelope(receiver), options, number)
        for number in earlier.doubtful
        for doubtful in known.values()
        if doubtful.document_number == number
    )
    if stored.path:
        return PreparedMessage(cancellations, context.store.path(stored.path).read_bytes())
    is_withdrawal = own.report.withdrawal is not None
    if is_withdrawal and not (earlier.reports if stored.kind == RESULT else earlier.document_number):
        return PreparedMessage(cancellations, None)
    # The record that is corrected is that of the patient whom the withdrawn report names, whoever that is by now.
    envelope = _envelope(receiver)
    subject = subject_of(known[held[0].report_id].header if is_withdrawal else own.header)
    pdf = _pdf(own.page) if receiver.pdf and own.page is not None else None
    if stored.kind == RESULT:
        content = result_message(own.report, own.document_number, subject, envelope, options, earlier, pdf)
    else:
        withdrawn_by: DocumentEvent = "T11" if receiver.withdrawn_document == "cancel" else "T10"
        content = document_message(
            own.report, own.document_number, subject, _envelope(receiver), options, earlier, pdf, withdrawn_by
        )
    return PreparedMessage(cancellations, _saved(context, parcel, stored, content))


def _earlier(held: Sequence[Held], known: dict[int, _KnownReport], receiver: Hl7OutSettings) -> Earlier:
    reports = tuple(known[each.report_id].report for each in reversed(held))
    doubtful: list[str] = []
    is_cancellation_doubtful = False
    for each in held:  # the newest first
        document = known[each.report_id]
        cancels = document.report.withdrawal is not None and receiver.withdrawn_document == "cancel"
        if each.is_certain and not is_cancellation_doubtful:
            return Earlier(reports, "" if cancels else document.document_number, tuple(doubtful))
        if cancels:
            is_cancellation_doubtful = True  # of the document before it, which may be current or not
            continue
        doubtful.append(document.document_number)
        if each.is_certain:
            break
    return Earlier(reports, "", tuple(doubtful))


def _known_report(context: ChannelContext, report_id: int) -> _KnownReport:
    with context.ledger.begin() as session:
        row = session.get_one(Report, report_id)
        report, number = load(row.result), row.sop_instance_uid
        paths = {each.kind: context.store.path(each.path) for each in objects_of(session, report_id)}
    return _KnownReport(report, number, dcmread(paths["sr"]), paths.get("pdf"))


def _pdf(page: Path) -> bytes:
    document = dcmread(page)
    content: bytes = document.EncapsulatedDocument
    # The element has an even length, the PDF may have an odd one (PS3.3 C.24.2).
    return content[: document.get("EncapsulatedDocumentLength") or None]


def _options(settings: Settings) -> ReportOptions:
    said = settings.report
    return ReportOptions(language=said.language, timezone=said.timezone, preliminary=said.preliminary)


def _envelope(receiver: Hl7OutSettings) -> Envelope:
    return Envelope(
        receiver.sending_application, receiver.sending_facility,
        receiver.receiving_application, receiver.receiving_facility,
        receiver.version, receiver.character_set, receiver.name,
    )  # fmt: skip


def _saved(context: ChannelContext, parcel: Parcel, stored: StoredObject, content: bytes) -> bytes:
    """Store a message, and return what is stored: after a crash its file may be there already."""
    uid = stored.sop_instance_uid
    path = context.store.save_report(parcel.study_instance_uid, uid, content, SUFFIX)
    digest = digest_of(context.store.path(path), whole=True)
    # Before it is sent: from now on this is what the receiver may have.
    with context.ledger.begin() as session:
        add_object(session, parcel.report_id, StoredObject(stored.kind, "", uid, "", digest, path))
    return context.store.path(path).read_bytes()
