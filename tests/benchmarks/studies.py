"""The study that benchmarks compute: a phantom with three series of 40 slices of 512 x 512 pixels and a contour."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from pydicom import dcmread

from config.settings import EligibilitySettings, Settings
from workers.phantoms.dicom_study import WrittenStudy, write_study
from workers.phantoms.population import draw_patient, published_nomogram

SLICES, MATRIX = 40, 512


def large_study(folder: Path, patient_id: str = "BENCH-1", seed: int = 1, number: int = 0) -> WrittenStudy:
    """Rendered with half as many pixels a side, since phantoms end there; each is then four of half the spacing."""
    phantom = draw_patient(seed, number, published_nomogram())
    study = write_study(
        phantom, folder, patient_id, study_datetime=datetime.now(UTC).replace(tzinfo=None, microsecond=0),
        n_slices=SLICES, matrix=MATRIX // 2, seed=seed, number=number,
    )  # fmt: skip
    for paths in study.series.values():
        for path in paths:
            _divide_pixels(path)
    return study


def _divide_pixels(path: Path) -> None:
    ds = dcmread(path)
    pixels = ds.pixel_array.repeat(2, axis=0).repeat(2, axis=1)
    spacing = float(ds.PixelSpacing[0])
    x, y, z = (float(value) for value in ds.ImagePositionPatient)
    ds.Rows, ds.Columns = pixels.shape
    ds.PixelSpacing = [spacing / 2, spacing / 2]
    ds.ImagePositionPatient = [x - spacing / 4, y - spacing / 4, z]
    ds.PixelData = pixels.tobytes()
    ds.save_as(path)


def lenient() -> Settings:
    """Settings under which a phantom is scored without a stage."""
    return Settings(eligibility=EligibilitySettings(stage_unknown="report_unverified"))
