"""Telling how far long work is: a bar on a terminal, a plain line now and then elsewhere; always on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LINES = 20  # without a terminal: about so many lines for the whole work


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[], None]]:
    """Gives a function to call once for each of `total` things done.

    Example: with progress("compared", 200) as done: ...; done()
    """
    if sys.stderr.isatty():
        with _bar(what, total) as done:
            yield done
        return
    n = 0

    def advance() -> None:
        nonlocal n
        n += 1
        if n == total or n % max(1, total // LINES) == 0:
            print(f"{what}: {n} of {total}", file=sys.stderr, flush=True)  # noqa: T201

    yield advance


@contextmanager
def _bar(what: str, total: int) -> Iterator[Callable[[], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as shown:
        task = shown.add_task(what, total=total)
        yield lambda: shown.advance(task)
