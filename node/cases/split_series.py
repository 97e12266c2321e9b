"""One acquisition that is stored in two series: its parts complete each other's slice positions.

Interleaved slices, or an upper and a lower half. Parts that leave no doubt are joined, and the report says so; others
are named in a question, and an administrator joins them by assigning both (``UID+UID``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

from node.cases.physics import numbers_of
from node.cases.series_summary import JOINED, SeriesSummary, join
from node.cases.slice_rules import are_one_orientation, are_one_spacing, is_one_position

# What one acquisition has in common; its description may name the part.
PARAMETERS = (
    "Modality", "Rows", "Columns", "RepetitionTime", "EchoTime", "InversionTime", "FlipAngle", "EchoTrainLength",
    "SliceThickness", "SpacingBetweenSlices", "MRAcquisitionType", "ScanningSequence", "SequenceVariant", "ScanOptions",
    "SequenceName", "PulseSequenceName", "ImageType", "ContrastBolusAgent", "AcquisitionContrast",
)  # fmt: skip


def join_parts(
    series: Sequence[SeriesSummary], assigned: Iterable[str] = (), check_image_count: bool = True
) -> list[SeriesSummary]:
    """Join series that are parts of one acquisition.

    Parameters
    ----------
    series : sequence of SeriesSummary
        All image series of the study.
    assigned : iterable of str
        Assignments of an administrator; those of the form ``UID+UID`` join, whatever the headers say. The geometry of
        the whole is judged as that of any series.
    check_image_count : bool
        See `stack_of`.

    Returns
    -------
    list of SeriesSummary
        The joined one in place of the first of its parts.
    """
    remaining = list(series)
    for keys in {frozenset(target.split(JOINED)) for target in assigned if JOINED in target}:
        parts = [summary for summary in remaining if summary.key in keys]
        if len(parts) == len(keys) == 2:
            remaining = _replaced(remaining, parts[0], parts[1], check_image_count)
    groups: dict[str, list[SeriesSummary]] = {}
    for summary in remaining:
        if _may_be_a_part(summary):
            groups.setdefault(repr([summary.header.get(keyword) for keyword in PARAMETERS]), []).append(summary)
    for group in groups.values():
        if len(group) == 2 and parts_certainty(group[0], group[1], check_image_count) == "certain":
            remaining = _replaced(remaining, group[0], group[1], check_image_count)
    return remaining


def possible_parts(candidates: Iterable[SeriesSummary]) -> tuple[SeriesSummary, SeriesSummary] | None:
    """Return two candidates for one role that may be parts of one acquisition, or None."""
    for first, second in combinations(candidates, 2):
        alike = all(first.header.get(keyword) == second.header.get(keyword) for keyword in PARAMETERS)
        if alike and _may_be_a_part(first) and _may_be_a_part(second) and parts_certainty(first, second) is not None:
            return first, second
    return None


def parts_certainty(first: SeriesSummary, second: SeriesSummary, check_image_count: bool = True) -> str | None:
    """Return whether two series of equal parameters are parts of one acquisition.

    Parameters
    ----------
    first, second : SeriesSummary
        Of equal `PARAMETERS`.
    check_image_count : bool
        See `stack_of`.

    Returns
    -------
    {"certain", "possible"} or None
        None unless both together are an even stack without a defect. Interleaved slices are certain, where each series
        alone misses slices by its header or its header tells no distance. Halves are certain where the header counts
        the images of both, or where Instance Numbers go on; otherwise they may be two acquisitions.
    """
    a, b = first.stack, second.stack
    planes = [numbers_of(each.header.get("ImageOrientationPatient")) for each in (first, second)]
    spacings = [numbers_of(each.header.get("PixelSpacing")) for each in (first, second)]
    is_one_frame = first.frames_of_reference == second.frames_of_reference and len(first.frames_of_reference) == 1
    if not (is_one_frame and are_one_orientation(planes) and are_one_spacing(spacings)):
        return None
    if any(is_one_position(min(x, y), max(x, y)) for x in a.offsets_mm for y in b.offsets_mm):
        return None
    if join(first, second, check_image_count).stack.findings:
        return None
    if a.offsets_mm[0] < b.offsets_mm[-1] and b.offsets_mm[0] < a.offsets_mm[-1]:
        stated = first.header.get("SpacingBetweenSlices") or first.header.get("SliceThickness")
        is_whole_alone = stated and not (a.findings or b.findings)
        return None if is_whole_alone else "certain"
    return "certain" if _counts_both(first, second) or _numbers_go_on(first, second) else "possible"


def _may_be_a_part(summary: SeriesSummary) -> bool:
    stack = summary.stack
    only_missing = all(code == "missing_slice" for code, _ in stack.findings)
    is_plain = not (summary.volume.name or summary.joined) and summary.header.get("Modality", "MR") == "MR"
    return is_plain and len(stack.offsets_mm) > 1 and only_missing


def _replaced(
    series: Sequence[SeriesSummary], first: SeriesSummary, second: SeriesSummary, check_image_count: bool
) -> list[SeriesSummary]:
    whole = join(first, second, check_image_count)
    return [whole if summary is first else summary for summary in series if summary is not second]


def _counts_both(first: SeriesSummary, second: SeriesSummary) -> bool:
    total = first.n_frames + second.n_frames
    return all(_number(each.header, "ImagesInAcquisition") == total for each in (first, second))


def _numbers_go_on(first: SeriesSummary, second: SeriesSummary) -> bool:
    if first.header.get("AcquisitionNumber") != second.header.get("AcquisitionNumber"):
        return False
    numbers = [[_number(header, "InstanceNumber") for header in each.volume.headers] for each in (first, second)]
    low, high = sorted(numbers, key=min)
    return max(low) + 1 == min(high)


def _number(header: Mapping[str, Any], keyword: str) -> float:
    numbers = numbers_of([header.get(keyword)])
    return numbers[0] if numbers else 0.0
