"""SEG frames refer to the stored slices that they were drawn on, whatever objects these are stored in.

The expected pixels and references are those of the mask; pydicom, highdicom and this project's reader of SEG objects
read them back.
"""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.uid import EnhancedMRImageStorage

from config.indication.vocabulary import SeriesRole
from dicom_sr.objects.build import build_objects
from dicom_sr.objects.segmentation import build_seg
from dicom_sr.report.errors import InvalidReportError
from dicom_sr.report.report_inputs import ReportOptions, SeriesMask, SourceStudy
from dicom_sr.report.treatment_report import ContourUsed
from tests.dicom_sr import samples
from tests.dicom_sr.test_readers import complaints
from tests.volumes.synthetic import SeriesGeometry, tilted, write_enhanced, write_series
from workers.volumes.reader import MrSeries, read_series
from workers.volumes.segmentations import read_segment, segment_on_series

SIZE = (12, 40, 48)
UIDS = {"study_uid": samples.STUDY, "series_uid": f"{samples.STUDY}.3", "frame_of_reference_uid": f"{samples.STUDY}.9"}


def geometry(first_slice: int = 0) -> SeriesGeometry:
    whole = SeriesGeometry((0.9, 0.8, 2.5), (-20, -20, -10), tilted(12, (1, 2, 0)))
    return SeriesGeometry(whole.spacing_mm, whole.points([0, 0, first_slice]), whole.orientation)


def edited(path: Path, **values: object) -> Path:
    ds = dcmread(path)
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    ds.save_as(path, enforce_file_format=True)
    return path


def objects_of(folder: Path, counts: tuple[int, ...]) -> list[Path]:
    """Write one series as Enhanced objects of so many frames each, from feet to head."""
    paths, first = [], 0
    for number, count in enumerate(counts):
        path = write_enhanced(folder / f"{number}.dcm", np.ones((count, *SIZE[1:]), np.uint16), geometry(first), **UIDS)
        paths.append(edited(path, PatientID="PID-0042"))
        first += count
    return paths


def drawn() -> NDArray[np.uint8]:
    """A mask of which no two slices are alike; the first and the last one are empty."""
    mask = np.zeros(SIZE, np.uint8)
    for z in range(1, 11):
        mask[z, 8 : 10 + z, 5 : 9 + 2 * z] = 1
    return mask


def segmentation(series: MrSeries, mask: NDArray[np.uint8]) -> Dataset:
    touched = np.flatnonzero(mask.any(axis=(1, 2)))
    used = SeriesMask(SeriesRole.CE_T1W, mask[touched], tuple(series.slices[z] for z in touched))
    return build_seg(used, samples.scored(), SourceStudy(series.datasets, masks=(used,)), ReportOptions())


def shown(seg: Dataset) -> dict[tuple[str, int | None], NDArray[np.uint8]]:
    """Pixels of each frame by the instance and frame that it names."""
    planes = {}
    for pixels, group in zip(seg.pixel_array, seg.PerFrameFunctionalGroupsSequence, strict=True):
        (source,) = group.DerivationImageSequence[0].SourceImageSequence
        frame = source.get("ReferencedFrameNumber")
        planes[str(source.ReferencedSOPInstanceUID), None if frame is None else int(frame)] = pixels
    return planes


@pytest.mark.parametrize("counts", [(12,), (7, 5), (3, 4, 5), (1,) * 12])
def test_a_series_of_several_multi_frame_objects_has_each_slice_at_its_object_and_frame(
    tmp_path: Path, counts: tuple[int, ...]
) -> None:
    paths = objects_of(tmp_path, counts)
    series, mask = read_series(paths), drawn()
    seg = segmentation(series, mask)
    expected, z = {}, 0
    for path, count in zip(paths, counts, strict=True):
        uid = str(dcmread(path).SOPInstanceUID)
        for frame in range(1, count + 1):
            if mask[z].any():
                expected[uid, frame] = mask[z]
            z += 1
    planes = shown(seg)
    assert planes.keys() == expected.keys()
    for slice_, pixels in planes.items():
        np.testing.assert_array_equal(pixels, expected[slice_])
    (listed,) = seg.ReferencedSeriesSequence
    named = [(str(i.ReferencedSOPInstanceUID), i.ReferencedSOPClassUID) for i in listed.ReferencedInstanceSequence]
    assert named == [(uid, EnhancedMRImageStorage) for uid in dict.fromkeys(uid for uid, _ in expected)]
    seg.save_as(tmp_path / "seg.dcm", enforce_file_format=True)
    np.testing.assert_array_equal(segment_on_series(read_segment(tmp_path / "seg.dcm", "1"), series).mask_zyx, mask)


