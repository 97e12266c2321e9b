"""The Cox losses against R, torchsurv, hand calculation and finite differences."""

from __future__ import annotations

import csv
import json
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.peers import shared
from workers.training.losses import (
    Outcomes,
    cox_loss,
    cox_partial_log_likelihood,
    signature_loss,
    weight_penalty,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # torchsurv asks for torch.jit.script on import
    from torchsurv.loss.cox import neg_partial_log_likelihood

# R 4.2.2, survival 3.5-3: coxph(Surv(time, event) ~ age + ebv_high + prognostic_score
# + predictive_score * treatment_ict) on the training rows of the simulated cohort; log likelihoods by way of ties.
R_LOG_LIKELIHOOD = {"breslow": -579.78613, "efron": -579.57394}


@contextmanager
def double_precision() -> Iterator[None]:
    """torchsurv rounds its inputs to single precision unless it is traced, and sums in torch's default precision."""
    torch.set_default_dtype(torch.float64)
    try:
        with mock.patch("torch.jit.is_tracing", return_value=True):
            yield
    finally:
        torch.set_default_dtype(torch.float32)


def torchsurv_log_likelihood(risk: torch.Tensor, events: torch.Tensor, durations: torch.Tensor, ties: str) -> float:
    with warnings.catch_warnings(), double_precision():
        warnings.simplefilter("ignore", UserWarning)  # it says that there are ties
        found = neg_partial_log_likelihood(risk, events, durations, ties_method=ties, reduction="sum")
    return -found.item()


def tied_data(n: int = 60, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    return (
        torch.from_numpy(rng.normal(0, 1.5, n)),
        torch.from_numpy(rng.integers(1, 12, n).astype(np.float64)),
        torch.from_numpy(rng.random(n) < 0.6),
    )


@pytest.mark.parametrize("ties", ["breslow", "efron"])
def test_equals_r_at_its_fit_of_the_simulated_cohort(ties: str) -> None:
    expected = json.loads(shared("reference/expected.json").read_text())
    fit = expected["cptdn" if ties == "efron" else "cptdn_breslow_ties"]
    with shared("reference/cohort_simulated.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["cohort"] == "training"]
    terms = {name: term["coef"] for name, term in fit["terms"].items()}
    columns = {
        "age": lambda r: float(r["age_years"]),
        "ebv_high": lambda r: float(r["ebv_dna_gt_4000"]),
        "prognostic_score": lambda r: float(r["prognostic_score"]),
        "predictive_score": lambda r: float(r["predictive_score"]),
        "treatment_ict": lambda r: float(r["treatment"] == "ICT+CCRT"),
        "predictive_score:treatment_ict": lambda r: float(r["predictive_score"]) * (r["treatment"] == "ICT+CCRT"),
    }
    assert set(terms) == set(columns)
    lp = torch.tensor(
        [math.fsum(terms[name] * value(row) for name, value in columns.items()) for row in rows], dtype=torch.float64
    )
    durations = torch.tensor([float(row["dfs_days"]) for row in rows], dtype=torch.float64)
    events = torch.tensor([row["dfs_event"] == "1" for row in rows])
    found = cox_partial_log_likelihood(lp, durations, events, ties).item()
    assert found == pytest.approx(fit["loglik"], abs=1e-8)
    assert found == pytest.approx(R_LOG_LIKELIHOOD[ties], abs=5e-6)


@pytest.mark.parametrize("ties", ["breslow", "efron"])
@pytest.mark.parametrize("seed", range(5))
def test_equals_torchsurv_on_ties(ties: str, seed: int) -> None:
    lp, durations, events = tied_data(seed=seed)
    theirs = torchsurv_log_likelihood(lp, events, durations, ties)
    assert cox_partial_log_likelihood(lp, durations, events, ties).item() == pytest.approx(theirs, abs=1e-8)


def test_three_patients_by_hand() -> None:
    # Both with time 1 had the event, the third is at risk: Breslow 1 + 2 - 2 log(e^1 + e^2 + e^0).
    lp = torch.tensor([1.0, 2.0, 0.0], dtype=torch.float64)
    durations, events = torch.tensor([1.0, 1.0, 5.0]), torch.tensor([True, True, False])
    r, d = math.exp(1) + math.exp(2) + 1, math.exp(1) + math.exp(2)
    assert cox_partial_log_likelihood(lp, durations, events).item() == pytest.approx(3 - 2 * math.log(r), abs=1e-12)
    efron = 3 - math.log(r) - math.log(r - d / 2)
    assert cox_partial_log_likelihood(lp, durations, events, "efron").item() == pytest.approx(efron, abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(order=st.permutations(range(24)), ties=st.sampled_from(["breslow", "efron"]))
def test_rows_may_change_places(order: list[int], ties: str) -> None:
    lp, durations, events = tied_data(24, seed=3)
    again = torch.tensor(order)
    before = cox_partial_log_likelihood(lp, durations, events, ties).item()
    after = cox_partial_log_likelihood(lp[again], durations[again], events[again], ties).item()
    assert after == pytest.approx(before, abs=1e-10)


@pytest.mark.parametrize("ties", ["breslow", "efron"])
def test_gradient_is_the_numerical_one(ties: str) -> None:
    lp, durations, events = tied_data(20, seed=4)
    lp.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: cox_loss(x, durations, events, ties), (lp,), eps=1e-6, atol=1e-7)


def test_extreme_risks_stay_finite() -> None:
    lp = torch.tensor([-800.0, 0.0, 800.0], dtype=torch.float64, requires_grad=True)
    loss = cox_loss(lp, torch.tensor([1.0, 2.0, 3.0]), torch.tensor([True, True, True]))
    loss.backward()
    # The first patient is beaten by both later ones, the second by the third: 1600 + 800, over three events.
    assert loss.item() == pytest.approx(800.0)
    assert torch.isfinite(lp.grad).all()


def test_a_batch_without_events_is_harmless() -> None:
    lp = torch.randn(8, requires_grad=True)
    loss = cox_loss(lp, torch.rand(8), torch.zeros(8, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(lp.grad, torch.zeros(8))


def test_signature_loss_is_the_weighted_sum_of_its_endpoints() -> None:
    rng = np.random.default_rng(5)
    prognosis = torch.from_numpy(rng.uniform(-1, 1, (30, 3)))
    response = torch.from_numpy(rng.uniform(-1, 1, 30))
    treatment = torch.from_numpy(rng.choice([-1.0, 1.0], 30))
    durations = torch.from_numpy(rng.integers(1, 9, (30, 4)).astype(float))
    outcomes = Outcomes(durations, torch.from_numpy(rng.random((30, 4)) < 0.5), treatment)

    def endpoint(risk: torch.Tensor, column: int) -> float:
        events = outcomes.event_observed[:, column]
        return -torchsurv_log_likelihood(risk, events, durations[:, column], "breslow") / int(events.sum())

    expected = 1.5 * endpoint(prognosis.amax(1), 3) + sum(endpoint(prognosis[:, k], k) for k in range(3))
    expected += endpoint(response, 3) + 0.1 * abs((response * treatment).mean().item())
    assert signature_loss(prognosis, response, outcomes).item() == pytest.approx(expected, abs=1e-9)


def test_penalty_leaves_biases_free() -> None:
    layer = torch.nn.Linear(2, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[3.0, -4.0]]))
        layer.bias.fill_(100.0)
    assert weight_penalty(layer, l2=0.2).item() == pytest.approx(0.1 * 25)
    assert weight_penalty(layer, l1=0.01).item() == pytest.approx(0.07)
