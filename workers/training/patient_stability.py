"""How stable the answer of one patient is, from saved patches."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from config.decision_policy import DecisionPolicy
from workers.bundles.bundle import Bundle
from workers.features.extraction import extract_many
from workers.scores.multitask_network import SEQUENCES
from workers.stability.held_answers import held_answers
from workers.stability.variants import variant_scores
from workers.survival.covariates import PatientCovariates
from workers.training.ensemble_scores import unit_patches
from workers.training.patch_store import PatientPatches

PatchReader = Callable[[str], PatientPatches]


def held_share(
    bundle: Bundle, saved: PatientPatches, patient: PatientCovariates, horizon_months: float, policy: DecisionPolicy
) -> float:
    """Return the share of recomputations in which the answer of one patient holds, as `workers.stability` counts them.

    Parameters
    ----------
    bundle : Bundle
        The model.
    saved : PatientPatches
        By role, uint8 or floats, on the bundle's grey scale.
    patient : PatientCovariates
        One patient, with the scores of the bundle.
    horizon_months : float
        Of the decision.
    policy : DecisionPolicy
        Its threshold counts.
    """
    patches = {role: unit_patches(saved[role]) for role in SEQUENCES}
    as_drawn = [
        {
            role: extract_many([member.patches_on_own_scale(role, bag)], member.sequence_network(role))[0]
            for role, bag in patches.items()
        }
        for member in bundle.members
    ]
    variants = variant_scores(patches, as_drawn, bundle.members, bundle.spacing_mm, "cpu")
    category = bool(np.asarray(patient.ebv_dna_gt_threshold).item())
    parts = held_answers(variants, patient, [category], bundle.nomogram, horizon_months, policy.threshold)
    return sum(part.held for part in parts) / sum(part.of for part in parts)


def covariates_of(patients: PatientCovariates, row: int) -> PatientCovariates:
    """Return the covariates of one of n patients."""
    columns = (
        patients.age_years, patients.ebv_dna_gt_threshold, patients.prognostic_score, patients.predictive_score,
    )  # fmt: skip
    return PatientCovariates(*(float(np.asarray(column)[row]) for column in columns))
