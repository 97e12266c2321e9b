"""How stable the answers of a cohort are, from saved patches, and what is wrong among the stable ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from config.arrays import BoolArray, FloatArray
from config.decision_policy import DecisionPolicy
from workers.bundles.bundle import Bundle
from workers.nomogram.score_error import score_error_of
from workers.stability.held_answers import HeldAnswers, held_answers
from workers.stability.variants import VariantKind, variant_scores
from workers.survival.covariates import PatientCovariates
from workers.training.ensemble_scores import ScoredBlock
from workers.validation.abstention import (
    DIGITS,
    curve_by_share,
    displayed_answers,
    firm_answers,
    share_of,
    wrong_by_rank,
)

SAMPLE = 500  # of these, the first of the cohort, every answer is recomputed; of the others the firm ones


@dataclass
class CohortStability:
    """Counts in how many recomputations the answers of a cohort hold, block after block.

    Attributes
    ----------
    bundle : Bundle
        Its networks and nomogram.
    age_years, ebv_dna_gt_threshold : array, shape (n,)
        Of the cohort.
    horizon_months : float
        Of the decision.
    policy : DecisionPolicy
        Its threshold counts.
    counts : dict of int to tuple of HeldAnswers
        By patient, counted from 0; of the first `SAMPLE` and of all with a firm answer. Without stability the others
        are "no reliable difference" anyway.
    """

    bundle: Bundle
    age_years: FloatArray
    ebv_dna_gt_threshold: FloatArray
    horizon_months: float
    policy: DecisionPolicy
    counts: dict[int, tuple[HeldAnswers, ...]] = field(default_factory=dict)

    def visit(self, block: ScoredBlock) -> None:
        """Recompute the answers of a block (`ensemble_scores.score_patches`)."""
        mean = block.scores.mean
        patients = [
            PatientCovariates(*map(float, row))
            for row in zip(
                self.age_years[block.rows], self.ebv_dna_gt_threshold[block.rows], mean.prognostic, mean.predictive,
                strict=True,
            )
        ]  # fmt: skip
        numbers = np.arange(block.rows.start, block.rows.stop)
        chosen = np.flatnonzero(self._firm(block) | (numbers < SAMPLE)).tolist()
        if not chosen:
            return
        studies = [block.studies[at] for at in chosen]
        variants = variant_scores(studies, self.bundle.members, self.bundle.spacing_mm, "cpu")
        for at, of_patient in zip(chosen, variants, strict=True):
            above = [bool(patients[at].ebv_dna_gt_threshold)]
            self.counts[int(numbers[at])] = held_answers(
                of_patient, patients[at], above, self.bundle.nomogram, self.horizon_months, self.policy.threshold
            )

    def _firm(self, block: ScoredBlock) -> BoolArray:
        mean = block.scores.mean
        covariates = PatientCovariates(
            self.age_years[block.rows], self.ebv_dna_gt_threshold[block.rows], mean.prognostic, mean.predictive
        )
        error = score_error_of(block.scores)
        result = self.bundle.nomogram.score(covariates, (self.horizon_months,), score_error=error)
        return firm_answers(*displayed_answers(result), self.policy.threshold)


def share_held(counts: Sequence[HeldAnswers]) -> float:
    """Return the share of all recomputations of one patient in which the answer holds."""
    return sum(part.held for part in counts) / sum(part.of for part in counts)


def stability_figures(
    counts: Mapping[int, Sequence[HeldAnswers]],
    firm: BoolArray,
    wrong: BoolArray,
    grossly: BoolArray,
    certain: FloatArray,
    minimum_share: float,
) -> dict[str, Any]:
    """Return abstention and wrong answers where a firm answer has to be stable, too.

    Parameters
    ----------
    counts : mapping of int to sequence of HeldAnswers
        As `CohortStability` collects them.
    firm, wrong, grossly : bool array, shape (n,)
        As `abstention.firm_answers` and `abstention.wrong_answers` return them.
    certain : array, shape (n,)
        As `abstention.certainty` returns it.
    minimum_share : float
        An answer is stable that holds in at least this share of its recomputations.

    Returns
    -------
    dict
        Of all patients: ``abstention``, ``wrong_of_firm``, ``grossly_wrong_of_firm``, ``unstable_of_firm``. ``every``
        is of the ``n`` patients whose answers were all recomputed, whatever their interval: ``stable``, the share of
        stable ones, and how often they are wrong by the bare difference; ``held``, the mean share of the recomputations
        of each kind in which the answer holds; the risk-coverage curve with the stable ones first, beside the one
        without stability.
    """
    held = {patient: share_held(parts) for patient, parts in counts.items()}
    stable = np.array([held.get(patient, 0.0) >= minimum_share for patient in range(len(firm))], dtype=np.bool_)
    given = firm & stable
    n = min(len(firm), SAMPLE)
    among = slice(0, n)
    # Any stable answer before any other, in each group the surest first: an arc tangent is finite for the surest, too.
    stable_first = stable[among] + np.arctan(certain[among]) / np.pi
    return {
        "n": len(firm),
        "minimum_share": minimum_share,
        "abstention": round(float(np.mean(~given)), DIGITS),
        "wrong_of_firm": share_of(wrong[given]),
        "grossly_wrong_of_firm": share_of(grossly[given]),
        "unstable_of_firm": share_of(~stable[firm]),
        "every": {
            "n": n,
            "stable": share_of(stable[among]),
            "wrong_of_stable": share_of(wrong[among][stable[among]]),
            "wrong_of_unstable": share_of(wrong[among][~stable[among]]),
            "held": {kind.value: share for kind in VariantKind if (share := _mean_held(counts, kind, n)) is not None},
            "wrong_by_share_answered": curve_by_share(wrong_by_rank(stable_first, wrong[among])),
            "wrong_by_share_answered_without": curve_by_share(wrong_by_rank(certain[among], wrong[among])),
        },
    }


def _mean_held(counts: Mapping[int, Sequence[HeldAnswers]], kind: VariantKind, n: int) -> float | None:
    shares = [part.held / part.of for patient in range(n) for part in counts[patient] if part.kind is kind]
    return round(float(np.mean(shares)), DIGITS) if shares else None
