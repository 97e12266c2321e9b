"""Patient, visit and order of a result, from the header of its Structured Report to PID, PV1, ORC and OBR."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

from pydicom import Dataset
from pydicom.valuerep import PersonName

from dicom_sr.coding.message_codes import RESULT
from dicom_sr.hl7_v2.writing import Field, segment

# Of (0010,0040) to table 0001; what is empty stays empty.
SEXES = {"M": "M", "F": "F", "O": "O"}
# DICOM's component groups (PS3.5 6.2.1) to table 0465, name representation code.
REPRESENTATIONS = (("alphabetic", "A"), ("ideographic", "I"), ("phonetic", "P"))
NOT_APPLICABLE = "N"  # table 0004, patient class: an image says nothing of the visit
RADIOLOGY = "RAD"  # table 0074


@dataclass(frozen=True)
class Subject:
    """Whom and what a result is about, as the study says it; every value may be empty except the study.

    Attributes
    ----------
    identifiers : tuple of (identifier, issuer)
        That of the study first; an issuer has namespace, universal identifier and its type.
    names : tuple of (components, representation code)
        Components in DICOM's order: family, given, middle, prefix, suffix.
    birth_date : str
        YYYYMMDD.
    study_time : str
        YYYYMMDD, or with HHMMSS.
    """

    identifiers: tuple[tuple[str, tuple[str, str, str]], ...]
    names: tuple[tuple[tuple[str, ...], str], ...]
    birth_date: str
    sex: str
    study_instance_uid: str
    study_time: str
    accession_number: str
    referring_physician: tuple[tuple[tuple[str, ...], str], ...] = ()
    placer_order_number: str = ""
    requested_procedure_id: str = ""


def subject_of(header: Dataset) -> Subject:
    """Read patient and order from the header of an object of the report.

    Parameters
    ----------
    header : Dataset
        Of the Structured Report: its values were checked when it was written.

    Returns
    -------
    Subject
        What the study says.
    """
    requests = header.get("ReferencedRequestSequence") or [Dataset()]
    others = [(str(item.get("PatientID") or ""), _issuer(item)) for item in header.get("OtherPatientIDsSequence") or ()]
    own = (str(header.get("PatientID") or ""), _issuer(header))
    return Subject(
        identifiers=tuple(dict.fromkeys(pair for pair in (own, *others) if pair[0])),
        names=_names(header.get("PatientName")),
        birth_date=str(header.get("PatientBirthDate") or ""),
        sex=SEXES.get(str(header.get("PatientSex") or ""), ""),
        study_instance_uid=str(header.StudyInstanceUID),
        study_time=_time(header),
        accession_number=str(header.get("AccessionNumber") or ""),
        referring_physician=_names(header.get("ReferringPhysicianName")),
        placer_order_number=str(requests[0].get("PlacerOrderNumberImagingServiceRequest") or ""),
        requested_procedure_id=str(requests[0].get("RequestedProcedureID") or ""),
    )


def _issuer(item: Dataset) -> tuple[str, str, str]:
    qualifiers = (item.get("IssuerOfPatientIDQualifiersSequence") or [Dataset()])[0]
    universal = str(qualifiers.get("UniversalEntityID") or "")
    return str(item.get("IssuerOfPatientID") or ""), universal, str(qualifiers.get("UniversalEntityIDType") or "")


def _names(name: PersonName | str | None) -> tuple[tuple[tuple[str, ...], str], ...]:
    if not name:
        return ()
    whole = name if isinstance(name, PersonName) else PersonName(name)
    groups = ((str(getattr(whole, group) or ""), letter) for group, letter in REPRESENTATIONS)
    return tuple((tuple(group.split("^")), letter) for group, letter in groups if group.strip("^ "))


def _time(header: Dataset) -> str:
    day, time = str(header.get("StudyDate") or ""), str(header.get("StudyTime") or "")
    # The fraction of a second, and an hour alone, are left out: receivers differ in whether they read them.
    return f"{day}{time[:6]}" if day and len(time.partition(".")[0]) == 6 else day


def filler_order_number(study_instance_uid: str) -> str:
    """Return the filler order number (OBR-3) of the results of a study, the same for every revision.

    It is not the accession number: that is the number of the imaging, and a receiver that files by it would put our
    result in the place of the radiologist's report.

    Parameters
    ----------
    study_instance_uid : str
        Of the study.

    Returns
    -------
    str
        22 characters, the most that version 2.3.1 allows.
    """
    digest = hashlib.sha256(study_instance_uid.encode()).digest()
    return f"CPTDN-{base64.b32encode(digest).decode('ascii')[:16]}"


def pid(subject: Subject) -> str:
    """Write the patient.

    Parameters
    ----------
    subject : Subject
        With any number of identifiers and names.

    Returns
    -------
    str
        PID: a repetition of PID-3 for each identifier with its issuer, and of PID-5 for each form of the name.

    References
    ----------
    HL7 v2.5.1 section 3.4.2.
    """
    return segment(
        "PID",
        {
            1: "1",
            3: [(identifier, "", "", issuer, "PI") for identifier, issuer in subject.identifiers],
            5: [_xpn(components, letter) for components, letter in subject.names],
            7: subject.birth_date,
            8: subject.sex,
        },
    )


def _xpn(components: tuple[str, ...], letter: str) -> Field:
    family, given, middle, prefix, suffix = (*components, "", "", "", "", "")[:5]
    # XPN has suffix before prefix (section 2.A.88), DICOM prefix before suffix (PS3.5 6.2.1.1); L: legal name.
    return (family, given, middle, suffix, prefix, "", "L", letter)


def pv1(subject: Subject) -> str:
    """Write the visit, of which an image knows the referring physician at most.

    Parameters
    ----------
    subject : Subject
        With or without a referring physician.

    Returns
    -------
    str
        PV1, which a document message always has.

    References
    ----------
    HL7 v2.5.1 section 3.4.3.
    """
    physicians: list[Field] = [
        ("", *(*components, "", "", "", "", "")[:3], *_swapped(components), "", "", "", "L", "", "", "", "", letter)
        for components, letter in subject.referring_physician
    ]
    return segment("PV1", {1: "1", 2: NOT_APPLICABLE, 8: physicians})


def _swapped(components: tuple[str, ...]) -> tuple[str, str]:
    prefix, suffix = (*components, "", "", "", "", "")[3:5]
    return suffix, prefix


def orc(subject: Subject, application: str, order_status: str) -> str:
    """Write the order control (section 4.5.1).

    Parameters
    ----------
    application : str
        Namespace of our order numbers.
    order_status : str
        ORC-5, table 0038.
    """
    return segment(
        "ORC",
        {
            1: "RE",
            2: subject.placer_order_number,
            3: (filler_order_number(subject.study_instance_uid), application),
            5: order_status,
        },
    )


def obr(subject: Subject, application: str, result_status: str, reported: str, section: str = RADIOLOGY) -> str:
    """Write the observation request (section 7.4.1).

    Parameters
    ----------
    application : str
        Namespace of our order numbers.
    result_status : str
        OBR-25, table 0123.
    reported : str
        OBR-22, when the result or its status changed.
    section : str
        OBR-24, table 0074.
    """
    return segment(
        "OBR",
        {
            1: "1",
            2: subject.placer_order_number,
            3: (filler_order_number(subject.study_instance_uid), application),
            4: (RESULT.value, RESULT.meaning, RESULT.scheme),
            7: subject.study_time,
            # As IHE's scheduled workflow has it: the accession number is the number of the imaging (RAD TF-2 4.4).
            18: subject.accession_number,
            19: subject.requested_procedure_id,
            22: reported,
            24: section,
            25: result_status,
        },
    )
