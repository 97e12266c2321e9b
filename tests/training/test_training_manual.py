"""The README's section on training, run as it is written, on phantoms: one patient damaged, one kill -9 in between."""

from __future__ import annotations

import csv
import json
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from config.settings import BUNDLES
from tests.peers import PROJECT
from workers.phantoms.writing import PhantomCohort, write_tables
from workers.training.patch_store import PATCH_KEYS
from workers.volumes.intensity import IntensityTemplate

README = (PROJECT / "README.md").read_text(encoding="utf-8")
# Trainings of the size of a test, and the published nomogram, since so few events fit none; nothing else is changed.
TINY = ("--width", "0.0625", "--epochs", "2", "--batch-size", "8", "--folds", "2", "--device", "cpu", "--nomogram",
        str(BUNDLES / "demonstration" / "nomogram.json"))  # fmt: skip
CPTDN = str(Path(sys.executable).with_name("cptdn"))


def recipe() -> list[list[str]]:
    """The commands of the first block of the section, without `cptdn`."""
    section = README.split("## Training your own model")[1].split("\n## ")[0]
    block = re.search(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert block is not None
    return [shlex.split(line, comments=True)[1:] for line in block[1].splitlines()]


def named(words: list[str]) -> str:
    return " ".join(words[:2]) if words[0] in ("bundle", "nomogram") else words[0]


def test_the_recipe_has_every_step_in_its_order() -> None:
    assert [named(words) for words in recipe()] == [
        "train", "match", "ablate", "train", "score-cohort", "nomogram evaluate", "bundle show", "bundle activate",
    ]  # fmt: skip


def rows_of(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return {row["patient_id"]: row for row in csv.DictReader(stream)}


def write_patients(folder: Path) -> None:
    """Phantoms with patches of noise: what is learned from them is refused at the end, as it must be."""
    rng = np.random.default_rng(77)
    # Saved patches in the place of DICOM folders, which the commands tell apart by themselves.
    (folder / "dicom").mkdir()
    rows = []
    for number, patient in enumerate(write_tables(PhantomCohort(120, 77), folder)):
        # An event in every third patient, so that both arms of the matched pairs have some.
        rows.append({**patient.record, "dfs_event": int(number % 3 == 0), "dfs_days": 400 + 37 * (number % 50)})
        bags = {key: rng.integers(0, 256, (2, 2, 128, 128)).astype(np.uint8) for key in PATCH_KEYS.values()}
        np.savez(folder / "dicom" / f"{patient.record['patient_id']}.npz", **bags)
    template = IntensityTemplate.from_landmarks([np.linspace(0, shift, 11) for shift in (90.0, 100.0)]).to_json()
    (folder / "dicom" / "templates.json").write_text(json.dumps(dict.fromkeys(PATCH_KEYS, template)))
    with (folder / "all.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_the_recipe_runs_as_it_stands(tmp_path: Path) -> None:
    write_patients(tmp_path)
    (tmp_path / "bundles").mkdir()
    (tmp_path / "cptdn.toml").write_text("[model]\n")
    everyone = rows_of(tmp_path / "all.csv")
    damaged = sorted(everyone)[7]
    whole = (tmp_path / "dicom" / f"{damaged}.npz").read_bytes()
    (tmp_path / "dicom" / f"{damaged}.npz").write_bytes(whole[: len(whole) // 2])

    def run(words: list[str]) -> subprocess.CompletedProcess[str]:
        options = TINY if words[0] in ("train", "ablate") and "--check" not in words else ()
        return subprocess.run([CPTDN, *words, *options], cwd=tmp_path, capture_output=True, text=True, check=False)

    check, match, ablate, train, score, evaluate, show, activate = recipe()
    checked = run(check)
    assert checked.returncode == 1
    assert damaged in checked.stdout
    assert "1 of 120 patients cannot be used" in checked.stdout
    assert run(match).returncode == 0
    assert run(ablate).returncode == 0
    matched = rows_of(tmp_path / "cohort.csv")

    with subprocess.Popen([CPTDN, *train, *TINY], cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "T1w" in line and line.split()[:2] == ["member", "2/2"]:
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    trained = run(train)
    assert not re.search(r"^member 1/2 CE-T1w", trained.stderr, re.MULTILINE)  # what was trained is not trained again
    # Few patients with few events: the bundle is there, and it is refused with the reason.
    assert trained.returncode == 1
    assert "for inspection" in trained.stderr
    manifest = json.loads((tmp_path / "bundles" / "site-1" / "manifest.json").read_text())
    n_left_out = int(damaged in matched)
    assert manifest["training_data"]["left_out"]["n"] == n_left_out
    assert damaged not in json.dumps(manifest)
    # The nomogram was given: models of these patients would not be comparable with it.
    assert "comparison_models.json" not in manifest["files"]

    assert run(score).returncode == 0
    scores, of_training = rows_of(tmp_path / "scores.csv"), rows_of(tmp_path / "bundles/site-1.training/scores.csv")
    assert set(scores) == set(everyone) - {damaged}
    assert set(of_training) == set(matched) - {damaged}
    for patient, row in scores.items():
        assert row["out_of_fold"] == ("true" if patient in of_training else "")
    for patient, row in of_training.items():
        for name in ("prognostic_score", "predictive_score"):
            # The same member from the same patches; the service's network has its norms folded.
            assert float(scores[patient][name]) == pytest.approx(float(row[name]), abs=2e-3)
    evaluated = run(evaluate)
    assert evaluated.returncode == 0, evaluated.stderr
    assert list((tmp_path / "report").iterdir())
    assert run(show).returncode == 0
    activated = run(activate)
    assert activated.returncode == 1
    assert "site-1" in activated.stderr
    assert (tmp_path / "cptdn.toml").read_text() == "[model]\n"
