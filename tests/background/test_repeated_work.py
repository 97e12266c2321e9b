"""Work that is repeated: when it is done, and what does not end it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy.exc import OperationalError

from node.background import repeated_work
from node.background.repeated_work import RepeatedWork

NEVER_S = 3600.0


class Work:
    """Counts how often it is done; fails as often as it is told to."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.n_done = list(errors), 0
        self.done = threading.Semaphore(0)

    def __call__(self) -> None:
        self.n_done += 1
        self.done.release()
        if self.errors:
            raise self.errors.pop(0)

    def wait(self, times: int = 1) -> None:
        for _ in range(times):
            assert self.done.acquire(timeout=10), f"done {self.n_done} times"


@contextmanager
def running(work: Work, wait_s: float = NEVER_S) -> Iterator[RepeatedWork]:
    task = RepeatedWork("a task", work, lambda: wait_s)
    task.start()
    try:
        yield task
    finally:
        task.stop()


def test_the_work_is_done_at_the_start_and_at_each_notification() -> None:
    work = Work()
    with running(work) as task:
        work.wait()
        task.notify()
        work.wait()
        time.sleep(0.05)
        assert work.n_done == 2


def test_a_notification_before_the_start_is_not_lost_and_not_needed() -> None:
    work = Work()
    task = RepeatedWork("a task", work, lambda: NEVER_S)
    task.notify()
    task.start()
    work.wait(2)  # once at the start, once for the notification
    task.stop()


def test_without_notification_the_work_is_done_after_the_wait() -> None:
    work = Work()
    with running(work, 0.01):
        work.wait(4)


@pytest.mark.parametrize("error", [ValueError("one case"), OperationalError("BEGIN", None, Exception("locked"))])
def test_an_error_ends_neither_the_thread_nor_the_work(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeated_work, "RETRY_FIRST_S", 0.01)
    work = Work(error)
    with running(work):
        work.wait(2)  # it is repeated after the error although nothing notified it


def test_stopping_waits_for_the_work_in_progress_and_does_no_more() -> None:
    began, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def slow() -> None:
        began.set()
        assert may_end.wait(10)
        ended.set()

    task = RepeatedWork("a task", slow, lambda: 0.0)
    task.start()
    assert began.wait(10)
    threading.Timer(0.05, may_end.set).start()
    task.stop()
    assert ended.is_set()


def test_a_task_that_was_never_started_can_be_stopped() -> None:
    RepeatedWork("a task", Work(), lambda: NEVER_S).stop()
