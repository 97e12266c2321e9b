"""The main job through the running program: sockets, commands and files only, as its users meet it."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from dicom_sr.reading.reader import read_report
from node.dicom.scu.store_scu import send_folder
from node.small_pacs.pacs import SmallPacs
from tests.flow.program import Program, wait_for
from workers.phantoms.dicom_study import WrittenStudy, write_phantom_study

COMPREHENSIVE_3D_SR = "1.2.840.10008.5.1.4.1.1.88.34"
STUDY_DATE = date(2026, 3, 9)


def route(paths: Any, program: Program) -> None:
    """Send objects to the node as the PACS does; every one must be taken."""
    outcomes = send_folder(list(paths), "127.0.0.1", program.port, "PACS", "CPTDN")
    assert [outcome.status for outcome in outcomes] == [0x0000] * len(outcomes)


def delivered(program: Program, study_uid: str, revision: int) -> dict[str, Any]:
    """The study once this revision of its report is committed at the PACS."""

    def found() -> dict[str, Any] | None:
        shown = program.json("studies", "show", study_uid)
        done = shown["reports"] and shown["reports"][0]["revision"] == revision
        return shown if done and shown["deliveries"][0]["state"] == "delivered" else None

    return wait_for(found, 90, lambda: json.dumps(program.json("studies", "show", study_uid)))


def report_at(pacs: SmallPacs, sop_instance_uid: str) -> Path:
    return pacs.stored[sop_instance_uid].path


@pytest.fixture(scope="module")
def first(program: Program, study: WrittenStudy) -> dict[str, Any]:
    """The study after its first report."""
    program.cptdn(
        "clinical", "set", "FLOW-1", "--ebv-dna", "3100", "--drawn-on", "2026-03-05", "--stage", "T3N1M0",
        "--ajcc", "8", as_user=True,
    )  # fmt: skip
    route(study.files, program)
    return delivered(program, study.study_instance_uid, 1)


def test_a_routed_study_comes_back_as_a_committed_report(first: dict[str, Any], pacs: SmallPacs) -> None:
    assert first["state"] == "reported"
    assert first["deliveries"][0]["committed_at"]
    classes = {pacs.stored[uid].sop_class_uid for uid in first["deliveries"][0]["objects"]}
    assert COMPREHENSIVE_3D_SR in classes
    sr = dcmread(report_at(pacs, first["current_report"]))
    assert sr.StudyInstanceUID == first["study_instance_uid"]
    assert sr.PatientID == "FLOW-1"


def test_roles_and_contour_are_chosen_with_reasons(
    first: dict[str, Any], program: Program, study: WrittenStudy
) -> None:
    explained = program.json("studies", "explain", study.study_instance_uid)
    roles = {series["series_instance_uid"]: series["role"] for series in explained["series"]}
    assert roles == {uid: role for role, uid in study.series_instance_uids.items()}
    assert all(series["reason"] for series in explained["series"])
    assert explained["contour"]["roi_name"] == "GTVp"
    assert explained["contour"]["roi_number"] == 5  # stands fourth in the file: chosen by number, not by position


def test_the_report_says_what_score_and_nomogram_say(
    first: dict[str, Any], pacs: SmallPacs, program: Program, study: WrittenStudy
) -> None:
    shown = program.json("report", "show", str(report_at(pacs, first["current_report"])), as_user=True)
    folders = [str(study.folder / role) for role in study.series]
    scored = program.json(
        "score", *folders, "--rtstruct", str(study.rtstruct), "--ebv-dna", "3100", "--stage", "T3N1M0"
    )  # fmt: skip
    for key in ("dfs", "difference", "recommendation", "scores", "tumour_volume_ml"):
        assert shown[key] == scored[key], key
    error = shown["scores"]["error"]
    names = ("prognostic_se", "predictive_se", "correlation", "degrees_of_freedom")
    nomogram = program.json(
        "nomogram", "score", "--age", str(shown["inputs"]["age_years"]), "--ebv-dna", "3100",
        "--prognostic-score", str(shown["scores"]["prognostic_score"]),
        "--predictive-score", str(shown["scores"]["predictive_score"]),
        "--score-error", ",".join(str(error[name]) for name in names),
    )  # fmt: skip
    for arm, horizons in shown["dfs"].items():
        for months, dfs in horizons.items():
            assert dfs["value"] == round(nomogram["dfs"][arm][months]["value"], 3)
            assert dfs["ci95"] == [round(end, 3) for end in nomogram["dfs"][arm][months]["ci95"]]
    # A study can have grounds against a regimen that a bare nomogram does not know of.
    withheld = shown["ground"] in ("not_valid", "not_stable")
    assert shown["recommendation"] == ("no_reliable_difference" if withheld else nomogram["recommendation"])


def test_the_same_study_again_makes_no_second_report(
    first: dict[str, Any], pacs: SmallPacs, program: Program, study: WrittenStudy
) -> None:
    kept = set(pacs.stored)
    route(study.files, program)
    again = program.wait_for_state(study.study_instance_uid, "reported")
    wait_for(lambda: not _busy(program), 30, lambda: "the node is still looking")
    assert [r["sop_instance_uid"] for r in again["reports"]] == [first["current_report"]]
    assert set(pacs.stored) == kept


def _busy(program: Program) -> bool:
    jobs = program.json("status")["jobs"]
    return bool(jobs["queued"] or jobs["running"])


def test_reprocessing_an_unchanged_study_says_so(first: dict[str, Any], program: Program) -> None:
    (outcome,) = program.json("reprocess", first["study_instance_uid"], as_user=True)
    assert outcome["outcome"] == "unchanged"


def test_a_changed_laboratory_value_makes_a_successor(
    first: dict[str, Any], pacs: SmallPacs, program: Program, study: WrittenStudy
) -> None:
    program.cptdn("clinical", "set", "FLOW-1", "--ebv-dna", "52000", "--drawn-on", "2026-03-08")
    second = delivered(program, study.study_instance_uid, 2)
    report = read_report(report_at(pacs, second["current_report"]))
    assert report.predecessors == (first["current_report"],)
    assert report.ebv_dna.copies_per_ml == 52000
    before = read_report(report_at(pacs, first["current_report"]))
    assert report.scores == before.scores
    assert report.scenarios[0].ccrt.dfs[60].value < before.scenarios[0].ccrt.dfs[60].value


def test_a_study_without_t2w_waits_and_says_why(program: Program, tmp_path: Path) -> None:
    lacking = write_phantom_study(
        tmp_path, seed=12, patient_id="FLOW-2", birth_date=date(1970, 1, 1), study_date=STUDY_DATE,
        roles=("T1w", "CE-T1w"),
    )  # fmt: skip
    program.cptdn("clinical", "set", "FLOW-2", "--ebv-dna", "500", "--stage", "T3N1M0")
    route(lacking.files, program)
    program.wait_for_state(lacking.study_instance_uid, "incomplete")
    explained = program.json("studies", "explain", lacking.study_instance_uid)
    (reason,) = explained["reasons"]
    assert reason["code"] == "missing_series"
    assert "T2w" in reason["text"]


def test_without_ebv_dna_both_categories_are_reported(pacs: SmallPacs, program: Program, tmp_path: Path) -> None:
    unknown = write_phantom_study(
        tmp_path, seed=13, patient_id="FLOW-3", birth_date=date(1970, 1, 1), study_date=STUDY_DATE
    )
    program.cptdn("clinical", "set", "FLOW-3", "--stage", "T3N1M0")
    route(unknown.files, program)
    done = delivered(program, unknown.study_instance_uid, 1)
    shown = program.json("report", "show", str(report_at(pacs, done["current_report"])))
    assert shown["dfs"] is None
    assert set(shown["by_ebv_dna_category"]) == {"<=threshold", ">threshold"}
    recommended = {one["recommendation"] for one in shown["by_ebv_dna_category"].values()}
    assert shown["recommendation"] == (recommended.pop() if len(recommended) == 1 else None)


def test_without_a_stage_the_case_waits_until_it_is_told(program: Program, tmp_path: Path) -> None:
    unstaged = write_phantom_study(
        tmp_path, seed=14, patient_id="FLOW-4", birth_date=date(1970, 1, 1), study_date=STUDY_DATE
    )
    route(unstaged.files, program)
    held = program.wait_for_state(unstaged.study_instance_uid, "held")
    assert "stage_unknown" in {reason["code"] for reason in held["reasons"]}
    program.cptdn("clinical", "set", "FLOW-4", "--ebv-dna", "<400", "--stage", "T3N1M0")
    delivered(program, unstaged.study_instance_uid, 1)


def test_another_stage_is_refused(program: Program, tmp_path: Path) -> None:
    other = write_phantom_study(
        tmp_path, seed=15, patient_id="FLOW-5", birth_date=date(1970, 1, 1), study_date=STUDY_DATE
    )
    program.cptdn("clinical", "set", "FLOW-5", "--ebv-dna", "500", "--stage", "T4N2M0")
    route(other.files, program)
    refused = program.wait_for_state(other.study_instance_uid, "refused")
    assert refused["reasons"][0]["code"] == "stage_not_eligible"
    assert refused["current_report"] is None


def test_status_counts_what_is_there(first: dict[str, Any], program: Program) -> None:
    status = program.json("status", as_user=True)
    assert status["node"]["running"]
    assert set(status["queues"]) == {"volumes", "features", "report", "delivery", "web"}
    assert status["cases"]["reported"] >= 1
    assert status["deliveries"]["delivered"] >= 1
    assert status["bundle"] == "demonstration"


def test_doctor_finds_everything_well(program: Program) -> None:
    findings = {finding["part"]: finding for finding in program.json("doctor", as_user=True)}
    for part in ("ledger", "storage", "broker", "node", "workers", "PACS main"):
        assert findings[part]["verdict"] == "ok", findings[part]
    # The shipped demonstration has no figures of calibration, and doctor says so.
    assert findings["model bundle"]["verdict"] == "warning", findings["model bundle"]
