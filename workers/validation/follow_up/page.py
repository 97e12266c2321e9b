"""One self-contained HTML page of a follow-up report; the text is in ``templates/follow_up.html``."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure

from config.atomic_files import write_atomically
from config.errors import InputError
from config.version import software_version
from workers.validation.display_text import interval_text
from workers.validation.figure_style import house_style
from workers.validation.follow_up.cohort import FollowedCohort
from workers.validation.follow_up.cusum import FALSE_ALARM_RATE, HAZARD_RATIO, PER_EVENTS, RUNS, SEED, Monitoring
from workers.validation.follow_up.evaluation import FollowUpEvaluation, monitoring_to_json
from workers.validation.follow_up.figures import TITLES, cusum_figure, events_figure, ratio_figure
from workers.validation.follow_up.observed_expected import Agreement
from workers.validation.performance_figures import calibration_figure
from workers.validation.report_table import ReportTable

FILE_NAME = "follow_up.html"
TEMPLATES = Path(__file__).parents[1] / "templates"
RECALIBRATED = {
    "intercept": "Intercept (log factor of the hazard)", "slope": "Slope of the prognosis",
    "effect_slope": "Slope of the effect of the treatment",
}  # fmt: skip


def write_page(evaluation: FollowUpEvaluation, folder: Path, proposed: str | None = None) -> Path:
    """Write ``follow_up.html`` into a folder, which is created if necessary.

    Parameters
    ----------
    evaluation : FollowUpEvaluation
        What it says.
    folder : Path
        Where it goes.
    proposed : str, optional
        Name and digest of the bundle revision that was written with it.

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
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, page_html(evaluation, proposed))
    except OSError as error:
        raise InputError(f"cannot write the report into {folder}: {error.strerror}") from error
    return path


def page_html(evaluation: FollowUpEvaluation, proposed: str | None = None) -> str:
    """Return the whole page.

    Parameters
    ----------
    evaluation, proposed
        As of `write_page`.

    Returns
    -------
    str
        HTML that loads nothing and names no patient.
    """
    patients, monitoring = evaluation.patients, evaluation.monitoring
    values: dict[str, Any] = {
        "bundle": evaluation.bundle,
        "software": software_version(),
        "flow_table": _flow_table(evaluation),
        "agreement": evaluation.agreement,
        "agreement_tables": [
            _agreement_table("All patients whose regimen is known", evaluation.agreement),
            _agreement_table("Of these, patients with a firm recommendation", evaluation.firm_agreement),
        ],
        "evaluated": patients is not None,
        "no_proposal": evaluation.no_proposal,
        "proposal": evaluation.proposal,
        "proposal_table": _proposal_table(evaluation),
        "since": _since(evaluation),
        "proposed": proposed,
        "monitoring": monitoring,
        "monitoring_tables": [],
        "figures": {},
        "rate": f"{200 * FALSE_ALARM_RATE:g}",
        "each_rate": f"{100 * FALSE_ALARM_RATE:g}",
        "per_events": PER_EVENTS,
        "hazard_ratio": f"{HAZARD_RATIO:g}",
        "runs": RUNS,
        "seed": SEED,
    }
    if patients is not None and monitoring is not None:
        ends = int(patients.start_day.min()), int((patients.start_day + patients.days).max())
        values |= {
            "first_day": date.fromordinal(ends[0]).isoformat(),
            "last_day": date.fromordinal(ends[1]).isoformat(),
            "calibration_table": _calibration_table(evaluation),
            "monitoring_tables": [_monitoring_table(monitoring, patients)],
        }
        with house_style():
            figures = {"events": events_figure(patients), "ratio": ratio_figure(evaluation.groups)}
            figures["cusum"] = cusum_figure(monitoring)
            if evaluation.calibration:
                figures["calibration"] = calibration_figure(
                    {float(month): each for month, each in evaluation.calibration.items()}
                )
            values["figures"] = {name: _embedded(figure) for name, figure in figures.items()}
    return _environment().get_template(FILE_NAME).render(values)


