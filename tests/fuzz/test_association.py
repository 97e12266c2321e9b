"""Mutated PDUs against a running node: the association and DIMSE layers neither crash, hang, grow nor write astray."""

from __future__ import annotations

import random
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.fuzz.mutations import mutated
from tests.fuzz.range import Victim, victim
from tests.fuzz.streams import good_streams

GUNNERS = 4  # associations at the same time
SALVO = 500  # streams between two C-ECHOs


def shoot(port: int, streams: list[list[bytes]], seed: int) -> int:
    """One conversation with damaged PDUs; returns how many of them were damaged and sent."""
    rng = random.Random(seed)
    stream = list(rng.choice(streams))
    spare = b"".join(rng.choice(streams))
    first = rng.random() < 0.25  # otherwise the association stands before the damage comes
    hit = {0} if first else {rng.randrange(1, len(stream)) for _ in range(rng.choice((1, 1, 2, 3)))}
    n_sent = 0
    try:
        with socket.create_connection(("127.0.0.1", port), 20) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for number, pdu in enumerate(stream):
                connection.sendall(mutated(pdu, rng, spare) if number in hit else pdu)
                n_sent += number in hit
                if number == 0 and not first and not connection.recv(4096):
                    break
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                continue
    except TimeoutError:
        raise
    except OSError:
        pass  # the node has had enough of it
    return n_sent


def _shot(target: Victim, streams: list[list[bytes]], seed: int) -> int:
    if target.process.poll() is not None or target.hung:
        return 0
    try:
        return shoot(target.dicom, streams, seed)
    except TimeoutError as error:
        target.hung = True
        target.show_threads()
        raise AssertionError(f"seed {seed}: the node neither answered nor closed the connection") from error


def barrage(target: Victim, n_pdus: int, seed: int) -> dict[str, float]:
    """Shoot until so many damaged PDUs have been sent; the node must answer an echo after every salvo."""
    streams = good_streams()
    threads, descriptors = target.threads(), target.descriptors()
    sent, next_seed, warm, begun = 0, seed, 0.0, time.monotonic()
    with ThreadPoolExecutor(GUNNERS) as pool:
        while sent < n_pdus:
            seeds = range(next_seed, next_seed + min(SALVO, n_pdus - sent))
            next_seed = seeds.stop
            sent += sum(pool.map(lambda one: _shot(target, streams, one), seeds))
            target.beat()
            target.check_alive()
            if not warm and sent >= n_pdus / 5:
                warm = target.rss_mb()
    target.check_unharmed(threads, descriptors)
    return {
        "mutated_pdus": sent, "streams": next_seed - seed, "rss_warm_mb": round(warm, 1),
        "rss_end_mb": round(target.rss_mb(), 1), "seconds": round(time.monotonic() - begun, 1),
    }  # fmt: skip


@pytest.mark.parametrize("way", ["fast", "pynetdicom"])
def test_mutated_pdus(tmp_path: Path, way: str) -> None:
    with victim(tmp_path / "victim", way) as target:
        found = barrage(target, 150, seed=1)
    assert found["mutated_pdus"] >= 150


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(("way", "n_pdus"), [("fast", 70_000), ("pynetdicom", 35_000)])
def test_a_hundred_thousand_mutated_pdus(tmp_path: Path, way: str, n_pdus: int) -> None:
    with victim(tmp_path / "victim", way) as target:
        found = barrage(target, n_pdus, seed=1_000_000)
    print(f"\nfuzzing, {way} way: {found}")
    assert found["rss_end_mb"] < found["rss_warm_mb"] + 64
