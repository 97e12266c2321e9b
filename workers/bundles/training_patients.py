"""Which patients a bundle was trained on, without their identifiers: salted scrypt digests, with the fold of each.

A patient's score is only fair by the member that has not learned from that patient, so a bundle must recognise its
training patients when a cohort is scored. The file has no identifier, but anyone who has the bundle can test candidates
at some hundredths of a second each: short running numbers can be found by trying them all. A table of pseudonyms
protects better, and ``cptdn train --forget-patients`` leaves the file out.

References
----------
RFC 7914 (scrypt).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from config.arrays import IndexArray
from config.atomic_files import write_atomically
from config.errors import ModelBundleError
from workers.bundles.bundle_files import TRAINING_PATIENTS

SALT_BYTES = 16
COST, BLOCK_SIZE, PARALLEL = 2**13, 8, 1
DIGEST_BYTES = 16


def write_training_patients(folder: Path, folds: Mapping[str, int]) -> None:
    """Write the digests of training patients into the folder of a bundle.

    Parameters
    ----------
    folder : Path
        Of the bundle.
    folds : mapping of str to int
        Patient -> the member that has not learned from the patient, 1 to K.
    """
    # Of the whole cohort and not drawn: the same training gives the same bundle, and two cohorts have other salts.
    salt = hashlib.sha256("\n".join(sorted(folds)).encode()).digest()[:SALT_BYTES]
    digests = dict(zip(_digests(salt, list(folds)), folds.values(), strict=True))
    # Sorted, so that the order of the cohort table is not in the file.
    document = {"salt": salt.hex(), "scrypt": [COST, BLOCK_SIZE, PARALLEL], "folds": dict(sorted(digests.items()))}
    write_atomically(folder / TRAINING_PATIENTS, json.dumps(document, indent=1) + "\n")


def training_folds(folder: Path, patient_ids: Sequence[str]) -> IndexArray | None:
    """Return which member has not learned from each patient.

    Parameters
    ----------
    folder : Path
        Of the bundle.
    patient_ids : sequence of str, length n
        As in the cohort table of the training.

    Returns
    -------
    int array, shape (n,), or None
        1 to K; 0 for patients that are not of the training. None: the bundle does not record its patients.

    Raises
    ------
    ModelBundleError
        The file cannot be read.
    """
    path = folder / TRAINING_PATIENTS
    if not path.is_file():
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        salt, folds = bytes.fromhex(document["salt"]), document["folds"]
        if document["scrypt"] != [COST, BLOCK_SIZE, PARALLEL]:
            raise ValueError(f"scrypt {document['scrypt']}")
        return np.array([int(folds.get(digest, 0)) for digest in _digests(salt, patient_ids)], dtype=np.intp)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelBundleError(f"{path}: expected digests of training patients, found: {error}") from error


def _digests(salt: bytes, patient_ids: Sequence[str]) -> list[str]:
    def digest(patient_id: str) -> str:
        return hashlib.scrypt(
            patient_id.encode(), salt=salt, n=COST, r=BLOCK_SIZE, p=PARALLEL, dklen=DIGEST_BYTES
        ).hex()

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:  # scrypt releases the interpreter's lock
        return list(pool.map(digest, patient_ids))
