"""Scores from features by role."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from config.errors import InputError
from workers.scores.multitask_network import MultitaskNetwork, ScoresArchitecture
from workers.scores.scoring import concatenated, score, score_many


@pytest.fixture(scope="module")
def network() -> MultitaskNetwork:
    torch.manual_seed(0)
    return MultitaskNetwork(ScoresArchitecture(4, 0.05))


def features(n: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {role: rng.normal(size=(n, 4)).astype(np.float32) for role in ("T2w", "T1w", "CE-T1w")}


def test_sequences_are_concatenated_in_the_papers_order() -> None:
    given = {role: np.full(2, value, dtype=np.float32) for role, value in (("T2w", 3), ("T1w", 1), ("CE-T1w", 2))}
    assert concatenated(given).tolist() == [[1, 1, 2, 2, 3, 3]]


def test_one_patient_scores_as_among_many(network: MultitaskNetwork) -> None:
    many = features(5)
    found = score_many(many, network)
    for i in range(5):
        alone = score({role: rows[i] for role, rows in many.items()}, network)
        assert alone == pytest.approx((found.prognostic[i], found.predictive[i]), abs=1e-6)


def test_the_prognostic_score_is_the_largest_endpoint_and_dropout_is_off(network: MultitaskNetwork) -> None:
    many = features(5)
    network.train()  # whoever scores need not know
    first, second = score_many(many, network), score_many(many, network)
    np.testing.assert_array_equal(first.prognostic, second.prognostic)
    with torch.inference_mode():
        prognosis, response = network(torch.from_numpy(concatenated(many)), 1.0)
    np.testing.assert_allclose(first.prognostic, prognosis.amax(1).numpy(), atol=1e-7)
    np.testing.assert_allclose(first.predictive, response.numpy(), atol=1e-7)


def test_a_missing_sequence_is_named(network: MultitaskNetwork) -> None:
    some = features(1)
    del some["T2w"]
    with pytest.raises(InputError, match=r"expected features of T1w, CE-T1w, T2w; found CE-T1w, T1w"):
        score_many(some, network)


def test_another_number_of_features_is_named(network: MultitaskNetwork) -> None:
    wide = {role: np.zeros((1, 5), dtype=np.float32) for role in features(1)}
    with pytest.raises(InputError, match="expected 12 features of three sequences, found 15"):
        score_many(wide, network)
