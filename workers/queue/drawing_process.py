"""A second process that draws pages while the worker builds and validates the other objects of the report.

Python runs one thread at a time, so only another process uses another core. When it ends unexpectedly, the worker draws
the page itself, and the next report starts a new process.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from functools import partial
from multiprocessing.context import BaseContext
from typing import Any

import structlog

from node.runtime.supervisor import set_process_name

log = structlog.get_logger(__name__)


class DrawingProcess:
    """One process, started by the first call and reused; it ends with the worker."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None

    def start(self, function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
        """Start `function(*arguments)` in the drawing process.

        Parameters
        ----------
        function : callable
            Of a module, so that it can be pickled by name.
        *arguments
            Picklable values.

        Returns
        -------
        callable
            Waits for the result and returns it, or raises the error of the function. Computes it in this process when
            the other one has ended.
        """
        compute_here = partial(function, *arguments)
        try:
            self._pool = self._pool or ProcessPoolExecutor(1, _context(), _follow_parent)
            future = self._pool.submit(function, *arguments)
        except (BrokenExecutor, OSError, RuntimeError) as error:
            self._discard(error)
            return compute_here

        def result() -> Any:
            try:
                return future.result()
            except BrokenExecutor as error:
                self._discard(error)
                return compute_here()

        return result

    def close(self) -> None:
        """End the process; a later call of `start` starts another."""
        if self._pool is not None:
            self._pool.shutdown()
        self._pool = None

    def _discard(self, error: Exception) -> None:
        log.warning("the drawing process ended; the worker draws the page", error=str(error))
        if self._pool is not None:
            self._pool.shutdown(wait=False)
        self._pool = None


def _context() -> BaseContext:
    """Return how the process starts: forked, so that it has the modules of the worker, only while there are no threads.

    A fork would copy locks and connections of the worker's threads in whatever state they are.
    """
    return multiprocessing.get_context("fork" if threading.active_count() == 1 else "spawn")


def _follow_parent() -> None:
    """End when the worker ends, also when it is killed."""
    set_process_name("drawing")
    # Ctrl-C reaches all processes of the terminal; the worker finishes its tasks and ends this one then.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
        os._exit(0)

    threading.Thread(target=follow, daemon=True).start()
