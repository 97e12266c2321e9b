"""Patches of a whole cohort in one memory-mapped file per sequence, so that loading does not limit training.

    FOLDER/t1w.bin, t2w.bin, ce_t1w.bin    bags one after the other: (2, 128, 128) per slice, image and mask
    FOLDER/index.json                      patients in order, slices of each bag, number format

Images are read from ``<patient_id>.npz`` with the bags t1w, t2w and ce_t1w: (n, 2, 128, 128), floats in 0..1 or uint8.
A bag (multiple-instance learning) is the set of all tumour slices of one patient in one sequence.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.arrays import Float32Array, IndexArray
from config.atomic_files import write_atomically
from config.errors import InputError
from config.indication.nasopharynx import NASOPHARYNX
from workers.training.grey_scale import GreyScale
from workers.training.json_lines import resume_json_lines
from workers.training.ordered_processes import in_order
from workers.training.patient_problems import UnusableImagesError, image_problem
from workers.volumes.intensity import IntensityTemplate, rescaled
from workers.volumes.patches import PATCH_SIZE

SEQUENCES = tuple(role.value for role in NASOPHARYNX.feature_order)
PATCH_KEYS = {role.value: role.file_stem for role in NASOPHARYNX.series_roles}  # in `<patient_id>.npz`
ORIGIN_KEY = "origin"  # in `<patient_id>.npz` of phantoms: what the patches are of
PATCH_SHAPE = (2, PATCH_SIZE, PATCH_SIZE)
INDEX = "index.json"
JOURNAL = "gathered.jsonl"  # one line for each patient, while a store is being gathered

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
    scale : GreyScale or None
        On which the patches were cut, where it is known.
    templates : mapping of str to IntensityTemplate, optional
        By role the scale of the patches that are returned; by default that on which they were cut.
    """

    patient_ids: tuple[str, ...]
    starts: dict[str, IndexArray]
    arrays: dict[str, NDArray[np.generic]]
    scale: GreyScale | None = None
    templates: Mapping[str, IntensityTemplate] | None = None

    def on_scale_of(self, patient_ids: Sequence[str]) -> PatchStore:
        """Return the same patches with the grey values of the scale of some training patients."""
        return self if self.scale is None else replace(self, templates=self.scale.of(patient_ids))

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
        if self.arrays[role].dtype == np.uint8:
            patches /= 255.0
        if self.scale is None or self.templates is None:
            return patches
        return rescaled(patches, self.scale.templates[role], self.templates[role])

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
    processes: int = 1,
) -> PatchStore:
    """Gather all bags of a cohort; a complete store of the same patients is opened as it is.

    A call after a kill resumes behind the last patient whose bytes are whole. The bytes of a store do not depend on
    kills, nor on the number of processes.

    Parameters
    ----------
    patient_ids : sequence of str
        Order of the store.
    read_patches : callable
        patient_id -> bags by role; can be pickled where there is more than one process.
    folder : Path
        Of the store.
    progress : callable
        Called with finished and all patients.
    processes : int
        That read patients at the same time.

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
    (folder / INDEX).unlink(missing_ok=True)  # of other patients
    gathered = _whole_patients(folder, patient_ids)
    with ExitStack() as files:
        streams = {role: files.enter_context((folder / f"{PATCH_KEYS[role]}.bin").open("ab")) for role in SEQUENCES}
        journal = files.enter_context((folder / JOURNAL).open("a", encoding="utf-8"))
        rest = patient_ids[len(gathered) :]
        for patient_id, bags in zip(rest, in_order(_StoredBags(read_patches), rest, processes), strict=True):
            formats = {str(bag.dtype) for bag in bags.values()} | {entry["format"] for entry in gathered[:1]}
            if len(formats) > 1:
                raise InputError(f"patient {patient_id}: expected patches of one number format, found {formats}")
            for role, stream in streams.items():
                stream.write(bags[role].data)
                stream.flush()
            entry = _journal_entry(patient_id, bags)
            # After the bytes; a power cut may still lose them and not the line, which is why it has their checksum.
            journal.write(json.dumps(entry) + "\n")
            journal.flush()
            gathered.append(entry)
            progress(len(gathered), len(patient_ids))
    index = {
        "patients": list(patient_ids),
        "slices": {role: [entry["slices"][role] for entry in gathered] for role in SEQUENCES},
        "format": gathered[0]["format"],
    }
    write_atomically(folder / INDEX, json.dumps(index))  # written last: a store with an index is complete
    (folder / JOURNAL).unlink()
    return open_store(folder)


@dataclass(frozen=True)
class _StoredBags:
    """Reads the bags of one patient in the number format of a store; can be sent to another process."""

    read_patches: Callable[[str], PatientPatches]

    def __call__(self, patient_id: str) -> PatientPatches:
        stored: PatientPatches = {}
        for role, bag in checked_bags(self.read_patches(patient_id), patient_id).items():
            # float16 has eleven significant bits: patches of 0..1 need no more, and memory traffic is halved.
            dtype = np.uint8 if bag.dtype == np.uint8 else np.float16
            stored[role] = np.ascontiguousarray(bag, dtype=dtype)
        return stored


def _journal_entry(patient_id: str, bags: PatientPatches) -> dict[str, Any]:
    return {
        "patient": patient_id,
        "format": str(next(iter(bags.values())).dtype),
        "slices": {role: len(bag) for role, bag in bags.items()},
        "crc32": {role: zlib.crc32(bag.data) for role, bag in bags.items()},
    }


def _whole_patients(folder: Path, patient_ids: Sequence[str]) -> list[dict[str, Any]]:
    """Return the journal entries of the first patients whose bytes are whole, and cut the files behind them."""
    entries = resume_json_lines(folder / JOURNAL)
    whole: list[dict[str, Any]] = []
    lengths = dict.fromkeys(SEQUENCES, 0)
    paths = {role: folder / f"{PATCH_KEYS[role]}.bin" for role in SEQUENCES}
    for path in paths.values():
        path.touch()
    with ExitStack() as files:
        streams = {role: files.enter_context(path.open("r+b")) for role, path in paths.items()}
        for entry, patient_id in zip(entries, patient_ids, strict=False):
            if entry["patient"] != patient_id:
                break  # the journal of a store of other patients, or in another order
            slice_bytes = int(np.prod(PATCH_SHAPE)) * np.dtype(entry["format"]).itemsize
            bags = {role: stream.read(entry["slices"][role] * slice_bytes) for role, stream in streams.items()}
            if any(zlib.crc32(bag) != entry["crc32"][role] for role, bag in bags.items()):
                break
            lengths = {role: lengths[role] + len(bag) for role, bag in bags.items()}
            whole.append(entry)
        for role, stream in streams.items():
            stream.truncate(lengths[role])
    write_atomically(folder / JOURNAL, "".join(json.dumps(entry) + "\n" for entry in whole))
    return whole


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


@dataclass(frozen=True)
class SavedPatchReader:
    """Reads ``<patient_id>.npz`` files of a folder; can be sent to another process."""

    folder: Path

    def __call__(self, patient_id: str) -> PatientPatches:
        """Return the bags of a patient by role; raises UnusableImagesError where there is no readable file."""
        path = self.folder / f"{patient_id}.npz"
        if not path.is_file():
            raise UnusableImagesError(
                image_problem(patient_id, "missing_images", "no such file", f"the saved patches {path}")
            )
        try:
            # Opened here: numpy leaves a file open that it cannot read.
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
                # Read inside the block: an npz is opened lazily and cannot be read once it is closed.
                return {role: archive[name] for role, name in PATCH_KEYS.items() if name in archive}
        except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise UnusableImagesError(
                image_problem(patient_id, "wrong_patches", f"another one ({error})", f"a file of saved patches {path}")
            ) from error


def saved_patch_reader(folder: Path) -> SavedPatchReader:
    """Return a reader of ``<patient_id>.npz`` files: patient_id -> bags by role."""
    return SavedPatchReader(folder)


def _is_of(folder: Path, patient_ids: Sequence[str]) -> bool:
    index = folder / INDEX
    # The ids in order, since rows of the store are found by position.
    return index.is_file() and json.loads(index.read_text(encoding="utf-8"))["patients"] == list(patient_ids)


def checked_bags(bags: PatientPatches, patient_id: str) -> PatientPatches:
    """Return the bags of all sequences, in the order of `SEQUENCES`.

    Raises
    ------
    UnusableImagesError
        A sequence is missing, or a bag is empty or of another shape.
    """
    for role in SEQUENCES:
        if role not in bags:
            found = ", ".join(sorted(bags)) or "none"
            raise UnusableImagesError(image_problem(patient_id, "wrong_patches", found, f"patches of {role}"))
        bag = bags[role]
        if bag.ndim != 4 or bag.shape[1:] != PATCH_SHAPE or len(bag) == 0:
            expected = f"{role} patches of shape (n, {', '.join(map(str, PATCH_SHAPE))}), n > 0"
            raise UnusableImagesError(image_problem(patient_id, "wrong_patches", str(bag.shape), expected))
    return {role: bags[role] for role in SEQUENCES}
