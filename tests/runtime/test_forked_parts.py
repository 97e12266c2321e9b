"""Parts forked from one process with their modules loaded; each test has a process of its own, as `cptdn up`."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

VERSION = f"cptdn-node {version('cptdn-node')}"
BEGIN = """
import os, signal, subprocess, sys, threading, time
from node.runtime.forked_parts import forked_parts
from node.runtime.supervisor import Supervisor
PARTS = {"first": ("--version",), "second": ("no-such-command",)}
"""


def run(script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_part_is_its_command_with_the_modules_of_its_parent_once_it_is_told_to_run() -> None:
    printed = run("""
with forked_parts(PARTS, ["node.cli.app", "no.such.module"]) as forked:
    time.sleep(0.2)
    print(forked["first"].poll(), flush=True)
    for part in forked.values():
        part.run({"CPTDN_CONFIG": "elsewhere.toml"})
    print(forked["first"].wait(20), forked["second"].wait(20), flush=True)
""")
    # 2 is the exit code of a wrong call; before `run` nothing is printed and there is no exit code.
    assert printed.splitlines() == ["None", VERSION, "0 2"]


def test_a_part_that_is_never_told_to_run_ends_with_the_block() -> None:
    assert run("""
with forked_parts(PARTS, []) as forked:
    pass
print([part.poll() for part in forked.values()])
""") == "[0, 0]\n"  # fmt: skip


def test_a_part_without_word_from_its_killed_parent_ends(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", BEGIN + """
with forked_parts(PARTS, []) as forked:
    print(*[part.pid for part in forked.values()], flush=True)
    time.sleep(60)
"""], stdout=subprocess.PIPE, text=True)  # fmt: skip
    assert parent.stdout is not None
    pids = [int(word) for word in parent.stdout.readline().split()]
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 20
    while (alive := [pid for pid in pids if _runs(pid)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    parent.stdout.close()
    assert alive == []


def test_a_process_with_threads_forks_nothing() -> None:
    # A fork would copy the locks of the other thread.
    assert run("""
threading.Thread(target=time.sleep, args=(1,)).start()
with forked_parts(PARTS, []) as forked:
    print(forked)
""") == "{}\n"  # fmt: skip


def test_a_supervisor_starts_a_forked_part_once_and_its_command_afterwards() -> None:
    printed = run("""
said = []
with forked_parts({"first": ("--version",)}, ["node.cli.app"]) as forked:
    pid = forked["first"].pid
    supervisor = Supervisor({"first": ("--version",)}, {}, said.append, waiting=forked)
    supervisor.start()
    assert supervisor.pids() == {"first": pid}
    forked["first"].wait(20)
    while supervisor.pids() in ({}, {"first": pid}):
        supervisor.check()
        time.sleep(0.05)
    time.sleep(0.1)
    supervisor._children[0].process.wait(20)
    supervisor.stop()
print(said)
""")
    assert printed.splitlines()[:2] == [VERSION, VERSION]
    assert printed.splitlines()[2] == "['first ended with code 0; it is restarted in 1 s']"


def test_a_killed_part_has_the_number_of_the_signal_as_its_code() -> None:
    assert run("""
with forked_parts(PARTS, []) as forked:
    forked["first"].kill()
    print(forked["first"].wait(20))
    forked["first"].send_signal(signal.SIGTERM)  # no process is hit that has its number by then
""") == f"{-signal.SIGKILL}\n"  # fmt: skip


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
