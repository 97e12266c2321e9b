"""Age, EBV DNA, thresholds and the device, each as what it is; the source of contour, volume and pictures."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from pydicom import Dataset

from config.indication.vocabulary import EbvCategory, SeriesRole
from dicom_sr.content.patient_characteristics import ebv_dna_items
from dicom_sr.content.structured_report import build_sr
from dicom_sr.objects.build import build_objects
from dicom_sr.objects.fhir import fhir_bundle
from dicom_sr.objects.secondary_capture import build_sc
from dicom_sr.objects.segmentation import build_segmentations
from dicom_sr.objects.validation import evidence_uids
from dicom_sr.reading.content_tree import key_of
from dicom_sr.report.report_inputs import ReportOptions
from dicom_sr.report.treatment_report import NOT_DETECTED, EbvDna, Fact, TreatmentReport
from tests.dicom_sr import samples

OPTIONS = ReportOptions(kinds=("sr",))


def sr_of(report: TreatmentReport, **changes: str) -> Dataset:
    return build_sr(report, samples.sources(), replace(OPTIONS, **changes))


def items(parent: Dataset, *path: str) -> list[Dataset]:
    """The items below a chain of code values."""
    found = [parent]
    for value in path:
        found = [
            child
            for item in found
            for child in item.get("ContentSequence", ())
            if (key_of(child.ConceptNameCodeSequence) or ("",))[0] == value
        ]
    return found


def number(item: Dataset) -> tuple[str, str]:
    [measured] = item.MeasuredValueSequence
    return str(measured.NumericValue), str(measured.MeasurementUnitsCodeSequence[0].CodeValue)


def test_age_ebv_dna_and_thresholds_are_numbers_with_units() -> None:
    sr = sr_of(samples.scored(model=replace(samples.model(), threshold=0.0)))
    [age] = items(sr, "121118", "121033")
    [load] = items(sr, "121118", "47982-4")
    [limit] = items(sr, "121118", "EBV_THRESHOLD")
    [threshold] = items(sr, "DETAILS", "DECISION_THRESH")
    assert [number(each) for each in (age, load, limit)] == [
        ("43.1", "a"),
        ("5000", "{copies}/mL"),
        ("4000", "{copies}/mL"),
    ]
    assert load.ConceptNameCodeSequence[0].CodingSchemeDesignator == "LN"
    assert threshold.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeMeaning == "percentage points"
    [drawn] = items(sr, "DETAILS", "CLINICAL_FACT", "FACT_DATE")[:1]
    assert (drawn.ValueType, str(drawn.Date)) == ("DATE", "20240310")


@pytest.mark.parametrize(("comparator", "code"), [("<", "276139006"), (">=", "276138003")])
def test_a_comparator_is_a_modifier_and_the_number_is_qualified(comparator: str, code: str) -> None:
    [item] = ebv_dna_items(
        EbvDna(EbvCategory.ABOVE, None, f"{comparator}4000", comparator=comparator, bound_copies_per_ml=4000)
    )
    assert number(item) == ("4000", "{copies}/mL")
    assert item.NumericValueQualifierCodeSequence[0].CodeValue == "114009"
    [modifier] = item.ContentSequence
    assert (modifier.RelationshipType, modifier.ConceptCodeSequence[0].CodeValue) == ("HAS CONCEPT MOD", code)


def test_not_detected_is_a_code_and_what_was_not_measured_has_no_item() -> None:
    [item] = ebv_dna_items(EbvDna(EbvCategory.NOT_ABOVE, None, "ND", comparator=NOT_DETECTED))
    assert (item.ValueType, item.ConceptCodeSequence[0].CodeValue) == ("CODE", "260415000")
    assert list(ebv_dna_items(EbvDna(EbvCategory.UNKNOWN))) == []


@pytest.mark.parametrize(
    ("ebv", "expected"),
    [
        (EbvDna(EbvCategory.ABOVE, comparator=">", bound_copies_per_ml=4000), {"value": 4000, "comparator": ">"}),
        (EbvDna(EbvCategory.ABOVE, 5000), {"value": 5000}),
        (EbvDna(EbvCategory.NOT_ABOVE, comparator=NOT_DETECTED), "260415000"),
    ],
    ids=["comparator", "number", "not detected"],
)
def test_fhir_has_the_comparator_or_the_code(ebv: EbvDna, expected: object) -> None:
    ebv = replace(ebv, provenance=Fact("LIS", date(2024, 3, 10)))
    entries = fhir_bundle(samples.scored(ebv_dna=ebv))["entry"]
    [load] = [
        e["resource"] for e in entries if e["resource"].get("code", {}).get("coding", [{}])[0].get("code") == "47982-4"
    ]
    assert load["effectiveDateTime"] == "2024-03-10"
    if isinstance(expected, str):
        assert load["valueCodeableConcept"]["coding"][0]["code"] == expected
    else:
        quantity = load["valueQuantity"]
        assert {key: quantity[key] for key in ("value", "comparator") if key in quantity} == expected


@pytest.mark.parametrize("serial", [None, "CPTDN-7"])
def test_the_device_is_the_same_wherever_it_is_named(serial: str | None) -> None:
    udi = "(01)00844588003288(10)42"
    sr = sr_of(samples.scored(), device_serial_number=serial, device_udi=udi)
    [equipment] = sr.ContributingEquipmentSequence
    assert sr.DeviceSerialNumber == (serial or "ab" * 8)
    observer = {key: items(sr, key)[0] for key in ("121012", "121013", "121014", "121015", "121016", "SOFTWARE")}
    assert observer["121012"].UID == sr.DeviceUID == equipment.DeviceUID
    assert observer["121014"].TextValue == sr.Manufacturer == equipment.Manufacturer
    assert observer["121015"].TextValue == sr.ManufacturerModelName == equipment.ManufacturerModelName
    assert observer["121016"].TextValue == sr.DeviceSerialNumber == equipment.DeviceSerialNumber
    assert list(sr.SoftwareVersions) == list(equipment.SoftwareVersions) == ["0.1.0", "site-2026 1.2"]
    assert observer["SOFTWARE"].TextValue == "0.1.0"
    [identifier] = items(sr, "74711-3")
    assert identifier.TextValue == sr.UDISequence[0].UniqueDeviceIdentifier == udi


def test_the_volume_refers_to_its_seg_and_to_its_rtstruct() -> None:
    sources, report = samples.sources(), samples.scored()
    segmentations = build_segmentations(report, sources, OPTIONS)
    sr = build_sr(report, sources, OPTIONS, segmentations)
    groups = [each for each in items(sr, "126010", "125007") if items(each, "118565006")]
    [segment] = items(groups[0], "121191")
    assert segment.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == segmentations[0].SOPInstanceUID
    [source] = items(groups[0], "118565006", "121112")
    assert (source.ValueType, source.RelationshipType) == ("COMPOSITE", "INFERRED FROM")
    assert source.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == samples.rtstruct().SOPInstanceUID
    # The same tracking identifier ties the contour's name and number to the volume.
    [details] = items(sr, "DETAILS", "CONTOUR_USED")
    assert items(details, "112039")[0].TextValue == items(groups[0], "112039")[0].TextValue


@pytest.mark.parametrize(
    ("written", "said", "expected"),
    [("", None, ("MANUAL", None)), ("MANUAL", "by hand", ("MANUAL", None)),
     ("AUTOMATIC", "nnU-Net", ("AUTOMATIC", "nnU-Net")), ("SEMIAUTOMATIC", None, ("SEMIAUTOMATIC", "not stated"))],
)  # fmt: skip
def test_the_seg_says_who_drew_the_contour_and_where_it_is(written: str, said: str | None, expected: tuple) -> None:
    rtstruct = samples.rtstruct()
    [roi] = rtstruct.StructureSetROISequence
    roi.ROIGenerationAlgorithm = written
    if said:
        roi.ROIGenerationDescription = said
    contour = replace(samples.scored().contours[0], roi_name="GTVp 鼻咽")
    report = samples.scored(contours=(contour,))
    for seg in build_segmentations(report, replace(samples.sources(), contours=(rtstruct,)), OPTIONS):
        [segment] = seg.SegmentSequence
        assert (segment.SegmentAlgorithmType, segment.get("SegmentAlgorithmName")) == expected
        assert segment.SegmentLabel == "GTVp 鼻咽"
        assert segment.TrackingUID
        [source] = seg.SourceInstanceSequence
        assert source.ReferencedSOPInstanceUID == rtstruct.SOPInstanceUID
        assert source.PurposeOfReferenceCodeSequence[0].CodeValue == "CONTOUR_OBJECT"
        [study] = seg.StudiesContainingOtherReferencedInstancesSequence  # the RTSTRUCT is in another study
        assert study.StudyInstanceUID == rtstruct.StudyInstanceUID


def test_an_rtstruct_of_the_same_study_is_in_the_common_references() -> None:
    rtstruct = samples.rtstruct(samples.STUDY)
    sources = samples.sources()
    masks = tuple(replace(mask, contour=(str(rtstruct.SOPInstanceUID), samples.ROI_NUMBER)) for mask in sources.masks)
    [seg, *_] = build_segmentations(samples.scored(), replace(sources, contours=(rtstruct,), masks=masks), OPTIONS)
    listed = [
        str(item.ReferencedSOPInstanceUID)
        for series in seg.ReferencedSeriesSequence
        for item in series.ReferencedInstanceSequence
    ]
    assert str(rtstruct.SOPInstanceUID) in listed
    assert "StudiesContainingOtherReferencedInstancesSequence" not in seg


def test_a_page_names_the_slices_that_are_drawn_on_it() -> None:
    uid = samples.instance_uid(SeriesRole.T1W, 2)
    drawn = [replace(each, source=(uid, None)) for each in samples.pictures().sequences[:2]]
    page = np.zeros((8, 8, 3), np.uint8)
    [capture] = build_sc([page], samples.scored(), samples.sources(), OPTIONS, drawn)
    [source] = capture.SourceImageSequence  # once, though two pictures show it
    assert source.ReferencedSOPInstanceUID == uid
    assert source.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
    assert (capture.ConversionType, capture.BurnedInAnnotation, capture.BodyPartExamined) == ("WSD", "YES", "HEADNECK")


def test_an_sr_of_another_class_refers_to_the_segs_that_were_sent() -> None:
    sources, report = samples.sources(), samples.scored()
    sent = build_segmentations(report, sources, OPTIONS)
    fallback = replace(OPTIONS, sop_class="comprehensive", kinds=("sr",))
    [built] = build_objects(report, sources, None, fallback, segmentations=list(reversed(sent)))
    listed = set(evidence_uids(built.dataset))
    assert {str(seg.SOPInstanceUID) for seg in sent} <= listed
    [group] = [each for each in items(built.dataset, "126010", "125007") if items(each, "121191")]
    segment = items(group, "121191")[0].ReferencedSOPSequence[0]
    assert segment.ReferencedSOPInstanceUID == sent[0].SOPInstanceUID
