"""The model page: which bundle speaks, how it was trained and tested, and whether what comes in looks like it."""

from __future__ import annotations

from collections.abc import Mapping
from math import exp
from typing import Any

from starlette.responses import Response

from config.bundle_manifest import read_manifest
from config.errors import InputError
from config.indication.conventions import Z_95
from node.messaging.questions import NoAnswerError
from node.web.page_request import Visit
from node.web.pages import show


def model(visit: Visit) -> Response:
    manifest = read_manifest(visit.context.settings.model.bundle)
    nomogram, trouble = _ask(visit, "nomogram")
    drift, _ = _ask(visit, "drift")
    content = manifest.content
    return show(
        visit, "model.html", manifest=manifest, content=content, evaluation=_evaluation(content.get("metrics", {})),
        courses=_courses(content.get("training", {}).get("history", {})), nomogram=nomogram, drift=drift,
        ratios=_ratios(nomogram) if nomogram else [], trouble=trouble,
    )  # fmt: skip


def _ask(visit: Visit, question: str) -> tuple[dict[str, Any] | None, str]:
    try:
        return visit.context.answers.ask(question, {}), ""
    except (NoAnswerError, InputError) as error:
        return None, str(error)


def _evaluation(metrics: Mapping[str, Any]) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Titles of the groups of figures, and one row a figure with its value in each group (empty where it has none)."""
    groups = {title.replace("_", " "): dict(_flat(figures)) for title, figures in metrics.items()}
    names = dict.fromkeys(name for figures in groups.values() for name in figures)
    return list(groups), [(name, [figures.get(name, "") for figures in groups.values()]) for name in names]


def _flat(figures: Mapping[str, Any], path: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in figures.items():
        shown = f"{path}{name}".replace("_", " ")
        if isinstance(value, Mapping):
            rows += _flat(value, f"{shown}: ")
        else:
            rows.append((shown, f"{value:g}" if isinstance(value, float) else str(value)))
    return rows


def _courses(history: Mapping[str, Any]) -> list[tuple[str, list[float]]]:
    """Validation C-index by step of each training."""
    return [
        (name, [float(row["validation_c_index"]) for row in rows if row.get("validation_c_index") is not None])
        for name, rows in history.items()
    ]


def _ratios(nomogram: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Hazard ratio with 95 % interval by term, from coefficients and standard errors of the bundle."""
    rows = []
    for term, coefficient in nomogram["coefficients"].items():
        error = nomogram["standard_errors"].get(term)
        text = f"{exp(coefficient):.3f}"
        if error is not None:
            text += f" ({exp(coefficient - Z_95 * error):.3f} to {exp(coefficient + Z_95 * error):.3f})"
        rows.append((term.replace("_", " "), text))
    return rows
