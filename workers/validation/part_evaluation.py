"""Results of a nomogram on one set of patients, as values and as the contract's JSON.

References: Zhong et al., EBioMedicine 2021;70:103522, sections 2.5 and 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from config.arrays import FloatArray
from config.indication.vocabulary import TreatmentArm
from workers.nomogram.result import month_key
from workers.survival.concordance import Concordance
from workers.validation.analysed_patients import AnalysedPatients
from workers.validation.baseline_table import FactorBalance
from workers.validation.benefit import Benefit
from workers.validation.calibration import Calibration
from workers.validation.decision_curve import DecisionCurve
from workers.validation.estimates import Figure
from workers.validation.horizon_figures import SlopeOverTime
from workers.validation.survival_comparison import (
    SurvivalComparison,
)

ALL = "all"
ARMS: Mapping[str, TreatmentArm | None] = {
    ALL: None,
    **{arm.value: arm for arm in (TreatmentArm.CCRT, TreatmentArm.ICT_CCRT)},
}
AS_GIVEN, FITTED_HERE = ", as given", ", fitted on this cohort"


@dataclass(frozen=True)
class ModelConcordance:
    """Both definitions of the C-index of one model in one arm."""

    noether: Concordance
    harrell: Concordance

    def to_json(self) -> dict[str, Any]:
        """Return Noether's C-index, with Harrell's inside."""
        return {**self.noether.to_json(), "harrell": self.harrell.to_json()}


@dataclass(frozen=True)
class CategoryBound:
    """What needs a value of EBV DNA, for all patients with the unknown ones taken as one category.

    Attributes
    ----------
    c_index : mapping of str to ModelConcordance
        Of the nomogram, by arm.
    risk : mapping of str to SurvivalComparison
        High against low risk, by arm.
    calibration_slope : float or None
        None for other endpoints than DFS, or without a fit.
    mean_predicted : mapping of float to float
        Mean predicted DFS under the treatment received, by months.
    """

    c_index: Mapping[str, ModelConcordance]
    risk: Mapping[str, SurvivalComparison]
    calibration_slope: float | None
    mean_predicted: Mapping[float, float]

    def to_json(self, horizons_months: Sequence[float]) -> dict[str, Any]:
        """Return the contract's JSON of one bound."""
        return {
            "c_index": {arm: result.to_json() for arm, result in self.c_index.items()},
            "risk_groups": {arm: result.to_json(horizons_months) for arm, result in self.risk.items()},
            "calibration_slope": self.calibration_slope,
            "mean_predicted": {month_key(month): value for month, value in self.mean_predicted.items()},
        }


