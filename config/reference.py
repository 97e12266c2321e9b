"""The configuration reference: every setting with its type, default and meaning, as Markdown. `make docs` writes it."""

from __future__ import annotations

import sys
import types
import typing
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from config.explained import ExplainedKey, ExplainedSection, explained
from config.settings import ENV_PREFIX, Settings

REFERENCE = Path(__file__).parent / "REFERENCE.md"
HEAD = """# Configuration reference

Written by `make docs` from `sections.py` and `default.toml`; a test checks that it is current. A file named by
`--config`, by `$CPTDN_CONFIG` or `./cptdn.toml` contains what differs from the defaults; the environment takes
precedence over the file. Relative paths are relative to the file. `cptdn init` writes a first file.
"""


def reference() -> str:
    """Return the whole document as Markdown.

    Returns
    -------
    str
        Sections and keys in the order of default.toml, with a line end at the end.
    """
    return "\n".join([HEAD, *(line for section in explained() for line in _section(section))]) + "\n"


def _section(section: ExplainedSection) -> list[str]:
    brackets = ("[[", "]]") if section.repeated else ("[", "]")
    model = _model_of(section.name)
    lines = [f"## `{brackets[0]}{section.name}{brackets[1]}`", ""]
    if section.comment:
        lines += [f"{section.comment[:1].upper()}{section.comment[1:]}.", ""]
    if not section.repeated:
        lines += [f"In the environment: `{ENV_PREFIX}{section.name.upper().replace('.', '__')}__<KEY>`.", ""]
    lines += ["| key | type | default | meaning |", "|---|---|---|---|"]
    lines += [_row(key, model.model_fields[key.name]) for key in section.keys]
    return [*lines, ""]


def _row(key: ExplainedKey, field: FieldInfo) -> str:
    default = f"`{key.value}`" if key.has_default else f"none; e.g. `{key.value}`"
    cells = (f"`{key.name}`", _type(field.annotation) + _limits(field), default, key.comment)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _model_of(name: str) -> type[BaseModel]:
    """Return the settings class of a section; a dotted name is a section inside another (`case.series_rules`)."""
    model: type[BaseModel] = Settings
    for part in name.split("."):
        annotation: Any = model.model_fields[part].annotation
        inside = [part for part in (annotation, *typing.get_args(annotation)) if isinstance(part, type)]
        model = next(part for part in inside if issubclass(part, BaseModel))
    return model


def _type(annotation: Any) -> str:
    """Name a type with a word of TOML."""
    words = {str: "text", int: "whole number", float: "number", bool: "true or false", Path: "path"}
    if annotation in words:
        return words[annotation]
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return " or ".join(f'"{choice}"' for choice in arguments)
    if origin in (typing.Union, types.UnionType):
        return _type(next(part for part in arguments if part is not type(None)))
    if origin is tuple:
        return f"list of {_type(arguments[0])}"
    return "table"


def _limits(field: FieldInfo) -> str:
    """Write the limits of a value, as the settings check them."""
    words = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than",
             "min_length": "length at least", "max_length": "length at most"}  # fmt: skip
    limits = [
        f"{text} {getattr(constraint, name):g}"
        for constraint in field.metadata
        for name, text in words.items()
        if getattr(constraint, name, None) is not None
    ]
    return f", {', '.join(limits)}" if limits else ""


def main() -> None:
    """Write the reference: ``python -m config.reference [FILE]``."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else REFERENCE
    target.write_text(reference(), encoding="utf-8")


if __name__ == "__main__":
    main()
