"""Deep features of bags, one by one and batched across patients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from config.errors import InputError
from workers.features.extraction import BATCH, extract, extract_many, resolve_device
from workers.features.se_resnet import BackboneArchitecture, SequenceNetwork


@pytest.fixture(scope="module", params=["maximum", "attention"])
def network(request: pytest.FixtureRequest) -> SequenceNetwork:
    torch.manual_seed(0)
    return SequenceNetwork(BackboneArchitecture(width=0.0625, pooling=request.param))


@pytest.fixture(scope="module")
def bags() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.random((n, 2, 128, 128), dtype=np.float32) for n in (3, 1, 5)]


def test_batching_across_patients_changes_nothing(network: SequenceNetwork, bags: list[np.ndarray]) -> None:
    together = extract_many(bags, network)
    for bag, found in zip(bags, together, strict=True):
        features, representative = extract(bag, network)
        np.testing.assert_array_equal(found.features, features)
        assert found.representative_index == representative
        assert found.features.shape == (32,)
        assert len(found.slice_risk) == len(bag)


def test_a_bag_may_be_longer_than_a_batch(network: SequenceNetwork) -> None:
    batch = BATCH["cpu", "float32"]
    bag = np.random.default_rng(1).random((batch + 3, 2, 128, 128), dtype=np.float32)
    whole, (head,) = extract_many([bag], network)[0], extract_many([bag[:batch]], network)
    np.testing.assert_array_equal(whole.slice_risk[:batch], head.slice_risk)
    assert len(whole.slice_risk) == len(bag)


@pytest.mark.parametrize("width", [0.25, 1.0])
def test_a_slice_has_the_same_bits_at_every_place_of_a_batch(width: float) -> None:
    torch.manual_seed(2)
    network = SequenceNetwork(BackboneArchitecture(width=width))
    bag = np.random.default_rng(2).random((BATCH["cpu", "float32"], 2, 128, 128), dtype=np.float32)
    risk = extract_many([bag], network)[0].slice_risk
    for places in (1, 3, 6):
        moved = extract_many([np.roll(bag, places, axis=0)], network)[0]
        np.testing.assert_array_equal(moved.slice_risk, np.roll(risk, places))


def test_bfloat16_stays_near_and_leaves_the_network_alone(network: SequenceNetwork, bags: list[np.ndarray]) -> None:
    exact = extract_many(bags, network)
    rough = extract_many(bags, network, precision="bfloat16")
    for one, other in zip(exact, rough, strict=True):
        assert np.linalg.norm(one.slice_risk - other.slice_risk) < 0.05 * np.linalg.norm(one.slice_risk)
    assert next(network.parameters()).dtype is torch.float32


def test_the_representative_has_the_highest_risk_and_its_own_features(bags: list[np.ndarray]) -> None:
    torch.manual_seed(1)
    network = SequenceNetwork(BackboneArchitecture(width=0.0625))
    found = extract_many(bags, network)[2]
    assert found.representative_index == int(np.argmax(found.slice_risk))
    alone, _ = extract(bags[2][[found.representative_index]], network)
    np.testing.assert_allclose(found.features, alone, atol=1e-5)


@pytest.mark.parametrize("shape", [(0, 2, 128, 128), (3, 1, 128, 128), (2, 64, 64)])
def test_a_bag_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    network = SequenceNetwork(BackboneArchitecture(width=0.0625))
    with pytest.raises(InputError, match=r"expected at least one patch of shape \(2, 128, 128\)"):
        extract(np.zeros(shape, dtype=np.float32), network)


def test_auto_is_the_cpu_where_there_is_no_gpu() -> None:
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert resolve_device("cpu").type == "cpu"


def test_float32_is_float32_on_a_gpu_too() -> None:
    """Needs no GPU: what is set is what cuDNN would be asked for."""
    before = torch.backends.cudnn.conv.fp32_precision
    torch.backends.cudnn.conv.fp32_precision = "tf32"
    try:
        assert resolve_device("cuda").type == "cuda"
        assert torch.backends.cudnn.conv.fp32_precision == "ieee"
    finally:
        torch.backends.cudnn.conv.fp32_precision = before
