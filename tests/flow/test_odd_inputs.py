"""Inputs of which users of similar systems reported trouble: each is understood whole, or refused by name.

The shared reference data make the inputs from a synthetic patient and state what is right (`cases/README.md`): a
volume, roles, a report, or a refusal that names the matter. The commands are called as an operator calls them.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from node.cli.app import main
from tests.peers import shared
from workers.cli.demo import BIRTH_DATE, PATIENT_ID, SEED, STUDY_DATE
from workers.phantoms.dicom_study import write_phantom_study

CONTOURS = ("01", "01c", "02", "03", "04", "05b", "10d", "12", "34")
SCORE = ("06", "19a", "30", "31")
CLASSIFY = ("31c", "agents")
SENT = ("55", "55d")  # the reference data send them to a node; their files are scored here
SERIES = ("T1w", "T2w", "CE-T1w")


@dataclass(frozen=True)
class Answer:
    """What a command printed, and its exit code."""

    code: int
    document: Any
    error: str

    @property
    def findings(self) -> str:
        """Findings of a contour, or warnings and quality of a report, one a line."""
        noted = [finding for key in ("findings", "warnings", "quality") for finding in self.document.get(key, ())]
        return "\n".join(f"{finding['code']}: {finding['text']}" for finding in noted)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the unchanged patient as `sent`, and each case."""
    folder = tmp_path_factory.mktemp("cases")
    program = shared("cases") / "make_cases.py"
    write_phantom_study(folder / "sent", seed=SEED, patient_id=PATIENT_ID, birth_date=BIRTH_DATE, study_date=STUDY_DATE)
    ids = ",".join((*CONTOURS, *SCORE, *CLASSIFY, *SENT))
    subprocess.run([sys.executable, program, folder / "sent", folder, "--only", ids], check=True, capture_output=True)
    return folder


def answer(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> Answer:
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main([*map(str, arguments), "--json"])
    printed = capsys.readouterr()
    code = int(ended.value.code or 0)
    return Answer(code, json.loads(printed.out) if code == 0 else {}, printed.err)


def contours(capsys: pytest.CaptureFixture[str], folder: Path) -> Answer:
    return answer(capsys, "contours", folder / "rtstruct.dcm", folder / "CE-T1w", "--roi", "GTVp")


def scored(capsys: pytest.CaptureFixture[str], folder: Path) -> Answer:
    series = [folder / role for role in SERIES]
    return answer(capsys, "score", *series, "--rtstruct", folder / "rtstruct.dcm", "--ebv-dna", "6200",
                  "--stage", "T3N1M0")  # fmt: skip


def is_right(found: Answer, expected: Mapping[str, Any], unchanged: str) -> bool:
    """Whether an answer is one of the alternatives of a case."""
    if "refused" in expected:
        is_sentence = found.code == 1 and "Traceback" not in found.error and found.error.count("\n") == 1
        return is_sentence and re.search(expected["refused"], found.error, re.IGNORECASE) is not None
    if found.code != 0:
        return False
    volume_ml = found.document.get("volume_ml", found.document.get("tumour_volume_ml"))
    if "volume_ml" in expected and volume_ml != pytest.approx(expected["volume_ml"], rel=expected["within"]):
        return False
    new = "\n".join(line for line in found.findings.splitlines() if line not in unchanged.splitlines())
    return "finding" not in expected or re.search(expected["finding"], new, re.IGNORECASE) is not None


def check(found: Answer, folder: Path, unchanged: str = "") -> None:
    case = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    assert any(is_right(found, expected, unchanged) for expected in case["expected"]), (
        f"{case['title']}: expected {case['expected']}, found {found.error or found.document}"
    )


@pytest.mark.parametrize("case_id", CONTOURS)
def test_the_contour_of_an_odd_structure_set(cases: Path, capsys: pytest.CaptureFixture[str], case_id: str) -> None:
    check(contours(capsys, cases / case_id), cases / case_id, contours(capsys, cases / "sent").findings)


@pytest.mark.parametrize("case_id", SCORE)
def test_the_score_of_an_odd_study(cases: Path, capsys: pytest.CaptureFixture[str], case_id: str) -> None:
    check(scored(capsys, cases / case_id), cases / case_id)


@pytest.mark.parametrize("case_id", CLASSIFY)
def test_the_roles_of_odd_series(cases: Path, capsys: pytest.CaptureFixture[str], case_id: str) -> None:
    folder = cases / case_id
    source = ["--headers", folder / "headers.json"] if case_id == "agents" else [folder / role for role in SERIES]
    found = answer(capsys, "classify", *source)
    (expected,) = json.loads((folder / "case.json").read_text(encoding="utf-8"))["expected"]
    by_id = {series["id"]: series["role"] for series in found.document}
    if case_id != "agents":
        by_id = {role: by_id[uid_of(folder / role)] for role in SERIES}
    assert {id_: role for id_, role in by_id.items() if role not in expected["roles"].get(id_, [role])} == {}


def uid_of(folder: Path) -> str:
    return str(dcmread(next(folder.glob("*.dcm")), specific_tags=["SeriesInstanceUID"]).SeriesInstanceUID)


@pytest.mark.parametrize("case_id", SENT)
def test_odd_header_values_do_not_stop_a_report(cases: Path, capsys: pytest.CaptureFixture[str], case_id: str) -> None:
    found = scored(capsys, cases / case_id)
    attribute = {"55": "StudyTime", "55d": "PatientBirthDate"}[case_id]
    assert found.code == 0, found.error
    assert f"header_value: {attribute} of the MR: expected" in found.findings
