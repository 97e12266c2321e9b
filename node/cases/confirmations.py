"""Questions that an operator has answered: each confirmation is of one question as it was asked.

A question whose text has changed, because other texts or contours arrived, is asked again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, TypeVar

from config.messages.message import message
from node.cases.study_purpose import CONFIRMABLE, question_of

__all__ = ["CONFIRMABLE", "separate_confirmed"]


class _Question(Protocol):
    @property
    def code(self) -> str: ...

    @property
    def text(self) -> str: ...


Question = TypeVar("Question", bound=_Question)


def separate_confirmed(
    questions: Iterable[Question], confirmations: Mapping[str, Mapping[str, Any]]
) -> tuple[list[Question], list[tuple[str, str]]]:
    """Separate the questions that are open from those that were answered.

    Parameters
    ----------
    questions : iterable
        With `code` and `text`.
    confirmations : mapping of reason code to mapping
        {"text": the question, "because", "by"}.

    Returns
    -------
    pair of (list of questions, list of (code, sentence))
        The open ones, and a warning for the report for each that was answered.
    """
    still_open: list[Question] = []
    warnings: list[tuple[str, str]] = []
    for question in questions:
        answer = confirmations.get(question.code)
        if question.code in CONFIRMABLE and answer is not None and answer.get("text") == question.text:
            text = message(
                "confirmed", question=question_of(question.text), by=answer.get("by"), because=answer.get("because")
            )
            warnings.append((question.code, text))
        else:
            still_open.append(question)
    return still_open, warnings
