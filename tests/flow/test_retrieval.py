"""A case that lacks what the PACS has: asked for, fetched, reported; never for another patient, never for ever."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.uid import generate_uid

from node.small_pacs.pacs import Destination, SmallPacs
from tests.flow.conftest import ALLOW_DEMONSTRATION
from tests.flow.program import Program, running_program, wait_for
from tests.flow.test_main_job import delivered, route
from workers.phantoms.dicom_study import WrittenStudy, write_phantom_study

SETTINGS = ALLOW_DEMONSTRATION + "[case]\nstable_after_s = 1\n"
RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory, pacs: SmallPacs) -> Iterator[Program]:
    with running_program(tmp_path_factory.mktemp("program"), pacs.port, SETTINGS, "query_retrieve = true") as running:
        yield running


@pytest.fixture(autouse=True)
def _the_pacs_can_move_here(program: Program, pacs: SmallPacs) -> None:
    pacs.destinations["CPTDN"] = Destination("CPTDN", "127.0.0.1", program.port)
    pacs.requests.clear()


def written(folder: Path, seed: int) -> WrittenStudy:
    return write_phantom_study(
        folder, seed=seed, patient_id=f"QR-{seed}", birth_date=date(1970, 1, 1), study_date=date(2026, 3, 9)
    )


def archived(pacs: SmallPacs, *paths: Path) -> None:
    for path in paths:
        pacs.add(path)


def retrieval(program: Program, study_uid: str) -> dict[str, Any]:
    (only,) = program.json("studies", "explain", study_uid)["retrieval"]
    return only


def test_what_a_case_lacks_is_fetched_by_c_move(program: Program, pacs: SmallPacs, tmp_path: Path) -> None:
    study, stranger = written(tmp_path / "s", 61), written(tmp_path / "t", 62)
    archived(pacs, *study.files, *stranger.files)
    program.cptdn("clinical", "set", "QR-61", "--ebv-dna", "500", "--stage", "T3N1M0")
    route(study.series["T1w"], program)
    delivered(program, study.study_instance_uid, 1)
    explained = program.json("studies", "explain", study.study_instance_uid)
    told = [line["text"] for line in explained["history"] if line["kind"] == "fetch"]
    assert told[0].startswith("Retrieving from PACS 'main': ")
    assert "it is likely the missing T2w" in told[0]
    assert "22 instances by C-MOVE" in told[-1]
    assert explained["retrieval"][0]["state"] == "idle"
    assert program.study(stranger.study_instance_uid) is None
    moved = [one for one in pacs.requests if one.startswith("C-MOVE")]
    assert len(moved) == len(set(moved)) == 3  # T2w, CE-T1w and the structure set, each once


def test_a_pacs_that_cannot_move_is_asked_to_send_on_our_association(
    program: Program, pacs: SmallPacs, tmp_path: Path
) -> None:
    pacs.destinations.clear()
    study = written(tmp_path, 63)
    archived(pacs, *study.series["T2w"])
    route([path for path in study.files if path not in study.series["T2w"]], program)
    program.wait_for_state(study.study_instance_uid, "held")  # only the stage is unknown now
    (entry,) = retrieval(program, study.study_instance_uid)["fetched"].values()
    assert entry["text"] == "22 instances by C-GET"


def test_a_contour_is_found_in_another_study_of_the_patient(program: Program, pacs: SmallPacs, tmp_path: Path) -> None:
    study, stranger = written(tmp_path / "s", 64), written(tmp_path / "t", 65)
    for one in (study, stranger):
        ds = dcmread(one.rtstruct)
        ds.StudyInstanceUID = generate_uid()
        ds.save_as(one.rtstruct)
    contour = str(dcmread(study.rtstruct).SeriesInstanceUID)
    archived(pacs, study.rtstruct, stranger.rtstruct)
    route([path for path in study.files if path != study.rtstruct], program)
    program.wait_for_state(study.study_instance_uid, "held")
    explained = program.json("studies", "explain", study.study_instance_uid)
    assert {reason["code"] for reason in explained["reasons"]} == {"stage_unknown"}
    assert explained["contour"]["roi_name"] == "GTVp"
    assert [one for one in pacs.requests if one.startswith("C-MOVE")] == [f"C-MOVE {contour}"]


def test_slices_that_are_missing_are_fetched(program: Program, pacs: SmallPacs, tmp_path: Path) -> None:
    study = written(tmp_path, 66)
    archived(pacs, *study.files)
    gap = study.series["T2w"][9:11]
    route([path for path in study.files if path not in gap], program)
    program.wait_for_state(study.study_instance_uid, "held")
    assert {r["code"] for r in program.study(study.study_instance_uid)["reasons"]} == {"stage_unknown"}  # type: ignore[index]
    moved = [one for one in pacs.requests if one.startswith("C-MOVE")]
    assert moved == [f"C-MOVE {study.series_instance_uids['T2w']}"]


@pytest.mark.long
def test_what_does_not_help_is_not_fetched_and_the_case_goes_on_waiting(
    program: Program, pacs: SmallPacs, tmp_path: Path
) -> None:
    """The PACS has a diffusion series and a T2w of six slices: neither is the missing T2w."""
    study = written(tmp_path, 67)
    series = {"DWI b1000": generate_uid(), "t2_tse_tra": generate_uid()}
    for name, uid in series.items():
        for path in study.series["T2w"][:6]:
            ds = dcmread(path)
            ds.SeriesDescription, ds.ProtocolName, ds.SeriesInstanceUID = name, name, uid
            ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
            copy = path.with_name(f"{name}-{path.name}")
            ds.save_as(copy)
            archived(pacs, copy)
    route([path for path in study.files if path not in study.series["T2w"]], program)

    def asked_again() -> bool:
        shown = program.study(study.study_instance_uid)
        return shown is not None and shown["state"] == "incomplete" and retrieval(
            program, study.study_instance_uid
        )["tries"] >= 3  # fmt: skip

    wait_for(asked_again, 60, lambda: str(program.json("studies", "explain", study.study_instance_uid)))
    moved = [one for one in pacs.requests if one.startswith("C-MOVE")]
    assert moved == [f"C-MOVE {series['t2_tse_tra']}"]
    explained = program.json("studies", "explain", study.study_instance_uid)
    assert explained["retrieval"][0]["text"].startswith("PACS 'main' has no further series that is needed")
    told = [line["text"] for line in explained["history"] if line["kind"] == "fetch"]
    assert len(told) == len(set(told))  # the same answer again makes no history
    assert explained["reasons"][0]["code"] == "missing_series"


@pytest.mark.long
def test_a_pacs_that_comes_back_is_asked_again(program: Program, pacs: SmallPacs, tmp_path: Path) -> None:
    study = written(tmp_path, 68)
    archived(pacs, study.rtstruct)
    pacs.stop()
    try:
        route([path for path in study.files if path != study.rtstruct], program)
        program.wait_for_state(study.study_instance_uid, "incomplete")
        wait_for(
            lambda: "cannot be reached" in (retrieval(program, study.study_instance_uid)["text"] or ""), 60,
            lambda: str(retrieval(program, study.study_instance_uid)),
        )  # fmt: skip
    finally:
        pacs.start()
    program.wait_for_state(study.study_instance_uid, "held")
    refused = program.cptdn("studies", "fetch", study.study_instance_uid, check=False)
    assert (refused.returncode, "misses no series" in refused.stderr) == (1, True)
