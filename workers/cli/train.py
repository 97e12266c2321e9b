"""`cptdn train`: the paper's training on a site's own cohort."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from node.cli.context import print_json, print_table, settings_of
from node.cli.progress import stages, time_left
from workers.cli.cohort_check import (
    ProcessesOption,
    WithoutUnusableOption,
    checked_cohort,
    print_problems,
    require_usable,
)
from workers.cli.nomogram_options import DecisionHorizonOption, HorizonsOption, PenaltyOption, indication_of, penalty_of
from workers.cli.training_options import (
    EVERY_NTH,
    AugmentationOption,
    BatchSizeOption,
    CohortArgument,
    DeviceOption,
    EpochsOption,
    ImagesOption,
    JsonOption,
    KeptNomogramOption,
    LoadersOption,
    NormalisationOption,
    PatienceOption,
    PoolingOption,
    PrecisionOption,
    ScheduleOption,
    SeedOption,
    ThreadsOption,
    TransferOption,
    VariantOption,
    WidthOption,
    loader_from,
)
from workers.cli.truth_table import print_truth


def train(
    ctx: typer.Context,
    cohort: CohortArgument,
    images: ImagesOption,
    out: Annotated[
        Path | None, typer.Option(metavar="BUNDLE", help="Folder of the finished bundle; --check needs none.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Read the table and all images, list every problem, and train nothing.")
    ] = False,
    without_unusable: WithoutUnusableOption = False,
    forget_patients: Annotated[
        bool,
        typer.Option(
            "--forget-patients", help="No digests of the training patients in the bundle; score-cohort needs them."
        ),
    ] = False,
    work: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Checkpoints and gathered patches (default: BUNDLE.training).")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the bundle (default: that of its folder).")] = None,
    version: Annotated[str, typer.Option(help="Version of the bundle.")] = "1",
    population: Annotated[str, typer.Option(help="One sentence on whom it was trained.")] = "the site's own cohort",
    intended_use: Annotated[str, typer.Option(help="What it may be used for.")] = "research only, until validated",
    nomogram: KeptNomogramOption = None,
    horizons: HorizonsOption = None,
    decision_horizon: DecisionHorizonOption = None,
    phantoms: Annotated[list[Path], typer.Option(metavar="DIR", help="Held-out phantoms to test on; repeatable.")] = [],  # noqa: B006
    folds: Annotated[
        int,
        typer.Option(
            min=2,
            help="Members of the ensemble, each trained without one of N folds; the nomogram is fitted on the "
            "scores of patients that a member had not seen.",
        ),
    ] = 5,
    schedule: ScheduleOption = "one_cycle",
    width: WidthOption = 1.0,
    variant: VariantOption = "basic",
    pooling: PoolingOption = "maximum",
    normalisation: NormalisationOption = None,
    epochs: EpochsOption = 20,
    batch_size: BatchSizeOption = 64,
    augmentation: AugmentationOption = None,
    patience: PatienceOption = None,
    transfer: TransferOption = False,
    penalty: PenaltyOption = None,
    seed: SeedOption = 20260,
    loaders: LoadersOption = None,
    threads: ThreadsOption = 1,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    processes: ProcessesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train an ensemble of SE-ResNets and multi-task networks and the CPTDN, evaluate it, and pack a bundle.

    The bundle is judged by its figures on patients that no part of it had seen. A refused one stays for inspection, and
    the command ends with 1. A cohort with phantoms makes a demonstration; they are recognised.

    First everything is read: --check stops there, with one table of every patient's problems and exit code 1 if there
    are any. An interrupted run resumes when the same command is repeated. All figures are of patients that the
    predicting part had not seen; BUNDLE.training/scores.csv contains all scores for `cptdn nomogram evaluate`.

    Example: cptdn train cohort.csv --images dicom --check
    Example: cptdn train cohort.csv --images patches --out bundles/site-2025 --work /scratch/site-2025
    Example: cptdn train cohort.csv --images patches --out bundles/site-2025 --horizons 24,48 --decision-horizon 48
    """
    from config.bundle_admission import refusal_text
    from config.errors import ModelBundleError
    from config.trial_evidence import trial_evidence
    from workers.cli.admission import print_admission
    from workers.cli.hostile import with_limits
    from workers.nomogram.nomogram_file import load_nomogram
    from workers.training.image_source import image_source, normalisation_of
    from workers.training.ordered_processes import default_process_count
    from workers.training.phantom_evaluation import add_phantom_metrics
    from workers.training.precision import choose_precision
    from workers.training.run import BundleDescription, train_bundle
    from workers.training.training_config import backbone_of, config_from_choices

    # A published nomogram brings its own indication; horizons given as options replace those in it.
    published = None if nomogram is None else load_nomogram(nomogram).indication
    indication = indication_of(horizons, decision_horizon, published)
    image_normalisation = normalisation_of(images, normalisation)
    case = settings_of(ctx).case
    read_all = partial(
        checked_cohort, cohort, images, image_normalisation, case, processes, folds,
        () if nomogram is not None else indication.horizons_months,
    )  # fmt: skip
    if check:
        found = read_all(work or (None if out is None else _working_folder(out)))
        print_json(found.to_json()) if as_json else print_problems(found)
        raise typer.Exit(1 if found.problems else 0)
    if out is None:
        raise typer.BadParameter("expected the folder of the bundle, or --check", param_hint="--out")
    place = work or _working_folder(out)
    checked = read_all(place)
    require_usable(checked, without_unusable)
    loader = loader_from(device, loaders, threads)
    config = config_from_choices(
        width=width,
        variant=variant,
        pooling=pooling,
        epochs=epochs,
        batch_size=batch_size,
        transfer=transfer,
        seed=seed,
        schedule=schedule,
        normalisation=image_normalisation,
        augmentation=augmentation,
        patience=patience,
        precision=choose_precision(precision, backbone_of(width, variant, pooling), loader.device, place),
    )
    description = BundleDescription(
        name or out.name, version, intended_use, population, nomogram, indication, penalty_of(penalty),
        not forget_patients,
    )  # fmt: skip
    with stages(EVERY_NTH) as report_progress:
        n_processes = processes or default_process_count(checked.n_patients)
        source = image_source(
            images,
            progress=lambda done, total: report_progress("landmarks", done, total, ""),
            normalisation=image_normalisation,
            cache=place,
            case=case,
            processes=n_processes,
        )
        bundle = train_bundle(
            cohort, source, out, place, config, description, loader, report_progress, folds, checked, n_processes
        )
        bundle = with_limits(bundle, images, cohort, report_progress, checked.unusable)
        if phantoms:
            bundle = add_phantom_metrics(bundle, {f"phantoms_{folder.name}": folder for folder in phantoms})
    if as_json:
        print_json({**bundle.manifest.content, "digest": bundle.digest, "folder": str(out)})
    else:
        _print_metrics(bundle.manifest.content["metrics"])
        _print_seconds(bundle.manifest.content["training"])
        _print_endpoints(bundle.manifest.content["training"]["endpoints"])
        if checked.unusable:
            print_problems(checked)
        typer.echo(f"scores, those of training patients out of fold: {place / 'scores.csv'}")
        print_admission(bundle.manifest, trial_evidence(settings_of(ctx).model.trial_evidence))
        typer.echo(f"{bundle.manifest.name} {bundle.manifest.version}, files and weights checked: {bundle.digest}")
    if refused := bundle.manifest.admission.refused:
        # The bundle stays where it is, so that somebody can look at it; nothing computes with it.
        raise ModelBundleError(f"{refusal_text(bundle.manifest.name, refused)} It is in {out} for inspection.")


