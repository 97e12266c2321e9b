from __future__ import annotations

import io
import os
import subprocess
import sys
from dataclasses import fields, replace
from datetime import timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import EnhancedMRImageStorage

from config.indication.vocabulary import Answer, EbvCategory, SeriesRole
from dicom_sr.header.attributes import offset_text
from dicom_sr.header.uids import series_uid_of
from dicom_sr.objects.build import build_objects
from dicom_sr.objects.validation import evidence_uids, validate
from dicom_sr.report.errors import InvalidReportError
from dicom_sr.report.report_inputs import ReportObject, ReportOptions, SeriesMask, SourceStudy
from dicom_sr.report.report_status import Withdrawal
from dicom_sr.report.treatment_report import DfsEstimate, EbvDna, Fact, Reason, Stability, TreatmentReport
from tests.dicom_sr import samples

SR = ReportOptions(kinds=("sr",))
WITHDRAWN = {"withdrawal": samples.withdrawn().withdrawal, "scenarios": (), "scores": None, "predecessors": ("2.25.9",)}
ALL_KINDS = ReportOptions(kinds=("sr", "sc", "pdf", "seg", "attribution"))


def build(
    report: TreatmentReport, options: ReportOptions = SR, sources: SourceStudy | None = None
) -> dict[str, Dataset]:
    objects = build_objects(report, sources or samples.sources(), samples.pictures(), options)
    return {f"{built.kind} {built.dataset.InstanceNumber}": built.dataset for built in objects}


def encoded(ds: Dataset) -> bytes:
    file = io.BytesIO()
    ds.save_as(file, enforce_file_format=True)
    return file.getvalue()


def test_every_kind_of_object_in_the_order_of_sending() -> None:
    objects = build_objects(samples.scored(), samples.sources(), samples.pictures(), ALL_KINDS)
    assert [built.kind for built in objects] == ["seg"] * 3 + ["sr", "sc", "sc", "sc", "pdf"] + ["attribution"] * 3
    assert len({built.sop_instance_uid for built in objects}) == len(objects)
    series = {
        built.kind: {str(other.dataset.SeriesInstanceUID) for other in objects if other.kind == built.kind}
        for built in objects
    }
    assert all(len(uids) == 1 for uids in series.values())
    assert len(set.union(*series.values())) == 5
    assert len({int(built.dataset.SeriesNumber) for built in objects}) == 5


def test_patient_study_and_request_are_those_of_the_mr() -> None:
    for ds in build(samples.scored(), ALL_KINDS).values():
        assert ds.SpecificCharacterSet == "ISO_IR 192"
        assert str(ds.PatientName) == samples.CHINESE_NAME
        assert (ds.PatientID, ds.IssuerOfPatientID, ds.PatientSex) == ("PID-0042", "HOSPITAL", "M")
        assert (ds.StudyInstanceUID, ds.AccessionNumber, ds.StudyID) == (samples.STUDY, "ACC77", "S1")
        assert ds.StudyDescription == "MRI nasopharynx 鼻咽"
        assert ds.TimezoneOffsetFromUTC == "+0000"
        assert ds.Manufacturer == "cptdn-node"
        [equipment] = ds.ContributingEquipmentSequence
        assert equipment.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"
    request = build(samples.scored())["sr 1"].ReferencedRequestSequence[0]
    assert (request.AccessionNumber, request.RequestedProcedureID) == ("ACC77", "RP5")
    assert request.RequestedProcedureDescription == "鼻咽 MRI"


def test_flags_and_times() -> None:
    sr = build(samples.scored(), replace(SR, timezone="+0800"))["sr 1"]
    assert (sr.CompletionFlag, sr.VerificationFlag, sr.PreliminaryFlag) == ("COMPLETE", "UNVERIFIED", "PRELIMINARY")
    assert (str(sr.ContentDate), str(sr.ContentTime)) == ("20240312", "163015.250000")
    assert sr.TimezoneOffsetFromUTC == "+0800"
    assert build(samples.scored(), replace(SR, preliminary=False))["sr 1"].PreliminaryFlag == "FINAL"
    with pytest.raises(InvalidReportError, match="time zone such as"):
        build(samples.scored(), replace(SR, timezone="Asia"))
    with pytest.raises(InvalidReportError, match="creation time with its time zone"):
        build(samples.scored(created=samples.scored().created.replace(tzinfo=None)))


