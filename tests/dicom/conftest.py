"""A running node for the tests of this room."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dicom.scenes import Scene, scene


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Scene]:
    """A node that any peer on loopback may call."""
    with scene(tmp_path / "data") as running:
        yield running
