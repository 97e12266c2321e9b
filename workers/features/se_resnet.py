"""The SE-ResNet of one sequence: from a tumour slice with its mask to 512 deep features (times the width).

    (n, 2, 128, 128) ─ conv 5x5/2 32 ─ BN ─ ReLU ─ conv 3x3 64 ─ BN ─ ReLU ─ average pool 2 ─► (n, 64, 32, 32)
                     ─ stage 128 /2 ─► (n, 128, 16, 16) ─ stage 256 /2 ─► (n, 256, 8, 8)
                     ─ stage 512 /2 ─► (n, 512, 4, 4)
                     ─ global average pooling ─► (n, 512)

Depth and width are part of the bundle.

References
----------
Zhong et al., EBioMedicine 2021;70:103522, section 2.3 and supplement.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from config.indication.nasopharynx import NASOPHARYNX
from workers.features.multiple_instance import AttentionPooling
from workers.features.squeeze_excitation import SEBasicBlock, SEBottleneckBlock

PATCH_SIZE = 128
FEATURES = 512  # at width 1
STAGES = (128, 256, 512)  # at width 1
HEAD = 256  # at width 1
# Order of the prognosis outputs; DFS is their maximum.
ENDPOINTS = tuple(endpoint.value for endpoint in NASOPHARYNX.component_endpoints)

Variant = Literal["basic", "bottleneck"]
Pooling = Literal["maximum", "attention"]


@dataclass(frozen=True)
class BackboneArchitecture:
    """Everything that determines the shape of the SE-ResNet of one sequence.

    Parameters
    ----------
    variant : {'basic', 'bottleneck'}
        The paper's basic blocks, or bottleneck blocks with grouped convolutions.
    blocks : (int, int, int)
        SE blocks in each of the three stages; the paper's basic variant has 2-2-2, the deeper one 3-4-3.
    width : float
        Multiplies every channel count, in (0, 4]; 1 is the paper's.
    reduction : int
        Of the squeeze and excitation.
    groups : int
        Of the bottleneck's 3 x 3 convolutions.
    pooling : {'maximum', 'attention'}
        How the slices of a bag represent one patient; the paper takes the maximum instance.

    Raises
    ------
    ValueError
        A value is outside its range, or the groups do not divide the bottleneck's inner channels.
    """

    variant: Variant = "basic"
    blocks: tuple[int, int, int] = (2, 2, 2)
    width: float = 1.0
    reduction: int = 4
    groups: int = 8
    pooling: Pooling = "maximum"

    def __post_init__(self) -> None:
        if self.variant not in ("basic", "bottleneck"):
            raise ValueError(f"variant must be basic or bottleneck, found {self.variant!r}")
        if self.pooling not in ("maximum", "attention"):
            raise ValueError(f"pooling must be maximum or attention, found {self.pooling!r}")
        if len(self.blocks) != 3 or min(self.blocks) < 1:
            raise ValueError(f"blocks must name three stages of at least one block, found {self.blocks}")
        if not 0 < self.width <= 4:
            raise ValueError(f"width must be in (0, 4], found {self.width}")
        inner = [self.channels(c) // 2 for c in STAGES]
        if self.variant == "bottleneck" and any(c % self.groups for c in inner):
            raise ValueError(
                f"groups must divide the inner channels {inner} of the bottleneck blocks, found {self.groups} groups "
                f"at width {self.width}"
            )

    def channels(self, at_width_one: int) -> int:
        """Return a channel count of the paper at this width, at least 1."""
        return max(1, round(at_width_one * self.width))

    @property
    def n_features(self) -> int:
        """Number of deep features, 512 at width 1."""
        return self.channels(FEATURES)

    def to_json(self) -> dict[str, Any]:
        """Return plain values for the bundle's manifest."""
        return {**asdict(self), "blocks": list(self.blocks)}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> BackboneArchitecture:
        """Read what `to_json` wrote; raises ValueError, TypeError or KeyError where it does not fit."""
        return cls(**{**document, "blocks": tuple(document["blocks"])})


DEEPER = BackboneArchitecture(variant="bottleneck", blocks=(3, 4, 3))


class SEResNet(nn.Module):
    """Residual network with squeeze and excitation, from patches to deep features.

    Parameters
    ----------
    architecture : BackboneArchitecture
        Variant, depth and width.
    """

    def __init__(self, architecture: BackboneArchitecture) -> None:
        super().__init__()
        wide = architecture.channels
        self.stem = nn.Sequential(
            # No bias where a batch normalisation follows: its mean would remove it, and its shift replaces it.
            nn.Conv2d(2, wide(32), 5, stride=2, padding=2, bias=False),  # (n, 32, 64, 64)
            nn.BatchNorm2d(wide(32)),
            nn.ReLU(inplace=True),
            nn.Conv2d(wide(32), wide(64), 3, padding=1, bias=False),  # (n, 64, 64, 64)
            nn.BatchNorm2d(wide(64)),
            nn.ReLU(inplace=True),
            nn.AvgPool2d(2),  # (n, 64, 32, 32)
        )
        stages = []
        channels_in = wide(64)
        for channels, n_blocks in zip(map(wide, STAGES), architecture.blocks, strict=True):
            stages.append(_stage(architecture, channels_in, channels, n_blocks))
            channels_in = channels
        self.stages = nn.Sequential(*stages)

    def forward(self, patches: Tensor) -> Tensor:
        """Compute deep features.

        Parameters
        ----------
        patches : tensor, shape (n, 2, 128, 128)
            Image in 0..1 and mask in {0, 1}.

        Returns
        -------
        tensor, shape (n, 512 * width)
            Means of the last stage's maps, >= 0.
        """
        pooled: Tensor = self.maps(patches).mean(dim=(2, 3))  # (n, 512)
        return pooled

    def maps(self, patches: Tensor) -> Tensor:
        """Compute the feature maps of the last stage.

        Parameters
        ----------
        patches : tensor, shape (n, 2, 128, 128)
            Image in 0..1 and mask in {0, 1}.

        Returns
        -------
        tensor, shape (n, 512 * width, 4, 4)
            After the last ReLU, >= 0.
        """
        last: Tensor = self.stages(self.stem(patches))
        return last


