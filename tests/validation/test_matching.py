"""Matching by hand: a cohort small enough to compute propensity, caliper and pairs on paper."""

from __future__ import annotations

import numpy as np
import pytest

from workers.survival.cohort import Cohort
from workers.validation.matching import match


def cohort_of_ten() -> Cohort:
    """One binary factor: of six patients without it one had ICT+CCRT, of four with it three had."""
    factor = np.array([0.0] * 6 + [1.0] * 4)
    treated = np.array([True] + [False] * 5 + [True] * 3 + [False])
    return Cohort(
        source="ten patients",
        patient_ids=tuple(f"P{number}" for number in range(10)),
        labels=("",) * 10,
        treated=treated,
        values={"factor": factor},
        outcomes={},
    )


def test_propensity_of_one_binary_factor_is_the_share_of_each_group() -> None:
    assert match(cohort_of_ten(), ("factor",)).propensity == pytest.approx([1 / 6] * 6 + [3 / 4] * 4)


def test_the_caliper_is_in_sample_standard_deviations_of_the_propensity() -> None:
    """Mean 0.4; squared deviations 6 (1/6 - 0.4)^2 + 4 (3/4 - 0.4)^2 = 0.8167, over n - 1 = 9 as R's sd.

    Two patients with the factor have no partner with it. The distance of the groups, 3/4 - 1/6 = 0.583, is within two
    sample standard deviations (0.602), but not within two population standard deviations (0.572).
    """
    matching = match(cohort_of_ten(), ("factor",), caliper=2.0)
    assert matching.caliper == pytest.approx(2 * np.sqrt((6 * (1 / 6 - 0.4) ** 2 + 4 * 0.35**2) / 9))
    assert len(matching.pairs) == 4
    assert len(match(cohort_of_ten(), ("factor",), caliper=1.9).pairs) == 2
