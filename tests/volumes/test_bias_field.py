"""N4 takes a known bias field away from a phantom of two tissues."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from workers.volumes.bias_field import bias_field


def test_a_known_field_is_found() -> None:
    rng = np.random.default_rng(0)
    z, y, x = np.mgrid[-4:4, -40:40, -40:40]
    radius = np.hypot(y, x) + 0 * z
    tissue = np.where(radius < 36, np.where(radius < 20, 700.0, 400.0), 0.0)
    field = np.exp(0.3 * x / 40 + 0.2 * (y / 40) ** 2)
    image = sitk.GetImageFromArray(tissue * field + rng.normal(0, 8, tissue.shape))
    image.SetSpacing((2.0, 2.0, 4.0))
    found = bias_field(image)
    assert found.shape == tissue.shape
    for inside in (radius < 18, (radius > 22) & (radius < 34)):
        before, after = field[inside], (field / found)[inside]
        assert after.std() / after.mean() < 0.35 * before.std() / before.mean()
