"""What default.toml says about each setting: the one explanation that commands and the reference repeat."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DEFAULT_TOML = Path(__file__).parent / "default.toml"

_SECTION = re.compile(r"^\[+(?P<name>[a-z0-9_.]+)\]+\s*(?:#\s*(?P<comment>.*))?$")
_KEY = re.compile(r"^(?P<off># )?(?P<name>[a-z0-9_]+) = (?P<rest>.*)$")
_REST = re.compile(r"""^(?P<value>(?:"[^"]*"|[^"#])*?)\s*(?:# (?P<comment>.*))?$""")


@dataclass(frozen=True)
class ExplainedKey:
    """One key: its default as TOML (for a key without default an example) and its explanation."""

    section: str
    name: str
    value: str
    comment: str
    has_default: bool


@dataclass(frozen=True)
class ExplainedSection:
    """One section with its keys in the order of the file."""

    name: str
    comment: str
    repeated: bool
    keys: tuple[ExplainedKey, ...]


def explained(text: str | None = None) -> list[ExplainedSection]:
    """All sections of default.toml (or of a text in its form).

    An explanation stands at the end of a key's line, or in comment lines right above it; a key that is commented out
    has no default, and its value is an example.
    """
    lines = iter((DEFAULT_TOML.read_text(encoding="utf-8") if text is None else text).splitlines())
    sections: list[ExplainedSection] = []
    keys: list[ExplainedKey] = []
    above: list[str] = []
    for line in lines:
        if found := _SECTION.match(line):
            keys = []
            repeated, comment = line.startswith("[["), found["comment"] or ""
            sections.append(ExplainedSection(found["name"], comment, repeated, ()))
        elif (found := _KEY.match(line)) and sections:
            value, comment = _value_and_comment(found["rest"], lines)
            comment = comment or " ".join(above)
            keys.append(ExplainedKey(sections[-1].name, found["name"], value, comment, found["off"] is None))
            last = sections[-1]
            sections[-1] = ExplainedSection(last.name, last.comment, last.repeated, tuple(keys))
        elif line.startswith("# "):
            above.append(line.removeprefix("# "))
            continue
        above = []
    return sections


def _value_and_comment(rest: str, lines: Iterator[str]) -> tuple[str, str]:
    """Split a line behind `key =`; a list over several lines is read to its end."""
    found = _REST.match(rest)
    value, comment = (found["value"], found["comment"] or "") if found else (rest.rstrip(), "")
    if value == "[":
        for line in lines:
            value += line.strip()
            if line.strip() == "]":
                break
        value = value.replace(",]", "]")
    return value, comment.strip()


def explanation_of(section: str, key: str) -> str:
    """The explanation of one key. Raises KeyError where default.toml does not have it."""
    for one in explained():
        for each in one.keys:
            if (one.name, each.name) == (section, key):
                return each.comment
    raise KeyError(f"[{section}] {key}")
