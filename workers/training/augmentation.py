"""Training augmentation of patches: variation between days, scanners and observers.

The paper's: rotation by -10 to 10 degrees in steps of 5, grey shift, slight Gaussian smoothing, centre jitter of 5
pixels; the mask is resampled by nearest neighbour. The scanner augmentation adds mirror images, contrast, gamma, a
linear bias field and noise.

References: Zhong et al., EBioMedicine 2021;70:103522, supplement.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

ROTATIONS_DEGREES = (-10.0, -5.0, 0.0, 5.0, 10.0)
JITTER_PIXELS = 5
GREY_SHIFT = 0.05
SMOOTHING_PIXELS = (0.3, 0.9)


def augment(patches: Tensor, generator: torch.Generator, scanner: bool = True) -> Tensor:
    """Vary each patch independently; image and mask move together.

    Parameters
    ----------
    patches : Tensor, shape (n, 2, h, w)
        Image in [0, 1] and mask in {0, 1}.
    generator : torch.Generator
        On the CPU; the only source of randomness.
    scanner : bool
        Also mirror, contrast, gamma, bias field and noise.

    Returns
    -------
    Tensor, shape (n, 2, h, w)
        Image in [0, 1], mask in {0, 1}.
    """
    image, mask = _moved(patches, generator, mirror=scanner)
    image = _smoothed(image, generator)
    image = image + _uniform(len(image), -GREY_SHIFT, GREY_SHIFT, generator)
    if scanner:
        image = _rescanned(image, generator)
    return torch.cat([image.clamp(0, 1), mask], dim=1)


def _uniform(n: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return torch.empty(n, 1, 1, 1).uniform_(low, high, generator=generator)


def _moved(patches: Tensor, generator: torch.Generator, mirror: bool) -> tuple[Tensor, Tensor]:
    """Rotate about the centre, shift and mirror, in one resampling."""
    n, _, h, w = patches.shape
    index = torch.randint(len(ROTATIONS_DEGREES), (n,), generator=generator)
    angle = torch.deg2rad(torch.tensor(ROTATIONS_DEGREES)[index])
    # affine_grid counts from -1 to 1 across the image, so one pixel is 2 / w.
    shift = torch.randint(-JITTER_PIXELS, JITTER_PIXELS + 1, (n, 2), generator=generator) * 2.0 / torch.tensor([w, h])
    flip = torch.ones(n)
    if mirror:
        flip = 1.0 - 2.0 * torch.randint(2, (n,), generator=generator)
    cos, sin = torch.cos(angle), torch.sin(angle)
    # grid_sample maps output to input, so these are the inverse rotation and shift; both are drawn symmetrically.
    rows = [torch.stack([flip * cos, -sin, shift[:, 0]], 1), torch.stack([flip * sin, cos, shift[:, 1]], 1)]
    # One grid for both: the mask must move exactly as the image does, or the network learns a displaced contour.
    grid = functional.affine_grid(torch.stack(rows, 1), [n, 1, h, w], align_corners=False)
    image = functional.grid_sample(patches[:, :1], grid, mode="bilinear", align_corners=False)
    mask = functional.grid_sample(patches[:, 1:], grid, mode="nearest", align_corners=False)
    return image, mask


def _smoothed(image: Tensor, generator: torch.Generator) -> Tensor:
    """Smooth a third of the patches, each with its own Gaussian width."""
    n = len(image)
    touched = torch.rand(n, generator=generator) < 1 / 3
    if not bool(touched.any()):
        return image
    sigma = torch.empty(int(touched.sum())).uniform_(*SMOOTHING_PIXELS, generator=generator)
    offsets = torch.arange(-2.0, 3.0)
    kernel = torch.exp(-0.5 * (offsets / sigma[:, None]) ** 2)
    kernel = kernel / kernel.sum(1, keepdim=True)  # (k, 5)
    selected = image[touched].transpose(0, 1)  # (1, k, h, w): one channel a patch
    k = selected.shape[1]
    # A Gaussian separates: two passes of 5 in place of one of 25.
    selected = functional.conv2d(selected, kernel[:, None, :, None], padding=(2, 0), groups=k)
    selected = functional.conv2d(selected, kernel[:, None, None, :], padding=(0, 2), groups=k)
    image = image.clone()
    image[touched] = selected.transpose(0, 1)
    return image


def _rescanned(image: Tensor, generator: torch.Generator) -> Tensor:
    """Vary contrast, gamma, a bias field that is linear in the plane, and noise."""
    n, _, h, w = image.shape
    # Clamped: the grey shift leaves negative values, whose power is NaN.
    image = image.clamp(1e-4, 1) ** torch.exp(_uniform(n, -0.15, 0.15, generator))
    x = torch.linspace(-1, 1, w).reshape(1, 1, 1, w) * _uniform(n, -0.12, 0.12, generator)
    y = torch.linspace(-1, 1, h).reshape(1, 1, h, 1) * _uniform(n, -0.12, 0.12, generator)
    image = image * (_uniform(n, 0.92, 1.08, generator) + x + y)
    noise = torch.randn(image.shape, generator=generator)
    return image + noise * _uniform(n, 0.0, 0.025, generator)
