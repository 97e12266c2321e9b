"""Heads read from what follows on others are those that are read alone."""

from __future__ import annotations

from pathlib import Path

import pydicom.config
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread

from node.dicom.headers.early_header import Head, read_head
from node.dicom.headers.series_head import SPARE_BYTES, SeriesHead
from node.dicom.scp.intake import HEAD_BYTES
from tests.dicom.raw_scu import BIG_ENDIAN, EXPLICIT, IMPLICIT
from tests.dicom.scenes import encoded, mr_slice
from tests.dicom.test_head import ENHANCED, VALUES, with_values
from tests.peers import unpacked

pytestmark = pytest.mark.filterwarnings("ignore")  # pydicom's words about odd values


@pytest.fixture(autouse=True)
def _read_values_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the node does: see node/dicom/network/library_settings.py."""
    monkeypatch.setattr(pydicom.config.settings, "reading_validation_mode", pydicom.config.IGNORE)


def alone(data: bytes, syntax: str) -> Head | None:
    return read_head(memoryview(data)[:HEAD_BYTES], syntax)


def check(slices: list[bytes], syntax: str) -> SeriesHead:
    """One after the other, each is read as it is alone, with the keywords in the same order."""
    series = SeriesHead(syntax)
    for data in slices:
        found, expected = series.read(memoryview(data)[:HEAD_BYTES]), alone(data, syntax)
        assert found == expected
        if found is not None and expected is not None:
            assert list(found.header) == list(expected.header)
    return series


def slice_at(number: int, position: float, **values: object) -> Dataset:
    return mr_slice(
        InstanceNumber=number, ImagePositionPatient=[-100, 2.5, position], SliceLocation=position,
        ContentTime=f"0930{number % 60:02d}.125", SOPInstanceUID=f"1.2.826.0.1.{number}", **values,
    )  # fmt: skip


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_slices_of_a_series_are_not_walked_over_again(syntax: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once three have shown what differs, and although their numbers have more or fewer digits."""
    slices = [encoded(slice_at(n, n * 7.25 - 30), syntax) for n in (1, 12, 5, 9, 10, 11, 120)]
    series = check(slices[:3], syntax)
    expected = [alone(data, syntax) for data in slices[3:]]
    monkeypatch.setattr("node.dicom.headers.series_head.walk", lambda *_: pytest.fail("walked over all elements"))
    assert [series.read(memoryview(data)) for data in slices[3:]] == expected


def test_another_series_and_what_is_no_mr_image_between_them() -> None:
    sagittal = {"SeriesDescription": "t2 sag", "EchoTime": "98", "PatientName": "B^C"}
    slices = [slice_at(n, n) for n in (1, 2, 3)]
    slices += [slice_at(1, 4, **sagittal), slice_at(2, 5, **sagittal), mr_slice(sop_class=ENHANCED), slice_at(4, 4)]
    check([encoded(ds) for ds in slices], EXPLICIT)
    assert SeriesHead(BIG_ENDIAN).read(memoryview(encoded(slices[0], BIG_ENDIAN))) is None


def test_the_class_may_differ_only_where_it_stays_an_mr_image() -> None:
    """A class of the same length that was one of the differing elements before."""
    slices = [encoded(slice_at(n, n)) for n in range(4)]
    padded = slices[1].replace(b"1.2.840.10008.5.1.4.1.1.4\0", b"1.2.840.10008.5.1.4.1.1.4 ")
    other = slices[3].replace(b"1.2.840.10008.5.1.4.1.1.4\0", b"1.2.840.10008.5.1.4.1.1.2\0")
    assert alone(other, EXPLICIT) is None
    check([slices[0], padded, slices[2], other, slices[3]], EXPLICIT)


def test_the_same_bytes_in_changing_character_sets() -> None:
    latin, utf = {0x00080005: b"ISO_IR 100"}, {0x00080005: b"ISO_IR 192"}
    one, other = {0x00100010: "Müller".encode()}, {0x00100010: "Möller".encode()}
    several = [utf | one, latin | other, utf | other, latin | one, utf | one, latin | other]
    check([with_values(values) for values in several], EXPLICIT)


def test_a_number_that_is_none_now_and_then() -> None:
    thicknesses = [b"1", b"2", b"x1", b"3", b"x1", b"4", b"5"]
    check([with_values({0x00180050: thickness}) for thickness in thicknesses], EXPLICIT)


def test_a_cut_off_head_is_told_nothing_of() -> None:
    slices = [encoded(slice_at(n, n)) for n in range(4)]
    series = check(slices[:3], EXPLICIT)
    for end in range(0, 1200, 7):
        assert series.read(memoryview(slices[3])[:end]) == read_head(memoryview(slices[3])[:end], EXPLICIT)


def test_a_header_that_is_much_longer_than_those_before() -> None:
    slices = [slice_at(n, n, ImageComments="x" * length) for n, length in enumerate((2, 4, 6, SPARE_BYTES + 800, 8))]
    check([encoded(ds) for ds in slices], EXPLICIT)


@given(several=st.lists(VALUES, min_size=2, max_size=7))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_differs_each_is_read_as_alone(several: list[dict[int, bytes]]) -> None:
    check([with_values(values) for values in several], EXPLICIT)


@given(data=st.data())
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_byte_among_good_slices(data: st.DataObject) -> None:
    """Numbers of one and of two digits have shown what differs; then a byte of the header is another one."""
    slices = [with_values({0x00200013: b"%d" % n, 0x00200032: b"-1\\2.5\\%d" % n}) for n in (1, 9, 10, 11, 12)]
    for at in data.draw(st.lists(st.integers(2, 4), max_size=3)):
        damaged = bytearray(slices[at])
        damaged[data.draw(st.integers(0, 500))] = data.draw(st.integers(0, 255))
        slices[at] = bytes(damaged)
    check(slices, EXPLICIT)


@pytest.mark.parametrize("name", ["mr_siemens_t2_classic", "mr_ge_pd_axial_brain", "mr_vendor_minis"])
def test_archives_of_real_scanners(name: str, tmp_path: Path) -> None:
    slices: dict[str, list[bytes]] = {EXPLICIT: [], IMPLICIT: []}
    for path in sorted(unpacked(name, tmp_path).rglob("*")):
        if path.is_file():
            ds = dcmread(path, force=True)
            syntax = str(ds.file_meta.get("TransferSyntaxUID", ""))
            if syntax in slices and "PixelData" in ds:
                slices[syntax].append(encoded(ds, syntax))
    assert any(slices.values())
    for syntax, several in slices.items():
        check([*several, *several], syntax)
