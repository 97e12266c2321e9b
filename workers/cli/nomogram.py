"""`cptdn nomogram score|plot|fit|evaluate|reproduce`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from config.errors import InputError
from node.cli.context import print_json, print_table, settings_of
from workers.cli.nomogram_cohort import evaluate, fit
from workers.cli.nomogram_options import (
    AgeOption,
    EbvOption,
    HorizonOption,
    JsonOption,
    NomogramOption,
    PredictiveOption,
    PrognosticOption,
    ThresholdOption,
    nomogram_of,
    policy_of_nomogram,
    print_marks,
)
from workers.cli.reproduce import reproduce

if TYPE_CHECKING:
    from config.decision_policy import DecisionPolicy
    from workers.nomogram.model import CoxNomogram
    from workers.nomogram.patient_prediction import PatientInputs
    from workers.nomogram.score_error import ScoreError

app = typer.Typer(no_args_is_help=True)
app.command()(fit)
app.command()(evaluate)
app.command()(reproduce)


@app.command()
def score(
    ctx: typer.Context,
    age: AgeOption = None,
    ebv_dna: EbvOption = None,
    prognostic_score: PrognosticOption = None,
    predictive_score: PredictiveOption = None,
    score_error: Annotated[
        str | None,
        typer.Option(
            metavar="SE,SE,CORRELATION,DF",
            help="Standard errors of Prognostic- and Predictive-score, correlation and degrees of freedom, as a report "
            "states them; without them the intervals are of the Cox model only.",
        ),
    ] = None,
    batch: Annotated[Path | None, typer.Option("--batch", metavar="FILE.csv", help="Score a table.")] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE.csv", help="Where the table goes.")] = None,
    nomogram: NomogramOption = None,
    horizon: HorizonOption = [],  # noqa: B006
    threshold: ThresholdOption = None,
    as_json: JsonOption = False,
) -> None:
    """Predict disease-free survival under ICT+CCRT and CCRT for one patient or for a table of patients.

    Example: cptdn nomogram score --age 40 --ebv-dna 5000 --prognostic-score 0 --predictive-score -0.4
    Example: cptdn nomogram score --batch patients.csv --out scored.csv
    """
    settings = settings_of(ctx)
    model = nomogram_of(settings, nomogram)
    policy = policy_of_nomogram(settings, model)
    options = _score_options(policy, horizon, threshold)
    single = _single_patient(age, ebv_dna, prognostic_score, predictive_score)
    if batch is not None:
        if any(value is not None for value in (*single.values(), score_error)) or out is None:
            raise typer.BadParameter("--batch FILE.csv goes with --out FILE.csv and without a single patient's values")
        _score_table(policy, model, batch, out, options, as_json)
        return
    if out is not None:
        raise typer.BadParameter("--out FILE.csv goes with --batch FILE.csv")
    from workers.nomogram.patient_prediction import prediction_to_json

    errors = None if score_error is None else _score_error(score_error)
    document = prediction_to_json(
        model, _given(single), policy, options["horizons_months"], options["threshold"], errors
    )
    if as_json:
        print_json({**document, "nomogram": {**document["nomogram"], **_marks(model)}})
    else:
        _print_patient(document)
        print_marks(model)


def _marks(model: CoxNomogram) -> dict[str, Any]:
    """Return the marks for a JSON document; nothing for a nomogram without any."""
    return {"marked": model.marks} if model.marks else {}


def _score_options(policy: DecisionPolicy, horizons: list[float], threshold: float | None) -> dict[str, Any]:
    return {
        "horizons_months": tuple(horizons or map(float, policy.horizons_months)),
        "threshold": policy.threshold if threshold is None else threshold,
        "decision_horizon": float(policy.horizon_months),
        "rule": policy.rule,
    }


def _single_patient(
    age: float | None, ebv_dna: str | None, prognostic_score: float | None, predictive_score: float | None
) -> dict[str, Any]:
    """Return the values of one patient by option; None where an option is missing."""
    return {
        "--age": age,
        "--ebv-dna": ebv_dna,
        "--prognostic-score": prognostic_score,
        "--predictive-score": predictive_score,
    }


def _given(single: dict[str, Any]) -> PatientInputs:
    """Return one patient's inputs; BadParameter names the missing options."""
    from workers.nomogram.patient_prediction import PatientInputs

    missing = [name for name, value in single.items() if value is None]
    if missing:
        raise typer.BadParameter(f"expected all values of one patient, missing {', '.join(missing)}")
    return PatientInputs(
        single["--age"], single["--ebv-dna"], single["--prognostic-score"], single["--predictive-score"]
    )


