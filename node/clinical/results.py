"""Coded results of a laboratory or registry to facts: one set of rules for HL7 v2 and FHIR."""

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
    """One observation as sent.

    Attributes
    ----------
    meaning : Meaning
        Of its code.
    text : str
        The value.
    unit, specimen, laboratory : str or None
        As sent.
    observed_on : date or None
        Day of the draw or of the staging.
    edition : str or None
        Staging edition, for a category of TNM.
    withdrawn : bool
        Whether the sender deleted the result or entered it in error.
    """

    meaning: Meaning
    text: str
    unit: str | None = None
    specimen: str | None = None
    observed_on: date | None = None
    laboratory: str | None = None
    edition: str | None = None
    withdrawn: bool = False


@dataclass
class InterpretedResults:
    """Facts to record, facts to withdraw by name and day, and a sentence for each result that cannot be used."""

    entries: list[FactEntry] = field(default_factory=list)
    withdrawn: list[tuple[str, date | None]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def interpret_results(results: list[CodedResult], settings: Settings) -> InterpretedResults:
    """Interpret results of one patient as facts.

    Parameters
    ----------
    results : list of CodedResult
        Of one message, or of one day; T, N and M among them make one stage.
    settings : Settings
        Threshold, conversion and staging edition of the site.

    Returns
    -------
    InterpretedResults
        An EBV DNA result that cannot be used is among the entries, so that the case names it, and among the refused,
        so that its sender is told.
    """
    interpreted = InterpretedResults()
    tnm: dict[str, CodedResult] = {}
    for result in results:
        if result.meaning.fact == "ebv_dna":
            _interpret_ebv(interpreted, result, settings)
        elif result.withdrawn:
            interpreted.withdrawn.append(("stage", result.observed_on))
        else:
            # The last one of a category counts: results are in order of time, or as the message has them.
            tnm[result.meaning.fact] = result
    if tnm:
        _interpret_stage(interpreted, tnm, settings)
    return interpreted


def edition_in(text: str) -> str | None:
    """Return the staging edition that a text names ("8" for "AJCC 8th edition"), or None."""
    match = _EDITION_IN_TEXT.search(text)
    return (match.group(1) or match.group(2)) if match else None


def _interpret_ebv(interpreted: InterpretedResults, result: CodedResult, settings: Settings) -> None:
    if result.withdrawn:
        interpreted.withdrawn.append(("ebv_dna", result.observed_on))
        return
    unit = result.unit or result.meaning.unit
    specimen = result.specimen or result.meaning.specimen
    if result.meaning.specimen == "whole blood":  # a code for whole blood is not corrected by a text "plasma"
        specimen = result.meaning.specimen
    details = {"unit": unit, "specimen": specimen, "laboratory": result.laboratory, "drawn_on": result.observed_on}
    try:
        ebv_entry(settings, result.text, check=True, **details)  # type: ignore[arg-type]
    except IneligibleStudyError as error:
        interpreted.refused.append(error.text)
    # Recorded although it cannot be used: the case then names it, instead of waiting for a result that has come.
    interpreted.entries.append(ebv_entry(settings, result.text, check=False, **details))  # type: ignore[arg-type]


def _interpret_stage(interpreted: InterpretedResults, tnm: dict[str, CodedResult], settings: Settings) -> None:
    parts = [tnm[letter] for letter in ("t", "n", "m") if letter in tnm]
    if parts:
        text = " ".join(_tnm_part(part) for part in parts)
    elif not re.search(r"T[0-4X]", tnm["stage"].text, re.IGNORECASE):
        return  # a stage group such as "III" states neither T nor N nor M; it is no error to send one
    else:
        text = tnm["stage"].text
    any_part = next(iter(tnm.values()))
    edition = next((part.edition for part in tnm.values() if part.edition), None)
    try:
        interpreted.entries.append(stage_entry(settings, text, edition, any_part.observed_on))
    except InputError as error:
        interpreted.refused.append(str(error))


def _tnm_part(result: CodedResult) -> str:
    letter = result.meaning.fact.upper()
    text = result.text.strip()
    named = re.search(rf"(?<![A-Za-z])([cpyra]{{0,3}}{letter}(?:is|[0-4xX][a-d]?))(?![A-Za-z0-9])", text)
    if named:
        return named.group(1)
    return text if letter in text.upper() else f"{letter}{text}"
