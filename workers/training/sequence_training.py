"""Training the SE-ResNet of one sequence by multiple-instance learning.

Source: Zhong et al., EBioMedicine 2021;70:103522, section 2.3 and supplement.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lifelines.utils import concordance_index
from numpy.typing import NDArray
from torch import Tensor

from workers.features.multiple_instance import maximum_instance
from workers.features.se_resnet import SequenceNetwork
from workers.training.augmentation import augment
from workers.training.checkpoints import load_checkpoint, save_checkpoint
from workers.training.losses import DFS, Outcomes, signature_loss
from workers.training.patch_store import PatchStore
from workers.training.recipe import Recipe, convolution_optimizer, set_rate
from workers.training.sampling import batches_of

IndexArray = NDArray[np.intp]
FloatArray = NDArray[np.float32]
Progress = Callable[[str, int, int, str], None]  # stage, done, total, note

SLICES_PER_BATCH = 512


@dataclass
class SequenceTraining:
    """One sequence's training between two epochs; everything here goes into the checkpoint."""

    network: SequenceNetwork
    optimizer: torch.optim.Optimizer
    generator: torch.Generator
    rng: np.random.Generator
    epoch: int = 0
    step: int = 0
    representative: Tensor | None = None  # slice number of each training patient
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    best_c_index: float = -1.0
    last_gain_c_index: float = -1.0
    epochs_without_gain: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)

    def state(self) -> dict[str, Any]:
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "rng": self.rng.bit_generator.state,
            **{name: getattr(self, name) for name in _PLAIN_STATE},
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        self.rng.bit_generator.state = state["rng"]
        for name in _PLAIN_STATE:
            setattr(self, name, state[name])


_PLAIN_STATE = (
    "epoch", "step", "representative", "best_weights", "best_c_index", "last_gain_c_index", "epochs_without_gain",
    "seconds", "history",
)  # fmt: skip


def train_sequence(
    store: PatchStore,
    role: str,
    outcomes: Outcomes,
    training: IndexArray,
    validation: IndexArray,
    recipe: Recipe,
    checkpoint: Path,
    device: torch.device | None = None,
    start_from: SequenceNetwork | None = None,
    progress: Progress = lambda stage, done, total, note: None,
) -> SequenceTraining:
    """Train on the patients `training`, stop early on the C-index of `validation`.

    The paper's schedule ends with the weights of the best epoch; a one-cycle schedule with the last ones, which its
    annealed rate has averaged, while single epochs differ by less than the C-index of some dozen events can tell.

    outcomes : of all patients of the store. checkpoint : written after every epoch; a call that finds one goes on
    from there and, on a CPU, ends with the same weights as an uninterrupted call. start_from : a trained network whose
    weights are the first ones, instead of random weights.
    """
    device = device or torch.device("cpu")
    torch.manual_seed(recipe.seed)
    network = SequenceNetwork(recipe.backbone).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if start_from is not None:
        network.load_state_dict(start_from.state_dict())
    run = SequenceTraining(
        network,
        convolution_optimizer(network, recipe),
        torch.Generator().manual_seed(recipe.seed),
        np.random.default_rng(recipe.seed),
    )
    saved = load_checkpoint(checkpoint)
    if saved is not None:
        run.restore(saved)
    images = _Images(store, role, device, recipe.mixed_precision)
    while run.epoch < recipe.epochs and not recipe.stops_after(run.epochs_without_gain):
        began = time.monotonic()
        loss = _epoch(run, images, outcomes, training, recipe)
        c_index = _validated(run, images, outcomes, validation, recipe)
        run.seconds += time.monotonic() - began
        run.history.append({"epoch": run.epoch, "loss": loss, "validation_c_index": c_index})
        save_checkpoint(checkpoint, run.state())
        progress(role, run.epoch, recipe.epochs, f"loss {loss:.4f}, validation C-index {c_index:.3f}")
    if recipe.schedule == "paper" and run.best_weights:
        network.load_state_dict(run.best_weights)
    return run


@dataclass(frozen=True)
class _Images:
    store: PatchStore
    role: str
    device: torch.device
    mixed_precision: bool

    def patches(self, rows: IndexArray) -> Tensor:
        return torch.from_numpy(self.store.slices(self.role, rows))

    def features(self, network: SequenceNetwork, patches: Tensor) -> Tensor:
        on_device = patches.to(self.device).contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.mixed_precision):
            found = network.backbone(on_device)
        return found.float()

    def all_slices(self, patients: IndexArray) -> tuple[IndexArray, list[int]]:
        rows = [self.store.bag_rows(self.role, int(p)) for p in patients]
        return np.concatenate(rows), [len(bag) for bag in rows]