def test_offsets_are_written_as_the_standard_requires() -> None:
    created = samples.scored().created
    written = [offset_text(created.astimezone(timezone(timedelta(minutes=m)))) for m in (0, 480, 345, -210)]
    assert written == ["+0000", "+0800", "+0545", "-0330"]


def test_the_series_description_begins_with_what_differs_and_says_when_it_is_a_demonstration() -> None:
    assert build(samples.reprocessed())["sr 1"].SeriesDescription == "CPTDN result r2"
    for ds in build(samples.demonstration(), ALL_KINDS).values():
        assert ds.SeriesDescription.endswith("r1 DEMONSTRATION ONLY")


def test_evidence_lists_every_instance_used_also_of_other_studies() -> None:
    objects = build(samples.scored(), replace(SR, kinds=("sr", "seg")))
    sr = objects["sr 1"]
    segs = {str(ds.SOPInstanceUID) for name, ds in objects.items() if name.startswith("seg")}
    mr = {samples.instance_uid(role, z) for role in samples.ROLES for z in range(samples.N_SLICES)}
    rtstruct = samples.rtstruct()
    assert set(evidence_uids(sr)) == mr | segs | {rtstruct.SOPInstanceUID}
    [other] = sr.PertinentOtherEvidenceSequence
    assert other.StudyInstanceUID == rtstruct.StudyInstanceUID
    assert (
        other.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID == rtstruct.SOPInstanceUID
    )


def test_the_contour_is_evidence_also_where_only_its_uids_are_known() -> None:
    sr = build(samples.scored(), SR, replace(samples.sources(), contours=(), masks=()))["sr 1"]
    assert samples.rtstruct().SOPInstanceUID in set(evidence_uids(sr))


def test_each_predecessor_is_referenced_in_the_series_that_follows_from_its_uid() -> None:
    first = build(samples.scored())["sr 1"]
    second = build(samples.reprocessed(predecessors=(str(first.SOPInstanceUID),)))["sr 1"]
    [study] = second.PredecessorDocumentsSequence
    assert study.StudyInstanceUID == samples.STUDY
    [series] = study.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == first.SeriesInstanceUID == series_uid_of(first.SOPInstanceUID)
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == first.SOPInstanceUID
    assert series.ReferencedSOPSequence[0].ReferencedSOPClassUID == first.SOPClassUID
    assert second.SeriesInstanceUID != first.SeriesInstanceUID


def test_the_same_inputs_give_the_same_bytes_in_another_process() -> None:
    code = "from tests.dicom_sr import samples\nfor line in samples.digests_of_objects(): print(line)"
    other = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).resolve().parents[2], capture_output=True, text=True,
        check=True, env={**os.environ, "PYTHONHASHSEED": "2", "TZ": "Asia/Kathmandu", "OMP_NUM_THREADS": "1"},
    ).stdout  # fmt: skip
    here = samples.digests_of_objects()
    assert other.splitlines() == here
    # Three SEG, the SR, four pages of a crowded report, the PDF, three maps.
    assert len(here) == 12


def test_another_identity_changes_every_uid_and_no_uid_stays() -> None:
    first, second = (
        build_objects(samples.scored(report_identity=identity), samples.sources(), samples.pictures(), ALL_KINDS)
        for identity in ("aa" * 32, "ab" * 32)
    )
    assert not {each.sop_instance_uid for each in first} & {each.sop_instance_uid for each in second}


