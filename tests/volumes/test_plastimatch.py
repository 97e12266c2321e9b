"""Masks and volumes against plastimatch, an independent program, on real RTSTRUCTs and on ones written here."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

from tests.peers import peer, unpacked
from tests.volumes.synthetic import SeriesGeometry, circle, sphere_contours, write_rtstruct, write_series
from workers.volumes.contours import RoiMask, roi_on_series
from workers.volumes.reader import read_series, series_in
from workers.volumes.rtstruct import read_rtstruct


def by_plastimatch(rtstruct: Path, images: Path, out: Path) -> dict[str, tuple[NDArray[np.bool_], float]]:
    """ROI name -> its mask (zyx) and volume in mL."""
    program = peer("plastimatch", "plastimatch")
    subprocess.run(
        [program, "convert", "--input", str(rtstruct), "--referenced-ct", str(images), "--xor-contours",
         "--output-prefix", str(out), "--prefix-format", "nrrd"],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    found = {}
    for path in out.glob("*.nrrd"):
        image = sitk.ReadImage(str(path))
        mask = sitk.GetArrayFromImage(image) > 0
        found[path.stem] = (mask, mask.sum() * float(np.prod(image.GetSpacing())) / 1000)
    return found


def by_us(rtstruct: Path, images: Path, names: set[str]) -> dict[str, RoiMask]:
    (paths,) = series_in(images).values()
    series = read_series(paths)
    rois = [roi for roi in read_rtstruct(rtstruct) if roi.name in names]
    return {roi.name: roi_on_series(roi, series, trust_images=True) for roi in rois}


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


@pytest.mark.parametrize("rtstruct", ["RS*.dcm", "points_roi/rtstruct.dcm"])
def test_oncentra_phantom(tmp_path: Path, rtstruct: str) -> None:
    """Seven ROIs, concave ones among them, on all five slices."""
    folder = unpacked("rtstruct_oncentra_ct", tmp_path)
    (path,) = folder.glob(rtstruct)
    theirs = by_plastimatch(path, folder, tmp_path / "out")
    assert len(theirs) >= 2
    ours = by_us(path, folder, set(theirs))
    for name, (mask, volume_ml) in theirs.items():
        assert dice(sitk.GetArrayFromImage(ours[name].mask) > 0, mask) >= 0.995, name
        assert ours[name].volume_ml == pytest.approx(volume_ml, rel=0.01), name
        assert ours[name].mask_volume_ml == pytest.approx(volume_ml, rel=1e-4), name


@pytest.mark.parametrize("rtstruct", ["rt.dcm", "invalid_reference_rt.dcm"])
def test_mim_phantom_on_the_slices_that_are_stored(tmp_path: Path, rtstruct: str) -> None:
    """Two of five slices are there; rt.dcm has a hole drawn as a second line (exclusive-or)."""
    folder = unpacked("rtstruct_mim_partial_series", tmp_path)
    theirs = by_plastimatch(folder / rtstruct, folder, tmp_path / "out")
    ours = by_us(folder / rtstruct, folder, set(theirs))
    assert ours
    for name, found in ours.items():
        mask, volume_ml = theirs[name]
        assert dice(sitk.GetArrayFromImage(found.mask) > 0, mask) >= 0.995, name
        assert found.mask_volume_ml == pytest.approx(volume_ml, rel=1e-4), name
        assert found.volume_ml == pytest.approx(volume_ml, rel=0.01), name


def test_axial_contours_written_here(tmp_path: Path) -> None:
    geometry = SeriesGeometry((0.6, 0.6, 3.0), (-60, -70, -30))
    paths = write_series(tmp_path / "mr", np.ones((20, 200, 200), np.uint16), geometry, frame_of_reference_uid="1.2.3")
    middle = geometry.points([100, 110, 9.7])
    sphere = sphere_contours(geometry, 20, middle, 22.3)
    shell = [*sphere, *sphere_contours(geometry, 20, middle, 14.1)]
    lobes = []
    for z in range(4, 16):
        plane = geometry.points([100, 110, z])
        angle = np.linspace(0, 2 * np.pi, 400, endpoint=False)
        radius = 20 + 6 * np.cos(5 * angle) + z / 3
        lobes.append(plane + np.column_stack([radius * np.cos(angle), radius * np.sin(angle), 0 * angle]))
    small = [circle(geometry.points([60.3, 70.7, z]), 4.2, geometry.row, geometry.column) for z in (7, 8)]
    images = tmp_path / "mr"
    rois = {"sphere": sphere, "shell": shell, "lobes": lobes, "small": small}
    first = read_series(paths).dataset
    rtstruct = write_rtstruct(tmp_path / "rt.dcm", rois, "1.2.3", study_uid=str(first.StudyInstanceUID))
    theirs = by_plastimatch(rtstruct, images, tmp_path / "out")
    ours = by_us(rtstruct, images, set(theirs))
    assert set(ours) == set(rois)
    for name, (mask, volume_ml) in theirs.items():
        assert dice(sitk.GetArrayFromImage(ours[name].mask) > 0, mask) >= 0.9999, name
        assert ours[name].volume_ml == pytest.approx(volume_ml, rel=0.01), name
