"""The nomogram as a calculator: numbers from a worker, the page only writes them down."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from config.errors import InputError
from node.messaging.questions import NoAnswerError
from node.web.page_request import Visit
from node.web.pages import show
from node.web.views.one_case import drawing
from node.web.views.tables import of_answer

EXAMPLE = {"age": "40", "ebv_dna": ">4000", "prognostic_score": "0", "predictive_score": "-0.4"}
LONGEST = 32


def calculator(visit: Visit) -> Response:
    """Query: age, ebv_dna, prognostic_score, predictive_score; without any, the published example."""
    given = _given(visit)
    try:
        facts: dict[str, Any] | None = visit.context.answers.ask("nomogram", {})
    except (NoAnswerError, InputError):
        facts = None
    return show(visit, "calculator.html", given=given, example=EXAMPLE, facts=facts, **_answer(visit, given))


def calculator_answer(visit: Visit) -> Response:
    """Only the results, for the sliders."""
    given = _given(visit)
    return show(visit, "_answer.html", given=given, **_answer(visit, given))


def calculator_nomogram(visit: Visit) -> Response:
    return drawing(visit, _values(_given(visit)))


def _given(visit: Visit) -> dict[str, str]:
    asked = {name: visit.asked(name)[:LONGEST] for name in EXAMPLE}
    return asked if any(asked.values()) else dict(EXAMPLE)


def _values(given: dict[str, str]) -> dict[str, Any]:
    """Raises InputError naming the first field that is no number."""
    values: dict[str, Any] = {"ebv_dna": given["ebv_dna"] or "unknown"}
    for field, name in (("age", "age_years"), ("prognostic_score",) * 2, ("predictive_score",) * 2):
        try:
            values[name] = float(given[field].replace("\N{MINUS SIGN}", "-"))
        except ValueError as error:
            raise InputError(f"expected {field.replace('_', ' ')} as a number, found {given[field]!r}") from error
    return values


def _answer(visit: Visit, given: dict[str, str]) -> dict[str, Any]:
    try:
        found = visit.context.answers.ask("score", _values(given))
    except NoAnswerError as error:
        return {"found": None, "tables": [], "trouble": f"{visit.words('no_worker')} {error}"}
    except InputError as error:
        return {"found": None, "tables": [], "trouble": str(error)}
    document = found["document"]
    both = document.get("by_ebv_dna_category")
    tables = [of_answer(both[name] if both else document, one) for name, one in found["printed"].items()]
    return {"found": found, "tables": tables, "trouble": ""}
