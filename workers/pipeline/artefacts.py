"""Files that the steps of a computation leave, so that a repeated or later step need not compute them again.

    artefacts/<study>/<digest>/material.npz + material.json   the prepared study        (step `volumes`)
                               measures.json                  measures of plausibility  (step `volumes`)
                               pictures.npz                   Grad-CAM maps             (step `features`)

The digest covers the request and the part of the bundle that determines the patches, so a new model scores the same
patches without reading the DICOM again. Each file is written under a temporary name and renamed, the JSON last: where
it is, the arrays are. The files are not forced to the disk; a file that a power cut damaged counts as missing, and is
computed again.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from config.arrays import Float32Array, PixelArray
from config.atomic_files import replacing, write_atomically
from config.errors import CptdnError
from config.indication.vocabulary import SeriesRole
from workers.volumes.picture import PICTURE_ARRAYS, Picture
from workers.volumes.prepared_study import PreparedSeries, PreparedStudy
from workers.volumes.stored_slice import StoredSlice

DAMAGED = (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile)
"""What reading raises for a file that a power cut left half-written."""

_ARRAYS = ("patches", "mask_zyx")
_PICTURES = ("picture", "close_up")


class ArtefactsMissingError(CptdnError):
    """A file of an earlier step is missing or damaged; the job starts again with that step."""


def save_prepared_study(folder: Path, study: PreparedStudy) -> None:
    """Write a prepared study; another process may read it as soon as this returns.

    Parameters
    ----------
    folder : Path
        The artefact folder of this request and bundle; made if needed.
    study : PreparedStudy
        All series.

    Raises
    ------
    OSError
        The disk refuses; nothing of the file that failed is left.
    """
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {f"{role.value}/{name}": getattr(series, name) for role, series in study.items() for name in _ARRAYS}
    facts = []
    for role, series in study.items():
        pictures = {name: getattr(series, name) for name in _PICTURES}
        documents = {name: None if picture is None else picture.geometry() for name, picture in pictures.items()}
        plain = {k: v for k, v in vars(series).items() if k not in (*_ARRAYS, *_PICTURES)}
        facts.append({**plain, **documents})
        for name, picture in pictures.items():
            if picture is not None:
                arrays |= {f"{role.value}/{name}/{part}": array for part, array in picture.arrays().items()}
    _write_npz(folder / "material.npz", arrays)
    # Last: `load_prepared_study` begins with it, so that it never finds arrays without facts.
    write_atomically(folder / "material.json", json.dumps(facts, ensure_ascii=False).encode())


def load_prepared_study(folder: Path) -> PreparedStudy | None:
    """Read a prepared study.

    Parameters
    ----------
    folder : Path
        Where `save_prepared_study` wrote it.

    Returns
    -------
    PreparedStudy or None
        None where it is missing, incomplete or damaged.
    """
    try:
        facts = json.loads((folder / "material.json").read_text(encoding="utf-8"))
        with open(folder / "material.npz", "rb") as file, np.load(file) as arrays:
            return {SeriesRole(series["role"]): _prepared_series(series, arrays) for series in facts}
    except (FileNotFoundError, *DAMAGED):
        return None


def _prepared_series(facts: Mapping[str, Any], arrays: Mapping[str, Any]) -> PreparedSeries:
    return PreparedSeries(
        **{
            **facts,
            "role": SeriesRole(facts["role"]),
            # JSON has lists only; equal studies must compare equal after they were saved and loaded.
            "slices": tuple(StoredSlice(uid, frame) for uid, frame in facts["slices"]),
            "findings": tuple((code, text) for code, text in facts["findings"]),
            **{name: _picture(facts, name, arrays) for name in _PICTURES},
        },
        **{name: arrays[f"{facts['role']}/{name}"] for name in _ARRAYS},
    )


def _picture(facts: Mapping[str, Any], name: str, arrays: Mapping[str, Any]) -> Picture | None:
    # A KeyError where an earlier version saved no pictures: the study is then prepared again.
    geometry = facts[name]
    if geometry is None:
        return None
    return Picture.of(geometry, {part: arrays[f"{facts['role']}/{name}/{part}"] for part in PICTURE_ARRAYS})


def save_measures(folder: Path, measures: Mapping[str, float]) -> None:
    """Write the measures of plausibility of the prepared study in the same folder.

    Parameters
    ----------
    folder : Path
        The artefact folder, which `save_prepared_study` has made.
    measures : mapping of str to float
        By name.
    """
    write_atomically(folder / "measures.json", json.dumps(measures))


def load_measures(folder: Path) -> dict[str, float] | None:
    """Read what `save_measures` wrote; None where it is missing or damaged."""
    try:
        measures = json.loads((folder / "measures.json").read_text(encoding="utf-8"))
        return {str(name): float(value) for name, value in measures.items()}
    except (FileNotFoundError, AttributeError, *DAMAGED):
        return None


def save_attributions(folder: Path, maps: Mapping[SeriesRole, Float32Array]) -> None:
    """Write the Grad-CAM maps of the representative slices.

    Parameters
    ----------
    folder : Path
        The artefact folder, which `save_prepared_study` has made.
    maps : mapping of SeriesRole to float32, shape (128, 128)
        In 0..1.
    """
    _write_npz(folder / "pictures.npz", {role.value: attribution for role, attribution in maps.items()})


def load_attributions(folder: Path) -> dict[SeriesRole, Float32Array]:
    """Read the maps that `save_attributions` wrote.

    Parameters
    ----------
    folder : Path
        The artefact folder.

    Returns
    -------
    dict of SeriesRole to float32, shape (128, 128)
        Empty where they are missing or damaged.
    """
    try:
        with open(folder / "pictures.npz", "rb") as file, np.load(file) as arrays:
            return {SeriesRole(name): arrays[name] for name in arrays.files}
    except (FileNotFoundError, *DAMAGED):
        return {}


def _write_npz(path: Path, arrays: Mapping[str, PixelArray]) -> None:
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
