"""Deep features of patients: all slices of a bag at once, many patients in one batch.

The network runs in evaluation mode, without gradients, channels last (a third faster than channels first on a CPU).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from config.errors import InputError
from workers.features.multiple_instance import maximum_instance
from workers.features.se_resnet import PATCH_SIZE, SequenceNetwork

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class DeepFeatures:
    """What one sequence of one patient became.

    features : (512 * width,) of the representative slice (or of the attention-weighted bag).
    representative_index : row of the slice in the bag that represents the patient.
    slice_risk : (n_slices,) predicted risk of every slice, in (-1, 1).
    """

    features: FloatArray
    representative_index: int
    slice_risk: FloatArray


def resolve_device(name: str) -> torch.device:
    """`auto` is CUDA where there is one, else the CPU."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def extract(
    patches: FloatArray, network: SequenceNetwork, device: str | torch.device = "cpu"
) -> tuple[FloatArray, int]:
    """Deep features of one bag.

    patches : (n, 2, 128, 128) float32, image in 0..1 and mask in {0, 1}.
    Returns the features (512 * width,) and the row of the representative slice.
    Raises InputError when the bag is empty or of another shape.
    """
    found = extract_many([patches], network, device)[0]
    return found.features, found.representative_index


def extract_many(
    bags: Sequence[FloatArray],
    network: SequenceNetwork,
    device: str | torch.device = "cpu",
    slices_per_batch: int = 512,
) -> list[DeepFeatures]:
    """Deep features of many bags, batched across patients; one result a bag, in order.

    bags : each (n_i, 2, 128, 128) float32.
    slices_per_batch : how many slices run through the network together; bounds the memory.
    """
    for number, bag in enumerate(bags):
        _check(bag, number)
    where = torch.device(device)
    network = network.to(where, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    sizes = [len(bag) for bag in bags]
    with torch.inference_mode():
        features = torch.cat([_features(batch, network, where) for batch in _batches(bags, slices_per_batch)])
        risk = network.risk(features)  # (n_slices,)
        if network.attention is None:
            rows = maximum_instance(risk, sizes)
            patients = features[rows]  # (n_bags, c)
        else:
            patients, weights = network.attention(features, sizes)
            rows = maximum_instance(weights, sizes)
    start, found = 0, []
    slice_risk = risk.cpu().numpy()
    for size, row, patient in zip(sizes, rows.tolist(), patients.cpu().numpy(), strict=True):
        found.append(DeepFeatures(patient, row - start, slice_risk[start : start + size]))
        start += size
    return found


def _check(bag: FloatArray, number: int) -> None:
    if bag.ndim != 4 or bag.shape[1:] != (2, PATCH_SIZE, PATCH_SIZE) or len(bag) == 0:
        raise InputError(
            f"bag {number}: expected at least one patch of shape (2, {PATCH_SIZE}, {PATCH_SIZE}), found {bag.shape}"
        )


def _batches(bags: Sequence[FloatArray], slices_per_batch: int) -> list[FloatArray]:
    """The slices of all bags in order, cut to batches; a bag may be split between two."""
    rows = np.concatenate(bags) if len(bags) > 1 else bags[0]
    return [rows[i : i + slices_per_batch] for i in range(0, len(rows), slices_per_batch)]


def _features(batch: FloatArray, network: SequenceNetwork, device: torch.device) -> torch.Tensor:
    tensor = torch.from_numpy(np.ascontiguousarray(batch, dtype=np.float32)).to(device)
    found: torch.Tensor = network.backbone(tensor.contiguous(memory_format=torch.channels_last)).float()
    return found
