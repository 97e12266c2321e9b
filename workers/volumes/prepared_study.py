"""A series and a study, ready for the networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from config.arrays import Float32Array, LabelArray
from config.indication.vocabulary import SeriesRole

Slices = tuple[tuple[str, int | None], ...]


@dataclass(frozen=True)
class PreparedSeries:
    """One sequence, ready for its network.

    patches : (n, 2, 128, 128) float32, image in 0..1 and tumour mask, one a tumour slice.
    slices : the stored slice (SOP Instance UID, frame number) behind each patch.
    mask_zyx : (n, rows, columns) uint8, the contour on those slices of the series' own grid.
    landmark_distance : how unlike the training images the intensities are; distance_limit is the bundle's limit.
    """

    role: SeriesRole
    series_instance_uid: str
    sop_class_uid: str
    description: str
    patches: Float32Array
    slices: Slices
    mask_zyx: LabelArray
    volume_ml: float
    n_slices: int
    landmark_distance: float
    distance_limit: float
    findings: tuple[tuple[str, str], ...]


PreparedStudy = Mapping[SeriesRole, PreparedSeries]
"""The three sequences of one study."""
