"""A real ledger on disk for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.ledger.cases import open_case
from node.ledger.database import Ledger, open_ledger

STUDY = "1.2.3.4"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    with opened.begin() as session:
        open_case(session, STUDY, "P1", "")
    yield opened
    opened.close()
