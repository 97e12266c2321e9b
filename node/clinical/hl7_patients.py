"""Patients in HL7 v2 messages: their identifiers (PID-3), and merges of two of them (PID with MRG).

Source: HL7 v2.5.1 sections 3.3.18, 3.3.40 (A18, A40), 3.4.9 (MRG).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from config.settings import Settings
from node.clinical.hl7_fields import component_of, field_text

# The same as A18 and A40 to this program: the identifier of MRG-1 is retired, that of PID-3 goes on.
MERGE_TRIGGERS = frozenset({"A18", "A34", "A40"})


@dataclass(frozen=True)
class Patient:
    """Patient identifier, its issuer (PID-3) and the birth date (PID-7)."""

    patient_id: str
    issuer: str
    birth_date: str = ""


@dataclass(frozen=True)
class Merge:
    """Two patient records that the hospital has merged."""

    prior: Patient
    surviving: Patient


def patient_of(segment: Any, settings: Settings, field: int = 3) -> Patient | None:
    """Return the medical record number of a field where several identifiers are sent, else the first.

    Parameters
    ----------
    segment : hl7.Segment or None
        PID, or MRG.
    settings : Settings
        Issuer of the site.
    field : int
        3 of PID, 1 of MRG.

    Returns
    -------
    Patient or None
        None where there is no identifier.
    """
    if segment is None or len(segment) <= field:
        return None
    identifiers = []
    for repetition in segment[field]:
        parts = [component_of(repetition, index, segment) for index in range(5)]
        if parts[0]:
            identifiers.append(parts)
    if not identifiers:
        return None
    # PID-3 may have the social security number first; MR, PI and PT of table 0203 are numbers of the hospital.
    chosen = next((parts for parts in identifiers if parts[4] in ("MR", "PI", "PT")), identifiers[0])
    # The site's setting first: interface engines write other names of the authority than the images have.
    issuer = settings.hl7.issuer if settings.hl7.issuer is not None else chosen[3]
    return Patient(chosen[0], issuer, field_text(segment, 7)[:8] if field == 3 else "")


def merges_of(segments: Iterable[Any], settings: Settings) -> tuple[list[Merge], list[str]]:
    """Return the merges of a message, and a sentence for each that cannot be used.

    Parameters
    ----------
    segments : iterable of hl7.Segment
        Each MRG belongs to the PID before it.
    settings : Settings
        Issuer of the site.
    """
    merges, problems, pid = [], [], None
    for segment in segments:
        name = str(segment[0])
        if name == "PID":
            pid = segment
        if name != "MRG":
            continue
        surviving, prior = patient_of(pid, settings), patient_of(segment, settings, 1)
        if surviving is None or prior is None:
            problems.append("a merge lacks the patient identifier (PID-3) or the prior one (MRG-1)")
        elif (prior.patient_id, prior.issuer) != (surviving.patient_id, surviving.issuer):
            merges.append(Merge(prior, surviving))
    if not merges and not problems:
        problems.append("expected a merge of two patient identifiers (PID-3 and MRG-1), found none")
    return merges, problems
