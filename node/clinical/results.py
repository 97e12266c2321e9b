"""Coded results of a laboratory or registry on their way to facts: the same rules for HL7 v2 and FHIR."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date

from config.errors import IneligibleStudyError, InputError
from config.settings import Settings
from node.clinical.codes import Meaning
from node.clinical.entries import FactEntry, ebv_entry, stage_entry

_EDITION_IN_TEXT = re.compile(r"(?:AJCC|UICC|TNM)\D{0,24}?(\d)(?:th)?|(\d)(?:th|ª|\.)? ?ed", re.IGNORECASE)


@dataclass(frozen=True)
class CodedResult:
    """One observation: its text as sent, with unit, specimen, day and laboratory where they were sent."""

    meaning: Meaning
    text: str
    unit: str | None = None
    specimen: str | None = None
    observed_on: date | None = None
    laboratory: str | None = None
    edition: str | None = None
    withdrawn: bool = False


@dataclass
class Sorted:
    """Facts to record, results to withdraw, and a sentence for each result that cannot be used."""

    entries: list[FactEntry] = field(default_factory=list)
    withdrawn: list[tuple[str, date | None]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def sort_results(results: list[CodedResult], settings: Settings) -> Sorted:
    """Turn results of one patient into facts.

    An EBV DNA result that cannot be used is recorded as it is, so that the case names it, and refused to the sender.
    T, N and M of one message make one stage.
    """
    found = Sorted()
    tnm: dict[str, CodedResult] = {}
    for result in results:
        if result.meaning.fact == "ebv_dna":
            _ebv(found, result, settings)
        elif result.withdrawn:
            found.withdrawn.append(("stage", result.observed_on))
        else:
            tnm[result.meaning.fact] = result
    if tnm:
        _stage(found, tnm, settings)
    return found


def edition_in(text: str) -> str | None:
    """The staging edition that a text names ("AJCC 8th edition")."""
    match = _EDITION_IN_TEXT.search(text)
    return (match.group(1) or match.group(2)) if match else None


def _ebv(found: Sorted, result: CodedResult, settings: Settings) -> None:
    if result.withdrawn:
        found.withdrawn.append(("ebv_dna", result.observed_on))
        return
    unit = result.unit or result.meaning.unit
    specimen = result.specimen or result.meaning.specimen
    if result.meaning.specimen == "whole blood":
        specimen = result.meaning.specimen
    given = {"unit": unit, "specimen": specimen, "laboratory": result.laboratory, "drawn_on": result.observed_on}
    try:
        ebv_entry(settings, result.text, check=True, **given)  # type: ignore[arg-type]
    except IneligibleStudyError as error:
        found.refused.append(error.text)
    found.entries.append(ebv_entry(settings, result.text, check=False, **given))  # type: ignore[arg-type]


def _stage(found: Sorted, tnm: dict[str, CodedResult], settings: Settings) -> None:
    parts = [tnm[letter] for letter in ("t", "n", "m") if letter in tnm]
    if parts:
        text = " ".join(_tnm_part(part) for part in parts)
    elif not re.search(r"T[0-4X]", tnm["stage"].text, re.IGNORECASE):
        return  # a stage group such as "III" tells neither T nor N nor M; it is no error to send one
    else:
        text = tnm["stage"].text
    some = next(iter(tnm.values()))
    edition = next((part.edition for part in tnm.values() if part.edition), None)
    try:
        found.entries.append(stage_entry(settings, text, edition, some.observed_on))
    except InputError as error:
        found.refused.append(str(error))


def _tnm_part(result: CodedResult) -> str:
    letter = result.meaning.fact.upper()
    text = result.text.strip()
    named = re.search(rf"(?<![A-Za-z])([cpyra]{{0,3}}{letter}(?:is|[0-4xX][a-d]?))(?![A-Za-z0-9])", text)
    if named:
        return named.group(1)
    return text if letter in text.upper() else f"{letter}{text}"
