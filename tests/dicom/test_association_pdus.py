"""Requests for an association as old and careless peers write them, byte by byte."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.dicom.network.association_pdus import readable_associate
from tests.dicom.raw_scu import EXPLICIT, MR, RawSender, associate_request
from tests.dicom.scenes import encoded, mr_slice, scene

REQUEST = associate_request([(MR, [EXPLICIT])], "RAW", "CPTDN", 16384)


def with_bytes(offset: int, data: bytes) -> bytes:
    return REQUEST[:offset] + data + REQUEST[offset + len(data) :]


def with_item(item: bytes, *, in_user_information: bool) -> bytes:
    """The request with an item at the end of its list, or of that of user information, which is the last item."""
    body = REQUEST[6:] + item
    if in_user_information:
        place = body.rindex(b"\x50\x00" + struct.pack(">H", 4 + 4 + 4 + 7))
        (length,) = struct.unpack_from(">H", body, place + 2)
        body = body[: place + 2] + struct.pack(">H", length + len(item)) + body[place + 4 :]
    return b"\x01\x00" + struct.pack(">I", len(body)) + body


UNKNOWN_ITEM = b"\x7a\x00\x00\x05hello"
ODD_REQUESTS = {
    "titles padded with NUL": with_bytes(10, b"CPTDN" + bytes(11) + b"RAW" + bytes(13)),
    "titles with bytes behind their NUL": with_bytes(10, b"CPTDN\0garbage\xff\xfe " + b"RAW\0" + b"x" * 12),
    "later versions": with_bytes(6, b"\x00\x03"),
    "all versions": with_bytes(6, b"\xff\xff"),
    "an unknown user item": with_item(UNKNOWN_ITEM, in_user_information=True),
    "an empty unknown user item": with_item(b"\x60\x00\x00\x00", in_user_information=True),
    "an unknown item": with_item(UNKNOWN_ITEM, in_user_information=False),
}


@pytest.mark.parametrize("name", ODD_REQUESTS)
@pytest.mark.parametrize("fast", [True, False])
def test_what_the_standard_says_to_ignore_is_ignored(name: str, fast: bool, tmp_path: Path) -> None:
    """Two titles are on the lists, so they were read right as well."""
    ds = mr_slice()
    with scene(tmp_path / "data", fast=fast, allowed_calling_aes=("RAW",)) as node:
        with RawSender(node.port, [], request=ODD_REQUESTS[name]) as sender:
            assert sender.accepted == {1: EXPLICIT}
            answer = sender.store(1, MR, str(ds.SOPInstanceUID), encoded(ds))
            assert answer is not None
            assert answer.status == 0
        [row] = node.instances()
        assert row.calling_ae == "RAW"


def test_a_request_without_version_1_is_rejected(tmp_path: Path) -> None:
    with scene(tmp_path / "data") as node, RawSender(node.port, [], request=with_bytes(6, b"\x00\x02")) as sender:
        assert sender.rejection == (1, 2, 2)  # permanent, ACSE provider, protocol version not supported: Table 9-21


def test_an_ordinary_request_is_not_changed() -> None:
    assert readable_associate(REQUEST) == REQUEST


@given(st.binary(max_size=300), st.integers(0, len(REQUEST)))
def test_any_bytes_give_bytes_and_no_error(noise: bytes, place: int) -> None:
    damaged = REQUEST[:place] + noise
    readable = readable_associate(damaged)
    assert readable[:1] == damaged[:1]
    assert len(readable) <= len(damaged)
