"""Each printed value of the paper beside the computed one, with the reason of a difference.

A reason is one that was tried: another definition whose value is computed here and is the printed one, or a recorded
reason that holds for the published rows alone. Everything else is "not explained".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workers.survival.cohort import TRAINING, Cohort
from workers.validation.reproduction.model_values import (
    example_values,
    interaction_values,
    step_values,
    total_values,
    univariate_values,
)
from workers.validation.reproduction.outcome_values import concordance_values, decision_values, risk_values
from workers.validation.reproduction.patient_values import (
    balance_values,
    between_values,
    follow_up_values,
    table_values,
)
from workers.validation.reproduction.printed import PrintedPaper, PrintedValue, Value, read_printed_values
from workers.validation.reproduction.published_cohort import (
    EXTERNAL,
    INTERNAL,
    Computed,
    PublishedCohort,
    published_cohort,
)

NOT_EXPLAINED = "not explained"
NO_COPY = "the program has no copy of the printed value; give it with --printed"
_PARTS = (
    table_values, follow_up_values, univariate_values, interaction_values, step_values, example_values, total_values,
    concordance_values, risk_values, decision_values, balance_values, between_values,
)  # fmt: skip
# Values of these groups depend on the rows of their own cohort alone, the others also on the training rows.
_WITHOUT_TRAINING = ("table1", "followup", "events", "predictive_interaction")
_COHORTS_OF = {"centre1": (TRAINING, INTERNAL), "between_cohorts": (TRAINING, INTERNAL, EXTERNAL)}


@dataclass(frozen=True)
class ReproducedValue:
    """A printed value beside the computed one.

    Attributes
    ----------
    printed : PrintedValue
        Key, place in the paper, text.
    computed : float, int or str
        From the given rows.
    agrees : bool or None
        At the printed digits; None where the program has no copy of the printed value.
    reason : str
        Of a difference; empty where the values agree.
    """

    printed: PrintedValue
    computed: Value
    agrees: bool | None
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Return the contract's JSON of one value."""
        return {
            "key": self.printed.key,
            "where": self.printed.where,
            "printed": self.printed.printed,
            "computed": self.computed,
            "agrees": self.agrees,
            "reason": self.reason,
        }


def reproduce(cohorts: Sequence[Cohort], printed_by_others: Path | None = None) -> list[ReproducedValue]:
    """Compute every printed value that the given rows allow, and compare.

    Parameters
    ----------
    cohorts : sequence of Cohort
        Rows of the paper's cohorts, labelled training, internal or external, in one table or several.
    printed_by_others : Path, optional
        JSON of printed values by key, for those of which the program has no copy.

    Returns
    -------
    list of ReproducedValue
        In the order of the paper's values; without those whose rows or columns are not given.

    Raises
    ------
    InputError
        No patient has a label of the paper, or the file of printed values cannot be used.
    """
    paper, published = read_printed_values(printed_by_others), published_cohort(cohorts)
    return beside_printed(published, computed_values(published), paper)


def computed_values(published: PublishedCohort) -> dict[str, tuple[Value, Mapping[str, Value]]]:
    """Return every value that the rows allow by key, each with what other definitions give."""
    items: list[Computed] = [item for part in _PARTS for item in part(published)]
    return {key: (value, others) for key, value, others in items}


def beside_printed(
    published: PublishedCohort, computed: Mapping[str, tuple[Value, Mapping[str, Value]]], paper: PrintedPaper
) -> list[ReproducedValue]:
    """Put computed values beside the printed ones, each difference with its reason."""
    other_rows = _other_rows(published, paper)
    return [
        _compared(value, *computed[key], other_rows, paper) for key, value in paper.values.items() if key in computed
    ]


def _compared(
    printed: PrintedValue, value: Value, others: Mapping[str, Value], other_rows: Mapping[str, str], paper: PrintedPaper
) -> ReproducedValue:
    if printed.printed is None:
        return ReproducedValue(printed, value, None, NO_COPY)
    if printed.agrees(value):
        return ReproducedValue(printed, value, True, "")
    of_rows = [other_rows[label] for label in _cohorts_of(printed.key, paper) if label in other_rows]
    reasons = (*of_rows, _other_definition(printed, others), printed.reason_for(value), NOT_EXPLAINED)
    return ReproducedValue(printed, value, False, next(filter(None, reasons)))


def _other_rows(published: PublishedCohort, paper: PrintedPaper) -> dict[str, str]:
    """Name the cohorts whose number of patients or of events is not the paper's."""
    reasons: dict[str, str] = {}
    for label, cohort in published.parts.items():
        n, of_paper = len(cohort), paper.n_by_label[label]
        if n != of_paper:
            reasons[label] = f"other rows: {n} patients labelled {label}, the paper has {of_paper}"
        elif "dfs" in cohort.outcomes:
            events, printed = int(cohort.outcomes["dfs"].event_observed.sum()), paper.values[f"events.{label}.DFS.n"]
            if printed.printed is not None and not printed.agrees(events):
                found = f"{events} DFS events among the patients labelled {label}"
                reasons[label] = f"other rows: {found}, the paper has {printed.printed}"
    return reasons


def _cohorts_of(key: str, paper: PrintedPaper) -> list[str]:
    """Return the cohorts whose rows a value depends on; the training cohort first, where the models are fitted."""
    parts = key.split(".")
    labels = [label for part in parts for label in _COHORTS_OF.get(part, (part,)) if label in paper.n_by_label]
    return labels if parts[0] in _WITHOUT_TRAINING else list(dict.fromkeys([TRAINING, *labels]))


def _other_definition(printed: PrintedValue, others: Mapping[str, Value]) -> str:
    agreeing = [f"{name} gives {shown(value)}" for name, value in others.items() if printed.agrees(value)]
    return "; ".join(agreeing)


def shown(value: Value) -> str:
    """Return a value as tables show it: five significant digits."""
    return f"{value:.5g}" if isinstance(value, float) else str(value)