def test_fallback_classes_have_other_uids() -> None:
    documents = [
        build(samples.scored(), replace(SR, sop_class=c))["sr 1"]
        for c in ("comprehensive_3d", "comprehensive", "enhanced")
    ]
    assert [str(ds.SOPClassUID)[-2:] for ds in documents] == ["34", "33", "22"]
    assert len({str(ds.SOPInstanceUID) for ds in documents}) == 3


def test_the_device_uid_follows_from_the_bundle() -> None:
    first = build(samples.scored())["sr 1"]
    other = build(samples.scored(model=replace(samples.model(), digest="sha256:" + "00" * 32)))["sr 1"]
    assert first.DeviceUID != other.DeviceUID


def test_the_secondary_capture_is_a_picture_that_viewers_show() -> None:
    sc = build(samples.scored(), ReportOptions(kinds=("sc",)))["sc 1"]
    assert (sc.Rows, sc.Columns, sc.PhotometricInterpretation, sc.Modality) == (1024, 1024, "PALETTE COLOR", "OT")
    assert (sc.BodyPartExamined, sc.BurnedInAnnotation) == ("HEADNECK", "YES")
    assert not sc.pixel_array[:40].any()  # the viewer's cine bar lies here
    assert sc.pixel_array[40:].any()


def test_the_seg_is_the_mask_on_the_mr_grid() -> None:
    sources = samples.sources()
    segmentations = build(samples.scored(), ReportOptions(kinds=("seg",)), sources)
    for ds, mask in zip(segmentations.values(), sources.masks, strict=True):
        planes = {uid: mask.mask_zyx[z] for z, (uid, _) in enumerate(mask.slices) if mask.mask_zyx[z].any()}
        frames = {}
        for plane, item in zip(ds.pixel_array, ds.PerFrameFunctionalGroupsSequence, strict=True):
            frames[item.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID] = plane
        assert frames.keys() == planes.keys()
        for uid, plane in planes.items():
            np.testing.assert_array_equal(frames[uid], plane)
        assert ds.FrameOfReferenceUID == sources.mr[0].FrameOfReferenceUID


def test_the_tumour_group_refers_to_the_seg() -> None:
    objects = build(samples.scored(), replace(SR, kinds=("sr", "seg")))
    assert (templates(objects["sr 1"]).count("1411"), templates(objects["sr 1"]).count("1501")) == (1, 4)
    assert str(objects["seg 1"].SOPInstanceUID) in str(objects["sr 1"].ContentSequence)
    without = build(samples.scored(), SR, replace(samples.sources(), masks=()))["sr 1"]
    assert (templates(without).count("1411"), templates(without).count("1501")) == (0, 5)


def templates(item: Dataset) -> list[str]:
    """Template identifiers of a content tree, in order."""
    own = [str(each.TemplateIdentifier) for each in item.get("ContentTemplateSequence", [])]
    return own + [identifier for child in item.get("ContentSequence", []) for identifier in templates(child)]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"patient_id": "SOMEBODY ELSE"}, "MR instances of another"),
        ({"study_instance_uid": "1.2.3"}, "MR instances of another"),
        ({"refusals": (Reason("x", "y"),)}, "either a result or refusals"),
        ({"scenarios": ()}, "found neither"),
        ({"warnings": (Reason("two words", "y"),)}, "a code and a sentence"),
        ({"warnings": (Reason("code", ""),)}, "a code and a sentence"),
        ({"predecessors": ("1.2..3",)}, "expected the UID of a report of ours"),
        ({"horizons_months": (60, 36)}, "ascending horizons"),
        ({"horizons_months": (36,)}, "expected DFS at"),
        ({"withdrawal": samples.withdrawn().withdrawal}, "no result beside a withdrawal"),
        ({**WITHDRAWN, "predecessors": ()}, "the report that is withdrawn among the predecessors"),
        ({**WITHDRAWN, "withdrawal": Withdrawal(samples.scored().created, "x", "")}, "the reason of a withdrawal"),
        ({"revision": 0}, "revision of at least 1"),
        ({"ebv_dna": EbvDna(EbvCategory.ABOVE, provenance=Fact(""))}, "a source for each clinical fact"),
        ({"scenarios": (samples.scenario(), samples.scenario())}, "one scenario per EBV DNA category"),
        ({"scenarios": (replace(samples.scenario(), recommendation=Answer.CCRT),)}, "ICT\\+CCRT by"),
        ({"scenarios": (replace(samples.scenario(), ccrt=samples.scenario().ict_ccrt),)}, "the result of CCRT"),
        ({"model": replace(samples.model(), horizon_months=48)}, "at the decision horizon of 48"),
        (
            {"series": (replace(samples.scored().series[0], representative_sop_instance_uid="2.25.4"),)},
            "not among the MR",
        ),
    ],
)  # fmt: skip
def test_a_report_that_contradicts_itself_is_never_built(changes, complaint: str) -> None:
    with pytest.raises(InvalidReportError, match=complaint):
        build(samples.scored(**changes))


