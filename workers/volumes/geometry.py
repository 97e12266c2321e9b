"""Grid: where the voxels of a volume lie in the patient, in LPS millimetres (PS3.3 C.7.6.2.1.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from config.arrays import FloatArray


@dataclass(frozen=True)
class Grid:
    """Size and place of a volume; axes named x (columns), y (rows), z (slices) as SimpleITK does.

    size_xyz : voxels; spacing_xyz_mm : distances of voxel centres; origin_lps_mm : centre of voxel (0, 0, 0).
    direction : (9,) row-major 3 x 3; column k is the unit vector along which index k rises.
    """

    size_xyz: tuple[int, int, int]
    spacing_xyz_mm: tuple[float, float, float]
    origin_lps_mm: tuple[float, float, float]
    direction: tuple[float, ...]

    @classmethod
    def of(cls, image: sitk.Image) -> Grid:
        """The grid of a three-dimensional SimpleITK image."""
        return cls(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())

    @property
    def shape_zyx(self) -> tuple[int, int, int]:
        """Shape of the volume's NumPy array."""
        x, y, z = self.size_xyz
        return z, y, x

    @property
    def axes(self) -> FloatArray:
        """(3, 3) unit vectors as columns: along rows (x), along columns (y), along the slices' normal (z)."""
        return np.asarray(self.direction, dtype=np.float64).reshape(3, 3)

    @property
    def index_to_lps(self) -> FloatArray:
        """(3, 3) matrix that carries an index difference xyz to millimetres."""
        return self.axes * np.asarray(self.spacing_xyz_mm)

    @property
    def voxel_volume_ml(self) -> float:
        """Volume of one voxel."""
        return float(np.prod(self.spacing_xyz_mm)) / 1000.0

    @property
    def tilt_degrees(self) -> float:
        """Angle between the slices' normal and the patient's long axis; 0 for true axial slices."""
        return float(np.degrees(np.arccos(min(1.0, abs(self.axes[2, 2])))))

    def indices_of(self, points_lps_mm: npt.ArrayLike) -> FloatArray:
        """(n, 3) points -> (n, 3) continuous indices xyz; whole numbers are voxel centres."""
        away = np.asarray(points_lps_mm, dtype=np.float64) - np.asarray(self.origin_lps_mm)
        return np.asarray(away @ np.linalg.inv(self.index_to_lps).T)

    def points_of(self, indices_xyz: npt.ArrayLike) -> FloatArray:
        """(n, 3) continuous indices xyz -> (n, 3) points in LPS millimetres."""
        moved = np.asarray(indices_xyz, dtype=np.float64) @ self.index_to_lps.T
        return np.asarray(moved + np.asarray(self.origin_lps_mm))

    def image_of(self, array_zyx: npt.NDArray[Any]) -> sitk.Image:
        """An image on this grid from its array; raises ValueError when the shape is another."""
        if array_zyx.shape != self.shape_zyx:
            raise ValueError(f"expected an array of shape {self.shape_zyx} (zyx), found {array_zyx.shape}")
        image = sitk.GetImageFromArray(array_zyx)
        image.SetSpacing(self.spacing_xyz_mm)
        image.SetOrigin(self.origin_lps_mm)
        image.SetDirection(self.direction)
        return image