def _stage(architecture: BackboneArchitecture, channels_in: int, channels: int, n_blocks: int) -> nn.Sequential:
    blocks: list[nn.Module] = []
    for i in range(n_blocks):
        # The first block of a stage halves the map, the others keep its size.
        into, stride = (channels_in, 2) if i == 0 else (channels, 1)
        if architecture.variant == "basic":
            blocks.append(SEBasicBlock(into, channels, stride, architecture.reduction))
        else:
            blocks.append(SEBottleneckBlock(into, channels, stride, architecture.reduction, architecture.groups))
    return nn.Sequential(*blocks)


class SequenceNetwork(nn.Module):
    """SE-ResNet with its two training heads; the prognosis head also chooses the representative slice.

    Prognosis: three tanh outputs in (-1, 1), in the order of ENDPOINTS; disease-free survival is their maximum.
    Response: one tanh output of a hidden layer that is multiplied by the treatment factor (+1/2 ICT+CCRT, -1/2 CCRT
    in training, +1 when predicting).

    Parameters
    ----------
    architecture : BackboneArchitecture
        Of the backbone and, by its width, of the heads.

    References
    ----------
    Modified covariates: Tian et al., JASA 2014;109:1517, section 2.
    """

    def __init__(self, architecture: BackboneArchitecture) -> None:
        super().__init__()
        n, hidden = architecture.n_features, architecture.channels(HEAD)
        self.architecture = architecture
        self.backbone = SEResNet(architecture)
        # Zhong et al. 2021, section 2.3: heads of the training of one sequence; the bundle uses `risk` and the features
        # alone.
        self.prognosis = nn.Sequential(nn.Linear(n, hidden), nn.ReLU(), nn.Linear(hidden, len(ENDPOINTS)))
        self.response_hidden = nn.Sequential(nn.Linear(n, hidden), nn.ReLU())
        self.response_output = nn.Linear(hidden, 1, bias=False)  # so that it is odd in the treatment factor
        self.attention = AttentionPooling(n, hidden) if architecture.pooling == "attention" else None

    def heads(self, features: Tensor, treatment_factor: Tensor | float = 1.0) -> tuple[Tensor, Tensor]:
        """Compute the outputs of both heads.

        Parameters
        ----------
        features : tensor, shape (n, 512 * width)
            Deep features.
        treatment_factor : tensor, shape (n,), or float
            Multiplies the response's hidden layer: T/2 in training, 1 when predicting.

        Returns
        -------
        prognosis : tensor, shape (n, 3)
            In (-1, 1), rising with risk, in the order of ENDPOINTS.
        response : tensor, shape (n,)
            In (-1, 1), odd in the treatment factor.
        """
        prognosis = torch.tanh(self.prognosis(features))  # (n, 3)
        factor = torch.as_tensor(treatment_factor, dtype=features.dtype, device=features.device)
        hidden = self.response_hidden(features) * factor.reshape(-1, 1)  # (n, 256)
        return prognosis, torch.tanh(self.response_output(hidden)).squeeze(1)

    def forward(self, patches: Tensor, treatment_factor: Tensor | float = 1.0) -> tuple[Tensor, Tensor]:
        """Compute the outputs of both heads from patches.

        Parameters
        ----------
        patches : tensor, shape (n, 2, 128, 128)
            Image in 0..1 and mask in {0, 1}.
        treatment_factor : tensor, shape (n,), or float
            As of `heads`.

        Returns
        -------
        prognosis, response : tensors, shapes (n, 3) and (n,)
            As of `heads`.
        """
        return self.heads(self.backbone(patches), treatment_factor)

    def risk(self, features: Tensor) -> Tensor:
        """Compute the predicted risk of failure, by which the maximum instance is chosen.

        Parameters
        ----------
        features : tensor, shape (n, 512 * width)
            Deep features.

        Returns
        -------
        tensor, shape (n,)
            The largest prognosis output, in (-1, 1); it does not depend on the treatment, which is not chosen yet.
        """
        # The risk that selects the representative slice: DFS, the maximum of the three endpoints. tanh keeps the order.
        highest: Tensor = torch.tanh(self.prognosis(features)).amax(dim=1)
        return highest
