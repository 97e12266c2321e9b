"""SEG objects written with highdicom, found again on the series' grid."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.sr.codedict import codes
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from config.errors import IneligibleStudyError, InputError
from config.indication.vocabulary import SeriesRole
from dicom_sr.objects.segmentation import build_seg
from dicom_sr.report.report_inputs import ReportOptions, SeriesMask, SourceStudy
from tests.dicom_sr.samples import scored
from tests.volumes.synthetic import AXIAL, SeriesGeometry, tilted, write_enhanced, write_rtstruct, write_series
from workers.volumes.reader import read_series
from workers.volumes.segmentations import read_segment, segment_on_series

GEOMETRY = SeriesGeometry((0.9, 0.8, 2.5), (-30, -30, -20), tilted(10, (1, 1, 0)))


def ball(size_zyx: tuple[int, int, int] = (12, 70, 80)) -> NDArray[np.bool_]:
    z, y, x = np.mgrid[tuple(slice(n) for n in size_zyx)]
    return (x - 42) ** 2 * 0.64 + (y - 30) ** 2 * 0.81 + (z - 6) ** 2 * 6.25 < 12**2


def write_seg(
    path: Path,
    images: list[Path],
    masks_zyx: Sequence[NDArray[np.bool_]],
    kind: str = "BINARY",
    labels: Sequence[str] = ("GTVp", "GTVn"),
) -> Path:
    descriptions = [
        hd.seg.SegmentDescription(
            segment_number=number, segment_label=label,
            segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
            segmented_property_type=codes.SCT.Neoplasm, algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for number, label in zip(range(1, len(masks_zyx) + 1), labels, strict=False)
    ]  # fmt: skip
    array = np.stack(masks_zyx, axis=-1)
    if kind == "LABELMAP":
        array = sum(number * mask.astype(np.uint8) for number, mask in enumerate(masks_zyx, start=1))
    seg = hd.seg.Segmentation(
        source_images=[dcmread(p) for p in images],
        pixel_array=array.astype(np.float32) if kind == "FRACTIONAL" else array,
        segmentation_type=kind, segment_descriptions=descriptions, series_instance_uid=hd.UID(), series_number=9,
        sop_instance_uid=hd.UID(), instance_number=1, manufacturer="Phantom", manufacturer_model_name="Test",
        software_versions="1", device_serial_number="1",
    )  # fmt: skip
    seg.save_as(path)
    return path


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
@pytest.mark.parametrize("columns", [80, 79])
def test_a_segment_comes_back_voxel_by_voxel(tmp_path: Path, kind: str, columns: int) -> None:
    """With 79 columns the one-bit frames of a binary SEG begin within a byte."""
    tumour = ball()[:, :69, :columns]
    images = write_series(tmp_path / "mr", np.ones(tumour.shape, np.uint16), GEOMETRY)
    series = read_series(images)
    node = np.roll(tumour, (25, 2), axis=(2, 0)) & ~tumour
    seg = write_seg(tmp_path / "seg.dcm", images, [tumour, node], kind)
    segment = read_segment(seg, "GTVp")
    assert (segment.number, segment.label) == (1, "GTVp")
    found = segment_on_series(segment, series)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(found.mask), tumour)
    assert found.volume_ml == pytest.approx(tumour.sum() * 0.9 * 0.8 * 2.5 / 1000)
    assert found.mask_volume_ml == pytest.approx(found.volume_ml)
    assert found.n_slices == tumour.any(axis=(1, 2)).sum()
    np.testing.assert_allclose(found.centroid_lps_mm, GEOMETRY.points([42, 30, 6]), atol=1e-3)
    assert found.findings == ()
    np.testing.assert_array_equal(segment_on_series(read_segment(seg, "2"), series).mask_zyx, node)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, RLELossless])
def test_other_transfer_syntaxes_give_the_same_mask(tmp_path: Path, syntax: UID) -> None:
    images = write_series(tmp_path / "mr", np.ones((12, 70, 80), np.uint16), GEOMETRY)
    kind = "FRACTIONAL" if syntax == RLELossless else "BINARY"
    node = np.roll(ball(), 15, axis=2)
    path = write_seg(tmp_path / "seg.dcm", images, [ball(), node], kind)
    dataset = dcmread(path)
    if syntax == RLELossless:
        dataset.compress(syntax)
    else:
        assert all(list(dataset))  # every element is parsed before the encoding changes
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.set_original_encoding(syntax.is_implicit_VR, True)
    dataset.save_as(path, enforce_file_format=True)
    found = segment_on_series(read_segment(path, "GTVn"), read_series(images))
    np.testing.assert_array_equal(found.mask_zyx, node)


def test_only_the_frames_of_the_requested_segment_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty segments on twelve slices: one frame for each slice reaches highdicom, whose work grows with them."""
    images = write_series(tmp_path / "mr", np.ones((12, 70, 80), np.uint16), GEOMETRY)
    masks = [np.roll(ball(), (shift, shift % 3 - 1), axis=(2, 0)) for shift in range(20)]
    path = write_seg(tmp_path / "seg.dcm", images, masks, labels=[f"s{number}" for number in range(20)])
    assert dcmread(path).NumberOfFrames > 100
    frames, convert = [], hd.seg.Segmentation.from_dataset

    def counted(dataset: Dataset, copy: bool) -> hd.seg.Segmentation:
        frames.append(dataset.NumberOfFrames)
        return convert(dataset, copy=copy)

    monkeypatch.setattr(hd.seg.Segmentation, "from_dataset", counted)
    segment = read_segment(path, "s7")
    assert frames[0] <= 12
    np.testing.assert_array_equal(segment_on_series(segment, read_series(images)).mask_zyx, masks[7])


