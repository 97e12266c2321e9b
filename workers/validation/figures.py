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
from workers.validation.benefit_figures import benefit_calibration_figure, policy_value_figure, threshold_figure
from workers.validation.display_text import ENDPOINT_NAMES
from workers.validation.evaluation import Evaluation
from workers.validation.figure_style import FORMATS, HIGH_RISK, LOW_RISK, house_style
from workers.validation.flow_figure import flow_figure
from workers.validation.part_evaluation import PartEvaluation, compared_concordances
from workers.validation.performance_figures import (
    calibration_figure,
    concordance_figure,
    decision_curve_figure,
    forest_figure,
)
from workers.validation.survival_figure import survival_figure

DECISION, PARTICIPANTS, SPECIFICATION, PERFORMANCE = "decision", "participants", "specification", "performance"


@dataclass(frozen=True)
class NamedFigure:
    """A figure with the name of its files, a caption and the section of the report that shows it."""

    name: str
    caption: str
    figure: Figure
    section: str = PERFORMANCE


def figures_of(evaluation: Evaluation) -> list[NamedFigure]:
    """Return all figures of an evaluation.

    Parameters
    ----------
    evaluation : Evaluation
        With or without parts, subgroups and benefit.

    Returns
    -------
    list of NamedFigure
        In the order of the report.
    """
    with house_style():
        figures = [
            NamedFigure(
                "nomogram",
                f"The nomogram: {evaluation.nomogram.name}. {fitted_where(evaluation)}",
                nomogram_figure(evaluation.nomogram),
                SPECIFICATION,
            )
        ]
        for label, part in (evaluation.parts or {"": evaluation.whole}).items():
            figures.extend(_part_figures(evaluation, label, part))
        if evaluation.subgroups:
            forest = forest_figure(evaluation.subgroups)
            whole = evaluation.whole
            caption = (
                "Hazard ratio of ICT+CCRT against CCRT with 95 % interval by subgroup, for the patients for whom each "
                f"is preferred; all patients, n = {whole.n}, {whole.n_events} events."
            )
            figures.append(NamedFigure("subgroups", caption, forest))
    return figures


def _part_figures(evaluation: Evaluation, label: str, part: PartEvaluation) -> Iterator[NamedFigure]:
    suffix = f".{_slug(label)}" if label else ""
    cohort = f"{label} cohort, " if label else ""
    scored = part.risk["all"]
    known = f"{cohort}n = {sum(scored.n)}, {sum(scored.events)} events"
    if sum(scored.n) < part.n:
        known += f"; without the {part.n - sum(scored.n)} whose EBV DNA is unknown"
    yield from _decision_figures(label or "all patients", cohort, part, suffix)
    endpoint = ENDPOINT_NAMES[evaluation.options.endpoint]
    cut = evaluation.options.risk_cut_of(evaluation.nomogram)
    default_cut = "" if evaluation.options.risk_cut else ", the mean of the nomogram's training cohort"
    risk = [(name if name != "all" else "all patients", groups) for name, groups in part.risk.items()]
    yield NamedFigure(
        f"risk_groups{suffix}",
        f"{endpoint} of high and low risk by total points (cut {cut:.1f}{default_cut}), {known}.",
        survival_figure(risk, endpoint, (LOW_RISK, HIGH_RISK)),
    )
    for threshold, groups in part.decision.items():
        points = f"{100 * float(threshold):g} percentage points"
        n, n_events = (sum(sum(getattr(each, name)) for each in groups.values()) for name in ("n", "events"))
        left_out = f"; without {part.n - n} whose recommendation is not determined" if n < part.n else ""
        yield NamedFigure(
            f"decision_{threshold}{suffix}",
            f"{endpoint} by treatment, where each regimen is preferred (gain above {points}, by the difference alone "
            f"as in the paper, whatever its interval), {cohort}n = {n}, {n_events} events{left_out}.",
            survival_figure(list(groups.items()), endpoint),
        )
    if part.calibration:
        yield NamedFigure(
            f"calibration{suffix}",
            "Observed against predicted disease-free survival: groups of equal size with 95 % intervals, and the "
            f"smooth curve; prediction of the nomogram as given, {known}.",
            calibration_figure(part.calibration, part.smooth_calibration),
        )
    models = compared_concordances(part)
    if part.n_events:
        refitted = " Hatched: fitted on this cohort." if part.c_index_of_refitted else ""
        yield NamedFigure(
            f"c_index{suffix}",
            "C-index with 95 % interval of the CPTDN as given and of the models that were fitted with it, "
            f"{known}.{refitted}",
            concordance_figure(models),
        )
    if part.net_benefit is not None:
        months = part.net_benefit.horizon_days / DAYS_PER_MONTH
        yield NamedFigure(
            f"decision_curve{suffix}",
            f"Net benefit of acting on the predicted risk within {months:g} months, models as given, {known}.",
            decision_curve_figure(part.net_benefit),
        )


