"""The mean effect of a model beside randomised trials, and the table that a site may edit."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from config.decision_policy import policy_for_bundle
from config.errors import SettingsError
from config.indication.vocabulary import Condition, ConditionState
from config.settings import load_settings
from config.trial_evidence import SHIPPED, compare_with_trials, trial_evidence
from tests.bundles.admitted import CONTRADICTED, sound_manifest

TABLE = """updated = "2030-01-01"
[[trial]]
name = "t"
source = "Somebody 2030"
endpoint = "disease-free survival"
n = 400
horizon_months = 60
survival_ict_ccrt = 0.70
survival_ccrt = 0.72
checked = "2030-01-01"
decides = true
"""


def test_the_shipped_table_has_the_figures_of_the_trial() -> None:
    # Zhang et al., N Engl J Med 2019;381:1124: 85.3 against 76.5 % of 480 patients; binomial, by hand:
    # 1.96 sqrt((0.853 * 0.147 + 0.765 * 0.235) / 240) = 0.0699.
    (trial,) = trial_evidence().deciding
    assert trial.difference == pytest.approx(0.088)
    assert trial.difference_ci95 == pytest.approx((0.0181, 0.1579), abs=1e-4)
    assert all(trial.checked for trial in trial_evidence().deciding)
    assert tomllib.loads(SHIPPED.read_text())["updated"] == trial_evidence().updated


@pytest.mark.parametrize(
    ("mean", "state"),
    [
        # The matched cohorts of the paper predict +0.1, -1.8 and -2.4 points.
        (0.001, ConditionState.NOT_MET), (-0.018, ConditionState.NOT_MET), (-0.024, ConditionState.NOT_MET),
        (0.081, ConditionState.MET), (0.30, ConditionState.NOT_MET),
    ],
)  # fmt: skip
def test_a_mean_effect_outside_the_trials_is_a_disagreement(mean: float, state: ConditionState) -> None:
    content = sound_manifest()
    content["effect"]["own"] = {"mean": mean, "ci95": [mean - 0.05, mean + 0.05], "n": 684}
    verdict = compare_with_trials(content, trial_evidence())
    assert verdict.state is state
    assert f"{100 * mean:+.1f} ({100 * mean - 5:+.1f} to {100 * mean + 5:+.1f}) in its own cohort" in verdict.text
    assert "expected +1.8 to +15.8 points" in verdict.text


def test_one_of_two_groups_outside_is_enough() -> None:
    content = sound_manifest()
    content["effect"]["published_case_mix"] = {"mean": 0.004, "ci95": [-0.042, 0.05], "n": 2000}
    verdict = compare_with_trials(content, trial_evidence())
    assert verdict.state is ConditionState.NOT_MET
    assert "its own cohort and +0.4" in verdict.text


def test_an_effect_is_compared_with_a_trial_at_the_horizon_of_the_trial() -> None:
    # The trial is of 36 months: +5 points then are inside +1.8 to +15.8, whatever they are after 60.
    at_36 = {"mean": 0.05, "ci95": [0.01, 0.09]}
    own = {"mean": 0.30, "ci95": [0.2, 0.4], "n": 684, "horizon_months": 60}
    inside = compare_with_trials({"effect": {"own": {**own, "by_month": {"36": at_36}}}}, trial_evidence())
    assert inside.state is ConditionState.MET
    assert "found +5.0 (+1.0 to +9.0) in its own cohort" in inside.text
    other = compare_with_trials({"effect": {"own": {**own, "by_month": {"60": at_36}}}}, trial_evidence())
    assert other.state is ConditionState.NOT_MET
    assert "found +30.0 (+20.0 to +40.0) at 60 months in its own cohort" in other.text


@pytest.mark.parametrize("effect", [None, {}, {"own": {"mean": None}}, {"own": {"mean": float("nan")}}, "much"])
def test_without_a_stated_effect_nothing_is_compared(effect: object) -> None:
    verdict = compare_with_trials({"effect": effect}, trial_evidence())
    assert verdict.state is ConditionState.NOT_CHECKED


def test_the_table_of_the_site_decides(tmp_path: Path) -> None:
    table = tmp_path / "trials.toml"
    table.write_text(TABLE)
    # -2 points with 200 patients an arm: 1.96 sqrt((0.7 * 0.3 + 0.72 * 0.28) / 200) = 8.9 points.
    assert trial_evidence(table).deciding[0].difference_ci95 == pytest.approx((-0.109, 0.069), abs=0.001)
    assert compare_with_trials(CONTRADICTED(), trial_evidence(table)).state is ConditionState.MET
    (tmp_path / "cptdn.toml").write_text('[model]\ntrial_evidence = "trials.toml"\n')
    settings = load_settings(tmp_path / "cptdn.toml")
    assert settings.model.trial_evidence == table
    conditions = {one.code: one for one in policy_for_bundle(settings, "demonstration").conditions}
    assert set(conditions) == {Condition.MODEL_ADMISSION, Condition.TRIAL_EVIDENCE}
    table.write_text(TABLE.replace("0.70", "0.90"))
    assert compare_with_trials(CONTRADICTED(), trial_evidence(table)).state is ConditionState.NOT_MET


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('checked = "2030-01-01"', 'checked = ""'), "needs `checked`"),
        (("survival_ccrt = 0.72\n", ""), "needs survival_ict_ccrt, survival_ccrt"),
        (("survival_ccrt = 0.72", "survival_ccrt = 72"), "survival_ccrt"),
        (('updated = "2030-01-01"\n', ""), "updated"),
        (("[[trial]]", "[[trial"), "expected `updated` and"),
    ],
)
def test_a_wrong_table_is_one_sentence(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    table = tmp_path / "trials.toml"
    table.write_text(TABLE.replace(*change))
    with pytest.raises(SettingsError, match=said):
        trial_evidence(table)
    with pytest.raises(SettingsError, match="cannot read"):
        trial_evidence(tmp_path / "none.toml")
