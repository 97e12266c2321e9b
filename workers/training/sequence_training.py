"""Training the SE-ResNet of one sequence by multiple-instance learning.

References: Zhong et al., EBioMedicine 2021;70:103522, section 2.3 and supplement.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from config.arrays import Float32Array, IndexArray
from workers.features.extraction import Precision
from workers.features.multiple_instance import maximum_instance
from workers.features.se_resnet import SequenceNetwork
from workers.training.augmentation import augment
from workers.training.batch_sampling import epoch_batches
from workers.training.checkpoints import load_checkpoint, save_checkpoint
from workers.training.early_stopping import NO_PREFERENCE, EarlyStopping, signature_c_index
from workers.training.loading import ON_CPU, BatchLoader, seeded_generator
from workers.training.losses import DFS, Outcomes, signature_loss
from workers.training.patch_store import PatchStore
from workers.training.precision import autocast
from workers.training.training_config import Progress, TrainingConfig, convolution_optimizer, set_rate

SLICES_PER_BATCH = 512
WATCHED_EVERY = 5  # epochs


@dataclass
class SequenceTraining:
    """One sequence's training between two epochs; everything here is saved in the checkpoint."""

    network: SequenceNetwork
    optimizer: torch.optim.Optimizer
    rng: np.random.Generator
    epoch: int = 0
    step: int = 0
    representative: Tensor | None = None  # slice number of each training patient
    early_stopping: EarlyStopping = field(default_factory=EarlyStopping)
    seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)

    def state(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rng": self.rng.bit_generator.state,
            **self.early_stopping.state(_COUNTER),
            **{name: getattr(self, name) for name in _PLAIN_STATE},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over the state of a checkpoint."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.rng.bit_generator.state = state["rng"]
        self.early_stopping.restore(state, _COUNTER)
        for name in _PLAIN_STATE:
            setattr(self, name, state[name])


_PLAIN_STATE = ("epoch", "step", "representative", "seconds", "history")
_COUNTER = "epochs_without_gain"  # key in the checkpoints of this training


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
    """Train the SE-ResNet of one sequence.

    With early stopping (`config.patience`; the paper's schedule has it) the weights of the best epoch stay. Without it,
    a one-cycle schedule ends with the last weights, which its annealed rate has averaged, while single epochs differ by
    less than the C-index of some dozen events can resolve.

    Parameters
    ----------
    store : PatchStore
        Patches of all n patients.
    role : str
        Series role.
    outcomes : Outcomes
        Of all n patients.
    training, validation : int array
        Positions of the patients to learn from, and of those for the validation C-index after every epoch.
    config : TrainingConfig
        What to train.
    checkpoint : Path
        Written after every epoch; a call that finds one resumes from it and, on a CPU, ends with the same weights as an
        uninterrupted call.
    loader : BatchLoader
        Device and loader threads; the weights do not depend on the number of threads.
    start_from : SequenceNetwork, optional
        A trained network whose weights are the first ones, instead of random weights.
    progress : Progress
        Called after every epoch.

    Returns
    -------
    SequenceTraining
        With the trained network on the device.

    References
    ----------
    Zhong et al. 2021, section 2.3.
    """
    # The first weights come from torch's global generator.
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
    images = _Images(store, role, loader, config.precision)
    while run.epoch < config.epochs and not config.stops_after(run.early_stopping.checks_without_gain):
        began = time.monotonic()
        loss = _epoch(run, images, outcomes, training, config)
        c_index = _validated(run, images, outcomes, validation, config)
        run.seconds += time.monotonic() - began
        run.history.append({"epoch": run.epoch, "loss": loss, "validation_c_index": c_index})
        save_checkpoint(checkpoint, run.state())
        watched = "" if c_index is None else f", validation C-index {c_index:.3f}"
        progress(role, run.epoch, config.epochs, f"loss {loss:.4f}{watched}")
    run.early_stopping.restore_best(network, config)
    return run


@dataclass(frozen=True)
class _Images:
    store: PatchStore
    role: str
    loader: BatchLoader
    precision: Precision

    @property
    def device(self) -> torch.device:
        return self.loader.device

    def patches(self, rows: IndexArray) -> Tensor:
        return torch.from_numpy(self.store.slices(self.role, rows))

    def features(self, network: SequenceNetwork, patches: Tensor) -> Tensor:
        """(n, c) of patches (n, 2, 128, 128) on the device."""
        with autocast(self.device, self.precision):
            features = network.backbone(patches)
        # The losses run in float32: log-sum-exp over a risk set loses the small terms in bfloat16.
        return features.float()

    def all_slices(self, patients: IndexArray) -> tuple[IndexArray, list[int]]:
        rows = [self.store.bag_rows(self.role, int(p)) for p in patients]
        return np.concatenate(rows), [len(bag) for bag in rows]


def _epoch(
    run: SequenceTraining, images: _Images, outcomes: Outcomes, training: IndexArray, config: TrainingConfig
) -> float:
    # Batches are balanced by DFS, the composite of the other three endpoints.
    events = outcomes.event_observed[:, DFS].numpy()[training]
    _choose_instances(run, images, training, config)
    batches = epoch_batches(events, config.batch_size, config.event_share, run.rng)
    bags = [_slices_of(run, images, training, batch) for batch in batches]
    n_steps, first_step = config.epochs * len(batches), run.step

    def augmented(number: int) -> Tensor:  # seeded by the step alone, so that the thread does not matter
        generator = seeded_generator(config.seed, first_step + number)
        return augment(images.patches(bags[number][0]), generator, config.scanner_augmentation)

    run.network.train()
    total = torch.zeros((), device=images.device)
    batches_of_patches = images.loader.batches(augmented, range(len(batches)))
    for batch, (_, sizes), patches in zip(batches, bags, batches_of_patches, strict=True):
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
    """Select the slice that represents each training patient: a random one first, then the maximum instance."""
    if config.backbone.pooling == "attention":
        return
    if run.epoch < config.random_epochs:
        sizes = np.array(images.store.bag_sizes(images.role, training))
        # A random slice first: the maximum of an untrained network is arbitrary and would be trained to stay the
        # maximum.
        first = images.store.starts[images.role][training]
        run.representative = torch.from_numpy(first + run.rng.integers(0, sizes))
    elif run.representative is None or (run.epoch - config.random_epochs) % config.refresh_every == 0:
        rows, sizes_found = images.all_slices(training)
        # In evaluation mode and without augmentation, so that the selection does not depend on the batch.
        risk = run.network.risk(slice_features(run.network, images, rows))
        run.representative = torch.from_numpy(rows)[maximum_instance(risk, sizes_found).cpu()]


def slice_features(network: SequenceNetwork, images: _Images, rows: IndexArray) -> Tensor:
    """Return the features of slices in evaluation mode, without gradients.

    Returns
    -------
    Tensor, shape (n_slices, c)
        On the device.
    """
    network.eval()
    blocks = [rows[i : i + SLICES_PER_BATCH] for i in range(0, len(rows), SLICES_PER_BATCH)]
    blocks_of_patches = images.loader.batches(images.patches, blocks)
    with torch.no_grad():
        return torch.cat([images.features(network, patches) for patches in blocks_of_patches])


def _slices_of(
    run: SequenceTraining, images: _Images, training: IndexArray, batch: IndexArray
) -> tuple[IndexArray, list[int]]:
    """Return the slice numbers of a batch, and the sizes of its bags where whole bags are pooled by attention."""
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
    # T/2 in training, +1 in prediction: Tian et al. 2014, section 2.
    prognosis, response = run.network.heads(features, followed.treatment / 2)
    return signature_loss(prognosis, response, followed, config.ties, config.response_offset)


def _validated(
    run: SequenceTraining, images: _Images, outcomes: Outcomes, validation: IndexArray, config: TrainingConfig
) -> float | None:
    """Return the C-index of prognosis plus response after recording it for early stopping; None where nobody looks."""
    # Without early stopping nothing is decided by it, and all slices of the watched patients take as long as an epoch.
    if not config.stops_early and run.epoch % WATCHED_EVERY and run.epoch < config.epochs:
        return None
    c_index = NO_PREFERENCE
    if len(validation):  # a tiny cohort has no validation patients
        features = patient_features(run.network, images, validation)
        c_index = signature_c_index(run.network.heads, features, outcomes.rows(torch.from_numpy(validation)))
    # Epochs with random slices do not count: early stopping is about the training on the maximum instance.
    run.early_stopping.update(c_index, run.network, config, counts=run.epoch > config.random_epochs)
    return c_index


def patient_features(network: SequenceNetwork, images: _Images, patients: IndexArray) -> Tensor:
    """Return the features of the representative slice of each patient, or of the attention-weighted bag.

    Returns
    -------
    Tensor, shape (n_patients, c)
        On the device.
    """
    rows, sizes = images.all_slices(patients)
    features = slice_features(network, images, rows)
    with torch.no_grad():
        if network.attention is not None:
            pooled: Tensor = network.attention(features, sizes)[0]
            return pooled
        return features[maximum_instance(network.risk(features), sizes)]


def cohort_features(
    store: PatchStore, role: str, network: SequenceNetwork, loader: BatchLoader = ON_CPU
) -> Float32Array:
    """Return the deep features of every patient of a store, computed in float32.

    Returns
    -------
    float32 array, shape (n_patients, c)
        In the order of the store.
    """
    # In float32, as the service computes them: the multi-task network must see the features that it will get.
    images = _Images(store, role, loader, precision="float32")
    patients = np.arange(len(store.patient_ids))
    features = [
        patient_features(network, images, block) for block in np.array_split(patients, -(-len(patients) // 128))
    ]
    return torch.cat(features).cpu().numpy()
