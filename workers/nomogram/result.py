"""The nomogram's predictions for n patients, as arrays and as the contract's JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from config.answer import Decision, decide
from config.arrays import BoolArray, FloatArray
from config.indication.conventions import displayed_difference, round_dfs
from config.indication.vocabulary import Answer, AnswerRule, EbvCategory, TreatmentArm
from dicom_sr.report.answer_text import AnswerStatement, answer_sentence
from dicom_sr.report.wording import ENGLISH
from workers.nomogram.points import AGE, EBV, PREDICTIVE, PROGNOSTIC
from workers.nomogram.score_error import ScoreError

COX_MODEL_ONLY, COX_MODEL_AND_SCORES = "cox_model_only", "cox_model_and_scores"


@dataclass(frozen=True)
class ArmEstimates:
    """One regimen for n patients and h horizons.

    Attributes
    ----------
    predictive_points, total_points : array, shape (n,)
        Points on this arm's Predictive-score axis, and in total.
    linear_predictor : array, shape (n,)
        Uncentred.
    dfs : array, shape (n, h)
        Probabilities in [0, 1].
    low, high : array, shape (n, h)
        Ends of the 95 % confidence interval; NaN where the nomogram stores no variance terms.
    """

    predictive_points: FloatArray
    total_points: FloatArray
    linear_predictor: FloatArray
    dfs: FloatArray
    low: FloatArray
    high: FloatArray


@dataclass(frozen=True)
class DecisiveEstimates:
    """The estimates at the horizon of the decision, which need not be among the reported ones.

    Attributes
    ----------
    rule : AnswerRule
        Whether interval or bare difference decides.
    ict_ccrt, ccrt : array, shape (n,)
        DFS under both regimens.
    low, high : array, shape (n,)
        Ends of the 95 % interval of their difference; NaN without variance terms.
    """

    rule: AnswerRule
    ict_ccrt: FloatArray
    ccrt: FloatArray
    low: FloatArray
    high: FloatArray

    def difference(self, patient: int) -> float:
        """Return the displayed difference of one patient."""
        return displayed_difference(float(self.ict_ccrt[patient]), float(self.ccrt[patient]))

    def ci95(self, patient: int) -> tuple[float, float] | None:
        """Return the displayed interval of one patient; None where there is none."""
        low, high = float(self.low[patient]), float(self.high[patient])
        return None if math.isnan(low) else (round_dfs(low), round_dfs(high))


@dataclass(frozen=True)
class NomogramResult:
    """Both regimens for n patients and h horizons.

    Attributes
    ----------
    inputs : mapping of str to array, shape (n,)
        The validated covariates.
    horizons_months : tuple of float, length h
        Reported horizons.
    threshold, decision_horizon_months : float
        Of the decision.
    points : mapping of str to array, shape (n,)
        Points of age, EBV DNA and Prognostic-score, which are the same in both arms.
    arms : mapping of TreatmentArm to ArmEstimates
        Each regimen.
    difference : array, shape (n, h)
        DFS under ICT+CCRT minus DFS under CCRT.
    difference_low, difference_high : array, shape (n, h)
        Ends of its 95 % interval; NaN without variance terms.
    ict_preferred : bool array, shape (n,)
        The unrounded difference at the decision horizon exceeds the threshold, whatever its interval: the groups in
        which the paper evaluates the nomogram.
    decisive : DecisiveEstimates
        What the answer is decided on, as it is displayed.
    extrapolated : mapping of str to bool array, shape (n,)
        True where an input is outside the range of the training cohort.
    training_ranges : mapping of str to pair of float
        Those ranges.
    score_error : ScoreError or None
        How uncertain the scores are, as far as the intervals contain it; None: intervals of the Cox model only.
    """

    inputs: Mapping[str, FloatArray]
    horizons_months: tuple[float, ...]
    threshold: float
    decision_horizon_months: float
    points: Mapping[str, FloatArray]
    arms: Mapping[TreatmentArm, ArmEstimates]
    difference: FloatArray
    difference_low: FloatArray
    difference_high: FloatArray
    ict_preferred: BoolArray
    extrapolated: Mapping[str, BoolArray]
    training_ranges: Mapping[str, tuple[float, float]]
    decisive: DecisiveEstimates
    score_error: ScoreError | None = None

    def __len__(self) -> int:
        return len(self.ict_preferred)

    def decision(self, patient: int = 0) -> Decision:
        """Return the answer of one patient and its ground, from the displayed numbers at the decision horizon.

        Parameters
        ----------
        patient : int
            Counted from 0.

        Returns
        -------
        Decision
            An input outside the training cohort is no ground for a regimen.
        """
        decisive = self.decisive
        is_inside = not any(outside[patient] for outside in self.extrapolated.values())
        return decide(
            decisive.difference(patient), decisive.ci95(patient), self.threshold, decisive.rule, is_valid=is_inside
        )

    def answer(self, patient: int = 0) -> Answer:
        """Return the answer of one patient (counted from 0)."""
        return self.decision(patient).answer

    def extrapolations(self, patient: int = 0) -> list[dict[str, Any]]:
        """Return the inputs of one patient that are outside the training cohort, with that cohort's range.

        Parameters
        ----------
        patient : int
            Counted from 0.

        Returns
        -------
        list of dict
            ``input``, ``value`` and ``training_range`` of each; empty where all are inside.
        """
        return [
            {"input": name, "value": float(self.inputs[name][patient]), "training_range": [low, high]}
            for name, (low, high) in self.training_ranges.items()
            if self.extrapolated[name][patient]
        ]

    def to_json(self, patient: int = 0) -> dict[str, Any]:
        """Return the contract's JSON of one patient, without the nomogram's identity.

        Parameters
        ----------
        patient : int
            Counted from 0.

        Returns
        -------
        dict
            Inputs, estimates, recommendation, threshold, decision horizon and extrapolated inputs.
        """
        answer = {
            "inputs": {name: float(values[patient]) for name, values in self.inputs.items()},
            **self.estimates_to_json(patient),
            **self.answer_to_json(patient),
            "threshold": self.threshold,
            "rule": self.decisive.rule.value,
            "decision_horizon_months": self.decision_horizon_months,
            "interval": self.interval_to_json(patient),
        }
        answer["extrapolated"] = self.extrapolations(patient)
        return answer

    def answer_to_json(self, patient: int = 0) -> dict[str, Any]:
        """Return ``recommendation``, ``ground``, displayed ``decisive`` difference, and the ``sentence`` of all."""
        decision, decisive = self.decision(patient), self.decisive
        ci95 = decisive.ci95(patient)
        statement = AnswerStatement(
            decision.answer, decision.ground, decisive.difference(patient), ci95,
            self.decision_horizon_months, self.threshold,
        )  # fmt: skip
        return {
            "recommendation": decision.answer.value,
            "ground": decision.ground.value,
            "decisive": {"difference": statement.difference, "ci95": None if ci95 is None else list(ci95)},
            "sentence": answer_sentence(statement, ENGLISH),
        }

    def interval_to_json(self, patient: int = 0) -> dict[str, Any]:
        """Return what the intervals contain: ``covers``, and the errors of the scores where they contain them."""
        if self.score_error is None:
            return {"covers": COX_MODEL_ONLY}
        return {"covers": COX_MODEL_AND_SCORES, "score_error": self.score_error.to_json(patient)}

    def estimates_to_json(self, patient: int = 0) -> dict[str, Any]:
        """Return points, totals, DFS of both arms and their difference of one patient.

        Parameters
        ----------
        patient : int
            Counted from 0.

        Returns
        -------
        dict
            DFS and difference as fractions by months; an interval is None where the horizon has no variance terms.
        """
        arms = self.arms.items()
        return {
            "points": {
                "age": float(self.points[AGE][patient]),
                "ebv_dna": float(self.points[EBV][patient]),
                "prognostic_score": float(self.points[PROGNOSTIC][patient]),
                PREDICTIVE: {arm.value: float(arm_estimates.predictive_points[patient]) for arm, arm_estimates in arms},
            },
            "total_points": {arm.value: float(arm_estimates.total_points[patient]) for arm, arm_estimates in arms},
            "dfs": {arm.value: self._dfs_to_json(arm_estimates, patient) for arm, arm_estimates in arms},
            "difference": {
                month_key(month): float(self.difference[patient, at]) for at, month in enumerate(self.horizons_months)
            },
            "difference_ci95": {
                month_key(month): _interval(self.difference_low[patient, at], self.difference_high[patient, at])
                for at, month in enumerate(self.horizons_months)
            },
        }

    def _dfs_to_json(self, arm: ArmEstimates, patient: int) -> dict[str, Any]:
        return {
            month_key(month): {
                "value": float(arm.dfs[patient, at]),
                "ci95": _interval(arm.low[patient, at], arm.high[patient, at]),
            }
            for at, month in enumerate(self.horizons_months)
        }


def both_categories_to_json(by_category: Mapping[EbvCategory, NomogramResult], patient: int = 0) -> dict[str, Any]:
    """Return the contract's JSON of a patient whose EBV DNA is unknown.

    Parameters
    ----------
    by_category : mapping of EbvCategory to NomogramResult
        From `CoxNomogram.score_each_category`.
    patient : int
        Counted from 0.

    Returns
    -------
    dict
        Each category's numbers; the recommendation where both agree, else null.
    """
    first = next(iter(by_category.values()))
    recommended = {result.answer(patient).value for result in by_category.values()}
    inputs = {name: float(values[patient]) for name, values in first.inputs.items() if name != "ebv_dna_gt_threshold"}
    return {
        "inputs": {**inputs, "ebv_dna_gt_threshold": None},
        **dict.fromkeys(("points", "total_points", "dfs", "difference", "difference_ci95")),
        "recommendation": recommended.pop() if len(recommended) == 1 else None,
        "threshold": first.threshold,
        "rule": first.decisive.rule.value,
        "decision_horizon_months": first.decision_horizon_months,
        "interval": first.interval_to_json(patient),
        "by_ebv_dna_category": {
            category.value: {
                **result.estimates_to_json(patient),
                **result.answer_to_json(patient),
            }
            for category, result in by_category.items()
        },
        "extrapolated": first.extrapolations(patient),
    }


def month_key(months: float) -> str:
    """Return months as a JSON key: ``36``, or ``4.5`` for a part of a month."""
    return f"{months:g}"


def _interval(low: float, high: float) -> list[float] | None:
    # JSON has no NaN; null says that this horizon has no stored variance terms.
    return None if np.isnan(low) else [float(low), float(high)]
