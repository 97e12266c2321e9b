"""Scores on the scale of a given nomogram: the map itself, in networks, and its fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from config.indication.vocabulary import TreatmentArm
from config.settings import BUNDLES
from workers.nomogram.model import CoxNomogram
from workers.nomogram.nomogram_file import load_nomogram
from workers.scores.multitask_network import MultitaskNetwork, ScoresArchitecture
from workers.scores.score_scale import LinearScale, ScoreScale
from workers.scores.scoring import Scores, score_many
from workers.survival.cohort import Cohort, read_cohort
from workers.survival.covariates import PatientCovariates
from workers.training.out_of_fold import predict_out_of_fold
from workers.training.score_scale import fit_score_scale

PUBLISHED = load_nomogram(BUNDLES / "demonstration" / "nomogram.json")
SEQUENCES = ("T1w", "CE-T1w", "T2w")
TRUE = ScoreScale(LinearScale(0.3, 2.5), LinearScale(-0.2, 1.6))


def inverse(scale: LinearScale) -> LinearScale:
    return LinearScale(-scale.intercept / scale.slope, 1 / scale.slope)


@given(st.floats(-0.999, 0.999), st.floats(-0.999, 0.999), st.floats(-1.5, 1.5), st.floats(0.05, 20))
def test_a_scale_keeps_the_order_and_the_range(first: float, second: float, intercept: float, slope: float) -> None:
    low, high = LinearScale(intercept, slope).apply(np.array(sorted((first, second))))
    assert -1 <= low <= high <= 1


def test_a_scale_by_hand() -> None:
    """tanh(0.5 + 2 atanh(0.6)): atanh(0.6) is the logarithm of 2, and tanh(0.5 + log 4) = (16 e - 1) / (16 e + 1)."""
    e = np.e
    assert LinearScale(0.5, 2.0).apply(np.array([0.6])) == pytest.approx([(16 * e - 1) / (16 * e + 1)])
    with pytest.raises(ValueError, match="positive"):
        LinearScale(0.0, 0.0)


def test_a_network_on_a_scale_gives_the_scores_on_that_scale() -> None:
    torch.manual_seed(1)
    network = MultitaskNetwork(ScoresArchitecture(4, 0.05)).eval()
    rng = np.random.default_rng(2)
    features = {role: rng.normal(size=(7, 4)).astype(np.float32) for role in SEQUENCES}
    scores, changed = score_many(features, network), score_many(features, network.on_scale(TRUE))
    expected = scores.on_scale(TRUE)
    np.testing.assert_allclose(changed.prognostic, expected.prognostic, atol=1e-6)
    np.testing.assert_allclose(changed.predictive, expected.predictive, atol=1e-6)
    again = score_many(features, network.on_scale(TRUE).on_scale(TRUE)).prognostic
    np.testing.assert_allclose(again, expected.on_scale(TRUE).prognostic, atol=1e-6)


def drawn_cohort(folder: Path, nomogram: CoxNomogram, n: int, seed: int) -> tuple[Cohort, Scores]:
    """Patients whose events follow the nomogram exactly, and their true scores."""
    rng = np.random.default_rng(seed)
    age, ebv, treated = rng.uniform(20, 70, n).round(1), rng.random(n) < 0.5, rng.random(n) < 0.5
    true = Scores(np.tanh(rng.normal(0, 0.5, n)), np.tanh(rng.normal(0, 0.5, n)))
    covariates = PatientCovariates(age, ebv.astype(float), true.prognostic, true.predictive)
    by_arm = {arm: nomogram.linear_predictor(covariates, arm) for arm in TreatmentArm}
    lp = np.where(treated, by_arm[TreatmentArm.ICT_CCRT], by_arm[TreatmentArm.CCRT])
    # Of the exponential cumulative hazard at which the patient fails, the day is read from the baseline.
    at = np.searchsorted(nomogram.cumulative_hazard, rng.exponential(size=n) * np.exp(-lp))
    event = at < len(nomogram.event_days)
    days = np.where(event, nomogram.event_days[np.minimum(at, len(nomogram.event_days) - 1)], nomogram.follow_up_days)
    lines = ["patient_id,cohort,treatment,age_years,ebv_dna_gt_4000,dfs_days,dfs_event"]
    for i in range(n):
        arm = "ICT+CCRT" if treated[i] else "CCRT"
        lines.append(f"P{i},training,{arm},{age[i]},{int(ebv[i])},{days[i]:g},{int(event[i])}")
    path = folder / "cohort.csv"
    path.write_text("\n".join(lines) + "\n")
    return read_cohort(path, need_scores=False), true


def test_the_fit_finds_the_scale_under_which_the_events_were_drawn(tmp_path: Path) -> None:
    cohort, true = drawn_cohort(tmp_path, PUBLISHED, 20_000, 3)
    given_scores = true.on_scale(ScoreScale(inverse(TRUE.prognostic), inverse(TRUE.predictive)))
    scale = fit_score_scale(cohort, np.ones(len(cohort.patient_ids), dtype=bool), given_scores, PUBLISHED)
    # The intervals of 20,000 patients: standard errors of about 0.03.
    assert scale.prognostic.intercept == pytest.approx(0.3, abs=0.1)
    assert scale.prognostic.slope == pytest.approx(2.5, rel=0.1)
    assert scale.predictive.intercept == pytest.approx(-0.2, abs=0.1)
    assert scale.predictive.slope == pytest.approx(1.6, rel=0.1)


def test_out_of_fold_survival_is_that_of_the_observed_events(tmp_path: Path) -> None:
    """Scores of another zero and unit: their mean survival under the nomogram is wrong until they are on its scale."""
    cohort, true = drawn_cohort(tmp_path, PUBLISHED, 4_000, 4)
    wrong = true.on_scale(ScoreScale(LinearScale(0.9, 0.5), LinearScale(0.6, 0.5)))
    fold = np.arange(4_000) % 4 + 1
    unseen = predict_out_of_fold(cohort, fold, wrong, PUBLISHED, PUBLISHED.indication)
    outcome = cohort.outcome("dfs")
    observed = float(np.mean((outcome.durations_days > 1800) | ~outcome.event_observed))
    assert float(np.mean(unseen.survival[60])) == pytest.approx(observed, abs=0.02)
    covariates = PatientCovariates(
        cohort.column("age_years"), cohort.column("ebv_dna_gt_4000"), wrong.prognostic, wrong.predictive
    )
    before = PUBLISHED.dfs_by_arm(covariates, [60])
    assert abs(float(np.mean(list(before.values()))) - observed) > 0.05


def test_few_events_leave_the_scores_as_they_are(tmp_path: Path) -> None:
    cohort, true = drawn_cohort(tmp_path, PUBLISHED, 12, 5)
    everyone = np.ones(12, dtype=bool)
    assert fit_score_scale(cohort, everyone, true, PUBLISHED) == ScoreScale()
