"""A watched folder: .csv and .json tables put there are entered and moved to done/ or rejected/ with the reason."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from config.errors import InputError
from config.settings import Settings
from node.clinical.tables import import_file

if TYPE_CHECKING:
    from node.ledger.database import Ledger

SUFFIXES = frozenset({".csv", ".json"})
SETTLED_S = 1.0  # a file that changed more recently may still be being written


@dataclass(frozen=True)
class DroppedFile:
    """What became of one file: where it lies now, and the sentences that stand in its .reason.txt."""

    path: Path
    accepted: bool
    n_new_facts: int
    sentences: tuple[str, ...]


def import_drop_folder(path: Path, ledger: Ledger, settings: Settings) -> list[DroppedFile]:
    """Enter every settled table of the folder, the oldest first.

    Safe to interrupt: a file is moved after its rows are recorded, and recording the same rows again changes nothing.
    A file with bad rows goes to rejected/ although its good rows are entered; the reason names both.
    Raises InputError when the folder itself cannot be used.
    """
    try:
        for folder in (path, path / "done", path / "rejected"):
            folder.mkdir(parents=True, exist_ok=True)
        waiting = sorted(_settled(path), key=lambda one: one.stat().st_mtime)
    except OSError as error:
        raise InputError(f"the drop folder {path} cannot be used: {error.strerror}") from error
    return [_enter(one, ledger, settings) for one in waiting]


def _enter(file: Path, ledger: Ledger, settings: Settings) -> DroppedFile:
    try:
        result = import_file(file, ledger, settings, set_by="drop folder")
    except InputError as error:
        return _moved(file, False, 0, (f"{error}.",))
    if result.bad:
        entered = f"{result.n_rows - len(result.bad)} of {result.n_rows} rows were entered."
        return _moved(file, False, result.n_new_facts, (entered, *result.sentences()))
    return _moved(file, True, result.n_new_facts, tuple(result.sentences()))


def _moved(file: Path, accepted: bool, n_new_facts: int, sentences: tuple[str, ...]) -> DroppedFile:
    target = _free(file.parent / ("done" if accepted else "rejected") / file.name)
    if sentences:
        target.with_name(f"{target.name}.reason.txt").write_text("\n".join(sentences) + "\n", encoding="utf-8")
    file.rename(target)
    return DroppedFile(target, accepted, n_new_facts, sentences)


def _settled(folder: Path) -> Iterator[Path]:
    before = time.time() - SETTLED_S
    for file in folder.iterdir():
        ready = file.suffix.lower() in SUFFIXES and not file.name.startswith((".", "~"))
        if ready and file.is_file() and not file.is_symlink() and file.stat().st_mtime <= before:
            yield file


def _free(target: Path) -> Path:
    """The same name, with a number where one of that name lies there already."""
    candidate, number = target, 2
    while candidate.exists():
        candidate = target.with_name(f"{target.stem}-{number}{target.suffix}")
        number += 1
    return candidate
