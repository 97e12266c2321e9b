"""The public set of 277 patients, tried on a mock of its layout: phantoms without dates and names, masks as NIfTI."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import dcmread

from config.errors import InputError
from node.cli.app import main
from workers.phantoms.dicom_study import study_grid, write_study
from workers.phantoms.images import tumour_mask
from workers.phantoms.population import draw_patient, published_nomogram
from workers.phantoms.writing import subject_of
from workers.survival.cohort import read_cohort
from workers.training.npc277 import MASKS, SERIES, mask_on_series, patients_folder
from workers.training.npc277_table import read_clinical_table
from workers.training.patient_problems import UnusableImagesError
from workers.volumes.reader import read_series

SEED, MATRIX = 8, 64
BLANKED = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "PatientAge", "StudyDate", "SeriesDate",
           "AcquisitionDate", "ContentDate", "InstitutionName")  # fmt: skip
TABLE = """ID,Gender,Age,TNM,EBV DNA (copies/mL),Treatment,DFS months,DFS status,Biopsy
1,male,44,T3N1M0,12000,CCRT,61.5,0,type III
2,F,52,T4N2M0,not detected,IC+CCRT,20,1,type III
3,F,39,T2N1M0,300,CCRT,70,0,type II
4,M,61,T3N1M0,,surgery,12,1,type III
"""


@pytest.fixture(scope="module")
def mock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Patients 001 to 003, the last one without a mask of T2w."""
    root = tmp_path_factory.mktemp("primary_data")
    nomogram = published_nomogram()
    for number in (1, 2, 3):
        phantom = draw_patient(SEED, number, nomogram)
        study = write_study(phantom, root / "dicom", f"{number}", seed=SEED, number=number, matrix=MATRIX)
        patient = root / "data" / "MRI-Segments" / f"{number:03d}"
        tumour = tumour_mask(subject_of(phantom, SEED, number).tumour, study_grid(matrix=MATRIX))
        for role, paths in study.series.items():
            folder = patient / SERIES[role]
            folder.mkdir(parents=True)
            for path in paths:
                ds = dcmread(path)
                for name in BLANKED:
                    if name in ds:
                        setattr(ds, name, "")
                ds.save_as(folder / path.name)
            mask = sitk.GetImageFromArray(tumour.astype(np.uint8))
            mask.CopyInformation(read_series(sorted(folder.glob("*.dcm"))).image)
            if (number, role) != (3, "T2w"):
                # Slices from the top downwards: the same place in the patient, the reverse order in the file.
                sitk.WriteImage(mask[:, :, ::-1], str(patient / MASKS[role]))
    (root / "clinical.csv").write_text(TABLE)
    return root


