"""`cptdn nomogram score|plot|fit|evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from config.errors import InputError, SettingsError
from config.settings import BUNDLES, Settings
from node.cli.context import print_json, print_table, settings_of

if TYPE_CHECKING:
    from dicom_sr.treatment_report import EbvCategory
    from workers.nomogram.model import CoxNomogram
    from workers.nomogram.result import PatientCovariates

app = typer.Typer(no_args_is_help=True)

NomogramOption = Annotated[
    Path | None,
    typer.Option("--nomogram", metavar="DIR", help="Folder or JSON of a nomogram; default: that of the model bundle."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
HorizonOption = Annotated[
    list[float], typer.Option("--horizon", metavar="MONTHS", help="Months since the start; may be given repeatedly.")
]
ThresholdOption = Annotated[
    float | None,
    typer.Option(
        "--threshold", min=-1, max=1,
        help="Recommend ICT+CCRT where its DFS exceeds CCRT's by more than this fraction; default: as configured.",
    ),
]  # fmt: skip
AgeOption = Annotated[float | None, typer.Option("--age", metavar="YEARS", help="Age at the start of treatment.")]
EbvOption = Annotated[
    str | None,
    typer.Option("--ebv-dna", metavar="COPIES_PER_ML", help="5000, >4000, <400, not-detected or unknown."),
]
PrognosticOption = Annotated[
    float | None, typer.Option("--prognostic-score", metavar="[-1..1]", help="Rises with risk.")
]
PredictiveOption = Annotated[
    float | None, typer.Option("--predictive-score", metavar="[-1..1]", help="Low values favour ICT+CCRT.")
]


@app.command()
def score(
    ctx: typer.Context,
    age: AgeOption = None,
    ebv_dna: EbvOption = None,
    prognostic_score: PrognosticOption = None,
    predictive_score: PredictiveOption = None,
    batch: Annotated[Path | None, typer.Option("--batch", metavar="FILE.csv", help="Score a table.")] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE.csv", help="Where the table goes.")] = None,
    nomogram: NomogramOption = None,
    horizon: HorizonOption = [36, 60],  # noqa: B006
    threshold: ThresholdOption = None,
    as_json: JsonOption = False,
) -> None:
    """Disease-free survival under ICT+CCRT and CCRT for one patient or for a table of patients.

    Example: cptdn nomogram score --age 40 --ebv-dna 5000 --prognostic-score 0 --predictive-score -0.4
    Example: cptdn nomogram score --batch patients.csv --out scored.csv
    """
    settings = settings_of(ctx)
    model = _nomogram(settings, nomogram)
    options = _score_options(settings, horizon, threshold)
    single = _single_patient(age, ebv_dna, prognostic_score, predictive_score)
    if batch is not None:
        if any(value is not None for value in single.values()) or out is None:
            raise typer.BadParameter("--batch FILE.csv goes with --out FILE.csv and without a single patient's values")
        _score_table(settings, model, batch, out, options, as_json)
        return
    if out is not None:
        raise typer.BadParameter("--out FILE.csv goes with --batch FILE.csv")
    document = _score_patient(settings, model, single, options)
    if as_json:
        print_json(document)
    else:
        _print_patient(document)


def nomogram_path(settings: Settings, given: Path | None) -> Path:
    """Where the nomogram stands: as given, else in the configured model bundle."""
    if given is not None:
        return given
    bundle = Path(settings.model.bundle)
    if not bundle.exists():
        bundle = BUNDLES / settings.model.bundle
    if not bundle.exists():
        raise SettingsError(f"[model] bundle: no folder {settings.model.bundle!r}, nor a bundle of that name")
    return bundle


def _nomogram(settings: Settings, given: Path | None) -> CoxNomogram:
    from workers.nomogram.model import load_nomogram

    return load_nomogram(nomogram_path(settings, given))


def _score_options(settings: Settings, horizons: list[float], threshold: float | None) -> dict[str, Any]:
    return {
        "horizons_months": tuple(horizons),
        "threshold": settings.decision.threshold if threshold is None else threshold,
        "decision_horizon": float(settings.decision.horizon_months),
    }


def _single_patient(
    age: float | None, ebv_dna: str | None, prognostic_score: float | None, predictive_score: float | None
) -> dict[str, Any]:
    """What was given of one patient, by option."""
    return {
        "--age": age,
        "--ebv-dna": ebv_dna,
        "--prognostic-score": prognostic_score,
        "--predictive-score": predictive_score,
    }


def _covariates(settings: Settings, single: dict[str, Any]) -> tuple[PatientCovariates, EbvCategory]:
    """One patient's covariates; raises wrong usage naming the options that lack."""
    from dicom_sr.treatment_report import EbvCategory
    from workers.nomogram.ebv_dna import ebv_category
    from workers.nomogram.result import PatientCovariates

    missing = [name for name, value in single.items() if value is None]
    if missing:
        raise typer.BadParameter(f"one patient needs {', '.join(missing)}")
    decision = settings.decision
    category = ebv_category(single["--ebv-dna"], decision.ebv_threshold_copies_per_ml, decision.ebv_threshold_inclusive)
    covariates = PatientCovariates(
        single["--age"], category is EbvCategory.ABOVE, single["--prognostic-score"], single["--predictive-score"]
    )
    return covariates, category


