"""Run broker, node, workers and pages on one machine as child processes (`cptdn up`, `cptdn demo`)."""

from __future__ import annotations

import gc
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO

from sqlalchemy.exc import OperationalError

from config.errors import CptdnError
from config.settings import CONFIG_VARIABLE, Settings
from node.background.repeated_work import RepeatedWork
from node.ledger.database import Ledger
from node.ledger.processes import live_processes
from node.messaging.broker import embedded_broker
from node.messaging.messages import Queue
from node.runtime.supervisor import Supervisor, WaitingProcess

CHECK_EVERY_S = 0.2
# Delivery is a process of its own: it waits for the network, and a slow PACS must not delay a computation.
PARTS = {
    "node": ("node",),
    "worker": ("worker", "--queues", f"{Queue.VOLUMES},{Queue.FEATURES},{Queue.REPORT}"),
    "delivery": ("worker", "--queues", str(Queue.DELIVERY), "--concurrency", "2"),
}
# The pages, and the worker that answers their questions: a page never waits behind a computation.
PAGES = {
    "answers": ("worker", "--queues", str(Queue.WEB)),
    "web": ("web",),
}
# What the parts import when they start, by name: a node without the room `workers` loads what there is.
MODULES = (
    "alembic.command", "dicom_sr.objects.build", "dicom_sr.page.layout", "node.runtime.service", "workers.queue.app",
    "workers.queue.steps",
)  # fmt: skip
MODULES_OF_PAGES = ("node.web.server", "workers.bundles.drift", "workers.web.pictures", "workers.web.web_queries")
SWITCH_INTERVAL_S = 0.001  # Python's default is 0.005; with many senders a C-ECHO then waits for each busy thread


def tune_interpreter() -> None:
    """Shorten the pauses of a process that serves many peers: thread switches and garbage collection.

    A full collection stops all threads. The objects of the modules, which exist now, live until the process ends, so
    they are excluded from it (`gc.freeze`).
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
    waiting: Mapping[str, WaitingProcess] | None = None,
) -> Iterator[Supervisor]:
    """Run broker and parts as child processes from entering to leaving; they are restarted when they end.

    Parameters
    ----------
    settings : Settings
        The configuration; its file is passed on to the children.
    environment : dict of str to str
        Further variables for the children, such as CPTDN__SECTION__KEY settings of this run.
    say : callable
        Gets a sentence for the operator when a child ends and is restarted.
    log : text file, optional
        Takes what the children print; None: it goes where the output of this process goes.
    parts : mapping of str to words, optional
        Name of each child and what follows `cptdn` in its command, such as `PARTS | PAGES`.
    waiting : mapping of str to WaitingProcess, optional
        Processes for the first start of the children, of `forked_parts`.

    Yields
    ------
    Supervisor
        Its children are started, and not ready yet; see `wait_until_ready`.
    """
    # By environment, because the children are commands of their own that would look for ./cptdn.toml.
    if settings.source is not None:
        environment = {CONFIG_VARIABLE: str(settings.source), **environment}
    with embedded_broker(settings):
        supervisor = Supervisor(parts, environment, say, log, waiting)
        checking = RepeatedWork("supervisor", supervisor.check, lambda: CHECK_EVERY_S)
        try:
            supervisor.start()
            checking.start()
            yield supervisor
        finally:
            checking.stop()
            supervisor.stop()


def wait_until_ready(
    ledger: Ledger, supervisor: Supervisor, timeout_s: float = 120.0, names: Collection[str] = tuple(PARTS)
) -> None:
    """Wait until child processes have reported in the ledger that they are ready.

    Parameters
    ----------
    ledger : Ledger
        Where processes have their heartbeats.
    supervisor : Supervisor
        Whose children are waited for, as returned by `running_parts`.
    timeout_s : float
        Longest time to wait in seconds.
    names : collection of str
        Names of the parts.

    Raises
    ------
    NotReadyError
        When the time is over; the message names the parts.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        pids = {name: pid for name, pid in supervisor.pids().items() if name in names}
        try:
            with ledger.read() as session:
                ready = {process.pid for process in live_processes(session) if process.ready}
        except OperationalError:  # locked or away for a moment: the children wait for the same ledger
            ready = set()
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
