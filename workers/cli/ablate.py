"""`cptdn ablate`: compare the choices that the paper leaves open on a cohort."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from node.cli.context import print_json, print_table, settings_of
from node.cli.progress import stages, time_left
from workers.cli.cohort_check import ProcessesOption, WithoutUnusableOption, checked_cohort, require_usable
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

if TYPE_CHECKING:
    from workers.survival.cohort import Cohort
    from workers.training.ablation import AblationResult
    from workers.training.patch_store import PatchStore
    from workers.training.training_config import TrainingConfig


def ablate(
    ctx: typer.Context,
    cohort: CohortArgument,
    images: ImagesOption,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Gets the table, the figure, and the state of the run.")],
    vary: Annotated[
        list[str],
        typer.Option(
            metavar="CHOICE",
            help="pooling, normalisation (DICOM images), variant, schedule, augmentation or transfer; repeatable.",
        ),
    ],
    folds: Annotated[int, typer.Option(min=2, help="The same for every choice.")] = 5,
    repeats: Annotated[
        int, typer.Option(min=1, help="Repeats with other folds and first weights, which show the chance of both.")
    ] = 1,
    nomogram: KeptNomogramOption = None,
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
    seed: SeedOption = 20260,
    loaders: LoadersOption = None,
    threads: ThreadsOption = 1,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    processes: ProcessesOption = None,
    without_unusable: WithoutUnusableOption = False,
    as_json: JsonOption = False,
) -> None:
    """Compare choices by cross-validation on the training patients: shared folds and seeds, one choice at a time.

    Every alternative is compared with the reference, which the other options name. Writes ablation.json, .csv, .png,
    .pdf and .svg into DIR; an interrupted run resumes when the same command is repeated. Phantoms are also compared
    with their truth.

    Example: cptdn ablate cohort.csv --images dicom --out ablation --vary pooling --vary normalisation --repeats 3
    """
    from workers.nomogram.nomogram_file import load_nomogram
    from workers.training.ablation import REFERENCE, Ablation, ablation_arms, run_ablation
    from workers.training.ablation_report import write_ablation
    from workers.training.image_source import image_source, normalisation_of
    from workers.training.ordered_processes import default_process_count
    from workers.training.patch_store import build_store
    from workers.training.precision import choose_precision
    from workers.training.training_config import backbone_of

    loader = loader_from(device, loaders, threads)
    options = {
        "width": width,
        "variant": variant,
        "pooling": pooling,
        "epochs": epochs,
        "batch_size": batch_size,
        "transfer": transfer,
        "seed": seed,
        "schedule": schedule,
        "normalisation": normalisation_of(images, normalisation),
        "augmentation": augmentation,
        "patience": patience,
        "precision": choose_precision(
            precision, backbone_of(width, variant, pooling), loader.device, out / "runs" / REFERENCE / f"seed-{seed}"
        ),
    }
    arms = ablation_arms(options, vary)
    for arm in arms:  # saved patches cannot be normalised again: refuse before anything is trained
        normalisation_of(images, arm.config.normalisation)
    plan = Ablation(arms, folds, repeats, None if nomogram is None else load_nomogram(nomogram))
    case, grey_values = settings_of(ctx).case, arms[0].config.normalisation
    checked = checked_cohort(cohort, images, grey_values, case, processes, folds, (), _store_folder(out, grey_values))
    require_usable(checked, without_unusable)
    n_processes = processes or default_process_count(checked.n_patients)
    with stages(EVERY_NTH) as report_progress:

        def store_of(patients: Cohort, config: TrainingConfig) -> PatchStore:
            grey = config.normalisation
            # One store for each normalisation, shared by all arms that use it.
            place = _store_folder(out, grey)
            source = image_source(
                images,
                progress=lambda done, total: report_progress(f"{grey} landmarks", done, total, ""),
                normalisation=grey,
                cache=place,
                case=case,
                processes=n_processes,
            )(patients)
            store = build_store(
                patients.patient_ids,
                source.read_patches,
                place,
                lambda done, n: report_progress(f"{grey} images", done, n, ""),
                n_processes,
            )
            return replace(store, scale=source.scale)

        result = run_ablation(cohort, store_of, out / "runs", plan, loader, report_progress, checked.unusable)
    written = write_ablation(result, out)
    if as_json:
        print_json({**result.to_json(), "written": [str(path) for path in written]})
        return
    _print(result)
    typer.echo(f"written: {', '.join(str(path) for path in written)}")


def _store_folder(out: Path, normalisation: str) -> Path:
    return out / "patches" / normalisation


def _print(result: AblationResult) -> None:
    from workers.training.ablation_report import shown_name

    rows = []
    for arm in result.arms:
        value, (low, high) = arm.c_index
        row = [shown_name(arm), f"{value:.3f} ({low:.3f} to {high:.3f})"]
        if arm.difference is None:
            row += ["-", "-"]
        else:
            low, high = arm.difference.ci95
            row += [f"{arm.difference.value:+.3f} ({low:+.3f} to {high:+.3f})", arm.verdict]
        if result.n_repeats > 1:
            values = [c.value for c in arm.concordance]
            row.append(f"{min(values):.3f} to {max(values):.3f}")
        if arm.truth is not None:
            row.append("-" if arm.truth["agreement"] is None else f"{arm.truth['agreement']:.3f}, n = {arm.truth['n']}")
        rows.append([*row, time_left(arm.seconds)])
    columns = ["", "C-index (95 % CI)", "difference (95 % CI)", "verdict"]
    columns += ["each repeat"] if result.n_repeats > 1 else []
    columns += ["agrees with the truth"] if result.arms[0].truth is not None else []
    title = f"{result.n} patients, {result.n_events} events, {result.n_folds} folds"
    print_table([*columns, "time"], rows, title=title)
    for remark in result.remarks():
        typer.echo(remark)
