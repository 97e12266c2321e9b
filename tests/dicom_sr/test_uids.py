from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta
from io import BytesIO
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset, dcmread

from dicom_sr.content.structured_report import build_sr
from dicom_sr.header.attributes import local_time
from dicom_sr.header.uids import NAMESPACE, device_uid, series_uid_of, uid_for
from dicom_sr.objects.encapsulated_pdf import build_pdf
from dicom_sr.objects.secondary_capture import build_sc
from dicom_sr.objects.segmentation import build_segmentations
from dicom_sr.report.report_inputs import ReportObject, ReportOptions
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
    assert device_uid("sha256:ab", "0.1.0") == by_hand("sha256:ab/device/0.1.0")


@given(st.text(max_size=80), st.text(max_size=20))
def test_uids_are_valid_and_follow_from_what_they_name(identity: str, kind: str) -> None:
    uid = uid_for(identity, kind)
    assert len(uid) <= 64
    assert uid == by_hand(f"{identity}/{kind}")
    assert UUID(int=int(uid.removeprefix("2.25."))).version == 5  # PS3.5 B.2
    assert uid != uid_for(identity + "0", kind)


def test_series_and_device_differ_with_what_they_belong_to() -> None:
    assert series_uid_of("2.25.1") != series_uid_of("2.25.2")
    assert len({device_uid("sha256:a", "1"), device_uid("sha256:b", "1"), device_uid("sha256:a", "2")}) == 3


ALL_KINDS = ReportOptions(kinds=("sr", "sc", "pdf", "seg", "attribution"))
REPORT = samples.scored()
CHANGES = {
    "nothing": (REPORT, ALL_KINDS),
    "time": (replace(REPORT, created=REPORT.created + timedelta(seconds=1)), ALL_KINDS),
    "time zone": (REPORT, replace(ALL_KINDS, timezone="+0800")),
    "language": (REPORT, replace(ALL_KINDS, language="zh")),
    "flag": (REPORT, replace(ALL_KINDS, preliminary=False)),
    "institution": (REPORT, replace(ALL_KINDS, institution="Hospital")),
    "serial number": (REPORT, replace(ALL_KINDS, device_serial_number="S1")),
    "device identifier": (REPORT, replace(ALL_KINDS, device_udi="(01)00844588003288")),
    "software version": (replace(REPORT, software_version="9"), ALL_KINDS),
    "revision": (replace(REPORT, revision=2), ALL_KINDS),
    "predecessor": (replace(REPORT, predecessors=("2.25.9",)), ALL_KINDS),
    "identity": (replace(REPORT, report_identity="2f" * 32), ALL_KINDS),
}


@pytest.fixture(scope="module")
def built() -> dict[str, dict[str, bytes]]:
    """By change, the bytes of each object by its SOP Instance UID; the page is blank, whatever was changed."""
    page = np.zeros((8, 8, 3), np.uint8)
    every = samples.sources()
    sources = replace(every, mr=every.mr[: samples.N_SLICES], masks=every.masks[:1])
    found = {}
    for name, (report, options) in CHANGES.items():
        report = replace(report, created=local_time(report, options))
        segmentations = build_segmentations(report, sources, options)
        objects = [
            *segmentations,
            build_sr(report, sources, options, segmentations),
            *build_sc([page, page], report, sources, options),
            build_pdf(b"%PDF-1.4", report, sources, options),
        ]
        found[name] = {str(ds.SOPInstanceUID): ReportObject("sr", "", "", ds).encoded for ds in objects}
    return found


def test_a_uid_is_equal_if_and_only_if_the_bytes_are(built: dict[str, dict[str, bytes]]) -> None:
    contents: dict[str, bytes] = {}
    uids: dict[bytes, str] = {}
    for objects in built.values():
        assert len(objects) == 1 + 1 + 2 + 1
        for uid, content in objects.items():
            assert contents.setdefault(uid, content) == content
            assert uids.setdefault(content, uid) == uid


@pytest.mark.parametrize("change", [name for name in CHANGES if name != "nothing"])
def test_every_change_gives_the_sr_another_uid_and_other_series(
    change: str, built: dict[str, dict[str, bytes]]
) -> None:
    def srs(name: str) -> list[Dataset]:
        found = [dcmread(BytesIO(content)) for content in built[name].values()]
        return [ds for ds in found if ds.Modality == "SR"]

    [before], [after] = srs("nothing"), srs(change)
    assert before.SOPInstanceUID != after.SOPInstanceUID
    assert after.SeriesInstanceUID == series_uid_of(after.SOPInstanceUID) != before.SeriesInstanceUID
