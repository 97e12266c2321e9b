"""Grad-CAM against captum on the same layer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam
from torch import Tensor, nn

from workers.features.se_resnet import BackboneArchitecture, SequenceNetwork
from workers.scores.grad_cam import Attribution, grad_cam
from workers.scores.multitask_network import SEQUENCES, MultitaskNetwork, ScoresArchitecture

ARCHITECTURE = BackboneArchitecture(width=0.0625)


@pytest.fixture(scope="module")
def networks() -> tuple[dict[str, SequenceNetwork], MultitaskNetwork]:
    torch.manual_seed(3)
    sequences = {role: SequenceNetwork(ARCHITECTURE).eval() for role in SEQUENCES}
    return sequences, MultitaskNetwork(ScoresArchitecture(ARCHITECTURE.n_features, 0.05)).eval()


@pytest.fixture(scope="module")
def slices() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {role: rng.random((2, 128, 128), dtype=np.float32) for role in SEQUENCES}


@pytest.fixture(scope="module")
def found(networks: tuple[dict[str, SequenceNetwork], MultitaskNetwork], slices: dict[str, np.ndarray]) -> Attribution:
    return grad_cam(slices, *networks)


def test_maps_are_pictures_in_the_unit_interval(found: Attribution) -> None:
    for maps in (found.prognostic, found.predictive, found.combined()):
        assert set(maps) == set(SEQUENCES)
        for picture in maps.values():
            assert picture.shape == (128, 128)
            assert picture.min() >= 0
            assert picture.max() <= 1
        assert max(picture.max() for picture in maps.values()) == pytest.approx(1)


@pytest.mark.parametrize("score", ["prognostic", "predictive"])
@pytest.mark.parametrize("role", SEQUENCES)
def test_maps_are_those_of_captum(
    networks: tuple[dict[str, SequenceNetwork], MultitaskNetwork],
    slices: dict[str, np.ndarray],
    found: Attribution,
    role: str,
    score: str,
) -> None:
    """The Prognostic-score as it is; the Predictive-score with the sign turned, for low values favour ICT+CCRT."""
    sequences, scores = networks

    class Explained(nn.Module):
        def forward(self, patch: Tensor) -> Tensor:
            features = [
                sequences[r].backbone(patch if r == role else torch.from_numpy(slices[r])[None]) for r in SEQUENCES
            ]
            prognosis, response = scores(torch.cat(features, 1), 1.0)
            return prognosis.amax(1) if score == "prognostic" else -response

    explained = LayerGradCam(Explained(), sequences[role].backbone.stages[1])
    theirs = explained.attribute(torch.from_numpy(slices[role])[None], relu_attributions=True)
    large = nn.functional.interpolate(theirs, size=(128, 128), mode="bilinear")[0, 0].detach().numpy()
    assert large.max() > 0
    ours = getattr(found, score)[role]
    np.testing.assert_allclose(ours / ours.max(), large / large.max(), atol=1e-4)


def test_the_networks_are_left_without_gradients(
    networks: tuple[dict[str, SequenceNetwork], MultitaskNetwork], found: Attribution
) -> None:
    assert all(p.grad is None for p in networks[1].parameters())
