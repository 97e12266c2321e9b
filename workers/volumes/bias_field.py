"""N4 bias field correction, an option of the training; the bundle says whether it is used.

It takes tens of seconds a volume, and a mild bias field moves the intensity landmarks little, so it is off by default.

References
----------
Tustison et al., N4ITK: improved N3 bias correction, IEEE Trans Med Imaging 2010;29:1310-1320, as SimpleITK has it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import SimpleITK as sitk

from config.arrays import Float32Array
from workers.volumes.landmarks import foreground_threshold

SHRINK_TO_MM = 4.0
ITERATIONS = (30, 20, 10)  # at each level, from the coarsest spline grid to the finest


def bias_field(image: sitk.Image) -> Float32Array:
    """Estimate the smooth field by which the coil's sensitivity multiplies the image.

    Parameters
    ----------
    image : SimpleITK image
        Grey values of a whole volume, > 0 in tissue.

    Returns
    -------
    float32, shape (slices, rows, columns)
        On the grid of the image, around 1; divide the image by it to correct.

    Raises
    ------
    FlatImageError
        The image has no contrast from which the foreground could be told.
    """
    grey = sitk.Cast(image, sitk.sitkFloat32)
    foreground = sitk.Cast(grey > foreground_threshold(sitk.GetArrayFromImage(grey)), sitk.sitkUInt8)
    # The field varies over centimetres: pixels of 4 mm show it and are fewer. Slices are not merged.
    factors = [max(1, int(SHRINK_TO_MM / spacing)) for spacing in image.GetSpacing()[:2]] + [1]
    corrector: Any = sitk.N4BiasFieldCorrectionImageFilter()
    corrector.SetMaximumNumberOfIterations(ITERATIONS)
    corrector.Execute(sitk.Shrink(grey, factors), sitk.Shrink(foreground, factors))
    # N4 gives the logarithm on its spline grid; evaluated on the full grid, so the pixels themselves were never shrunk.
    return np.exp(sitk.GetArrayFromImage(corrector.GetLogBiasFieldAsImage(grey))).astype(np.float32)
