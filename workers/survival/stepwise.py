"""Hybrid stepwise selection by AIC, as R's MASS::stepAIC(direction = "both").

Each step takes the model with the lowest AIC among the present one, every allowed deletion and every allowed
addition. A main effect cannot be deleted while its product is in the model; a product can be added only when its main
effects are in. Candidates are maximised by Newton's method (lifelines takes 60 ms a fit, a search needs hundreds; both
agree to 1e-12); the selected model is fitted by lifelines like every other.

References: Zhong et al., EBioMedicine 2021;70:103522, section 2.4; Venables and Ripley, Modern Applied Statistics with
S, chapter 6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from config.arrays import BoolArray, FloatArray
from config.errors import InputError
from workers.survival.cohort import Cohort
from workers.survival.cox import CoxFit, fit_cox
from workers.survival.cox_models import (
    CLINICAL_FACTORS,
    INTERACTION,
    TREATMENT,
    complete_cases,
    design_matrix,
    model_to_json,
)
from workers.survival.partial_likelihood import efron_sums, newton

NO_GAIN = 1e-7  # stepAIC's own tolerance for "not better"


@dataclass(frozen=True)
class Step:
    """One move of a search: ``""`` (the start), ``"- term"`` or ``"+ term"``, and the AIC after it."""

    move: str
    aic: float


@dataclass(frozen=True)
class Selection:
    """Result of a search.

    Attributes
    ----------
    terms : tuple of str
        The selected terms.
    path : tuple of Step
        From the first model to the selected one.
    fit : CoxFit or None
        The selected model; None for the empty one.
    n : int
        Complete cases.
    left_out : tuple of str
        Candidates that have the same value in all complete cases.
    """

    terms: tuple[str, ...]
    path: tuple[Step, ...]
    fit: CoxFit | None  # None: the empty model
    n: int
    left_out: tuple[str, ...] = ()

    @property
    def aic(self) -> float:
        """AIC of the selected model."""
        return self.path[-1].aic

    def to_json(self) -> dict[str, Any]:
        """Return the contract's JSON: selected terms, path, model."""
        return {
            "selected": list(self.terms),
            "aic": self.aic,
            "start_aic": self.path[0].aic,
            "path": [{"step": step.move, "aic": step.aic} for step in self.path],
            "left_out": list(self.left_out),
            "n": self.n,
            "model": model_to_json(self.fit) if self.fit else None,
        }


def clinical_candidates(cohort: Cohort) -> list[str]:
    """Return the clinical factors that the cohort has."""
    return [factor for factor in CLINICAL_FACTORS if factor in cohort.values]


def cptdn_candidates(cohort: Cohort) -> list[str]:
    """Return the clinical factors, both scores, the treatment and its product with the Predictive-score."""
    return [*clinical_candidates(cohort), "prognostic_score", "predictive_score", TREATMENT, INTERACTION]


def stepwise_aic(
    cohort: Cohort,
    candidates: Sequence[str],
    endpoint: str = "dfs",
    start_full: bool = True,
    backward_only: bool = False,
) -> Selection:
    """Search by AIC in both directions, on the patients for whom every candidate is known.

    Parameters
    ----------
    cohort : Cohort
        Usually the training patients.
    candidates : sequence of str
        Terms (see `workers.survival.cox_models.design_matrix`).
    endpoint : str
        Which follow-up.
    start_full : bool
        Start from all candidates; False: from the empty model.
    backward_only : bool
        Allow deletions alone.

    Returns
    -------
    Selection
        The same moves and AIC values as stepAIC.

    Raises
    ------
    InputError
        No complete case had the event.
    """
    x = design_matrix(cohort, candidates)
    complete = complete_cases(x)
    outcome = cohort.outcome(endpoint)
    durations, events = outcome.durations_days[complete], outcome.event_observed[complete]
    if not events.any():
        raise InputError(
            f"{cohort.source}: no event in {endpoint} among {len(events)} patients with every candidate known"
        )
    spread = x[complete].std(axis=0)
    # A factor without variation among the complete cases makes the information singular; the result names it instead.
    varying = [term for term, width in zip(candidates, spread, strict=True) if width > 0]
    search = _Search(tuple(varying), design_matrix(cohort, varying)[complete], durations, events)
    terms = list(varying) if start_full else []
    path = [Step("", search.aic(terms))]
    while True:
        allowed = search.moves(terms)
        moves = {m: search.aic(result) for m, result in allowed.items() if m.startswith("-") or not backward_only}
        if not moves:
            break
        # Of equal AIC values the first in the order of stepAIC, so that the same path is taken.
        best = min(moves, key=lambda move: moves[move])
        # Without the tolerance two equal models could be exchanged for ever.
        if moves[best] >= path[-1].aic - NO_GAIN:
            break
        terms = allowed[best]
        path.append(Step(best, moves[best]))
    fit = None
    if terms:
        fit = fit_cox(search.columns(terms), terms, durations, events)
        # The reported model and the last step of the path show the same digits.
        path[-1] = Step(path[-1].move, fit.aic)
    left_out = tuple(term for term in candidates if term not in varying)
    return Selection(tuple(terms), tuple(path), fit, int(complete.sum()), left_out)


class _Search:
    """Candidates with their columns; caches the maximised likelihood of each set of them."""

    def __init__(self, terms: tuple[str, ...], x: FloatArray, durations: FloatArray, events: BoolArray) -> None:
        self.terms, self.x, self.durations, self.events = terms, x, durations, events
        self.known: dict[frozenset[str], float] = {}

    def columns(self, chosen: Sequence[str]) -> FloatArray:
        return self.x[:, [self.terms.index(term) for term in chosen]]

    def aic(self, chosen: Sequence[str]) -> float:
        key = frozenset(chosen)
        if key not in self.known:
            x = self.columns(chosen)
            # Standardised columns converge in fewer steps; the maximum does not depend on the scale.
            x = (x - x.mean(axis=0)) / x.std(axis=0) if chosen else np.zeros((len(self.x), 0))
            if chosen:
                _, sums = newton(x, self.durations, self.events)
            else:
                # The empty model has a likelihood, too: minus the sum of the logarithms of the risk-set sizes, with
                # Efron's ties.
                sums = efron_sums(x, self.durations, self.events, np.zeros(0))
            self.known[key] = 2 * len(chosen) - 2 * sums.log_likelihood
        return self.known[key]

    def moves(self, terms: Sequence[str]) -> dict[str, list[str]]:
        """Return the terms after each allowed move; deletions first, then additions, as stepAIC lists them."""
        # Marginality: without its main effects a product would depend on where the factors have their zero.
        needed = {part for term in terms if ":" in term for part in term.split(":")}
        moves = {f"- {term}": [t for t in terms if t != term] for term in terms if term not in needed}
        for term in self.terms:
            mains = term.split(":") if ":" in term else []
            if term not in terms and all(main in terms or main not in self.terms for main in mains):
                moves[f"+ {term}"] = [*terms, term]
        return moves
