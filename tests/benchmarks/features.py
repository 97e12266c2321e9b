"""The SE-ResNet of the paper's size against the machine's own matrix product, in float32 and bfloat16.

A convolution is a matrix product with less reuse; how near to the peak it comes says how much is left to gain. OpenVINO
is run as a reference where it is installed. With --device cuda the same runs on the GPU, the sizes grown.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tests.benchmarks.measuring import Options, Result, interleaved, timed
from tests.benchmarks.peers import INSTALLED_BY, PeerFailedError, pip_peers
from tests.benchmarks.phantom_patients import phantom_materials
from workers.bundles.bundle import load_bundle
from workers.features.extraction import Precision, extract_many
from workers.features.se_resnet import BackboneArchitecture, SequenceNetwork
from workers.pipeline.computation import analyse_studies
from workers.survival.covariates import PatientCovariates

SLICES = 40
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")
TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
CURVE = (10, 40, 160, 640)
PHANTOMS = 1000


def run(options: Options) -> Result:
    """Milliseconds of 40 slices, the share of the peak, and what bfloat16 changes."""
    result = Result("features")
    device = torch.device(options.device)
    torch.manual_seed(0)
    network = SequenceNetwork(BackboneArchitecture()).eval()
    flops = work_of(network, SLICES)
    bag = np.random.default_rng(0).random((SLICES, 2, 128, 128), dtype=np.float32)
    contestants: dict[str, Callable[[], float]] = {}
    for precision in PRECISIONS:
        contestants[f"ours, {precision}"] = timed(
            lambda precision=precision: extract_many([bag], network, device, precision)  # type: ignore[misc]
        )
        contestants[f"matrix product, {precision}"] = matrix_product(TYPES[precision], device, flops)
    with TemporaryDirectory() as temporary, pip_peers(Path(temporary)) as peers:
        if peers is None:
            result.absent["openvino"] = INSTALLED_BY
        else:
            try:
                path = str(Path(temporary) / "backbone.onnx")
                peers.ask("openvino", slices=SLICES, path=path)
                contestants["openvino"] = lambda: float(peers.ask("openvino", slices=SLICES, path=path)["seconds"])
            except PeerFailedError as error:
                result.absent["openvino"] = str(error)
        found = interleaved(contestants, options.rounds(9))
    if "openvino" in found:
        result.figure(
            "OpenVINO, its own choice of precision, a network of the same size",
            [s * 1e3 for s in found["openvino"]],
            "ms",
        )
    for precision in PRECISIONS:
        took, peak = found[f"ours, {precision}"], found[f"matrix product, {precision}"]
        result.figure(f"ours, {precision}: 40 slices", [s * 1e3 for s in took], "ms")
        result.figure(f"peak, {precision}", [PRODUCT / s / 1e9 for s in peak], "GFLOP/s")
        share = [flops / t / (PRODUCT / p) for t, p in zip(took, peak, strict=True)]
        result.at_least(
            f"{precision}: share of the peak", result.figure(f"{precision}: share of the peak", share, "share"), 0.8
        )
    for n in CURVE[:3] if options.quick else CURVE:
        some = np.random.default_rng(n).random((n, 2, 128, 128), dtype=np.float32)
        result.curve.setdefault("seconds by number of slices", {})[str(n)] = round(
            min(timed(lambda some=some: extract_many([some], network, device))() for _ in range(2)),
            4,  # type: ignore[misc]
        )
    _what_bfloat16_changes(options, result)
    return result


SIDE = 1024
PRODUCT = 2 * SIDE**3


def matrix_product(dtype: torch.dtype, device: torch.device, work: int) -> Callable[[], float]:
    """Seconds of one product of two square matrices, in a row of as many as have the same work as what is compared:
    the first few may run several times as fast, where a processor is given less current after a while."""
    a, b = (torch.rand(SIDE, SIDE, device=device).to(dtype) for _ in range(2))
    n = -(-work // PRODUCT)

    def several() -> None:
        for _ in range(n):
            a @ b
        if device.type == "cuda":
            torch.cuda.synchronize()

    return lambda: timed(several)() / n


def work_of(network: SequenceNetwork, slices: int) -> int:
    """Floating point operations of the convolutions for so many slices; two for a multiplication and an addition."""
    total = 0

    def count(module: nn.Conv2d, _inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal total
        weights = module.in_channels // module.groups * module.kernel_size[0] * module.kernel_size[1]
        total += 2 * output.numel() * weights

    hooks = [one.register_forward_hook(count) for one in network.backbone.modules() if isinstance(one, nn.Conv2d)]
    with torch.inference_mode():
        network.backbone(torch.zeros(1, 2, 128, 128))
    for hook in hooks:
        hook.remove()
    return total * slices


def _what_bfloat16_changes(options: Options, result: Result) -> None:
    """On phantoms, with the bundled networks: the features, the scores, the recommendation."""
    bundle = load_bundle("demonstration")
    n = PHANTOMS // 10 if options.quick else PHANTOMS
    apart, flips, same_slice = [], 0, 0
    for materials in phantom_materials(n, at_once=50):
        exact, rough = (analyse_studies(materials, bundle, options.device, one) for one in PRECISIONS)
        for role in materials[0]:
            network = bundle.members[0].sequence_network(role.value)
            bags = [one[role].patches[:1] for one in materials]
            pairs = zip(*(extract_many(bags, network, options.device, one) for one in PRECISIONS), strict=True)
            apart += [_relative(one.features, other.features) for one, other in pairs]
        for one, other in zip(exact, rough, strict=True):
            wanted = [
                bundle.nomogram.score(
                    PatientCovariates(45.0, 1.0, each.prognostic_score, each.predictive_score)
                ).ict_preferred[0]
                for each in (one, other)
            ]
            flips += int(wanted[0] != wanted[1])
            same_slice += int(one.representative == other.representative)
    result.figure("bfloat16: relative difference of features", apart, "relative")
    result.at_most("bfloat16: relative difference of features, median", float(np.median(apart)), 1e-2)
    result.holds(f"bfloat16: the recommendation is unchanged on {n} phantoms", flips == 0)
    result.notes.append(f"bfloat16 on {n} phantoms: {flips} recommendations differ, {same_slice} keep their slices")


def _relative(exact: NDArray[np.float32], rough: NDArray[np.float32]) -> float:
    return float(np.linalg.norm(exact - rough) / np.linalg.norm(exact))
