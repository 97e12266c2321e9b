"""The learning curve on phantoms without images: its last point, what it learns from, and what it cannot fit."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from config.indication.nasopharynx import NASOPHARYNX
from workers.phantoms.feature_cohort import draw_features
from workers.scores.multitask_network import SEQUENCES
from workers.scores.scoring import Scores, score_many
from workers.survival.cohort import Cohort, read_cohort
from workers.training import learning_curve as module
from workers.training.cohort_outcomes import OUTCOME_ENDPOINTS
from workers.training.cross_fitting import assign_folds
from workers.training.learning_curve import learning_curve, nested_order
from workers.training.out_of_fold import predict_out_of_fold
from workers.training.score_training import train_scores
from workers.training.training_config import TrainingConfig

CONFIG = TrainingConfig(scores_width=0.02, scores_steps=20)
N_FOLDS = 2


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    path = tmp_path_factory.mktemp("cohort") / "cohort.csv"
    records = [patient.record for patient in draw_features(300, 3, n_features=8).patients]
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(records[0]))
        writer.writeheader()
        writer.writerows(records)
    return read_cohort(path, need_scores=False, endpoints=OUTCOME_ENDPOINTS)


def test_the_curve_ends_at_the_out_of_fold_figure_and_learns_from_its_shares(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    phantoms = draw_features(300, 3, n_features=8)
    training = np.arange(300) < 280
    fold = assign_folds(cohort, training, N_FOLDS, CONFIG.seed)
    features = dict(zip(SEQUENCES, np.split(phantoms.features, 3, axis=1), strict=True))
    scores = Scores(np.full(300, np.nan), np.full(300, np.nan))
    for number in (1, 2):  # the members as they are: all training patients outside the fold
        others, inside = np.flatnonzero(training & (fold != number)), fold == number
        own_config = CONFIG.with_seed(CONFIG.seed + number)
        network = train_scores(phantoms.features, phantoms.outcomes, others, others[:0], own_config).network
        own = score_many(features, network)
        scores.prognostic[inside], scores.predictive[inside] = own.prognostic[inside], own.predictive[inside]
    learned: list[np.ndarray] = []

    def recorded(
        features: np.ndarray, outcomes: object, rows: np.ndarray, *others: object, **options: object
    ) -> object:
        learned.append(rows)
        return train_scores(features, outcomes, rows, *others, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "train_scores", recorded)

    def curve() -> dict[str, dict[str, object]]:
        shares = (0.5, 0.75, 1.0)
        return learning_curve(cohort, fold, [features] * 2, scores, CONFIG, tmp_path, shares=shares)

    found = curve()
    expected = predict_out_of_fold(cohort, fold, scores, None, NASOPHARYNX).concordance()
    assert found["100 %"]["c_index"]["value"] == round(expected.value, 4)  # type: ignore[index]
    assert found["100 %"]["n"] == 140
    assert [point["n"] for point in found.values()] == pytest.approx([70, 105, 140], abs=2)
    half_1, half_2, more_1, more_2 = (set(rows.tolist()) for rows in learned)
    assert half_1 < more_1
    assert half_2 < more_2
    assert not [row for number, rows in ((1, half_1), (2, half_2), (1, more_1), (2, more_2)) for row in rows
                if fold[row] in (0, number)]  # fmt: skip
    assert curve() == found
    assert len(learned) == 4  # the second call found the scores of the first


def test_a_share_without_enough_events_says_why_it_has_no_figure(cohort: Cohort, tmp_path: Path) -> None:
    events = np.flatnonzero(cohort.outcome("dfs").event_observed)
    fold = np.zeros(300, dtype=np.intp)
    fold[:100] = 1 + np.arange(100) % N_FOLDS
    fold[events] = 0
    fold[events[:4]] = (1, 1, 2, 2)
    nothing = Scores(np.linspace(-1, 1, 300), np.zeros(300))  # no Predictive-score varies: no effect can be fitted
    point = learning_curve(cohort, fold, [{}, {}], nothing, CONFIG, tmp_path, shares=(1.0,))["100 %"]
    assert point["n_events"] == 2
    assert point["c_index"] == {"value": None, "ci95": None}
    assert "the same value in all" in point["reason"]


def test_every_share_has_its_part_of_each_group() -> None:
    rng = np.random.default_rng(0)
    events, treated, training = (rng.random(400) < share for share in (0.2, 0.5, 0.9))
    rank = nested_order(events, treated, training, seed=1)
    assert np.isnan(rank[~training]).all()
    for share in (0.25, 0.5):
        for event in (False, True):
            for arm in (False, True):
                group = training & (events == event) & (treated == arm)
                assert abs((rank[group] < share).sum() - share * group.sum()) <= 0.5


def test_a_share_of_a_handful_of_patients_is_not_learned_from(cohort: Cohort, tmp_path: Path) -> None:
    fold = np.where(np.arange(300) < 32, 1 + np.arange(300) % N_FOLDS, 0)
    scores = Scores(np.zeros(300), np.zeros(300))
    point = learning_curve(cohort, fold, [{}, {}], scores, CONFIG, tmp_path, shares=(0.5,))["50 %"]
    assert (point["c_index"]["value"], point["reason"]) == (None, "fewer than 10 patients to learn from")
