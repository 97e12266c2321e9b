"""Values of the MR header in the objects of a report. Expected: PS3.5 table 6.2-1, and pydicom's strict validation."""

from __future__ import annotations

import io
import warnings

import pytest
from pydicom import Dataset, dcmread
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from dicom_sr.header.copied_values import (
    COPIED_FROM_MR,
    REQUIRED_FROM_MR,
    STUDY_UID,
    patient_and_study,
    with_header_findings,
)
from dicom_sr.objects.build import build_objects
from dicom_sr.objects.validation import value_violations
from dicom_sr.reading.reader import read_report
from dicom_sr.report.report_inputs import ReportOptions, SourceStudy
from tests.dicom_sr import samples

STUDY = samples.sources()
ONLY_SR = ReportOptions(kinds=("sr",))
COPIED = [
    keyword
    for keyword in (*REQUIRED_FROM_MR, *COPIED_FROM_MR)
    if keyword != STUDY_UID and dictionary_VR(keyword) != "SQ"
]
REQUESTED = ["AccessionNumber", "PlacerOrderNumberImagingServiceRequest", "RequestedProcedureID",
             "RequestedProcedureDescription"]  # fmt: skip


def raw(keyword: str, value: bytes) -> RawDataElement:
    tag = tag_for_keyword(keyword)
    assert tag is not None
    return RawDataElement(Tag(tag), dictionary_VR(keyword), len(value), value, 0, False, True)


def sources_with(keyword: str, value: bytes, label: str = "ISO_IR 192", in_request: bool = False) -> SourceStudy:
    """The sample study, with one element of its first MR header as these bytes."""
    study = STUDY
    first = samples.mr_dataset(samples.ROLES[0], 0)
    if label != "ISO_IR 192":
        first.PatientName, first.ReferringPhysicianName, first.StudyDescription = "Wang", "Li", "MRI"
        del first.RequestAttributesSequence
    first.SpecificCharacterSet = label
    target = first.RequestAttributesSequence[0] if in_request else first
    target[tag_for_keyword(keyword)] = raw(keyword, value)
    return SourceStudy((first, *study.mr[1:]), study.contours)


def sr_of(sources: SourceStudy) -> Dataset:
    return dcmread(io.BytesIO(build_objects(samples.scored(), sources, options=ONLY_SR)[0].encoded))


def encoded_again(ds: Dataset) -> Dataset:
    body = io.BytesIO()
    ds.save_as(body, implicit_vr=False, little_endian=True)
    return dcmread(io.BytesIO(body.getvalue()), force=True)


REFUSED = [
    ("StudyTime", "09:30:00"), ("StudyTime", "256199"), ("StudyTime", "093000.1234567"), ("StudyTime", " 093000"),
    ("StudyTime", "9"), ("StudyTime", "0930-1000"), ("StudyTime", "093000+0800"),
    ("PatientBirthDate", "00/00/0000"), ("PatientBirthDate", "19790017"), ("PatientBirthDate", "1979"),
    ("PatientBirthDate", "1979.01.17"), ("PatientBirthDate", "１９７９０１１７"), ("PatientBirthDate", "19790229"),
    ("StudyDate", "2026"), ("StudyDate", "00000000"), ("StudyDate", "20260503-20260504"),
    ("PatientName", "Wang\\Li"), ("PatientName", "a=b=c=d"), ("PatientName", "x" * 65), ("PatientName", "a^b^c^d^e^f"),
    ("PatientName", "Wang\nLi"), ("ReferringPhysicianName", "Li\x01"), ("PatientID", "P\\1"), ("PatientID", "7" * 65),
    ("AccessionNumber", "A" * 40), ("StudyID", "S" * 17), ("StudyDescription", "MRI\x00head"), ("PatientSex", "male"),
    ("PatientSex", "m"), ("PatientAge", "46"), ("PatientAge", "46Y"), ("PatientAge", "046y"),
    ("PatientWeight", "70 kg"),
    ("PatientSize", "1,75"), ("PatientWeight", "1e999"), ("PatientWeight", "70.1234567890123456"),
    ("PatientIdentityRemoved", "MAYBE"), ("PatientBirthTime", "24"), ("IssuerOfPatientID", "\x85"),
]  # fmt: skip
CONFORMING = [
    ("StudyTime", "09"), ("StudyTime", "0930"), ("StudyTime", "093000.123456"), ("StudyTime", "235960"),
    ("StudyTime", "093000  "), ("PatientBirthDate", "19800229"), ("PatientName", "王^小东"), ("PatientName", "x" * 64),
    ("PatientName", "A^B^C^D^E=王=B"), ("AccessionNumber", "A" * 16), ("PatientID", "P 1/2"), ("PatientSex", "O"),
    ("PatientAge", "046Y"), ("PatientWeight", "70.50"), ("PatientSize", "+1.75e0"), ("PatientIdentityRemoved", "YES"),
]  # fmt: skip


