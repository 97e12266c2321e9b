"""Associations that we open ourselves."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pynetdicom.association
import pytest

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
