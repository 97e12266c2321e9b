"""What a merge of patients means for a case: a question, and after its answer the facts and objects that count.

The hospital says by a merge that two records are of one person, and can be wrong. So nothing is used of the other
record until an operator has confirmed the merge for the study; from then on facts and contours under every identifier
of the person count, also those that arrive later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from config.messages.message import message
from node.cases.freezing import Freeze
from node.cases.study_purpose import MERGED, confirmable_text
from node.ledger.facts import facts_beyond
from node.ledger.instances import RELATED_MODALITIES, instances_of_patient
from node.ledger.persons import Identity, other_identities, survivor_of
from node.ledger.tables import Case, Instance

# What differs where an archive sends an object again under the surviving identifier.
IDENTIFIERS = frozenset({"PatientID", "IssuerOfPatientID"})


@dataclass(frozen=True)
class MergedPatient:
    """The other identifiers of the patient of a case.

    Attributes
    ----------
    others : tuple of (str, str)
        Patient ID and issuer, the surviving one first where that is not the case's.
    question : str or None
        What an operator confirms; None where nothing depends on it.
    confirmed_at : datetime or None
        When the question was confirmed as it is now; aware.
    is_retired : bool
        Whether the identifier of the case is one that was merged into another.
    """

    others: tuple[Identity, ...] = ()
    question: str | None = None
    confirmed_at: datetime | None = None
    is_retired: bool = False

    @property
    def also(self) -> tuple[Identity, ...]:
        """The other identifiers whose facts and objects count."""
        return self.others if self.confirmed_at is not None else ()

    def question_for(self, freeze: Freeze | None) -> str | None:
        """Return the question; facts of another record that come after the freeze are none, since they do not count."""
        is_used = freeze is not None and freeze.was_reported
        return None if is_used and not self.is_retired else self.question

    def header(self, row: Instance, header: Mapping[str, Any], case: Case) -> Mapping[str, Any]:
        """Return a header with the identifier of the case where an object has another one of the same person."""
        if row.patient_id == case.patient_id or row.patient_id not in {patient_id for patient_id, _ in self.also}:
            return header
        return {**header, "PatientID": case.patient_id, "IssuerOfPatientID": case.issuer}

    def related(self, session: Session) -> list[Instance]:
        """Return the contours and registrations under the other identifiers."""
        return [
            row
            for patient_id, issuer in self.also
            for row in instances_of_patient(session, patient_id, RELATED_MODALITIES, issuer)
        ]

    def is_same_object(self, differences: list[str]) -> bool:
        """Return whether an object that is stored was only sent again under another identifier of the person."""
        return bool(self.also) and bool(differences) and IDENTIFIERS.issuperset(differences)


NOT_MERGED = MergedPatient()


def merged_patient(session: Session, case: Case) -> MergedPatient:
    """Return the other identifiers of the patient of a case, and what there is to confirm.

    Parameters
    ----------
    session : Session
        An open transaction; it is only read from.
    case : Case
        With the answers of operators.
    """
    own = (case.patient_id, case.issuer)
    others = other_identities(session, *own)
    if not case.patient_id or not others:
        return NOT_MERGED
    surviving = survivor_of(session, *own)
    is_retired = surviving[0] != case.patient_id
    if is_retired:
        text = message("patient_merged", prior=case.patient_id, surviving=surviving[0])
    elif beyond := facts_beyond(session, own, others):
        text = message("patient_merged.facts", patient=case.patient_id, others=sorted({each[0] for each in beyond}))
    else:
        return MergedPatient(tuple(others))
    question = confirmable_text(text, MERGED)
    answer = case.confirmations.get(MERGED)
    is_answered = answer is not None and answer.get("text") == question
    at = datetime.fromisoformat(answer["at"]) if answer is not None and is_answered else None
    return MergedPatient(tuple(others), question, at, is_retired)
