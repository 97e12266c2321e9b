"""The published nomogram: R's numbers, the paper's worked example, and what a clinician expects of it."""

from __future__ import annotations

import csv
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.answer import Decision
from config.errors import InputError, ModelBundleError
from config.indication.vocabulary import Answer, AnswerGround, EbvCategory, TreatmentArm
from config.settings import BUNDLES
from tests.peers import shared
from workers.nomogram.model import CoxNomogram, HorizonError
from workers.nomogram.nomogram_file import load_nomogram
from workers.survival.covariates import PatientCovariates

ICT, CCRT = TreatmentArm.ICT_CCRT, TreatmentArm.CCRT
EXAMPLE = PatientCovariates(40, True, 0.0, -0.4)  # Fig. 2 of the paper
PUBLISHED: CoxNomogram = load_nomogram(BUNDLES / "demonstration" / "nomogram.json")

ages = st.floats(14, 72)
scores = st.floats(-1, 1)
patients = st.builds(PatientCovariates, ages, st.booleans(), scores, scores)


def test_worked_example_equals_r() -> None:
    """R 4.2.2: survfit(fit, newdata, conf.type = "log"); difference by the delta method."""
    result = PUBLISHED.score(EXAMPLE)
    assert result.points["age_years"][0] == pytest.approx(21.22460184038512, abs=1e-10)
    assert result.points["ebv_dna_gt_4000"][0] == pytest.approx(15.471677875135248, abs=1e-10)
    assert result.points["prognostic_score"][0] == pytest.approx(41.47925963415726, abs=1e-10)
    ict, ccrt = result.arms[ICT], result.arms[CCRT]
    assert ict.predictive_points[0] == pytest.approx(44.457972830706396, abs=1e-10)
    assert ccrt.predictive_points[0] == pytest.approx(70.0, abs=1e-10)
    assert ict.total_points[0] == pytest.approx(122.63351218038405, abs=1e-10)
    assert ccrt.total_points[0] == pytest.approx(148.17553934967765, abs=1e-10)
    assert ict.dfs[0] == pytest.approx([0.8931048216743825, 0.8348210141141814], abs=1e-12)
    assert ict.low[0] == pytest.approx([0.8376895973599404, 0.7563723790288687], abs=1e-12)
    assert ict.high[0] == pytest.approx([0.9521858991825352, 0.9214061022448183], abs=1e-12)
    assert ccrt.dfs[0] == pytest.approx([0.7476145922579167, 0.6284475259080096], abs=1e-12)
    assert ccrt.low[0] == pytest.approx([0.6659156227131336, 0.5257962815312205], abs=1e-12)
    assert ccrt.high[0] == pytest.approx([0.8393369362318573, 0.751139379817861], abs=1e-12)
    assert result.difference[0] == pytest.approx([0.14549022941646583, 0.20637348820617185], abs=1e-12)
    assert result.difference_low[0] == pytest.approx([0.0561512148409959, 0.08291172962905059], abs=1e-12)
    assert result.difference_high[0] == pytest.approx([0.23482924399193578, 0.3298352467832931], abs=1e-12)
    assert result.ict_preferred[0]
    assert result.decision() == Decision(Answer.ICT_CCRT, AnswerGround.INTERVAL_EXCLUDES_THRESHOLD)


