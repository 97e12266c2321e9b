"""Hybrid stepwise selection by AIC, as R's MASS::stepAIC(direction = "both").

At each step the model with the lowest AIC among "as it is", every allowed deletion and every allowed addition is
taken. A main effect stays while its product is in; a product comes in only when its main effects are.
Candidates are maximised by Newton's method (lifelines takes 60 ms a fit, a search needs hundreds; both agree to
1e-12); the chosen model is fitted by lifelines like every other.
Source: Zhong et al., section 2.4; Venables and Ripley, Modern Applied Statistics with S, chapter 6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from config.arrays import BoolArray, FloatArray
from config.errors import InputError
from workers.survival.cohort import Cohort
from workers.survival.cox import CoxFit, efron_sums, fit_cox, newton
from workers.survival.cox_models import (
    CLINICAL_FACTORS,
    INTERACTION,
    TREATMENT,
    complete_cases,
    design_matrix,
    model_to_json,
)

NO_GAIN = 1e-7  # stepAIC's own tolerance for "not better"


@dataclass(frozen=True)
class Step:
    """One move: "", "- term" or "+ term", and the AIC after it."""

    move: str
    aic: float


@dataclass(frozen=True)
class Selection:
    """Outcome of a search. `left_out` are candidates that have the same value in all patients."""

    terms: tuple[str, ...]
    path: tuple[Step, ...]
    fit: CoxFit | None  # None: the empty model
    n: int
    left_out: tuple[str, ...] = ()

    @property
    def aic(self) -> float:
        return self.path[-1].aic

    def to_json(self) -> dict[str, Any]:
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
    """Clinical factors that the cohort has."""
    return [factor for factor in CLINICAL_FACTORS if factor in cohort.values]


def cptdn_candidates(cohort: Cohort) -> list[str]:
    """Clinical factors, both scores, the treatment and its product with the Predictive-score."""
    return [*clinical_candidates(cohort), "prognostic_score", "predictive_score", TREATMENT, INTERACTION]


def stepwise_aic(
    cohort: Cohort,
    candidates: Sequence[str],
    endpoint: str = "dfs",
    start_full: bool = True,
    backward_only: bool = False,
) -> Selection:
    """Search both directions from the full (or the empty) model, on patients for whom every candidate is known.

    backward_only : deletions alone.

    Raises InputError where no patient is complete or nobody had the event.
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
    varying = [term for term, width in zip(candidates, spread, strict=True) if width > 0]
    search = _Search(tuple(varying), design_matrix(cohort, varying)[complete], durations, events)
    terms = list(varying) if start_full else []
    path = [Step("", search.aic(terms))]
    while True:
        allowed = search.moves(terms)
        moves = {m: search.aic(result) for m, result in allowed.items() if m.startswith("-") or not backward_only}
        if not moves:
            break
        best = min(moves, key=lambda move: moves[move])
        if moves[best] >= path[-1].aic - NO_GAIN:
            break
        terms = allowed[best]
        path.append(Step(best, moves[best]))
    fit = None
    if terms:
        fit = fit_cox(search.columns(terms), terms, durations, events)
        path[-1] = Step(path[-1].move, fit.aic)
    left_out = tuple(term for term in candidates if term not in varying)
    return Selection(tuple(terms), tuple(path), fit, int(complete.sum()), left_out)


class _Search:
    """Candidates with their columns, and the maximised likelihood of each set of them."""

    def __init__(self, terms: tuple[str, ...], x: FloatArray, durations: FloatArray, events: BoolArray) -> None:
        self.terms, self.x, self.durations, self.events = terms, x, durations, events
        self.known: dict[frozenset[str], float] = {}

    def columns(self, chosen: Sequence[str]) -> FloatArray:
        return self.x[:, [self.terms.index(term) for term in chosen]]

    def aic(self, chosen: Sequence[str]) -> float:
        key = frozenset(chosen)
        if key not in self.known:
            x = self.columns(chosen)
            x = (x - x.mean(axis=0)) / x.std(axis=0) if chosen else np.zeros((len(self.x), 0))
            if chosen:
                _, sums = newton(x, self.durations, self.events)
            else:
                sums = efron_sums(x, self.durations, self.events, np.zeros(0))
            self.known[key] = 2 * len(chosen) - 2 * sums.log_likelihood
        return self.known[key]

    def moves(self, terms: Sequence[str]) -> dict[str, list[str]]:
        """Deletions first, then additions, as stepAIC lists them: move -> terms after it."""
        needed = {part for term in terms if ":" in term for part in term.split(":")}
        found = {f"- {term}": [t for t in terms if t != term] for term in terms if term not in needed}
        for term in self.terms:
            mains = term.split(":") if ":" in term else []
            if term not in terms and all(main in terms or main not in self.terms for main in mains):
                found[f"+ {term}"] = [*terms, term]
        return found
