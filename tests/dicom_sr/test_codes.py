from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from pydicom.sr import _concepts_dict

import dicom_sr
from config.indication.vocabulary import EbvCategory, TreatmentArm
from dicom_sr.coding import codes, result_codes, stage_codes
from dicom_sr.coding.concept import PRIVATE_SCHEME, Concept, coding_schemes
from dicom_sr.coding.result_codes import HIGH, LOW

HORIZONS = (1, 6, 30, 36, 60, 240, 1199)
CODING = Path(dicom_sr.__file__).parent / "coding"
# Public codes that the dictionary does not have: SNOMED CT outside PS3.16, LOINC, languages, units of our own. Each has
# its document in `Concept.source`.
NOT_IN_THE_DICTIONARY = {
    ("RFC5646", "en"), ("RFC5646", "zh-CN"),  # RFC 5646
    ("UMLS", "C0034375"),  # TID 1500 row 12
    ("LN", "47982-4"),  # LOINC, as HL7 Europe's value set of viral loads lists it
    ("LN", "74711-3"),  # TID 1004 row 11
    ("SCT", "260415000"),  # Not detected
    ("SCT", "276139006"), ("SCT", "276137008"), ("SCT", "276140008"), ("SCT", "276138003"),  # < <= > >=
    ("SCT", "399504009"), ("SCT", "399534004"), ("SCT", "399387003"),  # mCODE: cT, cN, cM category
    ("UCUM", "%{points}"), ("UCUM", "{copies}/mL"), ("UCUM", "{score}"), ("UCUM", "{points}"), ("UCUM", "{slices}"),
    ("UCUM", "{number}"),  # UCUM: annotations in braces are free
}  # fmt: skip
# The dictionary has the fully specified name of SNOMED CT; a code meaning is without the tag in brackets (PS3.16 8.1).
OTHER_MEANINGS = {("SCT", "260753009"): "Source (attribute)"}


def every_concept() -> Iterator[Concept]:
    for module in (codes, stage_codes, result_codes):
        for value in vars(module).values():
            if isinstance(value, Concept):
                yield value
            elif isinstance(value, dict):
                yield from (item for item in value.values() if isinstance(item, Concept))
    yield from every_number()
    for months in HORIZONS:
        yield result_codes.horizon(months)
        yield from result_codes.earlier_dfs(months)
        yield from result_codes.earlier_difference(months)


def every_number() -> Iterator[Concept]:
    """The codes of all numbers that a result can have."""
    for assumed in (None, *EbvCategory):
        for months in HORIZONS:
            for end in (None, LOW, HIGH):
                yield result_codes.difference(months, assumed, end)
                yield from (result_codes.dfs(months, arm, assumed, end) for arm in TreatmentArm)
        for arm in TreatmentArm:
            yield result_codes.total_points(arm, assumed)
            yield from (result_codes.points(factor, arm, assumed) for factor in result_codes.FACTORS)


def meanings_of(concept: Concept) -> set[str]:
    """Every meaning that pydicom's dictionary, generated from PS3.16, has for a code."""
    named = _concepts_dict.concepts.get(concept.scheme, {})
    return {values[concept.value][0] for values in named.values() if concept.value in values}


def test_values_and_meanings_fit_their_value_representations() -> None:
    for concept in every_concept():
        assert 1 <= len(concept.value) <= 16, concept  # SH
        assert 1 <= len(concept.meaning) <= 64, concept  # LO
        assert "\\" not in concept.meaning
        assert concept.source


def test_one_code_has_one_meaning_and_one_meaning_one_code() -> None:
    meanings: dict[tuple[str, str], str] = {}
    for concept in every_concept():
        assert meanings.setdefault(concept.key, concept.meaning) == concept.meaning
    numbers = {concept.key: concept.meaning for concept in every_number()}
    assert len(set(numbers.values())) == len(numbers)


def test_public_codes_have_the_meanings_of_the_dictionary() -> None:
    unknown = set()
    for concept in every_concept():
        if concept.scheme == PRIVATE_SCHEME or ("mCODE" in concept.source and concept.value != "1229901006"):
            continue
        known, key = meanings_of(concept), (concept.scheme, concept.value)
        if not known:
            unknown.add(key)
        elif concept.meaning not in known:
            assert known == {OTHER_MEANINGS.get(key)}, concept
    assert unknown == {key for key in NOT_IN_THE_DICTIONARY if key[1] not in ("399504009", "399534004", "399387003")}


def test_a_reason_longer_than_a_code_value_is_a_long_code_value() -> None:
    short, long = codes.reason("mr_age").code, codes.reason("ebv_dna_near_threshold").code
    assert short.CodeValue == "mr_age"
    assert (long.LongCodeValue, "CodeValue" in long) == ("ebv_dna_near_threshold", False)


def test_the_private_scheme_is_declared() -> None:
    [item] = coding_schemes()
    assert item.CodingSchemeDesignator == PRIVATE_SCHEME
    assert item.CodingSchemeUID.startswith("2.25.")
    assert len(item.CodingSchemeUID) <= 64


def test_no_other_room_writes_a_code() -> None:
    for path in Path(dicom_sr.__file__).parent.rglob("*.py"):
        if path.is_relative_to(CODING):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant):
                assert node.value not in ("DCM", "SCT", "UCUM", "UMLS", PRIVATE_SCHEME), f"{path}: {node.lineno}"
