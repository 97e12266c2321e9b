"""Options that the nomogram's commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from config.errors import SettingsError
from config.settings import BUNDLES, Settings

if TYPE_CHECKING:
    from workers.nomogram.model import CoxNomogram

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


def nomogram_of(settings: Settings, given: Path | None) -> CoxNomogram:
    from workers.nomogram.model import load_nomogram

    return load_nomogram(nomogram_path(settings, given))


def p_shown(value: float | None) -> str:
    """A p value as a table shows it."""
    return "-" if value is None else "<0.001" if value < 0.001 else f"{value:.3f}"
