"""Everything of a study that stands on the disk, and the only place that makes paths from names.

    studies/<study>/<series>/<sop>-<digest>.dcm   instances as received
    quarantine/<code>/<digest>.dcm                objects that were not accepted, with the reason beside them (.txt)
    reports/<study>/<sop>.dcm                     our own objects, written once
    artefacts/<study>/<digest>/                   what the computing steps keep
    incoming/                                     files on their way; a crash leaves orphans that the next start removes
    trash/<room>/<study>/                         what retention is removing; see node/store/retention.py
    run/                                          sockets and pid files of this machine

The name of an instance ends with a digest of its bytes: two senders that store different bytes under one SOP Instance
UID at the same moment can never overwrite each other, and the ledger alone decides which of them is the instance.
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

from config.errors import InputError, StorageFullError
from node.store.incoming import IncomingFile
from node.store.names import digest_name, uid_name
from node.store.part10 import FileMeta

BYTES_PER_GB = 1_000_000_000
RESERVE_OF_WORK = 0.1  # of the free space kept: what is left of it to the ledger when workers stop writing, too
ORPHAN_AFTER_S = 6 * 3600.0  # an incoming file this old belongs to no association that still lives
DISK_THREADS = 16  # folders that are forced to the disk at the same time
WORTH_A_THREAD_S = 0.0005
MOST_FOLDERS_KNOWN = 10_000
FREE_SPACE_FOR_S = 0.25  # how long a look at the free space is believed
_RETIRED_ROOMS = ("studies", "artefacts")
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_FOLDERS = ("studies", "quarantine", "reports", "artefacts", "incoming", "trash", "run")


@dataclass(frozen=True)
class StoredFile:
    """A file that is durable: its bytes and its name have reached the disk.

    path : relative to the storage root. digest : of the data set bytes, without the file meta information.
    """

    path: str
    digest: str
    size_bytes: int


class StudyStore:
    """Folders under one root. Threads and processes share it; a shared file system serves several machines."""

    def __init__(self, root: Path, min_free_gb: float = 0.0) -> None:
        self.root = root.resolve()
        self._min_free_bytes = round(min_free_gb * BYTES_PER_GB)
        self._known: set[Path] = set()  # folders whose names are durable
        self._free_seen = (-1e9, 0)
        self._disk = ThreadPoolExecutor(DISK_THREADS, thread_name_prefix="disk")
        self._sync_took_s = 0.0  # the last forcing of a folder to the disk
        self._root = str(self.root)
        self._series_folders: dict[tuple[str, str], str] = {}  # by study and series, relative; their names are durable

    def prepare(self) -> None:
        """Make the folders; remove files that a crashed process left half-written."""
        for name in _FOLDERS:
            self._make_durable(self.root / name)
        oldest = time.time() - ORPHAN_AFTER_S
        for orphan in (self.root / "incoming").iterdir():
            try:
                if orphan.stat().st_mtime < oldest:
                    orphan.unlink()
            except FileNotFoundError:
                continue  # another process finished it or removed it first

    # --- room ---

    def free_bytes(self) -> int:
        """Bytes that this program may still write on the file system of the store."""
        return shutil.disk_usage(self.root).free

    def has_room(self, size_bytes: int = 0) -> bool:
        """Whether `size_bytes` more leave the configured free space untouched."""
        return self._free_lately() - size_bytes >= self._min_free_bytes

    def has_room_for_work(self) -> bool:
        """Whether what is accepted may still be computed and reported.

        Work may use the free space that is kept from new objects, all but a tenth of it: that belongs to the ledger.
        """
        return self._free_lately() >= self._min_free_bytes * RESERVE_OF_WORK

    def require_room_for_work(self) -> None:
        """Raises StorageFullError when there is not enough space to compute and report."""
        if not self.has_room_for_work():
            raise StorageFullError(
                f"the storage is full: {self.free_bytes() / BYTES_PER_GB:.3f} GB are free, computing needs more than "
                f"{self._min_free_bytes * RESERVE_OF_WORK / BYTES_PER_GB:.3f} GB"
            )

    def _free_lately(self) -> int:
        seen_at, free = self._free_seen
        if time.monotonic() - seen_at > FREE_SPACE_FOR_S:
            free = self.free_bytes()
            self._free_seen = (time.monotonic(), free)
        return free

    # --- instances ---

    def open_incoming(self, meta: FileMeta) -> IncomingFile:
        """A new temporary file for a data set. Raises OSError when the disk does not take it."""
        return IncomingFile(f"{self._root}/incoming/{os.urandom(16).hex()}.part", meta)

    def store_instance(self, incoming: IncomingFile, study_instance_uid: str, series_instance_uid: str) -> StoredFile:
        """Give a data set its place among the studies; on return it is durable.

        Keeping the same bytes again is harmless. Raises InputError when a UID is not a UID.
        """
        folder = self._series_folders.get((study_instance_uid, series_instance_uid))
        if folder is None:
            folder = f"studies/{uid_name(study_instance_uid)}/{uid_name(series_instance_uid)}"
            self._make_durable(self.root / folder)
            if len(self._series_folders) >= MOST_FOLDERS_KNOWN:
                self._series_folders.clear()
            self._series_folders[study_instance_uid, series_instance_uid] = folder
        name = f"{uid_name(incoming.meta.sop_instance_uid)}-{incoming.digest[:16]}.dcm"
        return self._place(incoming, folder, name)

    def quarantine(self, incoming: IncomingFile, code: str, reason: str) -> StoredFile:
        """Keep aside an object that is not accepted; its name is a digest, so nothing in it can choose a path."""
        folder = f"quarantine/{code}"
        self._make_durable(self.root / folder)
        stored = self._place(incoming, folder, f"{incoming.digest}.dcm")
        note = self.root / folder / f"{incoming.digest}.txt"
        note.write_text(f"{code}: {reason}\n", encoding="utf-8", errors="backslashreplace")
        return stored

    def quarantine_stored(self, relative: str, code: str, reason: str) -> str:
        """Move a file of the store to quarantine; returns its new path, relative to the root."""
        source = self.path(relative)
        folder = self.root / "quarantine" / code
        self._make_durable(folder)
        final = folder / f"{source.stem[-16:]}-{uuid.uuid4().hex}.dcm"
        os.rename(source, final)
        _sync_folder(folder)
        final.with_suffix(".txt").write_text(f"{code}: {reason}\n", encoding="utf-8")
        return str(final.relative_to(self.root))

    def _place(self, incoming: IncomingFile, folder: str, name: str) -> StoredFile:
        """folder : relative to the root, made durable before."""
        relative = f"{folder}/{name}"
        final = f"{self._root}/{relative}"
        try:
            self._link(incoming, final)
        except FileNotFoundError:  # retention has removed the folder meanwhile
            if not os.path.exists(final) or os.path.exists(incoming.path):
                self._make_durable(self.root / folder)
                self._link(incoming, final)
            # else another association has just moved these very bytes there
        return StoredFile(relative, incoming.digest, incoming.size_bytes)

    def _link(self, incoming: IncomingFile, final: str) -> None:
        """Give the file its final name; on return its bytes and its name are durable.

        The name comes first, so that a file system with a journal writes it together with the bytes. Where the disk is
        slow the folder is forced to it beside the file, in another thread, so that both are waited for at once; where
        it is fast, handing work to a thread would cost more than that.
        """
        try:
            os.link(incoming.path, final)
        except FileExistsError:
            incoming.finish()  # the file that stands may be indexed: only durable bytes may take its place
            os.replace(incoming.path, final)
            self._sync_name(final)
            return
        beside = self._disk.submit(self._sync_name, final) if self._sync_took_s > WORTH_A_THREAD_S else None
        try:
            incoming.finish()
        except OSError:
            os.unlink(final)  # nobody knows of it yet, and its bytes are not safe
            raise
        finally:
            if beside is not None:
                beside.result()
        if beside is None:
            self._sync_name(final)
        incoming.remove_temporary_name()

    def _sync_name(self, final: str) -> None:
        begun = time.monotonic()
        _sync_folder(os.path.dirname(final))
        self._sync_took_s = time.monotonic() - begun

    # --- our own objects ---

    def save_report(self, study_instance_uid: str, sop_instance_uid: str, data: bytes, suffix: str = ".dcm") -> str:
        """Write one of our report files once; returns its path relative to the root.

        A second call gives the path of the file that stands, whatever `data` is then: a UID never comes back with
        other bytes, and what is read from that path is what was sent.
        """
        folder = self.root / "reports" / uid_name(study_instance_uid)
        final = folder / f"{uid_name(sop_instance_uid)}{suffix}"
        relative = str(final.relative_to(self.root))
        if final.exists():
            return relative
        self._make_durable(folder)
        temporary = self.root / "incoming" / f"{uuid.uuid4().hex}.part"
        try:
            with open(temporary, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.link(temporary, final)  # unlike a rename, a link never replaces the file of a faster worker
        except FileExistsError:
            return relative
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(folder)
        return relative

    def artefact_folder(self, study_instance_uid: str, digest: str) -> Path:
        """Folder for what the computation with this digest keeps; made if needed."""
        folder = self.root / "artefacts" / uid_name(study_instance_uid) / digest_name(digest)
        self._make_durable(folder)
        return folder

    def has_artefacts(self, study_instance_uid: str, digest: str) -> bool:
        """Whether a computation with this digest has left something."""
        folder = self.root / "artefacts" / uid_name(study_instance_uid) / digest_name(digest)
        return folder.is_dir() and any(folder.iterdir())

    # --- removing ---

    def move_to_trash(self, study_instance_uid: str) -> None:
        """Take all received files and artefacts of a study out of their places, in one step each."""
        for room in _RETIRED_ROOMS:
            place, trash = self._retired(room, study_instance_uid)
            if place.is_dir():
                shutil.rmtree(trash, ignore_errors=True)
                trash.parent.mkdir(parents=True, exist_ok=True)
                os.rename(place, trash)

    def restore_from_trash(self, study_instance_uid: str, wanted: Collection[str]) -> None:
        """Undo `move_to_trash` for the files that the ledger names (relative to the root)."""
        for relative in wanted:
            room, _, rest = relative.partition("/")
            kept, final = self.root / "trash" / room / rest, self.root / relative
            if kept.is_file() and not final.exists():
                self._make_durable(final.parent)
                os.rename(kept, final)
                _sync_folder(final.parent)

    def empty_trash(self, study_instance_uid: str) -> None:
        for room in _RETIRED_ROOMS:
            shutil.rmtree(self._retired(room, study_instance_uid)[1], ignore_errors=True)

    def studies_in_trash(self) -> list[str]:
        """Studies whose removal was begun."""
        rooms = [self.root / "trash" / room for room in _RETIRED_ROOMS]
        return sorted({folder.name for room in rooms if room.is_dir() for folder in room.iterdir()})

    def _retired(self, room: str, study_instance_uid: str) -> tuple[Path, Path]:
        name = uid_name(study_instance_uid)
        return self.root / room / name, self.root / "trash" / room / name

    @contextmanager
    def deletion_lock(self, wait: bool) -> Iterator[bool]:
        """Nothing is removed while this is held, by whatever process; False when another one holds it.

        wait : until the other one is ready.
        """
        with open(self.run_folder() / "removing.lock", "w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
                return
            yield True

    # --- paths ---

    def path(self, relative: str) -> Path:
        """Absolute path of something that the ledger names. Raises InputError when it would leave the root."""
        found = (self.root / relative).resolve()
        if not found.is_relative_to(self.root):
            raise InputError(f"expected a path inside the storage root, found {relative!r}")
        return found

    def require_file(self, relative: str) -> None:
        """Raises FileNotFoundError when a file of the store is not where it was put."""
        os.stat(f"{self._root}/{relative}")

    def run_folder(self) -> Path:
        """Folder for sockets and pid files."""
        folder = self.root / "run"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _make_durable(self, folder: Path) -> None:
        """Make a folder and its parents so that their names survive a power cut."""
        if folder in self._known and folder.is_dir():  # retention may have removed it
            return
        missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        for made in reversed(missing):
            _sync_folder(made.parent)
        self._known.add(folder)


def _sync_folder(folder: Path | str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
