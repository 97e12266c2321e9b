"""Real series of several vendors, read as they were stored; SimpleITK's and dcmtk's readings are the expectation."""

from __future__ import annotations

import contextlib
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom import dcmread

from config.errors import IneligibleStudyError
from tests.peers import peer, unpacked
from workers.volumes.intensity import IntensityTemplate
from workers.volumes.landmarks import landmarks_of
from workers.volumes.reader import MrSeries, read_series, series_in
from workers.volumes.series_patches import extract_series_patches


def only_series(folder: Path) -> MrSeries:
    (paths,) = series_in(folder).values()
    return read_series(paths)


def by_simpleitk(folder: Path) -> sitk.Image:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


def assert_same(ours: sitk.Image, theirs: sitk.Image) -> None:
    """The same grey value at the same place, whichever way either of them orders its slices."""
    assert ours.GetSize() == theirs.GetSize()
    z = ours.GetSize()[2] - 1
    place = ours.TransformIndexToPhysicalPoint((5, 7, 0))
    there = theirs.TransformPhysicalPointToIndex(place)
    np.testing.assert_allclose(theirs.TransformIndexToPhysicalPoint(there), place, atol=0.05)
    assert (there[0], there[1]) == (5, 7)
    theirs_zyx = sitk.GetArrayFromImage(theirs)
    expected = theirs_zyx if there[2] != z else theirs_zyx[::-1]
    np.testing.assert_allclose(sitk.GetArrayFromImage(ours), expected, rtol=1e-6)


def test_ge_axial_oblique(tmp_path: Path) -> None:
    folder = unpacked("mr_ge_pd_axial_brain", tmp_path)
    series = only_series(folder)
    assert series.grid.size_xyz == (256, 256, 20)
    assert series.grid.spacing_xyz_mm[2] == pytest.approx(7.0, abs=0.01)
    assert series.grid.tilt_degrees == pytest.approx(7.7, abs=0.1)
    stored = sorted((dcmread(path) for path in folder.iterdir()), key=lambda ds: ds.ImagePositionPatient[2])
    np.testing.assert_array_equal(sitk.GetArrayFromImage(series.image), [ds.pixel_array for ds in stored])
    for z in (0, 19):
        found = series.image.TransformIndexToPhysicalPoint((0, 0, z))
        np.testing.assert_allclose(found, [float(v) for v in stored[z].ImagePositionPatient], atol=0.1)


@pytest.mark.parametrize(
    ("folder", "size", "spacing"),
    [
        ("ge_anatomical_001", (256, 256, 4), (1, 1, 1)),
        ("generic_compressed_rle_001", (256, 256, 4), (1, 1, 1)),
        ("hitachi_anatomical_001", (64, 64, 4), (2.34375, 2.34375, 4.0)),
        ("jpegll_multi_fragment_t1_phantom", (128, 128, 9), (2, 2, 2)),
        ("philips_anatomical_001", (240, 240, 4), (1.0416666, 1.0416666, 0.6)),
        ("siemens_anatomical_001_implicit", (256, 256, 4), (1, 1, 1)),
    ],
)
def test_vendors(tmp_path: Path, folder: str, size: tuple[int, ...], spacing: tuple[float, ...]) -> None:
    images = unpacked("mr_vendor_minis", tmp_path) / folder
    series = only_series(images)
    assert series.grid.size_xyz == size
    np.testing.assert_allclose(series.grid.spacing_xyz_mm, spacing, atol=2e-3)
    assert_same(series.image, by_simpleitk(images))


def test_philips_enhanced(tmp_path: Path) -> None:
    (path,) = (unpacked("mr_vendor_minis", tmp_path) / "philips_enhanced_anatomical_001").iterdir()
    series = read_series([path])
    assert series.grid.size_xyz == (256, 256, 8)
    assert series.slices[0].frame_number is not None
    assert_same(series.image, sitk.ReadImage(str(path)))


def test_enhanced_brain_tumour_study(tmp_path: Path) -> None:
    """Four axial Enhanced objects on one grid, and a sagittal localizer."""
    folder = unpacked("mr_nema_brtum_enhanced", tmp_path)
    series = {path.name: read_series([path]) for path in sorted(folder.iterdir())}
    axial = [series[f"BRTUM00{n}"] for n in (3, 4, 5, 8)]
    assert {s.grid.size_xyz for s in axial} == {(256, 256, 24)}
    assert len({s.frame_of_reference_uid for s in series.values()}) == 1
    for found in axial:
        np.testing.assert_allclose(found.grid.origin_lps_mm, axial[0].grid.origin_lps_mm, atol=1e-3)
        assert found.grid.tilt_degrees == pytest.approx(0, abs=0.01)
    assert series["BRTUM001"].grid.tilt_degrees == pytest.approx(90, abs=0.01)
    for name, found in series.items():
        values = dcmread(folder / name).pixel_array
        order = [s.frame_number - 1 for s in found.slices if s.frame_number]
        first = found.frames[0]
        np.testing.assert_allclose(
            sitk.GetArrayFromImage(found.image), values[order] * first.slope + first.intercept, rtol=1e-6
        )


