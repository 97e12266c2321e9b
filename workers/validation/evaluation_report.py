"""One self-contained HTML page of an evaluation, under the headings of TRIPOD+AI, for an ethics board or a journal.

Everything is embedded (style, tables, figures as SVG); nothing is loaded from elsewhere. What software cannot know
(approval, registration, how patients were recruited) is left open visibly, for the site to complete.
Source of the headings: Collins et al., TRIPOD+AI, BMJ 2024;385:e078378.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import Any

from config.errors import InputError
from config.indication.conventions import DAYS_PER_MONTH
from config.indication.nasopharynx import NASOPHARYNX
from workers.nomogram.fitting import CONTRACT_TERMS
from workers.nomogram.model import CoxNomogram
from workers.validation.evaluation import Development, Evaluation, PartEvaluation
from workers.validation.figures import (
    ENDPOINT_NAMES,
    MODEL_NAMES,
    NamedFigure,
    comparison_text,
    figures_of,
    house_style,
    p_text,
)
from workers.validation.survival_comparison import SurvivalComparison

FILE_NAME = "evaluation.html"
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; line-height: 1.25; } h2 { border-bottom: 1px solid #b5b5b5; margin-top: 2.4rem; }
table { border-collapse: collapse; margin: .8rem 0 1.4rem; font-size: .88rem; }
caption { text-align: left; font-weight: 600; padding: .3rem 0; }
th, td { padding: .2rem .8rem .2rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid #e4e4e4; }
tbody th { font-weight: normal; }
figure { margin: 1.2rem 0 2rem; break-inside: avoid; }
figure img { max-width: 100%; }
figcaption { font-size: .9rem; }
.open { background: #fff4ce; padding: .1rem .4rem; }
nav a { margin-right: 1rem; }
"""
FACTOR_NAMES = {
    "age_years": "Age (years)",
    "sex": "Sex",
    "sex_male": "Sex, male",
    "treatment": "Treatment",
    "treatment_ict": "ICT+CCRT",
    "tumour_volume_ml": "Tumour volume (mL)",
    "ebv_dna_gt_4000": f"EBV DNA > {NASOPHARYNX.biomarker.threshold:g} copies/mL",
    "prognostic_score": "Prognostic-score",
    "predictive_score": "Predictive-score",
    "predictive_score:treatment_ict": "Predictive-score x ICT+CCRT",
    "haemoglobin_abnormal": "Haemoglobin abnormal",
    "albumin_abnormal": "Albumin abnormal",
    "crp_abnormal": "CRP abnormal",
    "ldh_abnormal": "LDH abnormal",
    "who_type_iii": "WHO type III",
    "family_history": "Family history",
}


def write_report(evaluation: Evaluation, folder: Path) -> Path:
    """Write `evaluation.html` into a folder (made where it lacks). Raises InputError where it cannot be written."""
    path = folder / FILE_NAME
    text = report_html(evaluation)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write the report into {folder}: {error.strerror}") from error
    return path


