"""The network as it runs in inference is the network that was trained."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from workers.features.inference import MatrixConvolution, fold_norms
from workers.features.se_resnet import BackboneArchitecture, SEResNet, Variant


def _trained(architecture: BackboneArchitecture) -> SEResNet:
    """A backbone whose norms hold something, as after training."""
    torch.manual_seed(0)
    backbone = SEResNet(architecture).eval()
    for norm in backbone.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias, 0, 0.1)
            nn.init.normal_(norm.running_mean, 0, 0.1)
            nn.init.uniform_(norm.running_var, 0.5, 1.5)
    return backbone


@pytest.fixture(scope="module")
def patches() -> torch.Tensor:
    return torch.rand(3, 2, 128, 128, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("variant", ["basic", "bottleneck"])
def test_folding_moves_features_by_float32_rounding_only(variant: Variant, patches: torch.Tensor) -> None:
    architecture = BackboneArchitecture(variant=variant, width=0.25)
    backbone = _trained(architecture)
    exact = SEResNet(architecture).double().eval()
    exact.load_state_dict(backbone.state_dict())
    with torch.inference_mode():
        wanted = exact(patches.double())
        found = fold_norms(backbone, torch.float32)(patches).double()
    assert torch.linalg.norm(found - wanted) < 1e-6 * torch.linalg.norm(wanted)


def test_all_norms_are_folded_and_the_backbone_is_not_changed() -> None:
    backbone = _trained(BackboneArchitecture(width=0.0625))
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    made = fold_norms(backbone, torch.bfloat16)
    assert not any(isinstance(one, nn.BatchNorm2d) for one in made.modules())
    assert {one.dtype for one in made.parameters()} == {torch.bfloat16}
    assert all(torch.equal(before[name], tensor) for name, tensor in backbone.state_dict().items())


def test_the_folded_network_is_cached_until_the_weights_change(patches: torch.Tensor) -> None:
    backbone = _trained(BackboneArchitecture(width=0.0625))
    first = fold_norms(backbone, torch.float32)
    assert fold_norms(backbone, torch.float32) is first
    with torch.no_grad():
        backbone.stem[1].bias.add_(1.0)
    second = fold_norms(backbone, torch.float32)
    assert second is not first
    with torch.inference_mode():
        assert torch.allclose(second(patches), backbone(patches), rtol=1e-4, atol=1e-5)
        assert not torch.allclose(first(patches), second(patches), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("size", "stride", "bias"), [(4, 1, True), (8, 2, False), ((3, 5), 1, True)])
def test_a_convolution_as_a_matrix_product(size: int | tuple[int, int], stride: int, bias: bool) -> None:
    height, width = size if isinstance(size, tuple) else (size, size)
    convolution = nn.Conv2d(6, 10, 3, stride, padding=1, bias=bias).double()
    x = torch.rand(2, 6, height, width, dtype=torch.float64)
    with torch.inference_mode():
        assert torch.allclose(MatrixConvolution(convolution)(x), convolution(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("other", [{"groups": 2}, {"dilation": 2}, {"padding_mode": "reflect"}])
def test_another_convolution_is_refused(other: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="without groups and dilation, padded with zeros"):
        MatrixConvolution(nn.Conv2d(4, 4, 3, padding=1, **other))  # type: ignore[arg-type]
