"""A study in memory: the three volumes and the contour's mask, which hostile changes are applied to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import SimpleITK as sitk

from config.arrays import Float32Array, LabelArray
from config.indication.vocabulary import SeriesRole
from workers.bundles.bundle import Preprocessing
from workers.volumes.geometry import Grid
from workers.volumes.prepared_study import PreparedSeries, PreparedStudy
from workers.volumes.series_patches import extract_series_patches
from workers.volumes.stored_slice import StoredSlice


@dataclass(frozen=True, eq=False)
class Volume:
    """One series in memory, with the parts of `MrSeries` that cutting patches needs.

    Attributes
    ----------
    grid : Grid
        Place of the voxels.
    grey_zyx : float32, shape (slices, rows, columns)
        Grey values.
    mask_zyx : uint8, same shape
        The contour's mask.
    series_instance_uid : str
        For error messages.
    """

    grid: Grid
    grey_zyx: Float32Array
    mask_zyx: LabelArray
    series_instance_uid: str = "2.25.1"

    @property
    def image(self) -> sitk.Image:
        """The whole volume."""
        return self.grid.image_of(self.grey_zyx)

    @property
    def slices(self) -> tuple[StoredSlice, ...]:
        """A reference for each slice."""
        return tuple(StoredSlice(f"{self.series_instance_uid}.{z}", None) for z in range(len(self.grey_zyx)))

    def pixels_zyx(self, z_indices: Iterable[int]) -> Float32Array:
        """Return chosen slices."""
        return self.grey_zyx[np.asarray(list(z_indices), dtype=np.intp)]

    def with_grey(self, grey_zyx: Float32Array) -> Volume:
        """Return the volume with other grey values."""
        return replace(self, grey_zyx=np.ascontiguousarray(grey_zyx, dtype=np.float32))


StudyVolumes = Mapping[SeriesRole, Volume]
"""The three volumes of one study by their role."""


def prepare_volumes(study: StudyVolumes, preprocessing: Preprocessing) -> PreparedStudy:
    """Prepare a study in memory as the service prepares a stored one.

    Parameters
    ----------
    study : mapping of SeriesRole to Volume
        The three series.
    preprocessing : Preprocessing
        A bundle, or the templates and the spacing of a training.

    Returns
    -------
    PreparedStudy
        Patches, pictures and distances of the intensities.

    Raises
    ------
    IneligibleStudyError
        What `extract_series_patches` raises: a constant image, slices far from axial.
    """
    return {role: _prepared(role, volume, preprocessing) for role, volume in study.items()}


def _prepared(role: SeriesRole, volume: Volume, preprocessing: Preprocessing) -> PreparedSeries:
    template = preprocessing.templates[role.value]
    cut = extract_series_patches(volume, volume.mask_zyx, template, preprocessing.spacing_mm)
    return PreparedSeries(
        role=role,
        series_instance_uid=volume.series_instance_uid,
        sop_class_uid="",
        description="",
        patches=cut.patches,
        slices=cut.slices,
        mask_zyx=volume.mask_zyx[cut.slice_index],
        volume_ml=float(np.count_nonzero(volume.mask_zyx)) * volume.grid.voxel_volume_ml,
        n_slices=len(cut.slice_index),
        landmark_distance=cut.distance,
        distance_limit=template.distance_limit,
        findings=(),
        picture=cut.picture,
        close_up=cut.close_up,
    )
