"""Headers of real and of odd data sets."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from config.settings import SeriesRules
from node.cases.contour_headers import structure_set_header
from node.cases.headers import header_of, with_character_set
from node.cases.series_context import classify_series
from node.cases.series_summary import summarise_series
from tests.peers import unpacked

RULES = SeriesRules(min_slices=1, axial_only=False)


def read(folder: Path) -> list[Dataset]:
    found = []
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file.suffix not in (".md", ".txt", ".json"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found.append(dcmread(file, stop_before_pixels=True))
    return found


def test_the_enhanced_brain_study(tmp_path: Path) -> None:
    headers = [header_of(ds) for ds in read(unpacked("mr_nema_brtum_enhanced", tmp_path))]
    series = summarise_series(json.loads(json.dumps(headers)))
    roles = {
        one.header["SeriesDescription"]: d.role for one, d in zip(series, classify_series(series, RULES), strict=True)
    }
    assert roles == {
        "* SAG LOC": "other",
        "* FLAIR AXIAL": "other",
        "* T2 FSE AXIAL": "T2w",
        "* T1 AXIAL PRE GAD": "T1w",
        "* T1 AXIAL POST GAD": "CE-T1w",
    }
    post = next(one for one in series if "POST" in str(one.header["SeriesDescription"]))
    assert post.stack.n_slices == 24
    assert post.stack.step_mm == pytest.approx(6.0, abs=0.01)
    assert post.stack.findings == ()
    assert post.header["ContrastBolusAgentSequence"] == ["Dimeglumine gadopentetate"]


def test_the_missing_slice_of_a_real_series_is_found(tmp_path: Path) -> None:
    (series,) = summarise_series([header_of(ds) for ds in read(unpacked("mr_siemens_t2_classic", tmp_path))])
    assert (series.n_instances, series.stack.plane) == (55, "axial")
    ((code, text),) = series.stack.findings
    assert code == "missing_slice"
    assert text.startswith("1 slice is missing")


def test_a_real_structure_set(tmp_path: Path) -> None:
    folder = unpacked("rtstruct_dicompyler", tmp_path)
    header = header_of(dcmread(next(folder.rglob("rtss.dcm"))))
    rois = {roi["name"]: roi for roi in header["Rois"]}
    assert len(rois) == 10
    assert sum(roi["n_contours"] for roi in rois.values()) == 441
    assert sum(1 for roi in rois.values() if roi["n_contours"] == 0) == 1
    assert len(header["ContourReferences"]["sop_instance_uids"]) == 98
    heart = rois["Heart"]["extent_mm"]
    assert all(low < high for low, high in zip(*heart, strict=True))
    json.dumps(header)


def test_points_are_told_from_contours(tmp_path: Path) -> None:
    folder = unpacked("rtstruct_oncentra_ct", tmp_path)
    header = header_of(dcmread(next(folder.rglob("points_roi/rtstruct.dcm"))))
    kinds = {roi["name"]: roi["geometric_types"] for roi in header["Rois"]}
    assert kinds["ISO"] == ["POINT"]
    assert kinds["Small"] == ["CLOSED_PLANAR"]


def test_values_that_cannot_be_decoded_are_left_out() -> None:
    ds = Dataset()
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
    for keyword, vr, value in (
        ("EchoTime", "DS", b"abc"),
        ("InstanceNumber", "IS", b"1.5.2"),
        ("PixelSpacing", "DS", b"1\\x"),
        ("SeriesDescription", "LO", b"T1"),
    ):
        tag = Tag(keyword)
        ds[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)
    ds.ContrastBolusAgentSequence = []
    ds.RepetitionTime = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        header = header_of(ds)
    assert header == {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.4", "SeriesDescription": "T1"}


def test_a_structure_set_without_its_sequences_says_so() -> None:
    ds = Dataset()
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.481.3"
    header = header_of(ds)
    assert header["Rois"] == []
    assert header["ContourReferences"]["frame_of_reference_uids"] == []


@pytest.mark.parametrize(
    ("label", "sent"),
    [("ISO_IR 100", "鼻咽增强".encode("gb18030")), (None, "鼻咽增强".encode("gbk")), ("ISO_IR 192", b"T1 +C")],
)
def test_text_of_a_sender_that_labels_it_wrongly(label: str | None, sent: bytes) -> None:
    ds = Dataset()
    tag = Tag("SeriesDescription")
    ds[tag] = RawDataElement(tag, "LO", len(sent), sent, 0, False, True)
    if label:
        ds.SpecificCharacterSet = label
    header = header_of(ds)
    assert with_character_set(header, None) == header
    assert with_character_set({**header, "Rois": [{"name": "GTV"}]}, "GB18030") == {
        **header, "SeriesDescription": sent.decode("gb18030"), "Rois": [{"name": "GTV"}],
    }  # fmt: skip


def test_what_is_no_text_of_the_named_character_set_stays_as_it_is() -> None:
    assert with_character_set({"SeriesDescription": "\xff\xff"}, "GB18030") == {"SeriesDescription": "\xff\xff"}


def structure_set(names: dict[int, str], items: list[tuple[int | None, int]], kind: str = "CLOSED_PLANAR") -> Dataset:
    """A structure set with these ROIs; items : ROI Number and number of contours of each ROI Contour item."""
    ds = Dataset()
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.481.3"
    frame = Dataset()
    frame.FrameOfReferenceUID = "1.2.3"
    ds.ReferencedFrameOfReferenceSequence = [frame]
    ds.StructureSetROISequence, ds.ROIContourSequence = [], []
    for number, name in names.items():
        roi = Dataset()
        roi.ROINumber, roi.ROIName = number, name
        ds.StructureSetROISequence.append(roi)
    for number, n_contours in items:
        item, contour = Dataset(), Dataset()
        if number is not None:
            item.ReferencedROINumber = number
        contour.ContourData = ["0", "0", "0", "9", "0", "0", "9", "9", "0"]
        contour.add_new("ContourGeometricType", "CS", kind)
        item.ContourSequence = [contour] * n_contours
        ds.ROIContourSequence.append(item)
    return ds


def test_all_items_of_a_number_belong_to_its_roi_and_an_empty_one_changes_nothing() -> None:
    header = structure_set_header(structure_set({5: "GTVp"}, [(5, 6), (None, 3), (5, 4), (5, 0)]))
    assert header["Rois"][0]["n_contours"] == 10


def test_a_roi_without_a_frame_of_reference_is_in_that_of_the_structure_set() -> None:
    assert structure_set_header(structure_set({5: "GTVp"}, [(5, 1)]))["Rois"][0]["frame_of_reference_uid"] == "1.2.3"


@pytest.mark.filterwarnings("ignore:Invalid value for VR CS")
def test_a_geometric_type_in_lower_case_is_the_same_type() -> None:
    header = structure_set_header(structure_set({5: "GTVp", 6: "Iso"}, [(5, 1), (6, 1)], kind="open_planar"))
    assert header["Rois"][0]["geometric_types"] == ["OPEN_PLANAR"]
