"""Patients in HL7 v2 messages: identifiers (PID-3), merges of two of them (PID with MRG), and the end of a merge.

Source: HL7 v2.5.1 sections 3.3.18, 3.3.34, 3.3.37, 3.3.40 (A18, A34, A37, A40), 3.4.9 (MRG).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from config.settings import Settings
from node.clinical.hl7_fields import component_of, field_text

# The same as A18 and A40 to this program: the identifier of MRG-1 is retired, that of PID-3 goes on.
MERGE_TRIGGERS = frozenset({"A18", "A34", "A40"})
UNLINK_TRIGGERS = frozenset({"A37"})  # two PID segments: what was linked or merged is of two persons after all


@dataclass(frozen=True)
class Patient:
    """Patient identifier, its issuer (PID-3) and the birth date (PID-7)."""

    patient_id: str
    issuer: str
    birth_date: str = ""

    @property
    def identity(self) -> tuple[str, str]:
        """Patient ID and issuer."""
        return self.patient_id, self.issuer


@dataclass(frozen=True)
class Demographics:
    """Name (PID-5, family and given), birth date (PID-7) and sex (PID-8) as stated; empty where they are not."""

    name: str
    birth_date: str
    sex: str


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


def unlinked_of(segments: Iterable[Any], settings: Settings) -> tuple[list[Merge], list[str]]:
    """Return the two patients of an unlink message, and a sentence where they are not stated.

    Parameters
    ----------
    segments : iterable of hl7.Segment
        With two PID segments.
    settings : Settings
        Issuer of the site.
    """
    pids = [segment for segment in segments if str(segment[0]) == "PID"]
    patients = [patient for pid in pids if (patient := patient_of(pid, settings)) is not None]
    if len(patients) != 2 or patients[0].patient_id == patients[1].patient_id:
        return [], [f"expected two patient identifiers to unlink (two PID-3), found {len(patients)}"]
    return [Merge(*patients)], []
