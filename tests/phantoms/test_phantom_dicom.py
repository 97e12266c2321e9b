"""Phantom studies as DICOM: valid for dciodvfy, read by our own reader, contour where the tumour is."""

from __future__ import annotations

import subprocess
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from config.settings import SeriesRules
from node.cases.headers import header_of
from node.cases.series_context import classify_series
from node.cases.series_summary import summarise_series
from tests.peers import peer
from workers.phantoms.dicom_study import SYNTHETIC, WrittenStudy, write_phantom_study
from workers.phantoms.population import draw_patient, published_nomogram
from workers.phantoms.writing import subject_of
from workers.training.dicom_images import patient_images
from workers.volumes.contours import roi_on_series
from workers.volumes.reader import read_series
from workers.volumes.rtstruct import read_rtstruct


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> WrittenStudy:
    return write_phantom_study(
        tmp_path_factory.mktemp("phantom"), seed=3, patient_id="P1", birth_date=date(1980, 5, 1),
        study_date=date(2024, 3, 1),
    )  # fmt: skip


def test_no_error_for_dciodvfy(study: WrittenStudy) -> None:
    program = peer("dciodvfy", "dicom3tools")
    for path in (*(paths[0] for paths in study.series.values()), study.rtstruct):
        done = subprocess.run([program, str(path)], capture_output=True, text=True, check=False)
        said = [line for line in (done.stdout + done.stderr).splitlines() if "Error" in line]
        assert said == []


def test_headers_say_what_it_is_and_how_old(study: WrittenStudy) -> None:
    for path in study.files:
        ds = dcmread(path, stop_before_pixels=True)
        assert ds.PatientComments == SYNTHETIC
        assert "phantom" in ds.Manufacturer
        assert (ds.PatientID, ds.PatientAge) == ("P1", "043Y")
        assert ds.StudyInstanceUID == study.study_instance_uid


def test_roles_are_recognised_from_the_headers(study: WrittenStudy) -> None:
    headers = [header_of(dcmread(p, stop_before_pixels=True)) for paths in study.series.values() for p in paths]
    found = {d.series_instance_uid: str(d.role) for d in classify_series(summarise_series(headers), SeriesRules())}
    assert found == {uid: role for role, uid in study.series_instance_uids.items()}


def test_the_contour_encloses_the_volume_of_the_drawn_tumour(study: WrittenStudy) -> None:
    tumour = subject_of(draw_patient(3, 0, published_nomogram()), 3, 0).tumour
    angles = np.linspace(-np.pi, np.pi, 720, endpoint=False, dtype=np.float32)
    slices = [tumour.outline(z, angles, drawn=True) for z in np.arange(-52.5, 57, 5.0)]
    # Area of a closed curve in polar coordinates, times the slice thickness.
    expected_ml = sum(0.5 * float((r**2).mean()) * 2 * np.pi * 5.0 for r in slices if r is not None) / 1000
    series = read_series(list(study.series["CE-T1w"]))
    gtv = next(roi for roi in read_rtstruct(study.rtstruct) if roi.name == "GTVp")
    mask = roi_on_series(gtv, series)
    assert mask.volume_ml == pytest.approx(expected_ml, rel=0.01)


def test_the_service_chooses_gtvp_among_the_distractors(study: WrittenStudy) -> None:
    request = patient_images(study.folder, "P1").request
    assert {one["roi_name"] for one in request.contours.values()} == {"GTVp"}
    assert set(request.series) == {"T1w", "T2w", "CE-T1w"}


def test_the_same_arguments_write_the_same_bytes(study: WrittenStudy, tmp_path: Path) -> None:
    again = write_phantom_study(
        tmp_path, seed=3, patient_id="P1", birth_date=date(1980, 5, 1), study_date=date(2024, 3, 1), roles=("T1w",)
    )
    for mine, theirs in zip(again.series["T1w"], study.series["T1w"], strict=True):
        assert mine.read_bytes() == theirs.read_bytes()


def test_uids_depend_on_the_arguments_alone_and_never_change(study: WrittenStudy) -> None:
    """Pinned values: equal arguments must give equal UIDs in every version of this program and of pydicom."""
    assert study.study_instance_uid == "1.2.826.0.1.3680043.8.498.64622361741646960028271704924580685705"
    assert study.series_instance_uids == {
        "T1w": "1.2.826.0.1.3680043.8.498.12594065026793603012079405542461374758",
        "T2w": "1.2.826.0.1.3680043.8.498.19551021163824172050309183658666683828",
        "CE-T1w": "1.2.826.0.1.3680043.8.498.43147404372454693437325028402299647352",
    }
    first = dcmread(study.series["T1w"][0], stop_before_pixels=True)
    assert first.SOPInstanceUID == "1.2.826.0.1.3680043.8.498.78378701887513655133045254530090401470"
    assert dcmread(study.rtstruct).SOPInstanceUID == "1.2.826.0.1.3680043.8.498.85808721444037857077584640613633329128"
