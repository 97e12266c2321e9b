"""When a training ends and which weights it keeps: the validation C-index, and early stopping on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from workers.survival.concordance import harrell_concordance
from workers.training.losses import DFS, Outcomes
from workers.training.training_config import TrainingConfig

NO_PREFERENCE = 0.5  # C-index of a risk that orders no pair


@dataclass
class EarlyStopping:
    """Best weights so far, and the checks since the last gain of the validation C-index.

    Attributes
    ----------
    best_weights : dict of str to Tensor
        State of the network at its best check.
    best_c_index : float
        C-index there.
    last_gain_c_index : float
        C-index at the last relative gain; the best one may exceed it by less than that gain.
    checks_without_gain : int
        Epochs (SE-ResNet) or checks (multi-task network) since then.
    """

    best_weights: dict[str, Tensor] = field(default_factory=dict)
    # Below every C-index, so that the first check has weights to keep, however poor.
    best_c_index: float = -1.0
    last_gain_c_index: float = -1.0
    checks_without_gain: int = 0

    def update(self, c_index: float, network: nn.Module, config: TrainingConfig, counts: bool = True) -> None:
        """Record one check.

        Parameters
        ----------
        c_index : float
            Of the validation patients, in [0, 1].
        network : Module
            Its weights are copied where the C-index is the best so far.
        config : TrainingConfig
            Its ``relative_gain``.
        counts : bool
            False during the epochs of random instances, which cannot end a training.
        """
        # The best weights follow every gain, the counter only gains of 0.5 % and more: many small steps must not
        # prolong a training, and the last of them is still worth keeping.
        if c_index > self.best_c_index:
            self.best_c_index = c_index
            self.best_weights = deepcopy(network.state_dict())
        if not counts or c_index > self.last_gain_c_index * (1 + config.relative_gain):
            self.last_gain_c_index = max(self.last_gain_c_index, c_index)
            self.checks_without_gain = 0
        else:
            self.checks_without_gain += 1

    def restore_best(self, network: nn.Module, config: TrainingConfig) -> None:
        """Load the best weights into the network where the configuration stops early; else the last ones stay."""
        if config.stops_early and self.best_weights:
            network.load_state_dict(self.best_weights)

    def state(self, counter: str) -> dict[str, Any]:
        """Return the values for a checkpoint; `counter` is the key of ``checks_without_gain`` in its file format."""
        return {
            "best_weights": self.best_weights,
            "best_c_index": self.best_c_index,
            "last_gain_c_index": self.last_gain_c_index,
            counter: self.checks_without_gain,
        }

    def restore(self, state: Mapping[str, Any], counter: str) -> None:
        """Take over the values of a checkpoint."""
        self.best_weights = state["best_weights"]
        self.best_c_index = state["best_c_index"]
        self.last_gain_c_index = state["last_gain_c_index"]
        self.checks_without_gain = state[counter]


def signature_c_index(
    heads: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], features: Tensor, outcomes: Outcomes
) -> float:
    """Return Harrell's C-index of DFS prognosis plus response under the treatment received.

    Parameters
    ----------
    heads : callable
        Network from (features, treatment / 2) to prognosis (n, 3) and response (n,).
    features : Tensor, shape (n, c)
        Deep features, on the device of the network.
    outcomes : Outcomes
        Follow-up of the same patients, on the CPU.

    Returns
    -------
    float
        In [0, 1]; 0.5 where no pair of patients is comparable.
    """
    with torch.no_grad():
        prognosis, response = heads(features, (outcomes.treatment / 2).to(features.device))
    # With the response under the treatment received: the prognosis alone would not reward a better Predictive-score.
    risk = (prognosis.amax(dim=1) + response).cpu().numpy()
    durations, events = outcomes.durations[:, DFS].numpy(), outcomes.event_observed[:, DFS].numpy()
    c_index = harrell_concordance(risk, durations, events).value
    # NaN is never greater, so a training without a comparable pair would have no best weights to restore.
    return NO_PREFERENCE if np.isnan(c_index) else c_index
