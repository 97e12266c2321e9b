"""`cptdn contours` as an operator and as a program calls it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import dcmread

from node.cli.app import main
from tests.volumes.synthetic import SeriesGeometry, sphere_contours, write_rtstruct, write_series

GEOMETRY = SeriesGeometry((0.8, 0.8, 2.0), (-40, -40, -20))
SPHERE = sphere_contours(GEOMETRY, 20, np.array([1.0, 2.0, 0.0]), 12.0)


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    write_series(tmp_path / "mr", np.ones((20, 100, 100), np.uint16), GEOMETRY, frame_of_reference_uid="1.2.3")
    rtstruct = write_rtstruct(tmp_path / "rt.dcm", {"GTVp": SPHERE, "Empty": []}, "1.2.3")
    return str(rtstruct), str(tmp_path / "mr")


def output(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["contours", *arguments])
    assert not ended.value.code
    return capsys.readouterr().out


def test_one_roi_as_json(files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "mask.nii.gz"
    row = json.loads(output(capsys, *files, "--roi", "GTVp", "--out", str(out), "--json"))
    assert row["volume_ml"] == pytest.approx(4 / 3 * np.pi * 12**3 / 1000, rel=0.01)
    assert row["n_slices"] == 11
    np.testing.assert_allclose(row["centroid_lps_mm"], [1, 2, 0], atol=0.05)
    mask = sitk.ReadImage(str(out))
    assert mask.GetSize() == (100, 100, 20)
    np.testing.assert_allclose(mask.GetOrigin(), GEOMETRY.origin, atol=1e-4)
    counted = sitk.GetArrayFromImage(mask).sum() * 0.8 * 0.8 * 2 / 1000
    assert row["mask_volume_ml"] == pytest.approx(counted, abs=1e-4)


def test_all_rois(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(output(capsys, *files, "--json"))
    assert [(r["roi_name"], "volume_ml" in r) for r in document["rois"]] == [("GTVp", True), ("Empty", False)]
    assert document["rois"][1]["error"]["code"] == "missing_contour"
    table = output(capsys, *files)
    assert "GTVp" in table
    assert "Empty" in table


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--roi", "Nodes"], "expected one ROI 'Nodes', found 0"),
        (["--roi", "Empty"], "expected closed planar contours, found none"),
        (["--series", "1.9"], "expected series 1.9"),
        (["--roi", "GTVp", "--out", "/nowhere/at/all.nii.gz"], "cannot write the mask"),
    ],
)
def test_failures_are_one_sentence(
    files: tuple[str, str], arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["contours", *files, *arguments])
    assert ended.value.code == 1
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error


def test_of_several_series_in_a_folder_the_referenced_one_is_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "study"
    volume = np.ones((20, 100, 100), np.uint16)
    first = write_series(folder / "a", volume, GEOMETRY, series_uid="1.5.1", frame_of_reference_uid="1.2.3")
    write_series(folder / "b", volume, GEOMETRY, series_uid="1.5.2", frame_of_reference_uid="1.2.3")
    silent = write_rtstruct(tmp_path / "silent.dcm", {"GTVp": SPHERE}, "1.2.3")
    with pytest.raises(SystemExit):
        main(["contours", str(silent), str(folder)])
    assert "expected one series" in capsys.readouterr().err
    assert json.loads(output(capsys, str(silent), str(folder), "--series", "1.5.2", "--json"))["rois"][0]["volume_ml"]
    from workers.volumes.reader import read_series

    images = {round(f.position_lps_mm[2], 2): f.sop_instance_uid for f in read_series(first).frames}
    speaking = write_rtstruct(tmp_path / "speaking.dcm", {"GTVp": SPHERE}, "1.2.3", images=images)
    found = json.loads(output(capsys, str(speaking), str(folder), "--roi", "GTVp", "--json"))
    assert found["series"]["series_instance_uid"] == "1.5.1"


def test_a_mask_is_written_of_one_roi_only(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["contours", *files, "--out", "mask.nii.gz"])
    assert ended.value.code == 2  # wrong usage
    assert "found 2" in " ".join(capsys.readouterr().err.split())


def test_a_series_of_several_volumes_has_one_mask_on_the_grid_of_one(
    files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for at, path in enumerate(sorted((tmp_path / "mr").iterdir())):
        ds = dcmread(path)
        ds.EchoTime = 10
        ds.save_as(path)
        ds.EchoTime, ds.SOPInstanceUID = 90, f"1.2.3.{at}"
        ds.PixelData = bytes(len(ds.PixelData))
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        ds.save_as(path.with_name(f"second-{path.name}"))
    row = json.loads(output(capsys, *files, "--roi", "GTVp", "--json"))
    assert row["volume_ml"] == pytest.approx(4 / 3 * np.pi * 12**3 / 1000, rel=0.01)
    assert row["series"]["findings"] == [
        {"code": "volume_of_series", "text": "the series contains 2 volumes; the mask is on the grid of te-10"}
    ]
