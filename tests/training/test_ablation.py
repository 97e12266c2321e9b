"""Cross-validation and `cptdn ablate` on a tiny phantom cohort: what is seen, what is compared, what resumes."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from config.errors import InputError
from config.indication.vocabulary import TreatmentArm
from config.settings import BUNDLES
from node.cli.app import main
from workers.nomogram.nomogram_file import load_nomogram
from workers.phantoms.writing import PhantomCohort, write_cohort
from workers.scores.scoring import Scores
from workers.survival.cohort import Cohort, read_cohort
from workers.survival.concordance import concordance_difference, harrell_concordance
from workers.training import cross_fitting
from workers.training.ablation import CHOICES, REFERENCE, AblationArmResult, AblationResult, ablation_arms
from workers.training.ablation_report import ablation_figure, write_ablation
from workers.training.cohort_outcomes import OUTCOME_ENDPOINTS
from workers.training.loading import ON_CPU

CPTDN = str(Path(sys.executable).with_name("cptdn"))
NOMOGRAM = BUNDLES / "demonstration" / "nomogram.json"
TINY = ("--epochs", "1", "--batch-size", "10", "--width", "0.03125", "--device", "cpu", "--nomogram", str(NOMOGRAM))
OPTIONS: dict[str, Any] = {
    "width": 0.03125, "variant": "basic", "pooling": "maximum", "epochs": 1, "batch_size": 10, "transfer": False,
    "seed": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """18 patients, every third with an event."""
    folder = tmp_path_factory.mktemp("phantoms")
    write_cohort(PhantomCohort(18, 5), folder)
    with (folder / "cohort.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    for at, row in enumerate(rows):
        row["treatment"] = "CCRT" if at % 2 else "ICT+CCRT"
        for endpoint in ("dfs", "os", "dmfs", "lrrfs"):
            row[f"{endpoint}_event"] = str(int(at % 3 == 0))
            row[f"{endpoint}_days"] = str(300 + 37 * at)
    with (folder / "cohort.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


def command(name: str, phantoms: Path, out: Path, *options: str) -> list[str]:
    return [CPTDN, name, str(phantoms / "cohort.csv"), "--images", str(phantoms / "patches"), "--out", str(out),
            *TINY, *options]  # fmt: skip


def test_out_of_fold_scores_stand_beside_the_final_model(phantoms: Path, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    done = subprocess.run(
        command("train", phantoms, out, "--folds", "3", "--json"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr  # 18 phantoms are refused
    metrics = json.loads(done.stdout)["metrics"]
    assert set(metrics) == {"out_of_fold", "learning_curve"}
    found = metrics["out_of_fold"]
    assert (found["n"], found["n_events"], found["folds"]) == (18, 6, 3)
    # Recomputed from the table that was left, with the nomogram that was kept.
    table = tmp_path / "bundle.training" / "out_of_fold.csv"
    cohort = read_cohort(table)
    fold = cohort.column("fold").astype(int)
    assert [int((fold == k).sum()) for k in (1, 2, 3)] == [6, 6, 6]
    nomogram = load_nomogram(NOMOGRAM)
    lp = {arm: nomogram.linear_predictor(cohort.covariates(), arm) for arm in TreatmentArm}
    given = np.where(cohort.treated, lp[TreatmentArm.ICT_CCRT], lp[TreatmentArm.CCRT])
    outcome = cohort.outcome("dfs")
    by_fold = [
        harrell_concordance(given[fold == k], outcome.durations_days[fold == k], outcome.event_observed[fold == k])
        for k in (1, 2, 3)
    ]
    pairs = [np.array([c.concordant, c.discordant, c.tied_risk]) for c in by_fold]
    concordant, discordant, tied = np.sum(pairs, axis=0)
    assert found["c_index"]["all"]["value"] == pytest.approx(
        (concordant + tied / 2) / (concordant + discordant + tied), abs=1e-4
    )
    assert "member 3/3" in done.stderr


def test_nobody_is_scored_by_a_model_that_has_seen_them(
    phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stand-ins for the networks: the scores of each training name the patients that it learned from."""
    cohort = read_cohort(phantoms / "cohort.csv", need_scores=False, endpoints=OUTCOME_ENDPOINTS)
    seen: list[np.ndarray] = []

    def learned(cohort: Cohort, training: np.ndarray, *others: Any, watched: np.ndarray) -> Any:
        assert not (training & watched).any()
        seen.append(training.copy())
        others[2].mkdir(parents=True)
        scores = Scores(np.where(training, 0.5, -0.5), np.full(len(cohort), len(seen) / 10))
        return SimpleNamespace(scores=scores, seconds={"all": 2.0})

    monkeypatch.setattr(cross_fitting, "train_networks", learned)
    training = np.arange(18) < 15
    options = (4, tmp_path, load_nomogram(NOMOGRAM), ON_CPU, lambda *_: None)
    store = cast(Any, SimpleNamespace(on_scale_of=lambda patients: None))
    config = ablation_arms(OPTIONS, ["transfer"])[0].config
    found = cross_fitting.cross_validate(cohort, training, store, config, *options)
    assert len(seen) == 4
    assert not any(mask[15:].any() for mask in seen)  # nor from patients that are not to be learned from
    assert (found.scores.prognostic == -0.5).all()  # everybody's score comes from a model that had not seen them
    assert found.scores.predictive.tolist() == pytest.approx((found.fold / 10).tolist())
    assert found.seconds == 8.0
    assert len(found.cohort) == 15


