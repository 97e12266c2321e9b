"""A message: a key of the catalogue and parameters, which is also its own English text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from enum import Enum
from types import MappingProxyType
from typing import Any

from config.messages.catalogue import CATALOGUE
from config.messages.template import LANGUAGES, Language, fields_of, fill


class Message(str):
    """A sentence for people, in English as a str, and in every other language by `render`.

    It is a str so that what stores, logs or compares text needs to know nothing of languages; whoever shows it to a
    person calls `render`. It cannot be changed.

    Attributes
    ----------
    key : str
        Of `CATALOGUE`: a reason code of the contract, or the room, and after a point the situation.
    parameters : mapping of str to value
        Texts, numbers, None, other messages, and lists of these; dates as YYYY-MM-DD.
    """

    __slots__ = ("key", "parameters")
    key: str
    parameters: Mapping[str, Any]

    def __new__(cls, key: str, parameters: Mapping[str, Any], text: str | None = None) -> Message:
        """Build the message; `text` is its English text where it was rendered before, by any version."""
        values = {name: _simple(value) for name, value in parameters.items()}
        if text is None:
            text = fill(CATALOGUE[key][0], values, "en")
        built = super().__new__(cls, text)
        built.key, built.parameters = key, MappingProxyType(values)
        return built

    def __reduce__(self) -> tuple[type[Message], tuple[str, dict[str, Any], str]]:
        """Pickle by key and parameters: a drawing process gets the report with its messages."""
        return Message, (self.key, dict(self.parameters), str(self))

    def render(self, language: Language) -> str:
        """Return the sentence in a language."""
        if language == "en":
            return str(self)
        return fill(CATALOGUE[self.key][LANGUAGES.index(language)], self.parameters, language)

    def with_texts(self, change: Callable[[str], str]) -> Message:
        """Return the message with each of its texts changed, those of nested messages as well."""
        return Message(self.key, {name: _changed(value, change) for name, value in self.parameters.items()})


def message(key: str, **parameters: Any) -> Message:
    """Build a message of the catalogue.

    Parameters
    ----------
    key : str
        Of `CATALOGUE`.
    **parameters
        A value for each field of its templates, and no other.

    Returns
    -------
    Message
        Its English text is rendered.

    Raises
    ------
    KeyError
        There is no such key.
    ValueError
        A parameter is missing, unknown, or of another kind than its field.
    """
    expected = fields_of(CATALOGUE[key][0])
    if expected != parameters.keys():
        raise ValueError(f"expected the parameters {sorted(expected)} of the message {key}, found {sorted(parameters)}")
    return Message(key, parameters)


def render(text: str, language: Language) -> str:
    """Return a text in a language.

    Parameters
    ----------
    text : str
        A message, or a text of an earlier version, which stays as it is.
    language : Language
        The language of the reader.

    Returns
    -------
    str
        A plain text.
    """
    return text.render(language) if isinstance(text, Message) else text


def text_of(error: Exception) -> str:
    """Return what an error says.

    Parameters
    ----------
    error : Exception
        Of this program or of a library.

    Returns
    -------
    str
        Its message, or its text where it has none.
    """
    return error.args[0] if error.args and isinstance(error.args[0], Message) else str(error)


def sentences(texts: Iterable[str]) -> str:
    """Join several sentences.

    Parameters
    ----------
    texts : iterable of str
        Whole sentences, messages or not.

    Returns
    -------
    str
        One message, in which each language joins them in its way; empty for none.
    """
    parts = list(texts)
    if len(parts) < 2:
        return parts[0] if parts else ""
    return message("sentences", parts=parts)


def pieces(texts: Iterable[str]) -> str:
    """Join texts that begin with their own blank.

    Parameters
    ----------
    texts : iterable of str
        Optional parts of a sentence.

    Returns
    -------
    str
        One message; empty for none.
    """
    parts = list(texts)
    return message("pieces", parts=parts) if parts else ""


def _simple(value: Any) -> Any:
    """Return a value that JSON can have, or a message."""
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Iterable):
        return [_simple(each) for each in value]
    # A number of numpy.
    return value.item() if hasattr(value, "item") else str(value)


def _changed(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, Message):
        return value.with_texts(change)
    if isinstance(value, list):
        return [_changed(each, change) for each in value]
    return change(value) if isinstance(value, str) else value
