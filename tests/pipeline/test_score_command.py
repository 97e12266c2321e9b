"""`cptdn score` where the series of a role is not clear: it names them, and `--role` decides."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import generate_uid

from node.cli.app import main
from workers.phantoms.dicom_study import write_phantom_study


def scored(capsys: pytest.CaptureFixture[str], study: Path, *more: str) -> tuple[int, str, str]:
    capsys.readouterr()
    folders = [str(folder) for folder in sorted(study.iterdir()) if folder.is_dir()]
    with pytest.raises(SystemExit) as ended:
        main(["score", *folders, "--rtstruct", str(study / "rtstruct.dcm"), "--ebv-dna", "6200", *more, "--json"])
    printed = capsys.readouterr()
    return int(ended.value.code or 0), printed.out, printed.err


def test_the_series_of_an_unclear_role_is_chosen_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A T1w in two averages of different noise: nothing in the headers says which one is meant."""
    written = write_phantom_study(
        tmp_path, seed=79, patient_id="P", birth_date=date(1979, 5, 17), study_date=date(2026, 3, 9)
    )
    second = generate_uid(entropy_srcs=["second T1w"])
    for path in written.series["T1w"]:
        ds = dcmread(path)
        ds.SeriesInstanceUID, ds.SeriesNumber = second, int(ds.SeriesNumber) + 50
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[ds.SOPInstanceUID])
        ds.PixelData = (ds.pixel_array * 0.9).astype("<u2").tobytes()
        (tmp_path / "second").mkdir(exist_ok=True)
        ds.save_as(tmp_path / "second" / path.name)
    code, _, error = scored(capsys, tmp_path)
    assert code == 1
    assert "Which series is the T1w needs a decision" in error
    assert "(series 2) and" in error
    assert "(series 52)" in error
    code, printed, error = scored(capsys, tmp_path, "--role", f"T1w={second}")
    assert code == 0, error
    used = {series["role"]: series["series_instance_uid"] for series in json.loads(printed)["series"]}
    # Of a bundle of five members 30 recomputations, of one member without what the report itself is.
    stability = json.loads(printed)["stability"]
    assert stability["of"] in (5, 30)
    assert stability["of"] == sum(part["of"] for part in stability["parts"])
    assert used == {**written.series_instance_uids, "T1w": second}
    code, _, error = scored(capsys, tmp_path, "--role", "T1=1.2.3")
    assert code == 2
    assert "expected ROLE=SERIES with ROLE one of T1w, T2w, CE-T1w" in error
