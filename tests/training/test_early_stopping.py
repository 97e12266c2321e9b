"""Early stopping by hand: what counts as a gain, which weights stay, and the C-index behind it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from lifelines.utils import concordance_index
from torch import nn

from workers.training.early_stopping import EarlyStopping, signature_c_index
from workers.training.losses import Outcomes
from workers.training.training_config import TrainingConfig

CONFIG = TrainingConfig(patience=2, relative_gain=0.005)


def network_with(weight: float) -> nn.Module:
    network = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        network.weight.fill_(weight)
    return network


def test_a_gain_below_half_a_percent_keeps_its_weights_but_does_not_count() -> None:
    stopping = EarlyStopping()
    for weight, c_index in enumerate((0.700, 0.702, 0.703)):  # 0.7 * 1.005 = 0.7035
        stopping.update(c_index, network_with(weight), CONFIG)
    assert (stopping.checks_without_gain, stopping.last_gain_c_index, stopping.best_c_index) == (2, 0.700, 0.703)
    assert CONFIG.stops_after(stopping.checks_without_gain)
    network = network_with(9)
    stopping.restore_best(network, CONFIG)
    assert network.weight.item() == 2
    stopping.update(0.704, network_with(3), CONFIG)
    assert stopping.checks_without_gain == 0


def test_without_patience_the_last_weights_stay() -> None:
    stopping, network = EarlyStopping(), network_with(9)
    stopping.update(0.7, network_with(1), CONFIG)
    stopping.restore_best(network, TrainingConfig(patience=None))
    assert network.weight.item() == 9


def test_epochs_of_random_instances_cannot_end_a_training() -> None:
    stopping = EarlyStopping()
    for c_index in (0.7, 0.6, 0.6, 0.6):
        stopping.update(c_index, network_with(0), CONFIG, counts=False)
    assert (stopping.checks_without_gain, stopping.last_gain_c_index) == (0, 0.7)


def test_the_state_survives_a_checkpoint() -> None:
    stopping, again = EarlyStopping(), EarlyStopping()
    for c_index in (0.7, 0.6):
        stopping.update(c_index, network_with(c_index), CONFIG)
    again.restore(stopping.state("checks"), "checks")
    assert again == stopping
    assert again.checks_without_gain == 1


def test_the_validation_c_index_is_that_of_prognosis_plus_response_as_lifelines_counts_it() -> None:
    rng = np.random.default_rng(2)
    n = 60
    prognosis = torch.from_numpy(rng.integers(-3, 4, (n, 3)) / 4).float()
    response = torch.from_numpy(rng.integers(-3, 4, n) / 4).float()
    days = torch.from_numpy(rng.integers(1, 20, (n, 4))).float()
    events = torch.from_numpy(rng.random((n, 4)) < 0.5)
    outcomes = Outcomes(days, events, torch.ones(n))
    found = signature_c_index(lambda features, half: (prognosis, response), prognosis, outcomes)
    risk = (prognosis.amax(1) + response).numpy()
    assert found == pytest.approx(concordance_index(days[:, 3].numpy(), -risk, events[:, 3].numpy()), abs=1e-7)
    nobody = Outcomes(days, torch.zeros_like(events), torch.ones(n))
    assert signature_c_index(lambda features, half: (prognosis, response), prognosis, nobody) == 0.5