def fitted_where(evaluation: Evaluation) -> str:
    """Return a sentence about the patients that the nomogram was fitted on.

    Parameters
    ----------
    evaluation : Evaluation
        Of any nomogram.

    Returns
    -------
    str
        With numbers of patients and events where its file has them.
    """
    document = evaluation.nomogram.document
    fit = document.get("fit", {})
    where = document.get("data_source") or document.get("population") or "patients that its file does not name"
    counts = f", n = {fit['n']}, {fit['events']} events" if {"n", "events"} <= set(fit) else ""
    return f"Fitted on: {where}{counts}."


def not_unseen(evaluation: Evaluation) -> dict[str, str]:
    """Return a warning for each part of the cohort that the nomogram was, or may have been, fitted on.

    Parameters
    ----------
    evaluation : Evaluation
        Of any nomogram.

    Returns
    -------
    dict of str to str
        By label, ``""`` for a cohort without labels. Certain where the nomogram's file has the digest of its patients;
        of a file without it the sentence says that it is unknown.
    """
    document = evaluation.nomogram.document
    fit = document.get("fit", {})
    file, _, fitted_label = str(document.get("data_source", "")).partition(", cohort ")
    warnings = {}
    for label, part in (evaluation.parts or {"": evaluation.whole}).items():
        # A cohort of one label has no parts.
        named = label or fitted_label
        who = f"the patients labelled {named}" if named else "these patients"
        if fit.get("patients_digest") is not None:
            if fit["patients_digest"] == evaluation.patients_digests.get(label):
                warnings[label] = f"The nomogram was fitted on {who}: these figures are not of unseen ones"
            continue
        unknown = f"whether they are {who}, and these figures not of unseen ones, is unknown"
        if file == Path(evaluation.source).name and named == fitted_label:
            warnings[label] = f"The nomogram was fitted on a table of the same name and label; {unknown}"
        elif (fit.get("n"), fit.get("events")) == (part.n, part.n_events):
            warnings[label] = f"The nomogram was fitted on as many patients with as many events; {unknown}"
    return warnings


def _decision_figures(label: str, cohort: str, part: PartEvaluation, suffix: str) -> Iterator[NamedFigure]:
    arms = [(name, part.table_1["treatment"][name]["n"]) for name in ("CCRT", "ICT+CCRT")]
    title = f"{label}: n = {part.n}, {part.n_events} events"
    yield NamedFigure(
        f"flow{suffix}",
        f"Patients of each analysis and those left out, {cohort}n = {part.n}, {part.n_events} events.",
        flow_figure(title, arms, part.analyses),
        PARTICIPANTS,
    )
    benefit = part.benefit
    if benefit is None:
        return
    who = f"{cohort}n = {benefit.n}, {benefit.n_events} events by {benefit.horizon_months:g} months"
    yield NamedFigure(
        f"policy_value{suffix}",
        "Survival if all patients had CCRT, if all had ICT+CCRT, and if all had what the nomogram recommends, with "
        f"95 % bootstrap intervals, {who}.",
        policy_value_figure(benefit),
        DECISION,
    )
    if not benefit.groups:
        return
    n_events = sum(group.n_events for group in benefit.groups)
    gained = f"{cohort}n = {benefit.n_with_gain}, {n_events} events by {benefit.horizon_months:g} months"
    if benefit.n_with_gain < benefit.n:
        gained += f"; without the {benefit.n - benefit.n_with_gain} whose predicted difference is not known"
    yield NamedFigure(
        f"benefit_calibration{suffix}",
        "Observed against predicted difference of survival between the regimens, quarters of the prediction with 95 % "
        f"bootstrap intervals; line: regression of the doubly robust differences, {gained}.",
        benefit_calibration_figure(benefit),
        DECISION,
    )
    yield NamedFigure(
        f"value_by_threshold{suffix}",
        "Left: survival if ICT+CCRT were given above a threshold of the predicted gain. Right: net benefit of that "
        "rule, the survival gained over CCRT for all minus the threshold for each patient with ICT. Bands: pointwise "
        f"95 % bootstrap intervals, {gained}.",
        threshold_figure(benefit),
        DECISION,
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
