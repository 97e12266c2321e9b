"""What the objects of a report copy from the MR: patient, study, accession number, issuers and the request.

They are copied so that a PACS adds the objects to the same study. Each value is checked against its value
representation first: what conforms is copied as it is, anything else is left empty and named in a quality finding.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace

from pydicom import Dataset
from pydicom.datadict import dictionary_VM, dictionary_VR, keyword_for_tag
from pydicom.dataelem import DataElement

from config.messages.message import message
from dicom_sr.header.characters import UTF8, Labels, character_set_of, text_of
from dicom_sr.header.item_rules import ONE_ITEM, missing_in
from dicom_sr.header.value_rules import RULES, expected_instead, values_of
from dicom_sr.report.errors import ReportError
from dicom_sr.report.report_inputs import SourceStudy
from dicom_sr.report.treatment_report import Reason, TreatmentReport

# Type 1 and 2 attributes of PS3.3 C.7.1.1 and C.7.2.1: present in every object, empty where the MR has no value.
REQUIRED_FROM_MR = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate", "StudyTime",
    "ReferringPhysicianName", "StudyID", "AccessionNumber",
)  # fmt: skip
# Issuers, because the same Patient ID may belong to another patient of another hospital; trial and de-identification
# attributes, because a report must be as anonymous as its images.
COPIED_FROM_MR = (
    "IssuerOfPatientID", "IssuerOfPatientIDQualifiersSequence", "TypeOfPatientID", "OtherPatientIDsSequence",
    "PatientBirthTime", "PatientAge", "PatientSize", "PatientWeight", "PatientIdentityRemoved",
    "DeidentificationMethod", "DeidentificationMethodCodeSequence", "StudyDescription",
    "IssuerOfAccessionNumberSequence", "ClinicalTrialSponsorName", "ClinicalTrialProtocolID",
    "ClinicalTrialProtocolName", "ClinicalTrialSiteID", "ClinicalTrialSiteName", "ClinicalTrialSubjectID",
    "ClinicalTrialSubjectReadingID",
)  # fmt: skip
STUDY_UID = "StudyInstanceUID"
REQUEST_ATTRIBUTES = (
    "StudyInstanceUID", "AccessionNumber", "PlacerOrderNumberImagingServiceRequest",
    "FillerOrderNumberImagingServiceRequest", "RequestedProcedureID", "RequestedProcedureDescription",
    "RequestedProcedureCodeSequence",
)  # fmt: skip
FINDING = "header_value"
LONGEST_QUOTATION = 48
# PS3.3 C.7.1.3: the module requires sponsor, protocol and subject, so without one of its values none of it is written.
CLINICAL_TRIAL = "ClinicalTrial"
TRIAL_REQUIRES = (
    ("ClinicalTrialSponsorName",), ("ClinicalTrialProtocolID",),
    ("ClinicalTrialSubjectID", "ClinicalTrialSubjectReadingID"),
)  # fmt: skip
TRIAL_MAY_BE_EMPTY = ("ClinicalTrialProtocolName", "ClinicalTrialSiteID", "ClinicalTrialSiteName")
DEIDENTIFICATION = ("DeidentificationMethod", "DeidentificationMethodCodeSequence")
# What pydicom raises for damaged sequences.
UNREADABLE = (
    ValueError, TypeError, AttributeError, ArithmeticError, LookupError, NotImplementedError, RecursionError, OSError,
    struct.error,
)  # fmt: skip


@dataclass(frozen=True)
class RefusedValue:
    """A value that is not copied.

    Attributes
    ----------
    keyword : str
        Of the attribute; of one in a sequence, with the sequence before it.
    expected, found : str
        Half a sentence each.
    """

    keyword: str
    expected: str
    found: str

    def finding(self) -> Reason:
        """Return the quality finding of the report about this value."""
        return Reason(
            FINDING,
            message("header_value.left_empty", keyword=self.keyword, expected=self.expected, found=self.found),
        )


@dataclass
class _Copy:
    """Copies elements of one data set and collects what it refuses."""

    actual: str | None
    refused: list[RefusedValue] = field(default_factory=list)

    def element(self, source: Dataset, keyword: str, labels: Labels, path: str = "") -> DataElement | None:
        """Return the element with its text decoded; None where it is absent or refused."""
        if keyword not in source:
            return None
        vr = dictionary_VR(keyword)
        if vr == "SQ":
            return self._sequence(source, keyword, labels, path)
        if vr not in RULES:
            return self._binary(source, keyword, path)
        try:
            text = text_of(source, keyword, self.actual, labels)
        except (ReportError, *UNREADABLE) as error:
            encoding = self.actual or labels[0]
            raw = getattr(source.get_item(keyword), "value", None)
            found = message("header_value.bytes", bytes=raw[:12]) if isinstance(raw, bytes) else type(error).__name__
            return self.refuse(path + keyword, message("header_value.text_in", encoding=encoding), found)
        expected = expected_instead(keyword, text)
        if expected is not None:
            return self.refuse(path + keyword, expected, _quoted(text))
        values = values_of(keyword, text)
        # A Python str of one value; VM 1-n is a list, also of one value, as pydicom reads it.
        return DataElement(keyword, vr, values[0] if dictionary_VM(keyword) == "1" or len(values) == 1 else values)

    def _sequence(self, source: Dataset, keyword: str, labels: Labels, path: str) -> DataElement | None:
        try:
            items = list(source[keyword].value or ())
        except UNREADABLE as error:
            return self.refuse(
                path + keyword, "a sequence", message("header_value.unreadable", kind=type(error).__name__)
            )
        if not all(isinstance(item, Dataset) for item in items):
            return self.refuse(path + keyword, "a sequence", "a value")
        if keyword in ONE_ITEM and len(items) > 1:
            return self.refuse(path + keyword, "one item", str(len(items)))
        copied = [self._item(item, labels, keyword, f"{path}{keyword} > ") for item in items]
        return DataElement(keyword, "SQ", [item for item in copied if item])

    def _item(self, item: Dataset, labels: Labels, sequence: str, path: str) -> Dataset | None:
        # An item has the character set of the data set unless it has a Specific Character Set of its own (PS3.5 7.5.3).
        own = character_set_of(item) if "SpecificCharacterSet" in item else labels
        copied, refused_before = Dataset(), len(self.refused)
        for tag in sorted(item.keys()):
            keyword = keyword_for_tag(tag)
            if keyword and keyword != "SpecificCharacterSet":
                element = self.element(item, keyword, own, path)
                # Most attributes of these items are of type 1 or 1C, which may be absent but not empty.
                if element is not None and not element.is_empty:
                    copied.add(element)
        missing = missing_in(sequence, copied) if len(self.refused) == refused_before else None
        if missing is not None:
            self.refuse(path + missing, message("header_value.beside_item"), "none")
        # A code without its meaning, or an identifier without its issuer, says something else than the whole item.
        return copied if len(self.refused) == refused_before else None

    def _binary(self, source: Dataset, keyword: str, path: str) -> DataElement | None:
        try:
            return deepcopy(source[keyword])
        except UNREADABLE as error:
            return self.refuse(
                path + keyword, message("header_value.value_of_vr", vr=dictionary_VR(keyword)), type(error).__name__
            )

    def refuse(self, keyword: str, expected: str, found: str) -> DataElement | None:
        """Note a value that is not copied; returns None, the element that there is not."""
        self.refused.append(RefusedValue(keyword, expected, found))
        return None


def patient_and_study(sources: SourceStudy) -> Dataset:
    """Copy patient and study attributes from the first MR instance.

    Parameters
    ----------
    sources : SourceStudy
        With at least one MR instance.

    Returns
    -------
    Dataset
        Text decoded and to be written as UTF-8; attributes of type 2 are present, empty where the MR has no value or
        one that does not conform to its value representation.
    """
    return _patient_and_study(sources)[0]


def _patient_and_study(sources: SourceStudy) -> tuple[Dataset, list[RefusedValue]]:
    first, copy = sources.mr[0], _Copy(sources.character_set)
    labels = character_set_of(first)
    attributes = Dataset()
    attributes.SpecificCharacterSet = UTF8
    for keyword in (*REQUIRED_FROM_MR, *COPIED_FROM_MR):
        # A UID is an identity and no text: one that is not valid is checked with the report's other references.
        element = copy.element(first, keyword, labels) if keyword != STUDY_UID else deepcopy(first[keyword])
        if element is not None and (keyword in REQUIRED_FROM_MR or not element.is_empty):
            attributes.add(element)
        elif keyword in REQUIRED_FROM_MR:
            setattr(attributes, keyword, None)
    _complete_clinical_trial(attributes, copy)
    if attributes.get("PatientIdentityRemoved") == "YES" and not any(name in attributes for name in DEIDENTIFICATION):
        attributes.DeidentificationMethod = "Not stated in the MR"  # type 1C (PS3.3 C.7.1.1)
    return attributes, copy.refused


def _complete_clinical_trial(attributes: Dataset, copy: _Copy) -> None:
    """Leave the clinical trial whole or not at all; attributes of type 2 may be empty but not absent."""
    present = [keyword for keyword in COPIED_FROM_MR if keyword.startswith(CLINICAL_TRIAL) and keyword in attributes]
    is_damaged = any(refused.keyword.startswith(CLINICAL_TRIAL) for refused in copy.refused)
    missing = [names[0] for names in TRIAL_REQUIRES if not any(name in attributes for name in names)]
    if present and missing and not is_damaged:
        copy.refuse(missing[0], message("header_value.beside_trial"), "none")
    if is_damaged or missing:
        for keyword in present:
            del attributes[keyword]
    else:
        for keyword in TRIAL_MAY_BE_EMPTY:
            if keyword not in attributes:
                setattr(attributes, keyword, None)


def referenced_request(sources: SourceStudy) -> list[Dataset]:
    """Build the items of the Referenced Request Sequence from the MR's request attributes.

    Parameters
    ----------
    sources : SourceStudy
        The first MR instance has the Request Attributes Sequence (0040,0275), or not.

    Returns
    -------
    list of Dataset
        One item per request, with the attributes of type 2 present; empty without a request.

    References
    ----------
    PS3.3 C.17.2 (SR Document General module).
    """
    return _referenced_request(sources)[0]


def _referenced_request(sources: SourceStudy) -> tuple[list[Dataset], list[RefusedValue]]:
    first, copy = sources.mr[0], _Copy(sources.character_set)
    labels, study = character_set_of(first), patient_and_study(sources)
    items = []
    for request in _requests(first):
        own = character_set_of(request) if "SpecificCharacterSet" in request else labels
        copied = {
            keyword: element.value
            for keyword in REQUEST_ATTRIBUTES
            if (element := copy.element(request, keyword, own, "RequestAttributesSequence > ")) is not None
        }
        item = Dataset()
        item.StudyInstanceUID = copied.get("StudyInstanceUID") or study.StudyInstanceUID
        item.ReferencedStudySequence = []
        item.AccessionNumber = copied.get("AccessionNumber") or study.AccessionNumber
        item.PlacerOrderNumberImagingServiceRequest = copied.get("PlacerOrderNumberImagingServiceRequest")
        item.FillerOrderNumberImagingServiceRequest = copied.get("FillerOrderNumberImagingServiceRequest")
        item.RequestedProcedureID = copied.get("RequestedProcedureID")
        item.RequestedProcedureDescription = copied.get("RequestedProcedureDescription")
        item.RequestedProcedureCodeSequence = copied.get("RequestedProcedureCodeSequence", [])
        items.append(item)
    return items, copy.refused


def _requests(first: Dataset) -> Iterator[Dataset]:
    try:
        items: Sequence[Dataset] = first.get("RequestAttributesSequence") or ()
        yield from (item for item in items if isinstance(item, Dataset))
    except UNREADABLE:
        return  # the request is optional; the study is found without it


def refused_values(sources: SourceStudy) -> list[RefusedValue]:
    """Return the values of the first MR instance that are not copied into the objects, each once."""
    if not sources.mr:
        return []
    refused = [*_patient_and_study(sources)[1], *_referenced_request(sources)[1]]
    return list(dict.fromkeys(refused))


def with_header_findings(report: TreatmentReport, sources: SourceStudy) -> TreatmentReport:
    """Add to a report what its objects do not copy from the MR.

    Parameters
    ----------
    report : TreatmentReport
        Of these sources; may have the findings already.
    sources : SourceStudy
        The MR instances, in the order of the report's objects.

    Returns
    -------
    TreatmentReport
        With one quality finding for each refused value and the Patient ID that the objects have: empty where that of
        the MR does not conform. The same report where all values conform.
    """
    refused = refused_values(sources)
    if not refused:
        return report
    quality = dict.fromkeys((*report.quality, *(value.finding() for value in refused)))
    patient_id = "" if any(value.keyword == "PatientID" for value in refused) else report.patient_id
    return replace(report, quality=tuple(quality), patient_id=patient_id)


def _quoted(text: str) -> str:
    shown = text if len(text) <= LONGEST_QUOTATION else f"{text[:LONGEST_QUOTATION]}..."
    quoted = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in shown)
    return f"'{quoted}'" if len(text) <= LONGEST_QUOTATION else f"'{quoted}' ({len(text)} characters)"
