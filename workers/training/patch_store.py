"""Kept patches of a whole cohort in one memory-mapped file a sequence, so that loading never limits training.

    FOLDER/t1w.bin, t2w.bin, ce_t1w.bin    bags one after the other: (2, 128, 128) a slice, image and mask
    FOLDER/index.json                      patients in order, slices of each bag, number format

Images come as `<patient_id>.npz` with the bags t1w, t2w and ce_t1w: (n, 2, 128, 128), floats in 0..1 or uint8.
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
from config.errors import InputError
from config.indication.nasopharynx import NASOPHARYNX
from workers.features.se_resnet import PATCH_SIZE
from workers.scores.multitask_network import SEQUENCES

BAG_NAMES = {role.value: role.file_stem for role in NASOPHARYNX.series_roles}
PATCH_SHAPE = (2, PATCH_SIZE, PATCH_SIZE)
INDEX = "index.json"

PatientPatches = dict[str, NDArray[np.generic]]


@dataclass(frozen=True)
class PatchStore:
    """PatientPatches of every patient and sequence.

    patient_ids : (n_patients,) in the order of the bags. starts : by role, (n_patients + 1,) first slice of each bag.
    arrays : by role, (n_slices, 2, 128, 128), memory-mapped.
    """

    patient_ids: tuple[str, ...]
    starts: dict[str, IndexArray]
    arrays: dict[str, NDArray[np.generic]]

    def slices(self, role: str, rows: IndexArray) -> Float32Array:
        """Patches (n, 2, 128, 128) float32 in 0..1 of slices anywhere in the cohort."""
        order = np.argsort(rows, kind="stable")  # ascending reads are kind to the disk
        found = np.empty((len(rows), *PATCH_SHAPE), dtype=np.float32)
        found[order] = self.arrays[role][rows[order]]
        return found / 255.0 if self.arrays[role].dtype == np.uint8 else found

    def bag_rows(self, role: str, patient: int) -> IndexArray:
        """Slice numbers of one patient's bag."""
        return np.arange(self.starts[role][patient], self.starts[role][patient + 1])

    def bag_sizes(self, role: str, patients: IndexArray) -> list[int]:
        """How many slices each of these patients has."""
        return (self.starts[role][patients + 1] - self.starts[role][patients]).tolist()


def build_store(
    patient_ids: Sequence[str],
    read_patches: Callable[[str], PatientPatches],
    folder: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> PatchStore:
    """Gather all bags of a cohort; a store of the same patients that is there already is opened as it is.

    read_patches : patient_id -> bags by role. Raises InputError naming the patient whose images cannot be used.
    """
    if _is_of(folder, patient_ids):
        return open_store(folder)
    folder.mkdir(parents=True, exist_ok=True)
    sizes: dict[str, list[int]] = {role: [] for role in SEQUENCES}
    dtype: np.dtype[np.generic] | None = None
    streams = {role: (folder / f"{BAG_NAMES[role]}.bin").open("wb") for role in SEQUENCES}
    try:
        for done, patient_id in enumerate(patient_ids, start=1):
            bags = read_patches(patient_id)
            for role in SEQUENCES:
                bag = _checked(bags, role, patient_id)
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
    aside = folder / f".{INDEX}.part"  # the index comes last: where it stands, the store is whole
    aside.write_text(json.dumps(index), encoding="utf-8")
    aside.replace(folder / INDEX)
    return open_store(folder)


def open_store(folder: Path) -> PatchStore:
    """The store that `build_store` left in a folder."""
    index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    starts = {role: np.concatenate([[0], np.cumsum(index["slices"][role])]).astype(np.intp) for role in SEQUENCES}
    arrays: dict[str, NDArray[np.generic]] = {
        role: np.memmap(
            folder / f"{BAG_NAMES[role]}.bin",
            dtype=index["format"],
            mode="r",
            shape=(int(starts[role][-1]), *PATCH_SHAPE),
        )
        for role in SEQUENCES
    }
    return PatchStore(tuple(index["patients"]), starts, arrays)


def saved_patch_reader(folder: Path) -> Callable[[str], PatientPatches]:
    """Reader of `<patient_id>.npz` files; raises InputError for a patient without a readable one."""

    def read(patient_id: str) -> PatientPatches:
        path = folder / f"{patient_id}.npz"
        if not path.is_file():
            raise InputError(f"patient {patient_id}: expected the kept patches {path}, found no such file")
        try:
            with np.load(path, allow_pickle=False) as archive:
                return {role: archive[name] for role, name in BAG_NAMES.items() if name in archive}
        except (ValueError, OSError, zipfile.BadZipFile) as error:
            raise InputError(f"patient {patient_id}: {path} is not a file of kept patches ({error})") from error

    return read


def _is_of(folder: Path, patient_ids: Sequence[str]) -> bool:
    index = folder / INDEX
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