def _score_patient(
    settings: Settings, model: CoxNomogram, single: dict[str, Any], options: dict[str, Any]
) -> dict[str, Any]:
    """The contract's JSON of one patient, identity of the nomogram included."""
    from dicom_sr.treatment_report import EbvCategory
    from workers.nomogram.result import both_categories_to_json

    covariates, category = _covariates(settings, single)
    if category is EbvCategory.UNKNOWN:
        document = both_categories_to_json(model.score_each_category(covariates, **options))
    else:
        document = model.score(covariates, **options).to_json()
    document["inputs"]["ebv_dna"] = single["--ebv-dna"]
    document["inputs"]["ebv_dna_threshold_copies_per_ml"] = settings.decision.ebv_threshold_copies_per_ml
    return {**document, "nomogram": {"name": model.name, "digest": model.digest}}


def _score_table(
    settings: Settings, model: CoxNomogram, batch: Path, out: Path, options: dict[str, Any], as_json: bool
) -> None:
    from collections import Counter

    from workers.nomogram.batch import read_patients, score_patients, write_table
    from workers.nomogram.ebv_dna import ebv_category

    decision = settings.decision

    def category(text: str) -> Any:
        return ebv_category(text, decision.ebv_threshold_copies_per_ml, decision.ebv_threshold_inclusive)

    table = score_patients(model, read_patients(batch, category), **options)
    write_table(out, table)
    counts = Counter(str(name) for name in table["recommendation"])
    undecided = counts.pop("", 0)
    summary = {
        "n": len(table["patient_id"]),
        "recommended": dict(sorted(counts.items())),
        "undecided": undecided,
        "extrapolated": sum(1 for text in table["extrapolated"] if text),
        "threshold": options["threshold"],
        "out": str(out),
        "nomogram": {"name": model.name, "digest": model.digest},
    }
    if as_json:
        print_json(summary)
        return
    typer.echo(f"{summary['n']} patients scored into {out}")
    for name, count in sorted(counts.items()):
        typer.echo(f"  {count} recommended {name}")
    if undecided:
        typer.echo(f"  {undecided} with unknown EBV DNA where its category decides")
    if summary["extrapolated"]:
        typer.echo(f"  {summary['extrapolated']} with an input outside the training cohort (column extrapolated)")


