"""What default.toml says about each setting: the one explanation that `cptdn init` and the reference repeat."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

DEFAULT_TOML = Path(__file__).parent / "default.toml"

_OFF_SECTION = "# [["
_SECTION = re.compile(r"^\[+(?P<name>[a-z0-9_.]+)\]+\s*(?:#\s*(?P<comment>.*))?$")
_KEY = re.compile(r"^(?P<off># )?(?P<name>[a-z0-9_]+) = (?P<rest>.*)$")
_REST = re.compile(r"""^(?P<value>(?:"[^"]*"|[^"#])*?)\s*(?:# (?P<comment>.*))?$""")


@dataclass(frozen=True)
class ExplainedKey:
    """One key of a section.

    Attributes
    ----------
    value : str
        The default as TOML; for a key without default an example.
    comment : str
        The explanation.
    """

    section: str
    name: str
    value: str
    comment: str
    has_default: bool


@dataclass(frozen=True)
class ExplainedSection:
    """One section with its keys in the order of the file.

    Attributes
    ----------
    is_off : bool
        There is none by default: its lines are comments, and its values are the defaults of one that is added.
    """

    name: str
    comment: str
    repeated: bool
    keys: tuple[ExplainedKey, ...]
    is_off: bool = False


def explained(text: str | None = None) -> list[ExplainedSection]:
    """Read all sections of default.toml.

    An explanation is at the end of a key's line, or in comment lines right above it; a key that is commented out has
    no default, and its value is an example. A repeated section of which there is none by default is commented out as a
    whole, up to the next empty line.

    Parameters
    ----------
    text : str, optional
        Another text in the form of default.toml.

    Returns
    -------
    list of ExplainedSection
        In the order of the file.
    """
    lines = iter((DEFAULT_TOML.read_text(encoding="utf-8") if text is None else text).splitlines())
    sections: list[ExplainedSection] = []
    keys: list[ExplainedKey] = []
    above: list[str] = []
    is_off = False
    for written in lines:
        is_off = written.startswith(_OFF_SECTION) or (is_off and bool(written))
        line = written.removeprefix("# ") if is_off else written
        if match := _SECTION.match(line):
            keys = []
            repeated, comment = line.startswith("[["), match["comment"] or ""
            sections.append(ExplainedSection(match["name"], comment, repeated, (), is_off))
        elif (match := _KEY.match(line)) and sections:
            value, comment = _value_and_comment(match["rest"], lines)
            comment = comment or " ".join(above)
            keys.append(ExplainedKey(sections[-1].name, match["name"], value, comment, match["off"] is None))
            sections[-1] = replace(sections[-1], keys=tuple(keys))
        elif line.startswith("# "):
            above.append(line.removeprefix("# "))
            continue
        above = []
    return sections


def _value_and_comment(rest: str, lines: Iterator[str]) -> tuple[str, str]:
    """Split a line behind `key =`; a list over several lines is read to its end."""
    match = _REST.match(rest)
    value, comment = (match["value"], match["comment"] or "") if match else (rest.rstrip(), "")
    if value == "[":
        for line in lines:
            value += line.strip()
            if line.strip() == "]":
                break
        value = value.replace(",]", "]")
    return value, comment.strip()


def explanation_of(section: str, key: str) -> str:
    """Return the explanation of one key. Raises KeyError where default.toml does not have it.

    Parameters
    ----------
    section, key : str
        For example ``node`` and ``port``; a section inside another has a dotted name.

    Returns
    -------
    str
        Text without the comment mark.
    """
    for explained_section in explained():
        for explained_key in explained_section.keys:
            if (explained_section.name, explained_key.name) == (section, key):
                return explained_key.comment
    raise KeyError(f"[{section}] {key}")
