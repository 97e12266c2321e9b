"""Images that were compressed with loss are named with method and ratio, wherever that is stated or can be told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate

from tests.volumes.synthetic import write_series
from workers.volumes.reader import read_series

JPEG_EXTENDED, JPEG_LOSSLESS = "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.70"
JPEG_2000_LOSSLESS, JPEG_2000 = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"
SIDE = 40


def lossy_text(
    folder: Path, lossy: int = 6, syntax: str | None = None, compressed_bytes: int = 0, **header: object
) -> str | None:
    """What the finding of a series of six slices says; `lossy` of them have the header and the transfer syntax."""
    paths = write_series(folder, np.zeros((6, SIDE, SIDE), np.uint16))
    for path in paths[:lossy]:
        ds = dcmread(path)
        for keyword, value in header.items():
            setattr(ds, keyword, value)
        if syntax is not None:
            ds.file_meta.TransferSyntaxUID = syntax
            # Not decoded here: only its size counts.
            ds.PixelData = encapsulate([b"\xff" * compressed_bytes])
            ds["PixelData"].is_undefined_length = True
        ds.save_as(path, enforce_file_format=True)
    texts = [finding.text for finding in read_series(paths).findings if finding.code == "lossy_compression"]
    assert len(texts) < 2
    return texts[0] if texts else None


def test_ratio_and_method_are_named_also_where_the_pixels_are_stored_without_compression_now(tmp_path: Path) -> None:
    text = lossy_text(
        tmp_path,
        LossyImageCompression="01",
        LossyImageCompressionRatio="12.5",
        LossyImageCompressionMethod="ISO_15444_1",
    )
    assert text is not None
    assert text.startswith("all images were compressed with loss by ISO_15444_1, ratio 12.5 to 1;")


def test_several_steps_of_compression_multiply(tmp_path: Path) -> None:
    # PS3.3 C.7.6.1.1.5.2: one value for each lossy step.
    text = lossy_text(tmp_path, LossyImageCompression="01", LossyImageCompressionRatio=["10", "2"])
    assert text is not None
    assert "ratio 20 to 1" in text


def test_the_number_of_lossy_images_is_named_where_it_is_not_all(tmp_path: Path) -> None:
    text = lossy_text(tmp_path, lossy=2, LossyImageCompression="01")
    assert text is not None
    assert text.startswith("2 of 6 images were compressed with loss, ratio unknown")


@pytest.mark.parametrize("syntax", [JPEG_EXTENDED, JPEG_2000])
def test_a_lossy_transfer_syntax_is_named_with_the_ratio_of_the_files(tmp_path: Path, syntax: str) -> None:
    text = lossy_text(tmp_path, syntax=syntax, compressed_bytes=800)
    assert text is not None
    size = (tmp_path / "mr000.dcm").stat().st_size
    assert f"ratio {SIDE * SIDE * 2 / size:.1f} to 1" in text


@pytest.mark.parametrize(
    ("syntax", "stated"),
    [(None, None), (None, "00"), (JPEG_LOSSLESS, None), (JPEG_2000_LOSSLESS, "00"), (JPEG_2000, "00")],
)
def test_what_lost_nothing_is_not_named(tmp_path: Path, syntax: str | None, stated: str | None) -> None:
    header = {} if stated is None else {"LossyImageCompression": stated}
    assert lossy_text(tmp_path, syntax=syntax, compressed_bytes=800, **header) is None