def _print_patient(document: dict[str, Any]) -> None:
    scenarios = document.get("by_ebv_dna_category") or {"": document}
    for category, scenario in scenarios.items():
        title = f"EBV DNA {category}" if category else None
        rows = [["Total points", *(f"{total:.1f}" for total in scenario["total_points"].values()), ""]]
        arms = list(scenario["dfs"])
        for month in scenario["difference"]:
            cells = [
                _percent(scenario["dfs"][arm][month]["value"], scenario["dfs"][arm][month]["ci95"]) for arm in arms
            ]
            change = _percent(scenario["difference"][month], scenario["difference_ci95"][month], sign="+")
            rows.append([f"DFS at {month} months", *cells, change])
        print_table(["", *arms, "difference"], rows, title=title)
    advice = document["recommendation"] or "depends on EBV DNA, which is unknown"
    typer.echo(f"Recommended: {advice} (ICT+CCRT where it gains more than {document['threshold'] * 100:g} %)")
    for outside in document["extrapolated"]:
        low, high = outside["training_range"]
        typer.echo(
            f"Extrapolated: {outside['input']} {outside['value']:g} is outside the training cohort {low:g}..{high:g}"
        )
    typer.echo(f"Nomogram: {document['nomogram']['name']}")


def _percent(value: float, interval: list[float] | None, sign: str = "") -> str:
    shown = f"{100 * value:{sign}.1f} %"
    return shown if interval is None else f"{shown} ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})"


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
) -> None:
    """Draw the nomogram, empty or with one patient's lines for both regimens.

    Example: cptdn nomogram plot --age 40 --ebv-dna 5000 --prognostic-score 0 --predictive-score -0.4 --out nomogram.png
    """
    from dicom_sr.treatment_report import EbvCategory
    from workers.nomogram.drawing import save_nomogram

    if style not in ("light", "dark") or language not in ("en", "zh"):
        raise typer.BadParameter(f"--style is light or dark, --language en or zh; found {style}, {language}")
    settings = settings_of(ctx)
    model = _nomogram(settings, nomogram)
    single = _single_patient(age, ebv_dna, prognostic_score, predictive_score)
    patient = None
    if any(value is not None for value in single.values()):
        covariates, category = _covariates(settings, single)
        if category is EbvCategory.UNKNOWN:
            raise InputError("a drawing needs a known EBV DNA category; draw >4000 and <4000 each")
        patient = model.score(covariates, **_score_options(settings, [36, 60], None))
    save_nomogram(out, model, patient, style, language)  # type: ignore[arg-type]
    typer.echo(f"drawn into {out}")


CohortLabelOption = Annotated[
    str | None, typer.Option("--cohort", metavar="LABEL", help="Only patients with this label in the column cohort.")
]


@app.command()
def fit(
    ctx: typer.Context,
    cohort: Annotated[Path, typer.Argument(metavar="COHORT.csv", help="A cohort in canonical columns.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where nomogram.json goes.")],
    label: CohortLabelOption = None,
    name: Annotated[str, typer.Option(help="Name of the nomogram; it stands in every report.")] = "",
    population: Annotated[str, typer.Option(help="Whom it was fitted on; it stands in every report.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Fit the CPTDN on a cohort; `nomogram score --nomogram DIR` then uses it.

    Fits the patients labelled `training` where the column cohort has that label, else all.

    Example: cptdn nomogram fit cohort.csv --out our-nomogram --name "CPTDN, our hospital 2015-2022"
    """
    from workers.nomogram.fitting import TrainingData, fit_nomogram, write_nomogram
    from workers.training.cohort import TRAINING, read_cohort, require_events

    patients = read_cohort(cohort)
    chosen = label or (TRAINING if TRAINING in patients.labels else None)
    if chosen is not None:
        patients = patients.labelled(chosen)
    complete = patients.with_known_ebv_dna()
    require_events(complete, "dfs")
    outcome = complete.outcome("dfs")
    fitted = fit_nomogram(
        TrainingData(complete.covariates(), complete.treated, outcome.durations_days, outcome.event_observed),
        name=name or f"CPTDN fitted on {cohort.name}",
        population=population or f"{len(complete)} patients of {cohort.name}",
        data_source=f"{cohort.name}" + (f", cohort {chosen}" if chosen else ""),
    )
    path = write_nomogram(fitted.nomogram, out)
    document = {
        **fitted.to_json(),
        "cohort": chosen,
        "n_excluded_ebv_dna_unknown": len(patients) - len(complete),
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
    if document["n_excluded_ebv_dna_unknown"]:
        typer.echo(f"{document['n_excluded_ebv_dna_unknown']} patients with unknown EBV DNA were left out")
    typer.echo(f"written: {path}")
