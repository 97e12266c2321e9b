"""Prognostic-score and Predictive-score of patients from their deep features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from config.arrays import BoolArray, Float32Array, FloatArray
from config.errors import InputError
from workers.scores.multitask_network import SEQUENCES, MultitaskNetwork
from workers.scores.score_scale import ScoreScale

BATCH = 16  # patients in one pass of the network


@dataclass(frozen=True)
class Scores:
    """Both scores of n patients.

    Attributes
    ----------
    prognostic : float64, shape (n,)
        Prognostic-score in (-1, 1), rises with the risk of failure.
    predictive : float64, shape (n,)
        Predictive-score in (-1, 1), the direction of the log relative risk of ICT+CCRT against CCRT; low values favour
        ICT+CCRT.
    """

    prognostic: FloatArray
    predictive: FloatArray

    def on_scale(self, scale: ScoreScale) -> Scores:
        """Return both scores on another scale."""
        return Scores(scale.prognostic.apply(self.prognostic), scale.predictive.apply(self.predictive))

    def of(self, patients: BoolArray) -> Scores:
        """Return the scores of chosen patients."""
        return Scores(self.prognostic[patients], self.predictive[patients])


def concatenated(features: Mapping[str, Float32Array]) -> Float32Array:
    """Concatenate the features of the three sequences in the order of SEQUENCES.

    Parameters
    ----------
    features : mapping of str to float32, shape (n_features,) or (n, n_features)
        By role: T1w, CE-T1w, T2w.

    Returns
    -------
    float32, shape (n, 3 * n_features)
        One row for each patient.

    Raises
    ------
    InputError
        Other sequences than these three; the message lists both.
    """
    if set(features) != set(SEQUENCES):
        raise InputError(f"expected features of {', '.join(SEQUENCES)}; found {', '.join(sorted(features)) or 'none'}")
    return np.concatenate([np.atleast_2d(features[role]) for role in SEQUENCES], axis=1)


def score(features: Mapping[str, Float32Array], network: MultitaskNetwork, device: str = "cpu") -> tuple[float, float]:
    """Compute Prognostic-score and Predictive-score of one patient.

    Parameters
    ----------
    features : mapping of str to float32, shape (n_features,)
        By role.
    network : MultitaskNetwork
        Moved to the device and put in evaluation mode.
    device : str
        Where to compute.

    Returns
    -------
    (float, float)
        Both in (-1, 1); see `Scores`.

    Raises
    ------
    InputError
        As `score_many`.
    """
    scores = score_many(features, network, device)
    return float(scores.prognostic[0]), float(scores.predictive[0])


def score_many(features: Mapping[str, Float32Array], network: MultitaskNetwork, device: str = "cpu") -> Scores:
    """Compute both scores of many patients; each patient's are the same as alone.

    Parameters
    ----------
    features : mapping of str to float32, shape (n, n_features)
        By role, one row for each patient.
    network : MultitaskNetwork
        Moved to the device and put in evaluation mode.
    device : str
        Where to compute.

    Returns
    -------
    Scores
        In the order of the rows.

    Raises
    ------
    InputError
        A sequence is missing or has another number of features than the network.
    """
    rows = concatenated(features)
    expected = len(SEQUENCES) * network.architecture.n_features
    if rows.shape[1] != expected:
        raise InputError(f"expected {expected} features of three sequences, found {rows.shape[1]}")
    network = network.to(device).eval()
    prognostic, predictive = np.empty(len(rows)), np.empty(len(rows))
    with torch.inference_mode():
        for start in range(0, len(rows), BATCH):
            # Batches of one size, filled up with zeros: libraries choose their kernels by the size, and the last bits
            # of a patient's scores would depend on the other patients.
            some = rows[start : start + BATCH].astype(np.float32)
            padded = np.concatenate([some, np.zeros((BATCH - len(some), some.shape[1]), dtype=np.float32)])
            prognosis, response = network(torch.from_numpy(padded).to(device), 1.0)
            here = slice(start, start + len(some))
            # Zhong et al. 2021, section 2.3: the Prognostic-score is the largest of the three endpoints' risks.
            prognostic[here] = prognosis.amax(dim=1)[: len(some)].cpu().numpy()
            predictive[here] = response[: len(some)].cpu().numpy()
    return Scores(prognostic, predictive)


def score_without_each_series(
    features: Mapping[str, Float32Array], network: MultitaskNetwork, device: str = "cpu"
) -> list[Scores]:
    """Compute both scores once for each series, with its features replaced by the mean of the training.

    Parameters
    ----------
    features, network, device
        As of `score_many`.

    Returns
    -------
    list of Scores
        In the order of SEQUENCES.
    """
    mean = network.get_buffer("feature_mean").cpu().numpy()
    own = np.split(mean, len(SEQUENCES))
    return [
        score_many({**features, role: np.broadcast_to(own[at], features[role].shape)}, network, device)
        for at, role in enumerate(SEQUENCES)
    ]
