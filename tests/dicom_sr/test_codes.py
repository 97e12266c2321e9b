from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from pydicom.sr.codedict import codes as dictionary

import dicom_sr
from dicom_sr.coding import codes
from dicom_sr.coding.codes import PRIVATE_SCHEME, Concept

HORIZONS = (1, 6, 30, 36, 60, 240)


def every_concept() -> Iterator[Concept]:
    for value in vars(codes).values():
        if isinstance(value, Concept):
            yield value
        elif isinstance(value, dict):
            yield from (item for item in value.values() if isinstance(item, Concept))
    for months in HORIZONS:
        for make in (codes.dfs, codes.dfs_low, codes.dfs_high):
            yield make(months)
        for make in (codes.difference, codes.difference_low, codes.difference_high):
            yield make(months)


def test_values_and_meanings_fit_their_value_representations() -> None:
    for concept in every_concept():
        assert 1 <= len(concept.value) <= 16, concept  # SH
        assert 1 <= len(concept.meaning) <= 64, concept  # LO
        assert "\\" not in concept.meaning
        assert concept.source


def test_one_code_has_one_meaning() -> None:
    meanings: dict[tuple[str, str], str] = {}
    for concept in every_concept():
        assert meanings.setdefault(concept.key, concept.meaning) == concept.meaning


def test_dcm_codes_are_those_of_the_standard() -> None:
    """The dictionary is pydicom's, generated from PS3.16."""
    known = {code.value: code.meaning for code in (getattr(dictionary.DCM, name) for name in dictionary.DCM.dir())}
    for concept in every_concept():
        if concept.scheme == "DCM":
            assert known[concept.value].lower() == concept.meaning.lower()


def test_the_private_scheme_is_declared() -> None:
    [item] = codes.coding_schemes()
    assert item.CodingSchemeDesignator == PRIVATE_SCHEME
    assert item.CodingSchemeUID.startswith("2.25.")
    assert len(item.CodingSchemeUID) <= 64


def test_no_other_module_writes_a_code() -> None:
    for path in Path(dicom_sr.__file__).parent.rglob("*.py"):
        if path.name == "codes.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant):
                assert node.value not in ("DCM", "SCT", "UCUM", "UMLS", PRIVATE_SCHEME), f"{path}: {node.lineno}"
