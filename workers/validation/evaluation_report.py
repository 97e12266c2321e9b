"""One self-contained HTML page of an evaluation, under the headings of TRIPOD+AI, for an ethics board or a journal.

Everything is embedded (style, tables, figures as SVG); nothing is loaded from elsewhere. What software cannot know
(approval, registration, how patients were recruited) is marked for the site to complete. The text is in
``templates/evaluation.html``, the tables are in `report_tables`.

References: Collins et al., TRIPOD+AI, BMJ 2024;385:e078378.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from config.atomic_files import write_atomically
from config.errors import InputError
from config.indication.conventions import DAYS_PER_MONTH
from config.version import software_version
from workers.validation.display_text import ENDPOINT_NAMES, FACTOR_NAMES, comparison_text
from workers.validation.evaluation import NO_MODELS, Evaluation
from workers.validation.figure_style import house_style
from workers.validation.figures import NamedFigure, figures_of
from workers.validation.part_evaluation import PartEvaluation
from workers.validation.report_tables import (
    balance_tables,
    bounds_table,
    development_tables,
    flow_table,
    models_table,
    patient_table,
    performance_tables,
    specification_tables,
    subgroup_tables,
)

FILE_NAME = "evaluation.html"
TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class EmbeddedFigure:
    """A figure as the page embeds it: caption, and the SVG in Base64."""

    caption: str
    svg_base64: str


def write_report(evaluation: Evaluation, folder: Path) -> Path:
    """Write ``evaluation.html`` into a folder, which is created if necessary.

    Returns
    -------
    Path
        The written page.

    Raises
    ------
    InputError
        It cannot be written.
    """
    path = folder / FILE_NAME
    text = report_html(evaluation)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text)
    except OSError as error:
        raise InputError(f"cannot write the report into {folder}: {error.strerror}") from error
    return path


def report_html(evaluation: Evaluation) -> str:
    """Return the whole page.

    Parameters
    ----------
    evaluation : Evaluation
        With or without development, subgroups and parts of the cohort.

    Returns
    -------
    str
        HTML that loads nothing.
    """
    options, nomogram = evaluation.options, evaluation.nomogram
    parts: Mapping[str, PartEvaluation] = evaluation.parts or {"all patients": evaluation.whole}
    figures = {named.name: _embedded(named) for named in figures_of(evaluation)}
    names = [FACTOR_NAMES.get(name, name.replace("_", " ")) for name in evaluation.subgroups]
    values: dict[str, Any] = {
        "endpoint": ENDPOINT_NAMES[options.endpoint],
        "nomogram": nomogram,
        "biomarker": nomogram.indication.biomarker,
        # Without its folder: the report leaves the hospital, and paths can contain names.
        "cohort_file": Path(evaluation.source).name,
        "software": software_version(),
        "days_per_month": DAYS_PER_MONTH,
        "horizons": " and ".join(f"{month:g}" for month in options.horizons_months),
        "thresholds": ", ".join(f"{100 * threshold:g} %" for threshold in options.thresholds),
        "decision_horizon": f"{options.decision_horizon_months:g}",
        "n_ebv_dna_unknown": evaluation.n_ebv_dna_unknown,
        "models": evaluation.models,
        "models_table": models_table(evaluation),
        "no_models": NO_MODELS,
        "flow_tables": [flow_table(label, part) for label, part in parts.items()],
        "bounds_tables": [table for label, part in parts.items() if (table := bounds_table(label, part))],
        "subgroup_names": ", ".join(names),
        "parts": parts,
        "patient_table": patient_table(parts),
        "balance_tables": balance_tables(parts),
        "development": evaluation.development,
        "development_tables": development_tables(evaluation.development) if evaluation.development else (),
        "specification_tables": specification_tables(nomogram),
        "nomogram_figure": figures.pop("nomogram"),
        "performance_tables": {
            label: performance_tables(label, part, options.horizons_months) for label, part in parts.items()
        },
        "performance_figures": list(figures.values()),
        "subgroup_tables": subgroup_tables(evaluation),
    }
    return _environment().get_template(FILE_NAME).render(values)


@cache
def _environment() -> Environment:
    # Everything is escaped (labels and names come from the site's files), and a missing value is an error.
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["comparison"] = partial(comparison_text, separator=", ")
    return environment


def _embedded(named: NamedFigure) -> EmbeddedFigure:
    stream = io.BytesIO()
    with house_style():
        named.figure.savefig(stream, format="svg", metadata={"Date": None})  # without a date: equal input, equal page
    return EmbeddedFigure(named.caption, base64.b64encode(stream.getvalue()).decode())
