"""Squeeze and excitation: residual blocks whose channels are weighted by the content of the whole image.

        x ──► residual path ──► squeeze (mean) ► excite (two layers) ──► scale ──► + ──► ReLU
        └──────────────────────────── shortcut ────────────────────────────────────┘

References
----------
Hu et al., Squeeze-and-Excitation Networks, CVPR 2018 (arXiv:1709.01507), equations 2 to 4.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class SqueezeExcitation(nn.Module):
    """Weights each channel by a gate in (0, 1) computed from all channels' means.

    Parameters
    ----------
    channels : int
        Channels in and out.
    reduction : int
        The bottleneck has `channels // reduction` units, at least one.
    """

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.reduce = nn.Linear(channels, hidden)
        self.expand = nn.Linear(hidden, channels)

    def gates(self, x: Tensor) -> Tensor:
        """Compute the gate of each channel.

        Parameters
        ----------
        x : tensor, shape (n, c, h, w)
            Maps of the residual path.

        Returns
        -------
        tensor, shape (n, c, 1, 1)
            In (0, 1).
        """
        z = x.mean(dim=(2, 3))  # (n, c)  squeeze, equation 2
        s = torch.sigmoid(self.expand(torch.relu(self.reduce(z))))  # (n, c)  excite, equation 3
        return s[:, :, None, None]

    def forward(self, x: Tensor, shortcut: Tensor) -> Tensor:
        """Scale the maps (equation 4) and add the shortcut, in one pass over memory.

        Parameters
        ----------
        x, shortcut : tensors, shape (n, c, h, w)
            Maps of the residual path and of the shortcut.

        Returns
        -------
        tensor, shape (n, c, h, w)
            Before the ReLU.
        """
        # Scale (equation 4) and the sum with the shortcut in one pass over the maps, which limit the speed on a CPU.
        return torch.addcmul(shortcut, x, self.gates(x))


class StridedPointwise(nn.Conv2d):
    """A 1 x 1 convolution of every stride-th place.

    In training the places are selected before the convolution. oneDNN's gradient of a strided 1 x 1 convolution of maps
    with channels last writes beyond its workspace where fewer channels come in than fill a register (8 with AVX2, 16
    with AVX-512): torch 2.13 crashes at a width below 0.125, or has wrong gradients (oneDNN issue 6035, seen here).
    """

    def forward(self, x: Tensor) -> Tensor:
        """Compute maps (n, channels, h / stride, w / stride) of maps (n, channels_in, h, w)."""
        if not self.training:
            return super().forward(x)
        return functional.conv2d(x[:, :, :: self.stride[0], :: self.stride[1]], self.weight, self.bias)


class SEBasicBlock(nn.Module):
    """Two 3 x 3 convolutions with batch normalisation, then squeeze and excitation on the residual path.

    Parameters
    ----------
    channels_in, channels : int
        Channels in and out.
    stride : int
        Of the first convolution and of the shortcut.
    reduction : int
        Of the squeeze and excitation.
    """

    def __init__(self, channels_in: int, channels: int, stride: int, reduction: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, 1, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.excitation = SqueezeExcitation(channels, reduction)
        self.shortcut = _shortcut(channels_in, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Compute maps (n, channels, h / stride, w / stride) of maps (n, channels_in, h, w)."""
        return torch.relu_(self.excitation(self.residual(x), self.shortcut(x)))


class SEBottleneckBlock(nn.Module):
    """1 x 1, grouped 3 x 3, 1 x 1 convolutions (ResNeXt form), then squeeze and excitation on the residual path.

    Parameters
    ----------
    channels_in, channels : int
        Channels in and out; the grouped convolution has half as many, as in SE-ResNeXt.
    stride : int
        Of the grouped convolution and of the shortcut.
    reduction : int
        Of the squeeze and excitation.
    groups : int
        Groups of the 3 x 3 convolution; must divide `channels // 2`.

    Raises
    ------
    ValueError
        The groups do not divide the inner channels.
    """

    def __init__(self, channels_in: int, channels: int, stride: int, reduction: int, groups: int) -> None:
        super().__init__()
        inner = channels // 2
        if inner % groups:
            raise ValueError(f"groups must divide the {inner} inner channels of a bottleneck block, found {groups}")
        self.residual = nn.Sequential(
            nn.Conv2d(channels_in, inner, 1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(inplace=True),
            nn.Conv2d(inner, inner, 3, stride, padding=1, groups=groups, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(inplace=True),
            nn.Conv2d(inner, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.excitation = SqueezeExcitation(channels, reduction)
        self.shortcut = _shortcut(channels_in, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Compute maps (n, channels, h / stride, w / stride) of maps (n, channels_in, h, w)."""
        return torch.relu_(self.excitation(self.residual(x), self.shortcut(x)))


def _shortcut(channels_in: int, channels: int, stride: int) -> nn.Module:
    """Return the identity where shapes agree, else a 1 x 1 convolution."""
    if channels_in == channels and stride == 1:
        return nn.Identity()
    return nn.Sequential(StridedPointwise(channels_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))