def test_too_many_folds_are_one_sentence_before_anything_is_trained(
    phantoms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(command("train", phantoms, tmp_path / "bundle", "--folds", "7")[1:])
    assert stopped.value.code == 1
    assert "expected 2 to 6 folds (each needs an event), found 7" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "bundle.training" / "recipe.json").exists()


@pytest.mark.long
def test_a_killed_ablation_resumes_to_the_same_answer(phantoms: Path, tmp_path: Path) -> None:
    options = ("--vary", "pooling", "--folds", "2")
    whole = subprocess.run(
        command("ablate", phantoms, tmp_path / "whole", *options, "--json"), capture_output=True, text=True, check=True
    )
    expected = json.loads(whole.stdout)
    with subprocess.Popen(
        command("ablate", phantoms, tmp_path / "killed", *options), stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("2/2 pooling=attention, fold 1/2 T1w"):
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "killed" / "ablation.json").exists()
    resumed = subprocess.run(
        command("ablate", phantoms, tmp_path / "killed", *options, "--json"), capture_output=True, text=True, check=True
    )
    assert "reference" not in resumed.stderr
    found = json.loads(resumed.stdout)
    assert [arm["name"] for arm in found["arms"]] == [REFERENCE, "pooling=attention"]
    for mine, theirs in zip(found["arms"], expected["arms"], strict=True):
        assert (mine["c_index"], mine["difference"], mine["truth"]) == (
            theirs["c_index"], theirs["difference"], theirs["truth"],
        )  # fmt: skip
        assert mine["truth"]["n"] > 0
    assert {Path(name).suffix for name in found["written"]} == {".json", ".csv", ".png", ".pdf", ".svg"}
    assert (found["n"], found["n_events"], found["folds"]) == (18, 6, 2)
    assert 0 <= found["oracle_c_index"] <= 1


def test_every_other_value_of_a_choice_is_an_arm_and_nothing_else_changes() -> None:
    arms = ablation_arms({**OPTIONS, "pooling": "attention", "width": 0.125}, list(CHOICES))
    assert [arm.name for arm in arms] == [
        "reference", "pooling=maximum", "normalisation=n4_landmarks", "normalisation=z_score", "variant=bottleneck",
        "schedule=paper", "augmentation=paper", "transfer=yes",
    ]  # fmt: skip
    assert len({arm.config.seed for arm in arms}) == 1
    reference = arms[0].config.to_json()
    for name, changed in {
        "pooling=maximum": "backbone",
        "transfer=yes": "transfer",
        "normalisation=z_score": "normalisation",
    }.items():
        config = next(arm.config.to_json() for arm in arms if arm.name == name)
        assert [key for key in reference if reference[key] != config[key]] == [changed]


def test_what_cannot_be_varied_is_named(phantoms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match=r"expected choices to vary among pooling, normalisation, .* found colour"):
        ablation_arms(OPTIONS, ["colour"])
    with pytest.raises(SystemExit) as stopped:
        main(command("ablate", phantoms, tmp_path / "a", "--vary", "normalisation")[1:])
    assert stopped.value.code == 1
    assert "are normalised by landmarks, expected n4_landmarks; give the DICOM folders" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()


def compared(shift: float, n: int = 60) -> AblationArmResult:
    """An arm whose risk is the truth and some noise, against a reference with more."""
    rng = np.random.default_rng(5)
    truth, days, events = rng.normal(size=n), rng.exponential(1000, n), rng.random(n) < 0.6
    days *= np.exp(-truth)
    noise = rng.normal(size=n)
    found = harrell_concordance(truth + shift * noise, days, events)
    reference = harrell_concordance(truth + 3 * noise, days, events)
    arm = ablation_arms(OPTIONS, ["transfer"])[1]
    return AblationArmResult(arm, (found,), concordance_difference([found], [reference]), None, 61.0)


def test_a_difference_is_called_only_where_its_interval_excludes_none() -> None:
    assert compared(0.0).verdict == "higher"
    assert compared(2.9).verdict == "no difference shown"
    assert compared(-9.0).difference is not None


def test_the_table_and_the_figure_say_the_same(tmp_path: Path) -> None:
    found = compared(0.0)
    reference = AblationArmResult(ablation_arms(OPTIONS, ["transfer"])[0], found.concordance, None, None, 60.0)
    result = AblationResult("cohort.csv", 60, 36, 5, 1, (reference, found), None)
    assert any("--repeats 3" in remark for remark in result.remarks())
    write_ablation(result, tmp_path)
    with (tmp_path / "ablation.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["verdict"] for row in rows] == ["reference", "higher"]
    assert float(rows[1]["c_index"]) == pytest.approx(found.c_index[0])
    texts = [text.get_text() for ax in ablation_figure(result).axes for text in ax.texts]
    assert f"{found.c_index[0]:.3f}" in texts
    assert f"{found.difference.value:+.3f}" in texts if found.difference else False
