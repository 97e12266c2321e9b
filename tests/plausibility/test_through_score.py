"""`cptdn score` on studies that look right by their headers: what it refuses, and in which words."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from config.errors import IneligibleStudyError
from config.settings import EligibilitySettings, Settings, load_settings
from dicom_sr.report.treatment_report import TreatmentReport
from workers.cli.score import score_files, stated_facts
from workers.phantoms.dicom_study import write_phantom_study

ROLES = ("T1w", "T2w", "CE-T1w")
Change = Callable[[str, list[Dataset]], None]


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sent")
    write_phantom_study(folder, seed=79, patient_id="DEMO-1", birth_date=date(1979, 5, 17), study_date=date(2026, 3, 9))
    return folder


def scored(folder: Path, settings: Settings | None = None) -> TreatmentReport:
    settings = settings or load_settings(None)
    facts = stated_facts(settings, "6200", "T3N1M0", diagnosis="C11.9")
    series = [folder / role for role in ROLES]
    return score_files(settings, series, folder / "rtstruct.dcm", None, facts)


def copy_of(sent: Path, folder: Path, change: Callable[[str, list[Dataset]], None]) -> Path:
    shutil.copytree(sent, folder)
    for role in ROLES:
        paths = sorted((folder / role).glob("*.dcm"))
        slices = [dcmread(path) for path in paths]
        change(role, slices)
        for path, one in zip(paths, slices, strict=True):
            one.save_as(path)
    return folder


def set_pixels(one: Dataset, pixels: np.ndarray) -> None:
    one.PixelData = np.clip(np.rint(pixels), 0, 4095).astype("<u2").tobytes()


def flip(_role: str, slices: list[Dataset]) -> None:
    for one in slices:
        set_pixels(one, one.pixel_array[:, ::-1])


def flip_t2w(role: str, slices: list[Dataset]) -> None:
    if role == "T2w":
        flip(role, slices)


def noise(role: str, slices: list[Dataset]) -> None:
    rng = np.random.default_rng(len(role))
    for one in slices:
        set_pixels(one, rng.normal(600, 200, one.pixel_array.shape))


def shuffle(_role: str, slices: list[Dataset]) -> None:
    planes = [one.pixel_array for one in slices]
    order = np.random.default_rng(1).permutation(len(planes))
    for one, other in zip(slices, order, strict=True):
        set_pixels(one, planes[other])


def test_the_untouched_patient_is_scored_without_a_word_about_plausibility(sent: Path) -> None:
    report = scored(sent)
    assert report.computed
    assert not [warning for warning in report.warnings if "plausib" in warning.code]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (flip, "contour_does_not_fit"),
        (flip_t2w, "series_do_not_match"),
        (noise, "not_an_image"),
        (shuffle, "slices_out_of_order"),
    ],
)
def test_what_cannot_be_right_is_refused_by_name(sent: Path, tmp_path: Path, change: Change, code: str) -> None:
    folder = copy_of(sent, tmp_path / "changed", change)
    with pytest.raises(IneligibleStudyError) as refused:
        scored(folder)
    settings = load_settings(None).model_copy(
        update={"eligibility": EligibilitySettings(plausibility="warn", out_of_distribution="warn")}
    )
    report = scored(folder, settings)
    # The same sentences as warnings, where the site only wants to be warned.
    codes = [warning.code for warning in report.warnings]
    assert code in codes
    assert refused.value.code in codes
    assert report.computed


def test_exchanged_t1w_and_ce_t1w_are_refused_as_a_matter_of_contrast(sent: Path, tmp_path: Path) -> None:
    pixels = {role: [dcmread(p).PixelData for p in sorted((sent / role).glob("*.dcm"))] for role in ROLES}
    other = {"T1w": "CE-T1w", "CE-T1w": "T1w", "T2w": "T2w"}

    def exchange(role: str, slices: list[Dataset]) -> None:
        for one, data in zip(slices, pixels[other[role]], strict=True):
            one.PixelData = data

    with pytest.raises(IneligibleStudyError, match="contrast"):
        scored(copy_of(sent, tmp_path / "changed", exchange))
