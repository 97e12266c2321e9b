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
from torch import Tensor

from config.arrays import Float32Array, IndexArray
from workers.features.multiple_instance import maximum_instance
from workers.features.se_resnet import SequenceNetwork
from workers.training.augmentation import augment
from workers.training.batch_sampling import epoch_batches
from workers.training.checkpoints import load_checkpoint, save_checkpoint
from workers.training.loading import ON_CPU, BatchLoader, seeded_generator
from workers.training.losses import DFS, Outcomes, signature_loss
from workers.training.patch_store import PatchStore
from workers.training.training_config import TrainingConfig, convolution_optimizer, set_rate

Progress = Callable[[str, int, int, str], None]  # stage, done, total, note

SLICES_PER_BATCH = 512


@dataclass
class SequenceTraining:
    """One sequence's training between two epochs; everything here goes into the checkpoint."""

    network: SequenceNetwork
    optimizer: torch.optim.Optimizer
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
            "rng": self.rng.bit_generator.state,
            **{name: getattr(self, name) for name in _PLAIN_STATE},
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
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
    config: TrainingConfig,
    checkpoint: Path,
    loader: BatchLoader = ON_CPU,
    start_from: SequenceNetwork | None = None,
    progress: Progress = lambda stage, done, total, note: None,
) -> SequenceTraining:
    """Train on the patients `training`; `validation` tells the C-index after every epoch.

    With early stopping (`config.patience`, the paper's schedule has it) the weights of the best epoch stay. Without, a
    cycle ends with the last ones, which its annealed rate has averaged, while single epochs differ by less than the
    C-index of some dozen events can tell.

    outcomes : of all patients of the store. checkpoint : written after every epoch; a call that finds one goes on
    from there and, on a CPU, ends with the same weights as an uninterrupted call. start_from : a trained network whose
    weights are the first ones, instead of random weights. loader : where the network computes, and how many threads
    make its batches; the weights do not depend on that number.
    """
    torch.manual_seed(config.seed)
    network = SequenceNetwork(config.backbone).to(loader.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if start_from is not None:
        network.load_state_dict(start_from.state_dict())
    run = SequenceTraining(
        network,
        convolution_optimizer(network, config),
        np.random.default_rng(config.seed),
    )
    saved = load_checkpoint(checkpoint)
    if saved is not None:
        run.restore(saved)
    images = _Images(store, role, loader, config.mixed_precision)
    while run.epoch < config.epochs and not config.stops_after(run.epochs_without_gain):
        began = time.monotonic()
        loss = _epoch(run, images, outcomes, training, config)
        c_index = _validated(run, images, outcomes, validation, config)
        run.seconds += time.monotonic() - began
        run.history.append({"epoch": run.epoch, "loss": loss, "validation_c_index": c_index})
        save_checkpoint(checkpoint, run.state())
        progress(role, run.epoch, config.epochs, f"loss {loss:.4f}, validation C-index {c_index:.3f}")
    if config.stops_early and run.best_weights:
        network.load_state_dict(run.best_weights)
    return run


@dataclass(frozen=True)
class _Images:
    store: PatchStore
    role: str
    loader: BatchLoader
    mixed_precision: bool

    @property
    def device(self) -> torch.device:
        return self.loader.device

    def patches(self, rows: IndexArray) -> Tensor:
        return torch.from_numpy(self.store.slices(self.role, rows))

    def features(self, network: SequenceNetwork, patches: Tensor) -> Tensor:
        """(n, c) of patches (n, 2, 128, 128) on the device."""
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.mixed_precision):
            found = network.backbone(patches)
        return found.float()

    def all_slices(self, patients: IndexArray) -> tuple[IndexArray, list[int]]:
        rows = [self.store.bag_rows(self.role, int(p)) for p in patients]
        return np.concatenate(rows), [len(bag) for bag in rows]


