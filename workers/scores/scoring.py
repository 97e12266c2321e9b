"""Scores of patients from their deep features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from config.arrays import Float32Array
from config.errors import InputError
from workers.scores.multitask_network import SEQUENCES, MultitaskNetwork

BATCH = 16  # patients that run through the network together


@dataclass(frozen=True)
class Scores:
    """Both signatures, each (n,) in (-1, 1).

    prognostic : Prognostic-score, rises with the risk of failure.
    predictive : Predictive-score, the direction of the log relative risk of ICT+CCRT against CCRT; low values favour
    ICT+CCRT.
    """

    prognostic: NDArray[np.float64]
    predictive: NDArray[np.float64]


def concatenated(features: Mapping[str, Float32Array]) -> Float32Array:
    """Features of the three sequences side by side, in the order of SEQUENCES.

    features : by role (T1w, CE-T1w, T2w), each (n_features,) or (n, n_features).
    Returns (n, 3 * n_features).
    Raises InputError naming the sequences expected and found.
    """
    if set(features) != set(SEQUENCES):
        raise InputError(f"expected features of {', '.join(SEQUENCES)}; found {', '.join(sorted(features)) or 'none'}")
    return np.concatenate([np.atleast_2d(features[role]) for role in SEQUENCES], axis=1)


def score(features: Mapping[str, Float32Array], network: MultitaskNetwork, device: str = "cpu") -> tuple[float, float]:
    """Prognostic-score and Predictive-score of one patient.

    features : by role, each (n_features,).
    """
    found = score_many(features, network, device)
    return float(found.prognostic[0]), float(found.predictive[0])


def score_many(features: Mapping[str, Float32Array], network: MultitaskNetwork, device: str = "cpu") -> Scores:
    """Both scores of many patients.

    features : by role, each (n, n_features).
    Raises InputError when a sequence is missing or has another number of features than the network.
    """
    rows = concatenated(features)
    expected = len(SEQUENCES) * network.architecture.n_features
    if rows.shape[1] != expected:
        raise InputError(f"expected {expected} features of three sequences, found {rows.shape[1]}")
    network = network.to(device).eval()
    prognostic, predictive = np.empty(len(rows)), np.empty(len(rows))
    with torch.inference_mode():
        for start in range(0, len(rows), BATCH):
            # Always batches of one size, so that the scores of a patient do not depend on who is scored with him.
            some = rows[start : start + BATCH].astype(np.float32)
            padded = np.concatenate([some, np.zeros((BATCH - len(some), some.shape[1]), dtype=np.float32)])
            prognosis, response = network(torch.from_numpy(padded).to(device), 1.0)
            here = slice(start, start + len(some))
            prognostic[here] = prognosis.amax(dim=1)[: len(some)].cpu().numpy()
            predictive[here] = response[: len(some)].cpu().numpy()
    return Scores(prognostic, predictive)
