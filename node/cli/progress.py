"""Telling how far long work is: a bar on a terminal, plain lines now and then elsewhere; always on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

LINES = 20  # without a terminal: about so many lines for the whole work
Tell = Callable[[str, int, int, str], None]  # stage, done, total, note


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[], None]]:
    """Gives a function to call once for each of `total` things done.

    Example: with progress("compared", 200) as done: ...; done()
    """
    with stages({what: max(1, total // LINES)}) as tell:
        n = 0

        def advance() -> None:
            nonlocal n
            n += 1
            tell(what, n, total, "")

        yield advance


@contextmanager
def stages(every_nth: Mapping[str, int] | None = None, stream: TextIO | None = None) -> Iterator[Tell]:
    """Gives a function that shows how far each stage is; stdout keeps the result alone.

    every_nth : stage -> how many steps lie between two plain lines, where they come fast. stream : default stderr.
    """
    where = stream or sys.stderr
    if not where.isatty():
        yield _Lines(every_nth or {}, where)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Bars(*columns, console=Console(file=where)) as bars:
        yield _Bars(bars)


def time_left(seconds: float) -> str:
    """Hours, minutes and seconds for a person: `2 h 05 min`, `4 min 10 s`, `12 s`."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 60} min {whole % 60:02} s" if whole >= 60 else f"{whole} s"


@dataclass
class _Lines:
    """One line now and then: stage, done, total, note, and the time left at the pace since the stage was first seen."""

    every_nth: Mapping[str, int]
    stream: TextIO
    first: dict[str, tuple[int, float]] = field(default_factory=dict)

    def __call__(self, stage: str, done: int, total: int, note: str) -> None:
        began_at, began = self.first.setdefault(stage, (done, time.monotonic()))
        kind = stage.split()[-1]
        if done != total and done % self.every_nth.get(kind, 1):
            return
        left = ""
        if began_at < done < total:
            left = f"  {time_left((time.monotonic() - began) / (done - began_at) * (total - done))} left"
        print(f"{stage:10} {done:>6} of {total}  {note}{left}", file=self.stream, flush=True)


@dataclass
class _Bars:
    """One bar a stage."""

    bars: Progress
    tasks: dict[str, TaskID] = field(default_factory=dict)

    def __call__(self, stage: str, done: int, total: int, note: str) -> None:
        if stage not in self.tasks:
            self.tasks[stage] = self.bars.add_task(stage, total=total, note="")
        self.bars.update(self.tasks[stage], completed=done, total=total, note=note)
