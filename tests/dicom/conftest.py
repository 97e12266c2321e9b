"""A running node for the tests of this room."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dicom.scenes import Scene, scene


@pytest.fixture(params=["fast", "pynetdicom"])
def node(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Scene]:
    """A node that any peer on loopback may call, with each of its two ways of receiving."""
    with scene(tmp_path / "data", fast=request.param == "fast") as running:
        yield running
