"""Small whole trainings: every variant ends with a verified bundle; what is resumed, what is not mixed."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from config.errors import InputError
from config.settings import BUNDLES
from workers.bundles.bundle import verify_bundle
from workers.phantoms.feature_cohort import draw_features
from workers.phantoms.writing import PhantomCohort, write_cohort
from workers.training.early_stopping import signature_c_index
from workers.training.image_source import image_source
from workers.training.phantom_evaluation import add_phantom_metrics
from workers.training.run import BundleDescription, train_bundle
from workers.training.score_training import train_scores
from workers.training.training_config import TrainingConfig, config_from_choices

PUBLISHED = BUNDLES / "demonstration" / "nomogram.json"
SMALL = {"width": 0.0625, "variant": "basic", "pooling": "maximum", "epochs": 2, "batch_size": 16, "transfer": False}


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 training patients and 8 others."""
    folder = tmp_path_factory.mktemp("phantoms")
    write_cohort(PhantomCohort(24, 1), folder)
    rows = read_rows(folder / "cohort.csv")
    for row in rows[16:]:
        row["cohort"] = "internal"
    write_rows(folder / "cohort.csv", rows)
    return folder


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def write_rows(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def small_config(**changes: object) -> TrainingConfig:
    return config_from_choices(**{**SMALL, "seed": 1, **changes})  # type: ignore[arg-type]


def train(
    phantoms: Path, out: Path, config: TrainingConfig, cohort: Path | None = None, nomogram: Path | None = PUBLISHED
) -> Path:
    description = BundleDescription("tiny", nomogram=nomogram)
    table = cohort or phantoms / "cohort.csv"
    train_bundle(
        table, image_source(phantoms / "patches"), out, out.with_suffix(".work"), config, description, n_folds=2
    )
    return out


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(small_config(pooling="attention"), marks=pytest.mark.long, id="attention"),
        pytest.param(
            small_config(variant="bottleneck", width=0.125, transfer=True), marks=pytest.mark.long, id="bottleneck"
        ),
        pytest.param(small_config(schedule="paper"), id="paper"),
    ],
)
def test_every_variant_ends_with_a_verified_bundle(phantoms: Path, tmp_path: Path, config: TrainingConfig) -> None:
    bundle = verify_bundle(train(phantoms, tmp_path / "bundle", config))
    content = bundle.manifest.content
    assert content["training_data"]["n"] == 16
    assert set(content["metrics"]) == {"out_of_fold", "internal", "learning_curve"}
    assert (content["metrics"]["out_of_fold"]["n"], content["metrics"]["internal"]["n"]) == (16, 8)
    assert [member.sequence_network("T2w").architecture for member in bundle.members] == [config.backbone] * 2
    tested = verify_bundle(add_phantom_metrics(bundle, {"held_out": phantoms}).folder)
    held_out = tested.manifest.content["metrics"]["held_out"]
    assert held_out["n"] == 24
    truth = held_out["against_truth"]
    assert set(truth["coverage"]) == {"difference", "ICT+CCRT", "CCRT"}
    assert truth["abstention"] + truth["firm"] == pytest.approx(1)
    assert set(truth["wrong_by_share_answered"]) >= {"0.7", "1.0"}
    stable = truth["with_stability"]
    assert (stable["n"], stable["every"]["n"]) == (24, 24)
    assert stable["abstention"] >= truth["abstention"]
    assert stable["every"]["wrong_by_share_answered_without"] == truth["wrong_by_share_answered"]
    assert stable["every"]["wrong_by_share_answered"]["1.0"] == truth["wrong_by_share_answered"]["1.0"]
    assert tested.network_digest == bundle.network_digest


def test_a_shape_that_cannot_be_built_is_told() -> None:
    with pytest.raises(InputError, match=r"groups must divide the inner channels \[4, 8, 16\]"):
        small_config(variant="bottleneck")


