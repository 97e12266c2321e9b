"""A data set on its way to disk: bytes written and hashed as they come, nothing decoded."""

from __future__ import annotations

import contextlib
import os
from types import TracebackType

from node.store.digests import content_hash
from node.store.part10 import FileMeta, file_head


class IncomingFile:
    """A temporary Part-10 file on the file system of the store.

    Write the data set in as many pieces as it comes in, then `finish()`; the store moves the finished file to its
    place. Left without that, the file is removed.
    """

    def __init__(self, path: str, meta: FileMeta) -> None:
        """Raises OSError when the file cannot be made."""
        self.path = path
        self.meta = meta
        self.size_bytes = 0  # of the data set, without the head
        self._hash = content_hash()
        self._head = file_head(meta)
        self.data_offset = len(self._head)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        self._is_open = True
        try:
            self._write_all(self._head)
        except OSError:
            self.discard()
            raise

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append a piece of the data set. Raises OSError when the disk does not take it."""
        self._hash.update(data)
        self.size_bytes += len(data)
        self._write_all(data)

    def _write_all(self, data: bytes | bytearray | memoryview) -> None:
        written, size = os.write(self._descriptor, data), len(data)
        while written < size:
            written += os.write(self._descriptor, memoryview(data)[written:])

    def first_bytes(self, most: int) -> memoryview:
        """The data set's first bytes, read back."""
        with open(self.path, "rb", buffering=0) as file:
            file.seek(self.data_offset)
            return memoryview(file.read(most))

    @property
    def digest(self) -> str:
        """Digest of the data set bytes so far, in hexadecimal: see node/store/digests.py."""
        return self._hash.hexdigest()

    def finish(self) -> None:
        """Force the bytes to the disk and close the file; safe to call twice."""
        if self._is_open:
            os.fsync(self._descriptor)
            self._close()

    def discard(self) -> None:
        """Forget the file; does nothing once it has been moved to its place."""
        self._close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)

    def _close(self) -> None:
        if self._is_open:
            self._is_open = False
            os.close(self._descriptor)

    def __enter__(self) -> IncomingFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()
