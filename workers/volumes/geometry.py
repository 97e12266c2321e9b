"""The voxel grid of a volume in the patient: size, spacing, origin and direction, in LPS millimetres.

The position of voxel (i, j, k) is ``origin + i * dx * X + j * dy * Y + k * dz * Z`` with the unit vectors X along a
row, Y along a column and Z along the slices' normal: the equation of PS3.3 C.7.6.2.1.1 for all slices of a series.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from config.arrays import FloatArray, PixelArray


@dataclass(frozen=True)
class Grid:
    """Size and place of a volume; index axes are x (columns), y (rows), z (slices), as SimpleITK names them.

    Attributes
    ----------
    size_xyz : (int, int, int)
        Number of voxels.
    spacing_xyz_mm : (float, float, float)
        Distances of voxel centres, > 0.
    origin_lps_mm : (float, float, float)
        Centre of voxel (0, 0, 0).
    direction : tuple of 9 float
        Row-major 3 x 3 matrix; column k is the unit vector along which index k rises.
    """

    size_xyz: tuple[int, int, int]
    spacing_xyz_mm: tuple[float, float, float]
    origin_lps_mm: tuple[float, float, float]
    direction: tuple[float, ...]

    @classmethod
    def of(cls, image: sitk.Image) -> Grid:
        """Return the grid of a three-dimensional SimpleITK image."""
        return cls(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())

    @property
    def shape_zyx(self) -> tuple[int, int, int]:
        """Shape of the volume's NumPy array: slices, rows, columns."""
        x, y, z = self.size_xyz
        return z, y, x

    @property
    def axes(self) -> FloatArray:
        """Unit vectors as columns, (3, 3): along a row (x), along a column (y), along the slices' normal (z)."""
        return np.asarray(self.direction, dtype=np.float64).reshape(3, 3)

    @property
    def index_to_lps(self) -> FloatArray:
        """Matrix (3, 3) from a difference of indices xyz to millimetres."""
        return self.axes * np.asarray(self.spacing_xyz_mm)

    @property
    def voxel_volume_ml(self) -> float:
        """Volume of one voxel in mL (1 mL = 1000 mm³)."""
        return float(np.prod(self.spacing_xyz_mm)) / 1000.0

    @property
    def tilt_degrees(self) -> float:
        """Angle between the slices' normal and the patient's long axis, 0 to 90; 0 for axial slices."""
        # Rounding of the cosines may give 1.0000001, of which there is no arc cosine.
        return float(np.degrees(np.arccos(min(1.0, abs(self.axes[2, 2])))))

    def indices_of(self, points_lps_mm: npt.ArrayLike) -> FloatArray:
        """Convert points to continuous voxel indices.

        Parameters
        ----------
        points_lps_mm : array, shape (n, 3)
            Positions in the patient.

        Returns
        -------
        float64, shape (n, 3)
            Indices x, y, z; whole numbers are voxel centres, values outside the volume are allowed.
        """
        # The inverse and not the transpose: spacing is part of the matrix, and rounded cosines are not exactly
        # orthogonal.
        offsets_mm = np.asarray(points_lps_mm, dtype=np.float64) - np.asarray(self.origin_lps_mm)
        return np.asarray(offsets_mm @ np.linalg.inv(self.index_to_lps).T)

    def points_of(self, indices_xyz: npt.ArrayLike) -> FloatArray:
        """Convert continuous voxel indices to points, the inverse of `indices_of`.

        Parameters
        ----------
        indices_xyz : array, shape (n, 3)
            Indices x, y, z.

        Returns
        -------
        float64, shape (n, 3)
            LPS millimetres.
        """
        offsets_mm = np.asarray(indices_xyz, dtype=np.float64) @ self.index_to_lps.T
        return np.asarray(offsets_mm + np.asarray(self.origin_lps_mm))

    def image_of(self, array_zyx: PixelArray) -> sitk.Image:
        """Make an image on this grid from its array.

        Parameters
        ----------
        array_zyx : array, shape (slices, rows, columns)
            Voxel values; the image has its type.

        Returns
        -------
        SimpleITK image
            A copy of the values on this grid.

        Raises
        ------
        ValueError
            The array has another shape than the grid.
        """
        if array_zyx.shape != self.shape_zyx:
            raise ValueError(f"expected an array of shape {self.shape_zyx} (zyx), found {array_zyx.shape}")
        image = sitk.GetImageFromArray(array_zyx)
        image.SetSpacing(self.spacing_xyz_mm)
        image.SetOrigin(self.origin_lps_mm)
        image.SetDirection(self.direction)
        return image
