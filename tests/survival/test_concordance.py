"""Harrell's C-index against lifelines, the other implementation, where times and risks are tied."""

from __future__ import annotations

import numpy as np
import pytest
from lifelines.utils import concordance_index

from workers.survival.concordance import harrell_concordance, noether_concordance


@pytest.mark.parametrize("seed", range(5))
def test_tied_times_and_tied_risks_count_as_in_lifelines(seed: int) -> None:
    rng = np.random.default_rng(seed)
    durations = rng.integers(1, 12, 80).astype(float)
    risk, events = rng.integers(0, 6, 80).astype(float), rng.random(80) < 0.5
    expected = concordance_index(durations, -risk, events)  # lifelines scores survival, not risk
    assert harrell_concordance(risk, durations, events).value == pytest.approx(expected, abs=1e-12)


def test_no_comparable_pair_has_no_c_index() -> None:
    days, nobody = np.array([1.0, 2.0, 3.0]), np.zeros(3, dtype=bool)
    for concordance in (harrell_concordance, noether_concordance):
        assert np.isnan(concordance(days, days, nobody).value)
        assert concordance(days, days, nobody).to_json()["value"] is None


def test_three_patients_by_hand() -> None:
    """Events at 1 and 2, censored at 3; risks 3, 1, 2: pairs (1, 2) and (1, 3) concordant, (2, 3) discordant."""
    days, events, risk = np.array([1.0, 2, 3]), np.array([True, True, False]), np.array([3.0, 1, 2])
    for concordance in (harrell_concordance, noether_concordance):
        c_index = concordance(risk, days, events)
        assert (c_index.concordant, c_index.discordant, c_index.value) == (2, 1, pytest.approx(2 / 3))
