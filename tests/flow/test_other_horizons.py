"""A bundle that answers at 2 and 4 years, through the running program: fitted, trained, verified, scored, reported."""

from __future__ import annotations

import csv
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydicom import Dataset, dcmread

from node.small_pacs.pacs import SmallPacs
from tests.bundles.admitted import admit
from tests.flow.launcher import run_forked
from tests.flow.program import Program, know_each_other, running_program
from tests.flow.test_main_job import delivered, route
from tests.flow.variants import small_study
from tests.peers import peer
from workers.phantoms.dicom_study import WrittenStudy
from workers.phantoms.population import draw_patient, published_nomogram
from workers.phantoms.writing import PhantomCohort, write_cohort

HORIZONS = ("--horizons", "24,48", "--decision-horizon", "48")
TINY = ("--folds", "2", "--epochs", "1", "--batch-size", "8", "--width", "0.0625", "--device", "cpu")
SETTINGS = """[model]
bundle = "{bundle}"
allow_demonstration = true
[eligibility]
out_of_distribution = "warn"
[case]
stable_after_s = 2
[fhir]
report_url = "http://127.0.0.1:9/r4"
"""
N_SCORED = 400

pytestmark = pytest.mark.timeout(600)  # the first test fits, trains and starts the program


def succeeded(*arguments: str) -> str:
    done = run_forked(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def write_scored_cohort(path: Path) -> Path:
    """Patients of the published survival model with the scores behind it; no images."""
    patients = [draw_patient(3, number, published_nomogram()) for number in range(N_SCORED)]
    rows = [{**p.record, "prognostic_score": p.prognostic, "predictive_score": p.predictive} for p in patients]
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@dataclass
class Reported:
    """The program with the other bundle, and the delivered report of one study."""

    program: Program
    pacs: SmallPacs
    study: WrittenStudy
    shown: dict[str, Any]  # studies show
    nomogram: Path

    @property
    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = self.program.json("report", "show", str(self.object("sr")))
        return found

    def object(self, kind: str) -> Path:
        modality = {"sr": "SR", "pdf": "DOC", "sc": "OT"}[kind]
        paths = [self.pacs.stored[uid].path for uid in self.shown["deliveries"][0]["objects"]]
        return next(path for path in paths if dcmread(path, stop_before_pixels=True).Modality == modality)


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reported]:
    folder = tmp_path_factory.mktemp("horizons")
    nomogram, bundle = folder / "nomogram", folder / "bundle"
    succeeded("nomogram", "fit", str(write_scored_cohort(folder / "scored.csv")), "--out", str(nomogram), *HORIZONS)
    write_cohort(PhantomCohort(12, 5), folder / "phantoms")
    trained = run_forked(
        "train", str(folder / "phantoms" / "cohort.csv"), "--images", str(folder / "phantoms" / "patches"),
        "--out", str(bundle), "--nomogram", str(nomogram / "nomogram.json"), *HORIZONS, *TINY,
    )  # fmt: skip
    assert trained.returncode == 1  # twelve phantoms are refused
    assert "is refused: " in trained.stderr
    succeeded("bundle", "verify", str(admit(bundle)))
    study = small_study(folder / "study")
    with (
        SmallPacs(folder / "pacs", "PACS") as pacs,
        running_program(folder / "program", pacs.port, SETTINGS.format(bundle=bundle), pages=True) as program,
    ):
        know_each_other(pacs, program)
        program.cptdn("clinical", "set", "SMALL", "--ebv-dna", "3100", "--stage", "T3N1M0", "--ajcc", "8")
        route(study.files, program)
        shown = delivered(program, study.study_instance_uid, 1)
        yield Reported(program, pacs, study, shown, nomogram)


