"""Scores of an ensemble: mean over the members, and how uncertain it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from config.arrays import Float32Array, FloatArray
from workers.scores.multitask_network import MultitaskNetwork
from workers.scores.scoring import Scores, score_many, score_without_each_series


@dataclass(frozen=True)
class EnsembleScores:
    """Scores of n patients.

    Attributes
    ----------
    by_member : Scores
        Shape (K, n) each.
    without_series : Scores
        Shape (S, n) each: mean over the members, with the features of each of the S series replaced in turn.
    """

    by_member: Scores
    without_series: Scores

    @property
    def mean(self) -> Scores:
        """Mean over the members, shape (n,) each."""
        return Scores(self.by_member.prognostic.mean(axis=0), self.by_member.predictive.mean(axis=0))

    @classmethod
    def joined(cls, blocks: Sequence[EnsembleScores]) -> EnsembleScores:
        """Return the scores of the patients of all blocks, one block after the other."""
        return cls(_joined([each.by_member for each in blocks]), _joined([each.without_series for each in blocks]))


def score_by_ensemble(
    features: Sequence[Mapping[str, Float32Array]], networks: Sequence[MultitaskNetwork], device: str = "cpu"
) -> EnsembleScores:
    """Compute the scores of n patients by each member, whole and with each series left out.

    Parameters
    ----------
    features : sequence of mapping of str to float32, shape (n, n_features)
        Of each member by role.
    networks : sequence of MultitaskNetwork
        Of each member.
    device : str
        Where to compute.

    Returns
    -------
    EnsembleScores
        In the order of the rows.
    """
    pairs = list(zip(features, networks, strict=True))
    whole = [score_many(rows, network, device) for rows, network in pairs]
    without = [score_without_each_series(rows, network, device) for rows, network in pairs]  # by member, by series
    return EnsembleScores(
        _stacked(whole),
        Scores(
            np.array([[scores.prognostic for scores in member] for member in without]).mean(axis=0),
            np.array([[scores.predictive for scores in member] for member in without]).mean(axis=0),
        ),
    )


def _stacked(scores: Sequence[Scores]) -> Scores:
    prognostic: FloatArray = np.array([each.prognostic for each in scores])
    return Scores(prognostic, np.array([each.predictive for each in scores]))


def _joined(blocks: Sequence[Scores]) -> Scores:
    prognostic: FloatArray = np.concatenate([each.prognostic for each in blocks], axis=1)
    return Scores(prognostic, np.concatenate([each.predictive for each in blocks], axis=1))
