"""Answers to the queries of the pages: nomogram, pictures of a study, drift of the incoming studies.

A query has a name (a key of `QUERIES`) and JSON values; its answer is JSON, too. Pictures are saved as artefacts and
named by their path below the storage root. NumPy, SimpleITK and matplotlib suffice, so a worker of the queue `web`
starts quickly and stays small.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from io import StringIO
from typing import Any

import structlog
from celery import Celery

from config.bundle_admission import require_admitted
from config.bundle_manifest import read_manifest
from config.decision_policy import DecisionPolicy, active_policy
from config.errors import CptdnError, InputError
from config.messages.message import message, text_of
from node.ledger.reports import objects_of
from node.ledger.tables import Report
from node.messaging.messages import ANSWER_QUESTION
from node.messaging.questions import send_answer
from workers.nomogram.model import CoxNomogram
from workers.nomogram.nomogram_file import nomogram_of_bundle
from workers.nomogram.patient_prediction import (
    PatientInputs,
    answers_by_predictive_score,
    covariates_and_category,
    formatted,
    prediction_to_json,
    scenarios_by_category,
    survival_curves,
)
from workers.nomogram.result import NomogramResult
from workers.pipeline.context import WorkerContext
from workers.survival.covariates import PatientCovariates

log = structlog.get_logger("cptdn.web_queries")

Values = Mapping[str, Any]
Query = Callable[[WorkerContext, Values], Any]


def register_queries(app: Celery, context: WorkerContext) -> None:
    """Register the task that answers queries with the application."""

    @app.task(name=ANSWER_QUESTION, acks_late=False)
    def answer_question(answers: str, question: str, values: dict[str, Any]) -> None:
        """Answer one query of a page; never tried again, since the page waits for it once."""
        send_answer(context.broker, answers, answer_query(context, question, values))


def warm_up(context: WorkerContext) -> None:
    """Answer one query of each slow kind, so that the first page does not wait for imports and fonts."""
    from workers.bundles import drift
    from workers.web import pictures

    log.debug("imported", modules=[drift.__name__, pictures.__name__])
    example = {"age_years": 40, "ebv_dna": ">4000", "prognostic_score": 0, "predictive_score": -0.4}
    for name, values in (("score", example), ("drawing", {**example, "style": "light", "language": "en"})):
        answer = answer_query(context, name, values)
        if "error" in answer:
            log.error("queries of the pages cannot be answered", query=name, error=answer["error"])


def answer_query(context: WorkerContext, name: str, values: Values) -> dict[str, Any]:
    """Answer one query.

    Parameters
    ----------
    context : WorkerContext
        Settings, ledger and store.
    name : str
        A key of `QUERIES`.
    values : mapping of str to JSON values
        As the query needs them.

    Returns
    -------
    dict
        ``{"answer": ...}``, or ``{"error": sentence}`` where the values do not fit or an error occurred.
    """
    query = QUERIES.get(name)
    if query is None:
        return {"error": message("question.unknown", names=list(QUERIES), name=name)}
    try:
        return {"answer": query(context, values)}
    except CptdnError as error:
        return {"error": text_of(error)}
    except Exception as error:  # of any kind: the page gets an answer instead of waiting for its timeout
        log.exception("a query could not be answered", query=name)
        return {"error": message("question.failed", kind=type(error).__name__)}


def _nomogram(context: WorkerContext) -> CoxNomogram:
    """Return the nomogram of the configured bundle, read without the networks, once a process."""
    return _read_nomogram(context.settings.model.bundle)


@cache
def _read_nomogram(bundle: str) -> CoxNomogram:
    manifest = read_manifest(bundle)
    require_admitted(manifest.content, manifest.name)
    return nomogram_of_bundle(manifest)


def _patient_inputs(values: Values) -> PatientInputs:
    try:
        return PatientInputs(
            float(values["age_years"]), str(values["ebv_dna"]), float(values["prognostic_score"]),
            float(values["predictive_score"]),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(message("question.numbers", found=str(error))) from error


def score_patient(context: WorkerContext, values: Values) -> dict[str, Any]:
    """Score one patient.

    Parameters
    ----------
    context : WorkerContext
        Its settings name the bundle and the rule of the recommendation.
    values : mapping
        ``age_years``, ``ebv_dna`` (as `cptdn nomogram score --ebv-dna` takes it), ``prognostic_score``,
        ``predictive_score``.

    Returns
    -------
    dict
        ``document`` as `cptdn nomogram score --json` prints it, ``printed`` with the same numbers as text, ``curves``
        of both arms, and ``what_if``, the answers over the Predictive-score.

    Raises
    ------
    InputError
        A value is missing or outside its range.
    """
    decision, nomogram, patient = active_policy(context.settings), _nomogram(context), _patient_inputs(values)
    document = prediction_to_json(nomogram, patient, decision, decision.horizons_months, decision.threshold)
    return {
        "document": document,
        "printed": {category: formatted(result) for category, result in scenarios_by_category(document).items()},
        "curves": survival_curves(nomogram, patient, decision),
        "what_if": answers_by_predictive_score(nomogram, patient, decision),
    }


def nomogram_facts(context: WorkerContext, values: Values) -> dict[str, Any]:
    """Return the facts of the configured bundle's nomogram; `values` is empty.

    Parameters
    ----------
    context : WorkerContext
        Its settings name the bundle.
    values : mapping
        Not used.

    Returns
    -------
    dict
        Name, citation, digest, population, fit, log hazard ratios with standard errors, and the ranges of the training
        cohort.
    """
    nomogram = _nomogram(context)
    document = nomogram.document
    return {
        "name": nomogram.name,
        "citation": nomogram.citation,
        "digest": nomogram.digest,
        "population": str(document.get("population", "")),
        "fit": dict(document.get("fit", {})),
        "coefficients": dict(nomogram.coefficients),
        "standard_errors": dict(document.get("se", {})),
        "training_ranges": {name: list(pair) for name, pair in nomogram.training_ranges.items()},
        "mean_total_points": nomogram.mean_total_points,
    }


def nomogram_drawing(context: WorkerContext, values: Values) -> dict[str, str]:
    """Draw the nomogram with one patient's lines.

    Parameters
    ----------
    context : WorkerContext
        Its settings name the bundle and the horizons.
    values : mapping
        Those of `score_patient`, and ``style`` (light or dark), ``language`` (en or zh).

    Returns
    -------
    dict
        ``svg``, the same bytes for the same values.

    Raises
    ------
    InputError
        A value does not fit.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    from workers.nomogram.drawing import PALETTES, draw_nomogram

    style, language = str(values.get("style")), str(values.get("language"))
    # The values come from a browser and become keys of tables below.
    if style not in PALETTES or language not in ("en", "zh"):
        raise InputError(message("question.style", style=style, language=language))
    nomogram, decision = _nomogram(context), active_policy(context.settings)
    covariates, _ = covariates_and_category(_patient_inputs(values), decision)
    # Transparent, since the page's own background shows through in both styles.
    figure = Figure(figsize=(9.0, 5.6), facecolor="none")
    draw_nomogram(
        figure.add_axes((0.01, 0.01, 0.98, 0.98)), nomogram, _result(decision, nomogram, covariates), style, language  # type: ignore[arg-type]
    )  # fmt: skip
    svg = StringIO()
    # matplotlib draws the ids within an SVG at random, unless it has a salt.
    with rc_context({"svg.hashsalt": "cptdn"}):
        figure.savefig(svg, format="svg", metadata={"Date": None}, transparent=True)
    return {"svg": svg.getvalue()}


