"""Options that the nomogram's commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from config.settings import Settings

if TYPE_CHECKING:
    from config.decision_policy import DecisionPolicy
    from config.indication.profile import Indication
    from workers.nomogram.model import CoxNomogram
    from workers.survival.comparison_models import ComparisonModels
    from workers.survival.ridge import Penalty

NomogramOption = Annotated[
    Path | None,
    typer.Option("--nomogram", metavar="DIR", help="Folder or JSON of a nomogram; default: that of the model bundle."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
HorizonOption = Annotated[
    list[float],
    typer.Option(
        "--horizon", metavar="MONTHS",
        help="Months since the start; may be given repeatedly; default: the horizons of the nomogram.",
    ),
]  # fmt: skip
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


HorizonsOption = Annotated[
    str | None,
    typer.Option(
        "--horizons", metavar="MONTHS,MONTHS",
        help="When survival is reported, in months, e.g. 24,48 (default: 36,60); the follow-up must reach them.",
    ),
]  # fmt: skip
DecisionHorizonOption = Annotated[
    int | None,
    typer.Option(
        "--decision-horizon", metavar="MONTHS",
        help="The horizon of the recommendation (default: 60, or the last of --horizons).",
    ),
]  # fmt: skip


PenaltyOption = Annotated[
    str | None,
    typer.Option(
        "--penalty", metavar="auto|NUMBER",
        help="Ridge penalty of the Cox fit on standardised terms, for few events; auto: by cross-validation "
        "(default: none).",
    ),
]  # fmt: skip


def penalty_of(option: str | None) -> Penalty:
    """Return the penalty that the option names."""
    if option is None:
        return None
    if option == "auto":
        return "auto"
    try:
        value = float(option)
    except ValueError:
        value = float("nan")
    if not 0 < value < float("inf"):
        raise typer.BadParameter(f"expected auto or a number above 0, found {option!r}", param_hint="--penalty")
    return value


def indication_of(horizons: str | None, decision_horizon: int | None, usual: Indication | None = None) -> Indication:
    """Return the indication that a model is fitted for: the usual one with the horizons of the command line."""
    from config.indication.nasopharynx import NASOPHARYNX

    usual = usual or NASOPHARYNX
    try:
        months = usual.horizons_months if horizons is None else tuple(int(m) for m in horizons.split(","))
    except ValueError as error:
        raise typer.BadParameter(
            f"expected whole months separated by commas, found {horizons!r}", param_hint="--horizons"
        ) from error
    decisive = decision_horizon or usual.decision.horizon_months
    # A recommendation needs a reported horizon; the last one has the most events.
    if decision_horizon is None and decisive not in months:
        decisive = months[-1]
    try:
        return usual.with_horizons(months, decisive)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--horizons") from error


def nomogram_of(settings: Settings, chosen: Path | None) -> CoxNomogram:
    """Read a nomogram: the one at `chosen` (a file, a folder, a bundle), else that of the configured model bundle."""
    from config.bundle_manifest import MANIFEST, read_manifest
    from workers.nomogram.nomogram_file import load_nomogram, nomogram_of_bundle

    if chosen is None:
        return nomogram_of_bundle(read_manifest(settings.model.bundle))
    # A folder with a manifest is a bundle, whose indication applies; a nomogram alone has its own.
    return nomogram_of_bundle(read_manifest(chosen)) if (chosen / MANIFEST).is_file() else load_nomogram(chosen)


def comparison_models_of(settings: Settings, chosen: Path | None, nomogram: CoxNomogram) -> ComparisonModels | None:
    """Read the comparison models beside the nomogram that `nomogram_of` reads; None where it has none."""
    from config.bundle_manifest import read_manifest
    from workers.survival.comparison_models import read_comparison_models

    folder = read_manifest(settings.model.bundle).folder if chosen is None else chosen
    return read_comparison_models(folder if folder.is_dir() else folder.parent, nomogram.digest)


def policy_of_nomogram(settings: Settings, nomogram: CoxNomogram) -> DecisionPolicy:
    """Return the rule of a nomogram under these settings. Raises SettingsError where one contradicts it."""
    from config.decision_policy import policy_of

    return policy_of(settings, nomogram.indication, f"the nomogram {nomogram.name!r}")


def print_marks(nomogram: CoxNomogram) -> None:
    """Print what a nomogram's file says against it."""
    for mark in nomogram.marks:
        typer.echo(f"Marked: {mark['text']} [{mark['code']}]")


def p_shown(value: float | None) -> str:
    """Return a p value for a table cell."""
    return "-" if value is None else "<0.001" if value < 0.001 else f"{value:.3f}"
