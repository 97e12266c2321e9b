"""Tables of patients."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from config.errors import InputError
from config.indication.vocabulary import EbvCategory
from config.settings import BUNDLES
from node.cases.ebv_dna import parse_ebv_dna
from workers.nomogram.batch import read_patients, score_patients, write_table
from workers.nomogram.nomogram_file import load_nomogram
from workers.survival.covariates import PatientCovariates

HEADER = "patient_id,age_years,ebv_dna_copies_per_ml,prognostic_score,predictive_score\n"


def category(text: str) -> EbvCategory:
    return EbvCategory(parse_ebv_dna(text, 4000.0).category)


def table(folder: Path, text: str) -> Path:
    path = folder / "patients.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_row_equals_the_single_patient(tmp_path: Path) -> None:
    path = table(tmp_path, HEADER + "P1,40,5000,0,-0.4\n\nP2,50,not-detected,-0.5,0.3\n")
    nomogram = load_nomogram(BUNDLES / "demonstration")
    write_table(tmp_path / "out.csv", score_patients(nomogram, read_patients(path, category), (36, 60), 0.0, 60))
    with (tmp_path / "out.csv").open(newline="") as stream:
        first, second = csv.DictReader(stream)
    alone = nomogram.score(PatientCovariates(40, True, 0.0, -0.4)).to_json()
    assert (first["patient_id"], first["recommendation"], first["ebv_dna_gt_4000"]) == ("P1", "ICT+CCRT", "1")
    assert float(first["dfs_60_ict_ccrt"]) == pytest.approx(alone["dfs"]["ICT+CCRT"]["60"]["value"], rel=1e-12)
    assert float(first["difference_36_low"]) == pytest.approx(alone["difference_ci95"]["36"][0], rel=1e-12)
    assert (second["recommendation"], second["ebv_dna_gt_4000"]) == ("CCRT", "0")
    assert "dfs_60_ccrt_if_ebv_dna_gt_threshold" not in first


def test_unknown_ebv_dna_fills_both_categories_and_leaves_the_number_empty(tmp_path: Path) -> None:
    path = table(tmp_path, HEADER + "P1,40,,0,-0.4\nP2,40,>4000,0,-0.4\nP3,40,unknown,-0.89,-0.2\n")
    nomogram = load_nomogram(BUNDLES / "demonstration")
    each = nomogram.score_each_category(PatientCovariates(40, False, -0.89, -0.2))
    gains = [result.difference[0, 1] for result in each.values()]
    between = sum(gains) / 2  # a threshold at which the category decides the third patient
    found = score_patients(nomogram, read_patients(path, category), (60,), between, 60)
    assert found["dfs_60_ccrt"][0] == ""
    assert found["dfs_60_ccrt_if_ebv_dna_gt_threshold"][0] == pytest.approx(0.6284475259080096, abs=1e-12)
    assert found["dfs_60_ccrt_if_ebv_dna_gt_threshold"][1] == ""
    assert found["dfs_60_ccrt"][1] == pytest.approx(0.6284475259080096, abs=1e-12)
    assert gains[0] < between < gains[1]
    assert found["recommendation"] == ["ICT+CCRT", "ICT+CCRT", "no_reliable_difference"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (
            "patient_id,age_years,prognostic_score,predictive_score\n1,2,0,0\n",
            "ebv_dna_copies_per_ml or ebv_dna_gt_4000",
        ),
        (HEADER, "at least one patient, found the header alone"),
        (HEADER + "P1,forty,5000,0,0\n", "row 1, column age_years: expected a number, found 'forty'"),
        (HEADER + "P1,40,5000,0,0\nP2,40,5000,0\n", "row 2 has 4 cells, expected 5"),
        (HEADER + "P1,40,many,0,0\n", "'many' is not a number"),
        (HEADER.replace("copies_per_ml", "gt_4000") + "P1,40,5000,0,0\n", "expected 1, 0 or empty"),
    ],
)
def test_wrong_tables_get_a_sentence(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(InputError, match=named.replace("(", r"\(")):
        read_patients(table(tmp_path, text.replace("ebv_dna_gt_4000_", "ebv_dna_gt_4000")), category)
