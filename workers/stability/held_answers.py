"""In how many variants the difference stays on the same side of the threshold as in the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from config.answer import decide
from config.arrays import FloatArray
from config.indication.conventions import SCORE_DECIMALS, displayed_difference
from config.indication.vocabulary import AnswerRule, TreatmentArm
from workers.nomogram.model import CoxNomogram
from workers.stability.variants import VariantKind, VariantScores
from workers.survival.covariates import PatientCovariates


@dataclass(frozen=True)
class HeldAnswers:
    """Variants of one kind, and in how many of them the answer is the same."""

    kind: VariantKind
    held: int
    of: int


def held_answers(
    variants: VariantScores,
    patient: PatientCovariates,
    ebv_dna_gt_threshold: Sequence[bool],
    nomogram: CoxNomogram,
    horizon_months: float,
    threshold: float,
) -> tuple[HeldAnswers, ...]:
    """Count the variants in which the difference is on the report's side of the threshold.

    Parameters
    ----------
    variants : VariantScores
        K x v scores.
    patient : PatientCovariates
        Age and the scores of the report; its EBV DNA is not read.
    ebv_dna_gt_threshold : sequence of bool
        The patient's category, or both where it is unknown. A variant then counts as held where it is held in both.
    nomogram : CoxNomogram
        The model.
    horizon_months : float
        Of the decision.
    threshold : float
        A fraction: on the side of ICT+CCRT is what gains more.

    Returns
    -------
    tuple of HeldAnswers
        One for each kind, in the order of the variants; each variant counts once for each member.
    """
    n_members, n_variants = variants.scores.prognostic.shape
    held = np.ones((n_members, n_variants), dtype=np.bool_)
    # Rounded as the scores of a report are.
    prognostic, predictive = (
        np.concatenate([[float(of_report)], np.round(values.ravel(), SCORE_DECIMALS)])
        for of_report, values in (
            (np.asarray(patient.prognostic_score).item(), variants.scores.prognostic),
            (np.asarray(patient.predictive_score).item(), variants.scores.predictive),
        )
    )
    age = np.full(len(prognostic), np.asarray(patient.age_years).item())
    for above in ebv_dna_gt_threshold:
        covariates = PatientCovariates(age, np.full(len(age), float(above)), prognostic, predictive)
        answers = _point_answers(nomogram.dfs_by_arm(covariates, [horizon_months]), threshold)
        held &= (answers[1:] == answers[0]).reshape(held.shape)
    kinds = np.array(variants.kinds)
    return tuple(
        HeldAnswers(kind, int(held[:, kinds == kind].sum()), n_members * int((kinds == kind).sum()))
        for kind in dict.fromkeys(variants.kinds)
    )


def _point_answers(dfs: Mapping[TreatmentArm, FloatArray], threshold: float) -> NDArray[np.str_]:
    # By the rule of the bare difference: whether the interval of a report excludes the threshold is told beside it, and
    # a single member has no interval.
    pairs = zip(dfs[TreatmentArm.ICT_CCRT].ravel().tolist(), dfs[TreatmentArm.CCRT].ravel().tolist(), strict=True)
    differences = (displayed_difference(ict, ccrt) for ict, ccrt in pairs)
    return np.array([decide(each, None, threshold, AnswerRule.POINT).answer.value for each in differences])