def report_html(evaluation: Evaluation) -> str:
    """The whole page."""
    figures = figures_of(evaluation)
    endpoint = ENDPOINT_NAMES[evaluation.options.endpoint]
    title = f"{endpoint}: evaluation of {evaluation.nomogram.name}"
    parts = evaluation.parts or {"all patients": evaluation.whole}
    body = [
        f"<h1>{escape(title)}</h1>",
        _paragraph(f"Cohort: {Path(evaluation.source).name}. Written by cptdn-node {version('cptdn-node')}."),
        "<nav>" + "".join(f'<a href="#{key}">{name}</a>' for key, name in SECTIONS.items()) + "</nav>",
        _heading("abstract"),
        *_abstract(evaluation, parts),
        _heading("introduction"),
        _open("Clinical background, intended use and target population (items 3 and 4)."),
        _heading("methods"),
        *_methods(evaluation),
        _heading("results"),
        *_participants(parts),
        *(_development(evaluation.development) if evaluation.development else ()),
        *_specification(evaluation.nomogram, figures),
        *_performance(evaluation, parts, figures),
        _heading("discussion"),
        _open("Interpretation, limitations, and what this means for use in this hospital (items 25 to 27)."),
        _heading("open-science"),
        _open("Funding, conflicts of interest, protocol, registration, sharing of data and code (item 18)."),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n"
        "<body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


SECTIONS = {
    "abstract": "Abstract",
    "introduction": "Introduction",
    "methods": "Methods",
    "results": "Results",
    "discussion": "Discussion",
    "open-science": "Open science",
}


def _abstract(evaluation: Evaluation, parts: Mapping[str, PartEvaluation]) -> Iterator[str]:
    for label, part in parts.items():
        found = part.c_index["all"].noether
        low, high = found.ci95
        yield _paragraph(
            f"{label}: {part.n} patients, {part.n_events} events; C-index {found.value:.3f} "
            f"(95 % CI {low:.3f} to {high:.3f}). High against low risk: {_one_line(part.risk['all'])}. "
            + " ".join(
                f"ICT+CCRT against CCRT in {name} patients (n = {sum(groups.n)}): {_one_line(groups)}."
                for name, groups in next(iter(part.decision.values())).items()
            )
        )


def _methods(evaluation: Evaluation) -> Iterator[str]:
    options, biomarker = evaluation.options, evaluation.nomogram.indication.biomarker
    months = " and ".join(f"{month:g}" for month in options.horizons_months)
    thresholds = ", ".join(f"{100 * threshold:g} %" for threshold in options.thresholds)
    yield _sub("Data and participants")
    yield _open("Source of data, dates, setting, eligibility, treatments, ethical approval (items 5, 6 and 17).")
    yield _sub("Outcome")
    yield _paragraph(
        f"{ENDPOINT_NAMES[options.endpoint]} in days; a month is 30 days, a year 12 months. "
        f"Survival is reported at {months} months."
    )
    yield _sub("Predictors")
    yield _paragraph(
        f"Age, EBV DNA above or at most {biomarker.threshold:g} {biomarker.unit}, Prognostic-score, "
        "Predictive-score, treatment (ICT+CCRT or "
        "CCRT) and the product of Predictive-score and treatment. Both scores come from deep networks that read T1w, "
        "T2w and contrast-enhanced T1w MRI."
    )
    yield _sub("Missing data")
    yield _paragraph(
        f"Complete cases: {evaluation.n_excluded} patients whose EBV DNA is unknown were left out, nothing was "
        "imputed. Other models use the patients for whom their factors are known."
    )
    yield _sub("Analytical methods")
    yield _paragraph(
        "Cox models with Efron ties; step-function baseline. C-index in survcomp's definition (tied risks and times "
        "dropped, Noether's interval) and Harrell's (jackknife interval). Risk groups are cut at "
        f"{evaluation.nomogram.mean_total_points:.1f} total points, the mean of the training cohort. ICT+CCRT is "
        f"preferred where it gains more than a threshold ({thresholds}) of survival at "
        f"{options.decision_horizon_months:g} months. Hazard ratios are of Cox models, p of log-rank tests. "
        "Calibration: three groups of equal size by predicted survival under the treatment received, Kaplan-Meier "
        "with Greenwood's error, Hosmer-Lemeshow in Nam and D'Agostino's form. Net benefit after Vickers. "
        "Selection: hybrid stepwise AIC. No test is corrected for multiplicity."
    )
    yield _sub("Fairness")
    names = [FACTOR_NAMES.get(name, name.replace("_", " ")) for name in evaluation.subgroups]
    yield _paragraph(f"Performance is shown by subgroup of: {', '.join(names) or 'none'}.")


def _participants(parts: Mapping[str, PartEvaluation]) -> Iterator[str]:
    yield _sub("Participants")
    rows: list[list[str]] = []
    tables = {label: part.table_1 for label, part in parts.items()}
    for factor in next(iter(tables.values())):
        if factor in ("n", "events"):
            continue
        name = FACTOR_NAMES.get(factor, factor.replace("_", " ").capitalize())
        found = [table.get(factor) for table in tables.values()]
        if found[0] and "median" in found[0]:
            rows.append([f"{name}, median (range)", *(_quantity(row) for row in found)])
            continue
        for category in [key for key in found[0] or {} if key != "unknown"]:
            rows.append([f"{name}: {category}", *(_count(row, category) for row in found)])
        if any(row and row.get("unknown") for row in found):
            rows.append([f"{name}: unknown", *(str(row["unknown"]) if row else "" for row in found)])
    rows.append(["Events", *(f"{part.n_events} ({100 * part.n_events / part.n:.1f} %)" for part in parts.values())])
    rows.append(["Follow-up in months, median (quartiles)", *(_follow_up(part.follow_up) for part in parts.values())])
    yield _table("Table 1. Patients", ["", *(f"{label}, n = {part.n}" for label, part in parts.items())], rows)
    for label, part in parts.items():
        rows = []
        for b in part.balance:
            name = FACTOR_NAMES.get(b.factor, b.factor.replace("_", " ").capitalize())
            rows.append([name, f"{b.means[0]:.3f}", f"{b.means[1]:.3f}", f"{b.smd:+.3f}", _p(b.p)])
        header = ["", "mean, ICT+CCRT", "mean, CCRT", "standardised difference", "p"]
        yield _table(f"Balance of the arms, {label}", header, rows)


def _development(found: Development) -> Iterator[str]:
    yield _sub(f"Model development ({found.label} patients)")
    rows = []
    for test in found.univariate:
        name = FACTOR_NAMES.get(test.factor, test.factor.replace("_", " ").capitalize())
        name += f" per {test.per:g}" if test.per != 1 else ""
        row = test.to_json()
        if test.fit is None:
            rows.append([name, str(test.n), test.reason, "", "", ""])
            continue
        interaction = row.get("treatment_interaction", {})
        last = _p(interaction["p"]) if "p" in interaction else interaction.get("reason", "")
        ratio = _interval(row["hazard_ratio"], row["ci95"])
        rows.append([name, str(test.n), ratio, _p(row["p"]), _p(row["p_score"]), last])
    header = ["Factor", "n", "hazard ratio (95 % CI)", "p (Wald)", "p (score)", "p of interaction with treatment"]
    yield _table("Univariate Cox models", header, rows)
    rows = [
        [MODEL_NAMES[name], str(s.n), ", ".join(FACTOR_NAMES.get(t, t) for t in s.terms) or "none", f"{s.aic:.2f}"]
        for name, s in found.selections.items()
    ]
    yield _table("Hybrid stepwise selection", ["Search", "n", "selected", "AIC"], rows)
    rows = []
    for name, model in found.models.items():
        for at, term in enumerate(model.fit.terms):
            value, ends = float(model.fit.hazard_ratios[at]), model.fit.hazard_ratio_ci95[at]
            first = [MODEL_NAMES[name], f"{model.fit.aic:.2f}"] if at == 0 else ["", ""]
            shown = _interval(value, [float(end) for end in ends])
            rows.append([*first, FACTOR_NAMES.get(term, term), shown, _p(float(model.fit.p_values[at]))])
    header = ["Model", "AIC", "term", "hazard ratio per unit (95 % CI)", "p"]
    yield _table("Models compared, fitted here", header, rows)
    if found.proportional_hazards is not None:
        hazards = found.proportional_hazards
        rows = [[FACTOR_NAMES.get(term, term), _p(p)] for term, p in hazards.p_by_term.items()]
        rows.append(["all terms", _p(hazards.p_global)])
        yield _table("Proportional hazards of the CPTDN (Grambsch and Therneau)", ["Term", "p"], rows)
    for name, reason in found.not_fitted.items():
        yield _paragraph(f"Not fitted: {name}: {reason}.")


def _specification(nomogram: CoxNomogram, figures: Sequence[NamedFigure]) -> Iterator[str]:
    yield _sub("Model specification")
    document = nomogram.document
    rows = [
        [FACTOR_NAMES.get(CONTRACT_TERMS[term], CONTRACT_TERMS[term].replace("_", " ")), f"{value:.6f}"]
        for term, value in nomogram.coefficients.items()
    ]
    rows[0][0] = "Age (per year)"
    yield _table("Coefficients (log hazard ratio)", ["Term", "coefficient"], rows)
    hazards = [[f"{days / DAYS_PER_MONTH:g}", f"{_hazard(nomogram, days):.8f}"] for days in nomogram.variance_terms]
    yield _table("Cumulative baseline hazard of the uncentred model", ["months", "H0"], hazards)
    yield _paragraph(f"Population: {document.get('population', '')}. {nomogram.citation}")
    yield _paragraph(f"Digest of the nomogram: {nomogram.digest}")
    yield from (_figure(named) for named in figures if named.name == "nomogram")


def _performance(
    evaluation: Evaluation, parts: Mapping[str, PartEvaluation], figures: Sequence[NamedFigure]
) -> Iterator[str]:
    yield _sub("Model performance")
    for label, part in parts.items():
        rows = [_concordance_row("CPTDN, as given", part.c_index)]
        rows += [
            _concordance_row(f"{MODEL_NAMES[name]}, fitted here", by_arm)
            for name, by_arm in part.c_index_of_models.items()
        ]
        arms = [arm if arm != "all" else "all patients" for arm in part.c_index]
        yield _table(f"C-index (95 % CI), {label}", ["Model", *arms, "Harrell's, all patients"], rows)
        rows = [_groups_row(f"high against low risk, {arm}", groups) for arm, groups in part.risk.items()]
        for threshold, by_name in part.decision.items():
            for name, groups in by_name.items():
                rows.append(_groups_row(f"ICT+CCRT against CCRT, {name} at {100 * float(threshold):g} %", groups))
        header = ["Comparison", "n", "events", "hazard ratio (95 % CI)", "p (log-rank)"]
        yield _table(f"Risk groups and treatment decisions, {label}", header, rows)
        tests = part.to_json(evaluation.options.horizons_months)["calibration_tests"]
        rows = [_calibration_row(month, test) for month, test in tests.items()]
        if rows:
            header = ["months", "mean predicted", "observed", "Hosmer-Lemeshow", "Greenwood-Nam-D'Agostino"]
            yield _table(f"Calibration, {label}", header, rows)
        if part.calibration_slope is not None:
            yield _paragraph(f"Calibration slope, {label}: {part.calibration_slope:.3f} (1 is ideal).")
    yield from (_figure(named) for named in figures if named.name != "nomogram")
    for column, by_label in evaluation.subgroups.items():
        rows = [_groups_row(f"{label}, high against low risk", found.risk) for label, found in by_label.items()]
        for label, found in by_label.items():
            rows += [_groups_row(f"{label}, {name}: ICT+CCRT against CCRT", g) for name, g in found.decision.items()]
        header = ["Comparison", "n", "events", "hazard ratio (95 % CI)", "p (log-rank)"]
        yield _table(f"Subgroups by {column}", header, rows)


def _hazard(nomogram: CoxNomogram, days: float) -> float:
    return float(nomogram.baseline_hazard([days / DAYS_PER_MONTH])[0])


def _concordance_row(name: str, by_arm: Mapping[str, Any]) -> list[str]:
    cells = [_interval(found.noether.value, found.noether.ci95, 3) for found in by_arm.values()]
    harrell = next(iter(by_arm.values())).harrell
    return [name, *cells, _interval(harrell.value, harrell.ci95, 3)]


def _groups_row(name: str, groups: SurvivalComparison) -> list[str]:
    if groups.fit is None:
        ratio = groups.reason
    else:
        ratio = _interval(float(groups.fit.hazard_ratios[0]), [float(end) for end in groups.fit.hazard_ratio_ci95[0]])
    p = _p(groups.log_rank.p) if groups.log_rank else ""
    return [name, str(sum(groups.n)), str(sum(groups.events)), ratio, p]


def _calibration_row(month: str, test: Mapping[str, Any]) -> list[str]:
    gnd = test["greenwood_nam_dagostino"]
    return [
        month,
        f"{test['mean_predicted']:.3f}",
        f"{test['observed']:.3f}",
        f"chi2 {test['hosmer_lemeshow']['chi2']:.2f}, {p_text(test['hosmer_lemeshow']['p'])}",
        f"chi2 {gnd['chi2']:.2f}, {p_text(gnd['p'])}" if gnd else "not defined: a group without event",
    ]


def _one_line(groups: SurvivalComparison) -> str:
    return comparison_text(groups).replace("\n", ", ")


def _quantity(row: Mapping[str, Any] | None) -> str:
    return f"{row['median']:.3g} ({row['min']:.3g} to {row['max']:.3g})" if row and "median" in row else ""


def _count(row: Mapping[str, Any] | None, category: str) -> str:
    return f"{row[category]['n']} ({row[category]['percent']:.1f} %)" if row and category in row else ""


def _follow_up(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "no overall survival in the cohort"
    months = found["months"]
    return f"{months['median']:.1f} ({months['q1']:.1f} to {months['q3']:.1f})"


def _interval(value: float, ends: Sequence[float], digits: int = 2) -> str:
    return f"{value:.{digits}f} ({ends[0]:.{digits}f} to {ends[1]:.{digits}f})"


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _heading(key: str) -> str:
    return f'<h2 id="{key}">{SECTIONS[key]}</h2>'


def _sub(text: str) -> str:
    return f"<h3>{escape(text)}</h3>"


def _paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def _open(text: str) -> str:
    return f'<p><span class="open">To be completed by the site:</span> {escape(text)}</p>'


def _table(caption: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in header)
    lines = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>' + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:]) + "</tr>"
        for row in rows
    )
    return f"<table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"


def _figure(named: NamedFigure) -> str:
    stream = io.BytesIO()
    with house_style():
        named.figure.savefig(stream, format="svg", metadata={"Date": None})
    data = base64.b64encode(stream.getvalue()).decode()
    alt = escape(named.caption, quote=True)
    return (
        f'<figure><img alt="{alt}" src="data:image/svg+xml;base64,{data}">'
        f"<figcaption>{escape(named.caption)}</figcaption></figure>"
    )
