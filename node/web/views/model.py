"""The model page: the manifest of the bundle, its evaluation and training, and the drift of incoming studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp
from typing import Any

from starlette.responses import Response

from config.bundle_manifest import read_manifest
from config.bundle_metrics import metric_rows
from config.errors import InputError
from config.indication.conventions import Z_95
from config.messages.catalogue import CATALOGUE
from config.messages.message import message
from config.unseen_figures import group_words
from node.messaging.questions import NoAnswerError
from node.runtime.overview import bundle_admission
from node.web.page_request import PageRequest
from node.web.pages import render_page


def model(request: PageRequest) -> Response:
    """Render the page of the configured bundle; nomogram and drift are missing when no worker answers."""
    manifest = read_manifest(request.context.settings.model.bundle)
    nomogram, trouble = _ask(request, "nomogram")
    drift, _ = _ask(request, "drift")
    content = manifest.content
    return render_page(
        request, "model.html", manifest=manifest, content=content, evaluation=_evaluation(content.get("metrics", {})),
        courses=_courses(content.get("training", {}).get("history", {})), nomogram=nomogram, drift=drift,
        ratios=_ratios(nomogram) if nomogram else [], trouble=trouble,
        admission=bundle_admission(request.context.settings),
    )  # fmt: skip


def _ask(request: PageRequest, question: str) -> tuple[dict[str, Any] | None, str]:
    try:
        return request.context.answers.ask(question, {}), ""
    except (NoAnswerError, InputError) as error:
        return None, request.translations.error(error)


def _evaluation(metrics: Mapping[str, Any]) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Return the titles of the groups of metrics, and for each metric its name and its text in each group."""
    groups = {
        group_words(title): dict(metric_rows(group)) for title, group in metrics.items() if isinstance(group, Mapping)
    }
    names = dict.fromkeys(name for group in groups.values() for name in group)
    return list(groups), [(name, [group.get(name, "") for group in groups.values()]) for name in names]


def _courses(history: Mapping[str, Any]) -> list[tuple[str, list[float]]]:
    """Return the C-index of the watched patients after each step of every training."""
    trainings: dict[str, Any] = {}
    for name, steps in history.items():
        # Of an ensemble each member has a history; a bundle of one model has that of its networks.
        if isinstance(steps, Mapping):
            trainings |= {_training(name, role): rows for role, rows in steps.items()}
        else:
            trainings[name] = steps
    return [(name, _watched(rows)) for name, rows in trainings.items()]


def _training(member: str, part: str) -> str:
    number = member.removeprefix("member-")
    named = message("training.scores") if part == "scores" else part
    return message("training.member_part", n=number, part=named) if number.isdigit() else f"{member} {part}"


def _watched(rows: Sequence[Mapping[str, Any]]) -> list[float]:
    return [float(row["validation_c_index"]) for row in rows if row.get("validation_c_index") is not None]


def _ratios(nomogram: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return each term with its hazard ratio and 95 % interval (Wald), from coefficients and standard errors."""
    rows = []
    for term, coefficient in nomogram["coefficients"].items():
        error = nomogram["standard_errors"].get(term)
        text = f"{exp(coefficient):.3f}"
        if error is not None:
            # Symmetric for the logarithm of the hazard ratio, so not for the ratio itself.
            text += f" ({exp(coefficient - Z_95 * error):.3f} to {exp(coefficient + Z_95 * error):.3f})"
        key = f"term.{term}"
        rows.append((message(key) if key in CATALOGUE else term.replace("_", " "), text))
    return rows