def _epoch(run: SequenceTraining, images: _Images, outcomes: Outcomes, training: IndexArray, recipe: Recipe) -> float:
    events = outcomes.event_observed[:, DFS].numpy()[training]
    _choose_instances(run, images, training, recipe)
    batches = batches_of(events, recipe.batch_size, recipe.event_share, run.rng)
    n_steps = recipe.epochs * len(batches)
    run.network.train()
    total = 0.0
    for batch in batches:
        set_rate(run.optimizer, recipe, recipe.learning_rate, run.step, n_steps)
        loss = _batch_loss(run, images, outcomes, training, batch, recipe)
        run.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        run.optimizer.step()
        run.step += 1
        total += loss.item()
    run.epoch += 1
    return total / len(batches)


def _choose_instances(run: SequenceTraining, images: _Images, training: IndexArray, recipe: Recipe) -> None:
    """Which slice stands for each training patient: a random one first, then the maximum instance."""
    if recipe.backbone.pooling == "attention":
        return
    if run.epoch < recipe.random_epochs:
        sizes = np.array(images.store.bag_sizes(images.role, training))
        first = images.store.starts[images.role][training]
        run.representative = torch.from_numpy(first + run.rng.integers(0, sizes))
    elif run.representative is None or (run.epoch - recipe.random_epochs) % recipe.refresh_every == 0:
        rows, sizes_found = images.all_slices(training)
        risk = run.network.risk(slice_features(run.network, images, rows))
        run.representative = torch.from_numpy(rows)[maximum_instance(risk, sizes_found).cpu()]


def slice_features(network: SequenceNetwork, images: _Images, rows: IndexArray) -> Tensor:
    """Features (n_slices, c) in evaluation mode, without gradients."""
    network.eval()
    with torch.no_grad():
        return torch.cat(
            [
                images.features(network, images.patches(rows[i : i + SLICES_PER_BATCH]))
                for i in range(0, len(rows), SLICES_PER_BATCH)
            ]
        )


def _batch_loss(
    run: SequenceTraining,
    images: _Images,
    outcomes: Outcomes,
    training: IndexArray,
    batch: IndexArray,
    recipe: Recipe,
) -> Tensor:
    patients = training[batch]
    if run.representative is None:  # attention: whole bags
        rows, sizes = images.all_slices(patients)
    else:
        rows, sizes = run.representative.numpy()[batch], []
    patches = augment(images.patches(rows), run.generator, recipe.scanner_augmentation)
    features = images.features(run.network, patches)
    if run.network.attention is not None:
        features, _ = run.network.attention(features, sizes)
    followed = outcomes.rows(torch.from_numpy(patients)).to(images.device)
    prognosis, response = run.network.heads(features, followed.treatment / 2)
    return signature_loss(prognosis, response, followed, recipe.ties, recipe.response_offset)


def _validated(
    run: SequenceTraining, images: _Images, outcomes: Outcomes, validation: IndexArray, recipe: Recipe
) -> float:
    """C-index of prognosis plus response; keeps the best weights and counts epochs without a gain."""
    features = patient_features(run.network, images, validation)
    c_index = signature_c_index(run.network.heads, features, outcomes.rows(torch.from_numpy(validation)))
    if c_index > run.best_c_index:
        run.best_c_index = c_index
        run.best_weights = deepcopy(run.network.state_dict())
    if run.epoch <= recipe.random_epochs or c_index > run.last_gain_c_index * (1 + recipe.relative_gain):
        run.last_gain_c_index = max(run.last_gain_c_index, c_index)
        run.epochs_without_gain = 0
    else:
        run.epochs_without_gain += 1
    return c_index


def patient_features(network: SequenceNetwork, images: _Images, patients: IndexArray) -> Tensor:
    """Features (n_patients, c) of the representative slice, or of the attention-weighted bag."""
    rows, sizes = images.all_slices(patients)
    features = slice_features(network, images, rows)
    with torch.no_grad():
        if network.attention is not None:
            pooled: Tensor = network.attention(features, sizes)[0]
            return pooled
        return features[maximum_instance(network.risk(features), sizes)]


def signature_c_index(
    heads: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], features: Tensor, outcomes: Outcomes
) -> float:
    """Harrell's C-index of DFS prognosis + response under the treatment given; 0.5 where nothing can be compared."""
    with torch.no_grad():
        prognosis, response = heads(features, (outcomes.treatment / 2).to(features.device))
    risk = (prognosis.amax(dim=1) + response).cpu().numpy()
    events = outcomes.event_observed[:, DFS].numpy()
    if not events.any():
        return 0.5
    try:
        return float(concordance_index(outcomes.durations[:, DFS].numpy(), -risk, events))
    except ZeroDivisionError:  # lifelines: every event comes after all other follow-up
        return 0.5


def cohort_features(
    store: PatchStore, role: str, network: SequenceNetwork, device: torch.device | None = None
) -> FloatArray:
    """Deep features (n_patients, c) of every patient of a store, in float32 throughout."""
    images = _Images(store, role, device or torch.device("cpu"), mixed_precision=False)
    patients = np.arange(len(store.patient_ids))
    found = [patient_features(network, images, block) for block in np.array_split(patients, -(-len(patients) // 128))]
    return torch.cat(found).cpu().numpy()
