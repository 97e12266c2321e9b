"""Everything of a study that stands on the disk, and the only place that makes paths from names.

    studies/<study>/<series>/<sop>-<digest>.dcm   instances as received
    quarantine/<code>/<digest>.dcm                objects that were not accepted, with the reason beside them (.txt)
    reports/<study>/<sop>.dcm                     our own objects, written once
    artefacts/<study>/<digest>/                   what the computing steps keep
    incoming/                                     files on their way; a crash leaves orphans that the next start removes
    run/                                          sockets and pid files of this machine

The name of an instance ends with a digest of its bytes: two senders that store different bytes under one SOP Instance
UID at the same moment can never overwrite each other, and the ledger alone decides which of them is the instance.
"""

from __future__ import annotations

import os
import shutil
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from config.errors import InputError
from node.store.incoming import IncomingFile
from node.store.names import digest_name, uid_name
from node.store.part10 import FileMeta

BYTES_PER_GB = 1_000_000_000
ORPHAN_AFTER_S = 6 * 3600.0  # an incoming file this old belongs to no association that still lives
FREE_SPACE_FOR_S = 0.25  # how long a look at the free space is believed
_FOLDERS = ("studies", "quarantine", "reports", "artefacts", "incoming", "run")


@dataclass(frozen=True)
class StoredFile:
    """A file that is durable: its bytes and its name have reached the disk.

    path : relative to the storage root. sha256 : of the data set bytes, without the file meta information.
    """

    path: str
    sha256: str
    size_bytes: int


class StudyStore:
    """Folders under one root. Threads and processes share it; a shared file system serves several machines."""

    def __init__(self, root: Path, min_free_gb: float = 0.0) -> None:
        self.root = root.resolve()
        self._min_free_bytes = round(min_free_gb * BYTES_PER_GB)
        self._known: set[Path] = set()  # folders whose names are durable
        self._free_seen = (-1e9, 0)

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
        seen_at, free = self._free_seen
        if time.monotonic() - seen_at > FREE_SPACE_FOR_S:
            free = self.free_bytes()
            self._free_seen = (time.monotonic(), free)
        return free - size_bytes >= self._min_free_bytes

    # --- instances ---

    def receive(self, meta: FileMeta) -> IncomingFile:
        """A new temporary file for a data set. Raises OSError when the disk does not take it."""
        return IncomingFile(self.root / "incoming" / f"{uuid.uuid4().hex}.part", meta)

    def keep(self, incoming: IncomingFile, study_instance_uid: str, series_instance_uid: str) -> StoredFile:
        """Move a finished data set to its place among the studies; on return it is durable.

        Keeping the same bytes again is harmless. Raises InputError when a UID is not a UID.
        """
        uid, sha256 = uid_name(incoming.meta.sop_instance_uid), incoming.sha256
        folder = self.root / "studies" / uid_name(study_instance_uid) / uid_name(series_instance_uid)
        return self._place(incoming, folder, f"{uid}-{sha256[:16]}.dcm")

    def quarantine(self, incoming: IncomingFile, code: str, reason: str) -> StoredFile:
        """Keep aside an object that is not accepted; its name is a digest, so nothing in it can choose a path."""
        folder = self.root / "quarantine" / code
        stored = self._place(incoming, folder, f"{incoming.sha256}.dcm")
        note = folder / f"{incoming.sha256}.txt"
        note.write_text(f"{code}: {reason}\n", encoding="utf-8", errors="backslashreplace")
        return stored

    def _place(self, incoming: IncomingFile, folder: Path, name: str) -> StoredFile:
        incoming.finish()
        self._make_durable(folder)
        try:
            os.rename(incoming.path, folder / name)
        except FileNotFoundError:
            if (folder / name).exists():  # another association has just moved these very bytes there
                return StoredFile(str((folder / name).relative_to(self.root)), incoming.sha256, incoming.size_bytes)
            self._known.discard(folder)  # retention removed the empty folder behind our back
            self._make_durable(folder)
            os.rename(incoming.path, folder / name)
        _sync_folder(folder)
        return StoredFile(str((folder / name).relative_to(self.root)), incoming.sha256, incoming.size_bytes)

    # --- our own objects ---

    def keep_report(self, study_instance_uid: str, sop_instance_uid: str, data: bytes, suffix: str = ".dcm") -> str:
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

    def artefacts(self, study_instance_uid: str, digest: str) -> Path:
        """Folder for what the computation with this digest keeps; made if needed."""
        folder = self.root / "artefacts" / uid_name(study_instance_uid) / digest_name(digest)
        self._make_durable(folder)
        return folder

    # --- paths ---

    def path(self, relative: str) -> Path:
        """Absolute path of something that the ledger names. Raises InputError when it would leave the root."""
        found = (self.root / relative).resolve()
        if not found.is_relative_to(self.root):
            raise InputError(f"expected a path inside the storage root, found {relative!r}")
        return found

    def run_folder(self) -> Path:
        """Folder for sockets and pid files."""
        folder = self.root / "run"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _make_durable(self, folder: Path) -> None:
        """Make a folder and its parents so that their names survive a power cut."""
        if folder in self._known:
            return
        missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        for made in reversed(missing):
            _sync_folder(made.parent)
        self._known.add(folder)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
