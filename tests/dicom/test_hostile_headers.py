"""Headers that are small on the wire and huge in memory: the node names them and needs no memory for them."""

from __future__ import annotations

import resource
import struct
import zlib
from pathlib import Path

import pytest

from node.dicom.headers import full_header
from node.dicom.headers.full_header import read_full_header
from node.dicom.headers.structure import EncodingError
from tests.dicom.raw_scu import MR, RawSender
from tests.dicom.scenes import Scene, encoded, mr_slice

EXPLICIT, DEFLATED = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99"
ITEM, ITEM_END, SEQUENCE_END = (struct.pack("<HH", 0xFFFE, element) for element in (0xE000, 0xE00D, 0xE0DD))
EMPTY_ITEM = ITEM + b"\xff\xff\xff\xff" + ITEM_END + bytes(4)
END = SEQUENCE_END + bytes(4)


def object_with(sequence: bytes, uid: str, tag: tuple[int, int] = (0x0008, 0x1140)) -> bytes:
    """A sound MR image whose sequence of undefined length holds these bytes."""
    whole = encoded(mr_slice(SOPInstanceUID=uid), EXPLICIT)
    before = whole.index(struct.pack("<HH", 0x0010, 0x0010))
    head = struct.pack("<HH2sHI", *tag, b"SQ", 0, 0xFFFFFFFF)
    return whole[:before] + head + sequence + whole[before:]


def kilobytes_of_this_process() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.mark.parametrize(
    ("sequence", "status", "reason"),
    [
        (EMPTY_ITEM * 100_000 + END, 0x0000, ""),  # odd, but a data set
        (EMPTY_ITEM * 100_000, 0xC000, "expected an item"),  # a sequence without an end
        (ITEM + b"\xff\xff\xff\xff" + struct.pack("<HH2sHI", 8, 0x1140, b"SQ", 0, 0xFFFFFFFF), 0xC000, "byte"),
        ((ITEM + b"\xff\xff\xff\xff" + struct.pack("<HH2sHI", 8, 0x1140, b"SQ", 0, 0xFFFFFFFF)) * 40_000, 0xC000,
         "nested deeper"),
    ],
    ids=["many empty items", "no end", "ends inside", "a nesting bomb"],
)  # fmt: skip
def test_sequences_of_undefined_length(node: Scene, sequence: bytes, status: int, reason: str) -> None:
    before = kilobytes_of_this_process()
    data = object_with(sequence, "1.2.826.0.1.5")
    with RawSender(node.port, [(MR, [EXPLICIT])], timeout_s=120) as sender:  # a process of its own reads the header
        answer = sender.store(1, MR, "1.2.826.0.1.5", data)
        assert answer is not None
        assert answer.status == status, answer
    assert kilobytes_of_this_process() - before < 60_000
    if status:
        assert reason in node.quarantined()[0].text
    with RawSender(node.port, [(MR, [EXPLICIT])]) as sender:
        ds = mr_slice()
        answer = sender.store(1, MR, str(ds.SOPInstanceUID), encoded(ds, EXPLICIT))
        assert answer is not None
        assert answer.status == 0


def test_a_deflate_bomb_is_refused_and_costs_this_process_nothing(node: Scene) -> None:
    engine = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    whole = encoded(mr_slice(SOPInstanceUID="1.2.826.0.1.6"), EXPLICIT)
    bomb = engine.compress(whole) + b"".join(engine.compress(bytes(2**20)) for _ in range(300)) + engine.flush()
    assert len(bomb) < 2**20
    before = kilobytes_of_this_process()
    with RawSender(node.port, [(MR, [DEFLATED])], timeout_s=120) as sender:
        answer = sender.store(1, MR, "1.2.826.0.1.6", bomb)
        assert answer is not None
        assert answer.status == 0xC000
    assert "inflates to more than" in node.quarantined()[0].text
    assert kilobytes_of_this_process() - before < 60_000


def test_a_header_that_takes_too_long_to_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that reads it is ended, and the error names the limit."""
    path = tmp_path / "large.dcm"
    path.write_bytes(object_with(EMPTY_ITEM * 200_000 + END, "1.2.826.0.1.7"))
    assert read_full_header(path, 0, EXPLICIT).values["SOPInstanceUID"] == "1.2.826.0.1.7"
    monkeypatch.setattr(full_header, "MAX_SECONDS", 0.05)
    with pytest.raises(EncodingError, match=r"not read within"):
        read_full_header(path, 0, EXPLICIT)


def test_both_ways_of_reading_give_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "usual.dcm"
    path.write_bytes(encoded(mr_slice(SeriesDescription="T1 轴位", SpecificCharacterSet="GB18030"), EXPLICIT))
    here = read_full_header(path, 0, EXPLICIT)
    monkeypatch.setattr(full_header, "MAX_ELEMENTS_HERE", 3)
    assert read_full_header(path, 0, EXPLICIT) == here