def _result(decision: DecisionPolicy, nomogram: CoxNomogram, covariates: PatientCovariates) -> NomogramResult:
    return nomogram.score(covariates, decision.horizons_months, decision.threshold, float(decision.horizon_months))


def series_picture(context: WorkerContext, values: Values) -> dict[str, Any]:
    """Draw one slice of a stored series.

    Parameters
    ----------
    context : WorkerContext
        Ledger and store.
    values : mapping
        ``study`` and ``series`` (UIDs), ``index`` (from 0, or None), ``contour`` (whether the outlines are drawn).

    Returns
    -------
    dict
        As `pictures.draw_slice`.

    Raises
    ------
    InputError
        The series is not stored, or cannot be read as a volume.
    """
    from workers.web.pictures import draw_slice

    index = values.get("index")
    return draw_slice(
        context, str(values["study"]), str(values["series"]), None if index is None else int(index),
        contour=bool(values.get("contour", True)),
    )  # fmt: skip


def report_page(context: WorkerContext, values: Values) -> dict[str, str]:
    """Return the picture of a report as PNG.

    Parameters
    ----------
    context : WorkerContext
        Ledger and store.
    values : mapping
        ``report_id``, the row of the report.

    Returns
    -------
    dict
        ``path`` below the storage root.

    Raises
    ------
    InputError
        The report has no picture.
    """
    from workers.web.pictures import draw_page

    with context.ledger.read() as session:
        report = session.get(Report, int(values["report_id"]))
        objects = [] if report is None else objects_of(session, report.id)
    # The secondary capture is the page as pixels; a PDF would need a renderer.
    page = next((stored for stored in objects if stored.kind == "sc"), None)
    if report is None or page is None:
        raise InputError(message("question.no_picture"))
    return {"path": draw_page(context.store, report.study_instance_uid, page.path)}


def drift(context: WorkerContext, values: Values) -> dict[str, Any]:
    """Compare incoming studies with the training of the configured bundle; `values` is empty, see `drift_of`."""
    from workers.bundles.drift import drift_of

    return drift_of(context.ledger, context.settings.model.bundle)


QUERIES: dict[str, Query] = {
    "score": score_patient,
    "nomogram": nomogram_facts,
    "drawing": nomogram_drawing,
    "series": series_picture,
    "page": report_page,
    "drift": drift,
}
