"""The file of a data set that is being received: bytes are written and hashed as they arrive, nothing is decoded."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from types import TracebackType

from node.store.digests import content_hash
from node.store.part10 import FileMeta, file_header

EARLY_WRITE_BYTES = 1 << 17  # fewer new bytes are not worth the system call that makes the disk begin

_PAGE = os.sysconf("SC_PAGE_SIZE")
_Bytes = bytes | bytearray | memoryview


class IncomingFile:
    """A temporary Part-10 file on the file system of the store.

    The data set is written in as many pieces as it arrives in; then the store gives the file its folder and its final
    name beside the temporary one. `discard` removes the temporary name, and with it the file unless it has another.

    Parameters
    ----------
    path : str
        Absolute; no file may be there.
    meta : FileMeta
        Written as file meta information in front of the data set.

    Raises
    ------
    OSError
        The file cannot be created.
    """

    def __init__(self, path: str, meta: FileMeta) -> None:
        self.path = path
        self.meta = meta
        self.size_bytes = 0  # of the data set, without the file header
        self._hash = content_hash()
        header = file_header(meta)
        self.data_offset = len(header)
        self._unwritten: list[_Bytes] = [header]  # written together with the first piece, in one system call
        self._early_written = 0  # bytes of the file that the disk was asked to write
        self._is_durable = False
        # 0666 and the process's umask decide who may read. O_EXCL: the name is random, and an existing file is never
        # reused.
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        self._is_open = self._has_temporary_name = True

    def write(self, *pieces: _Bytes) -> None:
        """Append pieces of the data set.

        Parameters
        ----------
        *pieces : bytes-like
            Written with one system call; at most 1024, the limit of ``writev``.

        Raises
        ------
        OSError
            The disk is full or failed.
        """
        self._append([*self._unwritten, *pieces])
        self._unwritten = []
        self.size_bytes += sum(map(len, pieces))
        if self.data_offset + self.size_bytes - self._early_written >= EARLY_WRITE_BYTES:
            self.start_writing()
        for piece in pieces:  # after the write, so that the disk works while the processor hashes
            self._hash.update(piece)

    def _append(self, pieces: Sequence[_Bytes]) -> None:
        written = os.writev(self._descriptor, pieces)
        # writev may write less than it was given, for example when the disk becomes full.
        if written < sum(map(len, pieces)):
            rest = memoryview(b"".join(pieces))[written:]
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]

    def start_writing(self) -> None:
        """Make the disk begin with the bytes that have arrived, so that `finish` waits for fewer of them.

        POSIX_FADV_DONTNEED starts the writing of dirty pages on Linux and returns; that it also drops clean pages from
        the cache does not matter. sync_file_range, made for this, has no Python binding.
        """
        end = self.data_offset + self.size_bytes
        if end >= EARLY_WRITE_BYTES and end > self._early_written and hasattr(os, "posix_fadvise"):
            with contextlib.suppress(OSError):  # some file systems do not support the advice
                os.posix_fadvise(
                    self._descriptor, self._early_written, end - self._early_written, os.POSIX_FADV_DONTNEED
                )
            self._early_written = end // _PAGE * _PAGE  # the last page is not full yet and is written again

    def first_bytes(self, max_bytes: int) -> memoryview:
        """Read back the beginning of the data set, at most a number of bytes.

        Parameters
        ----------
        max_bytes : int
            Bytes.

        Returns
        -------
        memoryview of bytes
            Shorter where the data set is.

        Raises
        ------
        OSError
            The file cannot be read.
        """
        with open(self.path, "rb", buffering=0) as file:
            file.seek(self.data_offset)
            return memoryview(file.read(max_bytes))

    @property
    def digest(self) -> str:
        """Digest of the data set bytes so far, 64 hexadecimal digits; see node/store/digests.py."""
        return self._hash.hexdigest()

    def finish(self) -> None:
        """Force the bytes to the disk; safe to call twice.

        Raises
        ------
        OSError
            The bytes may not be on the disk.
        """
        if self._is_durable:
            return
        if self._unwritten:
            self.write()
        os.fsync(self._descriptor)
        self._is_durable = True

    def remove_temporary_name(self) -> None:
        """Remove the temporary name, and the file with it unless it has another name; safe to call twice."""
        if self._has_temporary_name:
            self._has_temporary_name = False
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)

    def discard(self) -> None:
        """Close the file and remove its temporary name; safe to call twice."""
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
