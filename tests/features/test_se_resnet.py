"""The SE-ResNet against the paper's figure: shapes, parameter counts by hand, properties of the heads."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from workers.features.se_resnet import DEEPER, BackboneArchitecture, SequenceNetwork, SEResNet
from workers.features.squeeze_excitation import SEBottleneckBlock, SqueezeExcitation, StridedPointwise

SMALL = BackboneArchitecture(width=0.125)


def test_shapes_follow_the_figure() -> None:
    network = SEResNet(BackboneArchitecture()).eval()
    with torch.inference_mode():
        x = network.stem(torch.zeros(1, 2, 128, 128))
        shapes = [tuple(x.shape)]
        for stage in network.stages:
            x = stage(x)
            shapes.append(tuple(x.shape))
    assert shapes == [(1, 64, 32, 32), (1, 128, 16, 16), (1, 256, 8, 8), (1, 512, 4, 4)]


def test_the_paper_network_has_the_weights_counted_by_hand() -> None:
    def block(c_in: int, c: int) -> int:
        convolutions = 9 * c_in * c + 9 * c * c + 2 * 2 * c
        excitation = 2 * c * (c // 4) + c // 4 + c
        shortcut = c_in * c + 2 * c if c_in != c else 0
        return convolutions + excitation + shortcut

    stem = 25 * 2 * 32 + 64 + 9 * 32 * 64 + 128
    stages = sum(block(c_in, c) + block(c, c) for c_in, c in ((64, 128), (128, 256), (256, 512)))
    assert sum(p.numel() for p in SEResNet(BackboneArchitecture()).parameters()) == stem + stages


def test_the_deeper_variant_has_3_4_3_bottleneck_blocks() -> None:
    network = SEResNet(BackboneArchitecture(DEEPER.variant, DEEPER.blocks, width=0.25))
    assert [len(stage) for stage in network.stages] == [3, 4, 3]
    assert all(isinstance(block, SEBottleneckBlock) for stage in network.stages for block in stage)
    assert {m.groups for m in network.modules() if isinstance(m, nn.Conv2d)} == {1, 8}
    assert network.eval()(torch.zeros(2, 2, 128, 128)).shape == (2, 128)


def test_excitation_scales_each_channel_by_its_gate() -> None:
    layer = SqueezeExcitation(2, reduction=2)
    with torch.no_grad():
        layer.reduce.weight.copy_(torch.tensor([[1.0, 1.0]]))
        layer.reduce.bias.zero_()
        layer.expand.weight.copy_(torch.tensor([[1.0], [-1.0]]))
        layer.expand.bias.zero_()
    x = torch.stack([torch.full((4, 4), 1.0), torch.full((4, 4), 2.0)])[None]
    gates = torch.sigmoid(torch.tensor([3.0, -3.0]))  # the squeezed means add up to 3
    found = layer(x, torch.full_like(x, 0.5))
    assert torch.allclose(found[0, :, 0, 0], 0.5 + torch.tensor([1.0, 2.0]) * gates)


def test_the_response_is_odd_in_the_treatment_and_the_prognosis_does_not_depend_on_it() -> None:
    network = SequenceNetwork(SMALL).eval()
    features = torch.randn(5, SMALL.n_features)
    with torch.inference_mode():
        under_ict, under_ccrt = network.heads(features, 0.5), network.heads(features, torch.full((5,), -0.5))
    assert torch.equal(under_ict[0], under_ccrt[0])
    assert torch.allclose(under_ict[1], -under_ccrt[1])
    assert under_ict[1].abs().max() > 0


def test_risk_is_the_largest_of_the_three_endpoints() -> None:
    network = SequenceNetwork(SMALL).eval()
    features = torch.randn(5, SMALL.n_features)
    assert torch.equal(network.risk(features), network.heads(features)[0].amax(dim=1))


def test_an_architecture_survives_json() -> None:
    assert BackboneArchitecture.from_json(DEEPER.to_json()) == DEEPER


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"variant": "dense"}, "basic or bottleneck"),
        ({"pooling": "mean"}, "maximum or attention"),
        ({"blocks": (2, 2)}, "three stages"),
        ({"width": 0}, "width must be in"),
    ],
)
def test_a_wrong_architecture_is_named(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        BackboneArchitecture(**wrong)


def test_groups_that_do_not_divide_are_named() -> None:
    with pytest.raises(ValueError, match="groups must divide the 9 inner channels"):
        SEBottleneckBlock(18, 18, 1, 4, groups=8)


@pytest.mark.parametrize("channels", [4, 6, 12])
def test_gradients_of_a_strided_shortcut_are_those_of_double_precision(channels: int) -> None:
    """oneDNN's own gradient crashes or is wrong for fewer channels than fill a register (oneDNN issue 6035)."""
    torch.manual_seed(0)
    convolution = StridedPointwise(channels, 2 * channels, 1, 2, bias=False).train()
    maps = torch.rand(8, channels, 32, 32).contiguous(memory_format=torch.channels_last)
    convolution(maps).square().sum().backward()
    exact = nn.Conv2d(channels, 2 * channels, 1, 2, bias=False).double()
    exact.load_state_dict(convolution.state_dict())
    exact(maps.double()).square().sum().backward()
    assert convolution.weight.grad is not None
    assert exact.weight.grad is not None
    torch.testing.assert_close(convolution.weight.grad.double(), exact.weight.grad, rtol=1e-4, atol=1e-3)
    with torch.no_grad():  # the service computes the strided convolution itself
        torch.testing.assert_close(convolution.eval()(maps).double(), exact(maps.double()), rtol=1e-5, atol=1e-6)