@dataclass(frozen=True)
class PartEvaluation:
    """Results on one set of patients. Mappings by arm have the keys ``all``, ``CCRT`` and ``ICT+CCRT``.

    Attributes
    ----------
    n, n_events : int
        Patients and events of the endpoint; EBV DNA known or not.
    analyses : sequence of AnalysedPatients
        Who is in each analysis.
    c_index : mapping of str to ModelConcordance
        Of the nomogram as given, by arm.
    c_index_of_score : mapping of str to ModelConcordance
        Of the Prognostic-score alone, by arm; all patients.
    c_index_of_models : mapping of str to mapping
        Of the comparison models of the nomogram, by name and arm.
    c_index_of_refitted : mapping of str to mapping
        Of models that were fitted on this cohort; empty unless asked for.
    risk : mapping of str to SurvivalComparison
        High against low risk, by arm.
    decision : mapping of str to mapping
        Threshold (``0.02``) -> preferred regimen -> effect of the treatment.
    calibration : mapping of float to Calibration
        By months; empty for other endpoints than DFS.
    calibration_slope : float or None
        None for other endpoints, or without events.
    slope_over_time : SlopeOverTime or None
        Whether the slope is constant; None like the slope.
    at_horizons : mapping of float to mapping of str to Figure
        Months -> AUC, Brier score, IPA, ICI; empty for other endpoints than DFS.
    smooth_calibration : mapping of float to array, shape (2, k)
        Months -> predicted and smooth observed survival, ascending; empty where they cannot be fitted.
    net_benefit : DecisionCurve or None
        None for other endpoints.
    benefit : Benefit or None
        What following the recommendation is worth; None for other endpoints, or with `no_benefit`.
    no_benefit : str
        Why there is no benefit.
    bounds : mapping of str to CategoryBound
        By the category that unknown EBV DNA is taken as; empty where none is unknown.
    table_1, follow_up, balance
        See `baseline_table`; all patients.
    predictive_interaction : mapping of str to object
        Of the Predictive-score with the treatment, estimated on these patients as a measure of them.
    """

    n: int
    n_events: int
    analyses: Sequence[AnalysedPatients]
    c_index: Mapping[str, ModelConcordance]
    c_index_of_score: Mapping[str, ModelConcordance]
    c_index_of_models: Mapping[str, Mapping[str, ModelConcordance]]
    c_index_of_refitted: Mapping[str, Mapping[str, ModelConcordance]]
    risk: Mapping[str, SurvivalComparison]
    decision: Mapping[str, Mapping[str, SurvivalComparison]]
    calibration: Mapping[float, Calibration]
    calibration_slope: float | None
    slope_over_time: SlopeOverTime | None
    at_horizons: Mapping[float, Mapping[str, Figure]]
    smooth_calibration: Mapping[float, FloatArray]
    net_benefit: DecisionCurve | None
    benefit: Benefit | None
    no_benefit: str
    bounds: Mapping[str, CategoryBound]
    table_1: Mapping[str, Any]
    follow_up: Mapping[str, Any] | None
    balance: Sequence[FactorBalance]
    predictive_interaction: Mapping[str, Any]

    def to_json(self, horizons_months: Sequence[float]) -> dict[str, Any]:
        """Return the contract's JSON of one set of patients."""
        return {
            "n": self.n,
            "n_events": self.n_events,
            "patients_in_analyses": [each.to_json() for each in self.analyses],
            "c_index": {arm: result.to_json() for arm, result in self.c_index.items()},
            "c_index_prognostic_score": {arm: result.to_json() for arm, result in self.c_index_of_score.items()},
            "c_index_models": _by_model(self.c_index_of_models),
            "c_index_refitted_models": _by_model(self.c_index_of_refitted),
            "risk_groups": {arm: result.to_json(horizons_months) for arm, result in self.risk.items()},
            "decision": {
                threshold: {name: result.to_json(horizons_months) for name, result in groups.items()}
                for threshold, groups in self.decision.items()
            },
            "calibration": {
                month_key(month): [group.to_json() for group in result.groups]
                for month, result in self.calibration.items()
            },
            "calibration_tests": {
                month_key(month): result.tests_to_json() for month, result in self.calibration.items()
            },
            "calibration_slope": self.calibration_slope,
            "calibration_slope_over_time": self.slope_over_time.to_json() if self.slope_over_time else None,
            "at_horizons": {
                month_key(month): {name: figure.to_json() for name, figure in figures.items()}
                for month, figures in self.at_horizons.items()
            },
            "smooth_calibration": {
                month_key(month): {"predicted": curve[0].tolist(), "observed": curve[1].tolist()}
                for month, curve in self.smooth_calibration.items()
            },
            "benefit": self.benefit.to_json() if self.benefit else {"reason": self.no_benefit},
            "decision_curve": self.net_benefit.to_json() if self.net_benefit else None,
            "ebv_dna_unknown_taken_as": {name: bound.to_json(horizons_months) for name, bound in self.bounds.items()},
            "table_1": dict(self.table_1),
            "follow_up": self.follow_up,
            "balance_of_arms": {result.factor: result.to_json() for result in self.balance},
            "predictive_interaction": dict(self.predictive_interaction),
        }


def compared_concordances(part: PartEvaluation) -> list[tuple[str, str, Mapping[str, ModelConcordance]]]:
    """Return the C-indices of the nomogram and of all models.

    Parameters
    ----------
    part : PartEvaluation
        Any.

    Returns
    -------
    list of (str, str, mapping)
        Name, place of the fit as a text, and C-indices by arm: the nomogram first, refitted models last.
    """
    rows: list[tuple[str, str, Mapping[str, ModelConcordance]]] = [("cptdn", AS_GIVEN, part.c_index)]
    rows += [(name, "", by_arm) for name, by_arm in part.c_index_of_models.items()]
    return rows + [(name, FITTED_HERE, by_arm) for name, by_arm in part.c_index_of_refitted.items()]


def _by_model(by_model: Mapping[str, Mapping[str, ModelConcordance]]) -> dict[str, Any]:
    return {name: {arm: result.to_json() for arm, result in by_arm.items()} for name, by_arm in by_model.items()}
