"""Scores of many patients by a bundle, from their patches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from config.arrays import Float32Array, FloatArray
from workers.bundles.bundle import Bundle
from workers.features.extraction import extract_many, resolve_device
from workers.nomogram.score_spread import ScoreSpread
from workers.scores.multitask_network import SEQUENCES
from workers.scores.scoring import Scores, score_many
from workers.training.patch_store import PatientPatches

PATIENTS_AT_ONCE = 64


@dataclass(frozen=True)
class EnsembleScores:
    """Scores of n patients by a bundle.

    Attributes
    ----------
    mean : Scores
        Of the members, shape (n,) each.
    spread : ScoreSpread or None
        Over the members; None for one.
    feature_distances : mapping of str to float64, shape (n,)
        By role.
    """

    mean: Scores
    spread: ScoreSpread | None
    feature_distances: Mapping[str, FloatArray]


def score_patches(
    bundle: Bundle, patient_ids: Sequence[str], read: Callable[[str], PatientPatches], device: str = "cpu"
) -> EnsembleScores:
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
    prognostic: list[FloatArray] = []
    predictive: list[FloatArray] = []
    distances: dict[str, list[float]] = {role: [] for role in SEQUENCES}
    # In blocks: the patches of a whole cohort do not fit in the memory of a small machine.
    for start in range(0, len(patient_ids), PATIENTS_AT_ONCE):
        bags = [read(patient_id) for patient_id in patient_ids[start : start + PATIENTS_AT_ONCE]]
        scores, features = [], []
        for member in bundle.members:
            rows = {}
            for role in SEQUENCES:
                patches = [member.patches_on_own_scale(role, _unit_patches(bag[role])) for bag in bags]
                deep = extract_many(patches, member.sequence_network(role), where)
                rows[role] = np.stack([patient.features for patient in deep])
            features.append(rows)
            scores.append(score_many(rows, member.score_network(), str(where)))
        prognostic.append(np.array([each.prognostic for each in scores]))
        predictive.append(np.array([each.predictive for each in scores]))
        for role in SEQUENCES:
            for at in range(len(bags)):
                distances[role].append(bundle.feature_distance(role, [rows[role][at] for rows in features]))
    both = np.concatenate(prognostic, axis=1), np.concatenate(predictive, axis=1)  # (members, n)
    return EnsembleScores(
        Scores(both[0].mean(axis=0), both[1].mean(axis=0)),
        ScoreSpread.of_members(*both),
        {role: np.array(values) for role, values in distances.items()},
    )


def _unit_patches(bag: NDArray[np.generic]) -> Float32Array:
    patches = np.asarray(bag, dtype=np.float32)
    return patches / np.float32(255) if bag.dtype == np.uint8 else patches
