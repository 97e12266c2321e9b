"""Survival of two groups of patients compared: hazard ratio, log-rank test, Kaplan-Meier rates.

For risk groups (high against low), for the treatment effect among ICT-preferred and CCRT-preferred patients, and within
subgroups.

References: Zhong et al., EBioMedicine 2021;70:103522, sections 3.4 and 3.5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from config.arrays import BoolArray, FloatArray
from config.errors import InputError
from config.indication.conventions import DAYS_PER_MONTH
from config.indication.nasopharynx import NASOPHARYNX
from config.indication.vocabulary import TreatmentArm
from workers.nomogram.result import NomogramResult, month_key
from workers.survival.cohort import Cohort, Outcome
from workers.survival.cox import CoxFit, fit_cox
from workers.survival.cox_models import INTERACTION, TREATMENT, complete_cases, design_matrix, term_to_json
from workers.survival.kaplan_meier import LogRank, SurvivalCurve, kaplan_meier, log_rank
from workers.survival.partial_likelihood import SeparationError, efron_sums
from workers.survival.proportional_hazards import proportional_hazards_test
from workers.validation.weighted_survival import MeanDifference, restricted_mean, restricted_mean_se

HORIZONS_MONTHS = tuple(float(month) for month in NASOPHARYNX.horizons_months)
ICT_PREFERRED, CCRT_PREFERRED = "ICT-preferred", "CCRT-preferred"
SUBGROUP_CUTS = {"age_years": 42.0, "tumour_volume_ml": 29.0}  # the paper's
MOST_CATEGORIES = 6
NOT_PROPORTIONAL = 0.05
"""p of the test of proportional hazards below which a warning is given."""


@dataclass(frozen=True)
class SurvivalComparison:
    """Comparison of a second group with a first one.

    Attributes
    ----------
    names : pair of str
        First group, second group.
    n, events : pair of int
        Patients and events of each.
    curves : pair of SurvivalCurve or None
        Kaplan-Meier estimates; None for an empty group.
    fit : CoxFit or None
        Of the indicator of the second group; None where its hazard ratio diverges or a group is empty.
    score_chi2 : float or None
        Cox score statistic, which exists where the hazard ratio does not.
    log_rank : LogRank or None
        None where no event happened while both groups were at risk.
    reason : str
        Why there is no fit.
    proportional_hazards_p : float or None
        Test of a hazard ratio that is constant in time; None without a fit.
    """

    names: tuple[str, str]
    n: tuple[int, int]
    events: tuple[int, int]
    curves: tuple[SurvivalCurve | None, SurvivalCurve | None]
    fit: CoxFit | None
    score_chi2: float | None
    log_rank: LogRank | None
    reason: str = ""
    proportional_hazards_p: float | None = None

    @property
    def warning(self) -> str:
        """What to read in place of the hazard ratio where the hazards are not proportional.

        Returns
        -------
        str
            Empty where the test does not speak against proportional hazards.
        """
        p = self.proportional_hazards_p
        if p is None or p >= NOT_PROPORTIONAL:
            return ""
        return (
            f"the hazards are not proportional (p = {p:.2g}): the hazard ratio is an average over the follow-up; "
            "compare the restricted means"
        )

    def restricted_mean_difference(self, days: float) -> MeanDifference | None:
        """Return the difference of the mean survival times up to a time, second group minus first.

        Parameters
        ----------
        days : float
            End of the area under both Kaplan-Meier curves.

        Returns
        -------
        MeanDifference or None
            In days; None where a group is empty or its follow-up ends before.
        """
        means = []
        for curve in self.curves:
            if curve is None or curve.durations_days.max() < days:
                return None
            means.append((restricted_mean(curve.days, curve.survival, days), restricted_mean_se(curve, days)))
        (first, first_se), (second, second_se) = means
        return MeanDifference(second - first, float(np.hypot(first_se, second_se)))

    def to_json(self, horizons_months: Sequence[float] = HORIZONS_MONTHS) -> dict[str, Any]:
        """Return the contract's JSON.

        Parameters
        ----------
        horizons_months : sequence of float
            When the survival of each group is given.
        """
        fit = self.fit
        answer: dict[str, Any] = {
            "n": sum(self.n),
            "n_events": sum(self.events),
            "comparison": f"{self.names[1]} against {self.names[0]}",
            "hazard_ratio": float(fit.hazard_ratios[0]) if fit else None,
            "ci95": [float(end) for end in fit.hazard_ratio_ci95[0]] if fit else None,
            "coef": float(fit.coefficients[0]) if fit else None,
            "se": float(fit.standard_errors[0]) if fit else None,
            "p_wald": float(fit.p_values[0]) if fit else None,
            "p_likelihood_ratio": fit.chi2_p_value(fit.lr_chi2) if fit else None,
            "p_log_rank": self.log_rank.p if self.log_rank else None,
            "log_rank_chi2": self.log_rank.chi2 if self.log_rank else None,
            "score_chi2": self.score_chi2,
            "groups": {name: self._group_to_json(at, horizons_months) for at, name in enumerate(self.names)},
        }
        months = {month: self.restricted_mean_difference(month * DAYS_PER_MONTH) for month in horizons_months}
        answer["restricted_mean_difference_months"] = {
            month_key(month): {
                "value": difference.value / DAYS_PER_MONTH,
                "ci95": [end / DAYS_PER_MONTH for end in difference.ci95],
            }
            if difference
            else None
            for month, difference in months.items()
        }
        answer["proportional_hazards_p"] = self.proportional_hazards_p
        for name, text in (("reason", self.reason), ("warning", self.warning)):
            if text:
                answer[name] = text
        return answer

    def _group_to_json(self, at: int, horizons_months: Sequence[float]) -> dict[str, Any]:
        curve = self.curves[at]
        answer: dict[str, Any] = {"n": self.n[at], "n_events": self.events[at]}
        if self.log_rank:
            answer.update(observed=self.log_rank.observed[at], expected=self.log_rank.expected[at])
        if curve is not None:
            answer["survival"] = {}
            for month in horizons_months:
                estimate = curve.at(month * DAYS_PER_MONTH)
                answer["survival"][month_key(month)] = {
                    "value": estimate.value,
                    "se": estimate.se,
                    "ci95": list(estimate.ci95) if estimate.ci95 else None,
                    "n_at_risk": estimate.n_at_risk,
                }
        return answer


def compare_survival(outcome: Outcome, second: BoolArray, names: tuple[str, str]) -> SurvivalComparison:
    """Compare the survival of two groups.

    Parameters
    ----------
    outcome : Outcome
        Follow-up of n patients.
    second : bool array, shape (n,)
        True for the patients of the second group.
    names : pair of str
        First group, second group.

    Returns
    -------
    SurvivalComparison
        The hazard ratio is that of the second group against the first.
    """
    days, events = outcome.durations_days, outcome.event_observed
    masks = (~second, second)
    n = (int(masks[0].sum()), int(masks[1].sum()))
    n_events = (int(events[masks[0]].sum()), int(events[masks[1]].sum()))
    curves = tuple(kaplan_meier(days[mask], events[mask]) if mask.any() else None for mask in masks)
    fit, reason, score_chi2, ranks, hazards_p = None, "", None, None, None
    if min(n) == 0:
        reason = f"no patient in the group {names[n.index(0)]}"
    elif sum(n_events) == 0:
        reason = "no event in either group"
    else:
        x = second.astype(np.float64)[:, None]
        # The score statistic needs no fit, so it exists where the hazard ratio diverges.
        null = efron_sums(x, days, events, np.zeros(1))
        information = float(null.information[0, 0])
        score_chi2 = float(null.gradient[0]) ** 2 / information if information > 0 else None
        ranks = log_rank(days, events, second)
        try:
            fit = fit_cox(x, [names[1]], days, events)
            hazards_p = proportional_hazards_test(fit, x, days, events).p_global
        except SeparationError:
            # With no event in one group the likelihood rises to a hazard ratio of 0 or infinity; coxph warns and prints
            # a large number.
            empty = [name for name, count in zip(names, n_events, strict=True) if count == 0]
            reason = f"the hazard ratio diverges: no event in {empty[0]}" if empty else "the hazard ratio diverges"
    return SurvivalComparison(names, n, n_events, (curves[0], curves[1]), fit, score_chi2, ranks, reason, hazards_p)


def compare_risk_groups(outcome: Outcome, total_points: FloatArray, cut: float) -> SurvivalComparison:
    """Compare high risk (total points above the cut) with low risk.

    Parameters
    ----------
    outcome : Outcome
        Follow-up of n patients.
    total_points : array, shape (n,)
        Under the treatment received.
    cut : float
        Points; the mean of the training cohort in the paper.
    """
    return compare_survival(outcome, total_points > cut, ("low risk", "high risk"))


def total_points_received(result: NomogramResult, treated: BoolArray) -> FloatArray:
    """Return the total points under the treatment that each patient received.

    Parameters
    ----------
    result : NomogramResult
        n patients.
    treated : bool array, shape (n,)
        True for ICT+CCRT.

    Returns
    -------
    array, shape (n,)
        Points.
    """
    # Risk groups are formed by the treatment received: the outcome was observed under it.
    ict, ccrt = (result.arms[arm].total_points for arm in (TreatmentArm.ICT_CCRT, TreatmentArm.CCRT))
    return np.where(treated, ict, ccrt)


def compare_arms_by_preference(
    outcome: Outcome, treated: BoolArray, difference: FloatArray, threshold: float
) -> dict[str, SurvivalComparison]:
    """Compare ICT+CCRT with CCRT among the patients for whom each regimen is preferred.

    Parameters
    ----------
    outcome : Outcome
        Follow-up of n patients.
    treated : bool array, shape (n,)
        True for ICT+CCRT.
    difference : array, shape (n,)
        DFS under ICT+CCRT minus DFS under CCRT at the decision horizon, as fractions.
    threshold : float
        ICT+CCRT is preferred where the difference exceeds this fraction.

    Returns
    -------
    dict of str to SurvivalComparison
        ``ICT-preferred`` and ``CCRT-preferred``.

    References
    ----------
    Zhong et al. 2021, section 3.5 and Figure 5.
    """
    # Strictly, as in the nomogram's recommendation.
    preferred = difference > threshold
    arms = (TreatmentArm.CCRT.value, TreatmentArm.ICT_CCRT.value)
    comparisons: dict[str, SurvivalComparison] = {}
    for name, mask in ((ICT_PREFERRED, preferred), (CCRT_PREFERRED, ~preferred)):
        comparisons[name] = compare_survival(outcome.where(mask), treated[mask], arms)
    return comparisons


def predictive_interaction(cohort: Cohort, endpoint: str = "dfs") -> dict[str, Any]:
    """Estimate how the effect of the treatment changes with the Predictive-score; no prediction is made of it.

    Parameters
    ----------
    cohort : Cohort
        Patients of both arms; those without a Predictive-score are left out.
    endpoint : str
        Which follow-up.

    Returns
    -------
    dict
        Coefficient, standard error, hazard ratio with interval and Wald p of the product, as coxph of the score, the
        treatment and their product; or the reason why there is none.

    References
    ----------
    Zhong et al. 2021, section 3.
    """
    terms = ("predictive_score", TREATMENT, INTERACTION)
    x, outcome = design_matrix(cohort, terms), cohort.outcome(endpoint)
    scored = complete_cases(x)
    try:
        fit = fit_cox(x[scored], terms, outcome.durations_days[scored], outcome.event_observed[scored])
    except InputError as error:
        return {"reason": str(error)}
    return term_to_json(fit, terms.index(INTERACTION))


def subgroup_masks(cohort: Cohort, column: str) -> Mapping[str, BoolArray]:
    """Return which patients are in each subgroup of a column.

    Parameters
    ----------
    cohort : Cohort
        n patients.
    column : str
        Its values become subgroups; a number with more than six values is cut at the paper's cut (age 42 years, volume
        29 mL), else at its median.

    Returns
    -------
    mapping of str to bool array, shape (n,)
        Label -> patients; unknown values are in no subgroup.

    Raises
    ------
    InputError
        The column is missing or constant, or has too many values.
    """
    if column in ("sex", "sex_male") and "sex_male" in cohort.values:
        # NaN is equal to neither value, so a patient of unknown sex is in no subgroup.
        male = cohort.values["sex_male"]
        return {"male": male == 1, "female": male == 0}
    if column in cohort.values:
        values = cohort.values[column]
        known = np.unique(values[~np.isnan(values)])
        if len(known) > MOST_CATEGORIES:
            # Own subgroups are cut at this cohort's median, which moves with the cohort; the paper's two cuts do not.
            cut = SUBGROUP_CUTS.get(column, float(np.median(values[~np.isnan(values)])))
            return {f"{column} <= {cut:g}": values <= cut, f"{column} > {cut:g}": values > cut}
        masks = {f"{column} = {value:g}": values == value for value in known}
    elif column in cohort.texts:
        texts = np.array(cohort.texts[column])
        masks = {f"{column} = {text}": texts == text for text in sorted(set(texts)) if text}
    else:
        raise InputError(f"{cohort.source}: missing the column {column}; found {', '.join(cohort.texts)}")
    if not 2 <= len(masks) <= MOST_CATEGORIES:
        raise InputError(
            f"{cohort.source}: a subgroup column needs 2 to {MOST_CATEGORIES} values, found {len(masks)} in {column}"
        )
    return masks
