"""The header from the first bytes of an image is that of the whole object, or there is none."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pydicom.config
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.sequence import Sequence

from node.cases.headers import header_of
from node.dicom.headers.early_header import EARLY_HEADER_BYTES, read_early_header
from node.dicom.headers.full_header import decode_elements
from node.dicom.headers.structure import SOP_INSTANCE_UID, validate_structure
from tests.dicom.raw_scu import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT
from tests.dicom.scenes import encoded, mr_slice
from tests.peers import unpacked

pytestmark = pytest.mark.filterwarnings("ignore")  # pydicom warns of odd values

ENHANCED = "1.2.840.10008.5.1.4.1.1.4.1"


@pytest.fixture(autouse=True)
def _read_values_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the node does: see node/dicom/network/library_settings.py."""
    monkeypatch.setattr(pydicom.config.settings, "reading_validation_mode", pydicom.config.IGNORE)


def header_of_all(data: bytes, syntax: str) -> dict[str, Any]:
    """The header as the whole object is read."""
    return header_of(decode_elements(data[: validate_structure(data, syntax).pixel_offset], syntax))


@cache
def parts() -> dict[int, bytes]:
    """The encoded elements of a small image by tag."""
    elements = {}
    for element in mr_slice():
        ds = Dataset()
        ds[element.tag] = element
        if element.keyword == "PixelData":
            element.VR = "OW"
        elements[int(element.tag)] = encoded(ds)
    return elements


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_a_scanners_header_equals_that_of_the_whole_object(syntax: str) -> None:
    ds = mr_slice(
        SpecificCharacterSet="ISO_IR 192", PatientBirthDate="19700101", ImageType=["ORIGINAL", "PRIMARY"],
        EchoTime="12.5", RepetitionTime=620, FlipAngle="1.5e2", ScanningSequence="SE", ScanOptions=["FS", "SP"],
        PixelSpacing=[0.45, 0.45], ImagePositionPatient=["-1", "2.50", "1e-3"], InstanceNumber=7, SeriesNumber=None,
        ImageOrientationPatient=[1, 0, 0, 0, 1, 0], AcquisitionTime="093000.125", PatientAge="052Y",
        ContrastBolusAgent="Gd ",
    )  # fmt: skip
    ds.PatientName = "王^小明"
    agent = Dataset()
    agent.CodeMeaning = "Gadobutrol"
    ds.ContrastBolusAgentSequence = Sequence([agent])
    data = encoded(ds, syntax)
    for _ in range(2):  # decoded, then from the cache
        early = read_early_header(memoryview(data)[:4096], syntax)
        assert early is not None
        assert early.header.values == header_of_all(data, syntax)
        assert list(early.header.values) == list(header_of_all(data, syntax))
        assert early.header.uids == validate_structure(data, syntax).uids
        assert early.size_bytes == len(data)
    assert early.header.values["ContrastBolusAgentSequence"] == ["Gadobutrol"]
    assert early.header.uids[SOP_INSTANCE_UID] == ds.SOPInstanceUID


def test_a_sequence_of_undefined_length_equals_that_of_the_whole_object() -> None:
    ds = mr_slice()
    agent = Dataset()
    agent.CodeMeaning = "Gadoteric acid"
    agent.is_undefined_length_sequence_item = True
    ds.ContrastBolusAgentSequence = Sequence([agent])
    ds["ContrastBolusAgentSequence"].is_undefined_length = True
    data = encoded(ds)
    early = read_early_header(memoryview(data), EXPLICIT)
    assert early is not None
    assert early.header.values == header_of_all(data, EXPLICIT)
    assert early.header.values["ContrastBolusAgentSequence"] == ["Gadoteric acid"]


@pytest.mark.parametrize("syntax", [BIG_ENDIAN, DEFLATED])
def test_other_encodings_are_not_read_early(syntax: str) -> None:
    assert read_early_header(memoryview(encoded(mr_slice(), syntax)), syntax) is None


def test_a_header_that_is_cut_off_or_unusual_is_not_read_early() -> None:
    data = encoded(mr_slice())
    pixels = validate_structure(data, EXPLICIT).pixel_offset
    assert pixels is not None
    for end in range(0, pixels + 12, 7):
        assert read_early_header(memoryview(data)[:end], EXPLICIT) is None
    assert read_early_header(memoryview(data)[: pixels + 12], EXPLICIT) is not None
    assert read_early_header(memoryview(encoded(mr_slice(sop_class=ENHANCED))), EXPLICIT) is None
    swapped = data.replace(b"\x28\x00\x10\x00US", b"\x20\x00\x10\x00US", 1)  # Rows becomes an element out of order
    assert read_early_header(memoryview(swapped), EXPLICIT) is None


NUMBER_TEXT = st.text("0123456789.+-eE \\\0", max_size=24).map(str.encode)
ANY_TEXT = st.one_of(NUMBER_TEXT, st.binary(max_size=20), st.text("AZ09 ._^\\\0", max_size=16).map(str.encode))
ELEMENTS = {
    0x00080008: "CS", 0x00080032: "TM", 0x0008103E: "LO", 0x00100010: "PN", 0x00101010: "AS", 0x00180050: "DS",
    0x00180080: "DS", 0x00180086: "IS", 0x00200013: "IS", 0x00200032: "DS", 0x00200052: "UI", 0x00280030: "DS",
}  # fmt: skip


CHARACTER_SETS = st.sampled_from(
    [b"", b"ISO_IR 100", b"ISO_IR 192", b"GB18030", b"\\ISO 2022 IR 58", b"nonsense"]
)  # fmt: skip
VALUES = st.fixed_dictionaries({}, optional=dict.fromkeys(ELEMENTS, ANY_TEXT) | {0x00080005: CHARACTER_SETS})


def with_values(values: Mapping[int, bytes]) -> bytes:
    """A small image with these values, whatever they are."""
    elements = dict(parts())
    for tag, value in values.items():
        vr, padded = ELEMENTS.get(tag, "CS"), value + b" " * (len(value) % 2)
        head = (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little") + vr.encode()
        elements[tag] = head + len(padded).to_bytes(2, "little") + padded
    return b"".join(elements[tag] for tag in sorted(elements))


@given(values=VALUES)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_as_values_give_the_header_of_the_whole_object(values: dict[int, bytes]) -> None:
    data = with_values(values)
    early = read_early_header(memoryview(data), EXPLICIT)
    assert early is not None
    assert early.header.values == header_of_all(data, EXPLICIT)


@pytest.mark.parametrize("name", ["mr_siemens_t2_classic", "mr_ge_pd_axial_brain", "mr_vendor_minis"])
def test_headers_of_real_scanners_equal_those_of_the_whole_objects(name: str, tmp_path: Path) -> None:
    read = 0
    for path in sorted(unpacked(name, tmp_path).rglob("*")):
        if not path.is_file():
            continue
        ds = dcmread(path, force=True)
        syntax = str(ds.file_meta.get("TransferSyntaxUID", ""))
        if syntax not in (EXPLICIT, IMPLICIT) or "PixelData" not in ds:
            continue
        data = encoded(ds, syntax)
        early = read_early_header(memoryview(data)[:EARLY_HEADER_BYTES], syntax)
        if early is not None:
            read += 1
            assert early.header.values == header_of_all(data, syntax)
    assert read > 0