def test_every_published_patient_equals_r() -> None:
    with shared("cohort/predictions_dev.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))

    def column(name: str) -> Any:
        return np.array([float(row[name]) for row in rows])

    result = PUBLISHED.score(
        PatientCovariates(column("age_years"), column("EBV_4k"), column("Prog_score"), column("Pred_score"))
    )
    assert len(result) == 1008
    for arm, name in ((ICT, "ict"), (CCRT, "ccrt")):
        found = result.arms[arm]
        np.testing.assert_allclose(found.linear_predictor, column(f"lp_{name}"), atol=1e-12)
        np.testing.assert_allclose(found.total_points, column(f"total_points_{name}"), atol=1e-10)
        for at, days in enumerate((1080, 1800)):
            np.testing.assert_allclose(found.dfs[:, at], column(f"S{days}_{name}"), atol=1e-12)
            np.testing.assert_allclose(found.low[:, at], column(f"S{days}_{name}_lo"), atol=1e-12)
            np.testing.assert_allclose(found.high[:, at], column(f"S{days}_{name}_hi"), atol=1e-12)
    for at, days in enumerate((1080, 1800)):
        np.testing.assert_allclose(result.difference[:, at], column(f"diff{days}"), atol=1e-12)
        half_width = (result.difference_high - result.difference_low)[:, at] / 2
        np.testing.assert_allclose(half_width, 1.959963984540054 * column(f"diff{days}_se"), atol=1e-12)
    preferred = np.where(result.ict_preferred, "ICT+CCRT", "CCRT").tolist()
    assert preferred == [row["recommended_0pct"] for row in rows]
    half = 1.959963984540054 * column("diff1800_se")
    reliable = np.round(column("diff1800") - half, 3) * np.round(column("diff1800") + half, 3) > 0
    inside = ~np.logical_or.reduce(list(result.extrapolated.values()))
    answers = [result.answer(at).value for at in range(len(result))]
    assert answers == np.where(reliable & inside, preferred, "no_reliable_difference").tolist()


def test_shipped_nomogram_is_the_published_one() -> None:
    with shared("cohort/nomogram_published_cohort.json").open() as stream:
        assert load_nomogram(json.load(stream)).digest == PUBLISHED.digest


def test_scale_is_that_of_the_figure() -> None:
    assert PUBLISHED.scale.lp_per_point == pytest.approx(PUBLISHED.document["nomogram"]["lp_per_point"], abs=1e-14)
    assert PUBLISHED.scale.lp_at_zero_points == pytest.approx(
        PUBLISHED.document["nomogram"]["lp_at_zero_points"], abs=1e-12
    )
    for days, totals in PUBLISHED.document["nomogram"]["total_points_at_ticks"].items():
        lp = PUBLISHED.scale.linear_predictor(np.array(totals))
        hazard = PUBLISHED.baseline_hazard([int(days) / 30])
        np.testing.assert_allclose(
            np.exp(-hazard * np.exp(lp)), PUBLISHED.document["nomogram"]["dfs_ticks"], atol=1e-12
        )


@given(patients)
@settings(max_examples=60)
def test_dfs_falls_with_time(patient: PatientCovariates) -> None:
    months = np.arange(1, 115, dtype=float)
    for dfs in PUBLISHED.dfs_by_arm(patient, months).values():
        assert np.all(np.diff(dfs[0]) <= 0)
        assert np.all((dfs >= 0) & (dfs <= 1))


@given(ages, st.booleans(), scores)
@settings(max_examples=60)
def test_higher_prognostic_score_never_raises_dfs(age: float, above: bool, predictive: float) -> None:
    prognostic = np.linspace(-1, 1, 41)
    same = np.ones(41)
    cohort = PatientCovariates(age * same, above * same, prognostic, predictive * same)
    for dfs in PUBLISHED.dfs_by_arm(cohort, (36, 60)).values():
        assert np.all(np.diff(dfs, axis=0) <= 0)


@given(ages, st.booleans(), scores)
@settings(max_examples=60)
def test_recommendation_changes_exactly_once_along_the_predictive_score(
    age: float, above: bool, prognostic: float
) -> None:
    predictive = np.linspace(-1, 1, 2001)
    same = np.ones(2001)
    preferred = PUBLISHED.score(
        PatientCovariates(age * same, above * same, prognostic * same, predictive)
    ).ict_preferred
    changes = np.flatnonzero(np.diff(preferred.astype(int)))
    assert len(changes) == 1
    assert preferred[0]
    assert not preferred[-1]
    assert predictive[changes[0]] < -0.112042 + 1e-3
    assert predictive[changes[0] + 1] > -0.112043 - 1e-3


@given(patients, st.floats(0, 0.3))
@settings(max_examples=60)
def test_interval_holds_its_estimate_and_a_higher_threshold_never_recommends_more(
    patient: PatientCovariates, threshold: float
) -> None:
    result = PUBLISHED.score(patient, threshold=threshold)
    for arm in result.arms.values():
        assert np.all(arm.low <= arm.dfs)
        assert np.all(arm.dfs <= arm.high)
        assert np.all(arm.high <= 1)
    assert not (result.ict_preferred[0] and not PUBLISHED.score(patient).ict_preferred[0])


def test_unknown_ebv_dna_gives_both_categories_and_the_same_advice_at_threshold_zero() -> None:
    each = PUBLISHED.score_each_category(EXAMPLE)
    assert list(each) == [EbvCategory.NOT_ABOVE, EbvCategory.ABOVE]
    assert each[EbvCategory.ABOVE].to_json() == PUBLISHED.score(EXAMPLE).to_json()
    assert each[EbvCategory.NOT_ABOVE].arms[ICT].dfs[0, 1] > each[EbvCategory.ABOVE].arms[ICT].dfs[0, 1]
    assert {result.answer() for result in each.values()} == {Answer.ICT_CCRT}


def test_inputs_beyond_the_training_cohort_are_marked() -> None:
    cohort = PatientCovariates(
        np.array([14.0, 72, 73, 40]), np.zeros(4), np.array([-0.5, 0, 0, -0.95]), np.array([0.0, 0.99, 0, 0.995])
    )
    result = PUBLISHED.score(cohort)
    assert result.extrapolated["age_years"].tolist() == [False, False, True, False]
    assert result.extrapolated["prognostic_score"].tolist() == [False, False, False, True]
    assert result.extrapolated["predictive_score"].tolist() == [False, False, False, True]
    assert result.extrapolations(2) == [{"input": "age_years", "value": 73.0, "training_range": [14.0, 72.0]}]


def test_other_horizons_come_from_the_step_baseline_without_interval() -> None:
    """H0 just before, at and after the event at day 87 (2.9 months of 30 days)."""
    result = PUBLISHED.score(EXAMPLE, horizons_months=(86.9 / 30, 87 / 30, 48))
    relative = np.exp(result.arms[ICT].linear_predictor[0])
    assert result.arms[ICT].dfs[0, 0] == 1.0
    assert result.arms[ICT].dfs[0, 1] == pytest.approx(np.exp(-0.0001736051720343907 * relative), abs=1e-14)
    assert np.all(np.isnan(result.arms[ICT].low))
    assert result.to_json()["dfs"]["CCRT"]["48"]["ci95"] is None


@pytest.mark.parametrize("months", [0.0, -3.0, 115.8, float("nan")])
def test_horizon_beyond_the_follow_up_is_refused(months: float) -> None:
    with pytest.raises(HorizonError):
        PUBLISHED.score(EXAMPLE, horizons_months=(months,))


@pytest.mark.parametrize(
    ("patient", "named"),
    [
        (PatientCovariates(-1, True, 0, 0), "age between 0 and 130 years, found -1"),
        (PatientCovariates(float("nan"), True, 0, 0), "age between 0 and 130 years, found nan"),
        (PatientCovariates(40, 2, 0, 0), "EBV DNA category 0 or 1, found 2"),
        (PatientCovariates(40, True, 1.2, 0), "Prognostic-score between -1 and 1, found 1.2"),
        (PatientCovariates(40, True, 0, -3), "Predictive-score between -1 and 1, found -3"),
        (PatientCovariates(np.array([40.0, 41.0]), True, 0, 0), "arrays of one length"),
    ],
)
def test_impossible_inputs_are_named(patient: PatientCovariates, named: str) -> None:
    with pytest.raises(InputError, match=named):
        PUBLISHED.score(patient)


def test_damaged_nomogram_scores_nobody() -> None:
    good = json.loads(json.dumps(PUBLISHED.document))
    falling = json.loads(json.dumps(good))
    falling["baseline"]["cumulative_hazard"][5] = 0.0
    with pytest.raises(ModelBundleError, match="must rise"):
        load_nomogram(falling)
    other = json.loads(json.dumps(good))
    other["coefficients"]["predictive_score"] = -1.0
    with pytest.raises(ModelBundleError, match="per point"):
        load_nomogram(other)
    del good["covariance"]
    with pytest.raises(ModelBundleError, match="covariance"):
        load_nomogram(good)


def test_order_of_terms_in_the_file_does_not_matter() -> None:
    document = json.loads(json.dumps(PUBLISHED.document))
    order = [3, 0, 5, 1, 4, 2]
    document["terms"] = [document["terms"][at] for at in order]
    document["covariance"] = [[document["covariance"][a][b] for b in order] for a in order]
    document["confidence"]["q"] = {days: [q[at] for at in order] for days, q in document["confidence"]["q"].items()}
    found, expected = load_nomogram(document).score(EXAMPLE), PUBLISHED.score(EXAMPLE)
    np.testing.assert_allclose(found.difference_low, expected.difference_low, rtol=1e-12)
    np.testing.assert_allclose(found.arms[CCRT].high, expected.arms[CCRT].high, rtol=1e-12)


def test_a_hundred_thousand_patients_are_scored_like_one_alone() -> None:
    random = np.random.default_rng(1)
    n = 100_000
    cohort = PatientCovariates(
        random.uniform(14, 72, n),
        random.integers(0, 2, n).astype(float),
        random.uniform(-1, 1, n),
        random.uniform(-1, 1, n),
    )
    result = PUBLISHED.score(cohort)
    alone = PUBLISHED.score(PatientCovariates(*(values[77_777] for values in result.inputs.values())))
    assert alone.arms[ICT].low[0, 1] == pytest.approx(result.arms[ICT].low[77_777, 1], rel=1e-12)
