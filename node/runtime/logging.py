"""Structured logs on stderr: one line for each event, with UIDs and job ids and without names of patients.

On a terminal the lines are coloured text, elsewhere they are JSON. The latest events of each kind of process are also
in two files of one megabyte below the storage root, for a support bundle.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

import structlog

from config.settings import Settings

FILE_BYTES = 1_000_000


def start_logging(level: int = logging.INFO, file: Path | None = None) -> None:
    """Write events of this program, and warnings of libraries, to stderr in one form.

    Parameters
    ----------
    level : int
        Least level of events that are written, as in `logging`.
    file : Path, optional
        Takes the latest events as JSON lines, too; see `events_file`.
    """
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    to_file: list[structlog.types.Processor] = [] if file is None else [_AppendToFile(file)]
    as_json = structlog.processors.JSONRenderer(ensure_ascii=False)
    renderer: structlog.types.Processor = structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else as_json
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, *to_file, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=shared))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


def events_file(settings: Settings, process: str) -> Path:
    """Return the file of the latest events of a kind of process.

    Parameters
    ----------
    settings : Settings
        Its storage root.
    process : str
        node, worker or web.

    Returns
    -------
    Path
        JSON lines; the file may not exist yet. Older events are beside it, with the suffix `.older.jsonl`.
    """
    return settings.storage.root / "run" / "events" / f"{process}.jsonl"


class _AppendToFile:
    """A structlog processor that appends each event to a file; a full file becomes the older one of two."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, _logger: Any, _name: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
        line = json.dumps(event, default=str, ensure_ascii=False) + "\n"
        try:
            # Two processes may rotate at the same moment; at worst the older file loses some lines.
            if self._path.exists() and self._path.stat().st_size + len(line) > FILE_BYTES:
                self._path.replace(self._path.with_suffix(".older.jsonl"))
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # Opened for each event: a file that another process has rotated would otherwise be written on.
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(descriptor, line.encode(errors="backslashreplace"))
            finally:
                os.close(descriptor)
        except OSError:
            pass  # a full disk must not stop the work that is logged; stderr has the event
        return event
