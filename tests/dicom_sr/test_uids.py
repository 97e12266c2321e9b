from __future__ import annotations

import hashlib
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_sr.header.uids import NAMESPACE, device_uid, series_uid_of, uid_for
from dicom_sr.objects.build import build_objects
from dicom_sr.report.report_inputs import ReportOptions
from tests.dicom_sr import samples

NAMESPACE_HEX = "6f0d3c1e5d7a5c3b9a498b1f5e0f2c77"
IDENTITY = "1f" * 32
# Computed with hashlib alone (see `by_hand`), not with the uuid module that the program uses.
PINNED = {
    "sr": "2.25.286754432914143581795231041073488226156",
    "seg/T1w": "2.25.340158391123930706472333476240696258559",
    "track/Inputs and scores": "2.25.274529442621763159570203700532043484120",
}


def by_hand(name: str) -> str:
    """RFC 9562 section 5.5 and PS3.5 B.2: SHA-1 of namespace and name, version and variant bits set, in decimal."""
    digest = bytearray(hashlib.sha1(bytes.fromhex(NAMESPACE_HEX) + name.encode(), usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    return f"2.25.{int.from_bytes(digest, 'big')}"


def test_the_namespace_never_changes() -> None:
    assert NAMESPACE.hex == NAMESPACE_HEX


@pytest.mark.parametrize(("kind", "uid"), PINNED.items())
def test_uids_are_those_that_earlier_reports_have(kind: str, uid: str) -> None:
    assert uid_for(IDENTITY, kind) == uid == by_hand(f"{IDENTITY}/{kind}")


def test_series_and_device_have_pinned_uids() -> None:
    assert (
        series_uid_of(PINNED["sr"])
        == "2.25.245257459359371663441894932177302741819"
        == by_hand(f"{PINNED['sr']}/series")
    )
    assert device_uid("sha256:ab") == "2.25.317953583058865514196670060227422115085" == by_hand("sha256:ab/device")


def test_the_objects_of_a_report_have_the_pinned_uids() -> None:
    objects = build_objects(samples.scored(), samples.sources(), None, ReportOptions(kinds=("sr", "seg")))
    uids = [built.sop_instance_uid for built in objects]
    assert uids[0] == PINNED["seg/T1w"]
    assert uids[-1] == PINNED["sr"]
    assert objects[-1].dataset.SeriesInstanceUID == "2.25.245257459359371663441894932177302741819"


@given(st.text(max_size=80), st.text(max_size=20))
def test_uids_are_valid_and_follow_from_what_they_name(identity: str, kind: str) -> None:
    uid = uid_for(identity, kind)
    assert len(uid) <= 64
    assert uid == by_hand(f"{identity}/{kind}")
    assert UUID(int=int(uid.removeprefix("2.25."))).version == 5  # PS3.5 B.2
    assert uid != uid_for(identity + "0", kind)


def test_series_and_device_differ_with_what_they_belong_to() -> None:
    assert series_uid_of("2.25.1") != series_uid_of("2.25.2")
    assert device_uid("sha256:a") != device_uid("sha256:b")