@pytest.mark.parametrize(("keyword", "value"), REFUSED)
def test_a_value_that_does_not_conform_is_left_empty_and_named(keyword: str, value: str) -> None:
    sources = sources_with(keyword, value.encode())
    copied = patient_and_study(sources)
    if keyword in REQUIRED_FROM_MR:
        assert copied[keyword].is_empty
    else:
        assert keyword not in copied
    quality = with_header_findings(samples.scored(), sources).quality
    assert [reason.code for reason in quality] == ["header_value"]
    assert [reason.text.split(" of the MR: expected ")[0] for reason in quality] == [keyword]
    assert ", found " in quality[0].text


@pytest.mark.parametrize(
    ("keyword", "value"), [("StudyTime", "09:30:00"), ("PatientID", "7" * 65), ("PatientName", "Wang\\Li")]
)
def test_the_sr_names_a_value_that_it_does_not_have(keyword: str, value: str) -> None:
    sr = sr_of(sources_with(keyword, value.encode()))
    assert sr[keyword].is_empty
    assert f"{keyword} of the MR: expected" in read_report(sr).quality[0].text


@pytest.mark.parametrize(("keyword", "value"), CONFORMING)
def test_a_value_that_conforms_is_copied_as_it_is(keyword: str, value: str) -> None:
    sources = sources_with(keyword, value.encode())
    encoded = encoded_again(patient_and_study(sources))
    assert bytes(encoded.get_item(keyword).value).rstrip(b" ") == value.encode().rstrip(b" ")
    report = samples.scored()
    assert with_header_findings(report, sources) is report


def test_the_pages_show_what_the_objects_contain() -> None:
    from dicom_sr.objects.build import patient_caption

    caption = patient_caption(sources_with("PatientBirthDate", b"00/00/0000"))
    assert (caption.name, caption.birth_date, caption.study_date) == (samples.CHINESE_NAME, "", "2024-03-11")


def test_a_damaged_code_of_a_request_is_left_out_whole() -> None:
    sources = samples.sources()
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator = "X1", "99SITE"
    code[tag_for_keyword("CodeMeaning")] = raw("CodeMeaning", b"a\\b")
    sources.mr[0].RequestAttributesSequence[0].RequestedProcedureCodeSequence = [code]
    sr = sr_of(sources)
    assert not sr.ReferencedRequestSequence[0].RequestedProcedureCodeSequence
    assert "RequestedProcedureCodeSequence > CodeMeaning" in read_report(sr).quality[0].text


def test_validation_names_a_value_that_does_not_conform() -> None:
    ds = Dataset()
    item = Dataset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        item.AccessionNumber = "A" * 40
        ds.ReferencedRequestSequence = [item]
    assert list(value_violations(ds)) == [
        f"AccessionNumber: expected a line of at most 16 characters, found '{'A' * 40}'"
    ]
