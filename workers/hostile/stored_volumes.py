"""Patients of a folder of DICOM studies as volumes in memory, selected and contoured as the service does it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from config.errors import InputError
from config.indication.vocabulary import SeriesRole
from workers.hostile.study_volumes import StudyVolumes, Volume
from workers.training.dicom_images import PatientImages, patient_images
from workers.volumes.chosen_series import read_chosen
from workers.volumes.contour_source import contour_on_series


def patient_folders(root: Path) -> list[Path]:
    """Return the folders of the patients, one each; raises InputError where there are none."""
    folders = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    if not folders:
        raise InputError(f"expected a folder with one DICOM folder for each patient, found none in {root}")
    return folders


def stored_volumes(folders: list[Path]) -> Iterator[StudyVolumes]:
    """Read patients one after the other.

    Parameters
    ----------
    folders : list of Path
        One DICOM study each, with its contour.

    Yields
    ------
    StudyVolumes
        Whole stacks.

    Raises
    ------
    InputError
        A patient cannot be used; the sentence names it.
    """
    for folder in folders:
        yield _volumes(patient_images(folder, folder.name))


def _volumes(patient: PatientImages) -> StudyVolumes:
    request, files = patient.request, patient.files
    study = {}
    for name, entry in request.series.items():
        series = read_chosen(entry, files)
        chosen, registration = request.contours[name], request.registrations.get(name)
        contour = contour_on_series(
            files[chosen["sop_instance_uid"]], chosen["kind"], chosen["roi_number"], series,
            files[registration["sop_instance_uid"]] if registration else None,
        )  # fmt: skip
        grey = series.pixels_zyx(np.arange(len(series.frames)))
        study[SeriesRole(name)] = Volume(series.grid, grey, contour.mask_zyx, series.series_instance_uid)
    return study
