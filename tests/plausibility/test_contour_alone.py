"""What a structure set says against its own contour: specks, and organs in which the tumour cannot be."""

from __future__ import annotations

import copy
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from config.errors import IneligibleStudyError
from workers.phantoms.dicom_study import WrittenStudy, write_phantom_study
from workers.plausibility.contour_alone import require_outside_organs, require_tumour_volume
from workers.volumes.contour_source import contour_on_series
from workers.volumes.contours import RoiMask
from workers.volumes.reader import MrSeries, read_series


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> WrittenStudy:
    folder = tmp_path_factory.mktemp("study")
    day = date(2026, 3, 9)
    return write_phantom_study(
        folder, seed=79, patient_id="X", birth_date=date(1979, 5, 17), study_date=day, roles=["CE-T1w"]
    )


@pytest.fixture(scope="module")
def series(study: WrittenStudy) -> MrSeries:
    return read_series(study.series["CE-T1w"])


def changed(study: WrittenStudy, folder: Path, shift_mm: tuple[float, float], organ: str = "Brainstem") -> Path:
    dataset = dcmread(study.rtstruct)
    for roi in dataset.StructureSetROISequence:
        if roi.ROIName == "Brainstem":
            roi.ROIName = organ
    for contour in contours_of(dataset, "GTVp"):
        points = np.array([float(v) for v in contour.ContourData]).reshape(-1, 3) + np.array([*shift_mm, 0.0])
        contour.ContourData = [f"{v:.3f}" for v in points.ravel()]
    path = folder / "changed.dcm"
    dataset.save_as(path)
    return path


def contours_of(dataset: Dataset, name: str) -> list[Dataset]:
    number = next(roi.ROINumber for roi in dataset.StructureSetROISequence if roi.ROIName == name)
    return list(next(c for c in dataset.ROIContourSequence if c.ReferencedROINumber == number).ContourSequence)


def drawn(path: Path, series: MrSeries) -> RoiMask:
    return contour_on_series(path, "RTSTRUCT", 5, series)


def test_the_untouched_contour_is_outside_all_organs(study: WrittenStudy, series: MrSeries) -> None:
    assert require_outside_organs("CE-T1w", study.rtstruct, "RTSTRUCT", drawn(study.rtstruct, series)) == []


@pytest.mark.parametrize("organ", ["Brainstem", "脑干", "SpinalCord"])
def test_a_contour_in_a_named_organ_is_refused(
    study: WrittenStudy, series: MrSeries, tmp_path: Path, organ: str
) -> None:
    path = changed(study, tmp_path, (0, 45), organ)
    with pytest.raises(IneligibleStudyError, match=organ) as refused:
        require_outside_organs("CE-T1w", path, "RTSTRUCT", drawn(path, series))
    assert refused.value.code == "contour_in_organ"


def test_a_margin_around_an_organ_is_no_organ(study: WrittenStudy, series: MrSeries, tmp_path: Path) -> None:
    path = changed(study, tmp_path, (0, 45), "Brainstem_PRV")
    assert require_outside_organs("CE-T1w", path, "RTSTRUCT", drawn(path, series)) == []


def test_a_small_overlap_is_a_finding(study: WrittenStudy, series: MrSeries, tmp_path: Path) -> None:
    # The shared volume grows with the shift: the first one at which anything is said is a finding, not a refusal.
    for back_mm in np.arange(0, 45, 1.0):
        path = changed(study, tmp_path, (0, float(back_mm)))
        findings = require_outside_organs("CE-T1w", path, "RTSTRUCT", drawn(path, series))
        if findings:
            assert findings[0].code == "organ_overlap"
            assert "Brainstem" in findings[0].text
            return
    pytest.fail("expected a finding before the refusal")


def test_an_organ_that_cannot_be_read_is_no_reason_to_lose_the_tumour(
    study: WrittenStudy, series: MrSeries, tmp_path: Path
) -> None:
    dataset = dcmread(study.rtstruct)
    for contour in contours_of(dataset, "Brainstem"):
        contour.ContourData = contour.ContourData[:4]
    path = tmp_path / "damaged.dcm"
    dataset.save_as(path)
    assert require_outside_organs("CE-T1w", path, "RTSTRUCT", drawn(path, series)) == []


def test_a_speck_is_refused(study: WrittenStudy, series: MrSeries, tmp_path: Path) -> None:
    dataset = dcmread(study.rtstruct)
    sequence = next(c for c in dataset.ROIContourSequence if c.ReferencedROINumber == 5).ContourSequence
    speck = copy.deepcopy(sequence[5])
    x, y, z = (float(v) for v in speck.ContourData[:3])
    corners = [(x, y), (x + 1.5, y), (x + 1.5, y + 1.5), (x, y + 1.5)]
    speck.ContourData = [f"{v:.3f}" for cx, cy in corners for v in (cx, cy, z)]
    speck.NumberOfContourPoints = 4
    next(c for c in dataset.ROIContourSequence if c.ReferencedROINumber == 5).ContourSequence = [speck]
    path = tmp_path / "speck.dcm"
    dataset.save_as(path)
    with pytest.raises(IneligibleStudyError) as refused:
        require_tumour_volume("CE-T1w", drawn(path, series))
    assert refused.value.code == "implausible_volume"
    require_tumour_volume("CE-T1w", drawn(study.rtstruct, series))
