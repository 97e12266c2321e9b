"""Audit messages by the schema of DICOM PS3.15 section A.5.1, one function for each kind of subject in section A.5.3.

Every message is one line of XML in UTF-8. No message contains a patient's name: the schema requires a
ParticipantObjectName, and it is empty.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from ipaddress import ip_address
from xml.etree.ElementTree import (
    Element,
    SubElement,
    tostring,
)  # only writes XML; parsing untrusted XML would need defusedxml

from node.audit import codes
from node.audit.codes import Code

PERSON, SYSTEM_OBJECT = "1", "2"  # ParticipantObjectTypeCode
PATIENT_ROLE, REPORT_ROLE, SECURITY_RESOURCE_ROLE = "1", "3", "13"  # ParticipantObjectTypeCodeRole
APPLICATION_SERVER = "4"  # AuditSourceTypeCode

# What XML 1.0 cannot contain (section 2.2), and line ends, since a message is one line.
_UNFIT = re.compile("[^\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]+")


class Outcome(IntEnum):
    """EventOutcomeIndicator."""

    SUCCESS = 0
    MINOR_FAILURE = 4
    SERIOUS_FAILURE = 8
    MAJOR_FAILURE = 12


@dataclass(frozen=True)
class Event:
    """EventIdentification of a message.

    Attributes
    ----------
    action : str
        EventActionCode: C(reate), R(ead), U(pdate), D(elete) or E(xecute).
    types : tuple of Code
        EventTypeCode, any number.
    description : str
        EventOutcomeDescription; empty: none.
    """

    id: Code
    action: str
    types: tuple[Code, ...] = ()
    outcome: Outcome = Outcome.SUCCESS
    description: str = ""


@dataclass(frozen=True)
class Participant:
    """An ActiveParticipant: a user, a process, a machine or a medium.

    Attributes
    ----------
    requestor : bool
        UserIsRequestor: who caused the event; at most one participant of a message.
    ae_title : str
        AlternativeUserID; empty: none.
    address : str
        IP address or name of the machine; empty: none.
    media : Code, optional
        MediaType of an export.
    """

    user_id: str
    requestor: bool
    role: Code | None = None
    ae_title: str = ""
    user_name: str = ""
    address: str = ""
    media: Code | None = None


@dataclass(frozen=True)
class Subject:
    """A ParticipantObjectIdentification: a study, a patient, a query, or what an alert is about.

    Attributes
    ----------
    details : mapping, optional
        ParticipantObjectDetail: value by type; encoded as base64 in the message.
    sop_classes : mapping, optional
        Number of instances by SOP Class UID.
    query : bytes, optional
        ParticipantObjectQuery: the encoded identifier.
    """

    id: str
    id_type: Code
    type_code: str
    role: str
    details: Mapping[str, str] | None = None
    sop_classes: Mapping[str, int] | None = None
    query: bytes | None = None


@dataclass(frozen=True)
class Source:
    """AuditSourceIdentification: the installation that reports."""

    id: str
    site: str | None = None


def study(study_instance_uid: str, sop_classes: Mapping[str, int]) -> Subject:
    """Return a study as participant object.

    Parameters
    ----------
    sop_classes : mapping
        Number of instances by SOP Class UID; may be empty.

    References
    ----------
    PS3.15 section A.5.3.7.
    """
    return Subject(study_instance_uid, codes.STUDY_INSTANCE_UID, SYSTEM_OBJECT, REPORT_ROLE, sop_classes=sop_classes)


def patient(patient_id: str) -> Subject:
    """Return a patient as participant object: the identifier, and no name.

    Parameters
    ----------
    patient_id : str
        Patient ID (0010,0020) as it was received.

    Returns
    -------
    Subject
        Without ParticipantObjectName, which would be the patient's name.
    """
    return Subject(patient_id, codes.PATIENT_NUMBER, PERSON, PATIENT_ROLE)


def alerted(subject: str, kind: Code, text: str) -> Subject:
    """Return what a security alert is about.

    Parameters
    ----------
    subject : str
        Address or name of a machine, or a resource.
    kind : Code
        ``NODE_ID`` or ``URI``.

    References
    ----------
    PS3.15 section A.5.3.11.
    """
    return Subject(subject, kind, SYSTEM_OBJECT, SECURITY_RESOURCE_ROLE, details={"Alert Description": text})


def queried(sop_class_uid: str, identifier: bytes, transfer_syntax_uid: str) -> Subject:
    """Return a C-FIND as participant object.

    Parameters
    ----------
    identifier : bytes
        The identifier data set in `transfer_syntax_uid`.

    References
    ----------
    PS3.15 section A.5.3.10.
    """
    details = {"TransferSyntax": transfer_syntax_uid}
    return Subject(
        sop_class_uid, codes.SOP_CLASS_UID, SYSTEM_OBJECT, REPORT_ROLE, details=details, query=identifier
    )  # fmt: skip


def audit_message(
    event: Event, participants: Sequence[Participant], source: Source, subjects: Sequence[Subject], when: datetime
) -> bytes:
    """Return an audit message as one line of XML.

    Parameters
    ----------
    participants : sequence of Participant
        At least one, and at most one of them the requestor.
    when : datetime
        Aware.

    Returns
    -------
    bytes
        UTF-8, without XML declaration and without line ends.

    References
    ----------
    PS3.15 section A.5.1.
    """
    root = Element("AuditMessage")
    identified = SubElement(
        root, "EventIdentification",
        {
            "EventActionCode": event.action, "EventDateTime": when.isoformat(timespec="milliseconds"),
            "EventOutcomeIndicator": str(int(event.outcome)),
        },
    )  # fmt: skip
    _coded(identified, "EventID", event.id)
    for kind in event.types:
        _coded(identified, "EventTypeCode", kind)
    if event.description:
        SubElement(identified, "EventOutcomeDescription").text = plain(event.description)
    for participant in participants:
        _participant(root, participant)
    reporting = SubElement(root, "AuditSourceIdentification", {"AuditSourceID": plain(source.id)})
    if source.site:
        reporting.set("AuditEnterpriseSiteID", plain(source.site))
    SubElement(reporting, "AuditSourceTypeCode", {"csd-code": APPLICATION_SERVER})
    for subject in subjects:
        _subject(root, subject)
    return tostring(root, encoding="utf-8", xml_declaration=False)


def plain(text: str) -> str:
    """Return the text with spaces for what XML 1.0 or a line cannot contain.

    Parameters
    ----------
    text : str
        Any text; a sender may have put control characters or lone surrogates into it.

    Returns
    -------
    str
        One line that XML 1.0 can contain.
    """
    return _UNFIT.sub(" ", text)


def _participant(root: Element, participant: Participant) -> None:
    node = SubElement(
        root, "ActiveParticipant",
        {"UserID": plain(participant.user_id), "UserIsRequestor": "true" if participant.requestor else "false"},
    )  # fmt: skip
    if participant.ae_title:
        node.set("AlternativeUserID", f"AETITLES={plain(participant.ae_title)}")
    if participant.user_name:
        node.set("UserName", plain(participant.user_name))
    if participant.address:
        node.set("NetworkAccessPointID", plain(participant.address))
        node.set("NetworkAccessPointTypeCode", "2" if _is_address(participant.address) else "1")
    if participant.role is not None:
        _coded(node, "RoleIDCode", participant.role)
    if participant.media is not None:
        _coded(SubElement(node, "MediaIdentifier"), "MediaType", participant.media)


def _subject(root: Element, subject: Subject) -> None:
    node = SubElement(
        root, "ParticipantObjectIdentification",
        {
            "ParticipantObjectID": plain(subject.id), "ParticipantObjectTypeCode": subject.type_code,
            "ParticipantObjectTypeCodeRole": subject.role,
        },
    )  # fmt: skip
    _coded(node, "ParticipantObjectIDTypeCode", subject.id_type)
    if subject.query is not None:
        SubElement(node, "ParticipantObjectQuery").text = base64.b64encode(subject.query).decode()
    else:
        SubElement(node, "ParticipantObjectName")
    for kind, value in (subject.details or {}).items():
        encoded = base64.b64encode(plain(value).encode()).decode()
        SubElement(node, "ParticipantObjectDetail", {"type": kind, "value": encoded})
    if subject.sop_classes:
        description = SubElement(node, "ParticipantObjectDescription")
        for uid, n_instances in subject.sop_classes.items():
            SubElement(description, "SOPClass", {"UID": uid, "NumberOfInstances": str(n_instances)})


def _coded(parent: Element, name: str, code: Code) -> None:
    value, meaning = plain(code.value), plain(code.meaning)
    SubElement(parent, name, {"csd-code": value, "codeSystemName": code.scheme, "originalText": meaning})


def _is_address(text: str) -> bool:
    try:
        ip_address(text.split("%")[0])
    except ValueError:
        return False
    return True
