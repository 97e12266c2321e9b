"""`cptdn nomogram fit|evaluate`: the nomogram and a cohort."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from node.cli.context import print_json, print_table, settings_of
from workers.cli.nomogram_options import (
    DecisionHorizonOption,
    HorizonsOption,
    JsonOption,
    NomogramOption,
    PenaltyOption,
    comparison_models_of,
    indication_of,
    nomogram_of,
    p_shown,
    penalty_of,
    policy_of_nomogram,
    print_marks,
)

CohortLabelOption = Annotated[
    str | None, typer.Option("--cohort", metavar="LABEL", help="Only patients with this label in the column cohort.")
]


def fit(
    ctx: typer.Context,
    cohort: Annotated[Path, typer.Argument(metavar="COHORT.csv", help="A cohort in canonical columns.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for nomogram.json.")],
    label: CohortLabelOption = None,
    horizons: HorizonsOption = None,
    decision_horizon: DecisionHorizonOption = None,
    name: Annotated[str, typer.Option(help="Name of the nomogram, shown in every report.")] = "",
    population: Annotated[str, typer.Option(help="The patients it was fitted on, shown in every report.")] = "",
    penalty: PenaltyOption = None,
    few_events: Annotated[
        bool, typer.Option("--few-events", help="Fit it with fewer than 5 events per parameter; the file says so.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Fit the CPTDN on a cohort; `nomogram score --nomogram DIR` then uses it.

    Fits the patients labelled `training` where the column cohort has that label, else all. Fewer than 5 events per
    parameter are refused unless asked for; fewer than 10 are named in the file and wherever it is used.

    Example: cptdn nomogram fit cohort.csv --out our-nomogram --name "CPTDN, our hospital 2015-2022"
    Example: cptdn nomogram fit cohort.csv --out our-nomogram --horizons 24,48 --decision-horizon 48
    Example: cptdn nomogram fit cohort.csv --out our-nomogram --penalty auto
    """
    from config.bundle_admission import events_per_parameter_finding
    from config.errors import InputError
    from workers.nomogram.fitting import TrainingData, fit_nomogram
    from workers.nomogram.nomogram_file import write_nomogram
    from workers.nomogram.points import TERMS
    from workers.survival.cohort import TRAINING, read_cohort, require_events
    from workers.survival.comparison_models import fit_comparison_models, write_comparison_models

    indication = indication_of(horizons, decision_horizon)
    patients = table = read_cohort(cohort)
    # Without --cohort a table with a training label is fitted on that part alone: the others are for the test.
    chosen = label or (TRAINING if TRAINING in patients.labels else None)
    if chosen is not None:
        patients = patients.labelled(chosen)
    # Complete cases; the number left out is printed and is part of the JSON.
    complete = patients.with_known_ebv_dna()
    require_events(complete, "dfs")
    outcome = complete.outcome("dfs")
    finding = events_per_parameter_finding(int(outcome.event_observed.sum()), len(TERMS))
    if finding is not None and finding.severity == "refused" and not few_events:
        raise InputError(f"{cohort}: {finding.text} With --few-events it is fitted and its file is marked.")
    where = cohort.name + (f", cohort {chosen}" if chosen else "")
    fitted = fit_nomogram(
        TrainingData(complete.covariates(), complete.treated, outcome.durations_days, outcome.event_observed),
        name=name or f"CPTDN fitted on {cohort.name}",
        population=population or f"{len(complete)} patients of {cohort.name}",
        data_source=where,
        patients_digest=complete.patients_digest(),
        indication=indication,
        penalty=penalty_of(penalty),
    )
    path = write_nomogram(fitted.nomogram, out)
    # On the patients of the nomogram, so that every later evaluation compares models that were fitted alike.
    compared = fit_comparison_models(complete, where)
    write_comparison_models(compared, fitted.nomogram.digest, out)
    document = {
        **fitted.to_json(),
        "cohort": chosen,
        "n_excluded_ebv_dna_unknown": len(patients) - len(complete),
        "comparison_models": {"fitted": list(compared.models), "not_fitted": dict(compared.not_fitted)},
        "written": str(path),
    }
    if as_json:
        print_json(document)
        return
    rows = []
    for term, effect in document["coefficients"].items():
        low, high = effect["ci95"]
        numbers = (f"{effect['coef']:.4f}", f"{effect['se']:.4f}", f"{effect['hazard_ratio']:.3f}")
        rows.append([term, *numbers, f"{low:.3f} to {high:.3f}", f"{effect['p']:.2g}"])
    print_table(("term", "coefficient", "se", "hazard ratio", "95 % CI", "p"), rows)
    typer.echo(f"{document['n']} patients, {document['n_events']} events, AIC {document['aic']:.2f}")
    if chosen is not None:
        typer.echo(
            f"fitted on the patients labelled {chosen}; {len(table) - len(patients)} with another label not used"
        )
    if document["penalty"]:
        typer.echo(f"ridge penalty {document['penalty']:.3g}: {document['effective_terms']:.2f} effective terms")
    if document["n_excluded_ebv_dna_unknown"]:
        typer.echo(f"{document['n_excluded_ebv_dna_unknown']} patients with unknown EBV DNA were left out")
    print_marks(fitted.nomogram)
    typer.echo(f"written: {path}")