@pytest.mark.parametrize(
    ("dfs", "ends"), [(0.70, (0.75, 0.90)), (0.95, (0.75, 0.90)), (0.90, (0.75, 1.10)), (0.05, (-0.10, 0.20))],
    ids=["below", "above", "beyond one", "negative"],
)  # fmt: skip
def test_a_rate_outside_its_interval_or_an_interval_outside_0_to_1_is_never_built(
    dfs: float, ends: tuple[float, float]
) -> None:
    scenario = samples.scenario()
    ccrt = replace(scenario.ccrt, dfs={**scenario.ccrt.dfs, 36: DfsEstimate(dfs, ends)})
    with pytest.raises(InvalidReportError, match=r"CCRT: expected 0 <= low <= DFS <= high <= 1 at 36 months"):
        build(samples.scored(scenarios=(replace(scenario, ccrt=ccrt),)))


def test_a_change_of_any_field_is_found_by_reading_back() -> None:
    """Change one field of the report after the SR was built: validation must notice."""
    report = samples.scored(quality=(Reason("a", "b"),), predecessors=("2.25.9",))
    [sr] = build_objects(report, samples.sources(), None, SR)
    other = samples.crowded()
    changed_values = {
        "patient_id": "X", "study_instance_uid": "2.25.1", "age_years": 50.0, "age_source": "?", "scores": None,
        "contours": (), "series": report.series[:1], "horizons_months": (60,), "refusals": (Reason("c", "d"),),
        "software_version": "9", "created": report.created + timedelta(microseconds=1), "stage": other.stage,
        "conditions": report.conditions[:-1], "stability": Stability(47, 50, 0.9),
        "withdrawal": samples.withdrawn().withdrawal, "replaced": samples.withdrawn().replaced,
    }  # fmt: skip
    for each in fields(report):
        value = changed_values.get(each.name, getattr(other, each.name))
        with pytest.raises(InvalidReportError, match=f"reads back as another report: .*{each.name}"):
            validate([sr], replace(report, **{each.name: value}), samples.sources())


def test_an_object_without_an_attribute_that_its_iod_requires_is_refused() -> None:
    objects = build_objects(samples.scored(), samples.sources(), samples.pictures(), ALL_KINDS)
    required = {"seg": "SegmentSequence", "sr": "CompletionFlag", "sc": "ConversionType"}
    required |= {"pdf": "MIMETypeOfEncapsulatedDocument"}
    assert set(required) <= {built.kind.partition("-")[0] for built in objects}
    for built in objects:
        keyword = required.get(built.kind.partition("-")[0], "ConversionType")
        broken = Dataset()
        broken.update(built.dataset)
        broken.file_meta = built.dataset.file_meta
        del broken[keyword]
        with pytest.raises(InvalidReportError, match=f"missing .*{keyword}"):
            validate(
                [ReportObject(built.kind, built.sop_class_uid, built.sop_instance_uid, broken)],
                samples.scored(),
                samples.sources(),
            )