def test_siemens_series_with_a_missing_slice(tmp_path: Path) -> None:
    folder = unpacked("mr_siemens_t2_classic", tmp_path) / "t2_fse_ax"
    with pytest.raises(IneligibleStudyError, match=r"\(1 missing in all\)") as caught:
        only_series(folder)
    assert caught.value.code == "missing_slice"
    assert "instance number 34 and" in caught.value.text
    assert "instance number 36 (" in caught.value.text


def test_siemens_sagittal(tmp_path: Path) -> None:
    root = unpacked("mr_siemens_t1_hfs", tmp_path)
    (inner,) = root.glob("*.tar.xz")
    with tarfile.open(inner) as archive:
        archive.extractall(tmp_path / "inner", filter="data")
    series = only_series(tmp_path / "inner")
    assert series.grid.size_xyz == (256, 256, 35)
    assert series.grid.spacing_xyz_mm[2] == pytest.approx(4.8, abs=0.01)
    assert series.grid.tilt_degrees > 60


@pytest.fixture
def compressed(tmp_path: Path) -> Path:
    return unpacked("nasty", tmp_path) / "compressed_mr"


@pytest.mark.parametrize("kind", ["JLSL", "JPLL", "J2KR"])
def test_lossless_compression_gives_the_uncompressed_pixels(compressed: Path, kind: str) -> None:
    plain, packed = (read_series([compressed / f"MR4_{k}"]) for k in ("UNC", kind))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(packed.image), sitk.GetArrayFromImage(plain.image))
    assert packed.grid == plain.grid


def by_dcmtk(path: Path, program: str, out: Path) -> NDArray[np.int64]:
    subprocess.run([peer(program, "dcmtk"), str(path), str(out)], check=True, capture_output=True, timeout=60)
    return dcmread(out).pixel_array.astype(np.int64)


def test_twelve_bit_jpeg_as_dcmtk_decodes_it(compressed: Path, tmp_path: Path) -> None:
    series = read_series([compressed / "MR4_JPLY"])
    theirs = by_dcmtk(compressed / "MR4_JPLY", "dcmdjpeg", tmp_path / "plain.dcm")
    frame = series.frames[0]
    ours = (sitk.GetArrayFromImage(series.image)[0] - frame.intercept) / frame.slope
    assert np.abs(ours - theirs).max() < 2.5  # decoders may differ in the inverse transform's rounding


@pytest.mark.parametrize("name", ["MR3_RLE", "MR4_RLE"])
def test_rle_as_dcmtk_decodes_it(compressed: Path, tmp_path: Path, name: str) -> None:
    series = read_series([compressed / name])
    theirs = by_dcmtk(compressed / name, "dcmdrle", tmp_path / "plain.dcm")
    frame = series.frames[0]
    np.testing.assert_allclose(
        sitk.GetArrayFromImage(series.image)[0], theirs * frame.slope + frame.intercept, atol=0.01
    )


def test_no_nasty_file_stops_the_reader(tmp_path: Path) -> None:
    """Each file is read or refused with a reason; nothing else escapes."""
    good = []
    for path in sorted(unpacked("nasty", tmp_path).rglob("*")):
        if path.is_file():
            with contextlib.suppress(IneligibleStudyError):
                _ = read_series([path]).image
                good.append(path.name)
    assert {"MR4_UNC", "MR4_J2KR", "MR-JPEGLosslessSV1.dcm", "J2K_pixelrep_mismatch.dcm"} <= set(good)


def test_template_and_patches_of_real_images(tmp_path: Path) -> None:
    """T1w before and after contrast of one patient: the same head, so each is near the other's template; T2w is not."""
    folder = unpacked("mr_nema_brtum_enhanced", tmp_path)
    t1, t2 = (read_series([folder / name]) for name in ("BRTUM005", "BRTUM004"))
    template = IntensityTemplate.fit([sitk.GetArrayFromImage(t1.image)])
    near, far = (template.distance(landmarks_of(sitk.GetArrayFromImage(s.image))) for s in (t1, t2))
    assert near < 1e-12 < 0.04 < far
    mask = np.zeros(t1.grid.shape_zyx, np.uint8)
    mask[8:13, 100:140, 110:150] = 1
    bag = extract_series_patches(t1, mask, template, 0.75)
    assert bag.patches.shape == (5, 2, 128, 128)
    assert bag.slice_index.tolist() == [8, 9, 10, 11, 12]
    assert 0.2 < bag.patches[:, 0].mean() < 0.7
    assert bag.patches[:, 1].sum(axis=(1, 2)) == pytest.approx((40 * 0.8203 / 0.75) ** 2, rel=0.05)
