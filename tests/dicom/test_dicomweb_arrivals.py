"""Parts of damaged messages on their way to the intake: whole objects or none, nothing left over, no memory kept."""

from __future__ import annotations

import contextlib
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.uid import RawDataStorage

from config.errors import InputError
from node.dicom.dicomweb.arrivals import ArrivingParts, Door
from node.dicom.network.protocol_errors import ProtocolError
from node.ledger.associations import Peer
from node.ledger.database import now_utc
from node.store.part10 import skip_file_header
from tests.dicom.scenes import Scene, mr_slice, scene, write_file
from tests.dicom.test_multipart import BOUNDARY, message

EDITS = st.lists(
    st.tuples(
        st.floats(0, 1),
        st.integers(0, 40),
        st.sampled_from([b"", b"\r\n", f"\r\n--{BOUNDARY}\r\n".encode(), f"\r\n--{BOUNDARY}--".encode(), b"\xff" * 9]),
    ),
    min_size=1, max_size=3,
)  # fmt: skip


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with scene(tmp_path_factory.mktemp("data")) as running:
        yield running


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("files")
    return message([write_file(mr_slice(), folder / f"{n}.dcm").read_bytes() for n in range(2)])


def door(node: Scene, max_object_bytes: int = 10_000_000) -> Door:
    sender = node.intake.senders.open(Peer("fuzz", "test-node", "FUZZ", "127.0.0.1", now_utc()))
    return Door(node.intake, lambda: sender, "FUZZ", max_object_bytes)


@given(EDITS, st.integers(1, 700))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_message_leaves_whole_objects_or_none(
    node: Scene, whole: bytes, edits: list[tuple[float, int, bytes]], step: int
) -> None:
    damaged = whole
    for where, n_removed, inserted in edits:
        at = int(where * len(damaged))
        damaged = damaged[:at] + inserted + damaged[at + n_removed :]
    before = len(node.instances())
    parts = ArrivingParts(BOUNDARY, door(node))
    with contextlib.suppress(InputError, ProtocolError):
        for start in range(0, len(damaged), step):
            parts.feed(damaged[start : start + step])
    parts.close()
    assert not [name for name in node.files() if name.startswith("incoming/")]
    n_stored = sum(outcome.status == 0 for outcome in parts.outcomes)
    assert len(node.instances()) - before <= n_stored
    for row in node.instances():
        with node.store.path(row.path).open("rb") as file:
            skip_file_header(file)
            assert blake3(file.read()).hexdigest() == row.digest


def test_memory_does_not_grow_with_an_object_or_with_the_number_of_pieces(node: Scene, tmp_path: Path) -> None:
    raw = write_file(mr_slice(sop_class=RawDataStorage), tmp_path / "raw.dcm").read_bytes()
    head = message([raw]).removesuffix(f"\r\n--{BOUNDARY}--\r\n".encode())
    parts = ArrivingParts(BOUNDARY, door(node))
    parts.feed(head)
    piece = b"\r\n--" * 16_384  # each of them may begin a delimiter
    tracemalloc.start()
    try:
        for _ in range(500):  # 32 MB
            parts.feed(piece)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    parts.close()
    assert peak < 1_000_000


def test_an_object_far_beyond_its_limit_ends_the_message(
    node: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.dicom.scp.instance.DRAINED_BYTES", 1000)
    data = write_file(mr_slice(rows=64), tmp_path / "big.dcm").read_bytes()
    parts = ArrivingParts(BOUNDARY, door(node, max_object_bytes=2000))
    with pytest.raises(ProtocolError, match="at most 2000 bytes"):
        parts.feed(message([data]))
    parts.close()
    beyond = ArrivingParts(BOUNDARY, door(node, max_object_bytes=len(data) - 1000))
    beyond.feed(message([data]))
    assert [outcome.status for outcome in beyond.outcomes] == [0xC002]
    assert not [name for name in node.files() if name.startswith("incoming/")]
