"""Everything that can be wrong with a site's cohort, found in one reading and listed in one table."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import generate_uid

from node.cli.app import main
from workers.phantoms.dicom_study import write_study
from workers.phantoms.population import draw_patient, published_nomogram
from workers.phantoms.writing import PhantomCohort, write_tables
from workers.training.cohort_check import check_cohort, read_trainable
from workers.training.image_examination import ImageExaminer, examine_images
from workers.training.patch_store import PATCH_KEYS
from workers.volumes.intensity import IntensityTemplate

SEED = 3
Damage = Callable[[Path], object]


def rename_roi(folder: Path, before: str, after: str) -> None:
    contours = dcmread(folder / "rtstruct.dcm")
    for roi in contours.StructureSetROISequence:
        if roi.ROIName == before:
            roi.ROIName = after
    contours.save_as(folder / "rtstruct.dcm")


def move_frame_of_reference(folder: Path) -> None:
    contours, other = dcmread(folder / "rtstruct.dcm"), generate_uid()
    contours.FrameOfReferenceUID = other
    for frame in contours.ReferencedFrameOfReferenceSequence:
        frame.FrameOfReferenceUID = other
        frame.RTReferencedStudySequence = []
    for roi in contours.StructureSetROISequence:
        roi.ReferencedFrameOfReferenceUID = other
    for roi in contours.ROIContourSequence:
        for contour in roi.ContourSequence:
            contour.ContourImageSequence = []
    contours.save_as(folder / "rtstruct.dcm")


def give_new_study(folder: Path) -> None:
    study = generate_uid()
    for path in folder.rglob("*.dcm"):
        ds = dcmread(path)
        ds.StudyInstanceUID = study
        ds.save_as(path)


def truncate(folder: Path) -> None:
    image = sorted((folder / "T2w").glob("*.dcm"))[5]
    image.write_bytes(image.read_bytes()[:-3000])


# Name -> damage of the folder, kind of the problem, and a word of what was found.
IMAGE_DAMAGES: dict[str, tuple[Damage, str, str]] = {
    "no-folder": (shutil.rmtree, "missing_images", "none"),
    "no-series": (lambda folder: shutil.rmtree(folder / "T2w"), "missing_series", "T2w"),
    "two-contours": (lambda folder: rename_roi(folder, "GTVnd", "GTVp"), "ambiguous_roi", "GTVp"),
    "no-contour": (
        lambda folder: (folder / "rtstruct.dcm").unlink(),
        "missing_contour",
        "contour of the primary tumour is missing",
    ),
    "other-name": (lambda folder: rename_roi(folder, "GTVp", "Tongue"), "no_matching_roi", "Tongue"),
    "truncated": (truncate, "unreadable_instance", ".dcm"),
    "other-frame": (move_frame_of_reference, "frame_of_reference_mismatch", "frame"),
    "a-gap": (lambda folder: sorted((folder / "T1w").glob("*.dcm"))[5].unlink(), "missing_slice", "slice"),
    "no-dicom": (lambda folder: (folder / "notes.dcm").write_text("to do"), "unreadable_instance", "notes.dcm"),
}
# Patient -> column, text, kind of the problem.
TABLE_DAMAGES = {
    "no-outcome": ("dfs_event", "", "column_dfs_event"),
    "age-450": ("age_years", "450", "column_age_years"),
    "surgery": ("treatment", "surgery", "column_treatment"),
    "before-start": ("dfs_days", "-20", "column_dfs_days"),
}
CLEAN = ("clean-1", "clean-2", "clean-3")


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One patient for each damage of the images, one without images for each damage of a row; one study twice."""
    root = tmp_path_factory.mktemp("damaged")
    phantom = draw_patient(SEED, 0, published_nomogram())
    study = write_study(phantom, root / "study", "study", seed=SEED, matrix=160, n_slices=12).folder
    names = (*CLEAN, "copied", *IMAGE_DAMAGES, "twice", *TABLE_DAMAGES)
    rows = []
    for number, name in enumerate(names):
        followed = {"dfs_event": "1", "dfs_days": "2000", "treatment": ("CCRT", "ICT+CCRT")[number % 2]}
        rows.append({**phantom.record, "patient_id": name, **followed})
        if name in IMAGE_DAMAGES or name in CLEAN:
            shutil.copytree(study, root / "dicom" / name)
    rows.append(rows[names.index("twice")])
    by_name = {row["patient_id"]: row for row in rows}
    for name, (column, text, _) in TABLE_DAMAGES.items():
        by_name[name][column] = text
    for name, (damage, _, _) in IMAGE_DAMAGES.items():
        damage(root / "dicom" / name)
    for name in CLEAN[1:]:
        give_new_study(root / "dicom" / name)
    shutil.copytree(root / "dicom" / "clean-3", root / "dicom" / "copied")
    with (root / "cohort.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return root


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


def test_one_table_has_every_problem(damaged: Path, journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train", str(damaged / "cohort.csv"), "--images", str(damaged / "dicom"), "--check", "--json"]
    command += ["--folds", "2"]  # two of the patients have an event
    with pytest.raises(SystemExit) as stopped:
        main([*command, "--work", str(journal), "--processes", "1"])
    assert stopped.value.code == 1
    said = json.loads(capsys.readouterr().out)
    kinds = [(problem["patient_id"], problem["kind"]) for problem in said["problems"]]
    expected = [(name, kind) for name, (_, kind, _) in IMAGE_DAMAGES.items()]
    expected += [(name, kind) for name, (_, _, kind) in TABLE_DAMAGES.items()]
    expected += [(name, "missing_images") for name in (*TABLE_DAMAGES, "twice")]
    expected += [("twice", "duplicate_patient"), ("copied", "duplicate_images"), ("clean-3", "duplicate_images")]
    assert sorted(kinds) == sorted(expected)
    for problem in said["problems"]:
        assert problem["expected"]
        assert problem["action"]
        if problem["patient_id"] in IMAGE_DAMAGES:
            assert IMAGE_DAMAGES[problem["patient_id"]][2] in problem["found"]
    n_unusable = len({name for name, _ in expected})
    assert (said["n_patients"], said["n_unusable"]) == (n_unusable + 2, n_unusable)
    assert sum(said["by_reason"].values()) == n_unusable
    assert {path.name for path in journal.iterdir()} == {"examined.jsonl"}  # nothing is trained


def test_what_is_left_can_be_trained_on(damaged: Path, journal: Path) -> None:
    examiner = ImageExaminer(damaged / "dicom", is_dicom=True)
    read: list[int] = []
    check = check_cohort(
        damaged / "cohort.csv", examiner, journal / "examined.jsonl", lambda done, total: read.append(done)
    )
    assert not read  # the test before has read them all
    cohort, training = read_trainable(damaged / "cohort.csv", check.unusable)
    assert cohort.patient_ids == CLEAN[:2]
    assert training.all()
    assert check.left_out["n"] == len(check.unusable)
    assert not set(re.findall(r"[\w-]+", json.dumps(check.left_out))) & check.unusable  # identifiers are left out


def test_only_what_was_corrected_is_read_again(tmp_path: Path) -> None:
    good = {key: np.ones((1, 2, 128, 128), np.uint8) for key in PATCH_KEYS.values()}
    np.savez(tmp_path / "a.npz", **good)
    np.savez(tmp_path / "b.npz", t1w=good["t1w"])
    examiner, journal = ImageExaminer(tmp_path, is_dicom=False), tmp_path / "work" / "examined.jsonl"
    read: list[int] = []

    def examined() -> list[str]:
        read.clear()
        result = examine_images(examiner, ["a", "b"], journal, lambda done, total: read.append(done))
        return [images.problem.kind if images.problem else "" for images in result.values()]

    assert examined() == ["", "wrong_patches"]
    assert len(read) == 2
    np.savez(tmp_path / "b.npz", **{key: bag * 2 for key, bag in good.items()})
    # A kill in the middle of a line: it is cut off, not continued.
    with journal.open("a") as stream:
        stream.write('{"patient_id": "a", "sta')
    assert examined() == ["", ""]
    assert len(read) == 1
    assert examined() == ["", ""]
    assert not read


def test_saved_patches_are_checked_and_the_training_goes_on_without_some(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [patient.record["patient_id"] for patient in write_tables(PhantomCohort(24, 5), tmp_path)]
    patches = tmp_path / "patches"
    patches.mkdir()
    for number, name in enumerate(names):
        bags = {key: np.full((1, 2, 128, 128), number, np.uint8) for key in PATCH_KEYS.values()}
        np.savez(patches / f"{name}.npz", **bags)
    np.savez(patches / f"{names[0]}.npz", **{**bags, "t2w": bags["t2w"][..., :64]})
    np.savez(patches / f"{names[1]}.npz", **{role: bag for role, bag in bags.items() if role != "t1w"})
    (patches / f"{names[2]}.npz").write_bytes((patches / f"{names[3]}.npz").read_bytes()[:-2000])
    shutil.copy(patches / f"{names[5]}.npz", patches / f"{names[4]}.npz")
    template = IntensityTemplate.from_landmarks([np.arange(11.0)]).to_json()
    (patches / "templates.json").write_text(json.dumps(dict.fromkeys(PATCH_KEYS, template)))
    command = ["train", str(tmp_path / "cohort.csv"), "--images", str(patches), "--processes", "1"]
    with pytest.raises(SystemExit) as stopped:
        main([*command, "--check"])
    assert stopped.value.code == 1
    table = capsys.readouterr().out
    assert "T2w patches of shape (n, 2, 128, 128), n > 0" in table
    assert "5 of 24 patients cannot be used" in table
    assert table.count("wrong_patches") == 3
    with pytest.raises(SystemExit) as stopped:
        main([*command, "--out", str(tmp_path / "bundle")])
    assert stopped.value.code == 1
    assert f"patient {names[0]}: expected T2w patches" in capsys.readouterr().err
    assert not (tmp_path / "bundle").exists()
