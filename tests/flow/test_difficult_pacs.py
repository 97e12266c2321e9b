"""A PACS that does not take everything: the report arrives in another form, or the delivery says why not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dicom_sr.reading.reader import read_report
from node.small_pacs.pacs import Behaviour, SmallPacs
from tests.flow.conftest import ALLOW_DEMONSTRATION
from tests.flow.program import Program, know_each_other, running_program, wait_for
from tests.flow.test_main_job import COMPREHENSIVE_3D_SR, delivered, route
from workers.phantoms.dicom_study import WrittenStudy

COMPREHENSIVE_SR = "1.2.840.10008.5.1.4.1.1.88.33"


@pytest.fixture(scope="module")
def old_pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallPacs]:
    behaviour = Behaviour(refuse_classes=frozenset({COMPREHENSIVE_3D_SR}))
    with SmallPacs(tmp_path_factory.mktemp("pacs"), "PACS", behaviour=behaviour) as running:
        yield running


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory, old_pacs: SmallPacs) -> Iterator[Program]:
    extra = ALLOW_DEMONSTRATION + "[case]\nreport_refusals = true\n"
    with running_program(tmp_path_factory.mktemp("program"), old_pacs.port, extra) as running:
        know_each_other(old_pacs, running)
        yield running


def test_a_pacs_without_comprehensive_3d_sr_gets_a_comprehensive_sr(
    program: Program, old_pacs: SmallPacs, study: WrittenStudy
) -> None:
    program.cptdn(
        "clinical", "set", "FLOW-1", "--ebv-dna", "3100", "--stage", "T3N1M0", "--staged-on", "2026-03-02"
    )  # fmt: skip
    route(study.files, program)
    done = delivered(program, study.study_instance_uid, 1)
    (kept,) = old_pacs.of_class(COMPREHENSIVE_SR)
    report = read_report(kept.path)
    assert report.computed
    assert report.patient_id == "FLOW-1"
    notes = " ".join(one["note"] for one in done["deliveries"][0]["objects"].values())
    assert COMPREHENSIVE_3D_SR in notes  # the delivery record says what was refused


def test_a_refused_study_gets_a_report_without_numbers(
    program: Program, old_pacs: SmallPacs, study: WrittenStudy
) -> None:
    program.cptdn("clinical", "set", "FLOW-1", "--stage", "T4N2M0", "--staged-on", "2026-03-08")
    done = delivered(program, study.study_instance_uid, 2)
    assert done["state"] == "refused"
    report = _newest(old_pacs)
    assert not report.computed
    assert [reason.code for reason in report.refusals] == ["stage_not_eligible"]
    assert len(report.predecessors) == 1


def _newest(pacs: SmallPacs) -> Any:
    reports = [read_report(kept.path) for kept in pacs.of_class(COMPREHENSIVE_SR)]
    return max(reports, key=lambda report: report.revision)


def test_an_unreachable_pacs_leaves_a_visible_delivery_that_goes_on_by_itself(
    tmp_path: Path, study: WrittenStudy
) -> None:
    pacs = SmallPacs(tmp_path / "pacs", "PACS").start()
    port = pacs.port
    pacs.stop()
    with running_program(tmp_path / "program", port, ALLOW_DEMONSTRATION) as program:
        program.cptdn("clinical", "set", "FLOW-1", "--ebv-dna", "3100", "--stage", "T3N1M0")
        route(study.files, program)
        program.wait_for_state(study.study_instance_uid, "reported", timeout_s=120)

        def says_why() -> str | None:
            (delivery,) = program.json("studies", "show", study.study_instance_uid)["deliveries"]
            return delivery["error"]

        assert "cannot be reached" in wait_for(says_why, 30, lambda: "no reason in the delivery")
        with SmallPacs(tmp_path / "pacs", "PACS", port=port) as back:
            delivered(program, study.study_instance_uid, 1)
            assert back.of_class(COMPREHENSIVE_3D_SR)
