"""Contours against analytic geometry: volumes within 0.5 %, masks in the right place, and every refusal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray
from pydicom import dcmread

from config.errors import IneligibleStudyError, InputError
from tests.volumes.synthetic import (
    AXIAL,
    SeriesGeometry,
    circle,
    rotation,
    sphere_contours,
    tilted,
    write_registration,
    write_rtstruct,
    write_series,
)
from tests.volumes.test_segmentations import write_seg
from workers.volumes.contour_source import contour_on_series
from workers.volumes.contours import RoiMask, roi_mask, roi_on_series
from workers.volumes.geometry import Grid
from workers.volumes.reader import MrSeries, read_series
from workers.volumes.registrations import read_registration
from workers.volumes.rtstruct import Contour, Roi, read_rtstruct, roi_named

SPHERE_ML = 4 / 3 * np.pi * 20**3 / 1000


def grid_of(geometry: SeriesGeometry, size_xyz: tuple[int, int, int]) -> Grid:
    axes = np.column_stack([geometry.row, geometry.column, geometry.normal])
    y_mm, x_mm, z_mm = geometry.spacing_mm
    x, y, z = geometry.origin
    return Grid(size_xyz, (x_mm, y_mm, z_mm), (x, y, z), tuple(axes.ravel()))


def roi_of(contours: list[NDArray[np.float64]], kind: str = "CLOSED_PLANAR") -> Roi:
    return Roi(3, "GTVp", "GTV", "1.2.3", tuple(Contour(kind, np.asarray(c, dtype=float), ()) for c in contours))


def dice(one: sitk.Image, other: ArrayLike) -> float:
    a, b = sitk.GetArrayFromImage(one) > 0, np.asarray(other) > 0
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def inside_sphere(grid: Grid, centre: NDArray[np.float64], radius: float) -> NDArray[np.bool_]:
    z, y, x = np.mgrid[tuple(slice(n) for n in grid.shape_zyx)]
    points = grid.points_of(np.column_stack([x.ravel(), y.ravel(), z.ravel()]))
    return (np.linalg.norm(points - centre, axis=1) < radius).reshape(grid.shape_zyx)


ORIENTATIONS = {
    "axial": AXIAL,
    "sagittal": (0, 1, 0, 0, 0, -1),
    "coronal": (1, 0, 0, 0, 0, -1),
    "oblique": tilted(20, (1, 2, 0.5)),
    "double oblique": tilted(55, (2, -1, 1.5)),
}


@pytest.mark.parametrize("orientation", ORIENTATIONS.values(), ids=ORIENTATIONS)
def test_a_sphere_on_slices_of_any_orientation(orientation: tuple[float, ...]) -> None:
    geometry = SeriesGeometry((0.9, 0.9, 2.0), (-50, -40, -20), orientation)
    grid = grid_of(geometry, (110, 100, 40))
    centre = geometry.points([55, 50, 20.4])
    found = roi_mask(roi_of(sphere_contours(geometry, 40, centre, 20.0)), grid)
    assert found.volume_ml == pytest.approx(SPHERE_ML, rel=0.005)
    assert found.mask_volume_ml == pytest.approx(SPHERE_ML, rel=0.005)
    np.testing.assert_allclose(found.centroid_lps_mm, centre, atol=0.05)
    assert found.n_slices == 20  # planes at -18.8, -16.8, ..., 19.2 mm from the centre
    assert dice(found.mask, inside_sphere(grid, centre, 20.0)) > 0.995
    assert found.findings == ()
    assert found.mask.GetDirection() == pytest.approx(grid.direction)


@given(angle=st.floats(0, 180), x=st.floats(-1, 1), y=st.floats(-1, 1), z=st.floats(0.1, 1))
@settings(max_examples=15, deadline=None)
def test_turning_series_and_contours_together_changes_nothing(angle: float, x: float, y: float, z: float) -> None:
    turn = rotation(angle, (x, y, z))
    plain = SeriesGeometry((0.8, 0.7, 3), (-30, -30, -15))
    turned = SeriesGeometry((0.8, 0.7, 3), turn @ plain.origin, [*turn[:, 0], *turn[:, 1]])
    drawn = [c + np.array([0.013, 0.007, 0]) for c in sphere_contours(plain, 10, plain.points([40, 40, 5.2]), 12.0)]
    before = roi_mask(roi_of(drawn), grid_of(plain, (80, 80, 10)))
    after = roi_mask(roi_of([c @ turn.T for c in drawn]), grid_of(turned, (80, 80, 10)))
    assert after.volume_ml == pytest.approx(before.volume_ml, rel=1e-6)
    assert dice(after.mask, sitk.GetArrayFromImage(before.mask)) > 0.9999
    np.testing.assert_allclose(after.centroid_lps_mm, turn @ before.centroid_lps_mm, atol=1e-6)


@pytest.mark.parametrize("orientation", [AXIAL, ORIENTATIONS["oblique"]])
@pytest.mark.parametrize("keyhole", [False, True])
def test_a_torus_keeps_its_hole(orientation: tuple[float, ...], keyhole: bool) -> None:
    """Pappus: 2 pi^2 R r^2. Drawn as two circles a plane, or as one line that runs in and out through a channel."""
    geometry = SeriesGeometry((0.8, 0.8, 0.5), (-40, -50, -20), orientation)
    grid = grid_of(geometry, (100, 120, 40))
    middle, ring, tube = geometry.points([50, 60, 19.5]), 20.0, 9.0
    contours = []
    for z in range(40):
        away = (geometry.points([50, 60, z]) - middle) @ geometry.normal
        if abs(away) >= tube:
            continue
        half = np.sqrt(tube**2 - away**2)
        plane = middle + away * geometry.normal
        outer, inner = (circle(plane, r, geometry.row, geometry.column) for r in (ring + half, ring - half))
        contours += [np.vstack([outer, outer[:1], inner[:1], inner[::-1]])] if keyhole else [outer, inner]
    found = roi_mask(roi_of(contours), grid)
    assert found.volume_ml == pytest.approx(2 * np.pi**2 * ring * tube**2 / 1000, rel=0.005)
    assert found.mask_volume_ml == pytest.approx(found.volume_ml, rel=0.005)
    hole = np.rint(grid.indices_of(middle[None])[0]).astype(int)
    assert found.mask[hole.tolist()] == 0
    np.testing.assert_allclose(found.centroid_lps_mm, middle, atol=0.05)


@pytest.mark.parametrize("shift_mm", [0.0, 1.0, 1.5, 2.2])
@pytest.mark.parametrize("spacing_mm", [1.0, 3.0, 5.0])
def test_drawn_on_another_series_of_the_same_frame(shift_mm: float, spacing_mm: float) -> None:
    """Contours every 3 mm; series with slices elsewhere, thinner and thicker: same volume, mask of the true sphere."""
    drawn_on = SeriesGeometry((0.7, 0.7, 3.0), (-40, -40, -30))
    centre = np.array([3.0, -2.0, 1.0])
    roi = roi_of(sphere_contours(drawn_on, 20, centre, 20.0))
    grid = grid_of(SeriesGeometry((0.6, 0.6, spacing_mm), (-40, -40, -30 + shift_mm)), (140, 140, int(66 / spacing_mm)))
    found = roi_mask(roi, grid, drawn_here=False)
    assert found.volume_ml == pytest.approx(SPHERE_ML, rel=0.005)
    assert dice(found.mask, inside_sphere(grid, centre, 20.0)) > 0.97
    assert found.mask_volume_ml == pytest.approx(SPHERE_ML, rel=0.03 if spacing_mm < 5 else 0.06)
    codes = [f.code for f in found.findings]
    assert codes == ([] if (shift_mm, spacing_mm) == (0.0, 3.0) else ["contour_resampled"])


def test_nothing_is_added_beyond_half_a_drawn_distance() -> None:
    drawn_on = SeriesGeometry((1, 1, 4.0), (-20, -20, 0))
    disc = [circle((0, 0, z), 10, drawn_on.row, drawn_on.column) for z in (8.0, 12.0, 16.0)]
    grid = grid_of(SeriesGeometry((1, 1, 1.0), (-20, -20, 0.5)), (40, 40, 25))
    inside = sitk.GetArrayFromImage(roi_mask(roi_of(disc), grid).mask).any(axis=(1, 2))
    heights = 0.5 + np.flatnonzero(inside)
    assert (heights.min(), heights.max()) == (6.5, 17.5)


def test_two_separate_parts_are_not_joined() -> None:
    drawn_on = SeriesGeometry((1, 1, 3.0), (-20, -20, 0))
    parts = [circle((0, 0, z), 10, drawn_on.row, drawn_on.column) for z in (3.0, 6.0, 9.0, 21.0, 24.0)]
    own = roi_mask(roi_of(parts), grid_of(drawn_on, (40, 40, 12)))
    assert own.n_slices == 5
    assert [f.code for f in own.findings] == ["contour_gap"]
    assert "3 slices between drawn ones" in own.findings[0].text
    thin = grid_of(SeriesGeometry((1, 1, 1.0), (-20, -20, 0.2)), (40, 40, 30))
    inside = sitk.GetArrayFromImage(roi_mask(roi_of(parts), thin).mask).any(axis=(1, 2))
    assert not inside[11:19].any()
    assert inside[2:10].all()


@pytest.mark.parametrize(("gap_mm", "is_joined"), [(4.4, True), (4.6, False), (6.0, False)])
def test_planes_are_joined_up_to_one_and_a_half_distances(gap_mm: float, is_joined: bool) -> None:
    """Discs every 3 mm with one wider gap: beyond 4.5 mm each side ends half a distance (1.5 mm) from its plane."""
    heights = np.array([3.0, 6.0, 9.0, 9.0 + gap_mm, 12.0 + gap_mm, 15.0 + gap_mm])
    discs = [circle((0, 0, z), 10, (1, 0, 0), (0, 1, 0)) for z in heights]
    thin = SeriesGeometry((1, 1, 0.5), (-20, -20, 0.2))
    inside = roi_mask(roi_of(discs), grid_of(thin, (40, 40, 60))).mask_zyx.any(axis=(1, 2))
    slices_mm = 0.2 + 0.5 * np.arange(60)
    expected = (slices_mm >= 1.5) & (slices_mm <= 16.5 + gap_mm)
    if not is_joined:
        expected &= (slices_mm <= 10.5) | (slices_mm >= 7.5 + gap_mm)
    assert slices_mm[inside].tolist() == slices_mm[expected].tolist()


def test_contours_on_every_second_slice_are_joined_with_a_statement() -> None:
    geometry = SeriesGeometry((0.8, 0.8, 2.0), (-40, -40, -24))
    centre = np.array([1.0, 2.0, 0.0])
    grid = grid_of(geometry, (100, 100, 25))
    every_second = [c for c in sphere_contours(geometry, 25, centre, 20.0) if round(c[0, 2] / 2) % 2 == 0]
    found = roi_mask(roi_of(every_second), grid)
    assert [f.code for f in found.findings] == ["contour_resampled"]
    assert found.n_slices == 19
    assert found.volume_ml == pytest.approx(SPHERE_ML, rel=0.01)
    assert dice(found.mask, inside_sphere(grid, centre, 20.0)) > 0.97


@pytest.mark.parametrize(("degrees", "axis"), [(15, (1, 0, 0)), (40, (0, 1, 0)), (90, (1, 0, 0)), (70, (1, 2, 1))])
def test_planes_across_the_slices(degrees: float, axis: tuple[float, ...]) -> None:
    """Contours in planes of another orientation than the axial series."""
    drawn_on = SeriesGeometry((1, 1, 1.5), rotation(degrees, axis) @ (-30, -30, -30), tilted(degrees, axis))
    centre = np.array([2.0, -3.0, 1.0])
    roi = roi_of(sphere_contours(drawn_on, 41, centre, 20.0))
    grid = grid_of(SeriesGeometry((0.7, 0.7, 2.0), (-36, -36, -30)), (104, 104, 30))
    found = roi_mask(roi, grid)
    assert found.volume_ml == pytest.approx(SPHERE_ML, rel=0.005)
    assert found.mask_volume_ml == pytest.approx(SPHERE_ML, rel=0.02)
    np.testing.assert_allclose(found.centroid_lps_mm, centre, atol=0.05)
    assert dice(found.mask, inside_sphere(grid, centre, 20.0)) > 0.985
    assert [f.code for f in found.findings] == ["contour_resampled"]


def test_points_and_open_lines_are_ignored_with_a_note() -> None:
    geometry = SeriesGeometry((1, 1, 2), (-20, -20, -10))
    closed = roi_of(sphere_contours(geometry, 10, np.zeros(3), 7.0))
    stray = (Contour("POINT", np.zeros((1, 3)), ()), Contour("OPEN_PLANAR", np.zeros((4, 3)), ()))
    found = roi_mask(replace(closed, contours=closed.contours + stray), grid_of(geometry, (40, 40, 10)))
    assert [(f.code, "2 contours" in f.text) for f in found.findings] == [("contours_ignored", True)]


def test_a_contour_stored_twice_does_not_cancel_itself() -> None:
    geometry = SeriesGeometry((1, 1, 2), (-20, -20, -10))
    drawn = sphere_contours(geometry, 10, np.zeros(3), 7.0)
    once, twice = (roi_mask(roi_of(d), grid_of(geometry, (40, 40, 10))) for d in (drawn, drawn * 2))
    assert twice.volume_ml == once.volume_ml
    assert [f.code for f in twice.findings] == ["contours_repeated"]


def test_a_part_beyond_the_series_is_stated() -> None:
    geometry = SeriesGeometry((1, 1, 2), (-20, -20, -10))
    drawn = sphere_contours(SeriesGeometry((1, 1, 2), (-20, -20, -30)), 30, np.array([0.0, 0, -10]), 12.0)
    found = roi_mask(roi_of(drawn), grid_of(geometry, (40, 40, 10)))
    # a sphere of 12 mm cut 1 mm above its middle: V = pi h^2 (3 r - h) / 3 of the cap of height 13 mm
    assert found.volume_ml == pytest.approx(np.pi * 13**2 * (3 * 12 - 13) / 3000, rel=0.05)
    assert found.volume_ml == found.mask_volume_ml
    assert [f.code for f in found.findings] == ["contour_beyond_image", "volume_of_voxels"]


def test_rois_without_a_region_are_refused() -> None:
    grid = grid_of(SeriesGeometry((1, 1, 2), (-20, -20, -10)), (40, 40, 10))
    square = np.array([(0, 0, 0), (5, 0, 0), (5, 5, 0), (0, 5, 0.0)])
    bent = np.array([(0, 0, 0), (9, 0, 4), (9, 9, 0), (0, 9, 4.0)])
    cases = [
        (roi_of([]), "missing_contour", "found none"),
        (roi_of([square], "POINT"), "missing_contour", "found 1 of type POINT"),
        (roi_of([square * (1, 0, 1)]), "missing_contour", "enclose an area"),
        (roi_of([square + np.array([100, 0, 0])]), "contour_outside_image", "no voxel inside"),
        (roi_of([square * 0.1 + np.array([0.3, 0.3, 0])]), "contour_outside_image", "no voxel inside"),
        (roi_of([bent]), "inconsistent_geometry", "mm out of them"),
        (roi_of([square @ rotation(30, (1, 0, 0)).T]), "inconsistent_geometry", "one plane across the slices"),
        (roi_of([square @ rotation(a, (1, 0, 0)).T for a in (30, 60)]), "inconsistent_geometry", "parallel planes"),
    ]
    for roi, code, said in cases:
        with pytest.raises(IneligibleStudyError, match=said) as caught:
            roi_mask(roi, grid)
        assert caught.value.code == code


@pytest.mark.parametrize("huge", [(0, 0, 1e9), (1e9, 0, 0), (0, 1e9, 0)])
def test_absurd_coordinates_take_no_memory(huge: tuple[float, float, float]) -> None:
    grid = grid_of(SeriesGeometry((1, 1, 2), (-20, -20, -10)), (40, 40, 10))
    square = np.array([(0, 0, 0), (5, 0, 0), (5, 5, 0), (0, 5, 0.0)])
    stretched = square.copy()
    stretched[2] += np.asarray(huge) * (1, 1, 0)
    for contours in ([square, square + np.array(huge)], [stretched, square + np.array([0, 0, 1])]):
        try:
            found: RoiMask | None = roi_mask(roi_of(contours), grid)
        except InputError:
            found = None
        assert found is None or found.mask.GetSize() == (40, 40, 10)


@pytest.fixture
def series(tmp_path: Path) -> MrSeries:
    paths = write_series(tmp_path / "mr", np.ones((12, 64, 64), np.uint16), SeriesGeometry((1, 1, 2), (-32, -32, -12)),
                         frame_of_reference_uid="1.2.3")  # fmt: skip
    return read_series(paths)


def drawn_on_series() -> list[NDArray[np.float64]]:
    return sphere_contours(SeriesGeometry((1, 1, 2), (-32, -32, -12)), 12, np.zeros(3), 9.0)


def test_an_rtstruct_is_read_by_number_and_not_by_position(tmp_path: Path) -> None:
    path = write_rtstruct(tmp_path / "rt.dcm", {"Brainstem": [], "GTVp": drawn_on_series(), "鼻咽": []}, "1.2.3",
                          types={"Brainstem": "ORGAN"}, header={"SpecificCharacterSet": "GB18030"})  # fmt: skip
    rois = read_rtstruct(path)
    assert [(r.number, r.name, r.roi_type, len(r.contours)) for r in rois] == [
        (11, "Brainstem", "ORGAN", 0), (14, "GTVp", "GTV", 9), (17, "鼻咽", "GTV", 0)]  # fmt: skip
    np.testing.assert_allclose(rois[1].contours[0].points_lps_mm, drawn_on_series()[0], atol=1e-4)
    assert roi_named(rois, "14") is rois[1]
    with pytest.raises(
        InputError, match="expected one ROI 'GTV', found 0; the structure set has: 11 Brainstem, 14 GTVp"
    ):
        roi_named(rois, "GTV")


def test_the_frame_of_reference_must_be_the_series(tmp_path: Path, series: MrSeries) -> None:
    same = read_rtstruct(write_rtstruct(tmp_path / "a.dcm", {"GTVp": drawn_on_series()}, "1.2.3"))[0]
    assert roi_on_series(same, series).findings == ()
    other = read_rtstruct(write_rtstruct(tmp_path / "b.dcm", {"GTVp": drawn_on_series()}, "1.2.9"))[0]
    with pytest.raises(
        IneligibleStudyError, match=r"expected the frame of reference 1\.2\.3 .* found 1\.2\.9"
    ) as caught:
        roi_on_series(other, series)
    assert caught.value.code == "frame_of_reference_mismatch"


def test_named_images_replace_an_absent_frame_of_reference(tmp_path: Path, series: MrSeries) -> None:
    images = {round(f.position_lps_mm[2], 2): f.sop_instance_uid for f in series.frames}
    path = write_rtstruct(tmp_path / "a.dcm", {"GTVp": drawn_on_series()}, "", images=images)
    roi = read_rtstruct(path)[0]
    assert [f.code for f in roi_on_series(roi, series).findings] == ["frame_of_reference_absent"]
    other_frame = replace(roi, frame_of_reference_uid="1.2.9")
    with pytest.raises(IneligibleStudyError):
        roi_on_series(other_frame, series)
    found = roi_on_series(other_frame, series, trust_images=True)
    assert [f.code for f in found.findings] == ["frame_of_reference_mismatch"]
    moved = replace(
        other_frame,
        contours=tuple(replace(c, points_lps_mm=c.points_lps_mm + np.array([0, 0, 2])) for c in roi.contours),
    )
    with pytest.raises(IneligibleStudyError):
        roi_on_series(moved, series, trust_images=True)


def test_a_rigid_registration_moves_the_contours(tmp_path: Path, series: MrSeries) -> None:
    """Contours drawn in a turned and shifted frame find back to their place, by the matrix to ours or its inverse."""
    there = np.eye(4)
    there[:3, :3], there[:3, 3] = rotation(12, (1, 1, 3)), (5, -7, 30)
    elsewhere = [c @ there[:3, :3].T + there[:3, 3] for c in drawn_on_series()]
    roi = read_rtstruct(write_rtstruct(tmp_path / "rt.dcm", {"GTVp": elsewhere}, "1.2.9"))[0]
    forth = read_registration(write_registration(tmp_path / "a.dcm", "1.2.9", "1.2.3", np.linalg.inv(there)))
    back = read_registration(write_registration(tmp_path / "b.dcm", "1.2.3", "1.2.9", there))
    expected = roi_mask(roi_of(drawn_on_series()), series.grid)
    for registration in (forth, back):
        found = roi_on_series(roi, series, [registration])
        assert [f.code for f in found.findings] == ["registration_applied"]
        assert found.volume_ml == pytest.approx(expected.volume_ml, rel=1e-4)
        assert dice(found.mask, sitk.GetArrayFromImage(expected.mask)) > 0.99
    with pytest.raises(IneligibleStudyError, match="or a registration to it"):
        roi_on_series(replace(roi, frame_of_reference_uid="1.2.8"), series, [forth])


def test_only_rigid_registrations_are_taken(tmp_path: Path) -> None:
    for matrix in (np.diag([1.1, 1, 1, 1]), np.diag([-1, 1, 1, 1.0])):
        path = write_registration(tmp_path / "r.dcm", "1.2.9", "1.2.3", matrix)
        with pytest.raises(IneligibleStudyError, match="expected a rigid registration") as caught:
            read_registration(path)
        assert caught.value.code == "frame_of_reference_mismatch"


def test_files_of_another_kind_are_refused(tmp_path: Path) -> None:
    image = write_series(tmp_path / "mr", np.ones((1, 8, 8), np.uint16))[0]
    with pytest.raises(IneligibleStudyError, match="expected an RT Structure Set, found MR Image Storage"):
        read_rtstruct(image)
    with pytest.raises(IneligibleStudyError, match="expected a Spatial Registration, found MR Image Storage"):
        read_registration(image)
    broken = write_rtstruct(tmp_path / "rt.dcm", {"GTVp": drawn_on_series()}, "1.2.3")
    broken.write_bytes(broken.read_bytes().replace(b".0000\\", b".00x0\\"))
    (roi,) = read_rtstruct(broken)
    assert roi.problem is not None
    assert "'GTVp': expected readable contours" in roi.problem.text


def test_the_chosen_region_is_found_by_its_number_whatever_object_it_is_in(tmp_path: Path) -> None:
    """The same ball as ROI 14 of an RTSTRUCT and as segment 1 of a SEG; a number that is not there is refused."""
    geometry = SeriesGeometry((1, 1, 2), (-32, -32, -12))
    images = write_series(tmp_path / "mr", np.ones((12, 64, 64), np.uint16), geometry, frame_of_reference_uid="1.2.3")
    series = read_series(images)
    rtstruct = write_rtstruct(tmp_path / "rt.dcm", {"Brainstem": [], "GTVp": drawn_on_series()}, "1.2.3")
    drawn = contour_on_series(rtstruct, "RTSTRUCT", 14, series)
    seg = write_seg(tmp_path / "seg.dcm", images, [drawn.mask_zyx != 0])
    np.testing.assert_array_equal(contour_on_series(seg, "SEG", "1", series).mask_zyx, drawn.mask_zyx)
    with pytest.raises(IneligibleStudyError, match="expected an ROI of number 99, found none") as caught:
        contour_on_series(rtstruct, "RTSTRUCT", 99, series)
    assert caught.value.code == "no_matching_roi"


def test_a_contour_that_names_another_slice_is_stated(tmp_path: Path) -> None:
    """Each contour names the slice above the one it is on: the place counts, and the mismatch is stated."""
    geometry = SeriesGeometry((1, 1, 2), (-32, -32, -12))
    images = write_series(tmp_path / "mr", np.ones((12, 64, 64), np.uint16), geometry, frame_of_reference_uid="1.2.3")
    series = read_series(images)
    contours = drawn_on_series()
    named = {
        round(float(points[0, 2]), 2): series.frames[round((float(points[0, 2]) + 12) / 2) + 1].sop_instance_uid
        for points in contours
    }
    (roi,) = read_rtstruct(write_rtstruct(tmp_path / "rt.dcm", {"GTVp": contours}, "1.2.3", images=named))
    plain = roi_on_series(replace(roi, contours=tuple(replace(c, sop_instance_uids=()) for c in roi.contours)), series)
    mask = roi_on_series(roi, series)
    np.testing.assert_array_equal(mask.mask_zyx, plain.mask_zyx)
    assert [finding.code for finding in mask.findings] == ["contour_names_other_slice"]


def test_a_damaged_roi_is_refused_by_name_and_another_one_is_usable(tmp_path: Path) -> None:
    path = write_rtstruct(tmp_path / "rt.dcm", {"Brainstem": drawn_on_series(), "GTVp": drawn_on_series()}, "1.2.3")
    ds = dcmread(path)
    brainstem = next(item for item in ds.ROIContourSequence if item.ReferencedROINumber == 11)
    brainstem.ContourSequence[0].ContourData = ["1", "2", "3", "4"]
    ds.save_as(path)
    images = write_series(
        tmp_path / "mr", np.ones((12, 64, 64), np.uint16), SeriesGeometry((1, 1, 2), (-32, -32, -12)),
        frame_of_reference_uid="1.2.3",
    )  # fmt: skip
    damaged, whole = read_rtstruct(path)
    assert roi_on_series(whole, read_series(images)).volume_ml > 1
    with pytest.raises(IneligibleStudyError, match="ROI 11 'Brainstem': expected readable contours") as refusal:
        roi_on_series(damaged, read_series(images))
    assert refusal.value.code == "unreadable_instance"


def test_lines_and_voxels_that_disagree_by_more_than_five_percent_never_pass() -> None:
    """Two discs of 1 mm radius on 1 mm pixels enclose 3.14 pixels each and hold the centres of 4 or 5."""
    discs = [circle((0.5, 0.5, z), 1.0, (1, 0, 0), (0, 1, 0)) for z in (0.0, 3.0)]
    with pytest.raises(IneligibleStudyError, match="expected lines and the voxels inside them to have one volume"):
        roi_mask(roi_of(discs), grid_of(SeriesGeometry((1, 1, 3), (-20, -20, 0)), (40, 40, 4)))
