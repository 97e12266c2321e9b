"""Scores of many patients by a bundle, from their patches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from config.arrays import Float32Array, FloatArray
from workers.bundles.bundle import Bundle
from workers.features.extraction import extract_many, resolve_device
from workers.nomogram.score_error import ScoreError, score_error_of
from workers.scores.ensemble import score_by_ensemble
from workers.scores.multitask_network import SEQUENCES
from workers.scores.scoring import Scores
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


def score_patches(
    bundle: Bundle, patient_ids: Sequence[str], read: Callable[[str], PatientPatches], device: str = "cpu"
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
    """
    where = resolve_device(device)
    features: list[dict[str, list[Float32Array]]] = [{role: [] for role in SEQUENCES} for _ in bundle.members]
    # In blocks: the patches of a whole cohort do not fit in the memory of a small machine.
    for start in range(0, len(patient_ids), PATIENTS_AT_ONCE):
        bags = [read(patient_id) for patient_id in patient_ids[start : start + PATIENTS_AT_ONCE]]
        for member, by_role in zip(bundle.members, features, strict=True):
            for role in SEQUENCES:
                patches = [member.patches_on_own_scale(role, unit_patches(bag[role])) for bag in bags]
                deep = extract_many(patches, member.sequence_network(role), where)
                by_role[role] += [patient.features for patient in deep]
    rows = [{role: np.stack(of_role) for role, of_role in by_role.items()} for by_role in features]
    scores = score_by_ensemble(rows, [member.score_network() for member in bundle.members], str(where))
    distances = {
        role: np.array([bundle.feature_distance(role, own) for own in zip(*(m[role] for m in rows), strict=True)])
        for role in SEQUENCES
    }
    return PatientScores(scores.mean, score_error_of(scores), scores.by_member, distances)


def unit_patches(bag: NDArray[np.generic]) -> Float32Array:
    """Return saved patches as floats in 0..1: uint8 (0..255) divided, floats as they are."""
    patches = np.asarray(bag, dtype=np.float32)
    return patches / np.float32(255) if bag.dtype == np.uint8 else patches
