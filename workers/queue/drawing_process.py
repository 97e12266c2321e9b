"""A process beside the worker that draws pages, while the worker builds and checks the other objects of the report.

Python runs one thread at a time, so only another process uses another core. Whatever happens to it, the page is drawn:
where it is gone, the worker draws itself, and the next report gets a new process.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from functools import partial
from typing import Any

import structlog

log = structlog.get_logger(__name__)


class DrawingProcess:
    """One process, started with the first call and kept; it ends with this one."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None

    def start(self, function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
        """Begin `function(*arguments)` over there; what is returned waits for the result, or raises as it did."""
        here = partial(function, *arguments)
        try:
            self._pool = self._pool or ProcessPoolExecutor(
                1, multiprocessing.get_context("spawn"), _follow_parent
            )  # a fork would share threads and connections of a worker at work
            future = self._pool.submit(function, *arguments)
        except (BrokenExecutor, OSError, RuntimeError) as error:
            self._forget(error)
            return here

        def result() -> Any:
            try:
                return future.result()
            except BrokenExecutor as error:
                self._forget(error)
                return here()

        return result

    def close(self) -> None:
        """End the process; the next call starts another."""
        if self._pool is not None:
            self._pool.shutdown()
        self._pool = None

    def _forget(self, error: Exception) -> None:
        log.warning("the process that draws is gone; this one draws itself", error=str(error))
        if self._pool is not None:
            self._pool.shutdown(wait=False)
        self._pool = None


def _follow_parent() -> None:
    """End when the worker ends, however it ends; Ctrl-C is the worker's to answer, which finishes what it began."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
        os._exit(0)

    threading.Thread(target=follow, daemon=True).start()
