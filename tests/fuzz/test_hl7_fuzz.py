"""Mutated HL7 messages over MLLP: an answer or a closed connection, and nothing wrong is recorded."""

from __future__ import annotations

import random
import socket
import time
from pathlib import Path

import pytest

from tests.clinical.test_mllp import obx, oru
from tests.fuzz.mutations import mutated
from tests.fuzz.range import Victim, victim

SEEDS = [
    oru(obx("5200")).encode(),
    oru(obx(">4000"), obx("T3N1M0", "", "21908-9^Stage^LN", kind="ST")).encode(),
    oru(obx("5200"), charset="GB18030", pid="PID|1||P1^^^H^MR||王^伟||19800615|M").encode("gb18030"),
    oru(kind="ADT^A01").encode(),
    oru(kind="ADT^A08", pid=f"PID|1||P1^^^HOSP^MR{'|' * 26}20250301|Y").encode(),
]


def send(port: int, framed: bytes) -> bytes:
    """What comes back until the server closes or has answered all."""
    received = b""
    try:
        with socket.create_connection(("127.0.0.1", port), 20) as connection:
            connection.sendall(framed)
            connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(65536):
                received += piece
    except ConnectionError:
        pass
    return received


def barrage(target: Victim, n: int, seed: int) -> dict[str, float]:
    threads, descriptors = target.threads(), target.descriptors()
    answered, begun, warm = 0, time.monotonic(), 0.0
    for number in range(n):
        rng = random.Random(seed + number)
        message = rng.choice(SEEDS)
        damaged = mutated(message, rng, rng.choice(SEEDS))
        framed = b"\x0b" + damaged + b"\x1c\r"
        answer = send(target.hl7, mutated(framed, rng) if rng.random() < 0.2 else framed)
        answered += answer.startswith(b"\x0bMSH|")
        if number == n // 5:
            warm = target.rss_mb()
    target.check_unharmed(threads, descriptors)
    found = send(target.hl7, b"\x0b" + SEEDS[0] + b"\x1c\r")
    assert b"MSA|AA|" in found
    return {
        "mutated_messages": n, "answered": answered, "rss_warm_mb": round(warm, 1),
        "rss_end_mb": round(target.rss_mb(), 1), "seconds": round(time.monotonic() - begun, 1),
    }  # fmt: skip


def test_mutated_messages(tmp_path: Path) -> None:
    with victim(tmp_path / "victim") as target:
        found = barrage(target, 150, seed=1)
    assert found["answered"] > 75  # most are damaged somewhere inside, and get their acknowledgement


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_twenty_thousand_mutated_messages(tmp_path: Path) -> None:
    with victim(tmp_path / "victim") as target:
        found = barrage(target, 20_000, seed=1_000_000)
    print(f"\nfuzzing HL7: {found}")
    assert found["rss_end_mb"] < found["rss_warm_mb"] + 64
