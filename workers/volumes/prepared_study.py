"""A prepared series and a prepared study: everything the networks and the report need of the stored images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from config.arrays import Float32Array, LabelArray
from config.indication.vocabulary import SeriesRole
from workers.volumes.picture import Picture
from workers.volumes.stored_slice import StoredSlice


@dataclass(frozen=True)
class PreparedSeries:
    """One series, ready for the network of its role.

    Attributes
    ----------
    role : SeriesRole
        Which of the three sequences it is.
    series_instance_uid, sop_class_uid, description : str
        From the header of its first slice.
    patches : float32, shape (n, 2, 128, 128), axes patch, channel, row, column
        Channel 0 is the image in 0..1, channel 1 the tumour mask (0 or 1); one patch for each tumour slice.
    slices : tuple of StoredSlice, length n
        The stored slice of each patch.
    mask_zyx : uint8, shape (n, rows, columns)
        The tumour mask on the same slices, on the series' own pixel grid.
    volume_ml : float
        Volume of the contoured tumour in mL; see `RoiMask.volume_ml`.
    n_slices : int
        Number of slices that the mask touches.
    landmark_distance : float
        Distance of the series' intensity landmarks from the template, 0 for the same histogram.
    distance_limit : float
        Largest distance that counts as similar to the training images; from the model bundle.
    findings : tuple of (code, text)
        What was repaired or noticed while reading; stated in the report.
    picture, close_up : Picture, optional
        All decoded slices at about 2 mm and the tumour's region at about 1 mm, for the checks of plausibility.
    """

    role: SeriesRole
    series_instance_uid: str
    sop_class_uid: str
    description: str
    patches: Float32Array
    slices: tuple[StoredSlice, ...]
    mask_zyx: LabelArray
    volume_ml: float
    n_slices: int
    landmark_distance: float
    distance_limit: float
    findings: tuple[tuple[str, str], ...]
    picture: Picture | None = None
    close_up: Picture | None = None

    @property
    def drawn_here(self) -> bool:
        """Whether the contour was drawn on the grid of this series, not carried to it from another one."""
        return all(code != "contour_resampled" for code, _ in self.findings)


PreparedStudy = Mapping[SeriesRole, PreparedSeries]
"""The three prepared series of one study by their role."""
