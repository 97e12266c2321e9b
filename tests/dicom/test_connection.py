"""Associations that we open ourselves."""

from __future__ import annotations

import socket
import struct
import threading
import time
from pathlib import Path

import pynetdicom.association
import pytest

from config.errors import PacsUnavailableError
from config.settings import PacsSettings
from node.dicom.network.connection import echo
from node.small_pacs.pacs import SmallPacs


def test_a_release_does_not_sleep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pynetdicom sleeps 10 ms when it looks at the end of an association too early."""
    slept: list[float] = []

    class Clock:
        @staticmethod
        def sleep(seconds: float) -> None:
            if threading.current_thread() is threading.main_thread():  # the peer's threads are in this process, too
                slept.append(seconds)
            time.sleep(seconds)

    with SmallPacs(tmp_path, "PACS") as pacs:
        monkeypatch.setattr(pynetdicom.association, "time", Clock)
        for _ in range(20):
            echo(PacsSettings(ae_title="PACS", port=pacs.port), "CPTDN")
        monkeypatch.undo()
    assert 0.01 not in slept


def test_a_peer_that_stops_in_the_middle_of_a_pdu_is_not_waited_for() -> None:
    """It accepts the connection, announces an A-ASSOCIATE-AC of 1,000 bytes, sends 100 of them, and stays open."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        held: list[socket.socket] = []

        def half_an_answer() -> None:
            connection, _ = listener.accept()
            held.append(connection)
            connection.recv(4096)
            connection.sendall(struct.pack(">BBI", 0x02, 0, 1000) + bytes(100))

        threading.Thread(target=half_an_answer, daemon=True).start()
        outcome: list[Exception] = []

        def ask() -> None:
            try:
                echo(PacsSettings(port=listener.getsockname()[1], timeout_s=1.0), "CPTDN")
            except PacsUnavailableError as error:
                outcome.append(error)

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        asking.join(20)
        is_waiting = asking.is_alive()
        for connection in held:
            connection.close()
        assert not is_waiting
        assert outcome
