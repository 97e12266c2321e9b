"""The process beside a worker: another process does the work, and whatever becomes of it, the work is done."""

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
def beside() -> Iterator[DrawingProcess]:
    made = DrawingProcess()
    yield made
    made.close()


def test_another_process_does_it_and_is_kept(beside: DrawingProcess) -> None:
    first, second = beside.start(os.getpid), beside.start(os.getpid)
    assert first() == second() != os.getpid()


def test_an_error_comes_back_as_it_was(beside: DrawingProcess) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        beside.start(int, "x")()


def test_where_the_process_is_killed_at_work_this_one_does_it_and_the_next_call_gets_another(
    beside: DrawingProcess,
) -> None:
    gone = beside.start(os.getpid)()
    begun = beside.start(_pid_unless, gone)
    assert begun() == os.getpid()
    assert beside.start(os.getpid)() not in (gone, os.getpid())


def test_a_process_that_died_idle_is_replaced(beside: DrawingProcess) -> None:
    gone = beside.start(os.getpid)()
    os.kill(gone, signal.SIGKILL)
    _wait_until_ended(gone)
    assert beside.start(os.getpid)() != gone
    assert beside.start(os.getpid)() not in (gone, os.getpid())


def test_it_ends_with_a_worker_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    worker = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env=environment)
    assert worker.stdout is not None
    with worker.stdout:
        drawing = int(worker.stdout.readline())
    assert Path("/proc", str(drawing)).exists()
    worker.kill()
    worker.wait()
    _wait_until_ended(drawing)


def _pid_unless(pid: int) -> int:
    """The process that runs this; the one with this number is killed by it."""
    if os.getpid() == pid:
        os.kill(pid, signal.SIGKILL)
    return os.getpid()


def _wait_until_ended(pid: int) -> None:
    """Gone, or a zombie that nobody has asked for. Fails after half a minute."""
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
