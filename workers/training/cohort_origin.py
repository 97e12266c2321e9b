"""Which training patients are phantoms: several independent signs in the table, the images and beside them.

One sign suffices, so that a phantom whose name was changed, or whose patches were cut again, is still recognised. The
signs identify what this program drew; they do not protect against somebody who rewrites all of them on purpose.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from workers.training.patch_store import ORIGIN_KEY

PHANTOM = "synthetic phantom"  # value of the marker in saved patches and their templates
PHANTOM_ID = "PHANTOM-"  # how the identifiers of drawn patients begin
MANUFACTURER = "cptdn-node phantom generator"  # (0008,0070) of drawn images
COMMENTS = "SYNTHETIC PHANTOM - NOT A PATIENT"  # (0010,4000) and (0020,4000) of drawn images
BESIDE = ("phantoms.json", "truth.csv")  # what `cptdn phantom` writes beside cohort and images
_MENTIONED = re.compile(r"synthetic phantom", re.IGNORECASE)  # "synthetic T1w" is a real series
_HEADERS = ("Manufacturer", "PatientComments", "ImageComments", "StudyDescription", "SeriesDescription")


@dataclass(frozen=True)
class CohortOrigin:
    """How many training patients are patients and how many are phantoms, and by which signs.

    Attributes
    ----------
    patients, phantoms : int
        Together the training patients.
    signs : tuple of str
        Each sign that occurs, with its number of patients.
    """

    patients: int
    phantoms: int
    signs: tuple[str, ...] = ()

    def to_json(self) -> dict[str, int]:
        """Return the manifest's ``training_data.origin``."""
        return {"patients": self.patients, "phantoms": self.phantoms}


def cohort_origin(cohort_file: Path, images: Path | None, patient_ids: Sequence[str]) -> CohortOrigin:
    """Recognise the phantoms among the training patients.

    Parameters
    ----------
    cohort_file : Path
        The table.
    images : Path or None
        Folder of saved patches or of DICOM folders; None where there is none.
    patient_ids : sequence of str
        The training patients.

    Returns
    -------
    CohortOrigin
        A file of `BESIDE` next to the table, or in or next to the folder of images, counts for all patients, unless
        some are recognised one by one.
    """
    by_sign: dict[str, set[str]] = {"identifier": {p for p in patient_ids if p.upper().startswith(PHANTOM_ID)}}
    if images is not None:
        by_sign["marker in the saved patches"] = {p for p in patient_ids if _has_marker(images / f"{p}.npz")}
        by_sign["DICOM header"] = {p for p in patient_ids if _has_phantom_header(images / p)}
    recognised = set().union(*by_sign.values())
    beside = [name for name in BESIDE for folder in _folders(cohort_file, images) if (folder / name).is_file()]
    templates = images / "templates.json" if images is not None else None
    if templates is not None and templates.is_file() and PHANTOM in templates.read_text(encoding="utf-8"):
        beside.append(templates.name)
    if beside and not recognised:
        recognised = set(patient_ids)
    signs = [f"{sign} ({len(found)})" for sign, found in by_sign.items() if found]
    return CohortOrigin(
        len(patient_ids) - len(recognised), len(recognised), (*signs, *(f"file {name}" for name in sorted(set(beside))))
    )


def _folders(cohort_file: Path, images: Path | None) -> list[Path]:
    return [cohort_file.parent, *((images, images.parent) if images is not None else ())]


def _has_marker(path: Path) -> bool:
    if not path.is_file():
        return False
    try:
        with np.load(path, allow_pickle=False) as archive:
            return ORIGIN_KEY in archive and PHANTOM in str(archive[ORIGIN_KEY])
    except (ValueError, OSError):
        return False  # `saved_patch_reader` names a file that cannot be read


def _has_phantom_header(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    # The first and the last: an image and, as a rule, the contour. All files would be read twice for a whole cohort.
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in dict.fromkeys((*files[:1], *files[-1:])):
        try:
            header = dcmread(path, stop_before_pixels=True, specific_tags=list(_HEADERS))
        except (InvalidDicomError, OSError):
            continue
        texts = [str(header.get(keyword, "")) for keyword in _HEADERS]
        if MANUFACTURER in texts or COMMENTS in texts or any(_MENTIONED.search(text) for text in texts[-2:]):
            return True
    return False
