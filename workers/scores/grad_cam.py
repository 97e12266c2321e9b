"""Grad-CAM: which parts of each sequence's representative slice raise the two scores.

Both scores are differentiated with respect to the feature maps of one stage of each SE-ResNet. The weight of a map is
its mean gradient; negative values of the weighted sum are set to 0. For the Predictive-score the sign is turned, so
that its map shows what favours ICT+CCRT (low scores favour it).

References
----------
Selvaraju et al., Grad-CAM, ICCV 2017 (arXiv:1610.02391), equations 1 and 2.
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

STAGE = 1  # maps of 8 x 8: the last stage's 4 x 4 would show little more than a quadrant


@dataclass(frozen=True)
class Attribution:
    """Grad-CAM maps of both scores.

    Attributes
    ----------
    prognostic : mapping of str to float32, shape (128, 128)
        By role (T1w, T2w, CE-T1w), in 0..1: what raises the Prognostic-score.
    predictive : mapping of str to float32, shape (128, 128)
        By role, in 0..1: what lowers the Predictive-score, and so favours ICT+CCRT.
    """

    prognostic: Mapping[str, Float32Array]
    predictive: Mapping[str, Float32Array]

    def combined(self) -> dict[str, Float32Array]:
        """Return the larger of both maps at each pixel.

        Returns
        -------
        dict of str to float32, shape (128, 128)
            By role, in 0..1.
        """
        return {role: np.maximum(self.prognostic[role], self.predictive[role]) for role in self.prognostic}


def grad_cam(
    slices: Mapping[str, Float32Array],
    sequence_networks: Mapping[str, SequenceNetwork],
    score_network: MultitaskNetwork,
    device: str | torch.device = "cpu",
    stage: int = STAGE,
) -> Attribution:
    """Compute the attribution of both scores on the representative slices.

    Parameters
    ----------
    slices : mapping of str to float32, shape (2, 128, 128)
        By role, image (0..1) and mask of the slice that represents the patient.
    sequence_networks : mapping of str to SequenceNetwork
        By role; moved to the device and put in evaluation mode.
    score_network : MultitaskNetwork
        Likewise.
    device : str or torch.device
        Where to compute.
    stage : {0, 1, 2}
        Whose maps are used: 16 x 16, 8 x 8 or 4 x 4.

    Returns
    -------
    Attribution
        The largest value of each score over all sequences is 1, so that sequences can be compared; all maps of a score
        are 0 when nothing raises it.
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
        # Factor +1 as in prediction, not T/2: the Predictive-score does not depend on a treatment.
        prognosis, response = score_network(torch.cat(features, dim=1), 1.0)
        return Attribution(
            prognostic=_weighted(maps, prognosis.amax()),
            predictive=_weighted(maps, -response.sum()),  # low values favour ICT+CCRT
        )


def _stage_maps(network: SequenceNetwork, patch: Tensor, stage: int) -> Tensor:
    backbone = network.backbone
    # The gradient ends at these maps: what comes before them needs no graph.
    with torch.no_grad():
        maps: Tensor = backbone.stages[: stage + 1](backbone.stem(patch))
    return maps.requires_grad_()


def _features_after(network: SequenceNetwork, maps: Tensor, stage: int) -> Tensor:
    later: Tensor = network.backbone.stages[stage + 1 :](maps)
    return later.mean(dim=(2, 3))


def _weighted(maps: Mapping[str, Tensor], score: Tensor) -> dict[str, Float32Array]:
    gradients = torch.autograd.grad(score, list(maps.values()), retain_graph=True)
    cams = {}
    for (role, activation), gradient in zip(maps.items(), gradients, strict=True):
        alpha = gradient.mean(dim=(2, 3), keepdim=True)  # equation 1
        cam = torch.relu((alpha * activation.detach()).sum(dim=1, keepdim=True))  # equation 2
        large = functional.interpolate(cam, size=(PATCH_SIZE, PATCH_SIZE), mode="bilinear", align_corners=False)
        cams[role] = large[0, 0].cpu().numpy()
    largest = max(float(cam.max()) for cam in cams.values())
    # One scale for all sequences: scaled one by one, a sequence without influence would look as bright as the others.
    return {role: (cam / largest if largest > 0 else cam).astype(np.float32) for role, cam in cams.items()}
