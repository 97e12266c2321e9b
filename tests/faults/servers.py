"""PostgreSQL and Redis of the system, started for a test on free ports of loopback and ended with it."""

from __future__ import annotations

import glob
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import redis
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from tests.flow.program import free_port, wait_for
from tests.peers import absent, peer

START_WITHIN_S = 60.0


@dataclass
class Postgres:
    """A cluster of its own with fsync as in production; `crash` and `start` are what a power cut is made of."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    databases: list[str] = field(default_factory=list)

    def url(self, database: str) -> str:
        """SQLAlchemy's URL of a database, which is made where it does not exist."""
        if database not in self.databases:
            engine = create_engine(self._url("postgres"), isolation_level="AUTOCOMMIT")
            with engine.connect() as connection:
                connection.execute(text(f"CREATE DATABASE {database}"))
            engine.dispose()
            self.databases.append(database)
        return self._url(database)

    def _url(self, database: str) -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                _as_postgres(_tool("postgres"), "-D", str(self.folder / "data")), stdout=log, stderr=log, cwd="/"
            )
        wait_for(self._answers, START_WITHIN_S, lambda: (self.folder / "log").read_text())

    def crash(self) -> None:
        """SIGQUIT to the postmaster: every server process ends at once, without a checkpoint."""
        self._end(signal.SIGQUIT)

    def stop(self) -> None:
        self._end(signal.SIGINT)

    def _end(self, number: signal.Signals) -> None:
        if self.process is None:
            return
        pid = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
        os.kill(pid, number)
        self.process.wait(60)
        self.process = None

    def _answers(self) -> bool:
        engine = create_engine(self._url("postgres"))
        try:
            with engine.connect():
                return True
        except OperationalError:
            return False
        finally:
            engine.dispose()


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A fresh cluster without fsync: tests kill the server and not the machine, so the page cache keeps every write.

    As root it is run by the user `postgres`, because PostgreSQL refuses to be root.
    """
    initdb = _tool("initdb")
    folder = Path(tempfile.mkdtemp(prefix="cptdn-postgres-"))
    made = Postgres(folder, free_port())
    try:
        if os.getuid() == 0:
            shutil.chown(folder, "postgres")
        command = _as_postgres(initdb, "-D", str(folder / "data"), "-U", "postgres", "-A", "trust", "-E", "UTF8", "-N")
        subprocess.run(command, check=True, capture_output=True, cwd="/")
        settings = f"port = {made.port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{folder}'\n"
        settings += "fsync = off\n"
        with (folder / "data" / "postgresql.conf").open("a") as file:
            file.write(settings)
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder)


def _tool(name: str) -> str:
    """A program of PostgreSQL's server, which Debian keeps out of the path; skips or fails where it is absent."""
    found = shutil.which(name) or next(iter(sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), reverse=True)), None)
    if found is None:
        absent(f"{name} is not installed (Debian package postgresql)")
    assert found is not None
    return found


def _as_postgres(*command: str) -> list[str]:
    return ["runuser", "-u", "postgres", "--", *command] if os.getuid() == 0 else list(command)


@dataclass
class Redis:
    """A Redis that keeps nothing on disk: killed and started again, it is empty."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        command = [peer("redis-server", "redis-server"), "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--save", "", "--appendonly", "no", "--dir", str(self.folder)]
        with (self.folder / "redis.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_for(self._answers, START_WITHIN_S, lambda: (self.folder / "redis.log").read_text())

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _answers(self) -> bool:
        client = redis.Redis(port=self.port)
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            time.sleep(0.05)
            return False
        finally:
            client.close()


@contextmanager
def redis_server(folder: Path) -> Iterator[Redis]:
    folder.mkdir(parents=True, exist_ok=True)
    made = Redis(folder, free_port())
    made.start()
    try:
        yield made
    finally:
        made.kill()
