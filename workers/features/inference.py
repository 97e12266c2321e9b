"""The SE-ResNet as it runs when nothing is learned: the same function with fewer passes over memory.

Batch normalisation is a fixed affine map of each channel then, so it is folded into the convolution before it, in
float64.

The 3 x 3 convolutions of the last stage look at maps of 4 x 4. On a CPU a convolution kernel works row by row, and a
row of four fills a quarter of its registers; written out as one matrix product over all places of all slices (im2col)
they run half as fast again. Larger maps fill the registers, and writing them out would cost more than it gains.
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

SLICES_AT_ONCE = 8  # in one product, so that its operands stay near the core

TensorState = tuple[int, int]  # address, and how often it was written to


class _Kept(NamedTuple):
    key: tuple[torch.device, tuple[TensorState, ...]]
    folded: SEResNet


_kept: WeakKeyDictionary[SEResNet, dict[torch.dtype, _Kept]] = WeakKeyDictionary()


class MatrixConvolution(nn.Module):
    """A convolution as one matrix product; for maps so small that their patches written out cost little.

    convolution : without groups and dilation, padded with zeros. Maps (n, c, h, w) in and out, channels last.
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
        vertical, horizontal = self.padding
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
        product = torch.mm(self.weight, rows.t()).t()  # the second operand is packed first: here the smaller one
        return product if self.bias is None else product + self.bias


def folded(backbone: SEResNet, dtype: torch.dtype) -> SEResNet:
    """The backbone for inference, on its device, in a precision, channels last; the backbone itself stays as it is.

    For each precision it is made once, and kept as long as the backbone lives and its tensors are not written to.
    """
    tensors = [*backbone.parameters(), *backbone.buffers()]
    key = (tensors[0].device, tuple((one.data_ptr(), one._version) for one in tensors))
    kept = _kept.setdefault(backbone, {})
    found = kept.get(dtype)
    if found is None or found.key != key:
        found = kept[dtype] = _Kept(key, _fold(backbone, dtype))
    return found.folded


def _fold(backbone: SEResNet, dtype: torch.dtype) -> SEResNet:
    made = copy.deepcopy(backbone).eval().requires_grad_(False)
    for sequence in [one for one in made.modules() if isinstance(one, nn.Sequential)]:
        for at, (first, second) in enumerate(pairwise(list(sequence))):
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                sequence[at] = fuse_conv_bn_eval(first.double(), second.double())
                sequence[at + 1] = nn.Identity()
    if next(backbone.parameters()).device.type == "cpu":
        for sequence in [one for one in made.stages[-1].modules() if isinstance(one, nn.Sequential)]:
            for at, one in enumerate(sequence):
                if isinstance(one, nn.Conv2d) and one.kernel_size != (1, 1) and one.groups == 1:
                    sequence[at] = MatrixConvolution(one)
    return made.to(dtype=dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
