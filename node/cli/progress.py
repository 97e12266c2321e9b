"""Progress of long work on stderr: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

LINES = 20  # without a terminal: about this many lines for the whole work
SILENT_S = 20.0  # longest time without a line

Tell = Callable[[str, int, int, str], None]  # stage, done, total, note


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[], None]]:
    """Show the progress of work on equal items.

    Parameters
    ----------
    what : str
        What is done to an item, such as "compared".
    total : int
        Number of items.

    Yields
    ------
    callable
        To be called once for each item.
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
    """Show the progress of work in stages, away from stdout, which has the result.

    Parameters
    ----------
    every_nth : mapping of str to int, optional
        Stage to the number of steps between two plain lines.
    stream : text stream, optional
        Where to; None: stderr.

    Yields
    ------
    callable
        To be called with stage, steps done, number of steps and a note.
    """
    where = stream or sys.stderr
    # A log file would get thousands of redrawn bars.
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
    """Return a duration as text: `2 h 05 min`, `4 min 10 s` or `12 s`.

    Parameters
    ----------
    seconds : float
        At least 0; rounded to whole seconds.

    Returns
    -------
    str
        With the two largest units.
    """
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 60} min {whole % 60:02} s" if whole >= 60 else f"{whole} s"


@dataclass
class _Lines:
    """Prints plain lines: stage, steps, note, and the time left at the pace since the first step of the stage."""

    every_nth: Mapping[str, int]
    stream: TextIO
    first: dict[str, tuple[int, float]] = field(default_factory=dict)
    last_line: float = field(default_factory=lambda: time.monotonic())

    def __call__(self, stage: str, done: int, total: int, note: str) -> None:
        now = time.monotonic()
        began_at, began = self.first.setdefault(stage, (done, now))
        kind = stage.split()[-1]
        if done != total and done % self.every_nth.get(kind, 1) and now - self.last_line < SILENT_S:
            return
        self.last_line = now
        left = ""
        if began_at < done < total:
            left = f"  {time_left((now - began) / (done - began_at) * (total - done))} left"
        print(f"{stage:10} {done:>6} of {total}  {note}{left}", file=self.stream, flush=True)


@dataclass
class _Bars:
    """Draws one bar for each stage."""

    bars: Progress
    tasks: dict[str, TaskID] = field(default_factory=dict)

    def __call__(self, stage: str, done: int, total: int, note: str) -> None:
        if stage not in self.tasks:
            self.tasks[stage] = self.bars.add_task(stage, total=total, note="")
        self.bars.update(self.tasks[stage], completed=done, total=total, note=note)
