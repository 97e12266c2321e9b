"""How a model is trained: everything that can be chosen, with the reasons for the defaults in the room's README."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from config.errors import InputError
from workers.features.extraction import Precision
from workers.features.se_resnet import DEEPER, BackboneArchitecture, Pooling, Variant
from workers.training.batch_sampling import PAPER_EVENT_SHARE
from workers.training.losses import Ties
from workers.volumes.intensity import Normalisation

Progress = Callable[[str, int, int, str], None]  # stage, done, total, note
Schedule = Literal["one_cycle", "paper"]
Augmentation = Literal["scanner", "paper"]

PAPER_CNN_RATE, PAPER_FC_RATE = 1e-3, 1e-4
PAPER_CNN_WARM_UP, PAPER_FC_WARM_UP = 80, 50  # steps
PAPER_DECAY, PAPER_DECAY_STEPS = 0.95, 80
PAPER_MOMENTUM = 0.95
PAPER_BATCH = 64
PAPER_PATIENCE = 5
PAPER_SCORES_STEPS = 4000  # at most; early stopping ends it
WARM_UP_SHARE = 0.3  # of a one-cycle schedule
DIVIDE_FIRST, DIVIDE_LAST = 25.0, 1e4


@dataclass(frozen=True)
class TrainingConfig:
    """A training from images to scores.

    Attributes
    ----------
    seed : int
        Of folds, first weights, batches and augmentation.
    normalisation : str
        Of the images' grey values.
    backbone : BackboneArchitecture
        Shape of the SE-ResNets.
    scores_width : float
        Width of the multi-task network; 1 is the paper's.
    schedule : {"one_cycle", "paper"}
        AdamW in one cycle; or SGD with Nesterov momentum, warm-up, decay by steps and event oversampling.
    ties : {"breslow", "efron"}
        Of the Cox loss.
    epochs, batch_size, learning_rate, weight_decay
        Of the SE-ResNets; the learning rate is the peak.
    event_share : float or None
        See `batch_sampling.epoch_batches`.
    random_epochs : int
        Epochs in which a random slice represents each patient, before the maximum instance does.
    refresh_every : int
        Epochs between two selections of the maximum instance.
    transfer : bool
        The SE-ResNets of T1w and T2w start from the trained one of CE-T1w.
    scanner_augmentation : bool
        Also vary contrast, noise and bias.
    precision : {"float32", "bfloat16"}
        Of the SE-ResNets' convolutions in training; see `precision.choose_precision`.
    validation_share : float
        Share of the training patients that decide when to stop; nobody is held back where nothing stops early.
    relative_gain, patience
        A training ends after `patience` epochs (SE-ResNet) or checks (multi-task network) without this relative gain of
        the validation C-index, and the best weights stay. patience None: it runs to its end and the last weights stay.
    scores_steps, scores_learning_rate, scores_weight_decay, scores_check_every
        Of the full-batch training of the multi-task network.
    penalty : float
        Factor of the paper's weight penalties of the multi-task network.
    response_offset : bool
        Fit the response beside the (detached) prognosis (Tian et al. 2014, section 3) instead of alone, as the paper.
    """

    seed: int = 20260
    normalisation: Normalisation = "landmarks"
    backbone: BackboneArchitecture = field(default_factory=BackboneArchitecture)
    scores_width: float = 1.0
    schedule: Schedule = "one_cycle"
    ties: Ties = "breslow"
    epochs: int = 20
    batch_size: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 1e-3
    event_share: float | None = None
    random_epochs: int = 13
    refresh_every: int = 2
    transfer: bool = False
    scanner_augmentation: bool = True
    precision: Precision = "float32"
    validation_share: float = 0.12
    relative_gain: float = 0.005
    patience: int | None = None
    scores_steps: int = 60
    scores_learning_rate: float = 3e-4
    scores_weight_decay: float = 1e-2
    scores_check_every: int = 10
    penalty: float = 1.0
    response_offset: bool = True

    def stops_after(self, without_gain: int) -> bool:
        """Return whether this number of epochs or checks without a gain ends the training."""
        return self.patience is not None and without_gain >= self.patience

    @property
    def stops_early(self) -> bool:
        """Whether early stopping is configured."""
        return self.patience is not None

    def with_seed(self, seed: int) -> TrainingConfig:
        """Return the same configuration with another seed."""
        return replace(self, seed=seed)

    def to_json(self) -> dict[str, Any]:
        """Return all values, for the manifest and the working folder."""
        return {**asdict(self), "backbone": self.backbone.to_json()}


def config_from_choices(
    *,
    width: float,
    variant: Variant,
    pooling: Pooling,
    epochs: int,
    batch_size: int,
    transfer: bool,
    seed: int,
    schedule: Schedule = "one_cycle",
    normalisation: Normalisation = "landmarks",
    augmentation: Augmentation | None = None,
    patience: int | None = None,
    precision: Precision = "float32",
) -> TrainingConfig:
    """Return the configuration that these choices name.

    Parameters
    ----------
    width : float
        Of all layers; 1 is the paper's.
    variant : {"basic", "bottleneck"}
        SE-ResNet blocks.
    pooling : {"maximum", "attention"}
        How the slices of a bag become one feature vector.
    epochs, batch_size : int
        Of the SE-ResNets; the paper's schedule has its own batch size.
    transfer : bool
        See `TrainingConfig`.
    seed : int
        See `TrainingConfig`.
    schedule : {"one_cycle", "paper"}
        See `TrainingConfig`.
    normalisation : str
        See `TrainingConfig`.
    augmentation : {"scanner", "paper"}, optional
        By default that of the schedule.
    patience : int, optional
        By default that of the schedule; 0: never stop early.
    precision : {"float32", "bfloat16"}
        See `TrainingConfig`.

    Raises
    ------
    InputError
        The shape cannot be built.
    """
    config = TrainingConfig(
        seed=seed,
        normalisation=normalisation,
        precision=precision,
        backbone=backbone_of(width, variant, pooling),
        scores_width=width,
        epochs=epochs,
        batch_size=batch_size,
        transfer=transfer,
        # Two thirds of the epochs with random slices; the reasons and figures are in the room's README.
        random_epochs=max(1, 2 * epochs // 3),
        refresh_every=2,
    )
    if schedule == "paper":
        config = _of_the_paper(config)
    if augmentation is not None:
        config = replace(config, scanner_augmentation=augmentation == "scanner")
    # Patience 0 switches early stopping off, also that of the paper's schedule.
    return config if patience is None else replace(config, patience=patience or None)


def backbone_of(width: float, variant: Variant, pooling: Pooling) -> BackboneArchitecture:
    """Return the SE-ResNet that these choices name (see `config_from_choices`).

    Raises
    ------
    InputError
        The shape cannot be built.
    """
    blocks = DEEPER.blocks if variant == "bottleneck" else (2, 2, 2)
    try:
        return BackboneArchitecture(variant, blocks, width, pooling=pooling)
    except ValueError as error:
        raise InputError(str(error)) from error


def _of_the_paper(config: TrainingConfig) -> TrainingConfig:
    """Return the paper's schedule: SGD, batches of 37 + 27 patients, the maximum instance in every epoch."""
    return replace(
        config,
        schedule="paper",
        batch_size=PAPER_BATCH,
        event_share=PAPER_EVENT_SHARE,
        random_epochs=0,
        refresh_every=1,
        patience=PAPER_PATIENCE,
        scanner_augmentation=False,
        response_offset=False,
        scores_steps=PAPER_SCORES_STEPS,
        # The paper stops early on the validation C-index, so it needs more patients to validate on than a run that
        # keeps its last weights.
        validation_share=0.2,
    )


