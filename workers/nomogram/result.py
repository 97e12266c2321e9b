"""What the nomogram says about patients, as arrays and as the contract's JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from config.arrays import BoolArray, FloatArray
from config.indication.vocabulary import EbvCategory, TreatmentArm
from workers.nomogram.points import AGE, EBV, PREDICTIVE, PROGNOSTIC


@dataclass(frozen=True)
class ArmEstimates:
    """One regimen for n patients and h horizons.

    predictive_points, total_points, linear_predictor : (n,).
    dfs : (n, h) probabilities.
    low, high : (n, h) ends of the 95 % confidence interval; NaN where the nomogram keeps no variance terms.
    """

    predictive_points: FloatArray
    total_points: FloatArray
    linear_predictor: FloatArray
    dfs: FloatArray
    low: FloatArray
    high: FloatArray


@dataclass(frozen=True)
class NomogramResult:
    """Both regimens for n patients.

    difference : (n, h) DFS under ICT+CCRT minus DFS under CCRT, with (n, h) ends of its 95 % interval.
    ict_preferred : (n,) difference at the decision horizon > threshold.
    points : factor -> (n,) points of age, EBV DNA and Prognostic-score, the same in both arms.
    extrapolated : input -> (n,) True where it lies outside the range of the training cohort.
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

    def __len__(self) -> int:
        return len(self.ict_preferred)

    def recommendation(self, patient: int = 0) -> TreatmentArm:
        return TreatmentArm.ICT_CCRT if self.ict_preferred[patient] else TreatmentArm.CCRT

    def extrapolations(self, patient: int = 0) -> list[dict[str, Any]]:
        """Inputs of one patient that lie outside the training cohort, with that cohort's range."""
        return [
            {"input": name, "value": float(self.inputs[name][patient]), "training_range": [low, high]}
            for name, (low, high) in self.training_ranges.items()
            if self.extrapolated[name][patient]
        ]

    def to_json(self, patient: int = 0) -> dict[str, Any]:
        """The contract's answer for one patient, without the nomogram's identity."""
        answer = {
            "inputs": {name: float(values[patient]) for name, values in self.inputs.items()},
            **self.estimates_to_json(patient),
            "recommendation": self.recommendation(patient).value,
            "threshold": self.threshold,
            "decision_horizon_months": self.decision_horizon_months,
        }
        answer["extrapolated"] = self.extrapolations(patient)
        return answer

    def estimates_to_json(self, patient: int = 0) -> dict[str, Any]:
        """Points, totals, DFS of both arms and their difference."""
        return {
            "points": {
                "age": float(self.points[AGE][patient]),
                "ebv_dna": float(self.points[EBV][patient]),
                "prognostic_score": float(self.points[PROGNOSTIC][patient]),
                PREDICTIVE: {arm.value: float(found.predictive_points[patient]) for arm, found in self.arms.items()},
            },
            "total_points": {arm.value: float(found.total_points[patient]) for arm, found in self.arms.items()},
            "dfs": {arm.value: self._dfs_to_json(found, patient) for arm, found in self.arms.items()},
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
    """One patient whose EBV DNA is unknown: each category's numbers, and the recommendation where both agree."""
    some = next(iter(by_category.values()))
    recommended = {result.recommendation(patient).value for result in by_category.values()}
    inputs = {name: float(values[patient]) for name, values in some.inputs.items() if name != "ebv_dna_gt_threshold"}
    return {
        "inputs": {**inputs, "ebv_dna_gt_threshold": None},
        **dict.fromkeys(("points", "total_points", "dfs", "difference", "difference_ci95")),
        "recommendation": recommended.pop() if len(recommended) == 1 else None,
        "threshold": some.threshold,
        "decision_horizon_months": some.decision_horizon_months,
        "by_ebv_dna_category": {
            category.value: {
                **result.estimates_to_json(patient),
                "recommendation": result.recommendation(patient).value,
            }
            for category, result in by_category.items()
        },
        "extrapolated": some.extrapolations(patient),
    }


def month_key(months: float) -> str:
    """Months as JSON key: "36", or "4.5" for a part of a month."""
    return f"{months:g}"


def _interval(low: float, high: float) -> list[float] | None:
    return None if np.isnan(low) else [float(low), float(high)]
