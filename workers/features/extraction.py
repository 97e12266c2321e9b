"""Deep features of patients: the slices of many patients in batches of one size.

The network runs in evaluation mode, without gradients, channels last, as `inference.fold_norms` makes it.

All batches have one size, the last one is filled up with empty slices: libraries choose their kernels by the size of a
batch, and the numbers of a report must not depend on the patients that were computed at the same time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from config.arrays import Float32Array
from config.errors import InputError
from workers.features.inference import fold_norms
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
    """Features of one sequence of one patient.

    Attributes
    ----------
    features : float32, shape (512 * width,)
        Of the representative slice, or of the attention-weighted bag.
    representative_index : int
        Row in the bag of the slice that represents the patient.
    slice_risk : float32, shape (n_slices,)
        Predicted risk of every slice, in (-1, 1).
    slice_features : float32, shape (n_slices, 512 * width)
        Features of every slice.
    """

    features: Float32Array
    representative_index: int
    slice_risk: Float32Array
    slice_features: Float32Array


def resolve_device(name: str) -> torch.device:
    """Return the torch device of a setting.

    Parameters
    ----------
    name : str
        ``auto`` (CUDA where there is one, else the CPU), ``cpu``, ``cuda`` or ``cuda:N``.

    Returns
    -------
    torch.device
        On CUDA, float32 convolutions of the whole process compute in float32 from here on.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda":
        # By default cuDNN rounds the factors to the ten bits of TF32; a GPU's report would differ from a CPU's.
        torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]
    return device


def extract(
    patches: Float32Array, network: SequenceNetwork, device: str | torch.device = "cpu"
) -> tuple[Float32Array, int]:
    """Compute the deep features of one patient's sequence.

    Parameters
    ----------
    patches : float32, shape (n, 2, 128, 128)
        Image in 0..1 and mask in {0, 1}; the bag of tumour slices.
    network : SequenceNetwork
        Moved to the device and put in evaluation mode.
    device : str or torch.device
        Where to compute.

    Returns
    -------
    features : float32, shape (512 * width,)
        Of the representative slice.
    representative_index : int
        Its row among the patches.

    Raises
    ------
    InputError
        There is no patch, or the patches have another shape.
    """
    deep = extract_many([patches], network, device)[0]
    return deep.features, deep.representative_index


def extract_many(
    bags: Sequence[Float32Array],
    network: SequenceNetwork,
    device: str | torch.device = "cpu",
    precision: Precision = "float32",
) -> list[DeepFeatures]:
    """Compute the deep features of many patients' sequences, batched across patients.

    Parameters
    ----------
    bags : sequence of float32, shape (n_i, 2, 128, 128) each
        Tumour slices of each patient; copied to the device batch by batch.
    network : SequenceNetwork
        Moved to the device and put in evaluation mode.
    device : str or torch.device
        Where to compute.
    precision : {'float32', 'bfloat16'}
        Of the backbone. In bfloat16 features differ by up to a hundredth, and between machines; the service computes
        in float32.

    Returns
    -------
    list of DeepFeatures
        One for each bag, in order.

    Raises
    ------
    InputError
        A bag is empty or has another shape; the message gives its number.
    """
    for number, bag in enumerate(bags):
        _check(bag, number)
    where = torch.device(device)
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    network = network.to(where).eval()
    backbone = fold_norms(network.backbone, dtype)
    sizes = [len(bag) for bag in bags]
    features, risks = [], []
    with torch.inference_mode():
        for batch, used in _batches(bags, BATCH.get((where.type, precision), 16), where, dtype):
            # Back to float32 before the heads: with the eight significant bits of bfloat16 neighbouring slices would
            # tie for the maximum.
            batch_features = backbone(batch).float()
            features.append(batch_features[:used])
            risks.append(network.risk(batch_features)[:used])
        every, risk = torch.cat(features), torch.cat(risks)  # (n_slices, c), (n_slices,)
        if network.attention is None:
            rows = maximum_instance(risk, sizes)
            patients = every[rows]  # (n_bags, c)
        else:
            patients, weights = network.attention(every, sizes)
            # With attention no slice stands for the patient; pages show the one with the largest weight.
            rows = maximum_instance(weights, sizes)
    start, results = 0, []
    slice_risk, slice_features = risk.cpu().numpy(), every.cpu().numpy()
    for size, row, patient in zip(sizes, rows.tolist(), patients.cpu().numpy(), strict=True):
        own = slice(start, start + size)
        results.append(DeepFeatures(patient, row - start, slice_risk[own], slice_features[own]))
        start += size
    return results


def features_without(deep: DeepFeatures, row: int, network: SequenceNetwork) -> Float32Array:
    """Return the features of the bag with one slice fewer.

    Parameters
    ----------
    deep : DeepFeatures
        Of one patient's sequence.
    row : int
        The slice that is left out, counted from 0.
    network : SequenceNetwork
        Which computed them.

    Returns
    -------
    float32, shape (512 * width,)
        Of the slice with the highest risk among the others, or their attention-weighted sum; of a bag of one slice its
        own features.
    """
    rest = np.delete(np.arange(len(deep.slice_features)), row)
    if not len(rest):
        return deep.features
    if network.attention is None:
        return np.asarray(deep.slice_features[rest[deep.slice_risk[rest].argmax()]])
    every = torch.from_numpy(deep.slice_features[rest]).to(next(network.parameters()).device)
    with torch.inference_mode():
        return network.attention(every, [len(rest)])[0][0].cpu().numpy()


def _check(bag: Float32Array, number: int) -> None:
    if bag.ndim != 4 or bag.shape[1:] != (2, PATCH_SIZE, PATCH_SIZE) or len(bag) == 0:
        raise InputError(
            f"bag {number}: expected at least one patch of shape (2, {PATCH_SIZE}, {PATCH_SIZE}), found {bag.shape}"
        )


def _batches(
    bags: Sequence[Float32Array], slices: int, device: torch.device, dtype: torch.dtype
) -> Iterator[tuple[torch.Tensor, int]]:
    """Return the slices of all bags in order, in batches of one size, and how many of each batch are used."""
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
            # From pinned memory the copy runs while the GPU computes and the next batch is laid out.
            tensor = tensor.pin_memory().to(device, non_blocking=True)
        yield tensor.to(dtype).contiguous(memory_format=torch.channels_last), used