def _working_folder(out: Path) -> Path:
    # Beside the bundle and not inside it: a bundle is copied to other machines, checkpoints are not.
    return out.with_name(f"{out.name}.training")


def _print_metrics(metrics: dict[str, Any]) -> None:
    rows = [
        [
            _title(label, metric),
            str(metric["n"]),
            str(metric["n_events"]),
            *(_shown(metric["c_index"][group]) for group in ("all", "CCRT", "ICT+CCRT")),
            _shown(metric["calibration_slope"]),
            _shown(list(metric["ipa"].values())[-1]),
        ]
        for label, metric in metrics.items()
        if "calibration_slope" in metric
    ]
    columns = ("unseen patients", "n", "events", "C-index", "CCRT", "ICT+CCRT", "calibration slope", "IPA")
    print_table(columns, rows, title="Performance on patients that the predicting part had not seen")
    curve = [
        [share, str(at["n"]), str(at["n_events"]), _shown(at["c_index"])]
        for share, at in metrics.get("learning_curve", {}).items()
    ]
    if curve:
        print_table(("", "patients learned from", "events", "C-index of unseen ones"), curve, title="Learning curve")
    print_truth(metrics)


def _title(label: str, metric: dict[str, Any]) -> str:
    return f"training, out of {metric['folds']} folds" if label == "out_of_fold" else label.replace("_", " ")


def _shown(figure: dict[str, Any]) -> str:
    if figure["value"] is None:
        return "-"
    interval = figure["ci95"]
    return f"{figure['value']:.3f}" + (f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else "")


def _print_endpoints(endpoints: dict[str, list[str]]) -> None:
    if endpoints["left_out"]:
        learned, left_out = (", ".join(name.upper() for name in endpoints[key]) for key in ("learned", "left_out"))
        typer.echo(f"learned from {learned}; the table has no columns of {left_out}, which have no term in the loss")


def _print_seconds(training: dict[str, Any]) -> None:
    rows = [[stage, str(training["epochs"].get(stage, "-")), time_left(s)] for stage, s in training["seconds"].items()]
    print_table(("trained", "epochs", "time"), rows)
    typer.echo(f"on {training['machine']}, in {training['precision']}")
