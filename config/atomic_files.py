"""Files that are whole or absent: written under a temporary name, then renamed.

A reader never sees half a file, and two writers cannot mix their bytes, because each has a temporary name of its own.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Give the path to write to, and rename it to `path` when the block ends without an error.

    Parameters
    ----------
    path : Path
        The final name, in a folder that exists.
    durable : bool
        Force file and folder to the disk, so that the new content also survives a power cut.

    Yields
    ------
    Path
        A temporary name in the same folder; after an error nothing is left of it, and `path` is as it was.

    Raises
    ------
    OSError
        The disk refuses: full, read-only, no permission.
    """
    # In the same folder: a rename across file systems is a copy, which a reader may see half written. Process and
    # thread are in the name, so that two writers of one file do not write into one temporary file.
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}")
    try:
        yield temporary
        if durable:
            # Before the rename: a journal may write the new name before the content, and a power cut would leave an
            # empty file.
            force_to_disk(temporary)
        temporary.replace(path)
        if durable:
            force_to_disk(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, content: str | bytes, *, durable: bool = False) -> None:
    """Write a whole file at once, text as UTF-8; see `replacing`.

    Parameters
    ----------
    path : Path
        The final name, in a folder that exists.
    content : str or bytes
        The whole content.
    durable : bool
        As in `replacing`.

    Raises
    ------
    OSError
        The disk refuses; `path` is as it was.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    with replacing(path, durable=durable) as temporary:
        temporary.write_bytes(data)


def force_to_disk(path: Path | str) -> None:
    """Wait until the content of a file, or the names in a folder, are on the disk (fsync).

    Parameters
    ----------
    path : Path
        A file that is written completely, or a folder.

    Raises
    ------
    OSError
        It does not exist, or the disk has failed: the content may not be on the disk.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
