"""The names of PS3.5 Annexes H to K in the headers that pages, ledger and audit trail show."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from node.dicom.headers.early_header import read_early_header
from node.dicom.headers.full_header import read_full_header
from tests.dicom.odd_elements import Part, parts_of
from tests.dicom.raw_scu import EXPLICIT, MR, RawSender
from tests.dicom.scenes import Scene, encoded, mr_slice
from tests.dicom_sr.test_characters import STANDARD_NAMES

CHINESE = b"\x1b$)A\xd5\xc5"  # one character of ISO 2022 IR 58


def padded(value: bytes) -> bytes:
    return value + b" " * (len(value) % 2)


def with_name(labels: str, name: bytes, more: tuple[Part, ...] = ()) -> bytes:
    """An MR image with this name in these character sets."""
    parts = [part for part in parts_of(encoded(mr_slice())) if part.tag != 0x00100010]
    parts += [Part(0x00080005, b"CS", padded(labels.encode())), Part(0x00100010, b"PN", padded(name)), *more]
    return b"".join(part.sound() for part in sorted(parts, key=lambda part: part.tag))


def read_both_ways(data: bytes, folder: Path) -> list[dict[str, object]]:
    path = folder / "data"
    path.write_bytes(data)
    early = read_early_header(memoryview(data), EXPLICIT)
    assert early is not None
    return [early.header.values, read_full_header(path, 0, EXPLICIT).values]


@pytest.mark.parametrize(("labels", "name", "expected"), STANDARD_NAMES)
def test_names_are_decoded_without_escape_sequences(labels: str, name: bytes, expected: str, tmp_path: Path) -> None:
    for values in read_both_ways(with_name(labels, name), tmp_path):
        assert str(values["PatientName"]).rstrip("=") == expected.rstrip("=")


def test_texts_of_items_have_the_character_sets_of_their_object(tmp_path: Path) -> None:
    """The meaning of a contrast agent's code, in an item without a character set of its own."""
    item = Part(0x00080104, b"LO", padded(CHINESE)).sound()
    items = struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item
    data = with_name(
        "\\ISO 2022 IR 58", b"A^B", (Part(0x00180012, b"SQ", items), Part(0x0008103E, b"LO", padded(CHINESE)))
    )
    for values in read_both_ways(data, tmp_path):
        assert values["ContrastBolusAgentSequence"] == ["张"]
        assert values["SeriesDescription"] == "张"


@pytest.mark.filterwarnings("ignore:Failed to decode")
def test_text_of_no_character_set_is_left_as_it_was(tmp_path: Path) -> None:
    for values in read_both_ways(with_name("\\ISO 2022 IR 58", b"Zhang=\x1b$)A\xd5"), tmp_path):
        assert str(values["PatientName"]).startswith("Zhang")


def test_the_ledger_has_the_name_as_it_is_written(node: Scene) -> None:
    labels, name, expected = next(row for row in STANDARD_NAMES if "58" in row[0])
    data = with_name(labels, name)
    uid = str(next(part.value for part in parts_of(data) if part.tag == 0x00080018), "ascii").rstrip("\0")
    with RawSender(node.port, [(MR, [EXPLICIT])]) as sender:
        answer = sender.store(1, MR, uid, data)
    assert answer is not None
    assert answer.status == 0
    [row] = node.instances()
    assert row.header["PatientName"].rstrip("=") == expected.rstrip("=")
