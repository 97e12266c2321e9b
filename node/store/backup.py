"""Backup and restore of one installation: the ledger as it was at one moment, and every file that it names.

    DIR/ledger.db | ledger.pgdump   the ledger at the moment of the backup
    DIR/files/...                   the files that it names, under their names below the storage root
    DIR/backup.json                 written last: what is in it, counted, with the digest of the ledger

A row is written only after its file is durable, and files never change; so a backup takes the ledger first and the
files afterwards, while the node goes on working. Nothing is removed meanwhile. Hard links cost no space where the
folder is on the storage's own file system; that protects from mistakes, not from a broken disk. What was computed on
the way (artefacts) is not in a backup: it is made again.
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

from config.errors import InputError, LedgerError
from config.settings import Settings
from config.version import software_version
from node.ledger.database import now_utc
from node.ledger.tables import Instance, Quarantined, ReportObject
from node.store.study_store import StudyStore

MANIFEST, FILES = "backup.json", "files"
SQLITE, POSTGRESQL = "ledger.db", "ledger.pgdump"
COPY_BYTES = 1 << 20


@dataclass(frozen=True)
class Manifest:
    """What a backup holds."""

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
    """Take a backup into a folder that does not exist yet, or is empty.

    hard_links : link files instead of copying them, where the file system allows it.
    Raises InputError when the folder holds something, LedgerError when the ledger cannot be saved.
    """
    if into.exists() and any(into.iterdir()):
        raise InputError(f"expected an empty folder for the backup, found files in {into}")
    into.mkdir(mode=0o700, parents=True, exist_ok=True)
    store = StudyStore(settings.storage.root)
    taken_at = now_utc().isoformat()
    with store.deletion_lock(wait=True):
        name, paths = _save_ledger(make_url(settings.ledger.url or ""), into)
        missing = []
        for done, relative in enumerate(paths):
            try:
                _copy(store.path(relative), into / FILES / relative, hard_links)
            except FileNotFoundError:
                missing.append(relative)
            progress(done + 1, len(paths))
    for folder in sorted({path.parent for path in (into / FILES).rglob("*")}):
        _sync(folder)
    manifest = Manifest(taken_at, software_version(), name, _digest(into / name), len(paths) - len(missing), missing)
    with open(into / MANIFEST, "w", encoding="utf-8") as file:
        json.dump(asdict(manifest), file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    _sync(into)
    return manifest


def restore(
    settings: Settings, source: Path, progress: Callable[[int, int], None] = lambda done, total: None
) -> Manifest:
    """Put a backup into the configured places, which must be empty: the storage root, and the ledger.

    Raises InputError when the folder holds no whole backup or the places are not empty, LedgerError when the database
    does not take it.
    """
    manifest = read_manifest(source)
    if _digest(source / manifest.ledger) != manifest.ledger_sha256:
        raise InputError(f"{source / manifest.ledger} is damaged: its digest is not the one in {MANIFEST}")
    url = make_url(settings.ledger.url or "")
    if (url.get_backend_name() == "sqlite") != (manifest.ledger == SQLITE):
        raise InputError(
            f"the backup holds {manifest.ledger}, and the ledger is configured as {url.get_backend_name()}"
        )
    store = StudyStore(settings.storage.root)
    taken = [room for room in ("studies", "reports", "quarantine") if any((store.root / room).glob("*"))]
    if taken:
        raise InputError(
            f"expected an empty storage root, found files in {store.root / taken[0]}: move them away first"
        )
    store.prepare()
    files = [path for path in sorted((source / FILES).rglob("*")) if path.is_file()]
    for done, path in enumerate(files):
        _copy(path, store.path(str(path.relative_to(source / FILES))), hard_links=False)
        progress(done + 1, len(files))
    for room in ("studies", "reports", "quarantine"):
        for folder, _, _ in os.walk(store.root / room):
            _sync(Path(folder))
    _load_ledger(url, source / manifest.ledger)
    return manifest


def read_manifest(source: Path) -> Manifest:
    """Raises InputError when there is no finished backup in this folder."""
    try:
        return Manifest(**json.loads((source / MANIFEST).read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise InputError(f"{source} holds no finished backup: there is no {MANIFEST}") from error
    except (ValueError, TypeError) as error:
        raise InputError(f"{source / MANIFEST} is not the description of a backup: {error}") from error


# --- the ledger ---


def _save_ledger(url: URL, into: Path) -> tuple[str, list[str]]:
    """Save the ledger at one moment; returns the file's name and the files that the ledger names at that moment."""
    if url.get_backend_name() == "sqlite":
        saved = into / SQLITE
        if not Path(url.database or "").is_file():
            raise InputError(f"there is no ledger {url.database} to save")
        with _sqlite(url.database or "") as source, _sqlite(saved) as target:
            source.backup(target)  # one read transaction; writers go on (WAL)
            target.execute("PRAGMA journal_mode=DELETE")  # one file, with nothing beside it
        engine = create_engine(f"sqlite:///{saved}")
        try:
            with engine.connect() as connection:
                paths = _paths(connection)
        finally:
            engine.dispose()
        _sync(saved)
        return SQLITE, paths
    engine = create_engine(url, isolation_level="REPEATABLE READ")
    try:
        with engine.connect() as connection:
            snapshot = connection.execute(text("SELECT pg_export_snapshot()")).scalar_one()
            _run(["pg_dump", "--format=custom", f"--snapshot={snapshot}", f"--file={into / POSTGRESQL}"], url)
            return POSTGRESQL, _paths(connection)
    finally:
        engine.dispose()


def _load_ledger(url: URL, saved: Path) -> None:
    if url.get_backend_name() == "sqlite":
        final = Path(url.database or "")
        if final.exists():
            raise InputError(f"expected no ledger yet, found {final}: move it away first")
        final.parent.mkdir(parents=True, exist_ok=True)
        _copy(saved, final, hard_links=False)
        _sync(final.parent)
        return
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            tables = connection.execute(text("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")).scalar_one()
    finally:
        engine.dispose()
    if tables:
        raise InputError(f"expected an empty database, found {tables} tables: make a new one for the restored ledger")
    _run(["pg_restore", "--exit-on-error", "--no-owner", f"--dbname={url.database}", str(saved)], url)


def _run(command: list[str], url: URL) -> None:
    """A tool of PostgreSQL; where the database is goes through its environment, so no password is seen in a list."""
    known = {
        "PGHOST": url.query.get("host", url.host), "PGPORT": url.query.get("port", url.port),
        "PGUSER": url.username, "PGPASSWORD": url.password, "PGDATABASE": url.database,
    }  # fmt: skip
    environment = {**os.environ, **{key: str(value) for key, value in known.items() if value is not None}}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise LedgerError(f"{command[0]} is not installed; the backup of a PostgreSQL ledger needs it") from error
    if done.returncode != 0:
        raise LedgerError(f"{command[0]} failed: {done.stderr.strip()}")


def _paths(connection: Connection) -> list[str]:
    """Every file that the ledger names, relative to the storage root."""
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
            if isinstance(error, FileNotFoundError):
                raise
    shutil.copyfile(source, target)
    _sync(target)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while piece := file.read(COPY_BYTES):
                digest.update(piece)
    except FileNotFoundError as error:
        raise InputError(f"the backup lacks its ledger: there is no {path}") from error
    return digest.hexdigest()
