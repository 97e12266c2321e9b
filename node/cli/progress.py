"""Telling how far long work is: a bar on a terminal, a plain line now and then elsewhere; always on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

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
def stages(every: Mapping[str, int]) -> Iterator[Callable[[str, int, int, str], None]]:
    """Gives a function to call as tell(stage, done, total, note): a bar for each stage on a terminal; elsewhere a line
    for every nth call of a stage, n from `every` (1 where it does not stand there)."""
    if not sys.stderr.isatty():

        def tell(stage: str, done: int, total: int, note: str) -> None:
            if done == total or done % every.get(stage, 1) == 0:
                print(f"{stage:10} {done:>6} of {total}  {note}", file=sys.stderr, flush=True)  # noqa: T201

        yield tell
        return
    with _shown() as shown:
        tasks: dict[str, TaskID] = {}

        def tell_bar(stage: str, done: int, total: int, note: str) -> None:
            if stage not in tasks:
                tasks[stage] = shown.add_task(stage, total=total)
            shown.update(tasks[stage], completed=done, total=total, description=f"{stage} {note}")

        yield tell_bar


@contextmanager
def _bar(what: str, total: int) -> Iterator[Callable[[], None]]:
    with _shown() as shown:
        task = shown.add_task(what, total=total)
        yield lambda: shown.advance(task)


def _shown() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True))
