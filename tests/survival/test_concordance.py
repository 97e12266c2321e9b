"""Harrell's C-index against lifelines, where times and risks are tied, and against a count of every pair."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
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


@settings(deadline=None, max_examples=150)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 40),
    n_times=st.integers(1, 20),
    n_risks=st.integers(1, 20),
    n_strata=st.integers(1, 4),
)
def test_counts_are_those_of_every_pair_looked_at(seed: int, n: int, n_times: int, n_risks: int, n_strata: int) -> None:
    """Concordant, discordant and tied pairs, value and influence, with ties in time and risk and within strata."""
    rng = np.random.default_rng(seed)
    days, risk = rng.integers(0, n_times, n).astype(float), rng.integers(0, n_risks, n) / 4 - 1
    events, strata = rng.random(n) < rng.random(), rng.integers(0, n_strata, n)
    pairs = {"concordant": np.zeros(n), "discordant": np.zeros(n), "tied_risk": np.zeros(n)}
    for i in np.flatnonzero(events):
        for j in range(n):
            if strata[i] == strata[j] and (days[i] < days[j] or (days[i] == days[j] and not events[j])):
                kind = "concordant" if risk[i] > risk[j] else "discordant" if risk[i] < risk[j] else "tied_risk"
                pairs[kind][[i, j]] += 1
    c, d, t = pairs.values()
    total = (c.sum() + d.sum() + t.sum()) / 2
    found = harrell_concordance(risk, days, events, strata)
    assert [found.concordant, found.discordant, found.tied_risk] == [c.sum() / 2, d.sum() / 2, t.sum() / 2]
    if total:
        somers_d = (c.sum() - d.sum()) / 2 / total
        assert found.value == pytest.approx((somers_d + 1) / 2, abs=1e-12)
        # the derivative of the C-index by the weight of each patient
        np.testing.assert_allclose(found.influence, (c - d - (c + d + t) * somers_d) / (2 * total), atol=1e-12)


def test_200_000_patients_take_seconds() -> None:
    """4e9 usable pairs: counting them one by one would take minutes."""
    n, rng = 200_000, np.random.default_rng(0)
    risk = rng.normal(size=n)
    days = rng.exponential(1000 * np.exp(-risk)).round()
    began = time.process_time()
    c_index = harrell_concordance(risk, days, rng.random(n) < 0.3)
    assert time.process_time() - began < 20
    # P(T1 < T2) of two exponential times is h1 / (h1 + h2), here averaged over the difference of two normal risks.
    differences = rng.normal(scale=np.sqrt(2), size=1_000_000)
    assert c_index.value == pytest.approx((1 / (1 + np.exp(-np.abs(differences)))).mean(), abs=4 * c_index.se)
