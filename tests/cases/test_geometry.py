"""The stack of slices of one series, against positions that are computed by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from node.cases.geometry import box_contains, stack_of

AXIAL = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]


def slices(z_mm: Sequence[float], **values: Any) -> list[Mapping[str, Any]]:
    """Axial slices of 256 rows and 128 columns; the row spacing is 0.5 mm, the column spacing 1 mm."""
    header = {"ImageOrientationPatient": AXIAL, "Rows": 256, "Columns": 128, "PixelSpacing": [0.5, 1.0], **values}
    return [{**header, "ImagePositionPatient": [-100.0, -50.0, z]} for z in z_mm]


def steps_of(*distances_mm: float) -> list[float]:
    return [sum(distances_mm[:n]) for n in range(len(distances_mm) + 1)]


def codes(headers: Sequence[Mapping[str, Any]]) -> list[str]:
    return [code for code, _ in stack_of(headers).findings]


@pytest.mark.parametrize(("factor", "code"), [(1.49, "inconsistent_geometry"), (1.51, "inconsistent_geometry"),
                                              (1.97, "missing_slice"), (2.0, "missing_slice")])  # fmt: skip
def test_only_a_multiple_of_the_step_is_a_missing_slice(factor: float, code: str) -> None:
    assert codes(slices(steps_of(3.0, 3.0, 3.0 * factor, 3.0, 3.0))) == [code]


def test_uneven_distances_are_named() -> None:
    stack = stack_of(slices(steps_of(3.0, 3.0, 3.48, 3.0, 3.0)))
    assert stack.findings == (("inconsistent_geometry", "slice distances from 3.00 to 3.48 mm, not even"),)


def test_positions_rounded_to_a_tenth_of_a_millimetre_are_even() -> None:
    # 1.171875 mm: 300 mm in 256 slices. The distances are 1.1 and 1.2 mm.
    stack = stack_of(slices([round(1.171875 * index, 1) for index in range(60)]))
    assert stack.findings == ()
    assert stack.step_mm == 1.17


@pytest.mark.parametrize("step_mm", [2.4, 6.0, 10.0])
def test_every_second_slice_missing_is_found_by_the_header(step_mm: float) -> None:
    z_mm = [step_mm * index for index in range(11)]
    half = step_mm / 2
    assert codes(slices(z_mm, SliceThickness=half, SpacingBetweenSlices=half)) == ["missing_slice"]
    assert codes(slices(z_mm, SliceThickness=half)) == ["missing_slice"]
    assert codes(slices(z_mm, SpacingBetweenSlices=half)) == ["missing_slice"]
    # Slices twice as thick as their distance, as 3D sequences are reconstructed.
    assert codes(slices(z_mm, SliceThickness=step_mm, SpacingBetweenSlices=half)) == ["missing_slice"]
    original = {"ImageType": ["ORIGINAL", "PRIMARY"], "AcquisitionNumber": 1}
    assert codes(slices(z_mm, ImagesInAcquisition=22, **original)) == ["missing_slice"]
    assert codes(slices(z_mm, ImagesInAcquisition=13, SliceThickness=step_mm, **original)) == ["missing_slice"]


@pytest.mark.parametrize(
    "stated",
    [
        {},
        {"SliceThickness": 3.0, "SpacingBetweenSlices": 3.0},
        {"SliceThickness": 1.7},  # a gap of 76 %
        {"SliceThickness": 2.0, "SpacingBetweenSlices": 1.0},  # the gap instead of the distance
        {"SliceThickness": 5.0, "SpacingBetweenSlices": 3.0},  # overlapping slices
        {"SliceThickness": 3.0, "ImagesInAcquisition": 22, "ImageType": ["ORIGINAL"]},  # the other echo: another series
        {"SliceThickness": 3.0, "ImagesInAcquisition": 40, "ImageType": ["DERIVED"]},
        {"SliceThickness": 3.0, "ImagesInAcquisition": 11, "ImageType": ["ORIGINAL"]},
    ],
)
def test_a_whole_series_is_not_called_incomplete_by_its_header(stated: dict[str, Any]) -> None:
    assert codes(slices([3.0 * index for index in range(11)], **stated)) == []


@pytest.mark.parametrize("spacing", [None, [0.0, 0.5], [-1.0, 1.0], [1.0]])
def test_slices_without_a_usable_pixel_spacing_are_a_defect(spacing: list[float] | None) -> None:
    headers = [*slices([0.0, 3.0]), *slices([6.0], PixelSpacing=spacing)]
    assert stack_of(headers).findings == (
        ("inconsistent_geometry", "1 of 3 instances give no pixel spacing greater than 0"),
    )


def test_sheared_slices_and_cosines_that_are_not_orthonormal_are_defects() -> None:
    sheared = [{**h, "ImagePositionPatient": [-100.0, -50.0 + 0.3 * n, 3.0 * n]} for n, h in enumerate(slices([0] * 3))]
    assert "shifted against each other in their plane by up to 0.60 mm" in stack_of(sheared).findings[0][1]
    assert codes(slices([0.0, 3.0], ImageOrientationPatient=[1, 0, 0, 0.2, 1, 0])) == ["inconsistent_geometry"]


def test_missing_slices_are_counted_and_placed() -> None:
    stack = stack_of(slices([0.0, 3.0, 6.0, 15.0, 18.0, 21.0, 27.0]))
    ((code, text),) = stack.findings
    assert code == "missing_slice"
    assert text == "3 slices are missing between 6.0 and 15.0 mm, 21.0 and 27.0 mm (step 3.00 mm)"


def test_slices_at_one_position_are_told_from_thin_slices() -> None:
    assert "more than once" in stack_of(slices([0.0, 3.0, 3.005, 6.0])).findings[0][1]
    assert stack_of(slices([0.0, 0.02, 0.04, 0.06])).n_slices == 4


def test_the_box_reaches_half_a_step_beyond_the_outer_slices() -> None:
    bounds = stack_of(slices([10.0, 13.0, 16.0])).bounds_mm
    # columns: 127 steps of 1 mm along x; rows: 255 steps of 0.5 mm along y; slices: 10 - 1.5 to 16 + 1.5
    assert bounds == ((-100.0, -50.0, 8.5), (27.0, 77.5, 17.5))


def test_the_order_of_instances_does_not_matter() -> None:
    headers = slices([0.0, 3.0, 6.0, 9.0])
    assert stack_of(headers[::-1]).offsets_mm == stack_of(headers).offsets_mm == (0.0, 3.0, 6.0, 9.0)


@pytest.mark.parametrize("degrees", [0.0, 25.0, 44.0])
def test_a_plane_is_named_by_its_nearest_axis_and_its_tilt(degrees: float) -> None:
    angle = math.radians(degrees)
    tilted = [1.0, 0.0, 0.0, 0.0, math.cos(angle), math.sin(angle)]
    stack = stack_of(slices([0.0, 3.0, 6.0], ImageOrientationPatient=tilted))
    assert stack.plane == "axial"
    assert stack.oblique_degrees == pytest.approx(degrees, abs=1e-9)
    assert stack.step_mm == pytest.approx(3.0 * math.cos(angle), abs=0.005)


def test_slices_turned_against_each_other_are_named() -> None:
    straight, tilted = slices([0.0, 3.0]), slices([6.0], ImageOrientationPatient=[1.0, 0.0, 0.0, 0.0, 1.0, 0.003])
    assert "1 of 3 instances are in another plane" in stack_of([*straight, *tilted]).findings[0][1]
    nearly = slices([6.0], ImageOrientationPatient=[1.0, 0.0, 0.0, 0.0, 1.0, 0.001])
    assert stack_of([*straight, *nearly]).findings == ()


def test_a_box_contains_another_within_the_tolerance() -> None:
    bounds = ((0.0, 0.0, 0.0), (10.0, 10.0, 10.0))
    assert box_contains(bounds, [[-0.5, 0.0, 0.0], [10.0, 10.0, 10.5]], tolerance_mm=0.5)
    assert not box_contains(bounds, [[-0.51, 0.0, 0.0], [10.0, 10.0, 10.0]], tolerance_mm=0.5)
    assert not box_contains(bounds, [[0.0, 0.0, 0.0], [10.0, 10.0, 10.51]], tolerance_mm=0.5)


def test_a_series_without_positions_or_orientation_says_so() -> None:
    assert "no slice orientation" in stack_of([{}]).findings[0][1]
    no_position = [{key: value for key, value in h.items() if key != "ImagePositionPatient"} for h in slices([0.0])]
    assert "1 of 1 instances give no slice position" in stack_of(no_position).findings[0][1]
