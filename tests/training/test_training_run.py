"""`cptdn train` on a tiny phantom cohort: killed and resumed, and what it says about wrong cohorts."""

from __future__ import annotations

import csv
import json
import signal
import time
from pathlib import Path

import pytest

from config.settings import BUNDLES
from tests.flow.launcher import launch, run_forked
from workers.bundles.bundle import verify_bundle
from workers.bundles.bundle_files import files_of, sha256_of
from workers.phantoms.writing import PhantomCohort, write_cohort

NOMOGRAM = BUNDLES / "demonstration" / "nomogram.json"
SMALL = (
    "--folds",
    "2",
    "--epochs",
    "3",
    "--batch-size",
    "8",
    "--width",
    "0.0625",
    "--device",
    "cpu",
    "--nomogram",
    str(NOMOGRAM),
)


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms")
    write_cohort(PhantomCohort(16, 5), folder)
    return folder


def command(phantoms: Path, out: Path, *options: str) -> list[str]:
    files = [str(phantoms / "cohort.csv"), "--images", str(phantoms / "patches"), "--out", str(out)]
    return ["train", *files, *SMALL, *options]


def test_a_killed_training_resumes_to_the_same_weights(phantoms: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    done = run_forked(*command(phantoms, whole, "--json"))
    assert done.returncode == 1  # sixteen phantoms: the bundle is left for inspection
    assert "is refused: " in done.stderr
    assert f"It is in {whole} for inspection." in done.stderr
    said = json.loads(done.stdout)
    assert said["digest"] == verify_bundle(whole).digest
    assert said["training_data"]["origin"] == {"patients": 0, "phantoms": 16}
    assert said["demonstration"] is True  # without any option
    assert said["effect"]["own"]["n"] == 16
    assert set(said["metrics"]) == {"out_of_fold", "learning_curve"}  # nothing of patients that were seen

    log = tmp_path / "stderr"
    process = launch(*command(phantoms, killed), log=tmp_path / "stdout", errors=log)
    # of the second member CE-T1w is trained, T1w is in its second epoch
    epoch = ["member", "2/2", "T1w", "1"]
    while process.poll() is None and not (
        log.exists() and any(line.split()[:4] == epoch for line in log.read_text().splitlines())
    ):
        time.sleep(0.01)
    process.kill()
    assert process.wait(20) == -signal.SIGKILL
    assert not (killed / "manifest.json").exists()
    resumed = run_forked(*command(phantoms, killed))
    stages = [line.split()[1:4] for line in resumed.stderr.splitlines() if line.startswith("member")]
    assert not [stage for stage in stages if stage[0] == "1/2" or stage[1] == "CE-T1w" or stage[1:] == ["T1w", "1"]]

    assert verify_bundle(killed).network_digest == verify_bundle(whole).network_digest
    assert {name: sha256_of(killed / name) for name in files_of(2)} == {
        name: sha256_of(whole / name) for name in files_of(2)
    }


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [("treatment", "CCRT", "both arms|ICT"), ("dfs_event", "0", "event"), ("dfs_days", "-3", "dfs_days|negative")],
)
def test_a_cohort_that_cannot_be_learned_from_is_told(
    phantoms: Path, tmp_path: Path, column: str, value: str, said: str
) -> None:
    from config.errors import InputError
    from workers.training.image_source import image_source
    from workers.training.run import BundleDescription, train_bundle
    from workers.training.training_config import TrainingConfig

    with (phantoms / "cohort.csv").open(newline="") as stream:
        rows = [{**row, column: value} for row in csv.DictReader(stream)]
    wrong = tmp_path / "cohort.csv"
    with wrong.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    source = image_source(phantoms / "patches")
    with pytest.raises(InputError, match=said):
        train_bundle(wrong, source, tmp_path / "b", tmp_path / "work", TrainingConfig(epochs=1), BundleDescription("x"))
