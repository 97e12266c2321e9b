"""The nomogram as a calculator: a worker computes the numbers, the page shows them."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from config.errors import InputError
from config.messages.message import message
from node.messaging.questions import NoAnswerError
from node.web.answer_texts import answer_of_prediction
from node.web.page_request import PageRequest
from node.web.pages import render_page
from node.web.views.case import nomogram_drawing
from node.web.views.rate_tables import rates_of_answer

EXAMPLE = {"age": "40", "ebv_dna": ">4000", "prognostic_score": "0", "predictive_score": "-0.4"}
MAX_LENGTH = 32


def calculator(request: PageRequest) -> Response:
    """Render the calculator. Query: age, ebv_dna, prognostic_score, predictive_score; default: the paper's example."""
    inputs = _inputs(request)
    try:
        facts: dict[str, Any] | None = request.context.answers.ask("nomogram", {})
    # The page is useful without the ranges of the sliders.
    except (NoAnswerError, InputError):
        facts = None
    return render_page(
        request, "calculator.html", given=inputs, example=EXAMPLE, facts=facts, **_answer(request, inputs)
    )


def calculator_answer(request: PageRequest) -> Response:
    """Render the results alone, for the script that follows the sliders. Query: as of `calculator`."""
    inputs = _inputs(request)
    return render_page(request, "_calculation.html", given=inputs, **_answer(request, inputs))


def calculator_nomogram(request: PageRequest) -> Response:
    """Return the nomogram with these inputs as SVG. Query: as of `calculator`, and style.

    Returns
    -------
    Response
        SVG.

    Raises
    ------
    InputError
        When an input is not a number.
    NoAnswerError
        When no worker answers.
    """
    return nomogram_drawing(request, _values(_inputs(request)))


def _inputs(request: PageRequest) -> dict[str, str]:
    inputs = {name: request.query_value(name)[:MAX_LENGTH] for name in EXAMPLE}
    # A page that is opened for the first time shows the example instead of four errors.
    return inputs if any(inputs.values()) else dict(EXAMPLE)


def _values(inputs: dict[str, str]) -> dict[str, Any]:
    """Return the inputs as a worker takes them. Raises InputError naming the first field that is not a number."""
    values: dict[str, Any] = {"ebv_dna": inputs["ebv_dna"] or "unknown"}
    for field, name in (("age", "age_years"), ("prognostic_score",) * 2, ("predictive_score",) * 2):
        try:
            # Numbers that were copied from a paper have a minus sign and not a hyphen.
            values[name] = float(inputs[field].replace("\N{MINUS SIGN}", "-"))
        except ValueError as error:
            raise InputError(
                message("question.number", input=message(f"entered.{field}"), text=inputs[field])
            ) from error
    return values


def _answer(request: PageRequest, inputs: dict[str, str]) -> dict[str, Any]:
    try:
        answer = request.context.answers.ask("score", _values(inputs))
    except NoAnswerError as error:
        return {"found": None, "answer": None, "tables": [], "trouble": request.translations.no_worker(error)}
    except InputError as error:
        return {"found": None, "answer": None, "tables": [], "trouble": request.translations.error(error)}
    document = answer["document"]
    by_category = document.get("by_ebv_dna_category")
    tables = [
        rates_of_answer(by_category[name] if by_category else document, printed)
        for name, printed in answer["printed"].items()
    ]
    return {
        "found": answer,
        "answer": answer_of_prediction(document, request.translations.language),
        "tables": tables,
        "trouble": "",
    }
