"""What is left of a report when a program flattens it to pairs of concept and value, as many integrators do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydicom import Dataset

from dicom_sr.content.structured_report import build_sr
from dicom_sr.reading.content_tree import key_of
from dicom_sr.report.report_inputs import ReportOptions, SourceStudy
from tests.dicom_sr import samples

SMALL = SourceStudy(tuple(samples.mr_dataset(role, 0) for role in samples.ROLES))
VOLUME = ("118565006", "SCT")
CONTEXT = ("HAS CONCEPT MOD", "HAS OBS CONTEXT", "HAS ACQ CONTEXT")


def value_of(item: Dataset) -> Any:
    """The value of an item of any type but CONTAINER, as something that can be compared."""
    if item.ValueType == "NUM":
        return str(item.MeasuredValueSequence[0].NumericValue)
    if item.ValueType == "CODE":
        return key_of(item.ConceptCodeSequence)
    if item.ValueType in ("IMAGE", "COMPOSITE"):
        return str(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
    keyword = {"TEXT": "TextValue", "UIDREF": "UID", "DATE": "Date", "DATETIME": "DateTime"}[item.ValueType]
    return str(item[keyword].value)


def modifiers(item: Dataset) -> frozenset[Any]:
    """The concept modifiers and the context of an item, as pairs."""
    return frozenset(
        (key_of(child.ConceptNameCodeSequence), value_of(child))
        for child in item.get("ContentSequence", ())
        if child.RelationshipType in CONTEXT and child.ValueType != "CONTAINER"
    )


def flattened(item: Dataset, groups: tuple[Any, ...] = ()) -> Iterator[tuple[Any, Any]]:
    """Identity and value of each statement: what it is, what modifies it, and the groups that it is in."""
    for child in item.get("ContentSequence", ()):
        own = (key_of(child.ConceptNameCodeSequence), modifiers(child))
        if child.ValueType != "CONTAINER" and child.RelationshipType not in CONTEXT:
            yield (*groups, own), value_of(child)
        yield from flattened(child, (*groups, own))


def numbers(item: Dataset) -> Iterator[tuple[Any, str]]:
    """Code and value of each NUM item of a tree, and nothing else of it."""
    for child in item.get("ContentSequence", ()):
        if child.ValueType == "NUM":
            yield key_of(child.ConceptNameCodeSequence), value_of(child)
        yield from numbers(child)


def check_flattened(sr: Dataset) -> None:
    """Check that no two items have one identity and different values; `test_reading` does it with any report."""
    statements: dict[Any, Any] = {}
    for identity, value in flattened(sr):
        assert statements.setdefault(identity, value) == value, identity
    # The numbers of the result by their code alone, over the whole of both containers. Two contours have two volumes,
    # which their tracking identifiers tell apart.
    plain: dict[Any, str] = {}
    for container in sr.ContentSequence:
        if key_of(container.ConceptNameCodeSequence) in (("126010", "DCM"), ("121118", "DCM")):
            for code, value in numbers(container):
                assert code == VOLUME or plain.setdefault(code, value) == value, code


def test_the_samples_with_two_categories_and_many_warnings() -> None:
    for make in (samples.scored, samples.unknown_ebv, samples.differing, samples.crowded, samples.refused):
        check_flattened(build_sr(make(), SMALL, ReportOptions(kinds=("sr",))))


def test_each_number_of_a_regimen_says_which_one_it_is() -> None:
    """The rates of the sample, by code; with EBV DNA unknown no code is that of a known category."""
    known = dict(numbers(build_sr(samples.scored(), SMALL, ReportOptions(kinds=("sr",)))))
    scheme = "99CPTDN"
    assert (known["DFS_60_I", scheme], known["DFS_60_C", scheme], known["DIFF_60", scheme]) == ("79.1", "66.5", "12.6")
    assert (known["DFS_60_I_LO", scheme], known["DFS_60_I_HI", scheme]) == ("72.0", "85.6")
    unknown = dict(numbers(build_sr(samples.unknown_ebv(), SMALL, ReportOptions(kinds=("sr",)))))
    assert (unknown["DFS_60_I_GT", scheme], unknown["DFS_60_I_LE", scheme]) == ("79.1", "85.1")
    assert not {code for code, _ in unknown} & {"DFS_60_I", "DFS_60_C", "DIFF_60", "PTS_TOTAL_I"}
