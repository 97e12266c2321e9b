"""Functional groups of Enhanced objects: which of several places of an attribute counts (PS3.3 C.7.6.16)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk
from pydicom import Dataset, dcmread

from tests.volumes.synthetic import SeriesGeometry, tilted, write_enhanced
from tests.volumes.test_reader import refusal, volume
from workers.volumes.reader import read_series


def test_the_standard_macro_of_a_frame_counts_and_no_private_copy(tmp_path: Path) -> None:
    """Philips writes copies of standard attributes in a private sequence of each frame; they change nothing."""
    array = volume()
    geometry = SeriesGeometry((0.9, 0.8, 2.5), (-10, -20, 30), tilted(9, (1, 2, 0)))
    plain = read_series([write_enhanced(tmp_path / "plain.dcm", array, geometry)])
    path = write_enhanced(tmp_path / "private.dcm", array, geometry)
    ds = dcmread(path)
    for group in ds.PerFrameFunctionalGroupsSequence:
        copy = Dataset()
        copy.PixelSpacing, copy.SliceThickness, copy.SpacingBetweenSlices = [2, 2], 9, 9
        copy.ImagePositionPatient, copy.ImageOrientationPatient = [0, 0, 0], [0, 1, 0, 1, 0, 0]
        copy.RescaleSlope, copy.RescaleIntercept, copy.ImageType = 3, 7, ["ORIGINAL", "PRIMARY", "PHASE MAP"]
        group.private_block(0x2005, "Philips MR Imaging DD 005", create=True).add_new(0x0F, "SQ", [copy])
    ds.save_as(path, enforce_file_format=True)
    found = read_series([path])
    assert found.grid == plain.grid
    np.testing.assert_array_equal(sitk.GetArrayFromImage(found.image), array)


def test_a_private_copy_never_replaces_a_missing_standard_attribute(tmp_path: Path) -> None:
    path = write_enhanced(tmp_path / "e.dcm", volume())
    ds = dcmread(path)
    shared = ds.SharedFunctionalGroupsSequence[0]
    del shared.PixelMeasuresSequence
    copy = Dataset()
    copy.PixelSpacing = [2, 2]
    shared.private_block(0x2005, "Philips MR Imaging DD 005", create=True).add_new(0x0F, "SQ", [copy])
    ds.save_as(path, enforce_file_format=True)
    assert "expected PixelSpacing with 2 numbers, found None" in refusal([path], "inconsistent_geometry")


def test_attributes_of_converted_objects_count_behind_the_macros(tmp_path: Path) -> None:
    """Legacy Converted Enhanced MR has what belongs to no macro in sequences of its own (PS3.3 A.71)."""
    path = write_enhanced(tmp_path / "e.dcm", volume())
    ds = dcmread(path)
    for group in ds.PerFrameFunctionalGroupsSequence:
        rest = Dataset()
        rest.EchoTime, rest.PixelSpacing = "12", [2, 2]
        group.UnassignedPerFrameConvertedAttributesSequence = [rest]
    ds.save_as(path, enforce_file_format=True)
    series = read_series([path])
    assert series.grid.spacing_xyz_mm[:2] == (1.0, 1.0)
    assert series.frames[0].facts()["EchoTime"] == "12"
