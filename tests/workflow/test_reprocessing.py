"""What a person is told to have changed between two results."""

from __future__ import annotations

import copy
from typing import Any

from node.workflow.reprocessing import difference, difference_lines


def result(recommendation: str, ict: float, score: float) -> dict[str, Any]:
    def arm(name: str, dfs: float) -> dict[str, Any]:
        return {"arm": name, "dfs": {"60": {"value": dfs, "ci95": [0.1, 0.9]}}}

    return {
        "model": {"digest": "sha256:1"},
        "age_years": 46,
        "ebv_dna": {"as_given": "5000", "category": ">threshold"},
        "contours": [{"volume_ml": 20.0}],
        "scores": {"prognostic_score": score, "predictive_score": -0.4},
        "scenarios": [
            {
                "ebv_category": ">threshold",
                "recommendation": recommendation,
                "ict_ccrt": arm("ICT+CCRT", ict),
                "ccrt": arm("CCRT", 0.628),
            }
        ],
    }


def test_equal_results_differ_in_nothing() -> None:
    one = result("ICT+CCRT", 0.835, 0.0)
    assert difference(one, copy.deepcopy(one)) == {}


def test_what_a_reader_compares_is_named() -> None:
    found = difference(result("ICT+CCRT", 0.835, 0.0), result("CCRT", 0.601, 0.3))
    assert found == {
        "prognostic_score": [0.0, 0.3],
        "recommendation": ["ICT+CCRT", "CCRT"],
        "ICT+CCRT DFS at 60 months": [0.835, 0.601],
    }
    assert "recommendation: ICT+CCRT -> CCRT" in difference_lines(found)


def test_a_first_result_differs_in_everything_it_says() -> None:
    found = difference(None, result("CCRT", 0.6, 0.1))
    assert found["recommendation"] == [None, "CCRT"]
    assert "recommendation: nothing -> CCRT" in difference_lines(found)
