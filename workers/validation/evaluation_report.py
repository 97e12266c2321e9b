"""One self-contained HTML page of an evaluation, under the headings of TRIPOD+AI, for an ethics board or a journal.

Everything is embedded (style, tables, figures as SVG); nothing is loaded from elsewhere. What software cannot know
(approval, registration, how patients were recruited) is marked for the site to complete. The text is in
``templates/evaluation.html``, the tables are in `report_tables`.

References: Collins et al., TRIPOD+AI, BMJ 2024;385:e078378.
"""

from __future__ import annotations

import base64
import csv
import io
import re
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
from workers.validation.benefit import GAINS
from workers.validation.benefit_tables import benefit_tables, figure_text
from workers.validation.display_text import ENDPOINT_NAMES, comparison_text, factor_name
from workers.validation.evaluation import NO_MODELS, Evaluation
from workers.validation.figure_style import house_style
from workers.validation.figures import (
    DECISION,
    PARTICIPANTS,
    PERFORMANCE,
    SPECIFICATION,
    NamedFigure,
    figures_of,
    fitted_where,
    not_unseen,
)
from workers.validation.part_evaluation import PartEvaluation
from workers.validation.report_table import ReportTable
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
TABLES = "tables"
SECTIONS = (DECISION, PARTICIPANTS, SPECIFICATION, PERFORMANCE)
TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class EmbeddedFigure:
    """A figure as the page embeds it: caption, section, and the SVG in Base64."""

    caption: str
    section: str
    svg_base64: str


@dataclass(frozen=True)
class ReportContent:
    """Tables and texts of a report, without figures.

    Attributes
    ----------
    parts : mapping of str to PartEvaluation
        By label; all patients where the cohort has no labels.
    tables : mapping of str to list of ReportTable
        By section of the page, in its order.
    """

    parts: Mapping[str, PartEvaluation]
    tables: Mapping[str, list[ReportTable]]


def report_content(evaluation: Evaluation) -> ReportContent:
    """Return every table of a report.

    Parameters
    ----------
    evaluation : Evaluation
        With or without development, subgroups and parts of the cohort.

    Returns
    -------
    ReportContent
        What the page shows and what is written as CSV.
    """
    parts: Mapping[str, PartEvaluation] = evaluation.parts or {"all patients": evaluation.whole}
    months = evaluation.options.horizons_months
    by_part = [table for label, part in parts.items() for table in performance_tables(label, part, months)]
    return ReportContent(
        parts,
        {
            "decision": [
                table for label, part in parts.items() if part.benefit for table in benefit_tables(label, part.benefit)
            ],
            "models": [models_table(evaluation)],
            "participants": [
                *(flow_table(label, part) for label, part in parts.items()),
                patient_table(parts),
                *balance_tables(parts),
            ],
            "development": development_tables(evaluation.development) if evaluation.development else [],
            "specification": specification_tables(evaluation.nomogram),
            "performance": [
                *by_part,
                *(table for label, part in parts.items() if (table := bounds_table(label, part))),
                *subgroup_tables(evaluation),
            ],
        },
    )


def write_report(evaluation: Evaluation, folder: Path) -> Path:
    """Write ``evaluation.html`` and every table as CSV into a folder, which is created if necessary.

    Returns
    -------
    Path
        The written page; the tables are in ``tables`` beside it, numbered in the order of the page.

    Raises
    ------
    InputError
        A file cannot be written.
    """
    path = folder / FILE_NAME
    text = report_html(evaluation)
    try:
        (folder / TABLES).mkdir(parents=True, exist_ok=True)
        write_atomically(path, text)
        tables = [table for section in report_content(evaluation).tables.values() for table in section]
        for number, table in enumerate(tables, start=1):
            write_atomically(folder / TABLES / f"{number:02d}_{_file_name(table.caption)}.csv", _csv(table))
    except OSError as error:
        raise InputError(f"cannot write the report into {folder}: {error.strerror}") from error
    return path


def _file_name(caption: str) -> str:
    # Up to the statistics and counts, which a caption has after a colon or a semicolon.
    return re.sub(r"[^A-Za-z0-9]+", "_", re.split("[:;]", caption)[0]).strip("_")[:60].lower()


def _csv(table: ReportTable) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([table.caption])
    writer.writerow(table.header)
    writer.writerows(table.rows)
    return stream.getvalue()


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
    content = report_content(evaluation)
    figures = [_embedded(named) for named in figures_of(evaluation)]
    names = [factor_name(name) for name in evaluation.subgroups]
    values: dict[str, Any] = {
        "endpoint": ENDPOINT_NAMES[options.endpoint],
        "nomogram": nomogram,
        "fitted_where": fitted_where(evaluation),
        "not_unseen": not_unseen(evaluation),
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
        "no_models": NO_MODELS,
        "subgroup_names": ", ".join(names),
        "parts": content.parts,
        "tables": content.tables,
        "figures": {name: [figure for figure in figures if figure.section == name] for name in SECTIONS},
        "development": evaluation.development,
        "recommendation_against_best": GAINS[-1],
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
    environment.filters["estimate"] = figure_text
    environment.filters["covariate"] = _covariate
    return environment


def _covariate(name: str) -> str:
    # An indicator of unknown values is named after its factor.
    factor = name.removesuffix(" unknown")
    return factor_name(factor) + name[len(factor) :]


def _embedded(named: NamedFigure) -> EmbeddedFigure:
    stream = io.BytesIO()
    with house_style():
        named.figure.savefig(stream, format="svg", metadata={"Date": None})  # without a date: equal input, equal page
    return EmbeddedFigure(named.caption, named.section, base64.b64encode(stream.getvalue()).decode())
