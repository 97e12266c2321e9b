"""Translations of the pages: English and Simplified Chinese; terms of the report as in dicom_sr/report/wording.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from config.indication.conventions import whole_years
from config.indication.vocabulary import Answer, Condition, ConditionState, EbvCategory
from config.messages.finding_reasons import FINDINGS
from config.messages.message import message, render, text_of
from config.messages.reasons import REASONS
from config.severities import severity_of
from dicom_sr.report.report_inputs import Language
from dicom_sr.report.wording import WORDINGS
from node.ledger.database import now_utc
from node.web.messages import MESSAGES

LANGUAGES: tuple[Language, ...] = ("en", "zh")
LANG_ATTRIBUTES = {"en": "en", "zh": "zh-Hans"}
LANGUAGE_NAMES = {"en": "English", "zh": "中文"}


@dataclass(frozen=True)
class Translations:
    """Messages of one language.

    Attributes
    ----------
    language : Language
        One of `LANGUAGES`.
    """

    language: Language

    def __call__(self, key: str, **values: object) -> str:
        """Return the message of a key; `values` fill its braces. Raises KeyError for an unknown key."""
        message = MESSAGES[key][LANGUAGES.index(self.language)]
        return message.format(**values) if values else message

    @property
    def lang(self) -> str:
        """Value of the HTML attribute `lang`."""
        return LANG_ATTRIBUTES[self.language]

    def reason(self, code: str) -> str:
        """Return the short text of the code of a reason, warning or finding.

        Parameters
        ----------
        code : str
            As in `Case.reasons`, such as "missing_series", or of a warning of the report, such as "thick_slices".

        Returns
        -------
        str
            Its text; for an unknown code the code itself, with blanks.
        """
        reason = REASONS.get(code) or FINDINGS.get(code)
        return reason.short[LANGUAGES.index(self.language)] if reason else code.replace("_", " ")

    def step(self, name: str) -> str:
        """Return the name of a step of a computation.

        Parameters
        ----------
        name : str
            Of the step, or of its queue; another name stays as it is.

        Returns
        -------
        str
            For example "features".
        """
        key = f"step_{name}"
        return self(key) if key in MESSAGES else name

    def role(self, role: str) -> str:
        """Return the name of the role of a series.

        Parameters
        ----------
        role : str
            T1w, T2w, CE-T1w, other or ambiguous.

        Returns
        -------
        str
            The three sequences have the same name in both languages.
        """
        key = f"role_{role}"
        return self(key) if key in MESSAGES else role

    def entered(self, name: str) -> str:
        """Return the name of an input of the nomogram."""
        return message(f"input.{name}").render(self.language)

    @property
    def stop(self) -> str:
        """The full stop of this language."""
        return WORDINGS[self.language].stop

    def interval(self, text: str) -> str:
        """Return a text as this language writes intervals.

        Parameters
        ----------
        text : str
            With a printed interval, such as "72.0 to 85.6", or without one.
        """
        low, joint, high = text.partition(" to ")
        return WORDINGS[self.language].interval.format(low=low, high=high) if joint else text

    def text(self, text: str) -> str:
        """Return a text in this language.

        Parameters
        ----------
        text : str
            A message; another text stays as it is.
        """
        return render(text, self.language)

    def error(self, error: Exception) -> str:
        """Return what an error says.

        Parameters
        ----------
        error : Exception
            With a message, or with a text of a library.

        Returns
        -------
        str
            In this language where it is a message.
        """
        return self.text(text_of(error))

    def no_worker(self, error: Exception) -> str:
        """Return that no worker answers, and why."""
        return f"{self('no_worker')} {self.error(error)}"

    def condition(self, code: str) -> str:
        """Return the name of a condition of use, as the report has it."""
        return WORDINGS[self.language].condition_titles[Condition(code)]

    def condition_state(self, state: str) -> str:
        """Return the name of a state of a condition of use, as the report has it."""
        return WORDINGS[self.language].condition_states[ConditionState(state)]

    def severity(self, code: str) -> str:
        """Return what a warning or finding does to the result, as the report has it."""
        return WORDINGS[self.language].severities[severity_of(code)]

    def answer(self, answer: str) -> str:
        """Return the name of an answer.

        Parameters
        ----------
        answer : str
            A value of `Answer`; its name is that of the report.
        """
        return WORDINGS[self.language].answers[Answer(answer)]

    def value(self, value: object) -> object:
        """Return a value of a comparison of two reports.

        Parameters
        ----------
        value : object
            A number, an answer, a category of EBV DNA, or another text.

        Returns
        -------
        object
            The name of an answer or category in this language; any other value stays as it is.
        """
        if isinstance(value, str) and value in set(EbvCategory):
            return message(f"category.{value}").render(self.language)
        return self.answer(value) if isinstance(value, str) and value in set(Answer) else value

    def advice(self, code: str) -> str:
        """Return what to do about a reason.

        Parameters
        ----------
        code : str
            As in `Case.reasons`.

        Returns
        -------
        str
            A sentence; empty for an unknown code.
        """
        reason = REASONS.get(code) or FINDINGS.get(code)
        return reason.advice[LANGUAGES.index(self.language)] if reason else ""

    def horizon(self, months: int) -> str:
        """Return the name of a horizon.

        Parameters
        ----------
        months : int
            The horizon in months.

        Returns
        -------
        str
            36 is "3-year DFS", 30 is "30-month DFS".
        """
        if (years := whole_years(months)) is not None:
            return self("horizon_years", n=years)
        return self("horizon_months", n=months)

    def age(self, moment: datetime) -> str:
        """Return how long ago a time was.

        Parameters
        ----------
        moment : datetime
            An aware time.

        Returns
        -------
        str
            In days from two days on, else in hours from two hours on, else in minutes; "just now" below one minute.
        """
        # Clocks of two machines may differ by some seconds: nothing is in the future.
        seconds = max(0, int((now_utc() - moment).total_seconds()))
        for key, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
            if seconds >= 2 * length or (key == "minutes" and seconds >= 60):
                return self(f"ago_{key}", n=seconds // length)
        return self("ago_now")


_TRANSLATIONS: Mapping[str, Translations] = {language: Translations(language) for language in LANGUAGES}


def translations_of(language: str) -> Translations:
    """Return the translations of a language, one of `LANGUAGES`."""
    return _TRANSLATIONS[language]