def test_a_segment_has_the_grid_of_the_whole_segmentation(tmp_path: Path) -> None:
    """One slice of a small segment among the slices of a large one: the slice distance is known from those."""
    images = write_series(tmp_path / "mr", np.ones((12, 70, 80), np.uint16), GEOMETRY)
    small = np.zeros((12, 70, 80), bool)
    small[7, 20:25, 30:34] = True
    segment = read_segment(write_seg(tmp_path / "seg.dcm", images, [ball(), small]), "GTVn")
    found = segment_on_series(segment, read_series(images))
    assert found.volume_ml == pytest.approx(20 * 0.9 * 0.8 * 2.5 / 1000)
    np.testing.assert_array_equal(found.mask_zyx, small)


@pytest.mark.parametrize("orientation", [AXIAL, (0, 1, 0, 1, 0, 0), (-1, 0, 0, 0, 1, 0), (0, 1, 0, 0, 0, -1)])
def test_the_volume_of_a_segment_is_right_handed_as_the_series_is(
    tmp_path: Path, orientation: tuple[float, ...]
) -> None:
    """highdicom's volumes have the order slice, row, column; read the other way round they are mirror images."""
    geometry = SeriesGeometry((0.9, 0.8, 2.5), (-30, -30, -20), orientation)
    images = write_series(tmp_path / "mr", np.ones((12, 70, 80), np.uint16), geometry)
    segment = read_segment(write_seg(tmp_path / "seg.dcm", images, [ball()]), "GTVp")
    direction = np.reshape(segment.mask.GetDirection(), (3, 3))
    assert np.linalg.det(direction) == pytest.approx(1)
    np.testing.assert_allclose(direction, np.column_stack([geometry.row, geometry.column, geometry.normal]), atol=1e-6)
    first = np.argwhere(sitk.GetArrayFromImage(segment.mask))[0][::-1]
    expected = np.argwhere(ball())[0][::-1]
    np.testing.assert_allclose(
        segment.mask.TransformIndexToPhysicalPoint(first.tolist()), geometry.points(expected), atol=1e-4
    )


