"""Phantoms are recognised by each of their signs alone."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from workers.phantoms.dicom_study import write_cohort_studies
from workers.phantoms.writing import PhantomCohort, write_cohort
from workers.training.cohort_origin import cohort_origin
from workers.training.image_source import image_source
from workers.training.patch_store import PATCH_KEYS

N = 3


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    write_cohort(PhantomCohort(N, 8), folder)
    write_cohort_studies(PhantomCohort(1, 8), folder / "dicom")
    return folder


def anonymous(drawn: Path, folder: Path) -> tuple[Path, list[str]]:
    """The drawn patches under other names, without any sign of what they are."""
    images = folder / "cohort" / "images"
    images.mkdir(parents=True)
    names = []
    for number, path in enumerate(sorted((drawn / "patches").glob("*.npz"))):
        names.append(f"NPC-{number}")
        with np.load(path) as archive:
            np.savez(images / f"{names[-1]}.npz", **{key: archive[key] for key in PATCH_KEYS.values()})
    return images, names


def renamed(drawn: Path, images: Path) -> None:
    for number, path in enumerate(sorted((drawn / "patches").glob("*.npz"))):
        shutil.copy(path, images / f"NPC-{number}.npz")


@pytest.mark.parametrize(
    ("mark", "phantoms", "sign"),
    [
        (lambda drawn, images: renamed(drawn, images), N, f"marker in the saved patches ({N})"),
        (lambda drawn, images: shutil.copy(drawn / "phantoms.json", images.parent), N, "file phantoms.json"),
        (lambda drawn, images: shutil.copy(drawn / "truth.csv", images), N, "file truth.csv"),
        (lambda drawn, images: shutil.copy(drawn / "patches" / "templates.json", images), N, "file templates.json"),
        (
            lambda drawn, images: shutil.copytree(next((drawn / "dicom").iterdir()), images / "NPC-1"),
            1, "DICOM header (1)",
        ),
    ],
    ids=["patches", "phantoms.json", "truth.csv", "templates", "DICOM"],
)  # fmt: skip
def test_each_sign_alone_is_recognised(
    drawn: Path, tmp_path: Path, mark: Callable[[Path, Path], object], phantoms: int, sign: str
) -> None:
    images, names = anonymous(drawn, tmp_path)
    table = images.parent / "cohort.csv"
    assert cohort_origin(table, images, names).to_json() == {"patients": N, "phantoms": 0}
    mark(drawn, images)
    origin = cohort_origin(table, images, names)
    assert origin.to_json() == {"patients": N - phantoms, "phantoms": phantoms}
    assert origin.signs == (sign,)


def test_an_identifier_is_enough_and_a_mixture_is_counted(drawn: Path, tmp_path: Path) -> None:
    images, names = anonymous(drawn, tmp_path)
    origin = cohort_origin(images.parent / "cohort.csv", images, [*names, "phantom-8-00000"])
    assert origin.to_json() == {"patients": N, "phantoms": 1}
    assert cohort_origin(tmp_path / "cohort.csv", None, names).phantoms == 0


def test_the_source_of_images_names_its_folder(drawn: Path) -> None:
    from workers.survival.cohort import read_cohort

    source = image_source(drawn / "patches")(read_cohort(drawn / "cohort.csv", need_scores=False))
    assert source.root == drawn / "patches"
