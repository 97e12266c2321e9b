"""Patients in memory are those that a scanner would have stored."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np

from workers.hostile.phantom_volumes import phantom_volumes
from workers.hostile.stored_volumes import patient_folders, stored_volumes
from workers.phantoms.dicom_study import write_phantom_study


def test_a_phantom_in_memory_has_the_pixels_and_the_contour_of_its_dicom_study(tmp_path: Path) -> None:
    day = date(2026, 3, 9)
    write_phantom_study(tmp_path / "P", seed=79, patient_id="P", birth_date=date(1979, 5, 17), study_date=day)
    (stored,) = stored_volumes(patient_folders(tmp_path))
    drawn = phantom_volumes(79, 0)
    assert list(stored) == list(drawn)
    for role, volume in stored.items():
        np.testing.assert_array_equal(volume.grey_zyx, drawn[role].grey_zyx)
        # The polygon of 180 points and the outline itself differ at few pixels of the border.
        differing = np.count_nonzero(volume.mask_zyx != drawn[role].mask_zyx)
        assert differing < 0.02 * np.count_nonzero(volume.mask_zyx)