def _epoch(
    run: SequenceTraining, images: _Images, outcomes: Outcomes, training: IndexArray, config: TrainingConfig
) -> float:
    events = outcomes.event_observed[:, DFS].numpy()[training]
    _choose_instances(run, images, training, config)
    batches = epoch_batches(events, config.batch_size, config.event_share, run.rng)
    bags = [_slices_of(run, images, training, batch) for batch in batches]
    n_steps, first_step = config.epochs * len(batches), run.step

    def augmented(number: int) -> Tensor:  # by the number of the step alone, whoever makes the batch
        generator = seeded_generator(config.seed, first_step + number)
        return augment(images.patches(bags[number][0]), generator, config.scanner_augmentation)

    run.network.train()
    total = torch.zeros((), device=images.device)
    made = images.loader.batches(augmented, range(len(batches)))
    for batch, (_, sizes), patches in zip(batches, bags, made, strict=True):
        set_rate(run.optimizer, config, config.learning_rate, run.step, n_steps)
        loss = _batch_loss(run, images, patches, sizes, outcomes.rows(torch.from_numpy(training[batch])), config)
        run.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        run.optimizer.step()
        run.step += 1
        total += loss.detach()  # read once an epoch: reading it here would wait for the device in every step
    run.epoch += 1
    return float(total) / len(batches)


def _choose_instances(run: SequenceTraining, images: _Images, training: IndexArray, config: TrainingConfig) -> None:
    """Which slice stands for each training patient: a random one first, then the maximum instance."""
    if config.backbone.pooling == "attention":
        return
    if run.epoch < config.random_epochs:
        sizes = np.array(images.store.bag_sizes(images.role, training))
        first = images.store.starts[images.role][training]
        run.representative = torch.from_numpy(first + run.rng.integers(0, sizes))
    elif run.representative is None or (run.epoch - config.random_epochs) % config.refresh_every == 0:
        rows, sizes_found = images.all_slices(training)
        risk = run.network.risk(slice_features(run.network, images, rows))
        run.representative = torch.from_numpy(rows)[maximum_instance(risk, sizes_found).cpu()]


def slice_features(network: SequenceNetwork, images: _Images, rows: IndexArray) -> Tensor:
    """Features (n_slices, c) in evaluation mode, without gradients."""
    network.eval()
    blocks = [rows[i : i + SLICES_PER_BATCH] for i in range(0, len(rows), SLICES_PER_BATCH)]
    made = images.loader.batches(images.patches, blocks)
    with torch.no_grad():
        return torch.cat([images.features(network, patches) for patches in made])


def _slices_of(
    run: SequenceTraining, images: _Images, training: IndexArray, batch: IndexArray
) -> tuple[IndexArray, list[int]]:
    """Slice numbers of a batch, and the sizes of its bags where whole bags are pooled by attention."""
    if run.representative is None:
        return images.all_slices(training[batch])
    return run.representative.numpy()[batch], []


def _batch_loss(
    run: SequenceTraining,
    images: _Images,
    patches: Tensor,
    sizes: list[int],
    followed: Outcomes,
    config: TrainingConfig,
) -> Tensor:
    features = images.features(run.network, patches)
    if run.network.attention is not None:
        features, _ = run.network.attention(features, sizes)
    followed = followed.to(images.device)
    prognosis, response = run.network.heads(features, followed.treatment / 2)
    return signature_loss(prognosis, response, followed, config.ties, config.response_offset)


def _validated(
    run: SequenceTraining, images: _Images, outcomes: Outcomes, validation: IndexArray, config: TrainingConfig
) -> float:
    """C-index of prognosis plus response; keeps the best weights and counts epochs without a gain."""
    c_index = 0.5
    if len(validation):  # nobody is kept back of a tiny cohort
        features = patient_features(run.network, images, validation)
        c_index = signature_c_index(run.network.heads, features, outcomes.rows(torch.from_numpy(validation)))
    if c_index > run.best_c_index:
        run.best_c_index = c_index
        run.best_weights = deepcopy(run.network.state_dict())
    if run.epoch <= config.random_epochs or c_index > run.last_gain_c_index * (1 + config.relative_gain):
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
    store: PatchStore, role: str, network: SequenceNetwork, loader: BatchLoader = ON_CPU
) -> Float32Array:
    """Deep features (n_patients, c) of every patient of a store, in float32 throughout."""
    images = _Images(store, role, loader, mixed_precision=False)
    patients = np.arange(len(store.patient_ids))
    found = [patient_features(network, images, block) for block in np.array_split(patients, -(-len(patients) // 128))]
    return torch.cat(found).cpu().numpy()
