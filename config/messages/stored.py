"""Messages in JSON documents: the English text stays where it is, and key and parameters stand beside it.

``{"code", "text"}`` becomes ``{"code", "text", "message", "parameters"}``; another name, as ``reason``, gets the
siblings ``reason_message`` and ``reason_parameters``, and a list of texts ``notes`` the sibling ``notes_messages``. A
program that reads the text needs none of them, and a document of an earlier version has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from config.messages.catalogue import CATALOGUE
from config.messages.message import Message, render
from config.messages.template import Language, fields_of

_LISTED = "_messages"


def to_json(value: Any) -> Any:
    """Return a JSON value in which every message is its English text with key and parameters beside it.

    Parameters
    ----------
    value : JSON value
        With messages among its texts.

    Returns
    -------
    JSON value
        `from_json` returns an equal value of it, with its messages.
    """
    if isinstance(value, Mapping):
        document: dict[Any, Any] = {}
        for name, item in value.items():
            document[name] = to_json(item)
            if isinstance(item, Message):
                document.update(_named(item, _prefix(name)))
            elif isinstance(item, list | tuple) and any(isinstance(each, Message) for each in item):
                document[f"{name}{_LISTED}"] = [_named(each) if isinstance(each, Message) else None for each in item]
        return document
    if isinstance(value, list | tuple):
        return [to_json(each) for each in value]
    return str(value) if isinstance(value, Message) else value


def from_json(value: Any) -> Any:
    """Read a value that `to_json` wrote.

    Parameters
    ----------
    value : JSON value
        Of this version or another one.

    Returns
    -------
    JSON value
        With its messages; a text without one, or with one that the catalogue does not have, stays a text.
    """
    if isinstance(value, list | tuple):
        return [from_json(each) for each in value]
    if not isinstance(value, Mapping):
        return value
    names = [name for name in value if not _is_sibling(name, value)]
    return {name: _restored(name, value) for name in names}


def rendered(value: Any, language: Language) -> Any:
    """Return a stored document with its messages in a language, without keys and parameters.

    Parameters
    ----------
    value : JSON value
        As `to_json` wrote it, or of an earlier version.
    language : Language
        Language of the texts.
    """
    return _rendered(from_json(value), language)


def named(text: str) -> dict[str, Any] | None:
    """Return what a document has beside the English text of a message.

    Parameters
    ----------
    text : str
        A message or another text.

    Returns
    -------
    dict or None
        Its key and parameters; None for another text.
    """
    return _named(text) if isinstance(text, Message) else None


def restored(text: str, name: Mapping[str, Any] | None) -> str:
    """Return the message of a stored text.

    Parameters
    ----------
    text : str
        In English.
    name : mapping or None
        Its ``message`` and ``parameters``, as `named` returned them; None for a text of an earlier version.

    Returns
    -------
    str
        A message; the text itself where it has none, or one that the catalogue does not have.
    """
    return text if name is None else _message(text, name.get("message"), name.get("parameters"))


def _rendered(value: Any, language: Language) -> Any:
    if isinstance(value, Mapping):
        return {name: _rendered(item, language) for name, item in value.items()}
    if isinstance(value, list):
        return [_rendered(each, language) for each in value]
    return render(value, language) if isinstance(value, str) else value


def _prefix(name: str) -> str:
    return "" if name == "text" else f"{name}_"


def _named(value: Message, prefix: str = "") -> dict[str, Any]:
    return {f"{prefix}message": value.key, f"{prefix}parameters": _parameters_to_json(value.parameters)}


def _parameters_to_json(value: Any) -> Any:
    if isinstance(value, Message):
        return {"text": str(value), **_named(value)}
    if isinstance(value, Mapping):
        return {name: _parameters_to_json(each) for name, each in value.items()}
    return [_parameters_to_json(each) for each in value] if isinstance(value, list) else value


def _is_sibling(name: Any, document: Mapping[Any, Any]) -> bool:
    if not isinstance(name, str):
        return False
    if name.endswith(_LISTED):
        return isinstance(document.get(name.removesuffix(_LISTED)), list)
    for ending in ("message", "parameters"):
        prefix = name.removesuffix(ending)
        if prefix == name:
            continue
        text = document.get("text" if not prefix else prefix.removesuffix("_"))
        pair = (f"{prefix}message", f"{prefix}parameters")
        return isinstance(text, str) and all(each in document for each in pair)
    return False


def _restored(name: Any, document: Mapping[Any, Any]) -> Any:
    value = document[name]
    if isinstance(value, str) and isinstance(name, str):
        prefix = _prefix(name)
        return _message(value, document.get(f"{prefix}message"), document.get(f"{prefix}parameters"))
    listed = document.get(f"{name}{_LISTED}") if isinstance(value, list) else None
    if isinstance(listed, list) and len(listed) == len(value):
        pairs = zip(value, listed, strict=True)
        return [_message(text, each["message"], each["parameters"]) if each else text for text, each in pairs]
    return from_json(value)


def _message(text: str, key: Any, parameters: Any) -> str:
    # Another version may have another catalogue: then its English text remains.
    if key not in CATALOGUE or not isinstance(parameters, Mapping) or fields_of(CATALOGUE[key][0]) != set(parameters):
        return text
    return Message(key, {name: _parameter(value) for name, value in parameters.items()}, text)


def _parameter(value: Any) -> Any:
    if isinstance(value, list):
        return [_parameter(each) for each in value]
    if isinstance(value, Mapping):
        return _message(value["text"], value.get("message"), value.get("parameters"))
    return value