@cache
def _environment() -> Environment:
    # Everything is escaped, and a missing value is an error.
    return Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip


def _embedded(figure: Figure) -> str:
    stream = io.BytesIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})  # without a date: equal input, equal page
    return base64.b64encode(stream.getvalue()).decode()


def _flow_table(evaluation: FollowUpEvaluation) -> ReportTable:
    flow = evaluation.flow
    rows = [
        ["Patients with a report of this bundle", str(flow.n_reported)],
        ["Report was there when treatment began", str(flow.n_decided)],
        ["Evaluated: regimen, EBV DNA and follow-up known", str(flow.n_evaluated)],
        *([f"Left out: {reason}", str(n)] for reason, n in flow.left_out.items()),
        *([f"Report at the start of treatment by {name}", str(n)] for name, n in flow.other_bundles.items()),
    ]
    return ReportTable("Patients", ["", "n"], rows)


def _agreement_table(caption: str, table: Agreement) -> ReportTable:
    given = list(table.given)
    rows = [
        [f"{recommended} recommended", *(str(row[arm]) for arm in given), _percent(row[recommended], sum(row.values()))]
        for recommended, row in table.given.items()
    ]
    rows.append(["all", *(str(sum(row[arm] for row in table.given.values())) for arm in given),
                 _percent(table.n_followed, table.n)])  # fmt: skip
    return ReportTable(caption, ["", *(f"{arm} given" for arm in given), "as recommended"], rows)


def _percent(part: int, whole: int) -> str:
    return f"{part} of {whole} ({100 * part / whole:.0f} %)" if whole else "none"


def _calibration_table(evaluation: FollowUpEvaluation) -> ReportTable:
    figures = evaluation.performance
    rows = [
        ["C-index", _figure(figures["c_index"]["all"])],
        ["Calibration slope", _figure(figures["calibration_slope"])],
        [f"Calibration intercept at {figures['intercept_month']} months", _figure(figures["calibration_intercept"])],
    ]
    for month in figures["months"]:
        rows.append([f"ICI at {month} months", _figure(figures["ici"][str(month)])])
        rows.append([f"Brier score at {month} months", _figure(figures["brier"][str(month)])])
    n, events = figures["n"], figures["n_events"]
    return ReportTable(f"Calibration so far, n = {n}, {events} events", ["", "value (95 % interval)"], rows)


def _figure(entry: Any) -> str:
    if entry["value"] is None:
        return "not determined yet"
    if entry["ci95"] is None:
        return f"{entry['value']:.3f}"
    return interval_text(entry["value"], entry["ci95"], 3)


def _monitoring_table(monitoring: Monitoring, patients: FollowedCohort) -> ReportTable:
    charts = monitoring_to_json(monitoring, patients)["charts"]
    rows = [
        [
            TITLES[name], f"{chart['value']:.2f}", f"{chart['limit']:.2f}", chart["signal"] or "none",
            chart["change_since"] or "", "" if chart["signal"] is None else f"{chart['expected_events_at_signal']:g}",
        ]
        for name, chart in charts.items()
    ]  # fmt: skip
    header = ["Alternative", "now", "limit", "signal", "change since", "expected events at the signal"]
    return ReportTable("Charts", header, rows)


def _proposal_table(evaluation: FollowUpEvaluation) -> ReportTable:
    rows = []
    if evaluation.proposal is not None:
        document = evaluation.proposal.recalibration.to_json()
        rows = list(_proposal_rows(document))
    return ReportTable("Proposed recalibration", ["", "value", "standard error"], rows)


def _proposal_rows(document: dict[str, Any]) -> Iterator[list[str]]:
    for name, words in RECALIBRATED.items():
        entry = document[name]
        yield [words, f"{entry['value']:.3f}", "unchanged" if entry["se"] is None else f"{entry['se']:.3f}"]


def _since(evaluation: FollowUpEvaluation) -> str:
    if evaluation.proposal is None or evaluation.proposal.since_day is None:
        return ""
    return date.fromordinal(evaluation.proposal.since_day).isoformat()
