"""The process under fire: a node with its HL7 server on free ports, until its standard input is closed.

Run as `python -m tests.fuzz.victim ROOT fast|pynetdicom`; the first line of its output names the ports.
"""

from __future__ import annotations

import faulthandler
import json
import signal
import sys
import threading
from pathlib import Path

from config.settings import Hl7Settings, Settings, StorageSettings
from node.clinical.mllp import MllpServer
from node.runtime.logging import start_logging
from node.store.study_store import DISK_THREADS, StudyStore
from tests.dicom.scenes import scene


def main(root: Path, way: str) -> None:
    faulthandler.register(signal.SIGUSR1)  # where every thread stands, when a shot finds no answer
    start_logging()
    limits = {"network_timeout_s": 2.0, "max_object_mb": 4, "associations_per_minute": 10_000_000}
    with scene(root, fast=way == "fast", **limits) as running:
        settings = Settings(
            storage=StorageSettings(root=root, min_free_gb=0),
            hl7=Hl7Settings(enabled=True, port=0, max_message_kb=64, idle_timeout_s=2.0),
        )
        _start_disk_threads(running.store)
        hl7 = MllpServer(running.ledger, settings)
        hl7.start()
        print(json.dumps({"dicom": running.port, "hl7": hl7.port}), flush=True)
        while sys.stdin.readline():
            running.node.heartbeat()
        hl7.stop()


def _start_disk_threads(store: StudyStore) -> None:
    """They would start one by one and stay, and look like threads that were left behind."""
    all_run = threading.Barrier(DISK_THREADS)
    for waiting in [store._disk.submit(all_run.wait) for _ in range(DISK_THREADS)]:
        waiting.result()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
