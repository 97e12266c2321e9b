"""The number format of the SE-ResNets' convolutions in training, chosen by what computes a step faster here.

Processors with AMX or AVX-512 BF16 and GPUs multiply bfloat16 faster than float32; others emulate it, several times
slower. The choice is part of the configuration, so a resumed training keeps it.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Literal

import torch

from workers.features.extraction import Precision
from workers.features.se_resnet import PATCH_SIZE, BackboneArchitecture, SequenceNetwork

RequestedPrecision = Literal["auto", "float32", "bfloat16"]
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")
RECIPE = "recipe.json"  # configuration of a working folder
CLEAR_GAIN = 1.2  # a smaller gain changes from run to run, and float32 is exact
SLICES = {"cpu": 4, "cuda": 64}  # seconds on a CPU at the paper's width; a GPU needs more to be busy
CLEAR_LOSS = 4.0  # bfloat16 that is emulated is not measured again


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """Return the context in which the convolutions of a training compute in this precision."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")


def step_seconds(
    backbone: BackboneArchitecture, device: torch.device, n_slices: int | None = None
) -> dict[Precision, float]:
    """Measure one training step, forward and backward, of random patches in each precision.

    Parameters
    ----------
    backbone : BackboneArchitecture
        Of the network.
    device : torch.device
        Where it computes.
    n_slices : int, optional
        Patches of the step; by default few enough for a second.

    Returns
    -------
    dict of str to float
        By precision: CPU seconds of the process, which do not depend on what else the machine computes; on a GPU
        seconds. The global random numbers stay as they were.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = SequenceNetwork(backbone).to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        patches = torch.rand(n_slices or SLICES.get(device.type, SLICES["cpu"]), 2, PATCH_SIZE, PATCH_SIZE)
    patches = patches.to(device).contiguous(memory_format=torch.channels_last)
    clock = time.process_time if device.type == "cpu" else time.perf_counter

    def step(precision: Precision) -> float:
        began = clock()
        with autocast(device, precision):
            features = network.backbone(patches)
        prognosis, response = network.heads(features.float(), 0.5)
        (prognosis.square().mean() + response.square().mean()).backward()
        network.zero_grad(set_to_none=True)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return clock() - began

    seconds = {precision: step(precision) for precision in PRECISIONS}
    # The first step of a shape also prepares its kernels, in float32 the device, too: what is slower in spite of that
    # need not be measured again.
    if seconds["bfloat16"] > CLEAR_LOSS * seconds["float32"]:
        return seconds
    return {precision: min(step(precision) for _ in range(2)) for precision in PRECISIONS}


def faster_precision(seconds: dict[Precision, float]) -> Precision:
    """Return bfloat16 where its step is at least 1.2 times as fast as that of float32, else float32."""
    return "bfloat16" if seconds["bfloat16"] * CLEAR_GAIN <= seconds["float32"] else "float32"


def choose_precision(
    requested: RequestedPrecision, backbone: BackboneArchitecture, device: torch.device, work: Path | None = None
) -> Precision:
    """Return the precision of a training.

    Parameters
    ----------
    requested : {"auto", "float32", "bfloat16"}
        ``auto``: that of the training in the working folder, else the faster one by a measured step.
    backbone : BackboneArchitecture
        Of the networks.
    device : torch.device
        Where they compute.
    work : Path, optional
        Working folder of the training, which may contain the configuration of an interrupted one.
    """
    if requested != "auto":
        return requested
    recipe = None if work is None else work / RECIPE
    if recipe is not None and recipe.is_file():
        begun = json.loads(recipe.read_text(encoding="utf-8")).get("precision")
        # A resumed training that measured again could go on in another precision, and would end with other weights.
        if begun in PRECISIONS:
            return "bfloat16" if begun == "bfloat16" else "float32"
    return faster_precision(step_seconds(backbone, device))
