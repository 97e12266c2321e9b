"""Splitting multipart/related by its definition in RFC 2046, and the header of a file of others against pydicom."""

from __future__ import annotations

import random
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, generate_uid

from config.errors import InputError
from node.dicom.dicomweb.multipart import (
    MediaTypeError,
    MultipartError,
    MultipartReader,
    PartListener,
    related_boundary,
)
from node.store.part10 import FileMeta, read_file_header
from tests.dicom.scenes import MR

BOUNDARY = "b-1"


def message(parts: list[bytes], boundary: str = BOUNDARY) -> bytes:
    head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    return b"".join(head + part + b"\r\n" for part in parts) + f"--{boundary}--\r\n".encode()


class Collected:
    """What a reader finds in a message that comes in pieces."""

    def __init__(self, boundary: str = BOUNDARY) -> None:
        self.parts: list[tuple[str, bytes]] = []
        self.n_ended = 0
        self.reader = MultipartReader(boundary, PartListener(self.begin, self.write, self.end))

    def begin(self, media_type: str) -> None:
        self.parts.append((media_type, b""))

    def write(self, piece: memoryview) -> None:
        kind, data = self.parts[-1]
        self.parts[-1] = kind, data + bytes(piece)

    def end(self) -> None:
        self.n_ended += 1

    def feed(self, data: bytes, cuts: random.Random) -> Collected:
        while data:
            n = cuts.choice((1, 2, 3, 7, 50, len(data)))
            self.reader.feed(data[:n])
            data = data[n:]
        return self


# Pieces of delimiters are what a splitter gets wrong; a whole delimiter cannot be in a part (RFC 2046 section 5.1).
DELIMITER = f"\r\n--{BOUNDARY}".encode()
PIECES = st.sampled_from([*(DELIMITER[:n] for n in range(1, len(DELIMITER))), b"\n", b"--", b"b-1", b"\0", b"x\xff"])
CONTENT = (
    st.lists(PIECES, max_size=12)
    .map(b"".join)
    .filter(lambda data: DELIMITER not in b"\r\n" + data + DELIMITER[:-1])
)  # fmt: skip


@given(st.lists(CONTENT, min_size=1, max_size=4), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_any_content_in_any_pieces_comes_out_as_it_went_in(parts: list[bytes], cuts: random.Random) -> None:
    body = message(parts)
    found = Collected().feed(body, cuts)
    assert [data for _, data in found.parts] == parts
    assert {kind for kind, _ in found.parts} == {"application/dicom"}
    assert found.reader.is_complete
    assert found.n_ended == len(parts)


@given(st.binary(max_size=120), st.integers(0, 200), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_a_message_that_is_cut_or_changed_is_never_complete_with_a_part_that_was_not_ended(
    noise: bytes, cut: int, cuts: random.Random
) -> None:
    whole = message([b"one" * 20, b"two" * 20])
    found = Collected()
    try:
        found.feed(whole[:cut] + noise, cuts)
    except MultipartError:
        return
    assert found.n_ended in (len(found.parts), len(found.parts) - 1)
    if found.reader.is_complete:
        assert found.n_ended == len(found.parts)


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ('multipart/related; type="application/dicom"; boundary=abc', "abc"),
        ("multipart/related;boundary=abc;type=application/dicom", "abc"),
        ('Multipart/Related; boundary="a b:c"; type="application/DICOM"', "a b:c"),
        ("multipart/related; boundary=abc", "abc"),
    ],
)
def test_the_boundary_is_read_in_every_form(content_type: str, boundary: str) -> None:
    assert related_boundary(content_type) == boundary


@pytest.mark.parametrize(
    ("content_type", "error"),
    [
        ("", MediaTypeError), ("application/dicom", MediaTypeError),
        ("multipart/form-data; boundary=a", MediaTypeError),
        ('multipart/related; type="application/dicom+json"; boundary=a', MediaTypeError),
        ('multipart/related; type="application/dicom"', MultipartError),
        ("multipart/related; boundary=" + "a" * 129, MultipartError),
        ('multipart/related; boundary="a\u00e9"', MultipartError),
        ('multipart/related; boundary="a "', MultipartError),
    ],
)  # fmt: skip
def test_another_type_or_no_boundary_is_an_error_that_names_what_was_expected(
    content_type: str, error: type[InputError]
) -> None:
    with pytest.raises(error, match="expected"):
        related_boundary(content_type)


def part10(syntax: str = "1.2.840.10008.1.2.1", **more: object) -> tuple[bytes, Dataset]:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = MR, generate_uid()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = UID(syntax)
    for keyword, value in more.items():
        setattr(ds.file_meta, keyword, value)
    buffer = BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue(), ds


@pytest.mark.parametrize(
    "syntax", ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"]
)
def test_the_header_of_a_file_of_pydicom_is_read(syntax: str) -> None:
    data, ds = part10(syntax, PrivateInformationCreatorUID="1.2.3", PrivateInformation=b"x" * 300)
    found = read_file_header(data, "SENDER")
    assert found is not None
    meta, offset = found
    assert meta == FileMeta(MR, str(ds.SOPInstanceUID), syntax, "SENDER")
    # Group length: what follows it has this many bytes (PS3.10 table 7.1-1).
    assert offset == 144 + int.from_bytes(data[140:144], "little")


def test_a_header_without_or_with_a_wrong_group_length_is_read() -> None:
    data, ds = part10()
    wrong = data[:140] + b"\xff\xff\0\0" + data[144:]
    without = data[:132] + data[144:]
    for changed, shift in ((wrong, 0), (without, -12)):
        found = read_file_header(changed)
        assert found is not None
        assert found[0].sop_instance_uid == ds.SOPInstanceUID
        assert found[1] == 144 + int.from_bytes(data[140:144], "little") + shift


@given(st.integers(0, 360))
@settings(max_examples=60, deadline=None)
def test_a_header_that_has_not_arrived_is_waited_for(n: int) -> None:
    data, _ = part10()
    offset = 144 + int.from_bytes(data[140:144], "little")
    assert (read_file_header(data[:n]) is not None) == (n >= offset + 8)


def test_what_is_no_dicom_file_is_an_error_as_soon_as_it_can_be() -> None:
    with pytest.raises(InputError, match="DICM"):
        read_file_header(b"\0" * 129)
    endless = b"\0" * 128 + b"DICM" + b"\x02\0\x02\x01OB\0\0\xff\xff\xff\x7f"
    with pytest.raises(InputError, match="65536"):
        read_file_header(endless)
