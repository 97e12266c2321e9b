"""Fit the CPTDN on a cohort and write the nomogram that scoring reads.

References: Zhong et al., EBioMedicine 2021;70:103522, section 2.4; Efron ties and step baseline as R's survfit.coxph.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np

from config.arrays import BoolArray, FloatArray
from config.bundle_admission import events_per_parameter_finding
from config.bundle_manifest import INDICATION
from config.indication.conventions import DAYS_PER_MONTH, MONTHS_PER_YEAR, Z_95
from config.indication.nasopharynx import NASOPHARYNX
from config.indication.profile import Indication
from config.indication.vocabulary import TreatmentArm
from workers.nomogram.inputs import term_columns, validated_inputs
from workers.nomogram.model import CoxNomogram
from workers.nomogram.nomogram_file import load_nomogram
from workers.nomogram.points import (
    AGE,
    EBV,
    INTERACTION,
    PREDICTIVE,
    PROGNOSTIC,
    TERMS,
    TREATMENT,
    PointsScale,
    pretty_range,
    pretty_step,
)
from workers.nomogram.result import month_key
from workers.survival.baseline_hazard import StepBaseline, step_baseline
from workers.survival.cohort import require_follow_up
from workers.survival.covariates import PatientCovariates
from workers.survival.cox import CoxFit, fit_cox
from workers.survival.ridge import Penalty, cross_validated_penalty, fit_ridge_cox

DFS_TICKS = (0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
CONTRACT_TERMS = {
    AGE: "age_per_10_years",
    PROGNOSTIC: "prognostic_score",
    PREDICTIVE: "predictive_score",
    TREATMENT: "treatment_ict",
    EBV: "ebv_dna_gt_4000",
    INTERACTION: "predictive_score:treatment_ict",
}
MARKED = "marked"  # key of the document, read by `CoxNomogram.marks`
_PER_UNIT = {AGE: 10.0}  # the contract gives age per ten years


@dataclass(frozen=True)
class TrainingData:
    """n patients with both scores, the treatment they received and their disease-free survival.

    Attributes
    ----------
    covariates : PatientCovariates
        Arrays of shape (n,); no value is unknown.
    treated : bool array, shape (n,)
        True for ICT+CCRT.
    durations_days : array, shape (n,)
        Days to the event or to censoring.
    event_observed : bool array, shape (n,)
        True where the event was observed.
    """

    covariates: PatientCovariates
    treated: BoolArray
    durations_days: FloatArray
    event_observed: BoolArray


@dataclass(frozen=True)
class FittedNomogram:
    """The Cox fit (age per year) and the nomogram built from it."""

    fit: CoxFit
    nomogram: CoxNomogram

    def to_json(self) -> dict[str, Any]:
        """Return the contract's JSON of ``nomogram fit``."""
        months = [int(days) // DAYS_PER_MONTH for days in self.nomogram.variance_terms]
        hazard = self.nomogram.baseline_hazard(months)
        return {
            "n": self.fit.n,
            "n_events": self.fit.n_events,
            "coefficients": coefficients_to_json(self.fit),
            "log_likelihood": self.fit.log_likelihood,
            "aic": self.fit.aic,
            "penalty": self.fit.penalty or None,
            "effective_terms": self.fit.effective_terms,
            "baseline_survival": {month_key(m): float(np.exp(-h)) for m, h in zip(months, hazard, strict=True)},
            "mean_total_points": self.nomogram.mean_total_points,
            "predictive_score_of_equal_arms": self.nomogram.document["decision"]["predictive_score_equal_arms"],
            "nomogram": {"name": self.nomogram.name, "digest": self.nomogram.digest},
            "events_per_parameter": self.nomogram.document["fit"]["events_per_parameter"],
            MARKED: self.nomogram.marks,
        }


def coefficients_to_json(fit: CoxFit) -> dict[str, dict[str, Any]]:
    """Return the effects of a fit under the contract's names.

    Parameters
    ----------
    fit : CoxFit
        Of the terms of `points.TERMS`.

    Returns
    -------
    dict
        Term -> coefficient, standard error, hazard ratio with 95 % interval and p; age per ten years.
    """
    answer: dict[str, dict[str, Any]] = {}
    for at, term in enumerate(fit.terms):
        per = _PER_UNIT.get(term, 1.0)
        coefficient, error = float(fit.coefficients[at]) * per, float(fit.standard_errors[at]) * per
        answer[CONTRACT_TERMS[term]] = {
            "coef": coefficient,
            "se": error,
            "hazard_ratio": float(np.exp(coefficient)),
            "ci95": [float(np.exp(coefficient - Z_95 * error)), float(np.exp(coefficient + Z_95 * error))],
            "p": float(fit.p_values[at]),
        }
    return answer


def design_matrix(data: TrainingData) -> FloatArray:
    """Return the covariates under the treatment received.

    Parameters
    ----------
    data : TrainingData
        n patients.

    Returns
    -------
    array, shape (n, 6)
        Columns in the order of `points.TERMS`.
    """
    return term_columns(validated_inputs(data.covariates), data.treated)


def fit_nomogram(
    data: TrainingData,
    *,
    name: str,
    population: str,
    data_source: str = "",
    patients_digest: str | None = None,
    citation: str = "",
    indication: Indication = NASOPHARYNX,
    penalty: Penalty = None,
) -> FittedNomogram:
    """Fit the CPTDN and lay out its nomogram.

    Interval terms are stored for every year within the follow-up and for the horizons: sums over many patients, so
    that a nomogram that leaves the hospital does not contain its patients' rows.

    Parameters
    ----------
    data : TrainingData
        Complete cases.
    name, population : str
        Shown in every report.
    patients_digest : str or None
        `Cohort.patients_digest`, by which an evaluation knows the patients again.
    data_source, citation : str
        Where the rows come from, and what to cite.
    indication : Indication
        What it is fitted for; stored in the document, so that scoring uses its horizons and threshold.
    penalty : float, "auto" or None
        Of a ridge-penalised fit, given or chosen by cross-validation (see `workers.survival.ridge`); None: no penalty.

    Returns
    -------
    FittedNomogram
        Fit and nomogram.

    Raises
    ------
    InputError
        No event, a follow-up that does not reach a horizon, or a constant column.
    SeparationError
        The likelihood has no maximum; a penalised one always has one.

    References
    ----------
    Zhong et al. 2021, section 2.4.
    """
    # Uncentred, as it is stored: the baseline hazard of the file is that of x = 0.
    x = design_matrix(data)
    longest = float(data.durations_days.max())
    require_follow_up(data.durations_days, indication.horizons_months, data_source or name)
    fit = _fit(x, data, penalty)
    # Not lifelines' own baseline, which is Breslow's and interpolated between events (baseline_hazard.py).
    baseline = step_baseline(x, data.durations_days, data.event_observed, fit.coefficients)
    described = _fit_to_json(fit, penalty)
    if patients_digest is not None:
        described["patients_digest"] = patients_digest
    document = {
        "name": name,
        "citation": citation,
        "data_source": data_source,
        "population": population,
        INDICATION: indication.model_dump(mode="json"),
        "endpoint": "disease-free survival",
        "time_unit": "day",
        "days_per_month": DAYS_PER_MONTH,
        "fit": described,
        "terms": list(TERMS),
        "coefficients": dict(zip(TERMS, fit.coefficients.tolist(), strict=True)),
        "se": dict(zip(TERMS, fit.standard_errors.tolist(), strict=True)),
        "covariance": fit.covariance.tolist(),
        **_baseline_to_json(baseline, longest, indication.horizons_months),
        **_axes_to_json(fit, baseline, data, indication.horizons_months),
    }
    if finding := events_per_parameter_finding(fit.n_events, len(TERMS)):
        document[MARKED] = [finding.to_json()]
    return FittedNomogram(fit, load_nomogram(document))


def _fit(x: FloatArray, data: TrainingData, penalty: Penalty) -> CoxFit:
    if penalty is None:
        return fit_cox(x, TERMS, data.durations_days, data.event_observed)
    if penalty == "auto":
        penalty = cross_validated_penalty(x, TERMS, data.durations_days, data.event_observed)
    return fit_ridge_cox(x, TERMS, data.durations_days, data.event_observed, penalty)


def _fit_to_json(fit: CoxFit, penalty: Penalty) -> dict[str, Any]:
    document: dict[str, Any] = {
        "method": "Cox partial likelihood, Efron ties",
        "software": f"lifelines {version('lifelines')}, to 1e-14",
        "n": fit.n,
        "events": fit.n_events,
        "events_per_parameter": round(fit.n_events / len(TERMS), 2),
        "loglik_null": fit.log_likelihood_null,
        "loglik": fit.log_likelihood,
        "aic": fit.aic,
    }
    if penalty is None:
        return document
    return {
        **document,
        "method": "Cox partial likelihood, Efron ties, minus penalty / 2 times the sum of squared effects per standard "
        "deviation",
        "software": f"cptdn-node {version('cptdn-node')}, Newton's method",
        "penalty": fit.penalty,
        "penalty_chosen": "by cross-validated partial likelihood" if penalty == "auto" else "given",
        "effective_terms": fit.effective_terms,
        "covariance": "inverse of the penalised information (posterior under a normal prior of variance 1 / penalty)",
    }


def _baseline_to_json(baseline: StepBaseline, longest_days: float, horizons_months: Sequence[int]) -> dict[str, Any]:
    year_days = MONTHS_PER_YEAR * DAYS_PER_MONTH
    # Every year, so that pages and commands have intervals at other horizons than those of the decision as well.
    years = range(year_days, int(longest_days) + 1, year_days)
    kept_days = sorted({*years, *(month * DAYS_PER_MONTH for month in horizons_months)})
    horizons = {month_key(days): float(days) for days in kept_days}
    return {
        "baseline": {
            "definition": "S(t|x) = exp(-H0(t) exp(sum(coef x))), x uncentred, H0 right-continuous steps, Efron",
            "times": baseline.event_days.tolist(),
            "n_events": baseline.n_events.tolist(),
            "cumulative_hazard": baseline.cumulative_hazard.tolist(),
        },
        "confidence": {
            "definition": "se(log S) = exp(lp) sqrt(A + g' Cov g), g = H0 x - q; 95 % CI S exp(-+1.959964 se), at most "
            "1; difference of arms: delta method, cov(log S1, log S0) = exp(lp1 + lp0) (A + g1' Cov g0)",
            "A": {key: baseline.a_at(days) for key, days in horizons.items()},
            "q": {key: baseline.q_at(days).tolist() for key, days in horizons.items()},
        },
    }


def _axes_to_json(
    fit: CoxFit, baseline: StepBaseline, data: TrainingData, horizons_months: Sequence[int]
) -> dict[str, Any]:
    inputs = validated_inputs(data.covariates)
    # Extrapolation is marked against the observed range, the axes are drawn to the next tick beyond it.
    observed = {term: (float(inputs[term].min()), float(inputs[term].max())) for term in (AGE, PROGNOSTIC, PREDICTIVE)}
    axes = {term: pretty_range(*ends) for term, ends in observed.items()}
    # A category has two points and no range that could be rounded.
    axes[EBV] = (0.0, 1.0)
    coefficients = dict(zip(TERMS, fit.coefficients.tolist(), strict=True))
    scale = PointsScale.of(coefficients, axes)
    highest = sum(max(scale.of_factor(term, end) for end in axes[term]) for term in (AGE, PROGNOSTIC, EBV))
    # One arm's axis counts, never both: a patient receives one regimen.
    highest += max(scale.of_predictive_score(arm, end) for arm in TreatmentArm for end in axes[PREDICTIVE])
    step = pretty_step(0.0, highest)
    axes["total_points"] = (0.0, highest // step * step)  # as rms: to the last tick that can be reached
    lp = fit.linear_predictor(design_matrix(data))
    days = [month * DAYS_PER_MONTH for month in horizons_months]
    durations = data.durations_days
    return {
        "nomogram": {
            "lp_per_point": scale.lp_per_point,
            "lp_at_zero_points": scale.lp_at_zero_points,
            "total_points": "(lp - lp_at_zero_points) / lp_per_point",
            "axis_ranges": {term: list(ends) for term, ends in axes.items()},
            "dfs_ticks": list(DFS_TICKS),
            "total_points_at_ticks": {str(day): _totals(scale, baseline.hazard_at(day)) for day in days},
        },
        "decision": {
            "rule": "ICT+CCRT if S_ict - S_ccrt > threshold else CCRT",
            # The product's and the treatment's effect cancel at this score: b_treatment + b_product * score = 0. The
            # baseline drops out, so it is the same for every patient and every horizon.
            "predictive_score_equal_arms": -coefficients[TREATMENT] / coefficients[INTERACTION],
        },
        "risk_cut": {
            # Under the treatment received. The paper cuts high and low risk at the training cohort's mean, in other
            # cohorts, too.
            "mean_lp_training": float(lp.mean()),
            "mean_total_points_training": float(scale.total(lp).mean()),
        },
        "training_ranges": {
            **{term: list(ends) for term, ends in observed.items()},
            "dfs_days": [float(durations[data.event_observed].min()), float(durations.max())],
        },
    }


def _totals(scale: PointsScale, hazard: float) -> list[float]:
    """Return the total points at which DFS equals each tick; empty before the first event."""
    if hazard == 0:
        return []
    # S = exp(-H0 exp(lp)) solved for lp, then in points.
    return [float(scale.total(float(np.log(-np.log(dfs) / hazard)))) for dfs in DFS_TICKS]
