"""Prints the part of requirements.lock that an image needs, hashes included: `python docker/locked.py [EXTRA...]`.

The lock names for each library who asks for it ("via"); what the project itself asks for, without or with some extras,
and everything below that is kept. Standard library only, so that it runs before anything is installed.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
_NAME = re.compile(r"^[A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Locked:
    """One library of the lock: its lines as they stand there, and who asks for it."""

    lines: tuple[str, ...]
    via: frozenset[str]


def normalised(name: str) -> str:
    """Return a library's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_lock(text: str) -> dict[str, Locked]:
    """Library -> its entry."""
    found: dict[str, Locked] = {}
    for block in re.split(r"\n(?=[A-Za-z0-9])", text.strip()):
        lines = block.splitlines()
        name = normalised(lines[0].split("==")[0].split("[")[0])
        comments = [line.strip().lstrip("#").strip().removeprefix("via").strip() for line in lines if "#" in line]
        via = frozenset(normalised(one.split(" (")[0]) for one in comments if one)
        found[name] = Locked(tuple(line for line in lines if not line.lstrip().startswith("#")), via)
    return found


def selected(lock: dict[str, Locked], project: dict[str, list[str]], extras: Collection[str]) -> list[str]:
    """Names of what is needed, in the order of the lock.

    project : "" -> the dependencies of the project itself, and each extra -> its own.
    Raises KeyError for an extra that the project does not have.
    """
    asked = {normalised(match[0]) for key in ("", *extras) for one in project[key] if (match := _NAME.match(one))}
    while True:
        below = {name for name, one in lock.items() if one.via & asked}
        if below <= asked:
            return [name for name in lock if name in asked]
        asked |= below


def dependencies(pyproject: str) -> dict[str, list[str]]:
    """Return the project's own dependencies under "", and those of each extra."""
    project = tomllib.loads(pyproject)["project"]
    return {"": project["dependencies"], **project.get("optional-dependencies", {})}


def main(extras: list[str]) -> None:
    """Print the locked requirements of these extras, with their hashes."""
    lock = read_lock((ROOT / "requirements.lock").read_text(encoding="utf-8"))
    project = dependencies((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for name in selected(lock, project, extras):
        print("\n".join(lock[name].lines))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
