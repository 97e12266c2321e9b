"""Backup and restore of one installation: the ledger as of one moment, and every file that it names.

    DIR/ledger.db | ledger.pgdump   the ledger at the moment of the backup
    DIR/files/...                   the files that it names, by their paths below the storage root
    DIR/backup.json                 written last: the number of files, and the digest of the ledger

A row is written only after its file is durable, and files never change. A backup therefore saves the ledger first and
copies the files afterwards, while the node goes on; the deletion lock keeps retention away until it is done. Hard links
cost no space where the folder is on the storage's own file system; they protect from mistakes, not from a broken disk.
Artefacts (what the steps have computed) are not saved, because they can be computed again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from sqlalchemy import Connection, create_engine, select, text
from sqlalchemy.engine import URL, make_url

from config.atomic_files import force_to_disk, write_atomically
from config.errors import InputError, LedgerError
from config.settings import Settings
from config.version import software_version
from node.ledger.database import now_utc
from node.ledger.tables import Instance, Quarantined, ReportObject
from node.store.study_store import StudyStore

MANIFEST, FILES = "backup.json", "files"
FOLDERS = ("studies", "reports", "quarantine")  # below the storage root: those with files that the ledger names
SQLITE, POSTGRESQL = "ledger.db", "ledger.pgdump"
COPY_BYTES = 1 << 20


@dataclass(frozen=True)
class Manifest:
    """Contents of `backup.json`.

    Attributes
    ----------
    taken_at : str
        ISO 8601, UTC: the moment of the ledger.
    software : str
        Version of the program that took the backup.
    ledger, ledger_sha256 : str
        Name of the saved ledger and its digest in hexadecimal digits.
    files : int
        Number of copied files.
    missing : list of str
        Files that the ledger names and that did not exist, relative to the storage root.
    """

    taken_at: str
    software: str
    ledger: str
    ledger_sha256: str
    files: int
    missing: list[str]


def back_up(
    settings: Settings,
    into: Path,
    hard_links: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Manifest:
    """Take a backup into a folder that is empty or does not exist.

    Parameters
    ----------
    hard_links : bool
        Link files instead of copying them, where the file system allows it.
    progress : callable
        Called with (files done, files in all).

    Raises
    ------
    InputError
        When the folder is not empty, or there is no ledger.
    LedgerError
        When the ledger cannot be saved.
    """
    # An older backup in the same folder would be mixed with this one, and its manifest would seem to be true for both.
    if into.exists() and any(into.iterdir()):
        raise InputError(f"expected an empty folder for the backup, found files in {into}")
    into.mkdir(mode=0o700, parents=True, exist_ok=True)
    taken_at = now_utc().isoformat()
    with StudyStore(settings.storage.root) as store, store.deletion_lock(wait=True):
        name, paths = _save_ledger(make_url(settings.ledger.url or ""), into)
        missing = []
        for done, relative in enumerate(paths):
            try:
                _copy(store.path(relative), into / FILES / relative, hard_links)
            except FileNotFoundError:
                missing.append(relative)
            progress(done + 1, len(paths))
    # The names of the copied files, before the manifest says that the backup is whole.
    for folder in sorted({path.parent for path in (into / FILES).rglob("*")}):
        force_to_disk(folder)
    manifest = Manifest(taken_at, software_version(), name, _digest(into / name), len(paths) - len(missing), missing)
    write_atomically(into / MANIFEST, json.dumps(asdict(manifest), indent=1), durable=True)
    return manifest


def restore(
    settings: Settings, source: Path, progress: Callable[[int, int], None] = lambda done, total: None
) -> Manifest:
    """Restore a backup into the configured storage root and ledger, both of which must be empty.

    The ledger is loaded last: a restore that is interrupted leaves no ledger that names missing files.

    Parameters
    ----------
    progress : callable
        Called with (files done, files in all).

    Raises
    ------
    InputError
        When the backup is not complete or damaged, its ledger is for another database, or the target is not empty.
    LedgerError
        When the database does not accept it.
    """
    manifest = read_manifest(source)
    # Before anything is written: half a restore of a damaged ledger would look like data loss.
    if _digest(source / manifest.ledger) != manifest.ledger_sha256:
        raise InputError(
            f"{source / manifest.ledger} is damaged: its digest differs from the one in {MANIFEST}; use another backup"
        )
    url = make_url(settings.ledger.url or "")
    if (url.get_backend_name() == "sqlite") != (manifest.ledger == SQLITE):
        raise InputError(
            f"expected a backup of a {url.get_backend_name()} ledger, as [ledger] url says, found {manifest.ledger}"
        )
    store = StudyStore(settings.storage.root)
    filled = [folder for folder in FOLDERS if any((store.root / folder).glob("*"))]
    if filled:
        raise InputError(
            f"expected an empty storage root, found files in {store.root / filled[0]}; move them away first"
        )
    store.prepare()
    files = [path for path in sorted((source / FILES).rglob("*")) if path.is_file()]
    for done, path in enumerate(files):
        _copy(path, store.path(str(path.relative_to(source / FILES))), hard_links=False)
        progress(done + 1, len(files))
    for name in FOLDERS:
        for folder, _, _ in os.walk(store.root / name):
            force_to_disk(Path(folder))
    _load_ledger(url, source / manifest.ledger)
    return manifest


def read_manifest(source: Path) -> Manifest:
    """Return the manifest of a finished backup.

    Raises
    ------
    InputError
        When the folder contains no finished backup.
    """
    try:
        return Manifest(**json.loads((source / MANIFEST).read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise InputError(f"expected a finished backup in {source}, found no {MANIFEST}") from error
    except (ValueError, TypeError) as error:
        raise InputError(f"expected the description of a backup in {source / MANIFEST}: {error}") from error


# --- the ledger ---


def _save_ledger(url: URL, into: Path) -> tuple[str, list[str]]:
    """Save the ledger as of one moment; return the name of its file, and the paths that it names at that moment."""
    if url.get_backend_name() == "sqlite":
        saved = into / SQLITE
        if not Path(url.database or "").is_file():
            raise InputError(f"expected a ledger to save, found no file {url.database}")
        with _sqlite(url.database or "") as source, _sqlite(saved) as target:
            source.backup(target)  # one read transaction: writers go on (WAL)
            target.execute("PRAGMA journal_mode=DELETE")  # no -wal file that would have to be copied, too
        engine = create_engine(f"sqlite:///{saved}")
        try:
            with engine.connect() as connection:
                paths = _paths(connection)
        finally:
            engine.dispose()
        force_to_disk(saved)
        return SQLITE, paths
    engine = create_engine(url, isolation_level="REPEATABLE READ")
    try:
        with engine.connect() as connection:
            # pg_dump and the query of the paths see the same moment only by a shared snapshot.
            snapshot = connection.execute(text("SELECT pg_export_snapshot()")).scalar_one()
            _run(["pg_dump", "--format=custom", f"--snapshot={snapshot}", f"--file={into / POSTGRESQL}"], url)
            return POSTGRESQL, _paths(connection)
    finally:
        engine.dispose()


def _load_ledger(url: URL, saved: Path) -> None:
    if url.get_backend_name() == "sqlite":
        final = Path(url.database or "")
        if final.exists():
            raise InputError(f"expected no ledger, found {final}; move it away first")
        final.parent.mkdir(parents=True, exist_ok=True)
        _copy(saved, final, hard_links=False)
        force_to_disk(final.parent)
        return
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            tables = connection.execute(text("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")).scalar_one()
    finally:
        engine.dispose()
    if tables:
        raise InputError(f"expected an empty database, found {tables} tables; create a new one for the restored ledger")
    _run(["pg_restore", "--exit-on-error", "--no-owner", f"--dbname={url.database}", str(saved)], url)


def _run(command: list[str], url: URL) -> None:
    """Run a client program of PostgreSQL. The environment names the database: arguments are visible to all users."""
    variables = {
        "PGHOST": url.query.get("host", url.host), "PGPORT": url.query.get("port", url.port),
        "PGUSER": url.username, "PGPASSWORD": url.password, "PGDATABASE": url.database,
    }  # fmt: skip
    environment = {**os.environ, **{key: str(value) for key, value in variables.items() if value is not None}}
    try:
        finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise LedgerError(
            f"expected the program {command[0]} for the PostgreSQL ledger, found none; install the client programs"
        ) from error
    if finished.returncode != 0:
        raise LedgerError(f"{command[0]} failed: {finished.stderr.strip()}")


def _paths(connection: Connection) -> list[str]:
    """Return every path that the ledger names, relative to the storage root."""
    return [path for table in (Instance, ReportObject, Quarantined) for path in connection.scalars(select(table.path))]


@contextmanager
def _sqlite(path: str | Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path)
    try:
        yield connection
    finally:
        connection.close()


# --- files ---


def _copy(source: Path, target: Path, hard_links: bool) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if hard_links:
        try:
            os.link(source, target)
            return
        except OSError as error:
            # Any other reason (another file system, no support of links) is answered by a copy.
            if isinstance(error, FileNotFoundError):
                raise
    shutil.copyfile(source, target)
    force_to_disk(target)


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while piece := file.read(COPY_BYTES):
                digest.update(piece)
    except FileNotFoundError as error:
        raise InputError(f"expected the ledger of the backup, found no {path}") from error
    return digest.hexdigest()
