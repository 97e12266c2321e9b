"""Grad-CAM: which parts of each sequence's representative slice raise the two scores.

Both scores are differentiated with respect to the feature maps of one stage of each SE-ResNet; a map's weight is its
mean gradient, and the weighted sum is kept where it is positive. For the Predictive-score the sign is turned, so that
the picture shows what speaks for ICT+CCRT (low values favour it).

Source: Selvaraju et al., Grad-CAM, ICCV 2017 (arXiv:1610.02391), equations 1 and 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from config.arrays import Float32Array
from workers.features.se_resnet import PATCH_SIZE, SequenceNetwork
from workers.scores.multitask_network import SEQUENCES, MultitaskNetwork

STAGE = 1  # maps of 8 x 8: the last stage's 4 x 4 would show no more than a quadrant


@dataclass(frozen=True)
class Attribution:
    """Maps by role, each (128, 128) in 0..1: what raises the Prognostic-score, and what speaks for ICT+CCRT."""

    prognostic: Mapping[str, Float32Array]
    predictive: Mapping[str, Float32Array]

    def combined(self) -> dict[str, Float32Array]:
        """The larger of both maps at each pixel."""
        return {role: np.maximum(self.prognostic[role], self.predictive[role]) for role in self.prognostic}


def grad_cam(
    slices: Mapping[str, Float32Array],
    sequence_networks: Mapping[str, SequenceNetwork],
    score_network: MultitaskNetwork,
    device: str | torch.device = "cpu",
    stage: int = STAGE,
) -> Attribution:
    """Attribution of both scores on the representative slices.

    slices : by role, (2, 128, 128) image and mask of the slice that represents the patient.
    stage : whose maps are looked at (0: 16 x 16, 1: 8 x 8, 2: 4 x 4).
    Each map is scaled so that the largest value over all sequences is 1; maps of a score that nothing raises are 0.
    """
    where = torch.device(device)
    score_network = score_network.to(where).eval()
    maps, features = {}, []
    with torch.enable_grad():
        for role in SEQUENCES:
            network = sequence_networks[role].to(where).eval()
            patch = torch.from_numpy(np.ascontiguousarray(slices[role], dtype=np.float32))[None].to(where)
            maps[role] = _stage_maps(network, patch, stage)  # (1, c, h, w)
            features.append(_features_after(network, maps[role], stage))
        prognosis, response = score_network(torch.cat(features, dim=1), 1.0)
        return Attribution(prognostic=_weighted(maps, prognosis.amax()), predictive=_weighted(maps, -response.sum()))


def _stage_maps(network: SequenceNetwork, patch: Tensor, stage: int) -> Tensor:
    backbone = network.backbone
    with torch.no_grad():
        maps: Tensor = backbone.stages[: stage + 1](backbone.stem(patch))
    return maps.requires_grad_()


def _features_after(network: SequenceNetwork, maps: Tensor, stage: int) -> Tensor:
    later: Tensor = network.backbone.stages[stage + 1 :](maps)
    return later.mean(dim=(2, 3))


def _weighted(maps: Mapping[str, Tensor], score: Tensor) -> dict[str, Float32Array]:
    gradients = torch.autograd.grad(score, list(maps.values()), retain_graph=True)
    found = {}
    for (role, activation), gradient in zip(maps.items(), gradients, strict=True):
        alpha = gradient.mean(dim=(2, 3), keepdim=True)  # equation 1
        cam = torch.relu((alpha * activation.detach()).sum(dim=1, keepdim=True))  # equation 2
        large = functional.interpolate(cam, size=(PATCH_SIZE, PATCH_SIZE), mode="bilinear", align_corners=False)
        found[role] = large[0, 0].cpu().numpy()
    largest = max(float(cam.max()) for cam in found.values())
    return {role: (cam / largest if largest > 0 else cam).astype(np.float32) for role, cam in found.items()}