def test_evidence_without_an_instance_used_is_refused() -> None:
    [sr] = build_objects(samples.scored(), samples.sources(), None, SR)
    more = (*samples.sources().mr, samples.mr_dataset(samples.ROLES[0], 17))
    with pytest.raises(InvalidReportError, match="in the SR's evidence, 1 are missing"):
        validate([sr], samples.scored(), replace(samples.sources(), mr=more))


@pytest.mark.parametrize("damage", ["empty", "unknown slice", "wrong length"])
def test_a_mask_of_other_images_is_refused(damage: str) -> None:
    sources = samples.sources()
    mask = sources.masks[0]
    wrong = {
        "empty": replace(mask, mask_zyx=np.zeros_like(mask.mask_zyx)),
        "unknown slice": replace(mask, slices=(("2.25.3", None), *mask.slices[1:])),
        "wrong length": replace(mask, slices=mask.slices[1:]),
    }[damage]
    with pytest.raises(InvalidReportError, match="T1w"):
        build(samples.scored(), ReportOptions(kinds=("seg",)), replace(sources, masks=(wrong,)))


def test_the_seg_of_an_enhanced_mr_refers_to_the_frames_of_the_mask() -> None:
    """The mask has its own order: plane by plane it names a frame, and no plane is like another."""
    enhanced = enhanced_mr(n_frames=5)
    uid = str(enhanced.SOPInstanceUID)
    mask = np.zeros((3, samples.ROWS, samples.COLUMNS), np.uint8)
    frames = (2, 5, 4)
    for plane, frame in enumerate(frames):
        mask[plane, : 3 * frame, :4] = 1
    used = SeriesMask(SeriesRole.T1W, mask, tuple((uid, frame) for frame in frames))
    series = replace(samples.scored().series[0], representative_sop_instance_uid=uid, representative_frame_number=2)
    report = samples.scored(series=(series,))
    sources = SourceStudy((enhanced,), (samples.rtstruct(),), (used,))
    [seg] = build_objects(report, sources, None, ReportOptions(kinds=("seg",)))
    pixels = seg.dataset.pixel_array
    shown = {}
    for index, group in enumerate(seg.dataset.PerFrameFunctionalGroupsSequence):
        source = group.DerivationImageSequence[0].SourceImageSequence[0]
        position = group.PlanePositionSequence[0].ImagePositionPatient[2]
        shown[int(source.ReferencedFrameNumber)] = (float(position), int(pixels[index].sum()))
    assert shown == {frame: (4.0 * (frame - 1), 3 * frame * 4) for frame in frames}


def enhanced_mr(n_frames: int) -> Dataset:
    """An Enhanced MR without pixels; frame n is at z = 4 (n - 1) mm."""
    ds = samples.mr_dataset(SeriesRole.T1W, 0, SOPClassUID=EnhancedMRImageStorage, NumberOfFrames=n_frames)
    for keyword in ("PixelSpacing", "SliceThickness", "ImageOrientationPatient", "ImagePositionPatient"):
        del ds[keyword]
    measures, orientation = Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [0.9, 0.9], 4.0
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    shared = Dataset()
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    ds.SharedFunctionalGroupsSequence = [shared]
    groups = []
    for index in range(n_frames):
        position, content, group = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = [-20, -20, 4.0 * index]
        content.DimensionIndexValues = [index + 1]
        group.PlanePositionSequence, group.FrameContentSequence = [position], [content]
        groups.append(group)
    ds.PerFrameFunctionalGroupsSequence = groups
    organization, index_item = Dataset(), Dataset()
    organization.DimensionOrganizationUID = index_item.DimensionOrganizationUID = "2.25.1"
    index_item.DimensionIndexPointer, index_item.FunctionalGroupPointer = 0x00200032, 0x00209113
    ds.DimensionOrganizationSequence, ds.DimensionIndexSequence = [organization], [index_item]
    return ds
