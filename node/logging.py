"""Structured logs: one line an event on stderr, with UIDs and job ids and never a name.

On a terminal the lines are for a person, elsewhere they are JSON.
"""

from __future__ import annotations

import logging
import sys

import structlog


def start_logging(level: int = logging.INFO) -> None:
    """Send our events and the libraries' warnings to stderr in one form."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    as_json = structlog.processors.JSONRenderer(ensure_ascii=False)
    renderer: structlog.types.Processor = structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else as_json
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=shared))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
