from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from dicom_sr.header.uids import device_uid, series_uid_of, uid_for


@given(st.text(max_size=80), st.text(max_size=20))
def test_uids_are_valid_and_follow_from_what_they_name(identity: str, kind: str) -> None:
    uid = uid_for(identity, kind)
    assert len(uid) <= 64
    assert uid == uid_for(identity, kind)
    assert UUID(int=int(uid.removeprefix("2.25."))).version == 5  # PS3.5 B.2
    assert uid != uid_for(identity + "0", kind)


def test_series_and_device_differ_with_what_they_belong_to() -> None:
    assert series_uid_of("2.25.1") != series_uid_of("2.25.2")
    assert device_uid("sha256:a") != device_uid("sha256:b")
