"""The RTSTRUCT of the contour that was used: the same points, another object; read by dicom3tools and plastimatch."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, RTStructureSetStorage, SegmentationStorage

from config.indication.vocabulary import SeriesRole
from dicom_sr.objects.build import build_objects
from dicom_sr.report.report_inputs import ReportObject, ReportOptions, SourceStudy
from tests.dicom_sr import samples
from tests.dicom_sr.test_readers import complaints
from tests.peers import peer

ONLY = ReportOptions(kinds=("rtstruct",))
FRAME = f"{samples.STUDY}.9"
SQUARE_MM = (-10.0, 8.0)  # from, to, in x and y


def drawn_square(frame: str = FRAME) -> Dataset:
    """The sample's RTSTRUCT with a square of 18 mm on four slices, and another ROI that was not used."""
    ds = samples.rtstruct()
    low, high = SQUARE_MM
    rois, contours = [], []
    for number, name in ((samples.ROI_NUMBER, "GTVp"), (8, "Parotid")):
        roi, drawn = Dataset(), Dataset()
        roi.ROINumber, roi.ROIName, roi.ReferencedFrameOfReferenceUID = number, name, frame
        drawn.ReferencedROINumber, drawn.ContourSequence = number, []
        for z in range(1, 5):
            item, image = Dataset(), Dataset()
            corners = [low, low, 4.0 * z, high, low, 4.0 * z, high, high, 4.0 * z, low, high, 4.0 * z]
            item.ContourGeometricType, item.NumberOfContourPoints, item.ContourData = "CLOSED_PLANAR", 4, corners
            image.ReferencedSOPClassUID = MRImageStorage
            image.ReferencedSOPInstanceUID = samples.instance_uid(SeriesRole.T1W, z)
            item.ContourImageSequence = [image]
            drawn.ContourSequence.append(item)
        rois.append(roi)
        contours.append(drawn)
    ds.StructureSetROISequence, ds.ROIContourSequence = rois, contours
    return ds


def copies(rtstruct: Dataset, sources: SourceStudy | None = None) -> list[ReportObject]:
    sources = replace(sources or samples.sources(), contours=(rtstruct,))
    return build_objects(samples.scored(), sources, None, ONLY)


def test_the_copy_has_the_points_of_the_contour_and_says_what_it_is() -> None:
    source = drawn_square()
    [built] = copies(source)
    copy = built.dataset
    [roi], [drawn] = copy.StructureSetROISequence, copy.ROIContourSequence
    assert (roi.ROIName, copy.StructureSetLabel) == ("GTVp (copy used by CPTDN)", "CPTDN r1")
    assert [item.ContourData for item in drawn.ContourSequence] == [
        item.ContourData for item in source.ROIContourSequence[0].ContourSequence
    ]
    assert copy.RTROIObservationsSequence[0].RTROIInterpretedType == "GTV"
    assert (copy.ApprovalStatus, copy.StudyInstanceUID) == ("UNAPPROVED", samples.STUDY)
    assert copy.SOPInstanceUID not in (source.SOPInstanceUID, source.SeriesInstanceUID)
    # The node itself must not take it for a contour that somebody has drawn (`node.cases.contour_choice`).
    assert copy.ManufacturerModelName == "CPTDN node"


def test_it_refers_to_the_series_that_the_contour_was_drawn_on() -> None:
    [built] = copies(drawn_square())
    [frame] = built.dataset.ReferencedFrameOfReferenceSequence
    assert frame.FrameOfReferenceUID == FRAME == built.dataset.StructureSetROISequence[0].ReferencedFrameOfReferenceUID
    [series] = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence
    assert series.SeriesInstanceUID == samples.series_uid(SeriesRole.T1W)
    listed = {str(item.ReferencedSOPInstanceUID) for item in series.ContourImageSequence}
    assert listed == {samples.instance_uid(SeriesRole.T1W, z) for z in range(samples.N_SLICES)}
    for item in built.dataset.ROIContourSequence[0].ContourSequence:
        assert item.ContourImageSequence[0].ReferencedSOPInstanceUID in listed


@pytest.mark.parametrize("case", ["another frame", "segmentation", "not drawn"])
def test_without_a_contour_in_the_frame_of_the_mr_there_is_no_copy(case: str) -> None:
    source = drawn_square("2.25.77" if case == "another frame" else FRAME)
    if case == "segmentation":
        source.SOPClassUID = SegmentationStorage
    if case == "not drawn":
        source.ROIContourSequence = source.ROIContourSequence[1:]
    assert copies(source) == []


def test_it_is_not_sent_unless_the_site_asks_for_it() -> None:
    assert "rtstruct" not in ReportOptions().kinds


def test_dicom3tools_and_plastimatch_read_it(tmp_path: Path) -> None:
    """plastimatch fills the square on the grid of the MR: 18 x 18 mm on four slices of 4 mm."""
    sources, folder = samples.sources(), tmp_path / "mr"
    folder.mkdir()
    for z in range(samples.N_SLICES):
        slice_of_t1w = samples.mr_dataset(SeriesRole.T1W, z)
        slice_of_t1w.BitsAllocated, slice_of_t1w.BitsStored, slice_of_t1w.HighBit = 16, 12, 11
        slice_of_t1w.PixelRepresentation, slice_of_t1w.SamplesPerPixel = 0, 1
        slice_of_t1w.PhotometricInterpretation = "MONOCHROME2"
        slice_of_t1w.PixelData = bytes(2 * samples.ROWS * samples.COLUMNS)
        slice_of_t1w.file_meta = FileMetaDataset()
        slice_of_t1w.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        slice_of_t1w.save_as(folder / f"{z}.dcm", enforce_file_format=True)
    [built] = copies(drawn_square(), sources)
    path = tmp_path / "rtstruct.dcm"
    path.write_bytes(built.encoded)
    assert built.dataset.SOPClassUID == RTStructureSetStorage
    assert complaints(path) == []
    done = subprocess.run(
        [peer("plastimatch", "plastimatch"), "convert", "--input", path, "--referenced-ct", folder, "--output-prefix",
         tmp_path / "masks", "--prefix-format", "mha"], capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    [mask] = (tmp_path / "masks").glob("*.mha")
    image = sitk.ReadImage(str(mask))
    volume_mm3 = float(np.prod(image.GetSpacing())) * int(sitk.GetArrayFromImage(image).sum())
    assert volume_mm3 == pytest.approx(18 * 18 * 16, rel=0.06)  # squares of 0.9 mm do not end where the contour does
