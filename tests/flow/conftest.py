"""Studies and a running program for the flow tests."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from node.small_pacs.pacs import SmallPacs
from tests.flow.program import Program, know_each_other, running_program
from workers.phantoms.dicom_study import WrittenStudy, write_phantom_study

ALLOW_DEMONSTRATION = "[model]\nallow_demonstration = true\n"


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> WrittenStudy:
    """One synthetic patient: T1w, T2w, CE-T1w and an RTSTRUCT with distractor ROIs."""
    return write_phantom_study(
        tmp_path_factory.mktemp("study"), seed=11, patient_id="FLOW-1", birth_date=date(1980, 2, 3),
        study_date=date(2026, 3, 9),
    )  # fmt: skip


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallPacs]:
    with SmallPacs(tmp_path_factory.mktemp("pacs"), "PACS") as running:
        yield running


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory, pacs: SmallPacs) -> Iterator[Program]:
    """The installed `cptdn up`, whose PACS is the small one."""
    folder: Path = tmp_path_factory.mktemp("program")
    extra = ALLOW_DEMONSTRATION + "[case]\nstable_after_s = 2\n"
    with running_program(folder, pacs.port, extra, pages=True, installed=True) as running:
        know_each_other(pacs, running)
        yield running