def evaluate(
    ctx: typer.Context,
    cohort: Annotated[Path, typer.Argument(metavar="COHORT.csv", help="A cohort in canonical columns.")],
    nomogram: NomogramOption = None,
    endpoint: Annotated[str, typer.Option(help="dfs, os, dmfs or lrrfs")] = "dfs",
    label: CohortLabelOption = None,
    subgroup: Annotated[
        list[str], typer.Option("--subgroup", metavar="COLUMN", help="Also by this column; may be given repeatedly.")
    ] = [],  # noqa: B006
    threshold: Annotated[
        list[float],
        typer.Option(
            "--threshold",
            metavar="FRACTION",
            min=-1,
            max=1,
            help="Gain in DFS from which ICT+CCRT is preferred, 0.02 for 2 percentage points; may be given repeatedly.",
        ),
    ] = [0.0, 0.02, 0.05],  # noqa: B006
    risk_cut: Annotated[
        float | None,
        typer.Option(
            "--risk-cut",
            metavar="POINTS",
            help="Total points above which the risk is high; default: the mean of the nomogram's training patients.",
        ),
    ] = None,
    propensity: Annotated[
        str,
        typer.Option(
            "--propensity",
            metavar="estimate|randomised|COLUMN",
            help="How the probability of ICT+CCRT is known, for what following the recommendation is worth: a logistic "
            "model of clinical factors and scores, the share of a trial's arms, or a column with probabilities.",
        ),
    ] = "estimate",
    bootstrap: Annotated[
        int | None,
        typer.Option(
            "--bootstrap",
            min=0,
            metavar="N",
            help="Resamples of the patients for the intervals; default: 300, fewer beyond 10,000 patients.",
        ),
    ] = None,
    refit: Annotated[
        bool, typer.Option("--refit", help="Also fit the comparison models on this cohort; each result is marked.")
    ] = False,
    development: Annotated[
        bool,
        typer.Option(
            "--development",
            help="Also univariate tests, interactions and stepwise selection, fitted on this cohort; implies --refit.",
        ),
    ] = False,
    figures: Annotated[Path | None, typer.Option("--figures", metavar="DIR", help="Draw PNG, PDF and SVG.")] = None,
    report: Annotated[Path | None, typer.Option("--report", metavar="DIR", help="Write one HTML report.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Test a nomogram on a cohort: C-index, calibration, risk groups, treatment decisions, net benefit.

    All patients of the file are evaluated, and each label of the column cohort on its own. Nothing is fitted on them
    unless asked for: the models that are compared with the nomogram are those that were fitted with it.

    Example: cptdn nomogram evaluate cohort.csv --nomogram our-nomogram --report evaluation
    Example: cptdn nomogram evaluate cohort.csv --nomogram our-nomogram --refit --json
    """
    from config.trial_evidence import EFFECT, compare_with_trials, trial_evidence
    from workers.nomogram.mean_effect import mean_effects
    from workers.survival.cohort import ENDPOINTS, read_cohort
    from workers.validation.evaluation import evaluate, subgroups_of_the_paper
    from workers.validation.evaluation_options import EvaluationOptions
    from workers.validation.evaluation_report import write_report
    from workers.validation.figures import draw_evaluation, not_unseen

    if endpoint not in ENDPOINTS:
        raise typer.BadParameter(f"--endpoint is one of {', '.join(ENDPOINTS)}; found {endpoint}")
    settings = settings_of(ctx)
    model = nomogram_of(settings, nomogram)
    policy = policy_of_nomogram(settings, model)
    patients = read_cohort(cohort, endpoints=(endpoint,))
    patients = patients if label is None else patients.labelled(label)
    columns = tuple(subgroup)
    if not columns and (figures or report):
        # The forest plot needs subgroups; those of the paper are the default where one is drawn.
        columns = subgroups_of_the_paper(patients)
    options = EvaluationOptions(
        endpoint=endpoint,
        thresholds=tuple(threshold),
        horizons_months=tuple(map(float, policy.horizons_months)),
        decision_horizon_months=float(policy.horizon_months),
        subgroup_columns=columns,
        risk_cut=risk_cut,
        propensity=propensity,
        n_bootstrap=bootstrap,
        refit=refit,
        development=development,
    )
    evaluation = evaluate(patients, model, options, comparison_models_of(settings, nomogram, model))
    known = patients.with_known_ebv_dna()
    effect = {"own": mean_effects(model, known.covariates())}
    verdict = compare_with_trials({EFFECT: effect}, trial_evidence(settings.model.trial_evidence))
    document = {
        **evaluation.to_json(),
        "nomogram_marked": model.marks,
        "mean_effect": effect["own"],
        "trial_evidence": {"state": verdict.state.value, "text": verdict.text},
    }
    if figures is not None:
        document["figures"] = [str(path) for path in draw_evaluation(evaluation, figures)]
    if report is not None:
        document["report"] = str(write_report(evaluation, report))
    if as_json:
        print_json(document)
        return
    _print_evaluation(document)
    _print_notes(document, list(not_unseen(evaluation).values()))
    print_marks(model)
    typer.echo(verdict.text)
    if figures is not None:
        typer.echo(f"written: {len(document['figures'])} figures in {figures}")
    if report is not None:
        typer.echo(f"written: {document['report']}")


def _print_evaluation(document: dict[str, Any]) -> None:
    parts = {"all patients": document, **document["cohorts"]}
    rows = [
        [
            name,
            str(part["n"]),
            str(part["n_events"]),
            *(_ratio(comparison, "value") for comparison in part["c_index"].values()),
        ]
        for name, part in parts.items()
    ]
    print_table(("", "n", "events", "C-index", "CCRT", "ICT+CCRT"), rows, title=f"Endpoint {document['endpoint']}")
    rows = [
        [
            name,
            _ratio(part["c_index_prognostic_score"]["all"], "value"),
            _ratio(part["predictive_interaction"], "hazard_ratio"),
            p_shown(part["predictive_interaction"].get("p")),
        ]
        for name, part in parts.items()
    ]
    columns = ("", "C-index of Prognostic-score", "Predictive-score x treatment, hazard ratio", "p")
    print_table(columns, rows, title="The scores alone, all patients")
    for name, part in parts.items():
        rows = [
            [
                f"high against low risk, {arm}",
                str(comparison["n"]),
                _ratio(comparison, "hazard_ratio"),
                p_shown(comparison["p_log_rank"]),
            ]
            for arm, comparison in part["risk_groups"].items()
        ]
        for threshold, groups in part["decision"].items():
            for group, comparison in groups.items():
                text = f"ICT+CCRT against CCRT, {group} at {100 * float(threshold):g} %"
                rows.append(
                    [text, str(comparison["n"]), _ratio(comparison, "hazard_ratio"), p_shown(comparison["p_log_rank"])]
                )
        print_table(("", "n", "hazard ratio", "p (log-rank)"), rows, title=name)


def _print_notes(document: dict[str, Any], warnings: Sequence[str]) -> None:
    """Print what the tables do not say: the nomogram, its cut, who is not in them, and where figures are apparent."""
    typer.echo(f"Nomogram: {document['nomogram']['name']}")
    typer.echo(f"High risk: more than {document['risk_cut_total_points']:.1f} total points")
    if document["n_ebv_dna_unknown"]:
        typer.echo(
            f"Unknown EBV DNA: {document['n_ebv_dna_unknown']}; C-index and risk groups are of the others, "
            "treatment effects of those whose recommendation does not depend on it (--json has the bounds)"
        )
    for warning in warnings:
        typer.echo(warning)
    if document["comparison_models"]["text"]:
        typer.echo(f"Comparison models: {document['comparison_models']['text']}")


def _ratio(estimate: dict[str, Any], name: str) -> str:
    if estimate.get(name) is None:
        return str(estimate.get("reason", "-"))
    low, high = estimate["ci95"]
    return f"{estimate[name]:.3f} ({low:.3f} to {high:.3f})"
