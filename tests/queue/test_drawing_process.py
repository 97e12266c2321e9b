"""The drawing process: another process computes, and when it ends, the worker does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from workers.queue.drawing_process import DrawingProcess

WORKER = """
import os, time
from workers.queue.drawing_process import DrawingProcess
if __name__ == "__main__":
    print(DrawingProcess().start(os.getpid)(), flush=True)
    time.sleep(60)
"""


@pytest.fixture
def drawing() -> Iterator[DrawingProcess]:
    process = DrawingProcess()
    yield process
    process.close()


def test_another_process_computes_and_is_reused(drawing: DrawingProcess) -> None:
    first, second = drawing.start(os.getpid), drawing.start(os.getpid)
    assert first() == second() != os.getpid()


def test_an_error_of_the_function_is_raised_here(drawing: DrawingProcess) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        drawing.start(int, "x")()


def test_when_the_process_is_killed_at_work_the_worker_computes_and_the_next_call_starts_another(
    drawing: DrawingProcess,
) -> None:
    first_pid = drawing.start(os.getpid)()
    wait_for_pid = drawing.start(_pid_unless, first_pid)
    assert wait_for_pid() == os.getpid()
    assert drawing.start(os.getpid)() not in (first_pid, os.getpid())


def test_a_process_that_ended_idle_is_replaced(drawing: DrawingProcess) -> None:
    first_pid = drawing.start(os.getpid)()
    os.kill(first_pid, signal.SIGKILL)
    _wait_until_ended(first_pid)
    assert drawing.start(os.getpid)() != first_pid
    assert drawing.start(os.getpid)() not in (first_pid, os.getpid())


def test_it_ends_with_a_worker_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    worker = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env=environment)
    assert worker.stdout is not None
    with worker.stdout:
        drawing_pid = int(worker.stdout.readline())
    assert Path("/proc", str(drawing_pid)).exists()
    worker.kill()
    worker.wait()
    _wait_until_ended(drawing_pid)


def _pid_unless(pid: int) -> int:
    """The id of the process that runs this; the process with the given id kills itself instead."""
    if os.getpid() == pid:
        os.kill(pid, signal.SIGKILL)
    return os.getpid()


def _wait_until_ended(pid: int) -> None:
    """Wait until a process has ended or is a zombie. Fails after half a minute."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return
        if state == "Z":
            return
        time.sleep(0.05)
    pytest.fail(f"process {pid} still runs")
