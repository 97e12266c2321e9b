"""Values of the MR header in the objects of a report. Expected: PS3.5 table 6.2-1, and pydicom's strict validation."""

from __future__ import annotations

import io
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, config, dcmread
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.valuerep import validate_value

from dicom_sr.header.copied_values import (
    COPIED_FROM_MR,
    REQUIRED_FROM_MR,
    STUDY_UID,
    patient_and_study,
    referenced_request,
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


def item(**values: str) -> Dataset:
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


INCOMPLETE = [  # PS3.3 tables 10-17, C.7-1 and 8.8-1
    ("IssuerOfAccessionNumberSequence", [item(UniversalEntityID="1.2.3")], "UniversalEntityIDType"),
    ("IssuerOfAccessionNumberSequence", [item(LocalNamespaceEntityID="HIS", UniversalEntityIDType="ISO")],
     "UniversalEntityID"),
    ("OtherPatientIDsSequence", [item(PatientID="P-2")], "TypeOfPatientID"),
    ("OtherPatientIDsSequence", [item(PatientID="P-2", TypeOfPatientID="")], "TypeOfPatientID"),
    ("DeidentificationMethodCodeSequence", [item(CodeValue="1", CodingSchemeDesignator="DCM")], "CodeMeaning"),
    ("DeidentificationMethodCodeSequence", [item(CodeValue="1", CodeMeaning="Basic")], "CodingSchemeDesignator"),
]  # fmt: skip


@pytest.mark.parametrize(("keyword", "items", "missing"), INCOMPLETE)
def test_an_incomplete_item_is_not_copied_and_what_it_lacks_is_named(
    keyword: str, items: list[Dataset], missing: str
) -> None:
    sources = samples.sources()
    setattr(sources.mr[0], keyword, items)
    assert keyword not in patient_and_study(sources)
    (reason,) = with_header_findings(samples.scored(), sources).quality
    assert reason.text.startswith(f"{keyword} > {missing} of the MR: expected a value beside the others of its item, ")


def test_a_second_issuer_of_the_accession_number_makes_both_unclear() -> None:
    sources = samples.sources()
    sources.mr[0].IssuerOfAccessionNumberSequence = [item(LocalNamespaceEntityID=name) for name in ("HIS", "RIS")]
    assert "IssuerOfAccessionNumberSequence" not in patient_and_study(sources)
    (reason,) = with_header_findings(samples.scored(), sources).quality
    assert "expected one item, found 2" in reason.text


TRIAL = {"ClinicalTrialSponsorName": "S", "ClinicalTrialProtocolID": "P", "ClinicalTrialSubjectID": "7"}


@pytest.mark.parametrize("left_out", [None, *TRIAL])
def test_a_clinical_trial_is_copied_whole_or_not_at_all(left_out: str | None) -> None:
    """PS3.3 C.7.1.3: sponsor, protocol and subject are required; names and site may be empty."""
    sources = samples.sources(**{keyword: value for keyword, value in TRIAL.items() if keyword != left_out})
    copied = patient_and_study(sources)
    trial = {element.keyword: element.value for element in copied if element.keyword.startswith("ClinicalTrial")}
    empty = dict.fromkeys(("ClinicalTrialProtocolName", "ClinicalTrialSiteID", "ClinicalTrialSiteName"), "")
    assert {keyword: value or "" for keyword, value in trial.items()} == ({} if left_out else {**TRIAL, **empty})
    named = [reason.text.split(" of the MR")[0] for reason in with_header_findings(samples.scored(), sources).quality]
    assert named == ([left_out] if left_out else [])


def test_images_without_identity_say_how_only_where_the_mr_says_it() -> None:
    """PS3.3 C.7.1.1: a method is required beside Patient Identity Removed (0012,0062) = YES."""
    copied = patient_and_study(samples.sources(PatientIdentityRemoved="YES"))
    assert (copied.PatientIdentityRemoved, copied.DeidentificationMethod) == ("YES", "Not stated in the MR")
    stated = samples.sources(PatientIdentityRemoved="YES", DeidentificationMethod="CTP")
    assert patient_and_study(stated).DeidentificationMethod == "CTP"
    assert "DeidentificationMethod" not in patient_and_study(samples.sources(PatientIdentityRemoved="NO"))


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


SOME_BYTES = st.one_of(
    st.binary(max_size=80),
    st.text(max_size=70).map(lambda text: text.encode("utf-8", "replace")),
    st.text(st.sampled_from("0123456789.:/+-\\^= YMEe"), max_size=20).map(str.encode),
    st.from_regex(r"(19|20)[0-9]{6}|[0-2][0-9][0-6][0-9][0-6][0-9](\.[0-9]{1,7})?", fullmatch=True).map(str.encode),
)
LABELS = st.sampled_from(["ISO_IR 192", "GB18030", "ISO_IR 100", "\\ISO 2022 IR 58", "ISO 2022 IR 13\\ISO 2022 IR 87"])


def conforms_or_is_refused(keyword: str, value: bytes, label: str, in_request: bool = False) -> None:
    """Every value of the copied data sets passes pydicom's strict validation after it was encoded."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sources = sources_with(keyword, value, label, in_request)
        with_header_findings(samples.scored(), sources)
        copied = patient_and_study(sources)
        copied.ReferencedRequestSequence = referenced_request(sources)
        received = encoded_again(copied)
    assert list(value_violations(received)) == []
    for element in received.iterall():
        if element.VR != "SQ" and not element.is_empty:
            values = [element.value] if isinstance(element.value, str | bytes) or element.VM == 1 else element.value
            for each in values:
                validate_value(element.VR, str(each) if element.VR in ("DS", "IS") else each, config.RAISE)


@pytest.mark.parametrize("keyword", COPIED)
def test_no_value_of_a_copied_attribute_stops_the_report(keyword: str) -> None:
    @settings(max_examples=40, deadline=None)
    @given(SOME_BYTES, LABELS)
    def each(value: bytes, label: str) -> None:
        conforms_or_is_refused(keyword, value, label)

    each()


@settings(max_examples=5, deadline=None)
@given(st.sampled_from(COPIED), SOME_BYTES, LABELS)
def test_an_sr_is_built_and_validated_whatever_one_header_value_is(keyword: str, value: bytes, label: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sources = sources_with(keyword, value, label)
        report = samples.scored(patient_id=str(patient_and_study(sources).PatientID or ""))
        assert build_objects(report, sources, options=ONLY_SR)


@pytest.mark.long
@pytest.mark.parametrize("keyword", COPIED)
def test_no_value_of_a_copied_attribute_stops_the_report_1000_times(keyword: str) -> None:
    @settings(max_examples=1000, deadline=None)
    @given(SOME_BYTES, LABELS)
    def each(value: bytes, label: str) -> None:
        conforms_or_is_refused(keyword, value, label)

    each()


@pytest.mark.parametrize("keyword", REQUESTED)
def test_no_value_of_a_request_stops_the_report(keyword: str) -> None:
    @settings(max_examples=40, deadline=None)
    @given(SOME_BYTES)
    def each(value: bytes) -> None:
        conforms_or_is_refused(keyword, value, "ISO_IR 192", in_request=True)

    each()
