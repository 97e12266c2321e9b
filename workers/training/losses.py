"""Cox losses: the partial likelihood on tied data, and the composite loss that trains both signatures.

References: Breslow, J R Stat Soc B 1972;34:216; Efron, JASA 1977;72:557; Tian et al., JASA 2014;109:1517 (modified
covariates); Zhong et al., EBioMedicine 2021;70:103522, supplement (weights of the endpoints and penalties).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

Ties = Literal["breslow", "efron"]


def cox_partial_log_likelihood(
    log_hazard: Tensor, durations: Tensor, event_observed: Tensor, ties: Ties = "breslow"
) -> Tensor:
    """Return the log partial likelihood of a Cox model, summed over events.

    Parameters
    ----------
    log_hazard : Tensor, shape (n,)
        Rises with risk; carries the gradient.
    durations : Tensor, shape (n,)
        In any unit; rows with equal durations are tied.
    event_observed : bool Tensor, shape (n,)
        True where the event happened.
    ties : {"breslow", "efron"}
        Treatment of tied event times.

    Returns
    -------
    Tensor, shape ()
        Does not depend on the order of the rows, also among ties; 0 with a zero gradient without any event.

    References
    ----------
    Breslow 1972; Efron 1977.
    """
    order = torch.argsort(durations, descending=True, stable=True)
    lp, events = log_hazard[order], event_observed[order].bool()
    if not bool(events.any()):
        # Zero with a gradient of zero: a batch without events must not stop the training, and `backward` needs a graph.
        return lp.sum() * 0.0
    _, group, sizes = torch.unique_consecutive(durations[order], return_inverse=True, return_counts=True)
    ends = sizes.cumsum(0) - 1  # last row of each group of ties, when times fall
    # Times fall, so the cumulative sum at the last row of a tie is the risk set of the whole tie: the value does not
    # depend on the order within ties, as it would with a plain cumulative sum.
    log_risk = torch.logcumsumexp(lp, dim=0)[ends][group[events]]  # (n_events,) log of the sum over the risk set
    if ties == "efron":
        log_risk = log_risk + _efron_reduction(lp[events], log_risk, group[events], len(sizes))
    return lp[events].sum() - log_risk.sum()


def _efron_reduction(lp_events: Tensor, log_risk: Tensor, group: Tensor, n_groups: int) -> Tensor:
    # log(1 - (l / d) D / R) of the l-th of d tied events, with D and R the sums over ties and risk set. The largest
    # term of each tie is factored out, so that extreme risks do not overflow.
    d = torch.bincount(group, minlength=n_groups)
    first = d.cumsum(0) - d
    rank = torch.arange(len(group), device=group.device) - first[group]  # l: 0 .. d-1 within its group
    largest = torch.full((n_groups,), -torch.inf, dtype=lp_events.dtype, device=lp_events.device)
    # Detached: the shift cancels, so its gradient would only add rounding.
    largest = largest.scatter_reduce(0, group, lp_events.detach(), reduce="amax")
    summed = torch.zeros_like(largest).scatter_add(0, group, torch.exp(lp_events - largest[group]))
    log_tied = torch.log(summed[group]) + largest[group]
    share = rank.to(lp_events.dtype) / d[group]  # dividing whole numbers would round to single precision
    return torch.log1p(-share * torch.exp(log_tied - log_risk))


def cox_loss(log_hazard: Tensor, durations: Tensor, event_observed: Tensor, ties: Ties = "breslow") -> Tensor:
    """Return the negative log partial likelihood divided by the number of events; 0 for a batch without events.

    Risk sets shrink with the batch, so losses of different batch sizes must not be compared.

    Parameters
    ----------
    log_hazard, durations, event_observed : Tensor, shape (n,)
        See `cox_partial_log_likelihood`.
    ties : {"breslow", "efron"}
        Treatment of tied event times.

    Returns
    -------
    Tensor, shape ()
        >= 0 up to rounding.
    """
    # Per event, so that batches with few and many events weigh alike; values of different batch sizes still cannot be
    # compared, since the risk sets grow with the batch.
    n_events = event_observed.sum().clamp(min=1)
    return -cox_partial_log_likelihood(log_hazard, durations, event_observed, ties) / n_events


@dataclass(frozen=True)
class Outcomes:
    """Follow-up of n patients; columns in the order os, dmfs, lrrfs, dfs.

    Attributes
    ----------
    durations : Tensor, shape (n, 4)
        Days.
    event_observed : bool Tensor, shape (n, 4)
        True where the event was observed.
    treatment : Tensor, shape (n,)
        +1 for ICT+CCRT, -1 for CCRT.
    """

    durations: Tensor
    event_observed: Tensor
    treatment: Tensor

    def rows(self, index: Tensor) -> Outcomes:
        """Return the follow-up of the patients at these positions.

        Parameters
        ----------
        index : int tensor, shape (m,)
            Rows; a row may occur more than once.

        Returns
        -------
        Outcomes
            Of m patients, in this order.
        """
        return Outcomes(self.durations[index], self.event_observed[index], self.treatment[index])

    def to(self, device: torch.device) -> Outcomes:
        """Return the same follow-up on a device."""
        return Outcomes(self.durations.to(device), self.event_observed.to(device), self.treatment.to(device))


DFS = 3  # column of Outcomes
DFS_WEIGHT = 1.5
MEAN_RESPONSE_WEIGHT = 0.1


def signature_loss(
    prognosis: Tensor, response: Tensor, outcomes: Outcomes, ties: Ties = "breslow", response_offset: bool = False
) -> Tensor:
    """Return the loss of both signatures.

    1.5 DFS + OS + DMFS + LRRFS of the prognosis, plus DFS of the treatment-modified response, plus 0.1 |mean response|
    with each patient's response turned back to the ICT+CCRT side.

    Parameters
    ----------
    prognosis : Tensor, shape (n, 3)
        Log hazards in the order os, dmfs, lrrfs; DFS is their maximum.
    response : Tensor, shape (n,)
        Computed with the factor T/2: odd in the treatment, without a treatment main effect.
    outcomes : Outcomes
        Of the same patients.
    ties : {"breslow", "efron"}
        Treatment of tied event times.
    response_offset : bool
        Fit the response beside the detached DFS prognosis, which explains what both arms share (efficiency
        augmentation); the paper fits it alone.

    Returns
    -------
    Tensor, shape ()
        Carries the gradient.

    References
    ----------
    Tian et al. 2014, sections 2 and 3; Zhong et al. 2021, supplement.
    """
    # Zhong et al. 2021, section 2.3: the risk of DFS is the largest of the three endpoints' risks.
    dfs = prognosis.amax(dim=1)
    # Detached: otherwise the response's loss would train the prognosis as well.
    modified = response + dfs.detach() if response_offset else response
    # Tian et al. 2014: the response is already multiplied by T/2 in the network and has no main effect of the
    # treatment; its Cox loss on DFS then estimates the interaction without a model of the main effects.
    total = DFS_WEIGHT * _endpoint(dfs, outcomes, DFS, ties) + _endpoint(modified, outcomes, DFS, ties)
    for column in range(prognosis.shape[1]):
        total = total + _endpoint(prognosis[:, column], outcomes, column, ties)
    # (response * T) undoes the sign of T/2, so the mean is that of the score; it is held near 0, because a constant
    # response is a main effect of the treatment.
    return total + MEAN_RESPONSE_WEIGHT * (response * outcomes.treatment).mean().abs()


def _endpoint(log_hazard: Tensor, outcomes: Outcomes, column: int, ties: Ties) -> Tensor:
    return cox_loss(log_hazard, outcomes.durations[:, column], outcomes.event_observed[:, column], ties)


def weight_penalty(module: nn.Module, l2: float = 0.0, l1: float = 0.0) -> Tensor:
    """Return the penalty of the weight matrices; biases and norms are free.

    Parameters
    ----------
    module : torch.nn.Module
        With at least one weight matrix.
    l2, l1 : float
        Factors of half the sum of squares, and of the sum of magnitudes.

    Returns
    -------
    tensor, scalar
        With gradient.
    """
    weights = [p for p in module.parameters() if p.ndim > 1]
    total = weights[0].new_zeros(())
    for w in weights:
        total = total + 0.5 * l2 * w.square().sum() + l1 * w.abs().sum()
    return total