def test_the_report_says_what_the_nomogram_says_at_its_horizons(reported: Reported) -> None:
    report = reported.report
    errors = report["scores"]["error"]  # of an ensemble of two; the command then gives the same intervals
    entered = [str(errors[name]) for name in ("prognostic_se", "predictive_se", "correlation", "degrees_of_freedom")]
    answer = json.loads(
        succeeded(
            "nomogram", "score", "--nomogram", str(reported.nomogram), "--age", str(report["inputs"]["age_years"]),
            "--ebv-dna", "3100", "--prognostic-score", str(report["scores"]["prognostic_score"]),
            "--predictive-score", str(report["scores"]["predictive_score"]),
            "--score-error", ",".join(entered), "--json",
        )
    )  # fmt: skip
    assert answer["decision_horizon_months"] == 48
    for arm in ("ICT+CCRT", "CCRT"):
        assert set(report["dfs"][arm]) == set(answer["dfs"][arm]) == {"24", "48"}
        for month, dfs in report["dfs"][arm].items():
            assert dfs["value"] == round(answer["dfs"][arm][month]["value"], 3)
            assert dfs["ci95"] == [round(end, 3) for end in answer["dfs"][arm][month]["ci95"]]
    withheld = report["ground"] in ("not_valid", "not_stable")
    assert report["recommendation"] == ("no_reliable_difference" if withheld else answer["recommendation"])


def test_the_structured_report_names_two_and_four_years(reported: Reported) -> None:
    names = dict(concepts(dcmread(reported.object("sr"))))
    assert names["DFS_24_I"] == "2-year disease-free survival (DFS), ICT+CCRT"
    assert names["DFS_48_C"] == "4-year disease-free survival (DFS), CCRT"
    assert names["DIFF_48"] == "4-year DFS difference, ICT+CCRT minus CCRT"
    assert not {code for code in names if code.startswith(("DFS_36", "DFS_60", "DIFF_36", "DIFF_60"))}


def concepts(item: Dataset) -> Iterator[tuple[str, str]]:
    """Code value and meaning of every concept name in a content tree."""
    for name in item.get("ConceptNameCodeSequence", []):
        yield str(name.get("CodeValue", "")), str(name.CodeMeaning)
    for child in item.get("ContentSequence", []):
        yield from concepts(child)


def test_picture_and_pdf_are_of_the_same_horizons(reported: Reported) -> None:
    picture = dcmread(reported.object("sc"))
    assert picture.pixel_array.std() > 0
    pdftotext = peer("pdftotext", "poppler-utils")
    document = bytes(dcmread(reported.object("pdf")).EncapsulatedDocument)
    text = subprocess.run([pdftotext, "-layout", "-", "-"], input=document, capture_output=True, check=True).stdout
    words = text.decode()
    assert "2-year DFS" in words
    assert "4-year DFS" in words
    assert "3-year DFS" not in words
    assert "5-year DFS" not in words


def test_fhir_resources_name_the_same_horizons(reported: Reported) -> None:
    folder = reported.program.config.parent / "data"
    texts = [path.read_text() for path in folder.rglob("*.json") if '"RiskAssessment"' in path.read_text()]
    assert len(texts) == 1
    assert "4-year DFS under ICT+CCRT" in texts[0]
    assert "5-year" not in texts[0]


def test_pages_and_status_show_the_bundle(reported: Reported) -> None:
    address = f"http://127.0.0.1:{reported.program.web_port}"
    with httpx.Client(base_url=address, timeout=60) as pages:
        case = pages.get(f"/cases/{reported.study.study_instance_uid}").text
        answer = pages.get("/calculator/answer?age=40&ebv_dna=5000&prognostic_score=0&predictive_score=-0.4").text
    for text in (case, answer):
        assert "4-year DFS" in text
        assert "5-year DFS" not in text
    assert answer.count('class="horizon"') == 2
    status = reported.program.json("status")
    assert status["cases"]["reported"] == 1
    assert status["bundle"].endswith("bundle")


def test_a_comparison_with_a_bundle_of_other_horizons_names_both(reported: Reported) -> None:
    document = reported.program.json("reprocess", "--all", "--bundle", "demonstration", "--no-send", as_user=True)
    (study,) = document["studies"]
    assert study["before"]["outcome"] == study["after"]["outcome"] == "scored"
    assert document["summary"]["horizon_months"] == 60
    assert document["summary"]["horizon_months_before"] == 48