def test_highdicom_finds_the_mask_of_a_source_frame_in_the_second_object(tmp_path: Path) -> None:
    paths = objects_of(tmp_path, (7, 5))
    seg = segmentation(read_series(paths), drawn())
    file = io.BytesIO()
    seg.save_as(file, enforce_file_format=True)
    read = hd.seg.segread(io.BytesIO(file.getvalue()))
    uid = str(dcmread(paths[1]).SOPInstanceUID)
    pixels = read.get_pixels_by_source_frame(uid, [2, 4], segment_numbers=[1])
    np.testing.assert_array_equal(pixels[..., 0], drawn()[[8, 10]])


def test_dciodvfy_accepts_a_seg_of_several_objects(tmp_path: Path) -> None:
    seg = segmentation(read_series(objects_of(tmp_path, (7, 5))), drawn())
    seg.save_as(tmp_path / "seg.dcm", enforce_file_format=True)
    assert complaints(tmp_path / "seg.dcm") == []


def test_classic_and_multi_frame_objects_of_one_series_are_referred_to_each_in_its_way(tmp_path: Path) -> None:
    enhanced = objects_of(tmp_path / "e", (7,))
    classic = write_series(tmp_path / "c", np.ones((5, *SIZE[1:]), np.uint16), geometry(7), **UIDS)
    series = read_series([*enhanced, *(edited(path, PatientID="PID-0042") for path in classic)])
    frames = [frame for _, frame in shown(segmentation(series, drawn()))]
    assert sorted(frame or 0 for frame in frames) == [0, 0, 0, 0, 2, 3, 4, 5, 6, 7]


def test_orientation_and_spacing_may_be_in_the_groups_of_each_frame(tmp_path: Path) -> None:
    """As Philips writes Enhanced MR: nothing is shared."""
    (path,) = objects_of(tmp_path, (12,))
    ds = dcmread(path)
    shared = ds.SharedFunctionalGroupsSequence[0]
    for group in ds.PerFrameFunctionalGroupsSequence:
        group.PixelMeasuresSequence = shared.PixelMeasuresSequence
        group.PlaneOrientationSequence = shared.PlaneOrientationSequence
    del shared.PixelMeasuresSequence, shared.PlaneOrientationSequence
    ds.save_as(path, enforce_file_format=True)
    series = read_series([path])
    seg = segmentation(series, drawn())
    measures = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert [float(value) for value in measures.PixelSpacing] == [0.9, 0.8]
    seg.save_as(tmp_path / "seg.dcm", enforce_file_format=True)
    np.testing.assert_array_equal(segment_on_series(read_segment(tmp_path / "seg.dcm", "1"), series).mask_zyx, drawn())


@pytest.mark.parametrize("defect", ["no thickness", "cosines rounded apart", "no frame of reference"])
def test_what_the_reader_accepts_has_a_seg(tmp_path: Path, defect: str) -> None:
    paths = write_series(tmp_path / "mr", np.ones(SIZE, np.uint16), geometry(), **UIDS)
    for number, path in enumerate(paths):
        ds = dcmread(path)
        ds.PatientID = "PID-0042"
        if defect == "no thickness":
            del ds.SliceThickness
        elif defect == "no frame of reference":
            ds.FrameOfReferenceUID = ""
        else:
            ds.ImageOrientationPatient = [f"{value + number % 2 * 1e-6:.6f}" for value in geometry().orientation]
        ds.save_as(path, enforce_file_format=True)
    series = read_series(paths)
    seg = segmentation(series, drawn())
    seg.save_as(tmp_path / "seg.dcm", enforce_file_format=True)
    assert complaints(tmp_path / "seg.dcm") == []
    assert seg.FrameOfReferenceUID
    for (uid, _), pixels in shown(seg).items():
        z = [frame.sop_instance_uid for frame in series.frames].index(uid)
        np.testing.assert_array_equal(pixels, drawn()[z])


