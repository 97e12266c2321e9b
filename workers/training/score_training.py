"""Training the multi-task network on the deep features of a whole cohort: full batch, since risk sets shrink with it.

References: Zhong et al., EBioMedicine 2021;70:103522, section 2.3 and supplement (penalties).
"""

from __future__ import annotations

import time
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
from workers.training.early_stopping import EarlyStopping, signature_c_index
from workers.training.losses import Outcomes, signature_loss, weight_penalty
from workers.training.training_config import Progress, TrainingConfig, scores_optimizer, set_rate

CPU = torch.device("cpu")
L2_SHARED, L2_PROGNOSIS, L2_RESPONSE, L1_OUTPUTS = 0.05, 0.2, 0.02, 0.01


@dataclass
class ScoreTraining:
    """The training between two checks; everything here is saved in the checkpoint."""

    network: MultitaskNetwork
    optimizer: torch.optim.Optimizer
    step: int = 0
    early_stopping: EarlyStopping = field(default_factory=EarlyStopping)
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)

    def state(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            **self.early_stopping.state(_COUNTER),
            **{name: getattr(self, name) for name in _PLAIN_STATE},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over the state of a checkpoint."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.early_stopping.restore(state, _COUNTER)
        for name in _PLAIN_STATE:
            setattr(self, name, state[name])


_PLAIN_STATE = ("step", "seconds", "history")
_COUNTER = "checks_without_gain"  # key in the checkpoints of this training


def train_scores(
    features: NDArray[np.float32],
    outcomes: Outcomes,
    training: IndexArray,
    validation: IndexArray,
    config: TrainingConfig,
    checkpoint: Path | None = None,
    progress: Progress = lambda stage, done, total, note: None,
    device: torch.device = CPU,
) -> ScoreTraining:
    """Train the multi-task network, with early stopping where the configuration has it.

    Parameters
    ----------
    features : float32 array, shape (n, 3 * c)
        Of all patients, sequences in the order of SEQUENCES.
    outcomes : Outcomes
        Of all patients.
    training, validation : int array
        Positions of the patients to learn from, and of those for the validation C-index.
    config : TrainingConfig
        Its ``scores_*`` values. Each step draws its dropout from a generator seeded by the step, so a resumed training
        is the same.
    checkpoint : Path, optional
        Written after every check; a call that finds one resumes from it.
    progress : Progress
        Called after every check.
    device : torch.device
        Where to train.

    Returns
    -------
    ScoreTraining
        With the last weights, or the best ones after early stopping; in evaluation mode, on the CPU.

    References
    ----------
    Zhong et al. 2021, section 2.3.
    """
    torch.manual_seed(config.seed)
    x = torch.from_numpy(np.ascontiguousarray(features, dtype=np.float32))
    network = MultitaskNetwork(ScoresArchitecture(x.shape[1] // len(SEQUENCES), config.scores_width))
    # From the training patients alone: the validation patients' moments would leak into the weights that they select.
    network.standardise(x[torch.from_numpy(training)])
    network.to(device)  # first weights and moments come from the CPU, the same for every device
    run = ScoreTraining(network, scores_optimizer(network, config))
    saved = load_checkpoint(checkpoint) if checkpoint is not None else None
    if saved is not None:
        run.restore(saved)
    inside, outside = torch.from_numpy(training), torch.from_numpy(validation)
    followed, checked = outcomes.rows(inside).to(device), outcomes.rows(outside)
    x_training, x_validation = x[inside].to(device), x[outside].to(device)
    while run.step < config.scores_steps and not config.stops_after(run.early_stopping.checks_without_gain):
        began = time.monotonic()
        loss = 0.0
        for _ in range(config.scores_check_every):
            loss = _step(run, x_training, followed, config)
        network.eval()
        c_index = signature_c_index(network, x_validation, checked)
        run.early_stopping.update(c_index, network, config)
        run.seconds += time.monotonic() - began
        run.history.append({"step": run.step, "loss": loss, "validation_c_index": c_index})
        if checkpoint is not None:
            save_checkpoint(checkpoint, run.state())
        progress("scores", run.step, config.scores_steps, f"loss {loss:.4f}, validation C-index {c_index:.3f}")
    run.early_stopping.restore_best(network, config)
    network.to(CPU).eval()
    return run


def _step(run: ScoreTraining, x: Tensor, followed: Outcomes, config: TrainingConfig) -> float:
    """Take one full-batch step and return its loss without the penalties."""
    # Dropout draws from the global generator; seeded by the step, a resumed training draws the same masks.
    torch.manual_seed(config.seed + 1 + run.step)
    run.network.train()
    set_rate(run.optimizer, config, config.scores_learning_rate, run.step, config.scores_steps)
    prognosis, response = run.network(x, followed.treatment / 2)
    loss = signature_loss(prognosis, response, followed, config.ties, config.response_offset)
    # The loss is reported without the penalties, which change with the width of the network.
    total = loss + config.penalty * penalties(run.network)
    run.optimizer.zero_grad(set_to_none=True)
    total.backward()
    run.optimizer.step()
    run.step += 1
    return float(loss.detach())


def penalties(network: MultitaskNetwork) -> Tensor:
    """Return the paper's weight penalties: L2 on the three parts, L1 on the outputs.

    Parameters
    ----------
    network : MultitaskNetwork
        In training.

    Returns
    -------
    tensor, scalar
        With gradient; to be added to the loss.

    References
    ----------
    Zhong et al. 2021, supplement.
    """
    return (
        # Zhong et al. 2021, supplement. L1 on the outputs favours few features of the last layers over many small ones.
        weight_penalty(network.shared, l2=L2_SHARED)
        + weight_penalty(network.prognosis, l2=L2_PROGNOSIS)
        + weight_penalty(network.response, l2=L2_RESPONSE)
        + weight_penalty(network.prognosis_output, l1=L1_OUTPUTS)
        + weight_penalty(network.response_output, l1=L1_OUTPUTS)
    )
