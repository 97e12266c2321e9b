"""Training the multi-task network on the deep features of a whole cohort: full batch, since risk sets shrink with it.

Source: Zhong et al., EBioMedicine 2021;70:103522, section 2.3 and supplement (penalties).
"""

from __future__ import annotations

import time
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from config.arrays import IndexArray
from workers.scores.multitask_network import SEQUENCES, MultitaskNetwork, ScoresArchitecture
from workers.training.checkpoints import load_checkpoint, save_checkpoint
from workers.training.losses import Outcomes, signature_loss, weight_penalty
from workers.training.sequence_training import Progress, signature_c_index
from workers.training.training_config import TrainingConfig, scores_optimizer, set_rate

L2_SHARED, L2_PROGNOSIS, L2_RESPONSE, L1_OUTPUTS = 0.05, 0.2, 0.02, 0.01


@dataclass
class ScoreTraining:
    """The training between two checks; everything here goes into the checkpoint."""

    network: MultitaskNetwork
    optimizer: torch.optim.Optimizer
    step: int = 0
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    best_c_index: float = -1.0
    last_gain_c_index: float = -1.0
    checks_without_gain: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)

    def state(self) -> dict[str, Any]:
        plain = {name: getattr(self, name) for name in _PLAIN_STATE}
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict(), **plain}

    def restore(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        for name in _PLAIN_STATE:
            setattr(self, name, state[name])


_PLAIN_STATE = (
    "step", "best_weights", "best_c_index", "last_gain_c_index", "checks_without_gain", "seconds",
    "history",
)  # fmt: skip


def train_scores(
    features: NDArray[np.float32],
    outcomes: Outcomes,
    training: IndexArray,
    validation: IndexArray,
    config: TrainingConfig,
    checkpoint: Path | None = None,
    progress: Progress = lambda stage, done, total, note: None,
) -> ScoreTraining:
    """Train on the patients `training`; with early stopping (`config.patience`) on the C-index of `validation`.

    features : (n, 3 * c) of all patients, in the order of SEQUENCES.
    Each step draws its dropout from a generator seeded_generator by the step, so a resumed training is the same.
    """
    torch.manual_seed(config.seed)
    x = torch.from_numpy(np.ascontiguousarray(features, dtype=np.float32))
    network = MultitaskNetwork(ScoresArchitecture(x.shape[1] // len(SEQUENCES), config.scores_width))
    network.standardise(x[torch.from_numpy(training)])
    run = ScoreTraining(network, scores_optimizer(network, config))
    saved = load_checkpoint(checkpoint) if checkpoint is not None else None
    if saved is not None:
        run.restore(saved)
    inside, outside = torch.from_numpy(training), torch.from_numpy(validation)
    followed, checked = outcomes.rows(inside), outcomes.rows(outside)
    x_training, x_validation = x[inside], x[outside]
    while run.step < config.scores_steps and not config.stops_after(run.checks_without_gain):
        began = time.monotonic()
        loss = 0.0
        for _ in range(config.scores_check_every):
            loss = _step(run, x_training, followed, config)
        network.eval()
        c_index = signature_c_index(network, x_validation, checked)
        _keep_best(run, c_index, config)
        run.seconds += time.monotonic() - began
        run.history.append({"step": run.step, "loss": loss, "validation_c_index": c_index})
        if checkpoint is not None:
            save_checkpoint(checkpoint, run.state())
        progress("scores", run.step, config.scores_steps, f"loss {loss:.4f}, validation C-index {c_index:.3f}")
    if config.stops_early and run.best_weights:
        network.load_state_dict(run.best_weights)
    network.eval()
    return run


def _step(run: ScoreTraining, x: Tensor, followed: Outcomes, config: TrainingConfig) -> float:
    """One full-batch step."""
    torch.manual_seed(config.seed + 1 + run.step)
    run.network.train()
    set_rate(run.optimizer, config, config.scores_learning_rate, run.step, config.scores_steps)
    prognosis, response = run.network(x, followed.treatment / 2)
    loss = signature_loss(prognosis, response, followed, config.ties, config.response_offset)
    total = loss + config.penalty * penalties(run.network)
    run.optimizer.zero_grad(set_to_none=True)
    total.backward()
    run.optimizer.step()
    run.step += 1
    return float(loss.detach())


def penalties(network: MultitaskNetwork) -> Tensor:
    """The paper's weight penalties: L2 on the three parts, L1 on the outputs."""
    return (
        weight_penalty(network.shared, l2=L2_SHARED)
        + weight_penalty(network.prognosis, l2=L2_PROGNOSIS)
        + weight_penalty(network.response, l2=L2_RESPONSE)
        + weight_penalty(network.prognosis_output, l1=L1_OUTPUTS)
        + weight_penalty(network.response_output, l1=L1_OUTPUTS)
    )


def _keep_best(run: ScoreTraining, c_index: float, config: TrainingConfig) -> None:
    if c_index > run.best_c_index:
        run.best_c_index = c_index
        run.best_weights = deepcopy(run.network.state_dict())
    if c_index > run.last_gain_c_index * (1 + config.relative_gain):
        run.last_gain_c_index = c_index
        run.checks_without_gain = 0
    else:
        run.checks_without_gain += 1
