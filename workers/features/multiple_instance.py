"""Multiple-instance learning: a bag of tumour slices stands for one patient.

The paper's way is the maximum instance: the slice with the highest predicted risk represents the patient; it is
chosen in evaluation mode and alone carries the gradient. Attention pooling (Ilse, Tomczak and Welling, ICML 2018) is
the alternative: every slice contributes with a weight that is learned.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def maximum_instance(risk: Tensor, bag_sizes: Sequence[int]) -> Tensor:
    """Row of the highest risk in each bag; the first of equals.

    risk : (sum(bag_sizes),) predicted risk of every slice, bag after bag.
    Returns (n_bags,) row numbers into `risk`.
    Raises ValueError when a bag is empty or the sizes do not add up.
    """
    starts = _starts(risk, bag_sizes)
    return torch.stack(
        [start + risk[start : start + size].argmax() for start, size in zip(starts, bag_sizes, strict=True)]
    )


class AttentionPooling(nn.Module):
    """Gated attention over the slices of each bag; equation 9 of Ilse et al. (arXiv:1802.04712)."""

    def __init__(self, n_features: int, hidden: int) -> None:
        super().__init__()
        self.content = nn.Linear(n_features, hidden)
        self.gate = nn.Linear(n_features, hidden)
        self.weight = nn.Linear(hidden, 1, bias=False)

    def forward(self, features: Tensor, bag_sizes: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Features (n_slices, c) -> pooled features (n_bags, c) and the weight (n_slices,) of every slice."""
        starts = _starts(features, bag_sizes)
        scores = self.weight(torch.tanh(self.content(features)) * torch.sigmoid(self.gate(features))).squeeze(1)
        pooled, weights = [], []
        for start, size in zip(starts, bag_sizes, strict=True):
            rows = slice(start, start + size)
            a = torch.softmax(scores[rows], dim=0)  # (size,)
            weights.append(a)
            pooled.append(a @ features[rows])  # (c,)
        return torch.stack(pooled), torch.cat(weights)


def _starts(rows: Tensor, bag_sizes: Sequence[int]) -> list[int]:
    if not bag_sizes or min(bag_sizes) < 1:
        raise ValueError(f"every bag needs at least one slice, found bag sizes {list(bag_sizes)}")
    if sum(bag_sizes) != len(rows):
        raise ValueError(f"bag sizes must add up to the {len(rows)} slices given, found {sum(bag_sizes)}")
    starts = [0]
    for size in bag_sizes[:-1]:
        starts.append(starts[-1] + size)
    return starts
