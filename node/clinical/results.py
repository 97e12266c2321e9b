"""Coded results of a laboratory or registry to facts: one set of rules for HL7 v2 and FHIR."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field, replace
from datetime import date

from config.errors import InputError
from config.settings import Settings
from node.cases.diagnosis import read_diagnosis
from node.cases.stage import StageValue, parse_stage, read_group
from node.cases.stage_parts import join_parts, parse_category
from node.clinical.codes import Meaning
from node.clinical.ebv_results import EbvStatement, interpret_draws
from node.clinical.entries import FactEntry, diagnosis_entry, treatment_start_entry

# How a stage was found out: such a method says nothing about the edition. Any other text names a system, known or not.
_EXAMINATION = re.compile(
    r"(?:\b(?:mri?|mrt|ct|pet|ultrasound|us|x-?ray|imaging|radiolog\w*|endoscop\w*|nasopharyngoscop\w*|biops\w*|"
    r"clinical\w*|physical|examination|exam|palpation|histolog\w*|and|with|contrast|of|the|head|neck|scan|bone)\b"
    r"|[\s,;:/+.()&-])*",
    re.IGNORECASE,
)
_TNM_IN_TEXT = re.compile(r"(?<![A-Za-z])[cpyra]{0,3}[TNM]\s?(?:[0-4xX]|is)", re.IGNORECASE)


@dataclass(frozen=True)
class CodedResult:
    """One observation as sent.

    Attributes
    ----------
    meaning : Meaning
        Of its code.
    text : str
        The value.
    unit, specimen, laboratory, assay : str or None
        As sent.
    observed_on : date or None
        Day of the draw or of the staging.
    edition : str or None
        The words that name the staging edition, for a category of TNM; `read_edition` reads them.
    withdrawn : bool
        Whether the sender deleted the result or entered it in error.
    written : str
        Sorts the sender's statements about one draw: a later one corrects an earlier one.
    """

    meaning: Meaning
    text: str
    unit: str | None = None
    specimen: str | None = None
    observed_on: date | None = None
    laboratory: str | None = None
    edition: str | None = None
    withdrawn: bool = False
    assay: str | None = None
    written: str = ""


@dataclass
class InterpretedResults:
    """Facts to record, facts to withdraw by name and day, and sentences.

    Attributes
    ----------
    refused : list of str
        One for each result that cannot be used.
    notes : list of str
        One for each result that was not needed, because another one of the same draw was used.
    """

    entries: list[FactEntry] = field(default_factory=list)
    withdrawn: list[tuple[str, date | None]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


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
    # By kind: a pathological T and a clinical N of one day are not one stage.
    tnm: dict[str, dict[str, CodedResult]] = {}
    for result in results:
        if result.meaning.fact == "ebv_dna":
            continue
        if result.meaning.fact == "treatment_start":
            _interpret_start(interpreted, result)
        elif result.withdrawn:
            name = "diagnosis" if result.meaning.fact == "diagnosis" else "stage"
            interpreted.withdrawn.append((name, result.observed_on))
        elif result.meaning.fact == "diagnosis":
            _interpret_diagnosis(interpreted, result)
        else:
            # The last one of a category counts: results are in order of time, or as the message has them.
            tnm.setdefault(result.meaning.prefix, {})[result.meaning.fact] = result
    _interpret_ebv(interpreted, [result for result in results if result.meaning.fact == "ebv_dna"], settings)
    for of_kind in tnm.values():
        _interpret_stage(interpreted, of_kind, settings)
    return interpreted


def edition_words(*texts: str) -> str | None:
    """Return the texts that name a staging edition, joined, or None; what they name is for `read_edition`.

    Parameters
    ----------
    *texts : str
        For example the method of an observation. A method that is an examination (MRI) names no edition; any other text
        does, so that a system that is not known is never taken for the site's default.
    """
    naming = [text.strip() for text in texts if not _EXAMINATION.fullmatch(text.strip())]
    return " ".join(naming) or None


def _interpret_ebv(interpreted: InterpretedResults, results: list[CodedResult], settings: Settings) -> None:
    stated = [result for result in results if not result.withdrawn]
    days = {result.observed_on for result in stated}
    # A result that is deleted and sent anew in one message is replaced, not deleted.
    interpreted.withdrawn += [
        ("ebv_dna", result.observed_on) for result in results if result.withdrawn and result.observed_on not in days
    ]
    draws = interpret_draws([_statement(result) for result in stated], settings)
    interpreted.entries += draws.entries
    interpreted.refused += draws.refused
    interpreted.notes += draws.notes


def _statement(result: CodedResult) -> EbvStatement:
    specimen = result.specimen or result.meaning.specimen
    if result.meaning.specimen == "whole blood":  # a code for whole blood is not corrected by a text "plasma"
        specimen = result.meaning.specimen
    return EbvStatement(
        text=result.text, unit=result.unit or result.meaning.unit, specimen=specimen, laboratory=result.laboratory,
        assay=result.assay, drawn_on=result.observed_on, written=result.written,
    )  # fmt: skip


def _interpret_start(interpreted: InterpretedResults, result: CodedResult) -> None:
    try:
        entry = treatment_start_entry(result.text)
    except InputError as error:
        if result.observed_on is None:
            interpreted.refused.append(str(error))
            return
        # A text such as "given" is about the day of the observation itself.
        entry = treatment_start_entry(result.observed_on.isoformat(), "given")
    if result.withdrawn:
        interpreted.withdrawn.append(("treatment_start", date.fromisoformat(entry.value["day"])))
    else:
        interpreted.entries.append(entry)


def _interpret_diagnosis(interpreted: InterpretedResults, result: CodedResult) -> None:
    # A record lists every disease of a patient; hypertension says nothing about the tumour.
    if read_diagnosis(result.text).is_tumour:
        interpreted.entries.append(diagnosis_entry(result.text, result.observed_on, is_only=False))


def _interpret_stage(interpreted: InterpretedResults, tnm: dict[str, CodedResult], settings: Settings) -> None:
    try:
        parts = [part for result in tnm.values() if (part := _part(result)) is not None]
        # TX NX MX is a stage, a group such as "III" states neither T nor N nor M.
        if all(_is_group_alone(result) for result in tnm.values()):
            text = next(iter(tnm.values())).text
            interpreted.refused.append(f"the stage {text!r} states neither T nor N nor M; expected for example T3N1M0")
            return
        stage = join_parts(parts, settings.clinical.stage_edition_default)
    except InputError as error:
        interpreted.refused.append(str(error))
        return
    days = [result.observed_on for result in tnm.values() if result.observed_on is not None]
    interpreted.entries.append(FactEntry("stage", stage.to_json(), days[0] if days else None))


def _part(result: CodedResult) -> StageValue | None:
    """Read one result; None for a stage text without TNM and without a group."""
    edition = result.edition or result.meaning.edition
    if result.meaning.fact != "stage":
        part = parse_category(result.meaning.fact.upper(), result.text, edition)
    elif _TNM_IN_TEXT.search(_normal(result.text)):
        part = parse_stage(result.text, edition)
    else:
        group = read_group(result.text)
        return None if group is None else replace(parse_stage("unknown", edition), group=group)
    prefix = result.meaning.prefix
    return part if not prefix or prefix in part.prefix else replace(part, prefix=f"{prefix}{part.prefix}")


def _is_group_alone(result: CodedResult) -> bool:
    return result.meaning.fact == "stage" and not _TNM_IN_TEXT.search(_normal(result.text))


def _normal(text: str) -> str:
    return unicodedata.normalize("NFKC", text)
