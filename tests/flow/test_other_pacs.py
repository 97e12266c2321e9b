"""Real images and other people's PACS: dcmtk sends and receives, Orthanc routes and gets the report into its study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread

from dicom_sr.reading.reader import read_report
from tests.flow.program import Program, free_port, running_program, wait_for
from tests.flow.servers import Orthanc, orthanc, storescp, storescu
from tests.peers import unpacked
from tests.volumes.synthetic import write_rtstruct
from workers.phantoms.dicom_study import WrittenStudy
from workers.volumes.reader import MrSeries, read_series

SETTINGS = """
[model]
allow_demonstration = true
[eligibility]
out_of_distribution = "warn"
"""
NAMES = {"BRTUM005": "T1w", "BRTUM004": "T2w", "BRTUM008": "CE-T1w", "BRTUM003": "other", "BRTUM001": "other"}


def lesion(series: MrSeries, radius_mm: float = 15.0) -> list[np.ndarray[Any, Any]]:
    """Circles around the middle of a series, one on each slice that a sphere of this radius meets."""
    centre = series.grid.points_of(np.array(series.grid.size_xyz)[None] / 2)[0]
    first, second, normal = series.grid.axes.T
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    contours = []
    for z in range(series.grid.size_xyz[2]):
        away = float((series.grid.points_of([[0, 0, z]])[0] - centre) @ normal)
        if abs(away) < radius_mm:
            reach = np.sqrt(radius_mm**2 - away**2)
            plane = np.outer(np.cos(angles), first) + np.outer(np.sin(angles), second)
            contours.append(centre + away * normal + reach * plane)
    return contours


@pytest.mark.timeout(420)
def test_real_enhanced_mr_through_dcmtk(tmp_path: Path) -> None:
    folder = unpacked("mr_nema_brtum_enhanced", tmp_path)
    post = read_series([folder / "BRTUM008"])
    header = post.dataset
    # The test draws the lesion on the contrast-enhanced series, as a planner would.
    rtstruct = write_rtstruct(
        tmp_path / "rtstruct.dcm", {"GTVp": lesion(post), "Brainstem": lesion(post, 8.0)}, post.frame_of_reference_uid,
        study_uid=str(header.StudyInstanceUID), types={"GTVp": "GTV", "Brainstem": "ORGAN"},
    )  # fmt: skip
    ds = dcmread(rtstruct)
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex"):
        setattr(ds, keyword, header.get(keyword, ""))
    ds.StructureSetDate = header.StudyDate
    # The contours are those of a phantom: on this brain its brainstem is elsewhere.
    ds.StructureSetROISequence = [roi for roi in ds.StructureSetROISequence if roi.ROIName != "Brainstem"]
    ds.save_as(rtstruct)
    received = tmp_path / "received"
    with (
        storescp(received) as pacs_port,
        running_program(tmp_path / "program", pacs_port, SETTINGS, pacs="storage_commitment = false") as program,
    ):
        patient = str(header.PatientID)
        program.cptdn(
            "clinical",
            "set",
            patient,
            "--ebv-dna",
            ">4000",
            "--stage",
            "T3N1M0",
            "--birth-date",
            "1950-06-01",
            "--diagnosis",
            "C11.9",
        )
        storescu(program.port, [*sorted(folder.iterdir()), rtstruct])
        done = delivered(program, str(header.StudyInstanceUID))
        explained = program.json("studies", "explain", done["study_instance_uid"])
    roles = {series["series_instance_uid"]: series["role"] for series in explained["series"]}
    expected = {
        str(dcmread(folder / name, stop_before_pixels=True).SeriesInstanceUID): role for name, role in NAMES.items()
    }
    assert roles == expected
    objects = [dcmread(path) for path in received.iterdir()]
    (sr,) = [one for one in objects if one.Modality == "SR"]
    report = read_report(sr)
    assert report.computed
    assert report.study_instance_uid == str(header.StudyInstanceUID)
    assert {series.role.value for series in report.series} == {"T1w", "T2w", "CE-T1w"}
    assert all(series.representative_frame_number for series in report.series)
    assert report.contours[0].roi_name == "GTVp"
    assert report.contours[0].volume_ml == pytest.approx(4 / 3 * np.pi * 1.5**3, rel=0.1)  # 6 mm slices cut the sphere


@pytest.mark.timeout(420)
def test_orthanc_routes_the_study_and_receives_the_report(tmp_path: Path, study: WrittenStudy) -> None:
    dicom_port = free_port()
    with (
        running_program(tmp_path / "program", dicom_port, SETTINGS) as program,
        orthanc(tmp_path / "orthanc", program.port, dicom_port) as pacs,
    ):
        program.cptdn("clinical", "set", "FLOW-1", "--ebv-dna", "3100", "--stage", "T3N1M0")
        for path in study.files:
            pacs.upload(path)
        done = delivered(program, study.study_instance_uid)
        assert done["deliveries"][0]["committed_at"], done["deliveries"][0]
        (sr,) = pacs.instances_of_modality(study.study_instance_uid, "SR")
        kept = tmp_path / "from_orthanc.dcm"
        kept.write_bytes(pacs.file(sr))
        shown = program.json("report", "show", str(kept))
        assert shown["study_instance_uid"] == study.study_instance_uid
        assert shown["dfs"]["CCRT"]["60"]["value"] > 0
        _stands_in_the_same_study(pacs, study)


def _stands_in_the_same_study(pacs: Orthanc, study: WrittenStudy) -> None:
    (only,) = pacs.get("/studies")
    shown = pacs.get(f"/studies/{only}")
    assert shown["MainDicomTags"]["StudyInstanceUID"] == study.study_instance_uid
    modalities = [pacs.get(f"/series/{series}")["MainDicomTags"]["Modality"] for series in shown["Series"]]
    assert {"MR", "RTSTRUCT", "SR", "SEG", "OT"} <= set(modalities), modalities


def delivered(program: Program, study_uid: str) -> dict[str, Any]:
    """The study once its first report is delivered."""

    def found() -> dict[str, Any] | None:
        study = program.study(study_uid)
        shown = program.json("studies", "show", study_uid) if study and study["current_report"] else None
        return shown if shown and shown["deliveries"][0]["state"] == "delivered" else None

    return wait_for(found, 150, lambda: str(program.study(study_uid)) + program.log.read_text()[-2000:])
