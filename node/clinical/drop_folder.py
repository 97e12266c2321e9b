"""The drop folder: .csv and .json tables in it are recorded, then moved to done/ or to rejected/ with the reason."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog
from sqlalchemy.exc import OperationalError

from config.errors import InputError
from config.settings import Settings
from node.clinical.tables import import_file
from node.ledger.database import Ledger

log = structlog.get_logger(__name__)

SUFFIXES = frozenset({".csv", ".json"})
UNCHANGED_S = 1.0  # a file that changed more recently may not be written completely


@dataclass(frozen=True)
class DroppedFile:
    """The outcome of one file.

    Attributes
    ----------
    path : Path
        Where the file is now.
    accepted : bool
        Whether every row was recorded.
    n_new_facts : int
        Facts that were not recorded before.
    sentences : tuple of str
        Lines of its .reason.txt.
    """

    path: Path
    accepted: bool
    n_new_facts: int
    sentences: tuple[str, ...]


def import_drop_folder(path: Path, ledger: Ledger, settings: Settings) -> list[DroppedFile]:
    """Record every complete table of the folder, the oldest first.

    An interruption loses nothing: a file is moved after its rows are recorded, and the same rows again change nothing.

    Parameters
    ----------
    path : Path
        The folder; done/ and rejected/ are made inside it.
    ledger : Ledger
        Receives the facts.
    settings : Settings
        Threshold, conversion and staging edition of the site.

    Returns
    -------
    list of DroppedFile
        A file with bad rows is moved to rejected/ although its good rows are recorded; its .reason.txt says so.

    Raises
    ------
    InputError
        When the folder itself cannot be used.
    """
    try:
        for folder in (path, path / "done", path / "rejected"):
            folder.mkdir(parents=True, exist_ok=True)
        # The oldest first, so that a corrected file that was dropped later has the last word.
        files = sorted(_complete_files(path), key=lambda file: file.stat().st_mtime)
    except OSError as error:
        raise InputError(f"the drop folder {path} cannot be used: {error.strerror}") from error
    return [_record(file, ledger, settings) for file in files]


def _record(file: Path, ledger: Ledger, settings: Settings) -> DroppedFile:
    try:
        result = import_file(file, ledger, settings, set_by="drop folder")
    except InputError as error:
        return _moved(file, False, 0, (f"{error}.",))
    except (OSError, OperationalError):
        raise  # a disk or a ledger that is away for a moment: the file stays, and is read again
    except Exception as error:  # the reason is in this file, and the files behind it must not wait for it
        log.exception("dropped_table_failed", file=file.name)
        why = f"This file could not be read ({type(error).__name__}); the program's log has the details."
        return _moved(
            file, False, 0, (why, "Rows before the fault may be recorded; the same rows again change nothing.")
        )
    if result.bad:
        recorded = f"{result.n_rows - len(result.bad)} of {result.n_rows} rows were entered."
        return _moved(file, False, result.n_new_facts, (recorded, *result.sentences()))
    return _moved(file, True, result.n_new_facts, tuple(result.sentences()))


def _moved(file: Path, accepted: bool, n_new_facts: int, sentences: tuple[str, ...]) -> DroppedFile:
    target = _unused_name(file.parent / ("done" if accepted else "rejected") / file.name)
    if sentences:  # first, so that a rejected file always has its reason beside it
        target.with_name(f"{target.name}.reason.txt").write_text("\n".join(sentences) + "\n", encoding="utf-8")
    # After the rows are committed: a crash in between records the same rows again, which changes nothing.
    file.rename(target)
    return DroppedFile(target, accepted, n_new_facts, sentences)


def _complete_files(folder: Path) -> Iterator[Path]:
    before = time.time() - UNCHANGED_S
    for file in folder.iterdir():
        # A name that begins with "." or "~" is that of a program that is still writing.
        ready = file.suffix.lower() in SUFFIXES and not file.name.startswith((".", "~"))
        if ready and file.is_file() and not file.is_symlink() and file.stat().st_mtime <= before:
            yield file


def _unused_name(target: Path) -> Path:
    """Return the same name, with a number where a file of that name exists."""
    candidate, number = target, 2
    while candidate.exists():
        candidate = target.with_name(f"{target.stem}-{number}{target.suffix}")
        number += 1
    return candidate
