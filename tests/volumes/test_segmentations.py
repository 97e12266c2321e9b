"""SEG objects written with highdicom, found again on the series' grid."""

from __future__ import annotations

from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.sr.codedict import codes

from config.errors import IneligibleStudyError, InputError
from tests.volumes.synthetic import SeriesGeometry, tilted, write_rtstruct, write_series
from workers.volumes.reader import read_series
from workers.volumes.segmentations import read_segments, segment_named, segment_on_series

GEOMETRY = SeriesGeometry((0.9, 0.8, 2.5), (-30, -30, -20), tilted(10, (1, 1, 0)))


def ball(size_zyx: tuple[int, int, int] = (12, 70, 80)) -> NDArray[np.bool_]:
    z, y, x = np.mgrid[tuple(slice(n) for n in size_zyx)]
    return (x - 42) ** 2 * 0.64 + (y - 30) ** 2 * 0.81 + (z - 6) ** 2 * 6.25 < 12**2


def write_seg(path: Path, images: list[Path], masks_zyx: list[NDArray[np.bool_]], kind: str = "BINARY") -> Path:
    descriptions = [
        hd.seg.SegmentDescription(
            segment_number=number, segment_label=label,
            segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
            segmented_property_type=codes.SCT.Neoplasm, algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for number, label in zip(range(1, len(masks_zyx) + 1), ("GTVp", "GTVn"), strict=False)
    ]  # fmt: skip
    array = np.stack(masks_zyx, axis=-1)
    seg = hd.seg.Segmentation(
        source_images=[dcmread(p) for p in images],
        pixel_array=array.astype(np.float32) if kind == "FRACTIONAL" else array,
        segmentation_type=kind, segment_descriptions=descriptions, series_instance_uid=hd.UID(), series_number=9,
        sop_instance_uid=hd.UID(), instance_number=1, manufacturer="Phantom", manufacturer_model_name="Test",
        software_versions="1", device_serial_number="1",
    )  # fmt: skip
    seg.save_as(path)
    return path


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL"])
def test_a_segment_comes_back_voxel_by_voxel(tmp_path: Path, kind: str) -> None:
    images = write_series(tmp_path / "mr", np.ones((12, 70, 80), np.uint16), GEOMETRY)
    series = read_series(images)
    node = np.roll(ball(), 15, axis=2)
    segments = read_segments(write_seg(tmp_path / "seg.dcm", images, [ball(), node], kind))
    assert [(s.number, s.label) for s in segments] == [(1, "GTVp"), (2, "GTVn")]
    found = segment_on_series(segment_named(segments, "GTVp"), series)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(found.mask), ball())
    assert found.volume_ml == pytest.approx(ball().sum() * 0.9 * 0.8 * 2.5 / 1000)
    assert found.mask_volume_ml == pytest.approx(found.volume_ml)
    assert found.n_slices == ball().any(axis=(1, 2)).sum()
    np.testing.assert_allclose(found.centroid_lps_mm, GEOMETRY.points([42, 30, 6]), atol=1e-3)
    assert found.findings == ()
    np.testing.assert_array_equal(sitk.GetArrayFromImage(segment_on_series(segments[1], series).mask), node)


def test_a_segment_drawn_on_another_series_is_resampled(tmp_path: Path) -> None:
    images = write_series(tmp_path / "mr", np.ones((12, 70, 80), np.uint16), GEOMETRY, frame_of_reference_uid="1.2.3")
    segments = read_segments(write_seg(tmp_path / "seg.dcm", images, [ball()]))
    other = SeriesGeometry((0.6, 0.6, 2.0), (-32, -31, -22), tilted(10, (1, 1, 0)))
    paths = write_series(tmp_path / "other", np.ones((18, 110, 110), np.uint16), other, frame_of_reference_uid="1.2.3")
    found = segment_on_series(segments[0], read_series(paths))
    assert [f.code for f in found.findings] == ["contour_resampled"]
    assert found.volume_ml == pytest.approx(ball().sum() * 0.9 * 0.8 * 2.5 / 1000)
    assert found.mask_volume_ml == pytest.approx(found.volume_ml, rel=0.03)
    mask = sitk.GetArrayFromImage(found.mask)
    middle = read_series(paths).grid.points_of(np.argwhere(mask)[:, ::-1].mean(axis=0)[None])[0]
    np.testing.assert_allclose(middle, GEOMETRY.points([42, 30, 6]), atol=0.3)


def test_segments_are_refused_with_a_reason(tmp_path: Path) -> None:
    images = write_series(tmp_path / "mr", np.ones((12, 70, 80), np.uint16), GEOMETRY)
    segments = read_segments(write_seg(tmp_path / "seg.dcm", images, [ball()]))
    elsewhere = read_series(write_series(tmp_path / "b", np.ones((12, 70, 80), np.uint16), GEOMETRY))
    with pytest.raises(IneligibleStudyError) as caught:
        segment_on_series(segments[0], elsewhere)
    assert caught.value.code == "frame_of_reference_mismatch"
    with pytest.raises(InputError, match="expected one segment 'GTV', found 0; the segmentation has: 1 GTVp"):
        segment_named(segments, "GTV")
    for path in (images[0], write_rtstruct(tmp_path / "rt.dcm", {"GTVp": []}, "1.2.3")):
        with pytest.raises(IneligibleStudyError, match="cannot be read as a segmentation") as caught:
            read_segments(path)
        assert caught.value.code == "unreadable_instance"
