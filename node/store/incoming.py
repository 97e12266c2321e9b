"""A data set on its way to disk: bytes written and hashed as they come, nothing decoded."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from node.store.part10 import FileMeta, file_head


class IncomingFile:
    """A temporary Part-10 file on the file system of the store.

    Write the data set in as many pieces as it comes in, then `finish()`; the store moves the finished file to its
    place. Left without that, the file is removed.
    """

    def __init__(self, path: Path, meta: FileMeta) -> None:
        self.path = path
        self.meta = meta
        self.size_bytes = 0  # of the data set, without the head
        self._hash = hashlib.sha256()
        self._file: BinaryIO = open(path, "xb", buffering=0)  # noqa: SIM115
        self._head = file_head(meta)
        self.data_offset = len(self._head)
        self._file.write(self._head)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append a piece of the data set. Raises OSError when the disk does not take it."""
        view = memoryview(data)
        self._hash.update(view)
        self.size_bytes += view.nbytes
        while view.nbytes:
            view = view[self._file.write(view) :]

    def first_bytes(self, most: int) -> memoryview:
        """The data set's first bytes, read back."""
        with open(self.path, "rb", buffering=0) as file:
            file.seek(self.data_offset)
            return memoryview(file.read(most))

    @property
    def sha256(self) -> str:
        """Digest of the data set bytes so far, in hexadecimal."""
        return self._hash.hexdigest()

    def finish(self) -> None:
        """Force the bytes to the disk and close the file; safe to call twice."""
        if not self._file.closed:
            os.fsync(self._file.fileno())
            self._file.close()

    def discard(self) -> None:
        """Forget the file; does nothing once it has been moved to its place."""
        self._file.close()
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> IncomingFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()
