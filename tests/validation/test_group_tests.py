"""Tests of two and three groups: equal to R's chisq.test, fisher.test, kruskal.test and wilcox.test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.arrays import FloatArray
from workers.validation.group_tests import chi_squared_p, counts_by_group, fisher_p, group_p, zhong_group_p

R = json.loads((Path(__file__).parents[1] / "reference" / "group_tests.json").read_text())


def groups_of(table: dict[str, Any]) -> list[FloatArray]:
    """The patients behind the counts of a table: groups of zeros and ones."""
    zeros, ones = table["counts"]
    return [np.repeat([0.0, 1.0], [zero, one]) for zero, one in zip(zeros, ones, strict=True)]


@pytest.mark.parametrize("table", R["tables"], ids=lambda table: str(table["counts"]))
def test_counts_are_tested_as_r_does(table: dict[str, Any]) -> None:
    counts = np.array(table["counts"])
    assert chi_squared_p(counts) == pytest.approx(table["chisq"], rel=1e-10)
    assert chi_squared_p(counts, corrected=True) == pytest.approx(table["corrected"], rel=1e-10)
    assert fisher_p(counts) == pytest.approx(table["fisher"], rel=1e-9)
    expected = table["fisher"] if table["expected"] < 5 else table["chisq"]
    assert group_p(*groups_of(table)) == pytest.approx(expected, rel=1e-9)


# The rule of the published script, applied to R's p values by hand.
RULE = ("chisq", "chisq", "corrected", "fisher", "fisher", "fisher", "chisq", "chisq", "fisher", "fisher")


@pytest.mark.parametrize(("table", "test"), list(zip(R["tables"], RULE, strict=True)))
def test_the_published_script_s_choice_of_a_test(table: dict[str, Any], test: str) -> None:
    assert zhong_group_p(*groups_of(table)) == pytest.approx(table[test], rel=1e-9)


def test_numbers_are_compared_by_ranks() -> None:
    groups = [np.array(values, dtype=np.float64) for values in R["ranks"]["groups"]]
    for test in (group_p, zhong_group_p):
        assert test(*groups) == pytest.approx(R["ranks"]["kruskal"], rel=1e-10)
        assert test(*groups[:2]) == pytest.approx(R["ranks"]["wilcoxon"], rel=1e-10)


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 9)), min_size=3, max_size=4), st.randoms())
def test_fisher_s_test_does_not_depend_on_the_order_of_groups(columns: list[tuple[int, int]], random: Any) -> None:
    shuffled = random.sample(columns, len(columns))
    p, again = (fisher_p(np.array(order).T) for order in (columns, shuffled))
    assert 0 < p <= 1
    assert again == pytest.approx(p, rel=1e-9)
    assert fisher_p(np.array(columns).T[::-1]) == pytest.approx(p, rel=1e-9)


def test_a_common_factor_in_many_groups_is_tested_by_chi_squared() -> None:
    groups = [np.repeat([0.0, 1.0], [300 + at, 200]) for at in range(5)]
    counts = counts_by_group(*groups)
    assert fisher_p(counts) == pytest.approx(chi_squared_p(counts), rel=1e-12)
