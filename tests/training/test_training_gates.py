"""The gates of the method: what a correct training reaches on phantoms. Long; each prints its figures.

Bounds: distance to the oracle's C-index, agreement with its recommendation where the true difference of 5-year DFS
exceeds 5 %, correlation of the Predictive-score with its latent, p of the interaction on phantoms not trained on.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from config.bundle_manifest import TEMPLATES
from config.settings import BUNDLES
from workers.bundles.bundle import load_bundle
from workers.nomogram.nomogram_file import load_nomogram
from workers.phantoms.feature_cohort import FeaturePhantoms, draw_features
from workers.phantoms.population import Truth
from workers.phantoms.writing import PhantomCohort, templates_from, write_cohort
from workers.scores.multitask_network import SEQUENCES
from workers.scores.scoring import Scores, score_many
from workers.survival.cohort import TreatmentArm
from workers.survival.concordance import harrell_concordance
from workers.survival.covariates import PatientCovariates
from workers.survival.cox import fit_cox
from workers.training.phantom_evaluation import CLEAR_BENEFIT, phantom_metrics
from workers.training.score_training import train_scores
from workers.training.training_config import TrainingConfig

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]

N_FEATURES = 128
CONFIG = TrainingConfig(scores_width=0.25)
NOMOGRAM = BUNDLES / "demonstration" / "nomogram.json"


@dataclass(frozen=True)
class Figures:
    c_index: float
    oracle: float
    agreement: float
    correlation: float
    interaction_p: float


def trained(n: int, seed: int, truth: Truth | None = None, n_tested: int = 2000) -> Figures:
    """Train on n phantoms, look at as many others."""
    training, unseen = (
        draw_features(n, seed, N_FEATURES, truth),
        draw_features(n_tested, seed + 5000, N_FEATURES, truth),
    )
    held = np.random.default_rng(seed).permutation(n) < round(0.15 * n)
    network = train_scores(
        training.features, training.outcomes, np.flatnonzero(~held), np.flatnonzero(held), CONFIG
    ).network
    blocks = np.split(unseen.features, len(SEQUENCES), axis=1)
    return figures(unseen, score_many(dict(zip(SEQUENCES, blocks, strict=True)), network))


def figures(phantoms: FeaturePhantoms, scores: Scores) -> Figures:
    rows = [p.record for p in phantoms.patients]
    days = np.array([row["dfs_days"] for row in rows], dtype=float)
    events = np.array([row["dfs_event"] == 1 for row in rows])
    treated = np.array([row["treatment"] == "ICT+CCRT" for row in rows])
    age, ebv = (np.array([row[name] for row in rows], dtype=float) for name in ("age_years", "ebv_dna_gt_4000"))
    covariates = PatientCovariates(age, ebv, scores.prognostic, scores.predictive)
    nomogram = load_nomogram(NOMOGRAM)
    lp = {arm: nomogram.linear_predictor(covariates, arm) for arm in TreatmentArm}
    given = np.where(treated, lp[TreatmentArm.ICT_CCRT], lp[TreatmentArm.CCRT])
    by_arm = nomogram.dfs_by_arm(covariates, [60.0])
    predicted = (by_arm[TreatmentArm.ICT_CCRT] - by_arm[TreatmentArm.CCRT]).ravel()
    benefit = np.array([p.benefit for p in phantoms.patients])
    clear = np.abs(benefit) > CLEAR_BENEFIT
    x = np.column_stack([age, ebv, scores.prognostic, scores.predictive, treated, scores.predictive * treated])
    names = ("age", "ebv", "prognostic", "predictive", "treatment", "interaction")
    return Figures(
        c_index=harrell_concordance(given, days, events).value,
        oracle=harrell_concordance(np.array([p.linear_predictor for p in phantoms.patients]), days, events).value,
        agreement=float(np.mean((predicted > 0) == (benefit > 0), where=clear)),
        correlation=float(np.corrcoef([p.predictive for p in phantoms.patients], scores.predictive)[0, 1]),
        interaction_p=float(fit_cox(x, names, days, events).p_values[-1]),
    )


def test_feature_level_with_3000_phantoms() -> None:
    found = trained(3000, seed=1)
    print(found)
    assert found.c_index >= found.oracle - 0.05
    assert found.correlation >= 0.78
    assert found.agreement >= 0.87
    assert found.interaction_p < 1e-4


def test_feature_level_with_684_phantoms() -> None:
    found = trained(684, seed=2)
    print(found)
    assert found.c_index >= found.oracle - 0.10
    assert found.agreement >= 0.80


def test_no_interaction_is_found_where_there_is_none() -> None:
    p_values = [trained(1000, seed, Truth(interaction_scale=0)).interaction_p for seed in range(10)]
    print([round(p, 4) for p in p_values])
    assert sum(p > 0.01 for p in p_values) >= 9


def test_flipped_treatment_labels_flip_the_recommendations() -> None:
    # The unseen phantoms' labels are flipped with them, so their true benefit keeps its sign: agreement turns round.
    plain, flipped = trained(3000, seed=1), trained(3000, seed=1, truth=Truth(flipped=True))
    print(plain.agreement, flipped.agreement, plain.correlation, flipped.correlation)
    assert flipped.agreement <= 1 - 0.80
    assert flipped.correlation <= -0.78


@pytest.mark.parametrize(
    ("scanners", "seed", "gap", "agreement"), [("training", 4711, 0.06, 0.85), ("other", 4712, 0.10, 0.80)]
)
def test_image_level_on_fresh_phantoms(tmp_path: Path, scanners: str, seed: int, gap: float, agreement: float) -> None:
    bundle = load_bundle("demonstration")
    templates = templates_from(json.loads((bundle.folder / TEMPLATES).read_text(encoding="utf-8")))
    write_cohort(PhantomCohort(500, seed, "external", scanners), tmp_path, templates, processes=2)
    found = phantom_metrics(bundle, tmp_path)
    print(found)
    assert found["c_index"]["all"]["value"] >= found["oracle_c_index"] - gap
    assert found["against_truth"]["agreement"] >= agreement
