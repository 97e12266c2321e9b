"""Structured logs: one line an event on stderr, with UIDs and job ids and never a name.

On a terminal the lines are for a person, elsewhere they are JSON. The latest ones are kept below the storage root, too,
for a support bundle: two files a kind of process, of a megabyte each.
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

KEPT_BYTES = 1_000_000


def start_logging(level: int = logging.INFO, keep: Path | None = None) -> None:
    """Send our events and the libraries' warnings to stderr in one form.

    keep : a file for the latest events; None: none are kept.
    """
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    kept: list[structlog.types.Processor] = [] if keep is None else [_Kept(keep)]
    as_json = structlog.processors.JSONRenderer(ensure_ascii=False)
    renderer: structlog.types.Processor = structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else as_json
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, *kept, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=shared))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


def events_file(settings: Settings, process: str) -> Path:
    """Where a kind of process keeps its latest events."""
    return settings.storage.root / "run" / "events" / f"{process}.jsonl"


class _Kept:
    """A processor that appends each event to a file; when it is full, it becomes the older one of two."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, _logger: Any, _name: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
        line = json.dumps(event, default=str, ensure_ascii=False) + "\n"
        try:
            if self._path.exists() and self._path.stat().st_size + len(line) > KEPT_BYTES:
                self._path.replace(self._path.with_suffix(".older.jsonl"))
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(descriptor, line.encode(errors="backslashreplace"))
            finally:
                os.close(descriptor)
        except OSError:
            pass  # a full disk must not stop what is being logged; stderr has it
        return event
