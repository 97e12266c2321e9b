"""The files of all studies on the disk, and the only module that makes paths from names.

    studies/<study>/<series>/<sop>-<digest>.dcm   instances as received
    quarantine/<code>/<digest>.dcm                objects that were not accepted; the reason is in the .txt beside each
    reports/<study>/<sop>.dcm                     our own objects, written once
    artefacts/<study>/<digest>/                   intermediate results of the computing steps
    incoming/                                     files that are being received; a crash leaves orphans, see `prepare`
    trash/<room>/<study>/                         studies that retention is removing; see node/store/retention.py
    run/                                          sockets, pid files and locks of this machine

The name of an instance ends with a digest of its bytes: two senders that store different bytes under one SOP Instance
UID at the same moment cannot overwrite each other, and the ledger alone decides which of them is the instance.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import time
import uuid
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from config.atomic_files import force_to_disk
from config.errors import InputError
from node.store.free_space import FreeSpace
from node.store.incoming import IncomingFile
from node.store.names import digest_name, uid_name
from node.store.part10 import FileMeta

ORPHAN_AFTER_S = 6 * 3600.0  # an incoming file this old belongs to no association that is still open
DISK_THREADS = 16  # folders that are forced to the disk at the same time
SLOW_SYNC_S = 0.0005  # above this, another thread for the folder is worth its cost
MAX_CACHED_FOLDERS = 10_000
DISK_FULL_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT})
_REMOVABLE = ("studies", "artefacts")  # folders of a study that retention removes
_FOLDERS = ("studies", "quarantine", "reports", "artefacts", "incoming", "trash", "run")


@dataclass(frozen=True)
class StoredFile:
    """A durable file: its bytes and its name are on the disk.

    Parameters
    ----------
    path : str
        Relative to the storage root.
    digest : str
        Of the data set bytes, without the file meta information; 64 hexadecimal digits.
    size_bytes : int
        Of the data set.
    """

    path: str
    digest: str
    size_bytes: int


class StudyStore(FreeSpace):
    """Folders under one root. Threads and processes share it; a shared file system serves several machines.

    Where the disk is slow it uses threads of its own: `close` it, or use it as a context manager.

    Parameters
    ----------
    root : Path
        Created by `prepare`.
    min_free_gb : float
        Gigabytes that new objects leave free; see `FreeSpace`.
    """

    def __init__(self, root: Path, min_free_gb: float = 0.0) -> None:
        self.root = root.resolve()
        super().__init__(self.root, min_free_gb)
        self._durable_folders: set[Path] = set()  # folders whose names are on the disk
        self._series_folders: dict[tuple[str, str], str] = {}  # the same by study and series, relative
        self._disk = ThreadPoolExecutor(DISK_THREADS, thread_name_prefix="disk")
        self._sync_took_s = 0.0  # the last forcing of a folder to the disk
        self._root = str(self.root)

    def prepare(self) -> None:
        """Create the folders; remove files that a crashed process left half-written."""
        for name in _FOLDERS:
            self._make_durable(self.root / name)
        oldest = time.time() - ORPHAN_AFTER_S
        for orphan in (self.root / "incoming").iterdir():
            try:
                # By age and not by owner: on a shared file system another machine may be receiving into this folder.
                if orphan.stat().st_mtime < oldest:
                    orphan.unlink()
            except FileNotFoundError:
                continue  # another process finished it or removed it first

    def close(self) -> None:
        """End the disk threads; nothing can be stored afterwards. Safe to call twice."""
        self._disk.shutdown()

    def __enter__(self) -> StudyStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- instances ---

    def open_incoming(self, meta: FileMeta) -> IncomingFile:
        """Create a temporary file for a data set.

        Raises
        ------
        OSError
            The disk is full or failed.
        """
        return IncomingFile(f"{self._root}/incoming/{os.urandom(16).hex()}.part", meta)

    def store_instance(self, incoming: IncomingFile, study_instance_uid: str, series_instance_uid: str) -> StoredFile:
        """Move a data set to the folder of its series; on return its bytes and its name are on the disk.

        Storing the same bytes again is harmless.

        Parameters
        ----------
        incoming : IncomingFile
            All bytes are written; its own UIDs name the file.
        study_instance_uid, series_instance_uid : str
            As read from the data set.

        Returns
        -------
        StoredFile
            Named by SOP Instance UID and digest.

        Raises
        ------
        InputError
            A UID is not valid and cannot name a folder.
        OSError
            The disk is full or failed; no name is left.
        """
        folder = self._series_folders.get((study_instance_uid, series_instance_uid))
        if folder is None:
            folder = f"studies/{uid_name(study_instance_uid)}/{uid_name(series_instance_uid)}"
            self._make_durable(self.root / folder)
            # All at once: an entry costs one system call to make again.
            if len(self._series_folders) >= MAX_CACHED_FOLDERS:
                self._series_folders.clear()
            self._series_folders[study_instance_uid, series_instance_uid] = folder
        # 64 bits of the digest: enough to keep two contents of one UID apart, and the whole digest is in the ledger.
        name = f"{uid_name(incoming.meta.sop_instance_uid)}-{incoming.digest[:16]}.dcm"
        return self._place(incoming, folder, name)

    def remove_instance(self, relative: str) -> None:
        """Remove the name that `store_instance` gave to an object which the ledger does not have.

        Parameters
        ----------
        relative : str
            Path relative to the root. No row may name it; another association may have removed it.
        """
        self.path(relative).unlink(missing_ok=True)

    def quarantine(self, incoming: IncomingFile, code: str, reason: str) -> StoredFile:
        """Store an object that is not accepted, with the reason; on return both are durable.

        Its name is its digest, so nothing in the object can choose a path.

        Parameters
        ----------
        incoming : IncomingFile
            All bytes are written.
        code : str
            Kind of refusal; the name of a folder.
        reason : str
            One sentence, free of patient data.

        Returns
        -------
        StoredFile
            The quarantined file.
        """
        folder = f"quarantine/{code}"
        self._make_durable(self.root / folder)
        stored = self._place(incoming, folder, f"{incoming.digest}.dcm")
        note = self.root / folder / f"{incoming.digest}.txt"
        # After the object: a note without its object would be worse than an object without its note, which the ledger
        # has, too.
        note.write_text(f"{code}: {reason}\n", encoding="utf-8", errors="backslashreplace")
        return stored

    def quarantine_stored(self, relative: str, code: str, reason: str) -> str:
        """Move a file of the store to quarantine and return its new path, relative to the root.

        Parameters
        ----------
        relative : str
            Path of the file, relative to the root.
        code : str
            Kind of refusal; the name of a folder.
        reason : str
            One sentence, free of patient data.

        Returns
        -------
        str
            New path, relative to the root.

        Raises
        ------
        InputError
            The path is outside the root.
        OSError
            The file does not exist or cannot be moved.
        """
        source = self.path(relative)
        folder = self.root / "quarantine" / code
        self._make_durable(folder)
        # A number of its own: several damaged copies of one instance must not replace each other.
        final = folder / f"{source.stem[-16:]}-{uuid.uuid4().hex}.dcm"
        os.rename(source, final)
        force_to_disk(folder)
        final.with_suffix(".txt").write_text(f"{code}: {reason}\n", encoding="utf-8")
        return str(final.relative_to(self.root))

    def require_file(self, relative: str) -> None:
        """Check that a file of the store is there.

        Raises
        ------
        FileNotFoundError
            Retention has removed it.
        """
        # Without `Path`, because it is called for each received instance.
        os.stat(f"{self._root}/{relative}")

    def _place(self, incoming: IncomingFile, folder: str, name: str) -> StoredFile:
        """Give a file its final name in a folder that was made durable (relative to the root)."""
        relative = f"{folder}/{name}"
        final = f"{self._root}/{relative}"
        try:
            self._link(incoming, final)
        except FileNotFoundError:  # retention removed the folder after it was made
            self._make_durable(self.root / folder)
            self._link(incoming, final)
        return StoredFile(relative, incoming.digest, incoming.size_bytes)

    def _link(self, incoming: IncomingFile, final: str) -> None:
        """Give the file its final name; on return its bytes and its name are durable.

        The name comes first, so that a file system with a journal writes it together with the bytes. Where the disk is
        slow, the folder is forced to it in another thread at the same time as the file; where it is fast, handing work
        to a thread would cost more than that saves. The temporary name stays until the caller discards the file: the
        bytes can be read, or go to quarantine, whatever another association does with the final name.
        """
        try:
            os.link(incoming.path, final)
        except FileExistsError:
            incoming.finish()  # the existing file may be indexed: only durable bytes may replace it
            second_name = f"{incoming.path}.link"
            os.link(incoming.path, second_name)
            os.replace(second_name, final)
            self._sync_name(final)
            return
        syncing_name = self._disk.submit(self._sync_name, final) if self._sync_took_s > SLOW_SYNC_S else None
        try:
            incoming.finish()
        except OSError:
            os.unlink(final)  # no row names it yet, and its bytes may not be on the disk
            raise
        finally:
            if syncing_name is not None:
                syncing_name.result()
        if syncing_name is None:
            self._sync_name(final)

    def _sync_name(self, final: str) -> None:
        begun = time.monotonic()
        force_to_disk(os.path.dirname(final))
        self._sync_took_s = time.monotonic() - begun

    # --- our own objects ---

    def save_report(self, study_instance_uid: str, sop_instance_uid: str, data: bytes, suffix: str = ".dcm") -> str:
        """Write one of our report files, once.

        Parameters
        ----------
        study_instance_uid, sop_instance_uid : str
            Name the folder and the file.
        data : bytes
            The whole file. Ignored when the file exists: a UID is never sent twice with different bytes.
        suffix : str
            Ending of the file name.

        Returns
        -------
        str
            Path relative to the root.
        """
        folder = self.root / "reports" / uid_name(study_instance_uid)
        final = folder / f"{uid_name(sop_instance_uid)}{suffix}"
        relative = str(final.relative_to(self.root))
        if final.exists():
            return relative
        self._make_durable(folder)
        # In `incoming`, so that `prepare` removes what a crash leaves.
        temporary = self.root / "incoming" / f"{uuid.uuid4().hex}.part"
        try:
            with open(temporary, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.link(temporary, final)  # a rename would replace the file of a faster worker
        except FileExistsError:
            return relative
        finally:
            temporary.unlink(missing_ok=True)
        force_to_disk(folder)
        return relative

    def artefact_folder(self, study_instance_uid: str, digest: str) -> Path:
        """Create, if needed, and return the folder for results of the computation with this digest.

        Parameters
        ----------
        study_instance_uid : str
            The study.
        digest : str
            16 to 64 hexadecimal digits, with or without ``sha256:`` in front.

        Returns
        -------
        Path
            Absolute and durable; it may contain results already.
        """
        folder = self.root / "artefacts" / uid_name(study_instance_uid) / digest_name(digest)
        self._make_durable(folder)
        return folder

    def has_artefacts(self, study_instance_uid: str, digest: str) -> bool:
        """Return whether there are results of the computation with this digest.

        Returns
        -------
        bool
            False for an empty folder, too: a step that was interrupted may have created it.
        """
        folder = self.root / "artefacts" / uid_name(study_instance_uid) / digest_name(digest)
        return folder.is_dir() and any(folder.iterdir())

    # --- removing ---

    def move_to_trash(self, study_instance_uid: str) -> None:
        """Move the received files of a study, and then its artefacts, to the trash: one rename for each.

        Parameters
        ----------
        study_instance_uid : str
            A study without files is no error. The caller holds the study's lock in the ledger.

        Raises
        ------
        OSError
            A rename failed; what was moved before stays in the trash, for `restore_from_trash`.
        """
        for room in _REMOVABLE:
            folder, trash = self._removable(room, study_instance_uid)
            if folder.is_dir():
                shutil.rmtree(trash, ignore_errors=True)
                trash.parent.mkdir(parents=True, exist_ok=True)
                # A rename is atomic and fast: the study is gone for readers at once, and deleting thousands of files
                # needs no transaction.
                os.rename(folder, trash)

    def restore_from_trash(self, study_instance_uid: str, paths: Collection[str]) -> None:
        """Undo `move_to_trash` for files of the study that the ledger still names, by paths relative to the root.

        Parameters
        ----------
        study_instance_uid : str
            The study.
        paths : collection of str
            Files that are missing in the trash, or exist at their place, are left as they are.
        """
        for relative in paths:
            room, _, rest = relative.partition("/")
            trashed, final = self.root / "trash" / room / rest, self.root / relative
            if trashed.is_file() and not final.exists():
                self._make_durable(final.parent)
                os.rename(trashed, final)
                force_to_disk(final.parent)

    def empty_trash(self, study_instance_uid: str) -> None:
        """Delete what is in the trash of a study.

        Parameters
        ----------
        study_instance_uid : str
            Errors of the disk are ignored: the next check tries again.
        """
        for room in _REMOVABLE:
            shutil.rmtree(self._removable(room, study_instance_uid)[1], ignore_errors=True)

    def studies_in_trash(self) -> list[str]:
        """Return the Study Instance UIDs whose removal was begun and not finished.

        Returns
        -------
        list of str
            Sorted, each once.
        """
        rooms = [self.root / "trash" / room for room in _REMOVABLE]
        return sorted({folder.name for room in rooms if room.is_dir() for folder in room.iterdir()})

    def _removable(self, room: str, study_instance_uid: str) -> tuple[Path, Path]:
        name = uid_name(study_instance_uid)
        return self.root / room / name, self.root / "trash" / room / name

    @contextmanager
    def deletion_lock(self, wait: bool) -> Iterator[bool]:
        """Prevent every process from deleting files of the store.

        Parameters
        ----------
        wait : bool
            Wait until another process has released the lock.

        Yields
        ------
        bool
            False when `wait` is False and another process has the lock.
        """
        # flock ends with the process, so a crash leaves no lock behind.
        with open(self.run_folder() / "removing.lock", "w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
                return
            yield True

    # --- paths ---

    def path(self, relative: str) -> Path:
        """Return the absolute path of a file that the ledger names.

        Raises
        ------
        InputError
            The path is outside the root.
        """
        # Resolved, because a path of a restored or edited ledger may contain ".." or a link.
        absolute = (self.root / relative).resolve()
        if not absolute.is_relative_to(self.root):
            raise InputError(f"expected a path inside the storage root, found {relative!r}")
        return absolute

    def run_folder(self) -> Path:
        """Create, if needed, and return the folder for sockets and pid files."""
        folder = self.root / "run"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _make_durable(self, folder: Path) -> None:
        """Create a folder and its parents so that their names survive a power cut."""
        if folder in self._durable_folders and folder.is_dir():  # retention may have removed it
            return
        missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        # A new folder is a name in its parent: fsync of the folder itself does not make that name durable.
        for created in reversed(missing):
            force_to_disk(created.parent)
        self._durable_folders.add(folder)