def test_the_mock_becomes_a_cohort_with_patches(mock: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["cohort", "import-npc277", str(mock), "--clinical", str(mock / "clinical.csv"), "--out", str(tmp_path)]
    with pytest.raises(SystemExit) as stopped:
        main([*command, "--json"])
    assert not stopped.value.code
    said = json.loads(capsys.readouterr().out)
    assert (said["n"], said["absent"], said["unused"]) == (2, [], ["Biopsy"])
    assert [(problem["patient_id"], problem["kind"]) for problem in said["problems"]] == [("003", "missing_contour")]
    cohort = read_cohort(tmp_path / "cohort.csv", need_scores=False)
    assert cohort.patient_ids == ("001", "002")
    assert cohort.treated.tolist() == [False, True]
    assert cohort.column("ebv_dna_gt_4000").tolist() == [1, 0]
    assert cohort.outcome("dfs").durations_days.tolist() == [1845, 600]  # months of 30 days
    assert cohort.texts["stage"] == ("T3N1M0", "T4N2M0")
    for number, patient in ((1, "001"), (2, "002")):
        tumour = tumour_mask(subject_of(draw_patient(SEED, number, published_nomogram()), SEED, number).tumour,
                             study_grid(matrix=MATRIX))  # fmt: skip
        area_mm2 = tumour.sum(axis=(1, 2)) * (0.9 * 256 / MATRIX) ** 2
        with np.load(tmp_path / "patches" / f"{patient}.npz") as archive:
            for key in ("t1w", "t2w", "ce_t1w"):
                masks = archive[key][:, 1].astype(float)
                # At 1 mm a pixel is a square millimetre; a lesion of few coarse pixels changes by its rim.
                assert masks.sum() == pytest.approx(area_mm2.sum(), rel=0.15)
                assert len(masks) == np.count_nonzero(area_mm2)


def test_a_mask_at_another_place_is_named(mock: Path, tmp_path: Path) -> None:
    patient = mock / "data" / "MRI-Segments" / "001"
    series = read_series(sorted((patient / SERIES["T1w"]).glob("*.dcm")))
    inside = mask_on_series(patient, "T1w", series)
    mask = sitk.ReadImage(str(patient / MASKS["T1w"]))
    assert inside.sum() == sitk.GetArrayFromImage(mask).sum()
    mask.SetOrigin([value + 300 for value in mask.GetOrigin()])
    moved = tmp_path / "001"
    moved.mkdir()
    sitk.WriteImage(mask, str(moved / MASKS["T1w"]))
    with pytest.raises(UnusableImagesError, match=r"images around the whole contour, found ROI-T1.nii: 0.0 of"):
        mask_on_series(moved, "T1w", series)


@pytest.mark.parametrize(
    ("table", "named", "said"),
    [
        (TABLE.replace("ID,", "Nickname,"), {}, r"expected a column for patient_id, found Nickname, Gender.*--column"),
        (TABLE.replace(",Age,", ",Years,"), {}, "expected a column for age_years"),
        (TABLE, {"age_years": "Years"}, "expected the column Years, found ID"),
        (TABLE, {"age": "Age"}, "--column age=Age: expected one of patient_id"),
        (TABLE.replace("male", "1"), {}, "patient 001, column Gender: expected a value for sex, found '1'"),
        (TABLE.replace("61.5", "alive"), {}, "column DFS months: expected a value for dfs_months, found 'alive'"),
        (TABLE.replace("Biopsy", "Sex"), {}, "expected one column for sex, found Gender and Sex"),
    ],
)
def test_an_unknown_table_is_one_sentence(tmp_path: Path, table: str, named: dict[str, str], said: str) -> None:
    (tmp_path / "clinical.csv").write_text(table)
    with pytest.raises(InputError, match=said):
        read_clinical_table(tmp_path / "clinical.csv", named, "external")


def test_what_the_table_does_not_have_stays_out(tmp_path: Path) -> None:
    # Survival without a unit, and EBV DNA without one, are not guessed.
    (tmp_path / "clinical.csv").write_text("No.,Age,EBV DNA,DFS\n1,44,12000,61\n")
    table = read_clinical_table(tmp_path / "clinical.csv", {}, "external")
    assert table.rows == ({"patient_id": "001", "cohort": "external", "age_years": "44"},)
    assert set(table.unused) == {"EBV DNA", "DFS"}
    assert {"treatment", "ebv_dna_gt_4000", "dfs_days", "dfs_event"} <= set(table.absent)
    named = read_clinical_table(tmp_path / "clinical.csv", {"ebv_dna": "EBV DNA", "dfs_months": "DFS"}, "external")
    assert (named.rows[0]["ebv_dna_gt_4000"], named.rows[0]["dfs_days"]) == ("1", "1830")
    with pytest.raises(InputError, match=r"expected the clinical table as CSV, found .*clinical\.xlsx: save the sheet"):
        read_clinical_table(tmp_path / "clinical.xlsx", {}, "external")


def test_another_layout_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(InputError, match=r"expected MRI-Segments/001/T1WI with DICOM .*, found no such folder"):
        patients_folder(tmp_path)
