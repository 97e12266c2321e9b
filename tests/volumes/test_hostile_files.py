"""Damaged files (cut, flipped, inserted, deleted bytes) end in a result or in a CptdnError, never in another error."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from config.errors import CptdnError
from tests.volumes.synthetic import (
    SeriesGeometry,
    sphere_contours,
    write_enhanced,
    write_registration,
    write_rtstruct,
    write_series,
)
from tests.volumes.test_segmentations import ball, write_seg
from workers.volumes.contours import roi_on_series
from workers.volumes.reader import read_series
from workers.volumes.registrations import read_registration
from workers.volumes.rtstruct import read_rtstruct
from workers.volumes.segmentations import read_segment, segment_on_series

GEOMETRY = SeriesGeometry((0.9, 0.8, 2.5), (-30, -30, -20))
PREAMBLE = 132


def damaged(content: bytes, rng: random.Random) -> bytes:
    """One of four kinds of damage behind the preamble; half of it within the first 4,000 bytes, where headers are."""
    data = bytearray(content)
    end = min(len(data), 4000) if rng.random() < 0.5 else len(data)
    at = rng.randrange(PREAMBLE, end)
    match rng.randrange(4):
        case 0:
            for _ in range(rng.randint(1, 6)):
                data[rng.randrange(PREAMBLE, end)] = rng.randrange(256)
        case 1:
            del data[at:]
        case 2:
            data[at:at] = rng.randbytes(rng.randint(1, 40))
        case _:
            del data[at : at + rng.randint(1, 40)]
    return bytes(data)


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Callable[[Path], object]]]:
    """Kind of file -> a sound one, and what reads such a file to the end."""
    folder = tmp_path_factory.mktemp("sound")
    images = write_series(folder / "mr", np.ones((12, 70, 80), np.uint16), GEOMETRY, frame_of_reference_uid="1.2.3")
    series = read_series(images)
    contours = sphere_contours(GEOMETRY, 12, GEOMETRY.points([40, 30, 6]), 9.0)

    def contoured(path: Path) -> list[float]:
        return [roi_on_series(roi, series).volume_ml for roi in read_rtstruct(path)]

    def segmented(path: Path) -> float:
        return segment_on_series(read_segment(path, "1"), series).volume_ml

    return {
        "classic": (images[0], lambda path: read_series([path, *images[1:]]).image),
        "enhanced": (write_enhanced(folder / "e.dcm", np.ones((4, 16, 16), np.uint16)),
                     lambda path: read_series([path]).image),
        "rtstruct": (write_rtstruct(folder / "rt.dcm", {"GTVp": contours}, "1.2.3"), contoured),
        "segmentation": (write_seg(folder / "seg.dcm", images, [ball()]), segmented),
        "registration": (write_registration(folder / "reg.dcm", "1.2.9", "1.2.3", np.eye(4)),
                         lambda path: read_registration(path).between("1.2.9", "1.2.3")),
    }  # fmt: skip


def read_damaged(readers: dict[str, tuple[Path, Callable[[Path], object]]], kind: str, seeds: range, at: Path) -> None:
    sound, read = readers[kind]
    read(sound)
    content, refused = sound.read_bytes(), 0
    for seed in seeds:
        at.write_bytes(damaged(content, random.Random(seed)))
        try:
            read(at)
        except CptdnError:
            refused += 1
    assert refused > len(seeds) / 10  # the damage was real


KINDS = ("classic", "enhanced", "rtstruct", "segmentation", "registration")


@pytest.mark.filterwarnings("ignore")  # pydicom warns of what it meets in damaged files
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files(kind: str, readers: dict[str, tuple[Path, Callable[[Path], object]]], tmp_path: Path) -> None:
    read_damaged(readers, kind, range(60), tmp_path / "damaged.dcm")


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_many_damaged_files(
    kind: str, readers: dict[str, tuple[Path, Callable[[Path], object]]], tmp_path: Path
) -> None:
    read_damaged(readers, kind, range(1000, 6000), tmp_path / "damaged.dcm")
