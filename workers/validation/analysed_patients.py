"""Who is in each analysis of an evaluation, and why the others are not: the flow of a CONSORT diagram."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from config.arrays import BoolArray
from workers.survival.cohort import Outcome

EBV_UNKNOWN = "EBV DNA unknown"
NOT_DETERMINED = "EBV DNA unknown, and its two categories give different recommendations"


@dataclass(frozen=True)
class AnalysedPatients:
    """The patients of one analysis.

    Attributes
    ----------
    analysis : str
        What was analysed, in words.
    n, n_events : int
        Patients and events in it.
    left_out : mapping of str to int
        Reason -> patients; no reason counts a patient twice.
    """

    analysis: str
    n: int
    n_events: int
    left_out: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        """Return the contract's JSON of one analysis."""
        left_out = [{"reason": reason, "n": n} for reason, n in self.left_out.items()]
        return {"analysis": self.analysis, "n": self.n, "n_events": self.n_events, "left_out": left_out}


def analysed(analysis: str, outcome: Outcome, inside: BoolArray, reason: str = "") -> AnalysedPatients:
    """Count the patients of an analysis.

    Parameters
    ----------
    analysis : str
        What is analysed.
    outcome : Outcome
        Follow-up of the n patients of the cohort.
    inside : bool array, shape (n,)
        True for the patients in the analysis.
    reason : str
        Why the others are not in it.

    Returns
    -------
    AnalysedPatients
        With one reason at most.
    """
    n, total = int(np.count_nonzero(inside)), len(inside)
    return AnalysedPatients(
        analysis, n, int(outcome.event_observed[inside].sum()), {reason: total - n} if n < total else {}
    )
