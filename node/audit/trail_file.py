"""The audit trail on the disk: append-only files, one RFC 5424 message a line, durable before `append` returns.

Processes of one machine share a folder; a file lock orders their lines. A file that has reached its limit is closed and
the next number begun: audit-000001.log, audit-000002.log, ... A closed file is never written again. Half a line that a
power cut left is ended by the next `append`, never continued.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from config.atomic_files import force_to_disk

_NAME = re.compile(r"audit-(\d{6,})\.log")
FOLDER_MODE, FILE_MODE = 0o700, 0o600  # for the service's own user alone


class TrailFile:
    """The files of one folder; threads and processes share it.

    Parameters
    ----------
    folder : Path
        Created with the first line, for the service's user only.
    rotate_bytes : int
        A file is closed before a line would make it longer.
    """

    def __init__(self, folder: Path, rotate_bytes: int) -> None:
        self.folder = folder
        self._rotate_bytes = rotate_bytes

    def append(self, line: bytes) -> bool:
        """Write one line; on return it is durable.

        Returns
        -------
        bool
            True when a new file was begun for it.

        Raises
        ------
        OSError
            When the disk does not accept it.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
        # A lock between processes and not only O_APPEND: size, rotation and the torn line are looked at before the
        # write.
        with self.locked("append.lock"):
            number, path = self._current()
            # With the line end, and with the one that a torn line may still need.
            if path.exists() and path.stat().st_size + len(line) + 2 > self._rotate_bytes:
                path = self.path(number + 1)
            is_new = not path.exists()
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, FILE_MODE)
            try:
                size = os.fstat(descriptor).st_size
                # A power cut may leave half a line; a line end keeps this message out of it.
                is_torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
                _write_all(descriptor, (b"\n" if is_torn else b"") + line + b"\n")
                # Before the audited action is reported as done: an action without its record is what an audit trail
                # must exclude.
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            # The name of a new file is in the folder, which has to be forced to the disk for itself.
            if is_new:
                force_to_disk(self.folder)
            return is_new

    def numbers(self) -> list[int]:
        """Return the numbers of the existing files, the oldest first."""
        if not self.folder.is_dir():
            return []
        matches = (_NAME.fullmatch(path.name) for path in self.folder.iterdir())
        return sorted(int(match[1]) for match in matches if match)

    def path(self, number: int) -> Path:
        """Return the path of a file by its number.

        Parameters
        ----------
        number : int
            From 1.

        Returns
        -------
        Path
            The file may not exist.
        """
        return self.folder / f"audit-{number:06d}.log"

    def lines(self) -> Iterator[bytes]:
        """Yield every complete message, the oldest first.

        Yields
        ------
        bytes
            One RFC 5424 message without its line end; a torn line is left out.
        """
        for number in self.numbers():
            for line in self.path(number).read_bytes().split(b"\n"):
                if line.startswith(b"<"):
                    yield line

    def prune(self, keep_days: int, before: int) -> None:
        """Remove old files.

        Parameters
        ----------
        keep_days : int
            Least age, by the time of the last change.
        before : int
            Only files with lower numbers; the newest file always stays.
        """
        oldest = time.time() - keep_days * 86400.0
        # The newest file is still written.
        for number in self.numbers()[:-1]:
            path = self.path(number)
            if number < before and path.stat().st_mtime < oldest:
                path.unlink(missing_ok=True)

    @contextmanager
    def locked(self, name: str, wait: bool = True) -> Iterator[None]:
        """Hold a lock of the folder until the block ends.

        Raises
        ------
        BlockingIOError
            When another process has it and `wait` is False.
        """
        descriptor = os.open(self.folder / name, os.O_RDWR | os.O_CREAT, FILE_MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            yield
        finally:
            os.close(descriptor)  # releases the lock

    def _current(self) -> tuple[int, Path]:
        number = max(self.numbers(), default=1)
        return number, self.path(number)


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
