"""What workers answer to the pages: numbers of the nomogram, pictures of a study, the drift of what comes in.

Each answer is JSON made of values; pictures are left as artefacts and named by their path below the storage root. All
of it needs numpy, SimpleITK and matplotlib only, so a worker of the queue `web` starts quickly and stays small.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from io import StringIO
from typing import Any

import structlog
from celery import Celery

from config.bundle_manifest import read_manifest
from config.decision_policy import DecisionPolicy, active_policy
from config.errors import CptdnError, InputError
from node.ledger.reports import objects_of
from node.ledger.tables import Report
from node.messaging.messages import ANSWER_QUESTION
from node.messaging.questions import send_answer
from workers.nomogram.model import CoxNomogram
from workers.nomogram.nomogram_file import nomogram_of_bundle
from workers.nomogram.patient_prediction import (
    PatientInputs,
    covariates_and_category,
    decision_boundary,
    formatted,
    prediction_to_json,
    scenarios_by_category,
    survival_curves,
)
from workers.nomogram.result import NomogramResult
from workers.pipeline.context import WorkerContext
from workers.survival.covariates import PatientCovariates

log = structlog.get_logger("cptdn.answers")

Values = Mapping[str, Any]
Question = Callable[[WorkerContext, Values], Any]


def register_queries(app: Celery, context: WorkerContext) -> None:
    """Give the application the task that answers."""

    @app.task(name=ANSWER_QUESTION, acks_late=False)
    def answer_question(answers: str, question: str, values: dict[str, Any]) -> None:
        """Answer one question of a page; nobody waits for it twice, so it is never tried again."""
        send_answer(context.broker, answers, answer_query(context, question, values))


def warm_up(context: WorkerContext) -> None:
    """Import what answers need and answer once, so that the first page does not wait for it."""
    from workers.bundles import drift
    from workers.web import pictures

    log.debug("imported", modules=[drift.__name__, pictures.__name__])
    example = {"age_years": 40, "ebv_dna": ">4000", "prognostic_score": 0, "predictive_score": -0.4}
    for question, values in (("score", example), ("drawing", {**example, "style": "light", "language": "en"})):
        found = answer_query(context, question, values)
        if "error" in found:
            log.error("questions cannot be answered", question=question, error=found["error"])


def answer_query(context: WorkerContext, question: str, values: Values) -> dict[str, Any]:
    """{"answer": ...}, or {"error": one sentence} where the values do not fit or something broke."""
    found = QUESTIONS.get(question)
    if found is None:
        return {"error": f"no such question: {question}"}
    try:
        return {"answer": found(context, values)}
    except CptdnError as error:
        return {"error": str(error)}
    except Exception as error:  # a page must hear of it rather than wait
        log.exception("a question could not be answered", question=question)
        return {"error": f"the worker could not answer: {type(error).__name__}"}


def _nomogram(context: WorkerContext) -> CoxNomogram:
    """That of the configured bundle; read without the networks, once a process."""
    return _read_nomogram(context.settings.model.bundle)


@cache
def _read_nomogram(bundle: str) -> CoxNomogram:
    return nomogram_of_bundle(read_manifest(bundle))


def _given(values: Values) -> PatientInputs:
    try:
        return PatientInputs(
            float(values["age_years"]), str(values["ebv_dna"]), float(values["prognostic_score"]),
            float(values["predictive_score"]),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"expected age, EBV DNA and both scores as numbers, found {error}") from error


def score_patient(context: WorkerContext, values: Values) -> dict[str, Any]:
    """As `cptdn nomogram score --json`, with the same numbers as they are formatted, and both arms' curves."""
    decision, nomogram, given = active_policy(context.settings), _nomogram(context), _given(values)
    document = prediction_to_json(nomogram, given, decision, decision.horizons_months, decision.threshold)
    return {
        "document": document,
        "printed": {category: formatted(one) for category, one in scenarios_by_category(document).items()},
        "curves": survival_curves(nomogram, given, decision),
        "turning_point": decision_boundary(nomogram, given, decision),
    }


def nomogram_facts(context: WorkerContext, values: Values) -> dict[str, Any]:
    """Which nomogram speaks: name, citation, ranges of the training cohort, hazard ratios."""
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
    """The nomogram with one patient's lines as SVG; values as of `score_patient`, `style` and `language`."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    from workers.nomogram.drawing import PALETTES, draw_nomogram

    style, language = str(values.get("style")), str(values.get("language"))
    if style not in PALETTES or language not in ("en", "zh"):
        raise InputError(f"expected the style light or dark and the language en or zh, found {style}, {language}")
    nomogram, decision = _nomogram(context), active_policy(context.settings)
    covariates, _ = covariates_and_category(_given(values), decision)
    figure = Figure(figsize=(9.0, 5.6), facecolor="none")
    draw_nomogram(
        figure.add_axes((0.01, 0.01, 0.98, 0.98)), nomogram, _result(decision, nomogram, covariates), style, language  # type: ignore[arg-type]
    )  # fmt: skip
    made = StringIO()
    with rc_context({"svg.hashsalt": "cptdn"}):
        figure.savefig(made, format="svg", metadata={"Date": None}, transparent=True)
    return {"svg": made.getvalue()}


def _result(decision: DecisionPolicy, nomogram: CoxNomogram, covariates: PatientCovariates) -> NomogramResult:
    return nomogram.score(covariates, decision.horizons_months, decision.threshold, float(decision.horizon_months))


def series_picture(context: WorkerContext, values: Values) -> dict[str, Any]:
    """One slice of a stored series, with the contour drawn where it reaches; see workers/web/pictures.py."""
    from workers.web.pictures import draw_slice

    index = values.get("index")
    return draw_slice(
        context, str(values["study"]), str(values["series"]), None if index is None else int(index),
        contour=bool(values.get("contour", True)),
    )  # fmt: skip


def report_page(context: WorkerContext, values: Values) -> dict[str, str]:
    """The picture of a report as PNG. Raises InputError where the report has none."""
    from workers.web.pictures import draw_page

    with context.ledger.begin() as session:
        report = session.get(Report, int(values["report_id"]))
        objects = [] if report is None else objects_of(session, report.id)
    page = next((one for one in objects if one.kind == "sc"), None)
    if report is None or page is None:
        raise InputError("this report has no picture; `send` of the PACS names no `sc`")
    return {"path": draw_page(context.store, report.study_instance_uid, page.path)}


def drift(context: WorkerContext, values: Values) -> dict[str, Any]:
    """How the scores and intensities of incoming studies lie against the training of the configured bundle."""
    from workers.bundles.drift import drift_of

    return drift_of(context.ledger, context.settings.model.bundle)


QUESTIONS: dict[str, Question] = {
    "score": score_patient,
    "nomogram": nomogram_facts,
    "drawing": nomogram_drawing,
    "series": series_picture,
    "page": report_page,
    "drift": drift,
}
