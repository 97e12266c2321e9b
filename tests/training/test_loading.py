"""Batches that threads prepare: in order, on the device, and never anything in the weights."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from workers.features.se_resnet import BackboneArchitecture, Pooling
from workers.training.cohort_outcomes import outcomes_from_columns
from workers.training.loading import AHEAD_PER_LOADER, BatchLoader, default_loader_count, seeded_generator
from workers.training.patch_store import PatchStore, build_store
from workers.training.sequence_training import train_sequence
from workers.training.training_config import TrainingConfig

CPU = torch.device("cpu")
N_PATIENTS = 10


def numbered(number: int) -> torch.Tensor:
    return torch.full((1, 2, 4, 4), float(number))


@pytest.mark.parametrize("n_loaders", [0, 1, 3])
def test_batches_come_in_the_order_of_the_items(n_loaders: int) -> None:
    found = [int(batch[0, 0, 0, 0]) for batch in BatchLoader(CPU, n_loaders).batches(numbered, range(20))]
    assert found == list(range(20))


def test_threads_work_ahead_but_not_without_bound() -> None:
    made: list[int] = []
    last_allowed = threading.Event()

    def make(number: int) -> torch.Tensor:
        made.append(number)
        if len(made) == 1 + AHEAD_PER_LOADER * 2:
            last_allowed.set()
        return numbered(number)

    batches: Iterator[torch.Tensor] = BatchLoader(CPU, 2).batches(make, range(100))
    next(batches)
    assert last_allowed.wait(60)  # ahead of what was asked for
    batches.close()  # type: ignore[attr-defined]
    assert len(made) <= 1 + AHEAD_PER_LOADER * 2


def test_an_error_in_a_thread_reaches_the_training() -> None:
    def make(number: int) -> torch.Tensor:
        if number == 2:
            raise OSError("the disk went away")
        return numbered(number)

    with pytest.raises(OSError, match="the disk went away"):
        list(BatchLoader(CPU, 2).batches(make, range(5)))


def test_a_seeded_stream_is_that_of_its_numbers() -> None:
    draws = {numbers: torch.rand(4, generator=seeded_generator(*numbers)) for numbers in [(1, 2), (2, 1), (1, 3)]}
    assert torch.equal(draws[1, 2], torch.rand(4, generator=seeded_generator(1, 2)))
    assert not torch.equal(draws[1, 2], draws[2, 1])
    assert not torch.equal(draws[1, 2], draws[1, 3])


def test_a_cpu_loads_by_itself_and_a_gpu_has_helpers() -> None:
    assert default_loader_count(CPU) == 0
    assert default_loader_count(torch.device("cuda")) >= 1


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> PatchStore:
    rng = np.random.default_rng(3)

    def bags(patient_id: str) -> dict[str, np.ndarray]:
        n = 1 + int(patient_id) % 3
        return {role: rng.integers(0, 256, (n, 2, 128, 128)).astype(np.uint8) for role in ("T1w", "T2w", "CE-T1w")}

    return build_store([str(i) for i in range(N_PATIENTS)], bags, tmp_path_factory.mktemp("store"))


@pytest.mark.parametrize("pooling", ["maximum", "attention"])
def test_the_weights_do_not_depend_on_the_loaders(store: PatchStore, tmp_path: Path, pooling: Pooling) -> None:
    rng = np.random.default_rng(4)
    columns = {f"{name}_days": rng.integers(100, 2000, N_PATIENTS) for name in ("os", "dmfs", "lrrfs", "dfs")}
    columns |= {f"{name}_event": np.arange(N_PATIENTS) % 2 for name in ("os", "dmfs", "lrrfs", "dfs")}
    outcomes = outcomes_from_columns({**columns, "treatment": np.array(["CCRT", "ICT+CCRT"] * (N_PATIENTS // 2))})
    backbone = BackboneArchitecture(width=0.03125, pooling=pooling)
    config = TrainingConfig(seed=1, backbone=backbone, epochs=2, batch_size=3, random_epochs=1)
    weights = []
    for n_loaders in (0, 1, 4):
        run = train_sequence(
            store,
            "T2w",
            outcomes,
            np.arange(8),
            np.arange(8, N_PATIENTS),
            config,
            tmp_path / f"{n_loaders}.safetensors",
            BatchLoader(CPU, n_loaders),
        )
        weights.append(run.network.state_dict())
    assert run.step > 4
    # Watching costs as much as an epoch; without early stopping only some epochs and the last one are.
    assert [epoch["validation_c_index"] is not None for epoch in run.history] == [False, True]
    for others in weights[1:]:
        assert all(torch.equal(weights[0][name], tensor) for name, tensor in others.items())