@pytest.mark.parametrize("stored_backwards", [False, True])
def test_the_seg_of_an_enhanced_series_has_each_slice_at_its_frame(tmp_path: Path, stored_backwards: bool) -> None:
    """A mask of different slices, written as SEG of an Enhanced object and found again at the same millimetres.

    Frames may be stored from feet to head or the other way; the references name them by number.
    """
    step = -2.5 if stored_backwards else 2.5
    geometry = SeriesGeometry((0.9, 0.8, 2.5), (-30, -30, -20 if step > 0 else 7.5))
    path = write_enhanced(tmp_path / "e.dcm", np.ones((12, 70, 80), np.uint16), geometry)
    dataset = dcmread(path)
    for number, group in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        group.PlanePositionSequence[0].ImagePositionPatient = [-30, -30, geometry.origin[2] + number * step]
    dataset.save_as(path, enforce_file_format=True)
    series = read_series([path])
    assert series.slices[0].frame_number == (12 if stored_backwards else 1)
    mask = np.zeros((12, 70, 80), np.uint8)
    for z in range(3, 8):
        mask[z, 20 : 22 + z, 30:40] = 1
    touched = np.flatnonzero(mask.any(axis=(1, 2)))
    used = SeriesMask(SeriesRole.T1W, mask[touched], tuple(series.slices[z] for z in touched))
    sources = SourceStudy(mr=series.datasets, masks=(used,))
    seg = tmp_path / "seg.dcm"
    build_seg(used, scored(), sources, ReportOptions()).save_as(seg, enforce_file_format=True)
    np.testing.assert_array_equal(segment_on_series(read_segment(seg, "1"), series).mask_zyx, mask)


def test_a_segment_drawn_on_another_series_is_resampled(tmp_path: Path) -> None:
    images = write_series(tmp_path / "mr", np.ones((12, 70, 80), np.uint16), GEOMETRY, frame_of_reference_uid="1.2.3")
    segment = read_segment(write_seg(tmp_path / "seg.dcm", images, [ball()]), "GTVp")
    other = SeriesGeometry((0.6, 0.6, 2.0), (-32, -31, -22), tilted(10, (1, 1, 0)))
    paths = write_series(tmp_path / "other", np.ones((18, 110, 110), np.uint16), other, frame_of_reference_uid="1.2.3")
    found = segment_on_series(segment, read_series(paths))
    assert [f.code for f in found.findings] == ["contour_resampled"]
    assert found.volume_ml == pytest.approx(ball().sum() * 0.9 * 0.8 * 2.5 / 1000)
    assert found.mask_volume_ml == pytest.approx(found.volume_ml, rel=0.03)
    mask = sitk.GetArrayFromImage(found.mask)
    middle = read_series(paths).grid.points_of(np.argwhere(mask)[:, ::-1].mean(axis=0)[None])[0]
    np.testing.assert_allclose(middle, GEOMETRY.points([42, 30, 6]), atol=0.3)


def test_segments_are_refused_with_a_reason(tmp_path: Path) -> None:
    images = write_series(tmp_path / "mr", np.ones((12, 70, 80), np.uint16), GEOMETRY)
    seg = write_seg(tmp_path / "seg.dcm", images, [ball()])
    elsewhere = read_series(write_series(tmp_path / "b", np.ones((12, 70, 80), np.uint16), GEOMETRY))
    with pytest.raises(IneligibleStudyError) as caught:
        segment_on_series(read_segment(seg, "GTVp"), elsewhere)
    assert caught.value.code == "frame_of_reference_mismatch"
    with pytest.raises(InputError, match="expected one segment 'GTV', found 0; the segmentation has: 1 GTVp"):
        read_segment(seg, "GTV")
    for path in (images[0], write_rtstruct(tmp_path / "rt.dcm", {"GTVp": []}, "1.2.3")):
        with pytest.raises(IneligibleStudyError, match="cannot be read as a segmentation") as caught:
            read_segment(path, "1")
        assert caught.value.code == "unreadable_instance"
