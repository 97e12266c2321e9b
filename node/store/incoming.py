"""A data set on its way to disk: bytes written and hashed as they come, nothing decoded."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from types import TracebackType

from node.store.digests import content_hash
from node.store.part10 import FileMeta, file_header

EARLY_BYTES = 1 << 17  # so many new ones make it worth while to have the disk begin

_PAGE = os.sysconf("SC_PAGE_SIZE")
_Bytes = bytes | bytearray | memoryview


class IncomingFile:
    """A temporary Part-10 file on the file system of the store.

    Write the data set in as many pieces as it comes in; the store then gives the file its place and its final name.
    The temporary name goes with `discard`, and with it the file, if it has got no other one.
    """

    def __init__(self, path: str, meta: FileMeta) -> None:
        """Raises OSError when the file cannot be made."""
        self.path = path
        self.meta = meta
        self.size_bytes = 0  # of the data set, without the head
        self._hash = content_hash()
        head = file_header(meta)
        self.data_offset = len(head)
        self._not_written: list[_Bytes] = [head]  # goes with the first piece
        self._begun = 0  # so many bytes of the file are on their way to the disk
        self._is_durable = False
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        self._is_open = self._is_named = True

    def write(self, *pieces: _Bytes) -> None:
        """Append pieces of the data set. Raises OSError when the disk does not take them."""
        self._put([*self._not_written, *pieces])
        self._not_written = []
        self.size_bytes += sum(map(len, pieces))
        if self.data_offset + self.size_bytes - self._begun >= EARLY_BYTES:
            self.begin_writing()
        for piece in pieces:  # while the disk is busy
            self._hash.update(piece)

    def _put(self, pieces: Sequence[_Bytes]) -> None:
        written = os.writev(self._descriptor, pieces)
        if written < sum(map(len, pieces)):
            rest = memoryview(b"".join(pieces))[written:]
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]

    def begin_writing(self) -> None:
        """Have the disk write what has come in, while other things are done: `finish` then waits for less.

        The advice makes Linux do so; that it also would drop pages which are on the disk already does not matter.
        """
        end = self.data_offset + self.size_bytes
        if end >= EARLY_BYTES and end > self._begun and hasattr(os, "posix_fadvise"):
            with contextlib.suppress(OSError):  # some file systems take no advice
                os.posix_fadvise(self._descriptor, self._begun, end - self._begun, os.POSIX_FADV_DONTNEED)
            self._begun = end // _PAGE * _PAGE  # the page that is not full yet is written again

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
        """Force the bytes to the disk; safe to call twice."""
        if self._is_durable:
            return
        if self._not_written:
            self.write()
        os.fsync(self._descriptor)
        self._is_durable = True

    def moved_to(self, path: str) -> None:
        """The file, which the store has given a name, goes by that one for the time being."""
        self.path, self._is_named = path, True

    def remove_temporary_name(self) -> None:
        """Remove the temporary name, and the file with it, unless it has got another one; safe to call twice."""
        if self._is_named:
            self._is_named = False
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)

    def discard(self) -> None:
        """Close the file and forget its temporary name; safe to call twice."""
        if self._is_open:
            self._is_open = False
            os.close(self._descriptor)
        self.remove_temporary_name()

    def __enter__(self) -> IncomingFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()
