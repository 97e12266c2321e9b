"""Corrections while the process that does all work is killed by SIGKILL: no destination shows an outdated answer.

Real are the ledger, the outbox, the state machines of jobs, withdrawals and deliveries, and the channels with their
sockets to a small PACS, a FHIR server and an HL7 receiver. The messages of the broker die with the process.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from tests.faults.servers import postgres
from tests.workflow.corrected_sites import CorrectedSite, corrected_site

QUIET_WITHIN_S = 240.0


def play(site: CorrectedSite, seed: int, n_events: int, n_studies: int, killed_every: int, pause_s: float) -> int:
    """Correct, and kill the process about every so many corrections; returns how often it was killed."""
    draw, n_killed = random.Random(seed), 0
    for number in range(n_studies):
        site.arrive(100 * seed + number + 1)
    worker = site.start_worker()
    try:
        for _ in range(n_events):
            site.happen(draw)
            time.sleep(draw.random() * pause_s)
            if draw.random() < 0.1:
                site.upset(draw)
            if draw.random() < 1 / killed_every:
                time.sleep(draw.random() * 2 * pause_s)  # somewhere in what it does now
                worker.kill()
                n_killed += 1
                site.let_time_pass(worker.pid)
                worker = site.start_worker()
        site.calm()
        deadline = time.monotonic() + QUIET_WITHIN_S
        while not site.is_quiet():
            assert worker.is_alive(), site.config.with_name("worker.log").read_text()
            assert time.monotonic() < deadline, f"expected everything to come to an end: {site.unfinished()}"
            site.let_time_pass()
            time.sleep(0.2)
    finally:
        worker.kill()
    return n_killed


def check(folder: Path, seed: int, n_events: int, url: str = "sqlite:///data/ledger.db", **how: float) -> int:
    """Play one seed on a site of its own; returns how often the process was killed."""
    folder.mkdir(parents=True)
    how = {"n_studies": 5, "killed_every": 10, "pause_s": 0.1, **how}
    with corrected_site(folder, url, notes=seed % 4 == 0) as site:
        n_killed = play(site, seed, n_events, **how)  # type: ignore[arg-type]
        faults = site.faults()
        assert not faults, (seed, faults)
        assert site.n_shown() > 0
    return n_killed


def test_no_destination_shows_an_outdated_answer_after_kills(tmp_path: Path) -> None:
    assert check(tmp_path / "site", 1, 300, n_studies=2, killed_every=40, pause_s=0.01) > 2


@pytest.mark.long
@pytest.mark.timeout(36000)
def test_ten_thousand_corrections_with_kills(tmp_path: Path) -> None:
    n_killed = sum(check(tmp_path / str(seed), seed, 250) for seed in range(2, 42))
    assert n_killed > 500


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_corrections_with_kills_on_postgresql(tmp_path: Path) -> None:
    with postgres() as server:
        assert sum(check(tmp_path / str(seed), seed, 150, server.url(f"k{seed}")) for seed in (51, 52)) > 10
