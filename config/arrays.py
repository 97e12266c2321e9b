"""Names of the array types that all rooms use."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Float32Array = NDArray[np.float32]
AnyFloatArray = NDArray[np.floating[Any]]
BoolArray = NDArray[np.bool_]
Int64Array = NDArray[np.int64]
IndexArray = NDArray[np.intp]
LabelArray = NDArray[np.uint8]
PixelArray = NDArray[Any]
RgbArray = NDArray[np.uint8]
