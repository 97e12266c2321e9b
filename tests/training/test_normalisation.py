"""Grey values by another rule: kept in the bundle, applied alike in training and service."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from config.errors import InputError, ModelBundleError
from workers.phantoms.dicom_study import write_cohort_studies
from workers.phantoms.writing import PhantomCohort, write_tables
from workers.scores.multitask_network import SEQUENCES
from workers.survival.cohort import Cohort, read_cohort
from workers.training.dicom_images import patient_images, patient_landmarks
from workers.training.image_source import image_source, normalisation_of
from workers.volumes.bias_field import bias_field
from workers.volumes.intensity import IntensityTemplate, z_score_map
from workers.volumes.landmarks import foreground_threshold, landmarks_of
from workers.volumes.reader import read_series
from workers.volumes.series_patches import extract_series_patches


def head(gain: float = 1.0, offset: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(0)
    image = rng.normal(20, 4, (6, 60, 60))
    image[:, 10:50, 10:50] = rng.normal(400, 60, (6, 40, 40))
    return gain * image + offset


def test_z_scores_are_those_of_the_foreground() -> None:
    image = head()
    tissue = image[image > foreground_threshold(image)]
    found = z_score_map(image)(image)
    z = np.clip((image - tissue.mean()) / tissue.std(), -3, 5)
    np.testing.assert_allclose(found, (z + 3) / 8, atol=2e-3)


def test_z_scores_ignore_gain_and_offset() -> None:
    plain, other = (z_score_map(image)(image) for image in (head(), head(7.5, 100)))
    np.testing.assert_allclose(plain, other, atol=1e-5)


def test_a_template_remembers_its_kind() -> None:
    template = IntensityTemplate.from_landmarks([landmarks_of(head())], "z_score")
    again = IntensityTemplate.from_json(json.loads(json.dumps(template.to_json())))
    assert again == template
    np.testing.assert_array_equal(again.apply(head()), z_score_map(head())(head()))
    old = {name: value for name, value in template.to_json().items() if name != "kind"}
    assert IntensityTemplate.from_json(old).kind == "landmarks"
    with pytest.raises(ModelBundleError, match="expected the kind landmarks, n4_landmarks, z_score, found 'histogram'"):
        IntensityTemplate.from_json({**old, "kind": "histogram"})


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dicom")
    cohort = PhantomCohort(1, 11)
    write_tables(cohort, folder)
    write_cohort_studies(cohort, folder / "dicom")
    return folder


@pytest.fixture(scope="module")
def cohort(study: Path) -> Cohort:
    lines = (study / "cohort.csv").read_text().splitlines()
    columns = lines[0].split(",")
    other = lines[1].split(",")
    other[0] = "ANOTHER"
    at = columns.index("treatment")
    other[at] = "CCRT" if other[at] == "ICT+CCRT" else "ICT+CCRT"
    (study / "two.csv").write_text("\n".join([*lines, ",".join(other)]) + "\n")
    return read_cohort(study / "two.csv", need_scores=False).where(np.array([True, False]))


def test_the_training_cuts_patches_by_the_chosen_rule(study: Path, cohort: Cohort, tmp_path: Path) -> None:
    source = image_source(study / "dicom", normalisation="z_score", cache=tmp_path)(cohort)
    assert {template.kind for template in source.templates.values()} == {"z_score"}
    patient_id = cohort.patient_ids[0]
    patches = source.read_patches(patient_id)["T2w"]
    request = patient_images(study / "dicom" / patient_id, patient_id)
    series = read_series([request.files[uid] for uid, _ in request.request.series["T2w"]["instances"]])
    pixels = sitk.GetArrayFromImage(series.image)
    whole = z_score_map(pixels)(pixels)
    inside = patches[:, 1] > 0
    assert inside.any()
    # Every value inside the contour is one that the whole volume has (interpolated between neighbours at 1 mm).
    assert whole.min() <= patches[:, 0][inside].min()
    assert patches[:, 0][inside].max() <= whole.max()
    by_landmarks = image_source(study / "dicom")(cohort).read_patches(patient_id)["T2w"]
    assert np.abs(patches[:, 0] - by_landmarks[:, 0]).max() > 0.02

    journal = tmp_path / "examined.jsonl"
    line = json.loads(journal.read_text())
    line["landmarks"]["T2w"] = [value + 41 for value in line["landmarks"]["T2w"]]
    journal.write_text(json.dumps(line) + "\n")
    again = image_source(study / "dicom", normalisation="z_score", cache=tmp_path)(cohort)
    assert again.landmarks[patient_id]["T2w"] == pytest.approx(source.landmarks[patient_id]["T2w"] + 41)  # not read


def test_n4_comes_before_the_landmarks(study: Path, cohort: Cohort) -> None:
    patient_id = cohort.patient_ids[0]
    patient = patient_images(study / "dicom" / patient_id, patient_id)
    landmarks = patient_landmarks(patient, ["T1w"], "n4_landmarks")["T1w"]
    template = IntensityTemplate.from_landmarks([landmarks], "n4_landmarks")
    series = read_series([patient.files[uid] for uid, _ in patient.request.series["T1w"]["instances"]])
    corrected = sitk.GetArrayFromImage(series.image) / bias_field(series.image)
    assert template.corrects_bias
    assert template.distance(landmarks_of(corrected)) == pytest.approx(0, abs=1e-9)
    assert template.distance(landmarks_of(sitk.GetArrayFromImage(series.image))) > 1e-4

    mask = np.zeros_like(corrected, dtype=np.uint8)
    mask[10, 100:130, 100:130] = 1
    bag = extract_series_patches(series, mask, template, series.grid.spacing_xyz_mm[0])
    expected = template.map_for(landmarks_of(corrected))(corrected[10])
    # Equal spacings copy pixels: the middle of the mask lies at the middle of the patch.
    np.testing.assert_allclose(bag.patches[0, 0, 49:79, 49:79], expected[100:130, 100:130], atol=1e-4)


def test_kept_patches_have_theirs_already(tmp_path: Path) -> None:
    template = IntensityTemplate.from_landmarks([landmarks_of(head())], "z_score").to_json()
    (tmp_path / "templates.json").write_text(json.dumps(dict.fromkeys(SEQUENCES, template)))
    assert normalisation_of(tmp_path, None) == "z_score"
    assert normalisation_of(tmp_path / "nothing", None) == "landmarks"
    with pytest.raises(InputError, match="are normalised by z_score, expected landmarks; give the DICOM folders"):
        normalisation_of(tmp_path, "landmarks")
