"""Running everything on one machine: the parts of `cptdn up`, and waiting until they are ready."""

from __future__ import annotations

import gc
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO

from config.errors import CptdnError
from config.settings import CONFIG_VARIABLE, Settings
from node.ledger.database import Ledger
from node.ledger.processes import live_processes
from node.messaging.broker import embedded_broker
from node.messaging.messages import Queue
from node.runtime.supervisor import Supervisor, cptdn_command

TEND_EVERY_S = 0.2
# Delivery waits for the network, the rest for the processor: a slow PACS must not hold up a computation.
PARTS = {
    "node": cptdn_command("node"),
    "worker": cptdn_command("worker", "--queues", f"{Queue.VOLUMES},{Queue.FEATURES},{Queue.REPORT}"),
    "delivery": cptdn_command("worker", "--queues", Queue.DELIVERY, "--concurrency", "2"),
}
# The pages, and who answers them: small, and never behind a computation.
PAGES = {
    "answers": cptdn_command("worker", "--queues", Queue.WEB),
    "web": cptdn_command("web"),
}


SWITCH_INTERVAL_S = 0.001  # a fifth of Python's own: with many senders at work, an echo is still answered soon


def tune_interpreter() -> None:
    """Settle a process that has started and now serves many at once.

    The garbage collector stops everybody while it looks; what is there now stays, and need not be looked at.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.collect()
    gc.freeze()


class NotReadyError(CptdnError):
    """A part did not become ready in time."""


@contextmanager
def running_parts(
    settings: Settings,
    environment: dict[str, str],
    say: Callable[[str], None],
    log: IO[str] | None = None,
    parts: Mapping[str, Sequence[str]] = PARTS,
) -> Iterator[Supervisor]:
    """Broker, node and workers as child processes, from entering to leaving.

    environment : settings of this run as CPTDN__... variables, for the children; log takes what they print.
    parts : what to start, e.g. PARTS | PAGES.
    """
    if settings.source is not None:
        environment = {CONFIG_VARIABLE: str(settings.source), **environment}
    with embedded_broker(settings):
        supervisor = Supervisor(parts, environment, say, log)
        stop = threading.Event()
        tending = threading.Thread(target=_tend, args=(supervisor, stop), name="supervisor", daemon=True)
        try:
            supervisor.start()
            tending.start()
            yield supervisor
        finally:
            stop.set()
            if tending.is_alive():
                tending.join()
            supervisor.stop()


def wait_until_ready(
    ledger: Ledger, supervisor: Supervisor, timeout_s: float = 120.0, names: Collection[str] = tuple(PARTS)
) -> None:
    """Wait until these children have said in the ledger that they can work. Raises NotReadyError."""
    deadline = time.monotonic() + timeout_s
    while True:
        pids = {name: pid for name, pid in supervisor.pids().items() if name in names}
        with ledger.begin() as session:
            ready = {process.pid for process in live_processes(session) if process.ready}
        waiting = sorted(name for name, pid in pids.items() if pid not in ready)
        if len(pids) == len(names) and not waiting:
            return
        if time.monotonic() > deadline:
            raise NotReadyError(f"not ready after {timeout_s:.0f} s: {', '.join(waiting) or 'a part keeps ending'}")
        time.sleep(0.1)


def wait_for_signal() -> None:
    """Block until Ctrl-C or SIGTERM."""
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    while not stopped.wait(3600):
        continue


def _tend(supervisor: Supervisor, stop: threading.Event) -> None:
    while not stop.wait(TEND_EVERY_S):
        supervisor.tend()
