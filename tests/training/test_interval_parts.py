"""Where the width of an interval comes from: phantoms whose scores are scattered around the latents by design."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from config.arrays import FloatArray
from config.indication.vocabulary import TreatmentArm
from config.settings import BUNDLES
from workers.nomogram.nomogram_file import load_nomogram
from workers.survival.covariates import PatientCovariates
from workers.training.interval_parts import interval_parts

NOMOGRAM = load_nomogram(BUNDLES / "demonstration" / "nomogram.json")
N = 600


def phantoms(noise: float) -> tuple[PatientCovariates, dict[str, FloatArray]]:
    """Predicted scores, and latents that are scattered around them by `noise` before the tanh; survival by NOMOGRAM."""
    rng = np.random.default_rng(20)
    predicted = rng.normal(0, 0.5, (N, 2))
    latents = np.tanh(predicted + noise * rng.normal(size=(N, 2)))
    facts = PatientCovariates(rng.uniform(20, 70, N), rng.integers(0, 2, N).astype(float), *np.tanh(predicted).T)
    truth = {"prognostic": latents[:, 0], "predictive": latents[:, 1]}
    of_latents = replace(facts, prognostic_score=truth["prognostic"], predictive_score=truth["predictive"])
    dfs = NOMOGRAM.dfs_by_arm(of_latents, [60])
    truth |= {
        "dfs_60_ict_ccrt": dfs[TreatmentArm.ICT_CCRT].ravel(), "dfs_60_ccrt": dfs[TreatmentArm.CCRT].ravel(),
    }  # fmt: skip
    return facts, truth


def test_the_ideal_reader_keeps_the_promise_of_95_percent() -> None:
    covariates, truth = phantoms(0.4)
    parts = interval_parts(NOMOGRAM, covariates, None, truth, 60.0)
    ideal = parts["ideal_reader"]
    # Nominal 95 %; of 600 phantoms the share has a standard error of 0.9 percentage points.
    assert ideal["coverage"] == pytest.approx(0.95, abs=0.027)
    # Scattered scores without their error: the interval of the Cox model is shorter, and firm answers are wrong.
    alone = parts["cox_model_alone"]
    assert alone["median_half_width"] < ideal["median_half_width"]
    assert alone["wrong_of_firm"] > ideal["wrong_of_firm"]
    assert parts["true_scores"]["wrong_of_firm"] == 0
    # A wrong answer among 2 % of those given is allowed: the share is larger than that of the firm ones at 5 %.
    assert ideal["answered_at_2_percent_wrong"] >= 1 - ideal["abstention"]


def test_scores_without_error_leave_only_what_the_nomogram_leaves() -> None:
    covariates, truth = phantoms(0.0)
    parts = interval_parts(NOMOGRAM, covariates, None, truth, 60.0)
    assert parts["as_reported"] == parts["cox_model_alone"] == parts["true_scores"]
    ideal = parts["ideal_reader"]
    assert ideal["median_half_width"] == pytest.approx(0, abs=1e-6)
    assert (ideal["wrong_of_firm"], ideal["answered_at_2_percent_wrong"]) == (0, 1)
