"""Patches of a whole cohort in one memory-mapped file per sequence, so that loading does not limit training.

    FOLDER/t1w.bin, t2w.bin, ce_t1w.bin    bags one after the other: (2, 128, 128) per slice, image and mask
    FOLDER/index.json                      patients in order, slices of each bag, number format

Images are read from ``<patient_id>.npz`` with the bags t1w, t2w and ce_t1w: (n, 2, 128, 128), floats in 0..1 or uint8.
A bag (multiple-instance learning) is the set of all tumour slices of one patient in one sequence.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from config.arrays import Float32Array, IndexArray
from config.atomic_files import write_atomically
from config.errors import InputError
from config.indication.nasopharynx import NASOPHARYNX
from workers.volumes.patches import PATCH_SIZE

SEQUENCES = tuple(role.value for role in NASOPHARYNX.feature_order)
PATCH_KEYS = {role.value: role.file_stem for role in NASOPHARYNX.series_roles}  # in `<patient_id>.npz`
ORIGIN_KEY = "origin"  # in `<patient_id>.npz` of phantoms: what the patches are of
PATCH_SHAPE = (2, PATCH_SIZE, PATCH_SIZE)
INDEX = "index.json"

PatientPatches = dict[str, NDArray[np.generic]]


@dataclass(frozen=True)
class PatchStore:
    """Bags of every patient and sequence.

    Attributes
    ----------
    patient_ids : tuple of str, length n
        In the order of the bags.
    starts : dict of str to int array, shape (n + 1,)
        By role the first slice of each bag.
    arrays : dict of str to array, shape (n_slices, 2, 128, 128)
        By role, memory-mapped; uint8 (0..255) or float16 (0..1).
    """

    patient_ids: tuple[str, ...]
    starts: dict[str, IndexArray]
    arrays: dict[str, NDArray[np.generic]]

    def slices(self, role: str, rows: IndexArray) -> Float32Array:
        """Return the patches of slices anywhere in the cohort.

        Parameters
        ----------
        role : str
            Series role.
        rows : int array, shape (k,)
            Slice numbers.

        Returns
        -------
        float32 array, shape (k, 2, 128, 128)
            Image in [0, 1], mask in {0, 1}.
        """
        order = np.argsort(rows, kind="stable")  # ascending reads of the memory map are sequential on disk
        patches = np.empty((len(rows), *PATCH_SHAPE), dtype=np.float32)
        patches[order] = self.arrays[role][rows[order]]
        return patches / 255.0 if self.arrays[role].dtype == np.uint8 else patches

    def bag_rows(self, role: str, patient: int) -> IndexArray:
        """Return the slice numbers of one patient's bag.

        Parameters
        ----------
        role : str
            The sequence.
        patient : int
            Position in `patient_ids`.

        Returns
        -------
        int array, shape (n_slices,)
            Rows of the sequence's file, consecutive.
        """
        return np.arange(self.starts[role][patient], self.starts[role][patient + 1])

    def bag_sizes(self, role: str, patients: IndexArray) -> list[int]:
        """Return the number of slices of each of these patients."""
        return (self.starts[role][patients + 1] - self.starts[role][patients]).tolist()


def build_store(
    patient_ids: Sequence[str],
    read_patches: Callable[[str], PatientPatches],
    folder: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> PatchStore:
    """Gather all bags of a cohort; a complete store of the same patients is opened as it is.

    Parameters
    ----------
    patient_ids : sequence of str
        Order of the store.
    read_patches : callable
        patient_id -> bags by role.
    folder : Path
        Of the store.
    progress : callable
        Called with finished and all patients.

    Returns
    -------
    PatchStore
        Memory-mapped.

    Raises
    ------
    InputError
        Names the patient whose images cannot be used.
    """
    if _is_of(folder, patient_ids):
        return open_store(folder)
    folder.mkdir(parents=True, exist_ok=True)
    sizes: dict[str, list[int]] = {role: [] for role in SEQUENCES}
    dtype: np.dtype[np.generic] | None = None
    streams = {role: (folder / f"{PATCH_KEYS[role]}.bin").open("wb") for role in SEQUENCES}
    try:
        for done, patient_id in enumerate(patient_ids, start=1):
            bags = read_patches(patient_id)
            for role in SEQUENCES:
                bag = _checked(bags, role, patient_id)
                # float16 has eleven significant bits: patches of 0..1 need no more, and memory traffic is halved.
                dtype = dtype or (np.dtype(np.uint8) if bag.dtype == np.uint8 else np.dtype(np.float16))
                if (bag.dtype == np.uint8) != (dtype == np.uint8):
                    raise InputError(f"patient {patient_id}: {role} patches are {bag.dtype}, those before were {dtype}")
                streams[role].write(np.ascontiguousarray(bag, dtype=dtype).tobytes())
                sizes[role].append(len(bag))
            progress(done, len(patient_ids))
    finally:
        for stream in streams.values():
            stream.close()
    index = {"patients": list(patient_ids), "slices": sizes, "format": str(dtype)}
    write_atomically(folder / INDEX, json.dumps(index))  # written last: a store with an index is complete
    return open_store(folder)


def open_store(folder: Path) -> PatchStore:
    """Open the store that `build_store` left in a folder.

    Parameters
    ----------
    folder : Path
        With its index.

    Returns
    -------
    PatchStore
        Arrays are memory-mapped read-only: nothing is read before a slice is asked for.
    """
    index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    starts = {role: np.concatenate([[0], np.cumsum(index["slices"][role])]).astype(np.intp) for role in SEQUENCES}
    arrays: dict[str, NDArray[np.generic]] = {
        role: np.memmap(
            folder / f"{PATCH_KEYS[role]}.bin",
            dtype=index["format"],
            mode="r",
            shape=(int(starts[role][-1]), *PATCH_SHAPE),
        )
        for role in SEQUENCES
    }
    return PatchStore(tuple(index["patients"]), starts, arrays)


def saved_patch_reader(folder: Path) -> Callable[[str], PatientPatches]:
    """Return a reader of ``<patient_id>.npz`` files.

    Returns
    -------
    callable
        patient_id -> bags by role; raises InputError for a patient without a readable file.
    """

    def read(patient_id: str) -> PatientPatches:
        path = folder / f"{patient_id}.npz"
        if not path.is_file():
            raise InputError(f"patient {patient_id}: expected the saved patches {path}, found no such file")
        try:
            with np.load(path, allow_pickle=False) as archive:
                # Read inside the block: an npz is opened lazily and cannot be read once it is closed.
                return {role: archive[name] for role, name in PATCH_KEYS.items() if name in archive}
        except (ValueError, OSError, zipfile.BadZipFile) as error:
            raise InputError(f"patient {patient_id}: {path} is not a file of saved patches ({error})") from error

    return read


def _is_of(folder: Path, patient_ids: Sequence[str]) -> bool:
    index = folder / INDEX
    # The ids in order, since rows of the store are found by position.
    return index.is_file() and json.loads(index.read_text(encoding="utf-8"))["patients"] == list(patient_ids)


def _checked(bags: PatientPatches, role: str, patient_id: str) -> NDArray[np.generic]:
    if role not in bags:
        raise InputError(f"patient {patient_id}: expected patches of {role}, found {', '.join(sorted(bags)) or 'none'}")
    bag = bags[role]
    if bag.ndim != 4 or bag.shape[1:] != PATCH_SHAPE or len(bag) == 0:
        raise InputError(
            f"patient {patient_id}: expected {role} patches of shape (n, {', '.join(map(str, PATCH_SHAPE))}), n > 0, "
            f"found {bag.shape}"
        )
    return bag
