"""Which precision a training computes in: what is faster, what was asked for, what an interrupted run began with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from config.errors import InputError
from workers.features.se_resnet import BackboneArchitecture
from workers.phantoms.feature_cohort import draw_features
from workers.training import precision
from workers.training.network_training import claim_work_folder
from workers.training.precision import choose_precision, faster_precision, step_seconds
from workers.training.score_training import train_scores
from workers.training.training_config import TrainingConfig

CPU = torch.device("cpu")
TINY = BackboneArchitecture(width=0.0625)


def test_bfloat16_is_chosen_only_where_it_is_clearly_faster() -> None:
    # AVX2 emulates bfloat16 (here 5 to 9 times slower); with AMX it is about twice as fast.
    assert faster_precision({"float32": 0.38, "bfloat16": 3.24}) == "float32"
    assert faster_precision({"float32": 1.0, "bfloat16": 0.5}) == "bfloat16"
    assert faster_precision({"float32": 1.0, "bfloat16": 0.9}) == "float32"  # less than the noise of a measurement


def test_a_measured_step_leaves_the_random_numbers_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    seconds = step_seconds(TINY, CPU, n_slices=2)
    assert torch.equal(torch.rand(4), expected)
    assert set(seconds) == {"float32", "bfloat16"}
    assert min(seconds.values()) > 0


def test_auto_takes_the_faster_one_and_a_resumed_training_the_one_it_began_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cohort = tmp_path / "cohort.csv"
    cohort.write_text("patient_id\n")
    seconds = {"float32": 1.0, "bfloat16": 0.4}
    monkeypatch.setattr(precision, "step_seconds", lambda backbone, device: seconds)
    chosen = choose_precision("auto", TINY, CPU, tmp_path / "work")
    assert chosen == "bfloat16"
    claim_work_folder(tmp_path / "work", TrainingConfig(precision=chosen), cohort)
    seconds["bfloat16"] = 3.0  # the run goes on where bfloat16 is slow
    assert choose_precision("auto", TINY, CPU, tmp_path / "work") == "bfloat16"
    assert choose_precision("auto", TINY, CPU, tmp_path / "another") == "float32"
    other = TrainingConfig(precision=choose_precision("float32", TINY, CPU, tmp_path / "work"))
    with pytest.raises(InputError, match="contains a training with precision = 'bfloat16', expected 'float32'"):
        claim_work_folder(tmp_path / "work", other, cohort)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU: the multi-task network trains on the CPU only")
def test_the_multitask_network_learns_the_same_on_a_gpu() -> None:
    phantoms = draw_features(120, 1, n_features=8)
    inside, outside = np.arange(100), np.arange(100, 120)
    config = TrainingConfig(scores_width=0.02, scores_steps=10)
    on_cpu = train_scores(phantoms.features, phantoms.outcomes, inside, outside, config)
    on_gpu = train_scores(phantoms.features, phantoms.outcomes, inside, outside, config, device=torch.device("cuda"))
    assert {p.device.type for p in on_gpu.network.parameters()} == {"cpu"}
    # Another generator draws the dropout, so the losses are near and not equal.
    assert on_gpu.history[-1]["loss"] == pytest.approx(on_cpu.history[-1]["loss"], rel=0.05)
