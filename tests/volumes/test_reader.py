"""Series read back from files whose geometry the test wrote, and every way in which a series is refused."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian, generate_uid

from config.errors import IneligibleStudyError, InputError
from tests.volumes.synthetic import SeriesGeometry, tilted, write_enhanced, write_series
from workers.volumes.reader import read_series, series_in

OBLIQUE = tilted(25, (1, 2, 0.5))


def volume(slices: int = 6, rows: int = 20, columns: int = 24, seed: int = 0) -> NDArray[np.uint16]:
    return np.random.default_rng(seed).integers(0, 2000, (slices, rows, columns)).astype(np.uint16)


def refusal(paths: list[Path], code: str) -> str:
    """The text of the refusal that reading these files (pixels too) ends with."""
    with pytest.raises(IneligibleStudyError) as caught:
        _ = read_series(paths).image
    assert caught.value.code == code
    return caught.value.text


def edit(path: Path, **keywords: object) -> Path:
    ds = dcmread(path)
    for keyword, value in keywords.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    ds.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize("orientation", [(1, 0, 0, 0, 1, 0), (0, 1, 0, 0, 0, -1), (-1, 0, 0, 0, 1, 0), OBLIQUE])
@pytest.mark.parametrize("enhanced", [False, True])
def test_every_voxel_keeps_its_place(tmp_path: Path, orientation: list[float], enhanced: bool) -> None:
    array = volume()
    geometry = SeriesGeometry((0.7, 0.9, 3.3), (-11, 7, 40), orientation)
    if enhanced:
        series = read_series([write_enhanced(tmp_path / "e.dcm", array, geometry)])
    else:
        paths = write_series(tmp_path, array, geometry)
        for number, path in enumerate(reversed(paths)):  # names and numbers must not matter
            shutil.move(edit(path, InstanceNumber=number), tmp_path / f"{number}.dcm")
        series = read_series(list(tmp_path.glob("*.dcm")))
    image = series.image
    assert image.GetSize() == (24, 20, 6)
    np.testing.assert_allclose(image.GetSpacing(), (0.9, 0.7, 3.3), rtol=1e-6)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), array)
    for index in [(0, 0, 0), (23, 0, 5), (7, 19, 2)]:
        np.testing.assert_allclose(image.TransformIndexToPhysicalPoint(index), geometry.points(index), atol=1e-4)
    assert [s.frame_number for s in series.slices] == ([1, 2, 3, 4, 5, 6] if enhanced else [None] * 6)
    assert not series.findings


def test_chosen_slices_are_those_of_the_volume(tmp_path: Path) -> None:
    series = read_series(write_series(tmp_path, volume()))
    np.testing.assert_array_equal(series.pixels_zyx([4, 1]), sitk.GetArrayFromImage(series.image)[[4, 1]])
    assert len(series.datasets) == 6
    assert all("PixelData" not in ds for ds in series.datasets)


def test_simpleitk_reads_the_same(tmp_path: Path) -> None:
    paths = write_series(tmp_path, volume(), SeriesGeometry((0.7, 0.9, 3.3), (-11, 7, 40), OBLIQUE))
    ours, theirs = read_series(paths).image, sitk.ReadImage([str(p) for p in paths])
    for of in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
        np.testing.assert_allclose(getattr(ours, of)(), getattr(theirs, of)(), atol=1e-5)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(ours), sitk.GetArrayFromImage(theirs))


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_other_native_transfer_syntaxes(tmp_path: Path, syntax: str) -> None:
    array = volume()
    paths = write_series(tmp_path, array)
    for path in paths:
        ds = dcmread(path)
        ds.file_meta.TransferSyntaxUID = syntax
        if syntax == ExplicitVRBigEndian:
            ds.PixelData = np.frombuffer(ds.PixelData, "<u2").astype(">u2").tobytes()
        assert all(list(ds))  # every element is parsed, so that none is copied in its old byte order
        ds.set_original_encoding(syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian)
        ds.save_as(path, enforce_file_format=True)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_series(paths).image), array)


def test_rescale_and_monochrome1_and_signed_twelve_bits(tmp_path: Path) -> None:
    array = volume()
    paths = write_series(tmp_path / "a", array, header={"RescaleSlope": "2.5", "RescaleIntercept": "-100"})
    np.testing.assert_allclose(sitk.GetArrayFromImage(read_series(paths).image), array * 2.5 - 100)
    paths = write_series(tmp_path / "b", array, header={"PhotometricInterpretation": "MONOCHROME1", "BitsStored": 12,
                                                        "HighBit": 11})  # fmt: skip
    series = read_series(paths)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(series.image), 4095.0 - array)
    assert [f.code for f in series.findings] == ["monochrome1"]
    # -5 in 12 bits, with an overlay's rubbish in the four bits above
    stored = np.full((1, 4, 4), 0xFFB | 0x5000, np.uint16)
    paths = write_series(tmp_path / "c", stored, header={"PixelRepresentation": 1, "BitsStored": 12, "HighBit": 11})
    assert set(np.unique(sitk.GetArrayFromImage(read_series(paths).image))) == {-5.0}


def test_padding_takes_the_lowest_stored_value(tmp_path: Path) -> None:
    array = volume() + 100
    array[:, 0, 0] = 65000
    paths = write_series(tmp_path, array)
    for path in paths:
        ds = dcmread(path)
        ds.add_new("PixelPaddingValue", "US", 65000)
        ds.save_as(path, enforce_file_format=True)
    found = sitk.GetArrayFromImage(read_series(paths).image)
    np.testing.assert_array_equal(found[:, 0, 0], [s.min() for s in array])


def test_a_missing_slice_is_named(tmp_path: Path) -> None:
    paths = write_series(tmp_path, volume(8))
    text = refusal([p for i, p in enumerate(paths) if i not in (3, 4)], "missing_slice")
    assert "every 3.00 mm, found a gap of 9.00 mm between" in text
    assert "instance number 3 and" in text
    assert "2 missing" in text


def test_uneven_distances_are_refused(tmp_path: Path) -> None:
    paths = write_series(tmp_path, volume())
    edit(paths[2], ImagePositionPatient=[-64, -64, -23])
    assert "slice distances from 2.00 to 4.00 mm" in refusal(paths, "inconsistent_geometry")


def test_rounded_positions_are_no_defect(tmp_path: Path) -> None:
    paths = write_series(tmp_path, volume())
    edit(paths[2], ImagePositionPatient=[-64.004, -64, -23.996])
    assert read_series(paths).grid.spacing_xyz_mm[2] == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("distance_mm", "off_by_mm", "is_accepted"),
    [(1.0, 0.1, True), (1.0, 0.15, False), (3.0, 0.1, True), (3.0, 0.2, False), (6.0, 0.12, True), (6.0, 0.2, False)],
)
def test_a_slice_may_be_off_the_even_grid_as_far_as_rounding_explains(
    tmp_path: Path, distance_mm: float, off_by_mm: float, is_accepted: bool
) -> None:
    """One slice of six moved along the normal; the tolerance is 0.1 mm, and 2 % of the distance from 5 mm on."""
    paths = write_series(tmp_path, volume(), SeriesGeometry((1, 1, distance_mm)))
    edit(paths[2], ImagePositionPatient=[-64, -64, -30 + 2 * distance_mm + off_by_mm])
    if is_accepted:
        assert read_series(paths).grid.spacing_xyz_mm[2] == pytest.approx(distance_mm)
    else:
        assert "slice distances from" in refusal(paths, "inconsistent_geometry")


def test_positions_rounded_to_a_tenth_of_a_millimetre_are_read(tmp_path: Path) -> None:
    paths = write_series(tmp_path, volume(30), SeriesGeometry((1, 1, 1.171875)))
    for z, path in enumerate(paths):
        edit(path, ImagePositionPatient=[-64, -64, round(-30 + 1.171875 * z, 1)])
    assert read_series(paths).grid.spacing_xyz_mm[2] == pytest.approx(1.171875, abs=0.1 / 29)


@pytest.mark.parametrize("enhanced", [False, True])
def test_every_second_slice_missing_is_refused(tmp_path: Path, enhanced: bool) -> None:
    geometry = SeriesGeometry((1, 1, 6.0))
    if enhanced:
        paths = [write_enhanced(tmp_path / "e.dcm", volume(), geometry)]
        ds = dcmread(paths[0])
        ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SliceThickness = 3.0
        ds.save_as(paths[0], enforce_file_format=True)
    else:
        paths = write_series(tmp_path, volume(), geometry, header={"SliceThickness": 3, "SpacingBetweenSlices": 3})
    assert "expected a slice every 3.00 mm by the header, found one every 6.00 mm" in refusal(paths, "missing_slice")


def test_fewer_images_than_the_acquisition_contains_are_refused(tmp_path: Path) -> None:
    paths = write_series(tmp_path, volume(), header={"ImagesInAcquisition": 7})
    assert "expected the 7 images of the acquisition, found 6" in refusal(paths, "missing_slice")


def test_sheared_slices_are_refused(tmp_path: Path) -> None:
    paths = write_series(tmp_path, volume())
    for z, path in enumerate(paths):
        edit(path, ImagePositionPatient=[-64, -64 + z, -30 + 3 * z])
    assert "shifted against each other in their plane by up to 5.00 mm" in refusal(paths, "inconsistent_geometry")


@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        ({"ImageOrientationPatient": OBLIQUE}, "different orientation"),
        ({"PixelSpacing": [1.0, 1.2]}, "pixel spacings 1 x 1, 1 x 1.2 mm"),
        ({"FrameOfReferenceUID": "1.2.3"}, "2 frames of reference"),
        ({"ImagePositionPatient": None}, "expected ImagePositionPatient with 3 numbers, found None"),
        ({"ImageOrientationPatient": None}, "expected ImageOrientationPatient"),
    ],
)
def test_one_slice_that_differs_from_the_others_is_refused(
    tmp_path: Path, keywords: dict[str, object], said: str
) -> None:
    paths = write_series(tmp_path, volume())
    edit(paths[3], **keywords)
    assert said in refusal(paths, "inconsistent_geometry")


def test_cosines_that_are_not_orthonormal_are_refused(tmp_path: Path) -> None:
    paths = write_series(tmp_path, volume())
    for path in paths:
        edit(path, ImageOrientationPatient=[1, 0, 0, 0.2, 1, 0])
    assert "not orthonormal" in refusal(paths, "inconsistent_geometry")


def test_slices_of_another_size_are_refused(tmp_path: Path) -> None:
    paths = write_series(tmp_path, volume(), series_uid="1.2.3", frame_of_reference_uid="1.2.4")
    small = write_series(tmp_path / "b", volume(1, 10, 10), SeriesGeometry(origin_lps_mm=(-64, -64, -12)),
                         series_uid="1.2.3", frame_of_reference_uid="1.2.4")  # fmt: skip
    assert "different size: 10 x 10, 20 x 24" in refusal(paths + small, "inconsistent_geometry")


def test_a_repeated_slice_is_left_out_with_a_statement(tmp_path: Path) -> None:
    paths = write_series(tmp_path, volume())
    again = tmp_path / "again.dcm"
    shutil.copy(paths[2], again)
    edit(again, SOPInstanceUID=generate_uid())
    series = read_series([*paths, again])
    assert series.grid.size_xyz[2] == 6
    assert [(f.code, f.text[:8]) for f in series.findings] == [("duplicate_slice", "1 images")]


def test_two_different_images_of_one_place_are_refused(tmp_path: Path) -> None:
    paths = write_series(tmp_path, volume())
    other = write_series(tmp_path / "b", volume(seed=1), series_uid=str(dcmread(paths[0]).SeriesInstanceUID),
                         frame_of_reference_uid=str(dcmread(paths[0]).FrameOfReferenceUID))[2]  # fmt: skip
    assert "2 different images at the position" in refusal([*paths, other], "conflicting_instance")
    edit(other, EchoTime="90")
    assert "several volumes that differ in EchoTime" in refusal([*paths, other], "ambiguous_series")


def test_phase_images_beside_magnitude_are_left_out(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "m", volume())
    shared = {"series_uid": str(dcmread(paths[0]).SeriesInstanceUID),
              "frame_of_reference_uid": str(dcmread(paths[0]).FrameOfReferenceUID)}  # fmt: skip
    phase = write_series(tmp_path / "p", volume(seed=1), header={"ImageType": ["ORIGINAL", "PRIMARY", "P"]}, **shared)
    series = read_series(paths + phase)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(series.image), volume())
    assert [f.code for f in series.findings] == ["frames_left_out"]


def test_an_enhanced_object_of_several_volumes_is_refused(tmp_path: Path) -> None:
    path = write_enhanced(tmp_path / "e.dcm", volume(12), temporal_positions=2)
    assert "several volumes that differ in TemporalPositionIndex" in refusal([path], "ambiguous_series")


def test_one_slice_alone_has_its_thickness(tmp_path: Path) -> None:
    paths = write_series(tmp_path, volume(1))
    assert read_series(paths).grid.spacing_xyz_mm == (1.0, 1.0, 3.0)
    edit(paths[0], SliceThickness=None, SpacingBetweenSlices=None)
    assert "one slice without SliceThickness" in refusal(paths, "inconsistent_geometry")


def test_truncated_pixels_are_refused(tmp_path: Path) -> None:
    paths = write_series(tmp_path, volume())
    paths[1].write_bytes(paths[1].read_bytes()[:-100])
    assert "expected 960 bytes of pixels, found 860 bytes" in refusal(paths, "unreadable_instance")


@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        ({"Rows": 65535, "Columns": 65535}, "expected 1 to 8192 rows and columns, found 65535 x 65535"),
        ({"Rows": 8000, "Columns": 8000}, "expected 128000000 bytes of pixels, found 960 bytes"),
        ({"NumberOfFrames": 2_000_000_000}, "expected 1920000000000 bytes of pixels, found 960"),
        ({"Rows": 0}, "found 0 x 24"),
        ({"BitsAllocated": 64}, "found 64"),
        ({"SamplesPerPixel": 3}, "expected grey values"),
    ],
)
def test_claims_of_the_header_are_compared_with_the_file(
    tmp_path: Path, keywords: dict[str, object], said: str
) -> None:
    paths = write_series(tmp_path, volume())
    edit(paths[0], **keywords)
    assert said in refusal(paths, "unreadable_instance")


def test_an_enhanced_object_cannot_claim_more_frames_than_it_describes(tmp_path: Path) -> None:
    path = write_enhanced(tmp_path / "e.dcm", volume())
    edit(path, NumberOfFrames=4_000_000)
    assert "4000000" in refusal([path], "unreadable_instance")


def test_a_nesting_bomb_is_refused(tmp_path: Path) -> None:
    paths = write_series(tmp_path, volume(2))
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    sequence = struct.pack("<HH2sHI", 0x0008, 0x1140, b"SQ", 0, 0xFFFFFFFF)
    whole = paths[0].read_bytes()
    start = whole.index(struct.pack("<HH", 0x0010, 0x0010))  # before the patient's name
    paths[0].write_bytes(whole[:start] + (sequence + item) * 100_000)
    assert "RecursionError" in refusal(paths, "unreadable_instance")


@pytest.mark.parametrize("content", [b"", b"not DICOM at all", b"\0" * 128 + b"DICM"])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.dcm"
    path.write_bytes(content)
    assert "x.dcm cannot be read as an image" in refusal([path], "unreadable_instance")


def test_two_series_or_none_are_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found none"):
        read_series([])
    paths = [*write_series(tmp_path / "a", volume()), *write_series(tmp_path / "b", volume())]
    with pytest.raises(InputError, match="expected the files of one series, found 2"):
        read_series(paths)


def test_the_files_of_a_folder_are_grouped_by_series(tmp_path: Path) -> None:
    write_series(tmp_path / "a", volume(), series_uid="1.2.3")
    write_series(tmp_path / "a" / "b", volume(3), series_uid="1.2.4")
    (tmp_path / "notes.txt").write_text("not an image")
    assert {uid: len(paths) for uid, paths in series_in(tmp_path).items()} == {"1.2.3": 6, "1.2.4": 3}
    with pytest.raises(InputError, match="found no folder"):
        series_in(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="found none"):
        series_in(tmp_path / "empty")
