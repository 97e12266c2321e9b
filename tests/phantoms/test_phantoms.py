"""Phantoms: the same by seed, readable as a cohort, and the same patches from arrays as from DICOM."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from config.sections import CaseSettings
from workers.phantoms.dicom_study import LOWEST_MM, MATRIX, N_SLICES, SPACING_MM, THICKNESS_MM, write_study
from workers.phantoms.images import ROLES, TRAINING_SCANNERS, Grid, render, tissues, tumour_mask
from workers.phantoms.population import Truth, draw_patient, patient_rng, published_nomogram
from workers.phantoms.writing import PhantomCohort, fit_templates, phantom_patches, subject_of, write_cohort
from workers.scores.multitask_network import SEQUENCES
from workers.survival.cohort import read_cohort
from workers.training.cohort_outcomes import OUTCOME_ENDPOINTS
from workers.training.dicom_images import DicomPatchReader, TrainingPreprocessing, patient_images, patient_landmarks
from workers.training.patch_store import saved_patch_reader
from workers.training.phantom_evaluation import read_truth
from workers.volumes.intensity import IntensityTemplate
from workers.volumes.landmarks import landmarks_of
from workers.volumes.patches import extract_patches

SEED = 5


def test_the_same_seed_makes_the_same_images() -> None:
    cohort, nomogram = PhantomCohort(2, SEED), published_nomogram()
    templates = fit_templates(cohort)
    first, again = phantom_patches(0, cohort, nomogram, templates), phantom_patches(0, cohort, nomogram, templates)
    other_scanner = phantom_patches(0, PhantomCohort(2, SEED, scanners="other"), nomogram, templates)
    assert first[0] == again[0] == other_scanner[0]
    for role in ROLES:
        np.testing.assert_array_equal(first[1][role], again[1][role])
        assert first[1][role].shape[1:] == (2, 128, 128)
        assert not np.array_equal(first[1][role], other_scanner[1][role])
    assert draw_patient(SEED + 1, 0, nomogram) != first[0]


def test_a_written_cohort_is_read_back(tmp_path: Path) -> None:
    write_cohort(PhantomCohort(3, SEED), tmp_path)
    cohort = read_cohort(tmp_path / "cohort.csv", need_scores=False, endpoints=OUTCOME_ENDPOINTS)
    assert len(cohort) == 3
    read = saved_patch_reader(tmp_path / "patches")
    bags = [read(patient_id) for patient_id in cohort.patient_ids]
    assert all(set(one) == set(SEQUENCES) for one in bags)
    assert set(np.unique(bags[0]["T2w"][:, 1])) == {0, 255}  # the mask
    truth = read_truth(tmp_path / "truth.csv", cohort.patient_ids)
    assert {len(column) for column in truth.values()} == {3}
    kept = (tmp_path / "patches" / f"{cohort.patient_ids[0]}.npz").stat().st_mtime_ns
    write_cohort(PhantomCohort(3, SEED), tmp_path)  # goes on where it stood
    assert (tmp_path / "patches" / f"{cohort.patient_ids[0]}.npz").stat().st_mtime_ns == kept


def test_dicom_gives_the_patches_that_the_arrays_give(tmp_path: Path) -> None:
    phantom = draw_patient(SEED, 0, published_nomogram())
    write_study(phantom, tmp_path / "P1", "P1", seed=SEED, number=0)
    patient = patient_images(tmp_path / "P1", "P1")
    landmarks = patient_landmarks(patient, SEQUENCES)
    templates = {role: IntensityTemplate.from_landmarks([row]) for role, row in landmarks.items()}
    from_dicom = DicomPatchReader(tmp_path, TrainingPreprocessing(templates, 1.0), CaseSettings())("P1")
    subject = subject_of(phantom, SEED, 0)
    across = ((np.arange(MATRIX) - (MATRIX - 1) / 2) * SPACING_MM).astype(np.float32)
    grid = Grid(across, across, (LOWEST_MM + THICKNESS_MM * np.arange(N_SLICES)).astype(np.float32))
    labels, mask = tissues(subject.head, grid), tumour_mask(subject.tumour, grid)
    for role in SEQUENCES:
        rng = patient_rng(SEED, 0, 10 + ROLES.index(role))
        image = np.round(np.clip(render(subject, role, grid, labels, TRAINING_SCANNERS, rng), 0, 4095))
        standardise = templates[role].map_for(landmarks_of(image))
        patches, _ = extract_patches(image, mask, (SPACING_MM, SPACING_MM), 1.0, standardise=standardise)
        assert from_dicom[role].shape == patches.shape
        ours, theirs = from_dicom[role][:, 1] > 0, patches[:, 1] > 0
        assert 2 * (ours & theirs).sum() / (ours.sum() + theirs.sum()) > 0.95
        assert np.abs(from_dicom[role][:, 0] - patches[:, 0]).mean() < 0.02


def test_a_folder_without_a_contour_is_named(tmp_path: Path) -> None:
    from config.errors import InputError

    write_study(draw_patient(SEED, 0, published_nomogram()), tmp_path / "P1", "P1", seed=SEED, matrix=160)
    (tmp_path / "P1" / "rtstruct.dcm").unlink()
    with pytest.raises(InputError, match=r"patient P1: expected an RTSTRUCT or SEG .*P1: .*contour"):
        patient_images(tmp_path / "P1", "P1")
    with pytest.raises(InputError, match=r"patient P2: expected a folder of DICOM files .*P2, found none"):
        patient_images(tmp_path / "P2", "P2")


def test_flipped_labels_change_the_treatment_alone() -> None:
    nomogram = published_nomogram()
    for i in range(20):
        plain = draw_patient(SEED, i, nomogram)
        flipped = draw_patient(SEED, i, nomogram, truth=Truth(flipped=True))
        changed = {name for name in plain.record if plain.record[name] != flipped.record[name]}
        assert changed == {"treatment"}


def test_the_truth_has_the_interaction_that_was_asked_for() -> None:
    nomogram = published_nomogram()
    with_it = Counter(draw_patient(SEED, i, nomogram).benefit > 0 for i in range(200))
    without = Counter(draw_patient(SEED, i, nomogram, truth=Truth(interaction_scale=0)).benefit > 0 for i in range(200))
    assert min(with_it[True], with_it[False]) > 40
    assert len(without) == 1
