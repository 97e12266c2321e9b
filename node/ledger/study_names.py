"""The study that a person means: by UID, the beginning of a UID, Patient ID or accession number."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from config.errors import InputError
from config.messages.message import message
from node.ledger.tables import Case, Instance

MOST_NAMED = 5  # studies in the sentence about several


def find_study(session: Session, text: str) -> str:
    """Return the Study Instance UID of the one case that a text names.

    Parameters
    ----------
    text : str
        A Study Instance UID or its beginning, a Patient ID or an accession number, in this order: the first of them
        that any case has counts.

    Returns
    -------
    str
        Study Instance UID.

    Raises
    ------
    InputError
        When no case has it, or several have; the sentence names those.
    """
    wanted = text.strip()
    if session.get(Case, wanted) is not None:
        return wanted
    accession = select(Instance.study_instance_uid).where(Instance.header["AccessionNumber"].as_string() == wanted)
    conditions = (
        Case.study_instance_uid.startswith(wanted, autoescape=True),
        Case.patient_id == wanted,
        # Last: it reads the header of every instance.
        Case.study_instance_uid.in_(accession),
    )
    for condition in conditions if wanted else ():
        newest_first = select(Case).where(condition).order_by(Case.received_at.desc(), Case.study_instance_uid)
        found = list(session.scalars(newest_first.limit(MOST_NAMED + 1)))
        if len(found) == 1:
            return found[0].study_instance_uid
        if found:
            studies = [f"{case.study_instance_uid} ({case.state})" for case in found[:MOST_NAMED]]
            more = ", ..." if len(found) > MOST_NAMED else ""
            raise InputError(message("form.several_studies", text=wanted, studies=studies, more=more))
    raise InputError(message("form.no_study", study=wanted or "''"))
