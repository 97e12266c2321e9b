"""Variants of one small synthetic study: the same pictures under new UIDs, with whatever a test wants to be wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from workers.phantoms.dicom_study import WrittenStudy, write_study
from workers.phantoms.population import draw_patient, published_nomogram

STUDY_DATE = date(2026, 3, 9)
WELL_KNOWN = "1.2.840.10008."
CONTOUR = "contour"

# Role (or CONTOUR) and data set; gives the data set to be sent, or None for one that is left out.
Edit = Callable[[str, Dataset], Dataset | None]


@dataclass(frozen=True)
class Variant:
    """What is sent. paths : role (or CONTOUR) -> files."""

    study_instance_uid: str
    patient_id: str
    paths: dict[str, list[Path]]

    @property
    def files(self) -> list[Path]:
        return [path for paths in self.paths.values() for path in paths]

    def series(self, role: str) -> str:
        return str(dcmread(self.paths[role][0], stop_before_pixels=True).SeriesInstanceUID)

    def without(self, *roles: str) -> list[Path]:
        return [path for role, paths in self.paths.items() if role not in roles for path in paths]


def small_study(folder: Path) -> WrittenStudy:
    """Three series of eighteen slices and a structure set: quick to write, send and look at."""
    phantom = draw_patient(5, 0, published_nomogram())
    when = datetime.combine(STUDY_DATE, time(10, 0))
    return write_study(
        phantom, folder, "SMALL", date(1980, 2, 3), study_datetime=when, n_slices=18, matrix=144, seed=5
    )  # fmt: skip


def variant(source: WrittenStudy, folder: Path, patient_id: str, edit: Edit = lambda _role, ds: ds) -> Variant:
    """The study of another patient, with UIDs of its own, each object changed by `edit`."""
    folder.mkdir(parents=True, exist_ok=True)
    objects = [(role, path) for role, paths in source.series.items() for path in paths] + [(CONTOUR, source.rtstruct)]
    written: dict[str, list[Path]] = {}
    study = renamed(source.study_instance_uid, patient_id)
    for number, (role, path) in enumerate(objects):
        ds = dcmread(path)
        ds.PatientID = patient_id
        _rename_all(ds, patient_id)
        changed = edit(role, ds)
        if changed is not None:
            written.setdefault(role, []).append(save(changed, folder / f"{number:03d}.dcm"))
    return Variant(study, patient_id, written)


def renamed(uid: str, salt: str) -> str:
    return str(generate_uid(entropy_srcs=[salt, uid]))


def save(ds: Dataset, path: Path) -> Path:
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.save_as(path, enforce_file_format=True)
    return path


def _rename_all(ds: Dataset, salt: str) -> None:
    for element in ds:
        if element.VR == "SQ":
            for item in element.value:
                _rename_all(item, salt)
        elif element.VR == "UI" and element.value and not str(element.value).startswith(WELL_KNOWN):
            element.value = renamed(str(element.value), salt)


def only(*roles: str) -> Edit:
    """Keep these roles (and CONTOUR, where it is named)."""
    return lambda role, ds: ds if role in roles else None


def change(roles: Iterable[str], **values: object) -> Edit:
    """Set these keywords in all objects of these roles."""
    wanted = set(roles)

    def edit(role: str, ds: Dataset) -> Dataset:
        if role in wanted:
            for keyword, value in values.items():
                setattr(ds, keyword, value)
        return ds

    return edit
