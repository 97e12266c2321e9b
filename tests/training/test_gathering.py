"""Gathering of images: the same bytes with any number of processes and after kill -9, and nothing is read twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from config.errors import InputError
from workers.training.ordered_processes import in_order
from workers.training.patch_store import PATCH_KEYS, SavedPatchReader, build_store

NAMES = [f"P{number:02}" for number in range(16)]
SLOW = '''
import os, sys, time
from pathlib import Path
from workers.training.patch_store import SavedPatchReader, build_store

class Slow:
    """Notes who reads whom, and takes its time."""
    def __init__(self, folder): self.folder = folder
    def __call__(self, patient_id):
        with (self.folder / "log").open("a") as stream:
            stream.write(f"{os.getpid()} {patient_id}\\n")
        time.sleep(0.1)
        return SavedPatchReader(self.folder)(patient_id)

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    names = sorted(path.stem for path in folder.glob("*.npz"))
    build_store(names, Slow(folder), folder / "store", lambda done, total: print(done, flush=True), 2)
'''


@pytest.fixture(scope="module")
def patches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rng = tmp_path_factory.mktemp("patches"), np.random.default_rng(0)
    for number, name in enumerate(NAMES):
        bags = {key: rng.integers(0, 256, (1 + (number + at) % 3, 2, 128, 128)).astype(np.uint8)
                for at, key in enumerate(PATCH_KEYS.values())}  # fmt: skip
        np.savez(folder / f"{name}.npz", **bags)
    return folder


def store_bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def gone(process: int) -> bool:
    """Whether a process has ended; one whose parent has not waited for it is a zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_killed_gathering_resumes_to_the_same_bytes_and_leaves_no_process(patches: Path, tmp_path: Path) -> None:
    whole = build_store(NAMES, SavedPatchReader(patches), tmp_path / "whole")
    assert whole.patient_ids == tuple(NAMES)
    for name in NAMES:
        (tmp_path / f"{name}.npz").hardlink_to(patches / f"{name}.npz")
    script = tmp_path / "gather.py"
    script.write_text(SLOW)
    command = [sys.executable, str(script), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) == 5:
                process.send_signal(signal.SIGKILL)
                break
    log = (tmp_path / "log").read_text().split()
    assert process.returncode == -signal.SIGKILL
    readers = set(map(int, log[::2]))
    assert len(readers) == 2  # two processes have read
    until = time.monotonic() + 20
    while not all(map(gone, readers)):
        assert time.monotonic() < until, "a reading process outlived the one that started it"
        time.sleep(0.05)
    store = tmp_path / "store"
    assert not (store / "index.json").exists()
    finished = [json.loads(line)["patient"] for line in (store / "gathered.jsonl").read_text().splitlines()]
    assert finished[:5] == NAMES[:5]
    # Bytes behind the last whole patient, and a patient whose bytes the disk has lost.
    with (store / "t1w.bin").open("ab") as stream:
        stream.write(b"half a patient")
    size = (store / "t2w.bin").stat().st_size
    os.truncate(store / "t2w.bin", size - 40_000)
    (tmp_path / "log").unlink()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    read_again = (tmp_path / "log").read_text().split()[1::2]
    assert not {*finished[:-1]} & {*read_again}
    assert sorted(read_again) == NAMES[len(finished) - 1 :]
    assert store_bytes(store) == store_bytes(tmp_path / "whole")


def test_another_cohort_in_the_same_folder_is_gathered_anew(patches: Path, tmp_path: Path) -> None:
    build_store(NAMES, SavedPatchReader(patches), tmp_path / "store")
    build_store(NAMES[3:1:-1], SavedPatchReader(patches), tmp_path / "store")
    build_store(NAMES[3:1:-1], SavedPatchReader(patches), tmp_path / "alone")
    assert store_bytes(tmp_path / "store") == store_bytes(tmp_path / "alone")


def kill_itself(item: int) -> int:
    if item == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return item * item


def test_a_process_that_is_ended_from_outside_is_one_sentence() -> None:
    with pytest.raises(InputError, match="expected 2 processes to finish, found one that was ended from outside"):
        list(in_order(kill_itself, range(6), 2))
