"""Redis and PostgreSQL as a site has them: the packages' own servers, started and ended by the tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.flow.program import free_port, wait_for
from tests.peers import absent, peer

START_WITHIN_S = 60.0


@contextmanager
def redis_server() -> Iterator[str]:
    """A Redis that keeps nothing, on loopback; gives its URL."""
    port = free_port()
    command = [peer("redis-server", "redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            ping = ["redis-cli", "-p", str(port), "ping"]
            wait_for(lambda: _succeeds(ping), START_WITHIN_S, lambda: "redis-server does not answer")
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()


@contextmanager
def postgresql() -> Iterator[str]:
    """A PostgreSQL cluster of its own on loopback; gives the URL of an empty database."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not programs:
        absent("initdb is not installed (Debian package postgresql)")
    tools = programs[-1].parent
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []  # initdb refuses to run as root
    folder = Path(tempfile.mkdtemp(prefix="cptdn-pg-"))
    if as_user:
        shutil.chown(folder, "postgres")
    port = free_port()
    try:
        _run([*as_user, str(tools / "initdb"), "-D", str(folder / "data"), "-U", "cptdn", "-A", "trust", "-N"])
        options = f"-h 127.0.0.1 -p {port} -k {folder}"
        control = [*as_user, str(tools / "pg_ctl"), "-D", str(folder / "data")]
        _run([*control, "-o", options, "-l", str(folder / "log"), "-w", "start"])
        try:
            _run([str(tools / "createdb"), "-h", "127.0.0.1", "-p", str(port), "-U", "cptdn", "cptdn"])
            yield f"postgresql+psycopg://cptdn@127.0.0.1:{port}/cptdn"
        finally:
            _run([*control, "-m", "fast", "-w", "stop"])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/", timeout=120,
                          check=False)  # fmt: skip
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}"


def _succeeds(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
