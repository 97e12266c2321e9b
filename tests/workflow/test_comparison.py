"""Comparing two bundles: what the summary says of answers, and what happens when nothing computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

import node.workflow.comparison
from config.settings import load_settings
from node.ledger.cases import open_case
from node.ledger.database import open_ledger
from node.workflow.comparison import BundleResult, ComparedStudy, Comparison, NoWorkerError
from node.workflow.comparison_summary import summarise


def report(predictive: float, gains: dict[str, float]) -> dict[str, Any]:
    """A report as the ledger keeps it, with a DFS difference for each EBV DNA category."""
    scenarios = [
        {
            "ebv_category": category,
            "recommendation": "ICT+CCRT" if gain > 0 else "CCRT",
            "ict_ccrt": {"arm": "ICT+CCRT", "dfs": {"60": {"value": 0.7 + gain}}},
            "ccrt": {"arm": "CCRT", "dfs": {"60": {"value": 0.7}}},
        }
        for category, gain in gains.items()
    ]
    return {
        "model": {"digest": "sha256:1", "name": "a", "horizon_months": 60},
        "age_years": 46,
        "ebv_dna": {"as_given": None, "category": "unknown"},
        "contours": [],
        "scores": {"prognostic_score": 0.1, "predictive_score": predictive},
        "scenarios": scenarios,
    }


def scored(predictive: float, **gains: float) -> BundleResult:
    return BundleResult("scored", report(predictive, gains))


REFUSED = BundleResult("refused", None, "out_of_distribution", "unlike the training images")
FAILED = BundleResult("failed", None, "model_bundle", "the bundle is damaged")


def test_who_would_get_another_recommendation() -> None:
    found = summarise([
        ComparedStudy("1.1", scored(0.1, above=0.02), scored(0.2, above=-0.01)),
        ComparedStudy("1.2", scored(0.1, above=0.02, below=0.01), scored(0.1, above=0.03, below=-0.02)),
        ComparedStudy("1.3", scored(0.3, above=0.02), scored(0.2, above=0.02)),
    ])  # fmt: skip
    assert found["scored_by_both"] == 3
    changed = [(one["study_instance_uid"], one["ebv_category"]) for one in found["recommendation_changed"]]
    assert changed == [("1.1", "above"), ("1.2", "below")]
    assert found["recommendations"] == {"ICT+CCRT -> CCRT": 2, "ICT+CCRT -> ICT+CCRT": 2}
    assert found["shifts"]["dfs_difference"]["n"] == 4  # unknown EBV DNA has one for each category
    assert found["shifts"]["dfs_difference"]["mean"] == pytest.approx((-0.03 + 0.01 - 0.03 + 0.0) / 4)


def test_every_study_is_counted_once() -> None:
    found = summarise([
        ComparedStudy("1.1", scored(0.1, above=0.1), REFUSED),
        ComparedStudy("1.2", REFUSED, scored(0.1, above=0.1)),
        ComparedStudy("1.3", REFUSED, REFUSED),
        ComparedStudy("1.4", scored(0.1, above=0.1), FAILED),
        ComparedStudy("1.5", reasons=[{"code": "missing_series", "text": "no T2w"}]),
    ])  # fmt: skip
    assert found["n"] == 5
    assert found["scored_by_both"] == 0
    assert found["newly_refused"] == [
        {"study_instance_uid": "1.1", "code": "out_of_distribution", "text": "unlike the training images"}
    ]
    assert (found["newly_scored"], found["refused_by_both"], found["not_computable"]) == (["1.2"], ["1.3"], ["1.5"])
    assert [one["code"] for one in found["failed"]] == ["model_bundle"]
    assert found["shifts"]["predictive_score"]["mean"] is None


def test_shifts_agree_with_scipy_also_with_ties() -> None:
    rng = np.random.default_rng(3)
    before = rng.integers(-20, 20, 60) / 20  # many ties
    after = before + rng.integers(-6, 7, 60) / 20
    found = summarise([
        ComparedStudy(f"1.{n}", scored(b, above=0.1), scored(a, above=0.1))
        for n, (b, a) in enumerate(zip(before, after, strict=True))
    ])["shifts"]["predictive_score"]  # fmt: skip
    assert found["rank_correlation"] == pytest.approx(spearmanr(before, after).statistic, abs=1e-6)
    assert found["sd"] == pytest.approx(np.std(after - before, ddof=1), abs=1e-6)
    assert found["quantiles"]["0.05"] == pytest.approx(np.quantile(after - before, 0.05), abs=1e-6)


def test_a_study_that_cannot_be_computed_is_an_answer_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load_settings()
    ledger = open_ledger(settings.ledger.url or "")
    with ledger.begin() as session:
        open_case(session, "1.2.3", "P1", "")
    work = Comparison(ledger, settings, "demonstration", "demonstration")
    (compared,) = work.run(["1.2.3"], 1.0, lambda: None)
    assert compared.before is None
    assert {reason["code"] for reason in compared.reasons} >= {"missing_series"}
    ledger.close()


def test_without_a_worker_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(node.workflow.comparison, "WITHOUT_WORKER_S", 0.0)
    settings = load_settings()
    ledger = open_ledger(settings.ledger.url or "")
    with ledger.begin() as session:
        open_case(session, "1.2.3", "P1", "")
    work = Comparison(ledger, settings, "demonstration", "demonstration")
    monkeypatch.setattr(work, "_start", lambda study, _: node.workflow.comparison.PendingStudy(study, ["job"], 1e12))
    monkeypatch.setattr(work, "_collect_results", lambda *_: False)
    with pytest.raises(NoWorkerError, match="cptdn worker"):
        list(work.run(["1.2.3"], 1.0, lambda: None))
    ledger.close()
