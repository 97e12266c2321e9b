"""A cohort that records disease-free survival alone: the other endpoints have no term in the loss."""

from __future__ import annotations

import math

import pytest
import torch

from workers.training.cohort_outcomes import learned_endpoints, outcomes_from_columns
from workers.training.losses import signature_loss

COLUMNS = {
    "treatment": ["ICT+CCRT", "CCRT", "ICT+CCRT"],
    "dfs_days": ["100", "200", "300"],
    "dfs_event": ["1", "1", "0"],
}


def test_absent_endpoints_are_named_and_half_of_one_counts_as_absent() -> None:
    assert learned_endpoints(COLUMNS) == (("dfs",), ("os", "dmfs", "lrrfs"))
    assert learned_endpoints({**COLUMNS, "os_days": [1, 2, 3]})[1] == ("os", "dmfs", "lrrfs")
    assert learned_endpoints({**COLUMNS, "os_days": [1, 2, 3], "os_event": [0, 0, 1]})[0] == ("os", "dfs")


def test_the_loss_of_dfs_alone_is_that_of_a_hand_calculation() -> None:
    prognosis = torch.tensor([[0.5, 0.0, -1.0], [0.0, 0.2, 0.1], [-0.5, -0.4, -0.3]], requires_grad=True)
    response = torch.tensor([0.1, -0.2, 0.3], requires_grad=True)
    loss = signature_loss(prognosis, response, outcomes_from_columns(COLUMNS))

    def cox(first: float, second: float, third: float) -> float:  # events at 100 and 200 days, per event
        at_100 = math.log(math.exp(first) + math.exp(second) + math.exp(third)) - first
        at_200 = math.log(math.exp(second) + math.exp(third)) - second
        return (at_100 + at_200) / 2

    # DFS is the largest output of each patient; the mean response is (0.1 + 0.2 + 0.3) / 3 on the ICT+CCRT side.
    assert loss.item() == pytest.approx(1.5 * cox(0.5, 0.2, -0.3) + cox(0.1, -0.2, 0.3) + 0.1 * 0.2)
    loss.backward()
    assert prognosis.grad is not None
    assert (prognosis.grad != 0).tolist() == [[True, False, False], [False, True, False], [False, False, True]]