def test_the_papers_schedule_is_the_papers() -> None:
    config = small_config(schedule="paper")
    assert (config.batch_size, config.event_share, config.random_epochs, config.penalty) == (64, 27 / 64, 0, 1.0)
    assert (config.patience, config.relative_gain) == (5, 0.005)
    assert config.stops_after(5)
    assert not config.stops_after(4)
    assert not small_config().stops_after(99)  # a cycle goes to its end
    assert small_config(patience=2).stops_after(2)
    assert not small_config(schedule="paper", patience=0).stops_after(99)


def test_the_score_training_resumes_between_two_checks(tmp_path: Path) -> None:
    phantoms = draw_features(120, 1, n_features=8)
    inside, outside = np.arange(100), np.arange(100, 120)
    config = TrainingConfig(scores_width=0.02)
    whole = train_scores(phantoms.features, phantoms.outcomes, inside, outside, config).network.state_dict()

    class KilledError(Exception):
        pass

    def kill(stage: str, done: int, total: int, note: str) -> None:
        if done == 30:
            raise KilledError

    checkpoint = tmp_path / "scores.safetensors"
    with pytest.raises(KilledError):
        train_scores(phantoms.features, phantoms.outcomes, inside, outside, config, checkpoint, kill)
    resumed = train_scores(phantoms.features, phantoms.outcomes, inside, outside, config, checkpoint)
    assert resumed.step == config.scores_steps
    assert all(torch.equal(whole[name], tensor) for name, tensor in resumed.network.state_dict().items())


def test_early_stopping_keeps_the_best_weights(tmp_path: Path) -> None:
    phantoms = draw_features(120, 1, n_features=8)
    inside, outside = np.arange(100), np.arange(100, 120)
    config = TrainingConfig(scores_width=0.02, scores_steps=400, scores_learning_rate=0.02, patience=2)
    run = train_scores(phantoms.features, phantoms.outcomes, inside, outside, config)
    seen = [check["validation_c_index"] for check in run.history]
    assert run.step < config.scores_steps  # it overfits long before
    assert max(seen) > seen[-1]
    outcomes = phantoms.outcomes.rows(torch.from_numpy(outside))
    kept = signature_c_index(run.network, torch.from_numpy(phantoms.features[outside]).float(), outcomes)
    assert kept == pytest.approx(max(seen))


def test_a_working_folder_of_another_training_is_not_mixed(phantoms: Path, tmp_path: Path) -> None:
    train(phantoms, tmp_path / "bundle", small_config(epochs=1))
    with pytest.raises(InputError, match="contains a training with epochs = 1, expected 2"):
        train(phantoms, tmp_path / "bundle", small_config())
    rows = read_rows(phantoms / "cohort.csv")
    rows[0]["dfs_days"] = "777"
    changed = write_rows(tmp_path / "changed.csv", rows)
    with pytest.raises(InputError, match="contains a training with cohort_sha256"):
        train(phantoms, tmp_path / "bundle", small_config(epochs=1), changed)


def test_separation_is_told_in_one_sentence(phantoms: Path, tmp_path: Path) -> None:
    rows = read_rows(phantoms / "cohort.csv")
    for at, row in enumerate(rows):
        row["dfs_event"] = row["ebv_dna_gt_4000"]
        row["dfs_days"] = str(2000 + at)
    table = write_rows(tmp_path / "cohort.csv", rows)
    with pytest.raises(InputError, match="depend on each other or separate the events"):
        train(phantoms, tmp_path / "bundle", small_config(epochs=1), table, nomogram=None)


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [("patient_id", "NOBODY", r"NOBODY\.npz, found no such file"), ("cohort", "external", "no patient has the cohort")],
)
def test_what_is_missing_is_named(phantoms: Path, tmp_path: Path, column: str, value: str, said: str) -> None:
    rows = read_rows(phantoms / "cohort.csv")
    for row in rows[-1:] if column == "patient_id" else rows:
        row[column] = value
    with pytest.raises(InputError, match=said):
        train(phantoms, tmp_path / "bundle", small_config(), write_rows(tmp_path / "cohort.csv", rows))
    assert not (tmp_path / "bundle" / "manifest.json").exists()
