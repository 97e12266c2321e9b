"""Updates of a patient (ADT^A08, A31): a changed birth date is a fact, name and sex are compared with the images.

The age is computed from the birth date, so another one than that of the images is a question (`identity_mismatch`)
that withdraws a delivered answer. Name and sex are no inputs: the objects of a report have those of its images, as its
PACS has them, and a PACS corrects both by the same message. That they differ is a line in the history of each study.

Source: HL7 v2.5.1 sections 3.3.8 and 3.3.31 (A08, A31), 3.4.2 (PID-5, PID-7, PID-8).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from config.errors import InputError
from config.messages.message import message
from node.cases.eligibility import MACHINES
from node.cases.identity import patient_difference
from node.clinical.entries import birth_date_entry, record_entries
from node.clinical.hl7_fields import component, field_text
from node.clinical.hl7_patients import Demographics, Patient
from node.ledger.cases import history, record
from node.ledger.facts import current_rows, facts_of
from node.ledger.instances import instances_of_study
from node.ledger.persons import cases_of_person

UPDATE_TRIGGERS = frozenset({"A08", "A31"})
KIND = "patient_updated"  # of the line in the history


def demographics_of(pid: Any) -> Demographics:
    """Return name, birth date and sex of a PID segment; empty where it states none.

    Parameters
    ----------
    pid : hl7.Segment
        The patient.
    """
    name = "^".join(component(pid, 5, index) for index in range(2)).strip("^")
    return Demographics(name, field_text(pid, 7)[:8], field_text(pid, 8)[:1])


def record_update(
    session: Session, patient: Patient, stated: Demographics, source: str, written_at: datetime | None
) -> list[str]:
    """Record what an update changes for a patient who is known here.

    Parameters
    ----------
    session : Session
        An open transaction.
    patient : Patient
        Whose record the hospital has updated; another one than those with facts or images is ignored.
    stated : Demographics
        As they are now.
    source : str
        The message.
    written_at : datetime or None
        When it was written; aware. A message that was written before the newest one changes nothing.

    Returns
    -------
    list of str
        A sentence for each value that cannot be used.
    """
    identity = (patient.patient_id, patient.issuer)
    cases = cases_of_person(session, *identity)
    if not cases and not current_rows(session, *identity):
        return []
    problems = _record_birth_date(session, patient, stated.birth_date, source, written_at)
    for case in cases:
        rows = instances_of_study(session, case.study_instance_uid)
        header = next((row.header for row in rows if row.modality == "MR"), None)
        if header is None:
            continue
        updated = {"PatientID": header.get("PatientID"), "PatientName": stated.name, "PatientSex": stated.sex}
        difference = patient_difference(header, updated)
        text = message("patient_updated", difference=difference) if difference is not None else None
        if text and text not in [line["text"] for line in history(session, case.study_instance_uid)]:
            record(session, case.study_instance_uid, KIND, text)
    return problems


def _record_birth_date(
    session: Session, patient: Patient, text: str, source: str, written_at: datetime | None
) -> list[str]:
    if not text or text == '""':
        return []
    identity = (patient.patient_id, patient.issuer)
    try:
        entry = birth_date_entry(text)
    except InputError as error:
        return [f"{error} (PID-7)"]
    known = facts_of(session, *identity).birth_date
    is_other = known is not None and known.day.isoformat() != entry.value["day"]
    # A person has seen the images and decided; a broadcast that repeats the old day must not undo that.
    if known is not None and is_other and known.provenance.set_by not in MACHINES:
        return [
            f"the birth date of patient {patient.patient_id} (PID-7) is not the one that {known.provenance.set_by} has "
            "entered here; nothing was recorded, correct one of the two"
        ]
    record_entries(session, *identity, [entry], source, "HL7", written_at)
    return []
