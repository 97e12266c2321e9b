"""The stored pictures: small, nearly as they were drawn, and the same in other programs."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from dicom_sr.objects.build import build_objects
from dicom_sr.objects.lossless import N_GREYS, rgb_pixels, to_palette
from dicom_sr.report.report_inputs import PagePictures, ReportObject, ReportOptions
from tests.dicom_sr import samples
from tests.peers import peer

PICTURES = ReportOptions(kinds=("sc", "attribution"))


def noisy() -> PagePictures:
    """Slices with the noise of a real MR, which no compression can remove."""
    drawn, random = samples.pictures(), np.random.default_rng(3)

    def with_noise(picture):
        noise = random.normal(0, 0.03, picture.image_yx.shape)
        return replace(picture, image_yx=np.clip(picture.image_yx + noise, 0, 1))

    sequences = tuple(with_noise(each) for each in drawn.sequences)
    largest = tuple(with_noise(each) for each in drawn.largest)
    return replace(drawn, sequences=sequences, largest=largest)


@pytest.fixture(scope="module")
def fullest() -> list[ReportObject]:
    return build_objects(samples.crowded(), samples.sources(), noisy(), PICTURES)


def test_all_pictures_of_the_fullest_report_are_smaller_than_one_megabyte(fullest: list[ReportObject]) -> None:
    assert len(fullest) == 7  # four pages and three maps
    assert sum(len(each.encoded) for each in fullest) < 1_000_000


@pytest.mark.parametrize("number", range(7))
def test_dcmtk_decodes_the_same_colours(number: int, fullest: list[ReportObject], tmp_path: Path) -> None:
    path = tmp_path / "sc.dcm"
    path.write_bytes(fullest[number].encoded)
    subprocess.run([peer("dcml2pnm", "dcmtk"), "+op", path, tmp_path / "sc.ppm"], check=True, capture_output=True)
    ds = dcmread(path)
    ours = rgb_pixels(ds)
    theirs = np.asarray(Image.open(tmp_path / "sc.ppm"))
    assert theirs.shape == (ds.Rows, ds.Columns, 3)
    assert abs(ours.astype(int) - theirs).max() <= 1


def test_a_palette_has_even_greys_and_the_colours_of_the_picture() -> None:
    y, x = np.mgrid[:64, :256]
    grey = np.repeat(x[..., None], 3, axis=2).astype(np.uint8)
    coloured = np.stack([255 - x, 2 * y, x], axis=-1).astype(np.uint8)
    indices, palette = to_palette(np.vstack([grey, coloured]))
    drawn = palette[indices].astype(int)
    assert abs(drawn[:64] - grey).max() <= 255 / (N_GREYS - 1) / 2 + 1
    assert abs(drawn[64:] - coloured).mean() < 8  # 160 of 16384 colours
    assert set(np.unique(to_palette(grey)[0])) == set(range(N_GREYS))
