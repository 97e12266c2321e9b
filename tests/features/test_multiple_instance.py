"""Which slice represents the patient."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from workers.features.multiple_instance import AttentionPooling, maximum_instance


def test_each_bag_gives_its_highest_slice() -> None:
    risk = torch.tensor([0.1, 0.9, 0.3, 0.8, -0.5])
    assert maximum_instance(risk, [2, 1, 2]).tolist() == [1, 2, 3]


def test_the_first_of_equals_is_taken() -> None:
    assert maximum_instance(torch.tensor([0.5, 0.5]), [2]).tolist() == [0]


@given(st.lists(st.integers(1, 6), min_size=1, max_size=8), st.randoms())
def test_agrees_with_a_loop(sizes: list[int], random: object) -> None:
    risk = torch.rand(sum(sizes))
    rows, start = [], 0
    for size in sizes:
        rows.append(max(range(start, start + size), key=lambda i: float(risk[i])))
        start += size
    assert maximum_instance(risk, sizes).tolist() == rows


@pytest.mark.parametrize(("sizes", "said"), [([2, 0], "at least one slice"), ([2, 2], "add up to the 3 slices")])
def test_wrong_bags_are_named(sizes: list[int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        maximum_instance(torch.zeros(3), sizes)


def test_attention_weights_add_up_to_one_in_each_bag() -> None:
    pooling = AttentionPooling(4, 3)
    features = torch.randn(5, 4)
    pooled, weights = pooling(features, [2, 3])
    assert weights[:2].sum().item() == pytest.approx(1, abs=1e-6)
    assert weights[2:].sum().item() == pytest.approx(1, abs=1e-6)
    assert torch.allclose(pooled[0], weights[:2] @ features[:2])


def test_attention_does_not_depend_on_the_order_of_slices() -> None:
    pooling = AttentionPooling(4, 3)
    features = torch.randn(5, 4)
    again = pooling(features[[3, 0, 4, 1, 2]], [5])[0]
    assert torch.allclose(pooling(features, [5])[0], again, atol=1e-6)