def _score_error(text: str) -> ScoreError:
    from workers.nomogram.score_error import ScoreError

    try:
        prognostic, predictive, correlation, degrees = (float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(
            f"expected four numbers as in 0.05,0.08,-0.2,6.5 (two standard errors, correlation, degrees of freedom), "
            f"found {text!r}"
        ) from None
    return ScoreError(None, prognostic, predictive, correlation, degrees)


def _score_table(
    policy: DecisionPolicy, model: CoxNomogram, batch: Path, out: Path, options: dict[str, Any], as_json: bool
) -> None:
    from collections import Counter

    from config.indication.vocabulary import Answer, EbvCategory
    from dicom_sr.report.wording import ENGLISH
    from node.cases.ebv_dna import parse_ebv_dna
    from workers.nomogram.batch import read_patients, score_patients, write_table

    def category(text: str) -> EbvCategory:
        given = parse_ebv_dna(text, policy.ebv_threshold_copies_per_ml, policy.ebv_threshold_inclusive)
        return EbvCategory(given.category)

    table = score_patients(model, read_patients(batch, category), **options)
    write_table(out, table)
    counts = Counter(str(name) for name in table["recommendation"])
    # An empty cell is an unknown EBV DNA whose two categories disagree.
    undecided = counts.pop("", 0)
    summary = {
        "n": len(table["patient_id"]),
        "recommended": dict(sorted(counts.items())),
        "undecided": undecided,
        "extrapolated": sum(1 for text in table["extrapolated"] if text),
        "threshold": options["threshold"],
        "rule": options["rule"].value,
        "out": str(out),
        "nomogram": {"name": model.name, "digest": model.digest, **_marks(model)},
    }
    if as_json:
        print_json(summary)
        return
    print_marks(model)
    typer.echo(f"{summary['n']} patients scored into {out}")
    for name, count in sorted(counts.items()):
        typer.echo(f"  {count} {ENGLISH.answers[Answer(name)]}")
    if undecided:
        typer.echo(f"  {undecided} with unknown EBV DNA where its category decides")
    if summary["extrapolated"]:
        typer.echo(f"  {summary['extrapolated']} with an input outside the training cohort (column extrapolated)")


def _print_patient(document: dict[str, Any]) -> None:
    from config.indication.vocabulary import AnswerRule
    from dicom_sr.report.answer_text import rule_text
    from dicom_sr.report.wording import ENGLISH
    from workers.nomogram.patient_prediction import formatted, scenarios_by_category

    scenarios = scenarios_by_category(document)
    for category, scenario in scenarios.items():
        typer.echo(f"EBV DNA {category}: {scenario['sentence']}" if len(scenarios) > 1 else scenario["sentence"])
    for category, scenario in scenarios.items():
        shown = formatted(scenario)
        arms = shown["arms"]
        rows = [["Total points", *(one["total_points"] for one in arms.values()), ""]]
        for month, change in shown["difference"].items():
            cells = [_rate(one["dfs"][month]) for one in arms.values()]
            rows.append([f"DFS at {month} months", *cells, _difference(change)])
        print_table(
            ["", *arms, "difference (percentage points)"],
            rows,
            title=f"EBV DNA {category}" if len(scenarios) > 1 else None,
        )
    rule = AnswerRule(document["rule"])
    typer.echo(f"{rule_text(rule, document['decision_horizon_months'], document['threshold'], ENGLISH)}.")
    for outside in document["extrapolated"]:
        low, high = outside["training_range"]
        typer.echo(
            f"Extrapolated: {outside['input']} {outside['value']:g} is outside the training cohort {low:g}..{high:g}"
        )
    covers = document["interval"]["covers"].replace("_", " ").replace("cox", "Cox")
    typer.echo(f"Intervals (95 %): {covers}")
    typer.echo(f"Nomogram: {document['nomogram']['name']}")


def _rate(shown: dict[str, str | None]) -> str:
    return f"{shown['value']} %" if shown["ci95"] is None else f"{shown['value']} % ({shown['ci95']})"


def _difference(shown: dict[str, str | None]) -> str:
    return f"{shown['value']}" if shown["ci95"] is None else f"{shown['value']} ({shown['ci95']})"


@app.command()
def plot(
    ctx: typer.Context,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="A .png, .pdf or .svg file.")],
    age: AgeOption = None,
    ebv_dna: EbvOption = None,
    prognostic_score: PrognosticOption = None,
    predictive_score: PredictiveOption = None,
    nomogram: NomogramOption = None,
    style: Annotated[str, typer.Option(help="light or dark")] = "light",
    language: Annotated[str, typer.Option(help="en or zh")] = "en",
    as_json: JsonOption = False,
) -> None:
    """Draw the nomogram, empty or with one patient's lines for both regimens.

    Example: cptdn nomogram plot --age 40 --ebv-dna 5000 --prognostic-score 0 --predictive-score -0.4 --out nomogram.png
    """
    from config.indication.vocabulary import EbvCategory
    from workers.nomogram.drawing import save_nomogram
    from workers.nomogram.patient_prediction import covariates_and_category

    if style not in ("light", "dark") or language not in ("en", "zh"):
        raise typer.BadParameter(f"--style is light or dark, --language en or zh; found {style}, {language}")
    settings = settings_of(ctx)
    model = nomogram_of(settings, nomogram)
    single = _single_patient(age, ebv_dna, prognostic_score, predictive_score)
    policy = policy_of_nomogram(settings, model)
    patient = None
    if any(value is not None for value in single.values()):
        covariates, category = covariates_and_category(_given(single), policy)
        # One drawing shows one pair of lines; the two categories have four.
        if category is EbvCategory.UNKNOWN:
            limit = f"{policy.ebv_threshold_copies_per_ml:g}"
            raise InputError(f"a drawing needs a known EBV DNA category; draw >{limit} and <{limit} each")
        patient = model.score(covariates, **_score_options(policy, [], None))
    save_nomogram(out, model, patient, style, language)  # type: ignore[arg-type]
    if as_json:
        print_json({"written": str(out), "nomogram": {"name": model.name, "digest": model.digest}})
    else:
        typer.echo(f"drawn into {out}")
