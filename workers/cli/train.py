"""`cptdn train`: the paper's training on a site's own cohort."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from node.cli.context import print_json
from node.cli.progress import stages

EVERY_NTH = {"images": 100, "landmarks": 25, "scores": 50}  # lines where there is no terminal


def train(
    ctx: typer.Context,
    cohort: Annotated[Path, typer.Argument(metavar="COHORT.csv", help="A cohort in canonical columns.")],
    images: Annotated[
        Path, typer.Option(metavar="DIR", help="<patient_id>.npz of kept patches, or one DICOM folder a patient.")
    ],
    out: Annotated[Path, typer.Option(metavar="BUNDLE", help="Folder of the finished bundle.")],
    work: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Checkpoints and gathered patches (default: BUNDLE.training).")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the bundle (default: that of its folder).")] = None,
    version: Annotated[str, typer.Option(help="Version of the bundle.")] = "1",
    population: Annotated[str, typer.Option(help="One sentence on whom it was trained.")] = "the site's own cohort",
    intended_use: Annotated[str, typer.Option(help="What it may be used for.")] = "research only, until validated",
    demonstration: Annotated[bool, typer.Option(help="Mark the bundle as a demonstration in every report.")] = False,
    nomogram: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Keep this nomogram instead of fitting one.")
    ] = None,
    phantoms: Annotated[list[Path], typer.Option(metavar="DIR", help="Held-out phantoms to test on; repeatable.")] = [],  # noqa: B006
    schedule: Annotated[
        Literal["one_cycle", "paper"], typer.Option(help="AdamW in one cycle, or the paper's SGD.")
    ] = "one_cycle",
    width: Annotated[float, typer.Option(min=0.03, max=2, help="Of all layers; 1 is the paper's.")] = 1.0,
    variant: Annotated[
        Literal["basic", "bottleneck"], typer.Option(help="SE-ResNet blocks; bottleneck is the deeper 3-4-3 network.")
    ] = "basic",
    pooling: Annotated[
        Literal["maximum", "attention"], typer.Option(help="How a patient's slices become one.")
    ] = "maximum",
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the cohort, for each network.")] = 20,
    batch_size: Annotated[int, typer.Option(min=2, help="Patients a step.")] = 64,
    transfer: Annotated[bool, typer.Option(help="Start T1w and T2w from the trained CE-T1w network.")] = False,
    seed: Annotated[int, typer.Option(help="The same seed gives the same weights.")] = 20260,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads; more than idle cores slow it down.")] = 1,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where it computes.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Train three SE-ResNets, the multi-task network and the CPTDN, evaluate them, and pack a verified bundle.

    A run that was interrupted goes on where it stood when the same command is given again.

    Example: cptdn train cohort.csv --images patches --out bundles/site-2025 --work /scratch/site-2025
    """
    import torch

    from workers.features.extraction import resolve_device
    from workers.training.image_source import image_source
    from workers.training.model_evaluation import with_phantom_metrics
    from workers.training.recipe import paper_recipe, recipe_of
    from workers.training.run import Description, train_bundle

    torch.set_num_threads(threads)
    make = paper_recipe if schedule == "paper" else recipe_of
    recipe = make(
        width=width,
        variant=variant,
        pooling=pooling,
        epochs=epochs,
        batch_size=batch_size,
        transfer=transfer,
        seed=seed,
    )
    description = Description(name or out.name, version, intended_use, demonstration, population, nomogram)
    place = work or out.with_name(f"{out.name}.training")
    with stages(EVERY_NTH) as tell:
        source = image_source(images, progress=lambda done, total: tell("landmarks", done, total, ""))
        bundle = train_bundle(cohort, source, out, place, recipe, description, str(resolve_device(device)), tell)
    if phantoms:
        bundle = with_phantom_metrics(bundle, {f"phantoms_{folder.name}": folder for folder in phantoms})
    if as_json:
        print_json({**bundle.manifest.content, "digest": bundle.digest, "folder": str(out)})
    else:
        typer.echo(f"{bundle.manifest.name} {bundle.manifest.version} is trained and verified: {bundle.digest}")
        for label, found in bundle.manifest.content["metrics"].items():
            typer.echo(f"  {label}: " + ", ".join(f"{key} {value}" for key, value in found.items()))
