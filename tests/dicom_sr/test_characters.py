"""Names as Chinese scanners and PACS write them. Expected text: the characters themselves."""

from __future__ import annotations

import io
import struct

import pytest
from pydicom import Dataset, dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from dicom_sr.content.structured_report import build_sr
from dicom_sr.header.characters import text_of
from dicom_sr.header.copied_values import patient_and_study, referenced_request, refused_values
from dicom_sr.report.errors import ReportError
from dicom_sr.report.report_inputs import ReportOptions, SourceStudy
from tests.dicom_sr import samples
from tests.peers import unpacked

NAME = "Zhang^JuYi=張^乶一"  # the second given character ends in byte 5C (a back-slash) in GBK and GB18030


def received(label: str | None, encoding: str, name: str = NAME, description: str = "鼻咽增强") -> Dataset:
    """A data set as it comes from the wire: labelled `label`, its text really in `encoding`."""
    texts = {"PatientName": name.encode(encoding), "StudyDescription": description.encode(encoding)}
    body = io.BytesIO()
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SOPClassUID, made.SOPInstanceUID, made.PatientID = MRImageStorage, "2.25.5", "P1"
    if label:
        made.SpecificCharacterSet = label
    for keyword, text in texts.items():
        setattr(made, keyword, keyword[0] * len(text))
    made.save_as(body, enforce_file_format=True)
    raw = body.getvalue()
    for keyword, text in texts.items():
        assert raw.count(keyword[0].encode() * len(text)) == 1
        raw = raw.replace(keyword[0].encode() * len(text), text)
    return dcmread(io.BytesIO(raw))


@pytest.mark.parametrize(
    ("label", "encoding", "actual"),
    [
        ("ISO_IR 192", "utf-8", None),
        ("GB18030", "gb18030", None),
        ("GBK", "gbk", None),
        ("ISO_IR 100", "gbk", "GB18030"),
        (None, "gb18030", "GB18030"),
        ("ISO_IR 192", "gb18030", "GB18030"),
    ],
)
def test_chinese_names_stay_intact(label: str | None, encoding: str, actual: str | None) -> None:
    ds = received(label, encoding)
    assert text_of(ds, "PatientName", actual) == NAME
    assert text_of(ds, "StudyDescription", actual) == "鼻咽增强"


def test_the_override_also_helps_where_the_text_was_decoded_wrongly_before() -> None:
    ds = received("ISO_IR 100", "gb18030", name="Wang^XiaoDong=王^小东")
    assert str(ds.PatientName) != "Wang^XiaoDong=王^小东"
    assert str(ds.StudyDescription) != "鼻咽增强"
    assert text_of(ds, "PatientName", "GB18030") == "Wang^XiaoDong=王^小东"
    assert text_of(ds, "StudyDescription", "GB18030") == "鼻咽增强"


def test_a_name_that_is_not_text_of_its_character_set_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(ReportError, match=r"PatientName: expected text in ISO_IR 192.*real character set"):
        text_of(received("ISO_IR 192", "gb18030"), "PatientName")
    with pytest.raises(ReportError, match=r"StudyDescription: expected text in ISO_IR 192"):
        text_of(received("ISO_IR 192", "gb18030"), "StudyDescription")


def test_sequences_are_decoded_with_the_character_set_of_the_data_set() -> None:
    ds = samples.mr_dataset(samples.ROLES[0], 0, SpecificCharacterSet="GB18030")
    ds.RequestAttributesSequence[0].RequestedProcedureDescription = "鼻咽 MRI"
    body = io.BytesIO()
    ds.save_as(body, implicit_vr=True, little_endian=True)
    again = dcmread(io.BytesIO(body.getvalue()), force=True)
    assert referenced_request(SourceStudy((again,)))[0].RequestedProcedureDescription == "鼻咽 MRI"


@pytest.mark.parametrize(("label", "encoding", "actual"), [("GB18030", "gb18030", None), ("ISO_IR 100", "gbk", "GBK")])
def test_the_report_of_such_a_source_is_utf8(label: str, encoding: str, actual: str | None) -> None:
    named = received(label, encoding)
    mr = []
    for ds in samples.sources().mr:
        ds.SpecificCharacterSet = label
        for keyword in ("PatientName", "StudyDescription"):
            ds[keyword] = named.get_item(keyword)
        ds.RequestAttributesSequence, ds.ReferringPhysicianName = [], ""
        mr.append(ds)
    made = io.BytesIO()
    build_sr(samples.scored(), SourceStudy(tuple(mr), character_set=actual), ReportOptions()).save_as(
        made, enforce_file_format=True
    )
    made.seek(0)
    again = dcmread(made)
    assert again.SpecificCharacterSet == "ISO_IR 192"
    assert str(again.PatientName) == NAME
    assert again.StudyDescription == "鼻咽增强"


