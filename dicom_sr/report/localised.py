"""A report in the language of its objects: every message in it becomes the sentence of that language."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any, cast

from config.messages.message import render
from config.messages.template import Language
from dicom_sr.report.treatment_report import TreatmentReport


def localised(report: TreatmentReport, language: Language) -> TreatmentReport:
    """Return the report with its messages in a language.

    Parameters
    ----------
    report : TreatmentReport
        Reasons, warnings, conditions and sources are messages, or texts of an earlier version, which stay as they are.
    language : Language
        Of the objects.

    Returns
    -------
    TreatmentReport
        With texts only: every object that is built of it has the same sentences.
    """
    return cast(TreatmentReport, _localised(report, language))


def _localised(value: Any, language: Language) -> Any:
    if isinstance(value, str):
        return render(value, language)
    if isinstance(value, tuple):
        return tuple(_localised(each, language) for each in value)
    if is_dataclass(value) and not isinstance(value, type):
        old = {each.name: getattr(value, each.name) for each in fields(value)}
        new = {name: _localised(each, language) for name, each in old.items()}
        changed = {name: each for name, each in new.items() if each is not old[name]}
        return replace(value, **changed) if changed else value
    return value
