"""Multiple-instance learning: a bag of tumour slices represents one patient, the outcome is known for the bag only.

The paper takes the maximum instance: the slice with the highest predicted risk represents the patient; it is chosen in
evaluation mode and alone receives the gradient. Attention pooling is the alternative: every slice contributes with a
learned weight.

References
----------
Zhong et al., EBioMedicine 2021;70:103522, section 2.3. Ilse, Tomczak and Welling, Attention-based deep multiple
instance learning, ICML 2018 (arXiv:1802.04712).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def maximum_instance(risk: Tensor, bag_sizes: Sequence[int]) -> Tensor:
    """Return the row of the highest risk in each bag.

    Parameters
    ----------
    risk : tensor, shape (sum(bag_sizes),)
        Predicted risk of every slice, bag after bag.
    bag_sizes : sequence of int
        Number of slices of each bag, at least 1.

    Returns
    -------
    int tensor, shape (n_bags,)
        Rows of `risk`; of equal risks the first.

    Raises
    ------
    ValueError
        A bag is empty, or the sizes do not add up to the number of slices.
    """
    starts = _starts(risk, bag_sizes)
    # Bag by bag, since bags differ in size; padding would need a value below every risk.
    return torch.stack(
        [start + risk[start : start + size].argmax() for start, size in zip(starts, bag_sizes, strict=True)]
    )


class AttentionPooling(nn.Module):
    """Gated attention over the slices of each bag; equation 9 of Ilse et al.

    Parameters
    ----------
    n_features : int
        Features of one slice.
    hidden : int
        Units of the content and of the gate layer.
    """

    def __init__(self, n_features: int, hidden: int) -> None:
        super().__init__()
        self.content = nn.Linear(n_features, hidden)
        self.gate = nn.Linear(n_features, hidden)
        self.weight = nn.Linear(hidden, 1, bias=False)

    def forward(self, features: Tensor, bag_sizes: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Pool the features of each bag.

        Parameters
        ----------
        features : tensor, shape (n_slices, c)
            Bag after bag.
        bag_sizes : sequence of int
            Number of slices of each bag, at least 1.

        Returns
        -------
        pooled : tensor, shape (n_bags, c)
            Weighted means.
        weights : tensor, shape (n_slices,)
            0..1, sum 1 in each bag.
        """
        starts = _starts(features, bag_sizes)
        scores = self.weight(torch.tanh(self.content(features)) * torch.sigmoid(self.gate(features))).squeeze(1)
        pooled, weights = [], []
        for start, size in zip(starts, bag_sizes, strict=True):
            rows = slice(start, start + size)
            # Within the bag: weights of other patients' slices must not enter.
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
