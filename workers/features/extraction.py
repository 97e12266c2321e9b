"""Deep features of patients: all slices of a bag at once, many patients in one batch.

The network runs in evaluation mode, without gradients, channels last, as `inference.folded` makes it.

Slices always run in batches of one size, the last one filled up with empty ones: libraries choose their kernels by the
size of a batch, and what a report shows must not depend on who else was computed at the same time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from config.arrays import Float32Array
from config.errors import InputError
from workers.features.inference import folded
from workers.features.multiple_instance import maximum_instance
from workers.features.se_resnet import PATCH_SIZE, SequenceNetwork

Precision = Literal["float32", "bfloat16"]

# Slices that run through the network together, by device and precision. On a CPU eight fill the cores in float32, and
# few empty slices are computed for one patient; bfloat16 is for cohorts, and reads its weights more often than it uses
# them where a batch is small.
BATCH: dict[tuple[str, Precision], int] = {
    ("cpu", "float32"): 8,
    ("cpu", "bfloat16"): 40,
    ("cuda", "float32"): 256,
    ("cuda", "bfloat16"): 256,
}


@dataclass(frozen=True)
class DeepFeatures:
    """What one sequence of one patient became.

    features : (512 * width,) of the representative slice (or of the attention-weighted bag).
    representative_index : row of the slice in the bag that represents the patient.
    slice_risk : (n_slices,) predicted risk of every slice, in (-1, 1).
    """

    features: Float32Array
    representative_index: int
    slice_risk: Float32Array


def resolve_device(name: str) -> torch.device:
    """`auto` is CUDA where there is one, else the CPU.

    On CUDA, convolutions in float32 compute in float32 from here on: cuDNN would round what it multiplies to the ten
    bits of TF32, and a GPU's report would not be a CPU's.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda":
        torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]
    return device


def extract(
    patches: Float32Array, network: SequenceNetwork, device: str | torch.device = "cpu"
) -> tuple[Float32Array, int]:
    """Deep features of one bag.

    patches : (n, 2, 128, 128) float32, image in 0..1 and mask in {0, 1}.
    Returns the features (512 * width,) and the row of the representative slice.
    Raises InputError when the bag is empty or of another shape.
    """
    found = extract_many([patches], network, device)[0]
    return found.features, found.representative_index


def extract_many(
    bags: Sequence[Float32Array],
    network: SequenceNetwork,
    device: str | torch.device = "cpu",
    precision: Precision = "float32",
) -> list[DeepFeatures]:
    """Deep features of many bags, batched across patients; one result a bag, in order.

    bags : each (n_i, 2, 128, 128) float32. They are copied to the device batch by batch, so memory stays bounded.
    precision : of the backbone. In bfloat16 features differ by up to a hundredth and machines from each other, so the
    service computes in float32; a cohort that is only compared may be faster.
    """
    for number, bag in enumerate(bags):
        _check(bag, number)
    where = torch.device(device)
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    network = network.to(where).eval()
    backbone = folded(network.backbone, dtype)
    sizes = [len(bag) for bag in bags]
    features, risks = [], []
    with torch.inference_mode():
        for batch, used in _batches(bags, BATCH.get((where.type, precision), 16), where, dtype):
            found = backbone(batch).float()
            features.append(found[:used])
            risks.append(network.risk(found)[:used])
        every, risk = torch.cat(features), torch.cat(risks)  # (n_slices, c), (n_slices,)
        if network.attention is None:
            rows = maximum_instance(risk, sizes)
            patients = every[rows]  # (n_bags, c)
        else:
            patients, weights = network.attention(every, sizes)
            rows = maximum_instance(weights, sizes)
    start, results = 0, []
    slice_risk = risk.cpu().numpy()
    for size, row, patient in zip(sizes, rows.tolist(), patients.cpu().numpy(), strict=True):
        results.append(DeepFeatures(patient, row - start, slice_risk[start : start + size]))
        start += size
    return results


def _check(bag: Float32Array, number: int) -> None:
    if bag.ndim != 4 or bag.shape[1:] != (2, PATCH_SIZE, PATCH_SIZE) or len(bag) == 0:
        raise InputError(
            f"bag {number}: expected at least one patch of shape (2, {PATCH_SIZE}, {PATCH_SIZE}), found {bag.shape}"
        )


def _batches(
    bags: Sequence[Float32Array], slices: int, device: torch.device, dtype: torch.dtype
) -> Iterator[tuple[torch.Tensor, int]]:
    """The slices of all bags in order, in batches of one size on the device, and how many of each are used; a bag may
    be split between two.

    A GPU gets each batch from pinned memory without being waited for, so the next one is laid out while it computes.
    """
    left = list(bags)
    while left:
        batch = np.zeros((slices, *left[0].shape[1:]), dtype=np.float32)
        used = 0
        while left and used < slices:
            taken = left[0][: slices - used]
            batch[used : used + len(taken)] = taken
            used += len(taken)
            left[0] = left[0][len(taken) :]
            if not len(left[0]):
                left.pop(0)
        tensor = torch.from_numpy(batch)
        if device.type == "cuda":
            tensor = tensor.pin_memory().to(device, non_blocking=True)
        yield tensor.to(dtype).contiguous(memory_format=torch.channels_last), used
