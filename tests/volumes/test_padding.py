"""Pixel padding (PS3.3 C.7.5.1.1.2): never brighter than the darkest pixel of its slice, however it is stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.datadict import tag_for_keyword

from tests.volumes.synthetic import write_series
from tests.volumes.test_reader import volume
from workers.volumes.reader import read_series


def padded_series(folder: Path, stored: NDArray[np.integer], **header: object) -> NDArray[np.float32]:
    """Grey values of a series with these stored values; a VR may be given with a value, as (VR, value)."""
    paths = write_series(folder, stored)
    for path in paths:
        ds = dcmread(path)
        for keyword, value in header.items():
            tag = tag_for_keyword(keyword)
            assert tag is not None
            if isinstance(value, tuple):
                ds.add_new(tag, *value)
            else:
                setattr(ds, keyword, value)
        ds.save_as(path, enforce_file_format=True)
    return np.asarray(sitk.GetArrayFromImage(read_series(paths).image))


@pytest.mark.parametrize("padding", [0, 4095, 17])
def test_padding_of_a_monochrome1_series_is_as_dark_as_its_darkest_pixel(tmp_path: Path, padding: int) -> None:
    """PS3.3 C.7.5.1.1.2: 4095 is black in 12 bits of MONOCHROME1; 0 or another value would be bright."""
    array = volume() % 3000 + 500
    array[:, 0, :5] = padding
    found = padded_series(tmp_path, array, PhotometricInterpretation="MONOCHROME1", BitsStored=12, HighBit=11,
                          PixelPaddingValue=("US", padding))  # fmt: skip
    inside = np.ones(array.shape, bool)
    inside[:, 0, :5] = False
    np.testing.assert_array_equal(found[inside], 4095 - array[inside].astype(np.float32))
    for z in range(len(array)):
        assert set(found[z, 0, :5]) == {found[z][inside[z]].min()}


def test_a_range_of_padding_has_both_its_ends(tmp_path: Path) -> None:
    """MONOCHROME2 has the padding value below the limit of its range, MONOCHROME1 above."""
    array = volume() % 3000 + 500
    array[:, 0, :5] = [1, 2, 3, 4, 0]
    dark = padded_series(tmp_path / "2", array, PixelPaddingValue=("US", 1), PixelPaddingRangeLimit=("US", 3))
    for z in range(len(array)):
        assert list(dark[z, 0, :5]) == [0, 0, 0, 4, 0]  # the darkest pixel that is no padding is 0
    array[:, 0, :5] = [4095, 4090, 4080, 4079, 4095]
    bright = padded_series(tmp_path / "1", array, PhotometricInterpretation="MONOCHROME1", BitsStored=12, HighBit=11,
                           PixelPaddingValue=("US", 4095), PixelPaddingRangeLimit=("US", 4080))  # fmt: skip
    for z in range(len(array)):
        assert list(bright[z, 0, :5]) == [16] * 5  # 4095 - 4079


@pytest.mark.parametrize("written", [("SS", -2000), ("US", 63536), ("US", 2096)])
def test_signed_padding_is_found_whichever_vr_it_is_written_with(tmp_path: Path, written: tuple[str, int]) -> None:
    """-2000 in 16 bits is 63536, in 12 bits 2096."""
    array = (volume() % 1000).astype(np.int16)
    array[:, 0, 0] = -2000
    stored = array.view(np.uint16)
    found = padded_series(tmp_path, stored, PixelRepresentation=1, BitsStored=12, HighBit=11, PixelPaddingValue=written)
    assert [float(value) for value in found[:, 0, 0]] == [float(np.delete(plane.ravel(), 0).min()) for plane in array]


def test_padding_beyond_the_stored_bits_takes_no_pixel_with_it(tmp_path: Path) -> None:
    array = volume() % 3000 + 500
    array[:, 0, 0] = 4095
    found = padded_series(tmp_path, array, BitsStored=12, HighBit=11, PixelPaddingValue=("US", 65535))
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("interpretation", ["MONOCHROME1", "MONOCHROME2"])
def test_a_slice_of_padding_alone_is_dark(tmp_path: Path, interpretation: str) -> None:
    array = volume() % 3000 + 500
    array[0] = 4095 if interpretation == "MONOCHROME2" else 0
    found = padded_series(tmp_path, array, PhotometricInterpretation=interpretation, BitsStored=12, HighBit=11,
                          PixelPaddingValue=("US", int(array[0, 0, 0])))  # fmt: skip
    assert not found[0].any()
