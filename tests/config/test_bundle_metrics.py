"""Figures of a manifest as text."""

from __future__ import annotations

from config.bundle_metrics import metric_rows


def test_figures_have_their_interval_and_groups_their_names() -> None:
    group = {
        "n": 684,
        "c_index": {"all": {"value": 0.78123, "ci95": [0.7, 0.85]}, "CCRT": {"value": None, "ci95": None}},
        "ipa": {"60": {"value": 0.1, "ci95": None}},
        "oracle_c_index": 0.8,
    }
    assert metric_rows(group) == [
        ("n", "684"),
        ("C-index: all", "0.781 (0.700 to 0.850)"),
        ("C-index: CCRT", "-"),
        ("IPA: 60", "0.100"),
        ("C-index of the true risk", "0.800"),
    ]
