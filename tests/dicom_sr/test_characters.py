"""Names as Chinese scanners and PACS write them. Expected text: the characters themselves."""

from __future__ import annotations

import io

import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from dicom_sr.content.structured_report import build_sr
from dicom_sr.header.attributes import patient_and_study
from dicom_sr.header.characters import text_of, transcoded
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
    assert "\ufffd" in text_of(received("ISO_IR 192", "gb18030"), "StudyDescription")


def test_sequences_are_decoded_with_the_character_set_of_the_data_set() -> None:
    ds = samples.mr_dataset(samples.ROLES[0], 0, SpecificCharacterSet="GB18030")
    ds.RequestAttributesSequence[0].RequestedProcedureDescription = "鼻咽 MRI"
    body = io.BytesIO()
    ds.save_as(body, implicit_vr=True, little_endian=True)
    again = dcmread(io.BytesIO(body.getvalue()), force=True)
    element = transcoded(again, "RequestAttributesSequence")
    assert element is not None
    assert element.value[0].RequestedProcedureDescription == "鼻咽 MRI"


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