def convolution_optimizer(network: nn.Module, config: TrainingConfig) -> Optimizer:
    """Return the optimizer of an SE-ResNet with its heads.

    Parameters
    ----------
    network : torch.nn.Module
        A SequenceNetwork.
    config : TrainingConfig
        Its schedule decides: AdamW, or the paper's SGD with Nesterov momentum.

    Returns
    -------
    torch.optim.Optimizer
        `set_rate` sets the learning rate before each step.
    """
    if config.schedule == "paper":
        heads = [p for name, p in network.named_parameters() if not name.startswith("backbone")]
        groups = [
            {
                "params": list(network.get_submodule("backbone").parameters()),
                "name": "convolutions",
                "weight_decay": 5e-4,
            },
            {"params": heads, "name": "heads", "weight_decay": 0.0},
        ]
        return SGD(groups, lr=PAPER_CNN_RATE, momentum=PAPER_MOMENTUM, nesterov=True)
    return _decayed(network, config.learning_rate, config.weight_decay)


def scores_optimizer(network: nn.Module, config: TrainingConfig) -> Optimizer:
    """Return the optimizer of the multi-task network."""
    if config.schedule == "paper":
        groups = [{"params": list(network.parameters()), "name": "heads"}]
        return SGD(groups, lr=PAPER_FC_RATE, momentum=PAPER_MOMENTUM, nesterov=True)
    return _decayed(network, config.scores_learning_rate, config.scores_weight_decay)


def _decayed(network: nn.Module, rate: float, weight_decay: float) -> AdamW:
    # Weight decay is meant for matrices; biases and normalisation scales are left free, as in the paper's penalties.
    weights = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": weights, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return AdamW(groups, lr=rate)


def set_rate(optimizer: Optimizer, config: TrainingConfig, peak: float, step: int, n_steps: int) -> None:
    """Set the learning rate of one step, a function of the step alone, so that a resumed training is the same.

    Parameters
    ----------
    optimizer : Optimizer
        From `convolution_optimizer` or `scores_optimizer`.
    config : TrainingConfig
        Its schedule.
    peak : float
        Highest rate of the one-cycle schedule.
    step, n_steps : int
        From 0; of all.
    """
    for group in optimizer.param_groups:
        if config.schedule == "paper":
            group["lr"] = _paper_rate(step, convolutions=group["name"] == "convolutions")
        else:
            group["lr"] = _one_cycle_rate(step, n_steps, peak)


def _paper_rate(step: int, convolutions: bool) -> float:
    rate, warm_up = (PAPER_CNN_RATE, PAPER_CNN_WARM_UP) if convolutions else (PAPER_FC_RATE, PAPER_FC_WARM_UP)
    if step < warm_up:
        return rate * (step + 1) / warm_up
    # In stairs of 80 steps after the warm-up (Zhong et al. 2021, supplement).
    return float(rate * PAPER_DECAY ** ((step - warm_up) // PAPER_DECAY_STEPS))


def _one_cycle_rate(step: int, n_steps: int, peak: float) -> float:
    # Smith and Topin, arXiv:1708.07120, with cosine flanks.
    top = max(1.0, WARM_UP_SHARE * n_steps)
    if step < top:
        return _cosine(peak / DIVIDE_FIRST, peak, step / top)
    return _cosine(peak, peak / DIVIDE_LAST, min(1.0, (step - top) / max(1.0, n_steps - top)))


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
