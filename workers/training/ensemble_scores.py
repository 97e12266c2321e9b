"""Scores of many patients by a bundle, from their patches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from config.arrays import Float32Array, FloatArray
from workers.bundles.bundle import Bundle
from workers.features.extraction import extract_many, resolve_device
from workers.nomogram.score_error import ScoreError, score_error_of
from workers.scores.ensemble import EnsembleScores, score_by_ensemble
from workers.scores.multitask_network import SEQUENCES
from workers.scores.scoring import Scores
from workers.stability.variants import DrawnStudy
from workers.training.patch_store import PatientPatches

PATIENTS_AT_ONCE = 64


@dataclass(frozen=True)
class PatientScores:
    """Scores of n patients by a bundle.

    Attributes
    ----------
    mean : Scores
        Of the members, shape (n,) each.
    error : ScoreError or None
        Standard errors; None for a bundle with one member.
    by_member : Scores
        Shape (K, n) each.
    feature_distances : mapping of str to float64, shape (n,)
        By role.
    """

    mean: Scores
    error: ScoreError | None
    by_member: Scores
    feature_distances: Mapping[str, FloatArray]


@dataclass(frozen=True)
class ScoredBlock:
    """Some consecutive patients of a cohort, with what was computed from their patches.

    Attributes
    ----------
    rows : slice
        Of the cohort.
    studies : sequence of DrawnStudy
        One for each patient.
    scores : EnsembleScores
        Of these patients, in their order.
    """

    rows: slice
    studies: Sequence[DrawnStudy]
    scores: EnsembleScores


def score_patches(
    bundle: Bundle,
    patient_ids: Sequence[str],
    read: Callable[[str], PatientPatches],
    device: str = "cpu",
    visit: Callable[[ScoredBlock], None] = lambda block: None,
) -> PatientScores:
    """Score patients from their patches, a block at a time.

    Parameters
    ----------
    bundle : Bundle
        The model.
    patient_ids : sequence of str, length n
        In this order.
    read : callable
        patient_id -> patches by role, uint8 (0..255) or floats in 0..1, on the bundle's grey scale.
    device : str
        As in the settings.
    visit : callable
        Called with each block; what it does not keep is given up, since patches and the features of all slices of a
        whole cohort do not fit in the memory of a small machine.
    """
    where = resolve_device(device)
    networks = [member.score_network() for member in bundle.members]
    features: list[dict[str, list[Float32Array]]] = [{role: [] for role in SEQUENCES} for _ in bundle.members]
    blocks: list[EnsembleScores] = []
    for start in range(0, len(patient_ids), PATIENTS_AT_ONCE):
        rows = slice(start, min(start + PATIENTS_AT_ONCE, len(patient_ids)))
        studies = _drawn_studies(bundle, [read(patient_id) for patient_id in patient_ids[rows]], where)
        own = [
            {role: np.stack([study.deep[number][role].features for study in studies]) for role in SEQUENCES}
            for number in range(len(networks))
        ]
        for by_role, of_block in zip(features, own, strict=True):
            for role in SEQUENCES:
                by_role[role].append(of_block[role])
        blocks.append(score_by_ensemble(own, networks, str(where)))
        visit(ScoredBlock(rows, studies, blocks[-1]))
    scores = EnsembleScores.joined(blocks)
    whole = [{role: np.concatenate(of_role) for role, of_role in by_role.items()} for by_role in features]
    distances = {
        role: np.array([bundle.feature_distance(role, own) for own in zip(*(m[role] for m in whole), strict=True)])
        for role in SEQUENCES
    }
    return PatientScores(scores.mean, score_error_of(scores), scores.by_member, distances)


def _drawn_studies(bundle: Bundle, saved: Sequence[PatientPatches], where: torch.device) -> list[DrawnStudy]:
    """Compute the features of every slice of some patients by every member, each sequence in one call."""
    bags = [{role: unit_patches(patient[role]) for role in SEQUENCES} for patient in saved]
    by_member = [
        {
            role: extract_many(
                [member.patches_on_own_scale(role, patient[role]) for patient in bags],
                member.sequence_network(role),
                where,
            )
            for role in SEQUENCES
        }
        for member in bundle.members
    ]
    return [
        DrawnStudy(patient, [{role: member[role][number] for role in SEQUENCES} for member in by_member])
        for number, patient in enumerate(bags)
    ]


def unit_patches(bag: NDArray[np.generic]) -> Float32Array:
    """Return saved patches as floats in 0..1: uint8 (0..255) divided, floats as they are."""
    patches = np.asarray(bag, dtype=np.float32)
    return patches / np.float32(255) if bag.dtype == np.uint8 else patches
