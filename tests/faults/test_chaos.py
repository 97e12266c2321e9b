"""Chaos by a seed: processes die, broker and PACS go away and return, and every accepted study still ends well.

The seed and everything that was done are printed (`pytest -s`); CPTDN_CHAOS_SEED repeats a run's choices.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from node.messaging.broker import socket_path
from node.small_pacs.pacs import Behaviour
from tests.faults.site import Senders, Site, kill_part, locked_ledger, site
from tests.faults.studies import Template


def seed() -> int:
    return int(os.environ.get("CPTDN_CHAOS_SEED") or random.SystemRandom().randrange(1_000_000))


class Mischief:
    """What can go wrong on one machine that runs `cptdn up`."""

    def __init__(self, here: Site, rng: random.Random) -> None:
        self.here, self.rng = here, rng
        self.deeds: list[tuple[Callable[[], None], int]] = [
            (self.kill_node, 3), (self.kill_worker, 3), (self.kill_delivery, 2), (self.kill_broker, 2),
            (self.empty_broker, 1), (self.kill_up, 2), (self.power_cut, 1), (self.pacs_away, 2),
            (self.difficult_pacs, 3), (self.lock_ledger, 1), (self.kill_web, 1),
        ]  # fmt: skip

    def one(self) -> None:
        """Do one of them, and see to it that the service manager restarts what it would."""
        deeds, weights = zip(*self.deeds, strict=True)
        self.rng.choices(deeds, weights)[0]()

    def _kill(self, part: str) -> None:
        done = kill_part(self.here.processes["up"], part)
        self.here.diary.write(f"kill -9 {part}" + ("" if done else " (it was not running)"))

    def kill_node(self) -> None:
        self._kill("node")

    def kill_worker(self) -> None:
        self._kill("worker")

    def kill_delivery(self) -> None:
        self._kill("delivery")

    def kill_web(self) -> None:
        self._kill("web")

    def kill_broker(self) -> None:
        self._kill("broker")

    def empty_broker(self) -> None:
        try:
            redis.Redis(unix_socket_path=str(socket_path(self.here.settings))).flushall()
            self.here.diary.write("the broker is emptied")
        except redis.ConnectionError:
            self.here.diary.write("the broker is emptied (it was not running)")

    def kill_up(self) -> None:
        self.here.kill("up")
        self.here.diary.write("kill -9 up; it is started again at once, while its children end")
        self.here.start_up()

    def power_cut(self) -> None:
        self.here.kill_everything()
        self.here.diary.write("power cut: kill -9 of everything at once, then a start")
        self.here.start_up()

    def pacs_away(self) -> None:
        seconds = self.rng.uniform(1, 6)
        self.here.pacs.stop()
        self.here.diary.write(f"the PACS is away for {seconds:.1f} s")
        time.sleep(seconds)
        self.here.pacs.start()

    def difficult_pacs(self) -> None:
        behaviour = self.rng.choice(
            [
                Behaviour(abort_after=0), Behaviour(store_status=0xA700), Behaviour(commitment="never"),
                Behaviour(commitment="new", delay_s=0.5), Behaviour(commitment="new", implicit_only=True), Behaviour(),
            ]
        )  # fmt: skip
        self.here.pacs.behaviour = behaviour
        self.here.diary.write(f"the PACS: {behaviour}")

    def lock_ledger(self) -> None:
        seconds = self.rng.uniform(1, 8)
        self.here.diary.write(f"another program locks the ledger for {seconds:.1f} s")
        with locked_ledger(self.here.settings.storage.root / "ledger.db"):
            time.sleep(seconds)


def chaos(folder: Path, n_studies: int, n_deeds: int, pause_s: tuple[float, float], n_senders: int) -> None:
    number = seed()
    rng = random.Random(number)
    with site(folder / "site", f"chaos with seed {number}: {n_studies} studies, {n_deeds} deeds") as here:
        here.pages = True
        template = Template(folder)
        studies = [template.study(n) for n in range(1, n_studies + 1)]
        here.tell_facts(studies)
        here.start_up()
        here.wait_until_listening()
        here.diary.write("the node answers; sending begins")
        rest = 2 * n_deeds * sum(pause_s) / 2 * n_senders / n_studies
        senders = Senders(here, studies, n_senders, rest, number).start()
        mischief = Mischief(here, rng)
        for _ in range(n_deeds):
            time.sleep(rng.uniform(*pause_s))
            here.restart_what_ended({"up": here.start_up})
            mischief.one()
        here.pacs.behaviour = Behaviour()
        here.diary.write(f"the mischief ends; {len(here.accepted)} studies are accepted")
        _until(here, senders)
        states = here.check_promises()
        here.diary.write(f"checked: {dict(states)}; answers that senders got: {dict(senders.tries)}")
        received = sum(kept.times_received for kept in here.pacs.stored.values())
        here.diary.write(f"the PACS keeps {len(here.pacs.stored)} reports, of which it was sent {received}")


def _until(here: Site, senders: Senders) -> None:
    """Let everything come to its end, with the service manager at work."""
    with here.service_manager({"up": here.start_up}):
        senders.join()
        here.diary.write(f"all {len(here.accepted)} studies are accepted")
        here.wait_until_settled()
    here.diary.write("all studies are settled")


@pytest.mark.timeout(600)
def test_a_few_studies_survive_a_few_faults(tmp_path: Path) -> None:
    chaos(tmp_path, n_studies=6, n_deeds=6, pause_s=(0.5, 3), n_senders=2)


@pytest.mark.long
def test_two_hundred_studies_survive_chaos(tmp_path: Path) -> None:
    chaos(tmp_path, n_studies=200, n_deeds=90, pause_s=(1, 8), n_senders=4)
