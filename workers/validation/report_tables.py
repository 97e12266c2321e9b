"""The tables of an evaluation report: captions, headers and cells as text, without markup."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from config.indication.conventions import DAYS_PER_MONTH
from config.indication.nasopharynx import NASOPHARYNX
from workers.nomogram.fitting import CONTRACT_TERMS
from workers.nomogram.model import CoxNomogram
from workers.nomogram.result import month_key
from workers.validation.benefit_tables import figure_text
from workers.validation.development import Development
from workers.validation.display_text import FACTOR_NAMES, MODEL_NAMES, factor_name, interval_text, p_cell, p_text
from workers.validation.evaluation import Evaluation
from workers.validation.part_evaluation import ModelConcordance, PartEvaluation, compared_concordances
from workers.validation.report_table import ReportTable
from workers.validation.survival_comparison import SurvivalComparison

COMPARISON_HEADER = (
    "Comparison", "n", "events", "hazard ratio (95 % CI)", "p (log-rank)", "difference of mean months (95 % CI)",
    "p (proportional hazards)",
)  # fmt: skip
Parts = Mapping[str, PartEvaluation]
RESTRICTED_DAYS = NASOPHARYNX.decision.horizon_months * DAYS_PER_MONTH
HORIZON_NAMES = {"auc": "AUC", "brier": "Brier score", "ipa": "index of prediction accuracy", "ici": "ICI"}


def patient_table(parts: Parts) -> ReportTable:
    """Return table 1: factors, events and follow-up of each part of the cohort, one column per part."""
    rows: list[list[str]] = []
    tables = [part.table_1 for part in parts.values()]
    for factor in tables[0]:
        if factor not in ("n", "events"):
            rows += _factor_rows(factor_name(factor), [table.get(factor) for table in tables])
    rows.append(["Events", *(f"{part.n_events} ({100 * part.n_events / part.n:.1f} %)" for part in parts.values())])
    rows.append(["Follow-up in months, median (quartiles)", *(_follow_up(part.follow_up) for part in parts.values())])
    header = ["", *(f"{label}, n = {part.n}" for label, part in parts.items())]
    return ReportTable("Table 1. Patients", header, rows)


def _factor_rows(name: str, columns: Sequence[Mapping[str, Any] | None]) -> Iterator[list[str]]:
    """Yield one row for a quantity, else one per category; unknown values in a row of their own."""
    first = columns[0]
    if first and "median" in first:
        yield [f"{name}, median (range)", *(_quantity(column) for column in columns)]
        return
    for category in [key for key in first or {} if key != "unknown"]:
        yield [f"{name}: {category}", *(_count(column, category) for column in columns)]
    if any(column and column.get("unknown") for column in columns):
        yield [f"{name}: unknown", *(str(column["unknown"]) if column else "" for column in columns)]


def _quantity(column: Mapping[str, Any] | None) -> str:
    if not column or "median" not in column:
        return ""
    return f"{column['median']:.3g} ({column['min']:.3g} to {column['max']:.3g})"


def _count(column: Mapping[str, Any] | None, category: str) -> str:
    if not column or category not in column:
        return ""
    percent = column[category]["percent"]
    return f"{column[category]['n']}" + (f" ({percent:.1f} %)" if percent is not None else "")


def _follow_up(follow_up: Mapping[str, Any] | None) -> str:
    if follow_up is None:
        return "no overall survival in the cohort"
    months = follow_up["months"]
    return f"{months['median']:.1f} ({months['q1']:.1f} to {months['q3']:.1f})"


def balance_tables(parts: Parts) -> list[ReportTable]:
    """Return the balance of the arms, one table per part of the cohort."""
    header = ("", "mean, ICT+CCRT", "mean, CCRT", "standardised difference", "p")
    return [
        ReportTable(
            f"Balance of the arms, {label}",
            header,
            [
                [factor_name(b.factor), f"{b.means[0]:.3f}", f"{b.means[1]:.3f}", f"{b.smd:+.3f}", p_cell(b.p)]
                for b in part.balance
            ],
        )
        for label, part in parts.items()
    ]


def development_tables(development: Development) -> list[ReportTable]:
    """Return univariate tests, stepwise selections, compared models and the test of proportional hazards."""
    tables = [_univariate_table(development), _selection_table(development), _models_table(development)]
    hazards = development.proportional_hazards
    if hazards is not None:
        rows = [[FACTOR_NAMES.get(term, term), p_cell(p)] for term, p in hazards.p_by_term.items()]
        rows.append(["all terms", p_cell(hazards.p_global)])
        tables.append(ReportTable("Proportional hazards of the CPTDN (Grambsch and Therneau)", ("Term", "p"), rows))
    return tables


def _univariate_table(development: Development) -> ReportTable:
    header = ("Factor", "n", "hazard ratio (95 % CI)", "p (Wald)", "p (score)", "p of interaction with treatment")
    rows: list[list[str]] = []
    for test in development.univariate:
        name = factor_name(test.factor) + (f" per {test.per:g}" if test.per != 1 else "")
        if test.fit is None:
            rows.append([name, str(test.n), test.reason, "", "", ""])
            continue
        effect = test.to_json()
        interaction = effect.get("treatment_interaction", {})
        interaction_p = p_cell(interaction["p"]) if "p" in interaction else interaction.get("reason", "")
        ratio = interval_text(effect["hazard_ratio"], effect["ci95"])
        rows.append([name, str(test.n), ratio, p_cell(effect["p"]), p_cell(effect["p_score"]), interaction_p])
    return ReportTable("Univariate Cox models", header, rows)


def _selection_table(development: Development) -> ReportTable:
    rows = []
    for name, selection in development.selections.items():
        selected = ", ".join(FACTOR_NAMES.get(term, term) for term in selection.terms) or "none"
        rows.append([MODEL_NAMES[name], str(selection.n), selected, f"{selection.aic:.2f}"])
    return ReportTable("Hybrid stepwise selection", ("Search", "n", "selected", "AIC"), rows)


def _models_table(development: Development) -> ReportTable:
    header = ("Model", "AIC", "term", "hazard ratio per unit (95 % CI)", "p")
    rows: list[list[str]] = []
    for name, model in development.models.items():
        for at, term in enumerate(model.fit.terms):
            heading = [MODEL_NAMES[name], f"{model.fit.aic:.2f}"] if at == 0 else ["", ""]
            ratio = interval_text(float(model.fit.hazard_ratios[at]), model.fit.hazard_ratio_ci95[at].tolist())
            rows.append([*heading, FACTOR_NAMES.get(term, term), ratio, p_cell(float(model.fit.p_values[at]))])
    return ReportTable("Models compared, fitted on this cohort", header, rows)


def specification_tables(nomogram: CoxNomogram) -> list[ReportTable]:
    """Return all that is needed to compute a prediction by hand: coefficients and baseline hazard.

    Parameters
    ----------
    nomogram : CoxNomogram
        The tested one.

    Returns
    -------
    list of ReportTable
        Log hazard ratios per unit (age per year), and H0 of x = 0 at every month with interval terms.

    References
    ----------
    TRIPOD+AI, BMJ 2024;385:e078378 (full specification of the model).
    """
    coefficients = [
        [FACTOR_NAMES.get(CONTRACT_TERMS[term], CONTRACT_TERMS[term].replace("_", " ")), f"{value:.6f}"]
        for term, value in nomogram.coefficients.items()
    ]
    coefficients[0][0] = "Age (per year)"  # the contract's name is per ten years, the coefficient is not
    hazards = []
    # At these times the nomogram file has interval terms as well: every year of the follow-up and the horizons.
    for days in nomogram.variance_terms:
        month = days / DAYS_PER_MONTH
        hazards.append([f"{month:g}", f"{float(nomogram.baseline_hazard([month])[0]):.8f}"])
    return [
        ReportTable("Coefficients (log hazard ratio)", ("Term", "coefficient"), coefficients),
        ReportTable("Cumulative baseline hazard of the uncentred model", ("months", "H0"), hazards),
    ]


def performance_tables(label: str, part: PartEvaluation, horizons_months: Sequence[float]) -> list[ReportTable]:
    """Return C-indices, comparisons of groups and (for DFS) calibration of one part of the cohort.

    Parameters
    ----------
    label : str
        Name of the part, for the captions.
    part : PartEvaluation
        Its results.
    horizons_months : sequence of float
        When survival was evaluated.

    Returns
    -------
    list of ReportTable
        Two or three tables.
    """
    models = {MODEL_NAMES[name] + where: by_arm for name, where, by_arm in compared_concordances(part)}
    arms = [arm if arm != "all" else "all patients" for arm in part.c_index]
    comparisons = [_comparison_row(f"high against low risk, {arm}", risk) for arm, risk in part.risk.items()]
    for threshold, by_name in part.decision.items():
        for name, effect in by_name.items():
            text = f"ICT+CCRT against CCRT, {name} at {100 * float(threshold):g} %"
            comparisons.append(_comparison_row(text, effect))
    tables = [
        ReportTable(
            f"C-index (95 % CI), {label}",
            ["Model", *arms, "Harrell's, all patients"],
            [_concordance_row(name, by_arm) for name, by_arm in models.items()],
        ),
        ReportTable(f"Risk groups and treatment decisions, {label}", COMPARISON_HEADER, comparisons),
    ]
    # Empty for other endpoints than DFS, which the nomogram does not predict.
    tests = part.to_json(horizons_months)["calibration_tests"]
    if tests:
        header = ("months", "mean predicted", "observed", "Hosmer-Lemeshow", "Greenwood-Nam-D'Agostino")
        rows = [_calibration_row(month, test) for month, test in tests.items()]
        tables.append(ReportTable(f"Calibration, {label}", header, rows))
        columns = [f"{month_key(month)} months (95 % CI)" for month in part.at_horizons]
        figures = [
            [text, *(figure_text(at[name]) for at in part.at_horizons.values())] for name, text in HORIZON_NAMES.items()
        ]
        tables.append(ReportTable(f"Accuracy of the predicted survival, {label}", ("", *columns), figures))
    return tables


def bounds_table(label: str, part: PartEvaluation) -> ReportTable | None:
    """Return what needs EBV DNA, with the unknown ones taken as either category.

    Parameters
    ----------
    label : str
        Name of the part, for the caption.
    part : PartEvaluation
        Its results.

    Returns
    -------
    ReportTable or None
        None where all are known.
    """
    if not part.bounds:
        return None
    rows = [_bound_row("patients whose EBV DNA is known", part.c_index, part.risk["all"], part.calibration_slope)]
    for category, bound in part.bounds.items():
        name = f"all patients, unknown EBV DNA taken as {category}"
        rows.append(_bound_row(name, bound.c_index, bound.risk["all"], bound.calibration_slope))
    header = ("", "n", "C-index (95 % CI)", "high against low risk, hazard ratio (95 % CI)", "calibration slope")
    return ReportTable(f"Unknown EBV DNA, {label}", header, rows)


def _bound_row(
    name: str, c_index: Mapping[str, ModelConcordance], risk: SurvivalComparison, slope: float | None
) -> list[str]:
    concordance = c_index["all"].noether
    _, n, _, ratio, *_ = _comparison_row("", risk)
    c_text = interval_text(concordance.value, concordance.ci95, 3)
    return [name, n, c_text, ratio, "not estimable" if slope is None else f"{slope:.3f}"]


def flow_table(label: str, part: PartEvaluation) -> ReportTable:
    """Return who is in each analysis of one part of the cohort, and why the others are not.

    Parameters
    ----------
    label : str
        Name of the part, for the caption.
    part : PartEvaluation
        Its results.

    Returns
    -------
    ReportTable
        One row for each analysis.
    """
    rows = []
    for each in part.analyses:
        left_out = "; ".join(f"{n}: {reason}" for reason, n in each.left_out.items()) or "none"
        rows.append([each.analysis, str(each.n), str(each.n_events), left_out])
    return ReportTable(f"Patients of each analysis, {label}", ("Analysis", "n", "events", "left out"), rows)


def models_table(evaluation: Evaluation) -> ReportTable:
    """Return every model of the evaluation, and where it was fitted.

    Parameters
    ----------
    evaluation : Evaluation
        With or without comparison models.

    Returns
    -------
    ReportTable
        The nomogram first.
    """
    document, models = evaluation.nomogram.document, evaluation.models
    fit = document.get("fit", {})
    population = str(document.get("data_source") or document.get("population", ""))
    rows = [["CPTDN (the nomogram)", population, _number(fit, "n"), _number(fit, "events")]]
    for group in (models.given, models.refitted):
        for name, model in (group.models if group else {}).items():
            rows.append([MODEL_NAMES[name], group.fitted_on if group else "", str(model.n), str(model.n_events)])
    return ReportTable("Models, and where they were fitted", ("Model", "fitted on", "n", "events"), rows)


def _number(document: Mapping[str, Any], key: str) -> str:
    return str(document.get(key, "not recorded"))


def subgroup_tables(evaluation: Evaluation) -> list[ReportTable]:
    """Return risk groups and treatment effects by subgroup, one table per column."""
    tables = []
    for column, by_label in evaluation.subgroups.items():
        rows = [
            _comparison_row(f"{label}, high against low risk", subgroup.risk) for label, subgroup in by_label.items()
        ]
        for label, subgroup in by_label.items():
            rows += [
                _comparison_row(f"{label}, {name}: ICT+CCRT against CCRT", effect)
                for name, effect in subgroup.decision.items()
            ]
        tables.append(ReportTable(f"Subgroups by {column}", COMPARISON_HEADER, rows))
    return tables


def _concordance_row(name: str, by_arm: Mapping[str, ModelConcordance]) -> list[str]:
    cells = [interval_text(c.noether.value, c.noether.ci95, 3) for c in by_arm.values()]
    # All patients only: the paper prints Noether's definition, Harrell's is beside it for comparison with other
    # studies.
    harrell = next(iter(by_arm.values())).harrell
    return [name, *cells, interval_text(harrell.value, harrell.ci95, 3)]


def _comparison_row(name: str, comparison: SurvivalComparison) -> list[str]:
    fit = comparison.fit
    ratio = (
        comparison.reason
        if fit is None
        else interval_text(float(fit.hazard_ratios[0]), fit.hazard_ratio_ci95[0].tolist())
    )
    p = p_cell(comparison.log_rank.p) if comparison.log_rank else ""
    means = comparison.restricted_mean_difference(RESTRICTED_DAYS)
    months = ""
    if means:
        months = interval_text(means.value / DAYS_PER_MONTH, [end / DAYS_PER_MONTH for end in means.ci95], 1)
    hazards = comparison.proportional_hazards_p
    warned = "" if hazards is None else p_cell(hazards) + (" *" if comparison.warning else "")
    return [name, str(sum(comparison.n)), str(sum(comparison.events)), ratio, p, months, warned]


def _calibration_row(month: str, test: Mapping[str, Any]) -> list[str]:
    hosmer, greenwood = test["hosmer_lemeshow"], test["greenwood_nam_dagostino"]
    return [
        month,
        f"{test['mean_predicted']:.3f}",
        f"{test['observed']:.3f}",
        f"chi2 {hosmer['chi2']:.2f}, {p_text(hosmer['p'])}",
        f"chi2 {greenwood['chi2']:.2f}, {p_text(greenwood['p'])}"
        if greenwood
        else "not defined: a group without event",
    ]
