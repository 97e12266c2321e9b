"""What the steps of a computation keep on disk, so that none has to be done twice.

    artefacts/<study>/<digest>/material.npz + material.json   patches, masks, geometry   (step volumes)
                               pictures.npz                   Grad-CAM maps              (step features)

The digest covers the request and the part of the bundle that shaped the files. They are written under a temporary name
and renamed, the JSON last: where it stands, everything stands. They are not forced to the disk: after a power cut
what is damaged counts as absent, and is made again.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.atomic_files import replacing, write_atomically
from config.errors import CptdnError
from config.indication.vocabulary import SeriesRole
from workers.volumes.prepared_study import PreparedSeries, PreparedStudy
from workers.volumes.stored_slice import StoredSlice

DAMAGED = (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile)
"""What reading a file raises that a power cut left half-written."""


class ArtefactsMissingError(CptdnError):
    """What an earlier step kept is not there any more, or damaged; that step makes it again."""


_ARRAYS = ("patches", "mask_zyx")


def save_prepared_study(folder: Path, material: PreparedStudy) -> None:
    """Write the material of one study; done when it returns."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {f"{role.value}/{name}": getattr(one, name) for role, one in material.items() for name in _ARRAYS}
    facts = [{k: v for k, v in asdict(one).items() if k not in _ARRAYS} for one in material.values()]
    _write_npz(folder / "material.npz", arrays)
    write_atomically(folder / "material.json", json.dumps(facts, ensure_ascii=False).encode())


def load_prepared_study(folder: Path) -> PreparedStudy | None:
    """The material that was kept here, whole; None when it is not."""
    try:
        facts = json.loads((folder / "material.json").read_text(encoding="utf-8"))
        return _material(folder, facts)
    except (FileNotFoundError, *DAMAGED):
        return None


def _material(folder: Path, facts: list[dict[str, Any]]) -> PreparedStudy:
    with open(folder / "material.npz", "rb") as file, np.load(file) as arrays:
        return {
            SeriesRole(one["role"]): PreparedSeries(
                **{
                    **one,
                    "role": SeriesRole(one["role"]),
                    "slices": tuple(StoredSlice(uid, frame) for uid, frame in one["slices"]),
                    "findings": tuple((code, text) for code, text in one["findings"]),
                },
                **{name: arrays[f"{one['role']}/{name}"] for name in _ARRAYS},
            )
            for one in facts
        }


def save_attributions(folder: Path, maps: Mapping[SeriesRole, NDArray[np.float32]]) -> None:
    """Grad-CAM maps of the representative slices, each (128, 128) in 0..1."""
    _write_npz(folder / "pictures.npz", {role.value: one for role, one in maps.items()})


def load_attributions(folder: Path) -> dict[SeriesRole, NDArray[np.float32]]:
    """The maps that were kept here; empty where there are none."""
    try:
        with open(folder / "pictures.npz", "rb") as file, np.load(file) as arrays:
            return {SeriesRole(name): arrays[name] for name in arrays.files}
    except (FileNotFoundError, *DAMAGED):
        return {}


def _write_npz(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
