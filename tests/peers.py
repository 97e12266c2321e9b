"""Peers that tests speak to: programs of others, and the shared folder of real data.

A missing peer skips its test with the reason; with `CPTDN_REQUIRE_PEERS=1` it fails it.
"""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
SHARED = PROJECT.parent / "shared"


def peer(program: str, package: str) -> str:
    """Path of a peer's program, or skip/fail naming the Debian package that brings it."""
    found = shutil.which(program)
    if found is None:
        absent(f"{program} is not installed (Debian package {package})")
    assert found is not None
    return found


def chinese_font() -> str:
    """Family name of an installed font with Chinese characters, or skip/fail naming the Debian package of one."""
    from dicom_sr.page import fonts

    name = fonts.chinese_font()
    if name is None:
        absent("no font with Chinese characters is installed (Debian package fonts-noto-cjk)")
    assert name is not None
    return name


def shared(name: str) -> Path:
    """A file or folder of the shared reference data, or skip: it is never part of the project."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"the shared reference data is absent: {name}")
    return path


def unpacked(name: str, into: Path) -> Path:
    """Unpack `shared/dicom/<name>.tar.xz` into a temporary folder; returns the folder of its name."""
    with tarfile.open(shared(f"dicom/{name}.tar.xz")) as archive:
        archive.extractall(into, filter="data")
    return into / name


def absent(reason: str) -> None:
    """A peer is missing: a skip on a laptop, a failure where peers are required."""
    if os.environ.get("CPTDN_REQUIRE_PEERS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
