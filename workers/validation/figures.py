"""All figures of an evaluation, as PNG, PDF and SVG that a journal would take.

References for the forms: Zhong et al., EBioMedicine 2021;70:103522, Figures 2-5.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from config.errors import InputError
from config.indication.conventions import DAYS_PER_MONTH
from workers.nomogram.drawing import draw_nomogram
from workers.nomogram.model import CoxNomogram
from workers.validation.display_text import ENDPOINT_NAMES
from workers.validation.evaluation import Evaluation
from workers.validation.figure_style import FORMATS, HIGH_RISK, LOW_RISK, house_style
from workers.validation.part_evaluation import PartEvaluation, compared_concordances
from workers.validation.performance_figures import (
    calibration_figure,
    concordance_figure,
    decision_curve_figure,
    forest_figure,
)
from workers.validation.survival_figure import survival_figure


@dataclass(frozen=True)
class NamedFigure:
    """A figure with the name of its files and a caption."""

    name: str
    caption: str
    figure: Figure


def figures_of(evaluation: Evaluation) -> list[NamedFigure]:
    """Return all figures of an evaluation, in the order of the report."""
    with house_style():
        figures = [
            NamedFigure("nomogram", f"The nomogram: {evaluation.nomogram.name}.", nomogram_figure(evaluation.nomogram))
        ]
        for label, part in (evaluation.parts or {"": evaluation.whole}).items():
            figures.extend(_part_figures(evaluation, label, part))
        if evaluation.subgroups:
            forest = forest_figure(evaluation.subgroups)
            caption = "Hazard ratio of ICT+CCRT against CCRT by subgroup, for the patients for whom each is preferred."
            figures.append(NamedFigure("subgroups", caption, forest))
    return figures


def _part_figures(evaluation: Evaluation, label: str, part: PartEvaluation) -> Iterator[NamedFigure]:
    suffix = f".{_slug(label)}" if label else ""
    who = f"{label} cohort, n = {part.n}" if label else f"n = {part.n}"
    endpoint = ENDPOINT_NAMES[evaluation.options.endpoint]
    cut = evaluation.options.risk_cut_of(evaluation.nomogram)
    risk = [(name if name != "all" else "all patients", groups) for name, groups in part.risk.items()]
    yield NamedFigure(
        f"risk_groups{suffix}",
        f"{endpoint} of high and low risk by total points (cut {cut:.1f}), {who}.",
        survival_figure(risk, endpoint, (LOW_RISK, HIGH_RISK)),
    )
    for threshold, groups in part.decision.items():
        percent = f"{100 * float(threshold):g} %"
        yield NamedFigure(
            f"decision_{threshold}{suffix}",
            f"{endpoint} by treatment, where each regimen is preferred (gain above {percent}), {who}.",
            survival_figure(list(groups.items()), endpoint),
        )
    if part.calibration:
        yield NamedFigure(
            f"calibration{suffix}",
            f"Observed against predicted disease-free survival in groups of equal size, with 95 % intervals, {who}.",
            calibration_figure(part.calibration),
        )
    models = compared_concordances(part)
    if part.n_events:
        refitted = " Hatched: fitted on this cohort." if part.c_index_of_refitted else ""
        yield NamedFigure(
            f"c_index{suffix}",
            "C-index with 95 % interval of the CPTDN as given and of the models that were fitted with it, "
            f"{who}.{refitted}",
            concordance_figure(models),
        )
    if part.net_benefit is not None:
        months = part.net_benefit.horizon_days / DAYS_PER_MONTH
        yield NamedFigure(
            f"decision_curve{suffix}",
            f"Net benefit of acting on the predicted risk within {months:g} months, {who}.",
            decision_curve_figure(part.net_benefit),
        )


def draw_evaluation(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Write every figure as PNG (300 dpi), PDF and SVG into a folder.

    Parameters
    ----------
    evaluation : Evaluation
        What to draw.
    folder : Path
        Created if necessary.

    Returns
    -------
    list of Path
        The written files.

    Raises
    ------
    InputError
        A file cannot be written.
    """
    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for named in figures_of(evaluation):
            for suffix in FORMATS:
                path = folder / f"{named.name}.{suffix}"
                # No date in the files: equal input gives equal bytes, and a comparison of two runs shows real changes
                # only.
                metadata = {"Date": None} if suffix == "svg" else {"CreationDate": None} if suffix == "pdf" else None
                with house_style():
                    named.figure.savefig(path, dpi=300, metadata=metadata)
                written.append(path)
    except OSError as error:
        raise InputError(f"cannot write the figures into {folder}: {error.strerror}") from error
    return written


def nomogram_figure(nomogram: CoxNomogram) -> Figure:
    """Return the empty nomogram."""
    figure = Figure(figsize=(7.2, 4.6))
    draw_nomogram(figure.add_axes((0.02, 0.02, 0.96, 0.96)), nomogram)
    return figure


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_") or "cohort"
