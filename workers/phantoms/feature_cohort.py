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
    """A cohort of phantoms with deep features (n, 3 * n_features) of three sequences."""

    patients: tuple[PhantomPatient, ...]
    features: NDArray[np.float32]

    @property
    def outcomes(self) -> Outcomes:
        names = self.patients[0].record
        return outcomes_from_columns({name: [p.record[name] for p in self.patients] for name in names})


def draw_features(n: int, seed: int, n_features: int = 128, truth: Truth | None = None) -> FeaturePhantoms:
    """Phantoms whose features are saturating mixtures of noisy views of both latents; one mixing for all seeds."""
    nomogram = published_nomogram()
    patients = tuple(draw_patient(seed, i, nomogram, truth=truth) for i in range(n))
    latents = np.array([[p.prognostic / 0.48, p.predictive / 0.55] for p in patients])
    mixing = np.random.default_rng(7)
    rng = np.random.default_rng([seed, 1])
    blocks = []
    for _ in range(3):
        seen = latents + LATENT_NOISE * rng.standard_normal(latents.shape)
        weights = mixing.normal(0, 1, (2, n_features)) * (mixing.random((2, n_features)) < N_CARRIERS)
        carried = np.tanh(0.7 * seen @ weights + mixing.normal(0, 0.5, n_features))
        blocks.append(carried + FEATURE_NOISE * 0.5 * rng.standard_normal(carried.shape))
    return FeaturePhantoms(patients, np.concatenate(blocks, axis=1).astype(np.float32))
