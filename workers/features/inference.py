"""The SE-ResNet for inference: the same function with fewer passes over memory.

In evaluation mode batch normalisation is a fixed affine map of each channel, so it is folded into the convolution
before it, in float64.

The 3 x 3 convolutions of the last stage have maps of 4 x 4. On a CPU a convolution kernel works row by row, and a row
of four fills a quarter of its registers; written out as one matrix product over all places of all slices (im2col) they
run half as fast again. Larger maps fill the registers, and writing them out would cost more than it gains.
"""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from workers.features.se_resnet import SEResNet

SLICES_AT_ONCE = 8  # in one product, so that its operands fit in the cache

TensorState = tuple[int, int]  # address, and how often it was written to


class _FoldedBackbone(NamedTuple):
    key: tuple[torch.device, tuple[TensorState, ...]]
    folded: SEResNet


_folded: WeakKeyDictionary[SEResNet, dict[torch.dtype, _FoldedBackbone]] = WeakKeyDictionary()


class MatrixConvolution(nn.Module):
    """A convolution as one matrix product; for maps so small that writing out their windows costs little.

    Parameters
    ----------
    convolution : torch.nn.Conv2d
        Without groups and dilation, padded with zeros; its weights are copied.

    Raises
    ------
    ValueError
        The convolution is of another kind.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        padding = convolution.padding
        plain = convolution.groups == 1 and convolution.dilation == (1, 1) and convolution.padding_mode == "zeros"
        if not plain or isinstance(padding, str):
            raise ValueError(f"expected a convolution without groups and dilation, padded with zeros: {convolution}")
        self.kernel, self.stride = convolution.kernel_size, convolution.stride
        self.padding = padding
        weight = convolution.weight.detach().permute(0, 2, 3, 1).flatten(1)  # (c_out, k * k * c_in)
        self.register_buffer("weight", weight.contiguous())
        self.register_buffer("bias", None if convolution.bias is None else convolution.bias.detach())

    def forward(self, x: Tensor) -> Tensor:
        """Convolve maps.

        Parameters
        ----------
        x : tensor, shape (n, c_in, h, w), channels last
            Maps; small ones, since their windows are written out.

        Returns
        -------
        tensor, shape (n, c_out, h', w'), channels last
            As the convolution gives it, up to rounding.
        """
        vertical, horizontal = self.padding
        # `pad` counts from the last axis, which is the channels here: none, then columns, then rows.
        padded = functional.pad(x.permute(0, 2, 3, 1), (0, 0, horizontal, horizontal, vertical, vertical))
        windows = padded.unfold(1, self.kernel[0], self.stride[0]).unfold(2, self.kernel[1], self.stride[1])
        n, height, width = windows.shape[:3]  # windows: (n, h, w, c, k, k)
        places = torch.cat([self._product(some) for some in windows.split(SLICES_AT_ONCE)])
        return places.view(n, height, width, -1).permute(0, 3, 1, 2)

    def _product(self, windows: Tensor) -> Tensor:
        """Windows (n, h, w, c, k, k) -> (n * h * w, c_out)."""
        rows = windows.permute(0, 1, 2, 4, 5, 3).reshape(windows.shape[:3].numel(), -1)
        if rows.dtype != torch.bfloat16:
            return functional.linear(rows, self.weight, self.bias)
        # In bfloat16 the library packs the second operand first; this order packs the smaller one.
        product = torch.mm(self.weight, rows.t()).t()
        return product if self.bias is None else product + self.bias


def fold_norms(backbone: SEResNet, dtype: torch.dtype) -> SEResNet:
    """Return the backbone for inference, with its batch normalisations folded into the convolutions.

    Parameters
    ----------
    backbone : SEResNet
        Stays as it is.
    dtype : torch.dtype
        Precision of weights and maps.

    Returns
    -------
    SEResNet
        A copy on the same device, channels last; cached for each precision until the backbone's tensors change.
    """
    tensors = [*backbone.parameters(), *backbone.buffers()]
    # Address and version counter change when a tensor is replaced or written to in place, as load_state_dict does.
    # The counter is a private name of torch that autograd documents; there is no public one.
    key = (tensors[0].device, tuple((tensor.data_ptr(), tensor._version) for tensor in tensors))
    by_dtype = _folded.setdefault(backbone, {})
    cached = by_dtype.get(dtype)
    if cached is None or cached.key != key:
        cached = by_dtype[dtype] = _FoldedBackbone(key, _fold(backbone, dtype))
    return cached.folded


def _fold(backbone: SEResNet, dtype: torch.dtype) -> SEResNet:
    network = copy.deepcopy(backbone).eval().requires_grad_(False)
    for sequence in [module for module in network.modules() if isinstance(module, nn.Sequential)]:
        for at, (first, second) in enumerate(pairwise(list(sequence))):
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                # In float64: the factor is a quotient of running statistics, whose rounding would add to every map.
                sequence[at] = fuse_conv_bn_eval(first.double(), second.double())
                sequence[at + 1] = nn.Identity()
    if next(backbone.parameters()).device.type == "cpu":
        for sequence in [module for module in network.stages[-1].modules() if isinstance(module, nn.Sequential)]:
            for at, layer in enumerate(sequence):
                if isinstance(layer, nn.Conv2d) and layer.kernel_size != (1, 1) and layer.groups == 1:
                    sequence[at] = MatrixConvolution(layer)
    return network.to(dtype=dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
