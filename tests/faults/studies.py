"""Many small studies out of one: its bytes with other UIDs and Patient IDs, so that making them costs nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from pydicom import Dataset, dcmread

from workers.phantoms.dicom_study import write_study
from workers.phantoms.population import draw_patient, published_nomogram

PATIENT = "FAULT-000000"
N_SLICES, MATRIX = 9, 144  # the fewest slices of a volume, the coarsest pixels of a diagnostic image
FIRST, OTHERS = "T1w", ("T2w", "CE-T1w")


@dataclass(frozen=True)
class SmallStudy:
    """One study: its files in the order in which a scanner and a planning system would send them."""

    number: int
    patient_id: str
    study_instance_uid: str
    files: tuple[Path, ...]


class Template:
    """One phantom patient; `study(n)` writes the n-th copy, whose images are the same and whose identity is its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        phantom = draw_patient(11, 0, published_nomogram())
        written = write_study(
            phantom, folder / "template", PATIENT, date(1980, 2, 3), study_datetime=datetime(2026, 3, 9, 9, 30),
            seed=11, n_slices=N_SLICES, matrix=MATRIX,
        )  # fmt: skip
        self._study_uid = written.study_instance_uid
        self._files = {path: path.read_bytes() for path in written.files}
        uids = {uid for path in written.files for uid in _uids(dcmread(path))}
        assert len({uid[:-6] for uid in uids}) == len(uids)
        self._pattern = re.compile(b"|".join(re.escape(one.encode()) for one in sorted(uids, key=len, reverse=True)))

    def study(self, number: int) -> SmallStudy:
        patient, digits = f"FAULT-{number:06d}", f"{number:06d}".encode()

        def renumbered(found: re.Match[bytes]) -> bytes:
            return found.group()[:-6] + digits

        files = []
        for at, data in enumerate(self._files.values()):
            path = self.folder / f"{number:06d}" / f"{at:03d}.dcm"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(self._pattern.sub(renumbered, data.replace(PATIENT.encode(), patient.encode())))
            files.append(path)
        uid = self._study_uid[:-6] + digits.decode()
        return SmallStudy(number, patient, uid, tuple(files))


def _uids(ds: Dataset) -> set[str]:
    """Every UID of an object that is not a standard one."""
    found = {str(ds.file_meta.MediaStorageSOPInstanceUID)} if hasattr(ds, "file_meta") else set()
    for element in ds.iterall():
        if element.VR == "UI" and not str(element.value).startswith("1.2.840.10008"):
            found.add(str(element.value))
    return found
