"""`cptdn score-cohort`: training patients by the member that had not seen them, others by the ensemble."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from config.bundle_manifest import MANIFEST
from config.errors import InputError, ModelBundleError
from config.settings import BUNDLES
from node.cli.app import main
from workers.bundles.packing import pack_bundle
from workers.bundles.training_patients import TRAINING_PATIENTS, training_folds, write_training_patients
from workers.phantoms.writing import PhantomCohort, templates_from, write_cohort


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_a_bundle_knows_its_training_patients_without_their_names(tmp_path: Path) -> None:
    assert training_folds(tmp_path, ["NPC-0042"]) is None
    write_training_patients(tmp_path, {"NPC-0042": 2, "NPC-0007": 1})
    text = (tmp_path / TRAINING_PATIENTS).read_text()
    assert "0042" not in text.replace(json.loads(text)["salt"], "")
    folds = training_folds(tmp_path, ["NPC-0007", "NPC-0001", "NPC-0042"])
    assert folds is not None
    assert folds.tolist() == [1, 0, 2]
    other = tmp_path / "other"
    other.mkdir()
    write_training_patients(other, {"NPC-0042": 2})
    # Another salt in each bundle: digests of two bundles cannot be compared.
    assert not set(json.loads(text)["folds"]) & set(json.loads((other / TRAINING_PATIENTS).read_text())["folds"])
    (other / TRAINING_PATIENTS).write_text("{}")
    with pytest.raises(ModelBundleError, match="expected digests of training patients"):
        training_folds(other, ["NPC-0042"])


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms")
    templates = json.loads((BUNDLES / "demonstration" / "templates.json").read_text())
    write_cohort(PhantomCohort(6, 41, "external"), folder, templates_from(templates))
    return folder


def command(phantoms: Path, out: Path, *options: str) -> list[str]:
    return ["score-cohort", str(phantoms / "cohort.csv"), "--images", str(phantoms / "patches"), "--bundle",
            "demonstration", "--out", str(out), "--device", "cpu", *options]  # fmt: skip


def run(words: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert not stopped.value.code


def test_scores_are_those_of_the_service_and_evaluate_reads_them(
    phantoms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from workers.bundles.bundle import load_bundle
    from workers.training.ensemble_scores import score_patches
    from workers.training.patch_store import saved_patch_reader

    out = tmp_path / "scores.csv"
    run(command(phantoms, out))
    assert "6 patients scored, none of them of the bundle's training" in capsys.readouterr().out
    rows = rows_of(out)
    assert [row["patient_id"] for row in rows] == [row["patient_id"] for row in rows_of(phantoms / "cohort.csv")]
    expected = score_patches(
        load_bundle("demonstration"), [row["patient_id"] for row in rows], saved_patch_reader(phantoms / "patches")
    ).mean
    assert [float(row["prognostic_score"]) for row in rows] == pytest.approx(expected.prognostic, abs=5.1e-5)
    assert [float(row["predictive_score"]) for row in rows] == pytest.approx(expected.predictive, abs=5.1e-5)
    assert {row["out_of_fold"] for row in rows} == {""}
    assert not list(tmp_path.glob(".*"))  # the journal is gone


def test_a_bundle_without_its_training_patients_is_named(
    phantoms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(BUNDLES / "demonstration", tmp_path / "copy"))
    (copy / TRAINING_PATIENTS).unlink()
    content = json.loads((copy / MANIFEST).read_text())
    pack_bundle(copy, {name: value for name, value in content.items() if name != "files"})
    words = command(phantoms, tmp_path / "scores.csv")
    words[words.index("demonstration")] = str(copy)
    run(words)
    assert "does not record its training patients" in capsys.readouterr().err


def test_an_interrupted_scoring_goes_on(
    phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from workers.training import cohort_scoring

    monkeypatch.setattr(cohort_scoring, "PATIENTS_AT_ONCE", 2)
    scored: list[list[str]] = []
    score_patches = cohort_scoring.score_patches

    class KilledError(Exception):
        pass

    def counting(bundle, patient_ids, *rest):  # type: ignore[no-untyped-def]
        scored.append(list(patient_ids))
        if len(scored) == 2:
            raise KilledError
        return score_patches(bundle, patient_ids, *rest)

    monkeypatch.setattr(cohort_scoring, "score_patches", counting)
    with pytest.raises(SystemExit):
        main(command(phantoms, tmp_path / "scores.csv"))
    run(command(phantoms, tmp_path / "scores.csv"))
    names = [row["patient_id"] for row in rows_of(phantoms / "cohort.csv")]
    assert scored == [names[:2], names[2:4], names[2:4], names[4:]]
    run(command(phantoms, tmp_path / "whole.csv"))
    assert (tmp_path / "scores.csv").read_text() == (tmp_path / "whole.csv").read_text()


def test_patients_without_usable_images_are_listed(
    phantoms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(phantoms, folder)
    names = [row["patient_id"] for row in rows_of(folder / "cohort.csv")]
    (folder / "patches" / f"{names[1]}.npz").unlink()
    np.savez(folder / "patches" / f"{names[3]}.npz", t1w=np.zeros((1, 2, 128, 128), np.uint8))
    with pytest.raises(SystemExit) as stopped:
        main(command(folder, tmp_path / "scores.csv"))
    assert stopped.value.code == 1
    said = capsys.readouterr()
    assert "missing_images" in said.out
    assert "wrong_patches" in said.out
    assert "2 patients of cohort.csv cannot be scored" in said.err
    assert not (tmp_path / "scores.csv").exists()
    run(command(folder, tmp_path / "scores.csv", "--without-unusable", "--json"))
    assert json.loads(capsys.readouterr().out)["n"] == 4
    assert [row["patient_id"] for row in rows_of(tmp_path / "scores.csv")] == [names[at] for at in (0, 2, 4, 5)]


def test_patches_of_another_scale_are_refused(phantoms: Path, tmp_path: Path) -> None:
    from workers.bundles.bundle import load_bundle
    from workers.training.cohort_scoring import score_cohort
    from workers.training.image_examination import ImageExaminer

    folder = tmp_path / "other"
    shutil.copytree(phantoms / "patches", folder)
    document = json.loads((folder / "templates.json").read_text())
    document["T2w"]["standard"][3] += 1.0
    (folder / "templates.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match="cut with the intensity templates of the bundle"):
        score_cohort(
            phantoms / "cohort.csv", ImageExaminer(folder, is_dicom=False), load_bundle("demonstration"), tmp_path / "x"
        )