def test_a_frame_that_an_object_does_not_have_is_refused(tmp_path: Path) -> None:
    series = read_series(objects_of(tmp_path, (12,)))
    uid = series.slices[0].sop_instance_uid
    used = SeriesMask(SeriesRole.CE_T1W, drawn()[5:6], ((uid, 13),))
    with pytest.raises(InvalidReportError, match=r"names frame 13 of .*, which has 12"):
        build_seg(used, samples.scored(), SourceStudy(series.datasets, masks=(used,)), ReportOptions())


def contour(uid: str, number: int, volume_ml: float) -> ContourUsed:
    first = samples.scored().contours[0]
    return replace(first, sop_instance_uid=uid, roi_number=number, volume_ml=volume_ml)


def referenced_segs(sr: Dataset) -> dict[float, str]:
    """SOP Instance UID of the SEG that each volume refers to."""
    segs = {}
    for group in next(c for c in sr.ContentSequence if _meaning(c) == "Imaging Measurements").ContentSequence:
        items = list(group.get("ContentSequence") or ())
        volumes = [c.MeasuredValueSequence[0].NumericValue for c in items if _meaning(c) == "Volume"]
        images = [c.ReferencedSOPSequence[0] for c in items if c.ValueType == "IMAGE"]
        for volume in volumes:
            segs[float(volume)] = str(images[0].ReferencedSOPInstanceUID) if images else ""
    return segs


def _meaning(item: Dataset) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeMeaning) if "ConceptNameCodeSequence" in item else ""


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_the_volume_of_a_contour_refers_to_the_seg_of_the_same_contour(order: tuple[int, ...]) -> None:
    """Two contours on three series, in an order of their own; one was carried from the CE-T1w to the T2w."""
    sources = samples.sources()
    other = "1.2.826.0.1.3680043.8.498.1.77.5.2"
    t1w, t2w, ce = (
        replace(sources.masks[0], contour=(other, 3)),
        replace(sources.masks[1], contour=(samples.CONTOUR, 7), drawn_here=False),
        replace(sources.masks[2], contour=(samples.CONTOUR, 7)),
    )
    masks = tuple((t1w, t2w, ce)[index] for index in order)
    report = samples.scored(contours=(contour(samples.CONTOUR, 7, 23.41), contour(other, 3, 20.5)))
    built = build_objects(report, replace(sources, masks=masks), None, ReportOptions(kinds=("seg", "sr")))
    segs = {str(each.dataset.ContentDescription): each.sop_instance_uid for each in built if each.kind == "seg"}
    sr = next(each.dataset for each in built if each.kind == "sr")
    assert referenced_segs(sr) == {
        23.41: segs["Contour used on CE-T1w"],
        20.5: segs["Contour used on T1w"],
    }


def test_two_rois_of_one_structure_set_are_told_apart_by_their_number() -> None:
    sources = samples.sources()
    masks = tuple(
        replace(mask, contour=(samples.CONTOUR, number)) for mask, number in zip(sources.masks, (9, 7, 7), strict=True)
    )
    report = samples.scored(contours=(contour(samples.CONTOUR, 7, 23.41), contour(samples.CONTOUR, 9, 20.5)))
    built = build_objects(report, replace(sources, masks=masks), None, ReportOptions(kinds=("seg", "sr")))
    segs = [each.sop_instance_uid for each in built if each.kind == "seg"]
    assert referenced_segs(built[-1].dataset) == {23.41: segs[1], 20.5: segs[0]}


def test_a_contour_whose_mask_is_not_among_the_sources_has_its_volume_without_a_segment() -> None:
    sources = samples.sources()
    report = samples.scored(contours=(contour(f"{samples.STUDY}.77.5.9", 7, 23.41),))
    built = build_objects(report, sources, None, ReportOptions(kinds=("seg", "sr")))
    assert referenced_segs(built[-1].dataset) == {23.41: ""}
