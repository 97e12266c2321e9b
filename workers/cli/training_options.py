"""Options that `cptdn train` and `cptdn ablate` share: the choices that the paper leaves open."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from workers.training.loading import BatchLoader

CohortArgument = Annotated[Path, typer.Argument(metavar="COHORT.csv", help="A cohort in canonical columns.")]
ImagesOption = Annotated[
    Path,
    typer.Option("--images", metavar="DIR", help="<patient_id>.npz of saved patches, or one DICOM folder per patient."),
]
KeptNomogramOption = Annotated[
    Path | None, typer.Option("--nomogram", metavar="FILE.json", help="Use this nomogram instead of fitting one.")
]
ScheduleOption = Annotated[
    Literal["one_cycle", "paper"], typer.Option("--schedule", help="AdamW in one cycle, or the paper's SGD.")
]
WidthOption = Annotated[float, typer.Option("--width", min=0.03, max=2, help="Width of all layers; 1 is the paper's.")]
VariantOption = Annotated[
    Literal["basic", "bottleneck"],
    typer.Option("--variant", help="SE-ResNet blocks; bottleneck is the deeper 3-4-3 network."),
]
PoolingOption = Annotated[
    Literal["maximum", "attention"], typer.Option("--pooling", help="How a patient's slices are combined.")
]
NormalisationOption = Annotated[
    Literal["landmarks", "n4_landmarks", "z_score"] | None,
    typer.Option(
        "--normalisation",
        help="Grey values of DICOM images: landmarks of the histogram (default), the same after N4 bias correction "
        "(seconds per series), z-scores of the foreground. Saved patches are already normalised.",
    ),
]
EpochsOption = Annotated[int, typer.Option("--epochs", min=1, help="Largest number of epochs of each SE-ResNet.")]
BatchSizeOption = Annotated[int, typer.Option("--batch-size", min=2, help="Patients per batch; 64 in the paper.")]
PatienceOption = Annotated[
    int | None,
    typer.Option(
        "--patience",
        min=0,
        help="Stop early after N epochs without a gain of the validation C-index and use the best weights; "
        "0: never (default: 0, with --schedule paper 5).",
    ),
]
AugmentationOption = Annotated[
    Literal["scanner", "paper"] | None,
    typer.Option(
        "--augmentation",
        help="The paper's, or also contrast, bias and noise of other scanners (default: scanner, with --schedule paper "
        "paper).",
    ),
]
PrecisionOption = Annotated[
    Literal["auto", "float32", "bfloat16"],
    typer.Option(
        "--precision", help="Of the networks in training; auto: the one whose step is faster here, measured in seconds."
    ),
]
TransferOption = Annotated[
    bool, typer.Option("--transfer/--no-transfer", help="Start T1w and T2w from the trained CE-T1w network.")
]
SeedOption = Annotated[int, typer.Option("--seed", help="The same seed gives the same weights (on a CPU).")]
ThreadsOption = Annotated[
    int, typer.Option("--threads", min=1, help="CPU threads of the network; more than idle cores slow it down.")
]
LoadersOption = Annotated[
    int | None,
    typer.Option(
        "--loaders",
        min=0,
        help="Threads that prepare batches ahead; the weights do not depend on it (default: none on a CPU, up to 8 "
        "beside a GPU).",
    ),
]
DeviceOption = Annotated[
    Literal["auto", "cpu", "cuda"], typer.Option("--device", help="Where the networks compute; auto: a GPU if any.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]

EVERY_NTH = {
    "images": 100,
    "landmarks": 25,
    "checked": 25,
    "scored": 32,
    "patches": 25,
    "scores": 50,
}  # plain lines of progress


def loader_from(device: str, loaders: int | None, threads: int) -> BatchLoader:
    """Return the batch loader that the options name; sets torch's number of threads.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda"}
        Where the networks compute.
    loaders : int or None
        Loader threads; None: the default of the device.
    threads : int
        CPU threads of torch.
    """
    import torch

    from workers.features.extraction import resolve_device
    from workers.training.loading import BatchLoader, default_loader_count

    # One by default: on two busy cores a step with two threads took up to ten times as long, as threads wait for each
    # other.
    torch.set_num_threads(threads)
    where = resolve_device(device)
    return BatchLoader(where, default_loader_count(where) if loaders is None else loaders)
