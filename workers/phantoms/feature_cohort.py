"""Phantoms without images: features that carry the latents, for testing the multi-task training alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.phantoms.population import PhantomPatient, Truth, draw_patient, published_nomogram
from workers.training.cohort_outcomes import outcomes_from_columns
from workers.training.losses import Outcomes

N_CARRIERS = 0.25  # share of features that carry a latent
LATENT_NOISE = 0.25  # of each sequence's view of the latents, in standard deviations
FEATURE_NOISE = 1.0  # of each feature, in standard deviations of what it carries


@dataclass(frozen=True)
class FeaturePhantoms:
    """Phantoms with deep features of three sequences.

    Attributes
    ----------
    patients : tuple of PhantomPatient, length n
        Facts and truth.
    features : float32 array, shape (n, 3 * n_features)
        Sequence after sequence.
    """

    patients: tuple[PhantomPatient, ...]
    features: NDArray[np.float32]

    @property
    def outcomes(self) -> Outcomes:
        """Follow-up and treatment, as the losses use them."""
        names = self.patients[0].record
        return outcomes_from_columns({name: [p.record[name] for p in self.patients] for name in names})


def draw_features(n: int, seed: int, n_features: int = 128, truth: Truth | None = None) -> FeaturePhantoms:
    """Draw phantoms whose features are saturating mixtures of noisy views of both latents.

    Parameters
    ----------
    n, seed : int
        Number of patients, and the seed of their facts and noise.
    n_features : int
        Per sequence; a quarter of them carry a latent. The mixing is the same for all seeds, as one network's would be.
    truth : Truth, optional
        How survival depends on the latents.
    """
    nomogram = published_nomogram()
    patients = tuple(draw_patient(seed, i, nomogram, truth=truth) for i in range(n))
    # Standardised by the deviations of the published scores, so that both latents are equally visible.
    latents = np.array([[p.prognostic / 0.48, p.predictive / 0.55] for p in patients])
    # The mixing is the same for all cohorts: a network trained on one seed must work on another.
    mixing = np.random.default_rng(7)
    rng = np.random.default_rng([seed, 1])
    blocks = []
    for _ in range(3):
        views = latents + LATENT_NOISE * rng.standard_normal(latents.shape)
        weights = mixing.normal(0, 1, (2, n_features)) * (mixing.random((2, n_features)) < N_CARRIERS)
        carried = np.tanh(0.7 * views @ weights + mixing.normal(0, 0.5, n_features))
        blocks.append(carried + FEATURE_NOISE * 0.5 * rng.standard_normal(carried.shape))
    return FeaturePhantoms(patients, np.concatenate(blocks, axis=1).astype(np.float32))
