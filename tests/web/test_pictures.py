"""Pictures for the pages: the slice, its window and the contour where it belongs."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from config.errors import InputError
from config.settings import load_settings
from node.cases.headers import header_of
from node.ledger.cases import get_case, open_case
from node.ledger.database import now_utc, open_ledger
from node.ledger.tables import Instance
from workers.phantoms.dicom_study import ROI_NUMBERS, WrittenStudy, write_phantom_study
from workers.pipeline.context import WorkerContext
from workers.volumes.rtstruct import read_rtstruct
from workers.web.pictures import CONTOUR_COLOUR, draw_slice


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[WorkerContext, WrittenStudy]:
    """A study in ledger and store, its contour chosen, nothing computed yet."""
    root: Path = tmp_path_factory.mktemp("pictures")
    (root / "c.toml").write_text('[storage]\nroot = "data"\n')
    settings = load_settings(root / "c.toml")
    ledger = open_ledger(settings.ledger.url or "")
    context = WorkerContext(settings)
    context.store.prepare()
    written = write_phantom_study(
        settings.storage.root / "studies", seed=11, patient_id="P", birth_date=date(1980, 1, 1),
        study_date=date(2026, 1, 1),
    )  # fmt: skip
    with ledger.begin() as session:
        open_case(session, written.study_instance_uid, "P", "")
        case = get_case(session, written.study_instance_uid)
        for path in written.files:
            ds = dcmread(path, stop_before_pixels=True)
            session.add(
                Instance(
                    sop_instance_uid=ds.SOPInstanceUID, sop_class_uid=ds.SOPClassUID, transfer_syntax_uid="1.2",
                    study_instance_uid=ds.StudyInstanceUID, series_instance_uid=ds.SeriesInstanceUID,
                    modality=ds.Modality, patient_id="P", digest="0" * 64, size_bytes=1,
                    path=str(path.relative_to(settings.storage.root)), header=header_of(ds), calling_ae="PACS",
                    received_at=now_utc(),
                )
            )  # fmt: skip
        contour = dcmread(written.rtstruct, stop_before_pixels=True)
        case.assessment = {
            "contour": {
                "kind": "RTSTRUCT", "sop_instance_uid": contour.SOPInstanceUID, "digest": "0" * 64,
                "roi_number": ROI_NUMBERS["GTVp"], "roi_name": "GTVp",
            }
        }  # fmt: skip
    ledger.close()
    return context, written


def picture(context: WorkerContext, found: dict[str, object]) -> np.ndarray:
    return np.asarray(Image.open(context.store.path(str(found["path"]))))


def test_the_contour_lies_where_the_structure_set_says(stored: tuple[WorkerContext, WrittenStudy]) -> None:
    context, written = stored
    series = written.series_instance_uids["CE-T1w"]
    found = draw_slice(context, written.study_instance_uid, series, None, contour=True)
    drawn = picture(context, found)
    assert drawn.shape == (512, 512, 3)
    rows, columns = np.nonzero((drawn == CONTOUR_COLOUR).all(axis=2))
    # the same outline from the structure set's millimetres and the header of that slice
    roi = next(roi for roi in read_rtstruct(written.rtstruct) if roi.name == "GTVp")
    headers = sorted((dcmread(p) for p in written.series["CE-T1w"]), key=lambda ds: ds.ImagePositionPatient[2])
    ds = headers[int(str(found["index"]))]
    z = float(ds.ImagePositionPatient[2])
    outline = np.vstack([c.points_lps_mm for c in roi.contours if abs(c.points_lps_mm[0][2] - z) < 0.1])
    scale = 512 / (ds.Rows * float(ds.PixelSpacing[0]))
    x = (outline[:, 0] - ds.ImagePositionPatient[0]) * scale
    y = (outline[:, 1] - ds.ImagePositionPatient[1]) * scale
    tolerance = 2.5 * float(ds.PixelSpacing[0]) * scale
    assert [columns.min(), columns.max()] == pytest.approx([x.min(), x.max()], abs=tolerance)
    assert [rows.min(), rows.max()] == pytest.approx([y.min(), y.max()], abs=tolerance)


def test_a_slice_shows_its_own_grey_values(stored: tuple[WorkerContext, WrittenStudy]) -> None:
    context, written = stored
    series = written.series_instance_uids["T2w"]
    headers = sorted((dcmread(p) for p in written.series["T2w"]), key=lambda ds: ds.ImagePositionPatient[2])
    for index in (0, len(headers) // 2, len(headers) - 1):
        found = draw_slice(context, written.study_instance_uid, series, index, contour=False)
        assert (found["index"], found["n_slices"]) == (index, len(headers))
        drawn = np.asarray(Image.open(context.store.path(found["path"])).resize((256, 256)), dtype=np.float64)
        stored_pixels = headers[index].pixel_array.astype(np.float64)
        middle = slice(60, 200)
        assert np.corrcoef(drawn[middle, middle].ravel(), stored_pixels[middle, middle].ravel())[0, 1] > 0.97


def test_slices_beyond_the_ends_are_the_ends_and_pictures_are_kept(stored: tuple[WorkerContext, WrittenStudy]) -> None:
    context, written = stored
    series = written.series_instance_uids["T1w"]
    last = draw_slice(context, written.study_instance_uid, series, 10_000, contour=True)
    assert last["index"] == last["n_slices"] - 1
    path = context.store.path(last["path"])
    before = path.stat().st_mtime_ns
    assert draw_slice(context, written.study_instance_uid, series, 10_000, contour=True) == last
    assert path.stat().st_mtime_ns == before


def test_another_contour_has_pictures_of_its_own(stored: tuple[WorkerContext, WrittenStudy]) -> None:
    context, written = stored
    study, series = written.study_instance_uid, written.series_instance_uids["T1w"]
    first = draw_slice(context, study, series, None, contour=True)
    with context.ledger.begin() as session:
        case = get_case(session, study)
        case.assessment = {
            "contour": {**case.assessment["contour"], "digest": "1" * 64, "roi_number": ROI_NUMBERS["GTVnd"]}
        }
    second = draw_slice(context, study, series, None, contour=True)
    assert second["path"] != first["path"]
    assert second["contour_slices"] != first["contour_slices"]


def test_an_unknown_series_is_named(stored: tuple[WorkerContext, WrittenStudy]) -> None:
    context, written = stored
    with pytest.raises(InputError, match=r"has no series 9\.9"):
        draw_slice(context, written.study_instance_uid, "9.9", None, contour=True)
