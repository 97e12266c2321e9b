"""A small disk of its own that a test may fill: a tmpfs, for which one has to be root."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

MEGABYTE = 1_000_000


@dataclass(frozen=True)
class SmallDisk:
    """A mounted file system, and a file in it that takes the room away."""

    folder: Path

    def fill(self, leave_mb: float) -> None:
        """Leave so much free."""
        self.free()
        filler = self.folder / "filler"
        wanted = shutil.disk_usage(self.folder).free - round(leave_mb * MEGABYTE)
        with filler.open("wb") as file:
            try:
                os.posix_fallocate(file.fileno(), 0, max(1, wanted))
            except OSError:  # others wrote meanwhile: take what there is, piece by piece
                while _appended(file.fileno()):
                    continue

    def free(self) -> None:
        (self.folder / "filler").unlink(missing_ok=True)


def _appended(descriptor: int) -> bool:
    try:
        return os.write(descriptor, bytes(4096)) == 4096
    except OSError:
        return False


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[SmallDisk]:
    """Mount it; skips the test where that is not allowed."""
    if os.getuid() != 0:
        pytest.skip("mounting a small disk needs root")
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes * MEGABYTE},mode=700", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
