"""The pages' words in English and Simplified Chinese. Terms of the report are those of dicom_sr/report/wording.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from config.indication.conventions import whole_years
from node.ledger.database import now_utc
from node.web.chinese import PHRASES
from node.web.reasons import REASONS

LANGUAGES = ("en", "zh")
LANG_ATTRIBUTES = {"en": "en", "zh": "zh-Hans"}
OTHER_NAMES = {"en": "English", "zh": "中文"}


@dataclass(frozen=True)
class Words:
    """One language. Called with a key it gives the phrase; braces are filled by `str.format`."""

    language: str

    def __call__(self, key: str, **values: object) -> str:
        phrase = PHRASES[key][LANGUAGES.index(self.language)]
        return phrase.format(**values) if values else phrase

    @property
    def lang(self) -> str:
        """The HTML attribute."""
        return LANG_ATTRIBUTES[self.language]

    def reason(self, code: str) -> str:
        """A reason code in a few words; the code itself where it is not one of ours."""
        found = REASONS.get(code)
        return found.short[LANGUAGES.index(self.language)] if found else code.replace("_", " ")

    def advice(self, code: str) -> str:
        """What to do about a reason; empty where nothing is known."""
        found = REASONS.get(code)
        return found.advice[LANGUAGES.index(self.language)] if found else ""

    def horizon(self, months: int) -> str:
        """36 -> "3-year DFS"; 30 -> "30-month DFS"."""
        if (years := whole_years(months)) is not None:
            return self("horizon_years", n=years)
        return self("horizon_months", n=months)

    def age(self, moment: datetime) -> str:
        """How long ago, in one unit."""
        seconds = max(0, int((now_utc() - moment).total_seconds()))
        for key, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
            if seconds >= 2 * length or (key == "minutes" and seconds >= 60):
                return self(f"ago_{key}", n=seconds // length)
        return self("ago_now")


_WORDS: Mapping[str, Words] = {language: Words(language) for language in LANGUAGES}


def words_of(language: str) -> Words:
    return _WORDS[language]
