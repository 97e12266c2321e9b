"""The multi-task network against the paper: sizes, outputs without bias, modified covariates."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from workers.scores.multitask_network import MultitaskNetwork, ScoresArchitecture


def test_sizes_at_width_one_are_the_papers() -> None:
    network = MultitaskNetwork(ScoresArchitecture(512, 1.0))
    sizes = [(m.in_features, m.out_features, m.bias is not None) for m in network.modules() if isinstance(m, nn.Linear)]
    assert sizes == [
        (1536, 4608, True),
        (4608, 1536, True),
        (1536, 512, True),
        (512, 3, False),
        (4608, 1536, True),
        (1536, 512, True),
        (512, 1, False),
    ]
    assert [m.p for m in network.modules() if isinstance(m, nn.Dropout)] == [pytest.approx(0.4)]


def test_the_response_is_odd_in_the_treatment() -> None:
    torch.manual_seed(0)
    network = MultitaskNetwork(ScoresArchitecture(8, 0.05)).eval()
    x = torch.randn(6, 24)
    with torch.inference_mode():
        prognosis, response = network(x, 0.5)
        same, turned = network(x, torch.full((6,), -0.5))
    assert torch.equal(prognosis, same)
    assert torch.allclose(response, -turned)


def test_outputs_are_inside_the_open_interval() -> None:
    network = MultitaskNetwork(ScoresArchitecture(8, 0.05)).eval()
    with torch.inference_mode():
        prognosis, response = network(torch.randn(50, 24), 1.0)
    assert prognosis.abs().max() < 1
    assert response.abs().max() < 1


def test_standardised_features_have_mean_zero_and_unit_scale() -> None:
    network = MultitaskNetwork(ScoresArchitecture(2, 0.05))
    x = torch.randn(100, 6) * 5 + 3
    x[:, 0] = 7.0  # a constant feature keeps its scale instead of a division by zero
    network.standardise(x)
    z = (x - network.feature_mean) / network.feature_scale
    assert torch.allclose(z.mean(0), torch.zeros(6), atol=1e-5)
    assert torch.allclose(z[:, 1:].std(0), torch.ones(5), atol=1e-5)
    assert torch.equal(z[:, 0], torch.zeros(100))


@pytest.mark.parametrize(("wrong", "said"), [({"n_features": 0}, "n_features"), ({"width": -1.0}, "width")])
def test_a_wrong_architecture_is_named(wrong: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ScoresArchitecture(**wrong)
