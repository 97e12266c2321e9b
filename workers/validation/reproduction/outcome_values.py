"""How it does: C-indices, risk groups at the paper's cuts, effect of the treatment by preferred regimen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import stats

from config.arrays import FloatArray
from workers.nomogram.model import CoxNomogram
from workers.survival.cohort import EBV, SCORES, Cohort
from workers.survival.concordance import harrell_concordance, noether_concordance
from workers.validation.reproduction.printed import Value
from workers.validation.reproduction.published_cohort import (
    ARMS,
    PublishedCohort,
    Values,
    has,
    in_arm,
    known,
    points_received,
)
from workers.validation.survival_comparison import (
    CCRT_PREFERRED,
    ICT_PREFERRED,
    SurvivalComparison,
    compare_arms_by_preference,
    compare_risk_groups,
)

_CUTS = {"meanlp": None, "tp100": 100.0}  # None: the mean of the training patients
_GROUPS = {ICT_PREFERRED: "ict_preferred", CCRT_PREFERRED: "ccrt_preferred"}


def concordance_values(published: PublishedCohort) -> Values:
    """C-indices of the Prognostic-score, of both scores with the treatment, and of the CPTDN, by cohort and arm.

    The scores need no EBV DNA: their patients are all of a cohort.
    """
    nomogram = published.nomogram
    for label, whole in published.parts.items():
        if not has(whole, endpoint="dfs"):
            continue
        for arm_name, arm in ARMS.items():
            cohort = in_arm(whole, arm)
            suffix = f"{label}.{arm_name}"
            if has(cohort, SCORES[0]):
                scored = known(cohort, SCORES[0])
                yield from _concordance(f"cindex.prog.{suffix}", scored.column(SCORES[0]), scored)
            if has(cohort, *SCORES) and "scores" in published.models:
                scored = known(cohort, *SCORES)
                yield from _concordance(f"cindex.radiomic.{suffix}", published.models["scores"].risk(scored), scored)
            if has(cohort, EBV, *SCORES):
                scored = known(cohort, EBV, *SCORES)
                if len(scored):
                    yield from _concordance(f"cindex.cptdn.{suffix}", points_received(nomogram, scored), scored)


def _concordance(prefix: str, risk: FloatArray, cohort: Cohort) -> Values:
    outcome = cohort.outcome("dfs")
    if not outcome.event_observed.any():
        return
    noether = noether_concordance(risk, outcome.durations_days, outcome.event_observed)
    harrell = harrell_concordance(risk, outcome.durations_days, outcome.event_observed)
    as_printed = "survcomp's definition (noether), which the paper prints,"
    for name, ours, other in (
        ("c", noether.value, harrell.value),
        ("lo", noether.ci95[0], harrell.ci95[0]),
        ("hi", noether.ci95[1], harrell.ci95[1]),
    ):
        yield f"{prefix}.{name}", ours, {"Harrell's definition": other}
        yield f"{prefix}.harrell_survival.{name}", other, {as_printed: ours}


def risk_values(published: PublishedCohort) -> Values:
    """High against low risk: log-rank p at the mean total points of the training patients, and at the printed 100."""
    nomogram = published.nomogram
    for label, whole in published.parts.items():
        if not has(whole, EBV, *SCORES, endpoint="dfs"):
            continue
        for cut_name, cut in _CUTS.items():
            for arm_name, arm in ARMS.items():
                cohort = known(in_arm(whole, arm), EBV, *SCORES)
                if len(cohort):
                    at = nomogram.mean_total_points if cut is None else cut
                    found = compare_risk_groups(cohort.outcome("dfs"), points_received(nomogram, cohort), at)
                    prefix = f"risk.{cut_name}.{label}.{arm_name}.DFS"
                    yield from _p(prefix, found)


def decision_values(published: PublishedCohort) -> Values:
    """ICT+CCRT against CCRT among the patients for whom each of them is preferred, at a threshold of 0."""
    nomogram = published.nomogram
    for label, whole in published.parts.items():
        if not has(whole, EBV, *SCORES, endpoint="dfs"):
            continue
        cohort, everyone = known(whole, EBV, *SCORES), known(whole, *SCORES)
        if not len(cohort):
            continue
        found = _by_preference(nomogram, cohort)
        of_all = _by_preference(nomogram, everyone) if len(everyone) > len(cohort) else {}
        for group, name in _GROUPS.items():
            prefix = f"decision.arm01.th0pct.{label}.{name}.DFS"
            ratios, of_all_ratios = _ratios(found[group]), _ratios(of_all[group]) if of_all else {}
            for key, value in ratios.items():
                others = {f"all {sum(of_all[group].n)} patients": of_all_ratios[key]} if key in of_all_ratios else {}
                yield f"{prefix}.{key}", value, others
            yield from _p(prefix, found[group])


def _by_preference(nomogram: CoxNomogram, cohort: Cohort) -> dict[str, SurvivalComparison]:
    covariates = cohort.covariates()
    # At a threshold of 0 the preferred regimen depends on the Predictive-score alone, so either category of an unknown
    # EBV DNA gives the same groups.
    ebv = np.nan_to_num(np.asarray(covariates.ebv_dna_gt_threshold, dtype=np.float64))
    covariates = replace(covariates, ebv_dna_gt_threshold=ebv)
    difference = nomogram.score(covariates, horizons_months=(60,)).difference[:, 0]
    return compare_arms_by_preference(cohort.outcome("dfs"), cohort.treated, difference, 0.0)


def _ratios(found: SurvivalComparison) -> dict[str, Value]:
    if found.fit is None:
        return {}
    low, high = found.fit.hazard_ratio_ci95[0]
    return {"hr": float(found.fit.hazard_ratios[0]), "hr_lo": float(low), "hr_hi": float(high)}


def _p(prefix: str, found: SurvivalComparison) -> Values:
    if found.log_rank is None:
        return
    others: dict[str, Value] = {}
    if found.score_chi2 is not None:
        others["Cox score test"] = float(stats.chi2.sf(found.score_chi2, 1))
    if found.fit is not None:
        others["Wald test"] = float(found.fit.p_values[0])
        others["likelihood-ratio test"] = found.fit.chi2_p_value(found.fit.lr_chi2)
    yield f"{prefix}.logrank_p", found.log_rank.p, others
