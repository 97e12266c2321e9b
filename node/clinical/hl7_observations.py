"""OBX segments of an HL7 v2 message to coded results, and a sentence for each known code that is left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from config.errors import InputError
from config.settings import Settings
from node.cases.dates import parse_date
from node.clinical.codes import KNOWN_CODES, SNOMED_NOT_DETECTED, Meaning, meaning_of
from node.clinical.hl7_fields import component, field_text
from node.clinical.results import CodedResult, edition_words
from node.clinical.staging_codes import CATEGORIES

FINAL, CORRECTED, WITHDRAWN = "F", "C", frozenset({"D", "W", "X"})
# HL7 table 0085, the rest: what a sender means by it, for the sentence.
NOT_FINAL: Mapping[str, str] = {
    "": "is empty", "U": "U announces a final status without the result", "P": "P is preliminary",
    "R": "R is not verified", "S": "S is partial", "I": "I says that the result is pending",
    "O": "O is an order without a result", "N": "N was not asked", "B": "B is appended",
}  # fmt: skip
_CODE_AND_SYSTEM = ((0, 2), (3, 5))  # OBX-3 has a code and an alternative one; either may be the known one


@dataclass
class Observations:
    """Results with a known code, and a sentence for each one that is left out."""

    results: list[CodedResult] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def read_observations(segments: list[Any], facility: str, settings: Settings) -> Observations:
    """Read the OBX segments of one patient.

    Parameters
    ----------
    segments : list of hl7.Segment
        In the order of the message; SPM and OBR tell specimen and day.
    facility : str
        Of the sender, where OBX-15 names no laboratory.
    settings : Settings
        Local codes of the site.

    Returns
    -------
    Observations
        Of final, corrected and withdrawn results with a known code, and of DG1 segments; other codes are ignored.
    """
    specimens = {
        index: _specimen(segment) for index, segment in enumerate(segments) if str(segment[0]) in ("SPM", "OBR")
    }
    observations = Observations()
    group = None
    for index, segment in enumerate(segments):
        name = str(segment[0])
        if name == "OBR":
            group = index
        if name == "DG1":
            observations.results += _diagnosis(segment)
        if name != "OBX":
            continue
        meaning = _meaning(segment, settings)
        problem = _why_left_out(segment, meaning)
        if problem is not None:
            observations.problems.append(problem)
        elif meaning is not None:
            specimen = _specimen_of(specimens, group, index, segments)
            order = segments[group] if group is not None else None
            observations.results.append(_result(segment, meaning, specimen, order, facility))
    return observations


def _meaning(segment: Any, settings: Settings) -> Meaning | None:
    codes = [(component(segment, 3, code), component(segment, 3, system)) for code, system in _CODE_AND_SYSTEM]
    return next((meaning for pair in codes if (meaning := meaning_of(*pair, settings.hl7.codes))), None)


def _why_left_out(segment: Any, meaning: Meaning | None) -> str | None:
    """Return why a result with a known code cannot be used; None for a usable one, and for other codes."""
    codes = {component(segment, 3, code): component(segment, 3, system) for code, system in _CODE_AND_SYSTEM}
    known = next((code for code in codes if code in KNOWN_CODES), component(segment, 3, 0))
    if meaning is None:
        if known not in KNOWN_CODES:
            return None
        system = codes[known]
        return f"the code {known} has the coding system {system!r} (OBX-3); expected LN, or an entry in [hl7] codes"
    status = field_text(segment, 11).upper()
    if status not in (FINAL, CORRECTED) and status not in WITHDRAWN:
        found = NOT_FINAL.get(status, f"{status!r} is not known")
        return f"the result {known} is not recorded: its status (OBX-11) {found}; expected F or C"
    if status not in WITHDRAWN and value_text(segment) in ("", '""') and meaning.fact != "treatment_start":
        return f"the result {known} has no value (OBX-5); expected a number, a comparator or a word"
    return None


def _result(segment: Any, meaning: Meaning, specimen: str | None, order: Any, facility: str) -> CodedResult:
    status = field_text(segment, 11).upper()
    return CodedResult(
        meaning=meaning,
        text=_code_and_text(segment, 5) if meaning.fact == "diagnosis" else value_text(segment),
        unit=_unit(segment),
        specimen=specimen,
        observed_on=observed_on(segment, order),
        laboratory=component(segment, 15, 1) or component(segment, 15, 0) or facility or None,
        assay=component(segment, 17, 1) or component(segment, 17, 0) or None,
        edition=edition_words(component(segment, 17, 1) or component(segment, 17, 0)),
        withdrawn=status in WITHDRAWN,
        written=status if status == CORRECTED else "",
    )


def value_text(segment: Any) -> str:
    """Return OBX-5 as text: of SN the comparator and the number, of a coded value its text."""
    kind = field_text(segment, 2).upper()
    if kind == "SN":
        parts = [component(segment, 5, index) for index in range(4)]
        return f"{parts[0]}{parts[1]}{parts[2]}{parts[3]}"
    if kind in ("CE", "CWE", "CNE", "CF"):
        code, text = component(segment, 5, 0), component(segment, 5, 1)
        if code in CATEGORIES:
            return CATEGORIES[code]
        return "not detected" if code in SNOMED_NOT_DETECTED else text or code
    return field_text(segment, 5)


def _diagnosis(segment: Any) -> Iterator[CodedResult]:
    """Yield the diagnosis of a DG1: code and text of DG1-3, description of DG1-4, day of DG1-5 (HL7 v2.5.1 6.5.2)."""
    text = f"{_code_and_text(segment, 3)} {field_text(segment, 4)}".strip()
    if not text or field_text(segment, 21).upper() == "D":  # deleted
        return
    day = field_text(segment, 5)[:8]
    try:
        yield CodedResult(Meaning("diagnosis"), text, observed_on=parse_date(day) if day else None)
    except InputError:
        yield CodedResult(Meaning("diagnosis"), text)


def _unit(segment: Any) -> str | None:
    """Return OBX-6, a coded unit: its code, or its text where only that looks like a concentration."""
    code, text = component(segment, 6, 0), component(segment, 6, 1)
    # The caret of "10^3 copies/mL" that a sender did not escape.
    if code == "10" and text[:1].isdigit():
        return f"10^{text}"
    return (text if "/" in text and "/" not in code else code or text) or None


def _code_and_text(segment: Any, number: int) -> str:
    """Return code and text of a coded field, each where it is there: of a diagnosis both count."""
    parts = (component(segment, number, index) for index in range(2))
    return " ".join(part for part in parts if part)


def _specimen(segment: Any) -> str:
    """Return SPM-4 (CWE), or OBR-15 (SPS) of older messages."""
    number = 4 if str(segment[0]) == "SPM" else 15
    parts = [component(segment, number, index) for index in range(2)]
    return " ".join(part for part in parts if part)


def _specimen_of(specimens: Mapping[int, str], group: int | None, index: int, segments: list[Any]) -> str | None:
    """Return the specimen of an OBX: an SPM of its order group, before or after it, else the order's OBR-15."""
    start = group if group is not None else 0
    end = next((i for i in range(index, len(segments)) if str(segments[i][0]) == "OBR"), len(segments))
    own = [text for i, text in specimens.items() if start <= i < end and text and str(segments[i][0]) == "SPM"]
    ordered = [specimens[group]] if group is not None and specimens.get(group) else []
    return next(iter([*own, *ordered]), None)


def observed_on(segment: Any, order: Any) -> date | None:
    """Return the day of OBX-14, else of the order's OBR-7."""
    for source, number in ((segment, 14), (order, 7)):
        text = field_text(source, number) if source is not None else ""
        if text:
            try:
                return parse_date(text[:14] if len(text) >= 14 else text[:8])
            except InputError:
                continue
    return None
