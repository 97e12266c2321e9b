"""Work on many items in several processes, with the results in the order of the items.

The results do not depend on the number of processes, so neither do files that are written from them.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from config.errors import InputError

T = TypeVar("T")
R = TypeVar("R")

AHEAD_PER_PROCESS = 4
FEWEST_PER_PROCESS = 8  # starting a process and its libraries takes as long as reading a few patients


def default_process_count(n_items: int) -> int:
    """Return the number of cores, fewer where there is little to do."""
    return max(1, min(len(os.sched_getaffinity(0)), n_items // FEWEST_PER_PROCESS))


def in_order(work: Callable[[T], R], items: Sequence[T], processes: int = 1) -> Iterator[R]:
    """Yield ``work(item)`` for each item, in the order of the items.

    Parameters
    ----------
    work : callable
        Sent to the processes, so it can be pickled; must not depend on the items before.
    items : sequence
        Few are in work at a time, so that memory is bounded.
    processes : int
        1: in this process.

    Yields
    ------
    object
        Results.

    Raises
    ------
    InputError
        A process was ended from outside, for example for want of memory. Errors of `work` are raised as they are.
    """
    if processes <= 1 or len(items) < 2:
        yield from map(work, items)
        return
    # Spawned: a fork of a process whose libraries have started threads can deadlock.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(processes, len(items)), context, initializer=_end_with_parent) as pool:
        pending: deque[Future[R]] = deque()
        try:
            for item in items:
                pending.append(pool.submit(work, item))
                if len(pending) > AHEAD_PER_PROCESS * processes:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        except BrokenProcessPool as error:
            raise InputError(
                f"expected {processes} processes to finish, found one that was ended from outside (out of memory?); "
                "repeat the command with --processes 1"
            ) from error
        finally:
            for future in pending:
                future.cancel()


def _end_with_parent() -> None:
    """End this process when the one that started it ends, also by kill -9, which runs no clean-up."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="parent").start()