def test_real_gb18030_and_utf8_files_of_others(tmp_path) -> None:
    """pydicom's and fo-dicom's sample files; their names are the examples of PS3.5 Annexes I and J."""
    folder = unpacked("nasty", tmp_path)
    found = {}
    for path in folder.rglob("*"):
        if path.name in ("chrX2.dcm", "chrX1.dcm"):
            found[path.name] = str(patient_and_study(SourceStudy((dcmread(path, force=True),))).PatientName)
    assert found == {"chrX1.dcm": "Wang^XiaoDong=王^小東", "chrX2.dcm": "Wang^XiaoDong=王^小东"}


YAMADA = "Yamada^Tarou=山田^太郎=やまだ^たろう"
HONG = "Hong^Gildong=洪^吉洞=홍^길동"
# The byte strings of PS3.5 Annexes H to K, in the order of the standard.
STANDARD_NAMES = [
    (r"\ISO 2022 IR 87", b"Yamada^Tarou=\x1b$B\x3b\x33\x45\x44\x1b(B^\x1b$B\x42\x40\x4f\x3a\x1b(B="
     b"\x1b$B\x24\x64\x24\x5e\x24\x40\x1b(B^\x1b$B\x24\x3f\x24\x6d\x24\x26\x1b(B", YAMADA),
    (r"ISO 2022 IR 13\ISO 2022 IR 87", b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B\x3b\x33\x45\x44\x1b(J^"
     b"\x1b$B\x42\x40\x4f\x3a\x1b(J=\x1b$B\x24\x64\x24\x5e\x24\x40\x1b(J^"
     b"\x1b$B\x24\x3f\x24\x6d\x24\x26\x1b(J", "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"),
    (r"\ISO 2022 IR 149", b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7="
     b"\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf", HONG),
    ("ISO_IR 192", b"Wang^XiaoDong=\xe7\x8e\x8b^\xe5\xb0\x8f\xe6\x9d\xb1=", "Wang^XiaoDong=王^小東="),
    ("GB18030", b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab=", "Wang^XiaoDong=王^小东="),
    ("GBK", b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab=", "Wang^XiaoDong=王^小东="),
    (r"\ISO 2022 IR 58", b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab=", "Zhang^XiaoDong=张^小东="),
]  # fmt: skip


def raw_dataset(labels: str | None, **elements: bytes) -> Dataset:
    """A data set with these bytes as they would be on the wire (Implicit VR Little Endian)."""
    body = b""
    if labels is not None:
        body += _element(0x00080005, labels.encode())
    for tag, value in sorted((tag_for_keyword(keyword), value) for keyword, value in elements.items()):
        body += _element(tag, value)
    return dcmread(io.BytesIO(body), force=True)


def _element(tag: int, value: bytes) -> bytes:
    padded = value + b" " * (len(value) % 2)
    return struct.pack("<HHL", tag >> 16, tag & 0xFFFF, len(padded)) + padded


@pytest.mark.parametrize(("labels", "encoded", "expected"), STANDARD_NAMES)
def test_the_names_of_annexes_h_to_k_are_decoded(labels: str, encoded: bytes, expected: str) -> None:
    assert text_of(raw_dataset(labels, PatientName=encoded), "PatientName") == expected


def test_the_texts_of_annexes_i_and_k_are_decoded_line_by_line() -> None:
    korean = b"\x1b$)CThe first line includes \xb1\xe6\xb5\xbf.\r\n\x1b$)C\xb1\xe6\xb5\xbf second.\r\n"
    ds = raw_dataset(r"\ISO 2022 IR 149", PatientComments=korean)
    assert text_of(ds, "PatientComments") == "The first line includes 길동.\r\n길동 second.\r\n"
    chinese = (
        b"1. \x1b$)A\xb5\xda\xd2\xbb\xd0\xd0\xce\xc4\xd7\xd6\xa1\xa3\r\n"
        b"2. \x1b$)A\xb5\xda\xb6\xfe\xd0\xd0\xce\xc4\xd7\xd6\xa1\xa3\r\n"
    )
    ds = raw_dataset(r"\ISO 2022 IR 58", PatientComments=chinese)
    assert text_of(ds, "PatientComments") == "1. 第一行文字。\r\n2. 第二行文字。\r\n"


@pytest.mark.filterwarnings("ignore:Unknown encoding")
@pytest.mark.parametrize(("labels", "encoded"), [
    (r"\ISO 2022 IR 58", b"Zhang=\x1b$)A\xd5\xc5^\xd0\xa1"),  # not designated again after the delimiter
    (r"\ISO 2022 IR 58", b"Zhang=\x1b$)A\xd5"),  # half a character
    (r"\ISO 2022 IR 58", b"Zhang=\x1b$)Z\xd5\xc5"),  # no escape sequence of the standard
    ("ISO_IR 192", b"\xcd\xf5"),
    (None, "Müller".encode("latin-1")),
    ("NO_SUCH_SET", "Müller".encode("latin-1")),
])  # fmt: skip
def test_text_that_cannot_be_decoded_is_left_empty_and_named(labels: str | None, encoded: bytes) -> None:
    ds = raw_dataset(labels, PatientName=encoded, StudyInstanceUID=b"1.2")
    copied = patient_and_study(SourceStudy((ds,)))
    assert copied["PatientName"].is_empty
    assert [value.keyword for value in refused_values(SourceStudy((ds,)))] == ["PatientName"]
