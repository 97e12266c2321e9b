"""Templates of messages: named fields, each with the kind of value that it shows, filled per language.

A field is ``{name}`` or ``{name:kind}``. Kinds: a format of Python for numbers (``.1f``, ``g``, ``.0%``); ``list``,
``and``, ``and_the``, ``or`` and ``semicolons`` for several values; ``sentences`` for several sentences, ``pieces`` for
parts that begin with their own blank; ``start`` for a part that begins a sentence;
``bare`` for a sentence inside another one, without its full stop; ``plural:one|many`` for words that follow a number.
``{name!r}`` quotes a text that somebody wrote. Dates are written as YYYY-MM-DD in both languages, as all dates are.
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")

_JOINTS: Mapping[str, tuple[str, str]] = {
    "list": (", ", "、"),
    "and": (" and ", "和"),
    "and_the": (" and the ", "和"),
    "or": (" or ", "或"),
    "sentences": (" ", ""),
    "semicolons": ("; ", "; "),
    "pieces": ("", ""),
    "colons": (": ", ": "),
}
_STOPS = {"en": ".", "zh": "。"}


class _Filler(string.Formatter):
    """Fills a template in one language; nested messages are rendered in the same one."""

    def __init__(self, language: Language) -> None:
        self._language = language

    def convert_field(self, value: Any, conversion: Any) -> Any:
        if conversion == "r" and self._language == "zh" and isinstance(value, str):
            return f"“{self._rendered(value)}”"
        return super().convert_field(self._rendered(value), conversion)

    def format_field(self, value: Any, format_spec: str) -> Any:
        if format_spec in _JOINTS:
            joint = _JOINTS[format_spec][LANGUAGES.index(self._language)]
            return joint.join(str(self._rendered(each)) for each in value)
        if format_spec.startswith("plural:"):
            one, _, many = format_spec.removeprefix("plural:").partition("|")
            return one if value == 1 else many
        shown = self._rendered(value)
        if format_spec == "bare":
            return shown.rstrip(_STOPS[self._language])
        if format_spec == "start":
            return shown[:1].upper() + shown[1:]
        return super().format_field(shown, format_spec)

    def _rendered(self, value: Any) -> Any:
        render = getattr(value, "render", None)
        return value if render is None else render(self._language)


_FILLERS: Mapping[Language, _Filler] = {language: _Filler(language) for language in LANGUAGES}


def fill(template: str, parameters: Mapping[str, Any], language: Language) -> str:
    """Fill the fields of a template.

    Parameters
    ----------
    template : str
        Of `language`.
    parameters : mapping
        A value for each field.
    language : Language
        Of the words that join several values, and of nested messages.

    Returns
    -------
    str
        The text.

    Raises
    ------
    KeyError, ValueError, TypeError
        A value is missing, or is of another kind than its field.
    """
    return _FILLERS[language].vformat(template, (), parameters)


@cache
def fields_of(template: str) -> frozenset[str]:
    """Return the names of the fields of a template.

    Parameters
    ----------
    template : str
        Of either language.

    Returns
    -------
    frozenset of str
        Each name once.
    """
    return frozenset(name for _, name, _, _ in string.Formatter().parse(template) if name)
