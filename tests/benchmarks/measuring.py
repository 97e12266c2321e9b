"""Clocks, spreads, goals: what every benchmark shares.

A number alone says little about a program: it says as much about the machine and about what else ran on it. So each
benchmark runs its contestants in turns, round after round, and compares within a round; the result is the median over
the rounds, with the lowest and the highest beside it.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
LIBRARIES = ("numpy", "pydicom", "pynetdicom", "SimpleITK", "torch", "lifelines", "SQLAlchemy")


@dataclass(frozen=True)
class Options:
    """How a benchmark shall run. quick : fewer rounds and smaller sizes; device : cpu or cuda."""

    folder: Path
    quick: bool = False
    device: str = "cpu"

    def rounds(self, usual: int) -> int:
        return max(3, usual // 2) if self.quick else usual


@dataclass(frozen=True)
class Spread:
    """Repeated measurements of one thing."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return float(median(self.values))

    def to_json(self) -> dict[str, Any]:
        low, high = min(self.values), max(self.values)
        return {"median": _short(self.median), "low": _short(low), "high": _short(high), "rounds": len(self.values)}


@dataclass
class Result:
    """What one benchmark found.

    figures : measured spreads with their units; goals : what must hold, the value found, and whether it does; curve :
    how a cost grows, {what: {size: value}}; absent : peers that are not installed, with the package that brings them.
    """

    benchmark: str
    figures: dict[str, dict[str, Any]] = field(default_factory=dict)
    goals: dict[str, dict[str, Any]] = field(default_factory=dict)
    curve: dict[str, dict[str, float]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    load_at_start: tuple[float, ...] = field(default_factory=os.getloadavg)

    def figure(self, name: str, values: Sequence[float], unit: str) -> float:
        """Keep repeated measurements; returns their median."""
        spread = Spread(tuple(values))
        self.figures[name] = {"unit": unit, **spread.to_json()}
        return spread.median

    def ratio(self, name: str, above: Sequence[float], below: Sequence[float]) -> float:
        """Keep the ratios of two contestants round by round; returns their median."""
        return self.figure(name, [a / b for a, b in zip(above, below, strict=True)], "ratio")

    def at_least(self, name: str, found: float, goal: float) -> None:
        self.goals[name] = {"found": _short(found), "goal": f">= {goal:g}", "holds": bool(found >= goal)}

    def at_most(self, name: str, found: float, goal: float) -> None:
        self.goals[name] = {"found": _short(found), "goal": f"<= {goal:g}", "holds": bool(found <= goal)}

    def within(self, name: str, found: float, lowest: float, highest: float) -> None:
        goal = f"{lowest:g} to {highest:g}"
        self.goals[name] = {"found": _short(found), "goal": goal, "holds": bool(lowest <= found <= highest)}

    def holds(self, name: str, found: bool) -> None:
        self.goals[name] = {"found": found, "goal": "true", "holds": bool(found)}

    def to_json(self) -> dict[str, Any]:
        return {
            "benchmark": self.benchmark,
            "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine(),
            "load": {"at_start": list(self.load_at_start), "at_end": list(os.getloadavg())},
            "goals": self.goals,
            "figures": self.figures,
            "curve": self.curve,
            "absent_peers": self.absent,
            "notes": self.notes,
        }

    def to_text(self) -> str:
        """The same for a person."""
        lines = [f"{self.benchmark} (load {self.load_at_start[0]:.1f} at the start)"]
        for name, one in self.figures.items():
            spread = f"{one['low']:g} to {one['high']:g}, {one['rounds']} rounds"
            lines.append(f"  {name}: {one['median']:g} {one['unit']} ({spread})")
        for what, points in self.curve.items():
            lines.append(f"  {what}: " + ", ".join(f"{size} -> {value:g}" for size, value in points.items()))
        for name, one in self.goals.items():
            lines.append(f"  [{'x' if one['holds'] else ' '}] {name}: {one['found']} (goal {one['goal']})")
        lines += [f"  absent: {name} ({why}); nothing is said about it" for name, why in self.absent.items()]
        return "\n".join(lines + [f"  {note}" for note in self.notes])


def seconds(function: Callable[[], Any]) -> float:
    """Wall-clock seconds of one call."""
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def interleaved(contestants: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """What each contestant returns, round by round, in turns; one turn before the first round warms up.

    Every other round runs them in the opposite order, so that nobody always follows the same neighbour. What is loaded
    after the warm-up is left alone by the garbage collector, as in a warm worker.
    """
    for contestant in contestants.values():
        contestant()
    gc.collect()
    gc.freeze()
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds):
        order = list(contestants)
        for name in order if number % 2 == 0 else reversed(order):
            found[name].append(contestants[name]())
    return found


def timed(function: Callable[[], Any]) -> Callable[[], float]:
    """The function as a contestant: a call gives its seconds."""
    return lambda: seconds(function)


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    model = next(
        (line.split(":", 1)[1].strip() for line in _cpuinfo() if line.startswith("model name")), platform.processor()
    )
    return {
        "processor": model,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "libraries": {name: _version(name) for name in LIBRARIES},
        "gpu": _gpu(),
    }


def _cpuinfo() -> list[str]:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _gpu() -> str | None:
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    done = subprocess.run(
        [program, "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or None


def _short(number: float) -> float:
    return float(f"{number:.4g}")


def write(document: dict[str, Any], folder: Path) -> Path:
    """A result document as JSON in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{document['benchmark']}.json"
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return path
