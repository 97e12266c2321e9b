"""Spatial Registrations: contours and segments drawn in another frame of reference, in the node and in the worker.

Expected places follow from the rotation and translation that a test writes into the registration.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from config.errors import IneligibleStudyError
from node.cases.case_inputs import StoredInstance
from node.cases.headers import header_of
from tests.cases.case_headers import FRAME, NOW, case
from tests.cases.test_assessment import assessed
from tests.volumes.synthetic import (
    SeriesGeometry,
    rotation,
    sphere_contours,
    write_registration,
    write_rtstruct,
    write_series,
)
from tests.volumes.test_segmentations import ball, write_seg
from workers.volumes.contour_source import contour_on_series
from workers.volumes.contours import RoiMask
from workers.volumes.reader import read_series
from workers.volumes.registrations import read_registration

Matrix = NDArray[np.float64]
ELSEWHERE = "9.9"
GEOMETRY = SeriesGeometry((0.9, 0.8, 2.5), (-30, -30, -20))
SIZE = (12, 70, 80)


def rigid(degrees: float = 14.0, shift_mm: tuple[float, float, float] = (5, -7, 30)) -> Matrix:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation(degrees, (1, 1, 3)), shift_mm
    return matrix


def carried(geometry: SeriesGeometry, matrix: Matrix) -> SeriesGeometry:
    """The same grid in the frame of reference to which the matrix leads."""
    turn = matrix[:3, :3]
    cosines = [*(turn @ geometry.row).tolist(), *(turn @ geometry.column).tolist()]
    return SeriesGeometry(geometry.spacing_mm, turn @ geometry.origin + matrix[:3, 3], cosines)


def on_series(
    folder: Path, drawn: SeriesGeometry, target: SeriesGeometry, matrix: Matrix, *, is_inverse: bool = False
) -> RoiMask:
    """A ball drawn as SEG on one series, carried by a registration to another one."""
    images = write_series(folder / "drawn", np.ones(SIZE, np.uint16), drawn, frame_of_reference_uid=ELSEWHERE)
    seg = write_seg(folder / "seg.dcm", images, [ball(SIZE)])
    series = read_series(
        write_series(folder / "target", np.ones(SIZE, np.uint16), target, frame_of_reference_uid=FRAME)
    )
    # The object's own frame of reference is that of the series, or that of the contour with the inverse matrix.
    frames = (FRAME, ELSEWHERE) if is_inverse else (ELSEWHERE, FRAME)
    reg = write_registration(folder / "reg.dcm", *frames, np.linalg.inv(matrix) if is_inverse else matrix)
    return contour_on_series(seg, "SEG", 1, series, reg)


@pytest.mark.parametrize("is_inverse", [False, True])
def test_a_segment_is_carried_voxel_by_voxel_where_the_grids_coincide(tmp_path: Path, is_inverse: bool) -> None:
    mask = on_series(tmp_path, GEOMETRY, carried(GEOMETRY, rigid()), rigid(), is_inverse=is_inverse)
    np.testing.assert_array_equal(mask.mask_zyx, ball(SIZE))
    assert [finding.code for finding in mask.findings] == ["registration_applied"]
    assert mask.volume_ml == pytest.approx(ball(SIZE).sum() * 0.9 * 0.8 * 2.5 / 1000)
    expected = rigid()[:3, :3] @ GEOMETRY.points([42, 30, 6]) + rigid()[:3, 3]
    np.testing.assert_allclose(mask.centroid_lps_mm, expected, atol=1e-3)


def test_a_segment_that_is_turned_against_the_grid_keeps_volume_and_place(tmp_path: Path) -> None:
    """The same ball as contours of an RTSTRUCT has the same mask but for voxels at its border."""
    matrix = rigid(14, (1.3, -2.1, 0.6))
    moved = on_series(tmp_path, GEOMETRY, GEOMETRY, matrix)
    centre = matrix[:3, :3] @ GEOMETRY.points([42, 30, 6]) + matrix[:3, 3]
    assert [finding.code for finding in moved.findings] == ["registration_applied", "contour_resampled"]
    np.testing.assert_allclose(moved.centroid_lps_mm, centre, atol=1e-3)
    middle = moved.grid.points_of(np.argwhere(moved.mask_zyx)[:, ::-1].mean(axis=0)[None])[0]
    np.testing.assert_allclose(middle, centre, atol=0.25)
    assert moved.mask_volume_ml == pytest.approx(moved.volume_ml, rel=0.03)

    contours = sphere_contours(GEOMETRY, SIZE[0], GEOMETRY.points([42, 30, 6]), 12.0)
    rtstruct = write_rtstruct(tmp_path / "rt.dcm", {"GTVp": contours}, ELSEWHERE)
    series = read_series(sorted((tmp_path / "target").iterdir()))
    drawn = contour_on_series(rtstruct, "RTSTRUCT", 11, series, tmp_path / "reg.dcm")
    assert drawn.findings[0].code == "registration_applied"
    both = np.count_nonzero(drawn.mask_zyx & moved.mask_zyx)
    assert 2 * both / (np.count_nonzero(drawn.mask_zyx) + np.count_nonzero(moved.mask_zyx)) > 0.93


def test_a_segment_that_leaves_the_series_is_stated(tmp_path: Path) -> None:
    mask = on_series(tmp_path, GEOMETRY, GEOMETRY, rigid(0, (0, 0, -15)))
    beyond = mask.findings[-1]
    assert beyond.code == "contour_beyond_image"
    # Slices 0 to 5 of the ball are now below the first one: z = 6 is the middle, 15 mm are 6 slices.
    share = ball(SIZE)[:6].sum() / ball(SIZE).sum() * 100
    assert f"{share:.1f} % of it is beyond the series" in beyond.text


def test_a_segment_without_a_registration_is_refused_as_contours_are(tmp_path: Path) -> None:
    images = write_series(tmp_path / "a", np.ones(SIZE, np.uint16), GEOMETRY, frame_of_reference_uid=ELSEWHERE)
    seg = write_seg(tmp_path / "seg.dcm", images, [ball(SIZE)])
    series = read_series(write_series(tmp_path / "b", np.ones(SIZE, np.uint16), GEOMETRY, frame_of_reference_uid=FRAME))
    with pytest.raises(IneligibleStudyError, match=r"or a registration to it, found 9\.9") as caught:
        contour_on_series(seg, "SEG", 1, series)
    assert caught.value.code == "frame_of_reference_mismatch"


def test_a_segment_on_its_named_slices_needs_no_frame_of_reference(tmp_path: Path) -> None:
    images = write_series(tmp_path / "a", np.ones(SIZE, np.uint16), GEOMETRY, frame_of_reference_uid=ELSEWHERE)
    seg = write_seg(tmp_path / "seg.dcm", images, [ball(SIZE)])
    for path in images:
        ds = dcmread(path)
        ds.FrameOfReferenceUID = ""
        ds.save_as(path, enforce_file_format=True)
    mask = contour_on_series(seg, "SEG", 1, read_series(images))
    np.testing.assert_array_equal(mask.mask_zyx, ball(SIZE))
    assert [finding.code for finding in mask.findings] == ["frame_of_reference_absent"]


def item(uid: str, *matrices: object, kind: str = "RIGID") -> Dataset:
    entry = Dataset()
    entry.FrameOfReferenceUID = uid
    entry.MatrixRegistrationSequence = []
    for matrix in matrices:
        registration, values = Dataset(), Dataset()
        values.FrameOfReferenceTransformationMatrixType = kind
        values.FrameOfReferenceTransformationMatrix = [f"{v:.10g}" for v in np.ravel(matrix)]
        registration.MatrixSequence = [values]
        entry.MatrixRegistrationSequence.append(registration)
    return entry


SCALED, MIRRORED, SHEARED = np.diag([1.1, 1, 1, 1]), np.diag([-1.0, 1, 1, 1]), np.eye(4)
SHEARED[0, 1] = 0.2
REGISTRATIONS = {
    "rigid": ([item(ELSEWHERE, rigid())], True),
    "rigid but called affine": ([item(ELSEWHERE, rigid(), kind="AFFINE")], True),
    "scaled but called rigid": ([item(ELSEWHERE, SCALED)], False),
    "mirrored": ([item(ELSEWHERE, MIRRORED)], False),
    "sheared": ([item(ELSEWHERE, SHEARED)], False),
    "fifteen numbers": ([item(ELSEWHERE, np.arange(15))], False),
    "no matrix": ([item(ELSEWHERE)], False),
    "of another frame": ([item("9.8", rigid())], False),
    "an affine one of another frame beside it": ([item("9.8", SCALED), item(ELSEWHERE, rigid())], True),
    "the same matrix twice": ([item(ELSEWHERE, rigid()), item(ELSEWHERE, rigid())], True),
    "two matrices for one frame": ([item(ELSEWHERE, rigid()), item(ELSEWHERE, rigid(3))], False),
    "own frame with the identity": ([item(FRAME, np.eye(4)), item(ELSEWHERE, rigid())], True),
    "own frame without a matrix": ([item(FRAME), item(ELSEWHERE, rigid())], True),
    "own frame moved": ([item(FRAME, rigid(3)), item(ELSEWHERE, rigid())], False),
}  # fmt: skip


def registration(folder: Path, items: list[Dataset], own: str = FRAME) -> Path:
    path = write_registration(folder / "reg.dcm", ELSEWHERE, own, np.eye(4))
    ds = dcmread(path)
    ds.RegistrationSequence = items
    ds.save_as(path, enforce_file_format=True)
    return path


def stored(path: Path, uid: str) -> StoredInstance:
    patient = {"PatientID": "P1", "PatientBirthDate": "19800615"}
    drawn = dict.fromkeys(("StructureSetDate", "ContentDate", "SeriesDate"), "20260501")  # the day of the MR
    return StoredInstance(uid, uid[-1] * 64, NOW, {**header_of(dcmread(path)), **patient, **drawn})


def node_joins(seg: Path, rtstruct: Path, reg: Path) -> set[str]:
    """Kinds of contours for which a case with this registration is ready."""
    ready = set()
    for path, kind in ((seg, "SEG"), (rtstruct, "RTSTRUCT")):
        assessment = assessed(case(related=[stored(path, "1.2.826.0.1.7"), stored(reg, "1.2.826.0.1.8")]))
        if assessment.state == "ready":
            assert assessment.request is not None
            assert assessment.request.contours["T2w"]["kind"] == kind
            used = assessment.request.registrations["T2w"]
            assert (used["from_frame_of_reference_uid"], used["to_frame_of_reference_uid"]) == (ELSEWHERE, FRAME)
            ready.add(kind)
    return ready


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("drawn")
    images = write_series(folder / "mr", np.ones(SIZE, np.uint16), GEOMETRY, frame_of_reference_uid=ELSEWHERE)
    contours = sphere_contours(GEOMETRY, SIZE[0], GEOMETRY.points([42, 30, 6]), 12.0)
    return (
        write_seg(folder / "seg.dcm", images, [ball(SIZE)], labels=("GTVp",)),
        write_rtstruct(folder / "rt.dcm", {"GTVp": contours}, ELSEWHERE),
    )


@pytest.mark.parametrize("name", REGISTRATIONS)
def test_the_node_joins_what_the_worker_can_apply_for_contours_and_segments_alike(
    tmp_path: Path, drawn: tuple[Path, Path], name: str
) -> None:
    items, is_joined = REGISTRATIONS[name]
    path = registration(tmp_path, items)
    assert node_joins(*drawn, path) == ({"SEG", "RTSTRUCT"} if is_joined else set())
    matrix = matrix_between(path, ELSEWHERE, FRAME)
    assert (matrix is not None) == is_joined
    if matrix is not None:
        np.testing.assert_allclose(matrix, rigid(), atol=1e-8)


def matrix_between(path: Path, source_uid: str, target_uid: str) -> Matrix | None:
    """What the worker applies; a registration that joins nothing is a refusal."""
    try:
        return read_registration(path).between(source_uid, target_uid)
    except IneligibleStudyError as error:
        if error.code != "frame_of_reference_mismatch":
            raise
        return None


@pytest.mark.parametrize("n_segments", [1, 2])
def test_the_node_counts_the_frames_of_each_segment(tmp_path: Path, n_segments: int) -> None:
    """A single segment is named in the shared functional groups only."""
    images = write_series(tmp_path / "mr", np.ones(SIZE, np.uint16), GEOMETRY)
    small = np.zeros(SIZE, bool)
    small[5:7, 10:15, 60:64] = True
    seg = write_seg(tmp_path / "seg.dcm", images, [ball(SIZE), small][:n_segments])
    counts = [(roi["name"], roi["n_contours"]) for roi in header_of(dcmread(seg))["Rois"]]
    assert counts == [("GTVp", int(ball(SIZE).any(axis=(1, 2)).sum())), ("GTVn", 2)][:n_segments]


def test_several_matrices_of_an_item_are_applied_in_their_order(tmp_path: Path) -> None:
    """First the translation, then the rotation: (10, 0, 0) moved by (0, 5, 0), then turned by 90 degrees about z."""
    shift, turn = rigid(0, (0, 5, 0)), np.eye(4)
    turn[:3, :3] = rotation(90, (0, 0, 1))
    matrix = read_registration(registration(tmp_path, [item(ELSEWHERE, shift, turn)])).between(ELSEWHERE, FRAME)
    assert matrix is not None
    np.testing.assert_allclose(matrix @ [10, 0, 0, 1], [-5, 10, 0, 1], atol=1e-9)


def test_two_frames_are_joined_by_way_of_a_third_one(tmp_path: Path, drawn: tuple[Path, Path]) -> None:
    items = [item(ELSEWHERE, rigid()), item(FRAME, rigid(20, (1, 2, 3)))]
    path = registration(tmp_path, items, own="9.7")
    assert node_joins(*drawn, path) == {"SEG", "RTSTRUCT"}
    matrix = read_registration(path).between(ELSEWHERE, FRAME)
    np.testing.assert_allclose(matrix, np.linalg.inv(rigid(20, (1, 2, 3))) @ rigid(), atol=1e-8)


def test_a_registration_that_cannot_be_applied_is_named_in_the_refusal(
    tmp_path: Path, drawn: tuple[Path, Path]
) -> None:
    path = registration(tmp_path, [item(ELSEWHERE, SCALED), item("9.8", rigid())])
    series = read_series(write_series(tmp_path / "b", np.ones(SIZE, np.uint16), GEOMETRY, frame_of_reference_uid=FRAME))
    with pytest.raises(IneligibleStudyError, match=r"the Spatial Registration .* has the matrix \[\[1\.1, 0"):
        contour_on_series(drawn[0], "SEG", 1, series, path)
