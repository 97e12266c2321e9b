"""A process that writes to a trail, in a module of its own: a spawned process imports nothing but this."""

from __future__ import annotations

from pathlib import Path

from node.audit.trail_file import TrailFile


def append_lines(folder: Path, name: str, n: int) -> None:
    """Append `n` numbered lines to a trail whose files have 500 bytes."""
    trail = TrailFile(folder, 500)
    for number in range(n):
        trail.append(f"<85>1 {name} {number}".encode())
