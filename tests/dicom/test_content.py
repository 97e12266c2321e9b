"""One instance in another form is the same instance; another image, patient or contour under its UID is not."""

from __future__ import annotations

import copy
import subprocess
import sys
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, JPEGExtended12Bit, generate_uid

from node.dicom.content.comparison import differences_between
from node.dicom.content.comparison_client import ComparisonFailedError, ContentComparison
from tests.dicom.instances import (
    BIG_ENDIAN,
    CONTOUR_EDITS,
    DEFLATED,
    EDITS,
    IMAGE_EDITS,
    IMPLICIT,
    LOSSLESS,
    UNCOMPRESSED,
    Edit,
    compressed,
    in_syntax,
    tiny_study,
)
from tests.peers import peer
from workers.phantoms.dicom_study import WrittenStudy


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> WrittenStudy:
    return tiny_study(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def image_path(study: WrittenStudy) -> Path:
    return study.series["T1w"][4]


@pytest.fixture
def image(image_path: Path) -> Dataset:
    return dcmread(image_path)


@pytest.fixture
def contours(study: WrittenStudy) -> Dataset:
    return dcmread(study.rtstruct)


def edited(ds: Dataset, *edits: Edit) -> Dataset:
    """The object after edits, written and read again, as it arrives."""
    changed = copy.deepcopy(ds)
    for edit in edits:
        edit(changed)
    buffer = BytesIO()
    changed.save_as(buffer, enforce_file_format=True)
    return dcmread(BytesIO(buffer.getvalue()))


# --- the same instance ---


@pytest.mark.parametrize("syntax", UNCOMPRESSED)
def test_another_encoding_is_the_same_image(image: Dataset, syntax: str) -> None:
    assert differences_between(image, in_syntax(image, syntax)) == ()


@pytest.mark.parametrize("syntax", UNCOMPRESSED)
def test_another_encoding_is_the_same_structure_set(contours: Dataset, syntax: str) -> None:
    assert differences_between(contours, in_syntax(contours, syntax)) == ()


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_lossless_compression_by_gdcm_is_the_same_image(image_path: Path, tmp_path: Path, syntax: str) -> None:
    again = dcmread(compressed(image_path, syntax, tmp_path / "again.dcm"))
    assert again.file_meta.TransferSyntaxUID == syntax
    assert differences_between(dcmread(image_path), again) == ()
    assert differences_between(again, dcmread(image_path)) == ()


@pytest.mark.parametrize(
    "command", [("dcmcrle",), ("dcmcjpls", "+el"), ("dcmcjpeg", "+e1"), ("dcmconv", "+tb", "+p", "512", "64")]
)
def test_what_dcmtk_makes_of_it_is_the_same_image(image_path: Path, tmp_path: Path, command: tuple[str, ...]) -> None:
    again = tmp_path / "again.dcm"
    subprocess.run([peer(command[0], "dcmtk"), *command[1:], str(image_path), str(again)], check=True)
    assert differences_between(dcmread(image_path), dcmread(again)) == ()


def test_signed_values_in_fewer_bits_are_the_same_values(image: Dataset) -> None:
    signed = copy.deepcopy(image)
    signed.PixelRepresentation, signed.BitsStored, signed.HighBit = 1, 16, 15
    assert differences_between(image, signed) == ()
    overlay = copy.deepcopy(image)
    values = np.frombuffer(overlay.PixelData, "<u2") | 0x8000  # beyond the 12 stored bits
    overlay.PixelData = values.astype("<u2").tobytes()
    assert differences_between(image, overlay) == ()
    high = copy.deepcopy(image)
    high.HighBit, high.PixelData = 15, (np.frombuffer(image.PixelData, "<u2") << 4).astype("<u2").tobytes()
    assert differences_between(image, high) == ()


@pytest.mark.parametrize("name", [*EDITS, *IMAGE_EDITS])
def test_an_edit_of_an_archive_is_the_same_image(image: Dataset, name: str) -> None:
    again = edited(image, {**EDITS, **IMAGE_EDITS}[name])
    assert differences_between(image, again) == ()
    assert differences_between(again, image) == ()


@pytest.mark.parametrize("name", [*EDITS, *CONTOUR_EDITS])
def test_an_edit_of_an_archive_is_the_same_structure_set(contours: Dataset, name: str) -> None:
    again = edited(contours, {**EDITS, **CONTOUR_EDITS}[name])
    assert differences_between(contours, again) == ()


@pytest.mark.parametrize(
    ("character_set", "name"),
    [
        # PS3.5 Annex K.3, I.2, H.3.2; then text of European and Chinese hospitals.
        (["", "ISO 2022 IR 58"], b"Wang^XiaoDong=\x1b$)A\xcd\xf5^\x1b$)A\xd0\xa1\xb6\xab=".decode("latin-1")),
        (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
        ("GB18030", "Wang^XiaoDong=王^小东="),
        ("ISO_IR 100", "Müller^Jörg"),
    ],
)
def test_text_in_utf_8_is_the_same_text(image: Dataset, character_set: str | list[str], name: str) -> None:
    first = copy.deepcopy(image)
    first.SpecificCharacterSet = character_set
    if isinstance(character_set, list) and "IR 58" in character_set[1]:
        first.PatientName = name.encode("latin-1")
        again_name = "Wang^XiaoDong=王^小东="
    else:
        first.PatientName = again_name = name
    again = copy.deepcopy(image)
    again.SpecificCharacterSet, again.PatientName = "ISO_IR 192", again_name
    assert differences_between(edited(first), edited(again)) == ()
    again.PatientName = "Other^Person=李^四="
    assert differences_between(edited(first), edited(again)) == ("PatientName",)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_edits_in_any_encoding_are_the_same_image(image_path: Path, data: st.DataObject) -> None:
    edits = {**EDITS, **IMAGE_EDITS}
    names = data.draw(st.lists(st.sampled_from(sorted(edits)), max_size=6, unique=True))
    syntax = data.draw(st.sampled_from([*UNCOMPRESSED, "1.2.840.10008.1.2.1"]))
    image = dcmread(image_path)
    again = in_syntax(edited(image, *(edits[name] for name in names)), syntax)
    assert differences_between(image, again) == ()


# --- another instance ---

OTHER_IMAGE: dict[str, Edit] = {
    "PatientID": lambda ds: setattr(ds, "PatientID", "OTHER"),
    "PatientName": lambda ds: setattr(ds, "PatientName", "Other^Person"),
    "PatientBirthDate": lambda ds: setattr(ds, "PatientBirthDate", "19711111"),
    "PatientSex": lambda ds: setattr(ds, "PatientSex", "F"),
    "StudyInstanceUID": lambda ds: setattr(ds, "StudyInstanceUID", generate_uid()),
    "SeriesInstanceUID": lambda ds: setattr(ds, "SeriesInstanceUID", generate_uid()),
    "FrameOfReferenceUID": lambda ds: setattr(ds, "FrameOfReferenceUID", generate_uid()),
    "ImagePositionPatient": lambda ds: setattr(ds, "ImagePositionPatient", [-111.4, -127.4, -21.4]),
    "ImageOrientationPatient": lambda ds: setattr(ds, "ImageOrientationPatient", [1, 0, 0, 0, 0.8, 0.6]),
    "PixelSpacing": lambda ds: setattr(ds, "PixelSpacing", [3.5, 3.6]),
    "SliceThickness": lambda ds: delattr(ds, "SliceThickness"),
    "AcquisitionTime": lambda ds: setattr(ds, "AcquisitionTime", "120600"),
    "StudyDate": lambda ds: setattr(ds, "StudyDate", "20250309"),
    "EchoTime": lambda ds: setattr(ds, "EchoTime", "90"),
    "ContrastBolusAgent": lambda ds: setattr(ds, "ContrastBolusAgent", "Gadovist"),
    "ImageType": lambda ds: setattr(ds, "ImageType", ["DERIVED", "SECONDARY", "SUBTRACTION"]),
    "RescaleSlope": lambda ds: setattr(ds, "RescaleSlope", "2"),
    "SeriesDescription": lambda ds: setattr(ds, "SeriesDescription", "t1_tse_tra +C"),
    "PixelData": lambda ds: setattr(ds, "PixelData", ds.PixelData[:-4] + b"\x01\x00\x00\x00"),
}


@pytest.mark.parametrize("keyword", OTHER_IMAGE)
def test_what_makes_another_image_is_named(image: Dataset, keyword: str) -> None:
    other = edited(image, OTHER_IMAGE[keyword])
    assert keyword in differences_between(image, other)
    assert keyword in differences_between(in_syntax(other, IMPLICIT), image)


def test_one_grey_value_in_a_compressed_copy_is_another_image(image: Dataset, tmp_path: Path) -> None:
    other = copy.deepcopy(image)
    values = np.frombuffer(other.PixelData, "<u2").copy()
    values[2000] ^= 1
    other.PixelData = values.tobytes()
    other.save_as(tmp_path / "other.dcm")
    for syntax in LOSSLESS:
        again = dcmread(compressed(tmp_path / "other.dcm", syntax, tmp_path / "again.dcm"))
        assert differences_between(image, again) == ("PixelData",)


def _move_a_point(ds: Dataset) -> None:
    contour = ds.ROIContourSequence[0].ContourSequence[0]
    contour.ContourData = [float(contour.ContourData[0]) + 0.01, *contour.ContourData[1:]]


def _renumber(ds: Dataset) -> None:
    for sequence, keyword in (
        (ds.StructureSetROISequence, "ROINumber"), (ds.ROIContourSequence, "ReferencedROINumber"),
        (ds.RTROIObservationsSequence, "ReferencedROINumber"),
    ):  # fmt: skip
        numbers = {1: 2, 2: 1}
        for item in sequence:
            setattr(item, keyword, numbers.get(int(getattr(item, keyword)), int(getattr(item, keyword))))


OTHER_CONTOURS: dict[str, tuple[Edit, str]] = {
    "a point": (_move_a_point, "ContourData"),
    "a name": (lambda ds: setattr(ds.StructureSetROISequence[0], "ROIName", "GTVn"), "ROIName"),
    "numbers": (_renumber, "ROINumber"),
    "approval": (lambda ds: setattr(ds, "ApprovalStatus", "REJECTED"), "ApprovalStatus"),
    "a contour less": (lambda ds: ds.ROIContourSequence[0].ContourSequence.pop() and None, "ContourSequence"),
    "a ROI less": (lambda ds: ds.ROIContourSequence.pop() and None, "ROIContourSequence"),
    "a type": (
        lambda ds: setattr(ds.RTROIObservationsSequence[0], "RTROIInterpretedType", "PTV"),
        "RTROIInterpretedType",
    ),
    "a frame": (
        lambda ds: setattr(ds.StructureSetROISequence[0], "ReferencedFrameOfReferenceUID", generate_uid()),
        "ReferencedFrameOfReferenceUID",
    ),
}


@pytest.mark.parametrize("name", OTHER_CONTOURS)
def test_what_makes_another_contour_is_named(contours: Dataset, name: str) -> None:
    edit, keyword = OTHER_CONTOURS[name]
    assert keyword in differences_between(contours, in_syntax(edited(contours, edit), BIG_ENDIAN))


def registration(matrix: list[float]) -> Dataset:
    """A Spatial Registration of one rigid matrix."""
    item = Dataset()
    item.FrameOfReferenceTransformationMatrix, item.FrameOfReferenceTransformationMatrixType = matrix, "RIGID"
    of_matrix = Dataset()
    of_matrix.MatrixSequence = Sequence([item])
    of_frame = Dataset()
    of_frame.FrameOfReferenceUID, of_frame.MatrixRegistrationSequence = "1.2.3", Sequence([of_matrix])
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID, ds.Modality = "1.2.840.10008.5.1.4.1.1.66.1", "1.2.4", "REG"
    ds.RegistrationSequence = Sequence([of_frame])
    return ds


IDENTITY = [1.0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]


def test_a_registration_is_its_matrices() -> None:
    shifted = [*IDENTITY[:3], 0.5, *IDENTITY[4:]]
    assert differences_between(registration(IDENTITY), in_syntax(registration(IDENTITY), IMPLICIT)) == ()
    assert differences_between(registration(IDENTITY), in_syntax(registration(shifted), IMPLICIT)) == (
        "FrameOfReferenceTransformationMatrix",
    )


def test_equal_bytes_of_a_codec_that_does_not_exist_here_are_the_same_pixels(image: Dataset) -> None:
    image.file_meta.TransferSyntaxUID = JPEGExtended12Bit
    image.PixelData = encapsulate([b"\xff\xd8no JPEG\xff\xd9"])
    again = copy.deepcopy(image)
    again.PixelData = encapsulate([b"\xff\xd8no JPEG\xff\xd9"], has_bot=False)
    assert differences_between(image, again) == ()


# --- in a process of its own ---


@pytest.fixture
def comparison() -> Iterator[ContentComparison]:
    comparison = ContentComparison()
    yield comparison
    comparison.close()


def test_files_are_compared_by_one_process_after_another(
    comparison: ContentComparison, image_path: Path, study: WrittenStudy
) -> None:
    assert comparison.differences(image_path, image_path) == ()
    (process,) = comparison._idle
    assert "ImagePositionPatient" in comparison.differences(image_path, study.series["T1w"][5])
    assert comparison._idle == [process]
    process.kill()
    process.wait()
    assert comparison.differences(image_path, image_path) == ()


def test_a_file_that_cannot_be_decoded_is_an_error_without_its_values(
    comparison: ContentComparison, image_path: Path, tmp_path: Path
) -> None:
    ds = dcmread(compressed(image_path, LOSSLESS[1], tmp_path / "cut.dcm"))
    ds.PixelData = ds.PixelData[: len(ds.PixelData) // 2] + bytes(len(ds.PixelData) // 2)
    ds.save_as(tmp_path / "cut.dcm")
    with pytest.raises(ComparisonFailedError, match="decoding failed"):
        comparison.differences(image_path, tmp_path / "cut.dcm")
    assert comparison.differences(image_path, image_path) == ()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "signal 11"),
        ("import time; time.sleep(60)", "over 1 s, signal 9"),
        ("print('[')", "code"),
        ("raise SystemExit(0)", "code 0"),
    ],
)
def test_a_process_that_crashes_or_hangs_is_an_error_in_time(image_path: Path, body: str, said: str) -> None:
    comparison = ContentComparison([sys.executable, "-c", f"import sys; sys.stdin.readline(); {body}"], max_seconds=1.0)
    begun = time.monotonic()
    with pytest.raises(ComparisonFailedError, match=said):
        comparison.differences(image_path, image_path)
    assert time.monotonic() - begun < 5
    comparison.close()


# --- objects of several frames ---


def enhanced(n_frames: int = 3) -> Dataset:
    """An Enhanced MR of a few frames; what a functional group says of each frame is in its own sequence."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID, ds.Modality = "1.2.840.10008.5.1.4.1.1.4.1", "1.2.5", "MR"
    ds.PatientID, ds.SeriesDescription = "P-1", "t2_tse"
    frames = []
    for number in range(n_frames):
        position, echo, frame = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient, echo.EffectiveEchoTime = [0, 0, 5.0 * number], 90.0
        frame.PlanePositionSequence, frame.MREchoSequence = Sequence([position]), Sequence([echo])
        frames.append(frame)
    ds.PerFrameFunctionalGroupsSequence = Sequence(frames)
    ds.NumberOfFrames, ds.Rows, ds.Columns, ds.SamplesPerPixel = n_frames, 8, 8, 1
    ds.PhotometricInterpretation, ds.PixelRepresentation = "MONOCHROME2", 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 11
    ds.PixelData = np.random.default_rng(1).integers(0, 4096, (n_frames, 8, 8), dtype="<u2").tobytes()
    return ds


def _private_in_frames(ds: Dataset) -> None:
    for frame in ds.PerFrameFunctionalGroupsSequence:
        frame.private_block(0x2005, "VENDOR", create=True).add_new(0x01, "FD", 1.5)


@pytest.mark.parametrize("syntax", UNCOMPRESSED)
def test_an_enhanced_image_in_another_encoding_is_the_same(syntax: str) -> None:
    assert differences_between(enhanced(), in_syntax(edited(enhanced(), _private_in_frames), syntax)) == ()


def test_a_position_or_a_grey_value_of_one_frame_is_another_image() -> None:
    moved, other_echo, brighter = enhanced(), enhanced(), enhanced()
    moved.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence[0].ImagePositionPatient = [0, 0, 5.5]
    other_echo.PerFrameFunctionalGroupsSequence[2].MREchoSequence[0].EffectiveEchoTime = 80.0
    brighter.PixelData = brighter.PixelData[:-2] + b"\xff\x0f"
    expected = ["ImagePositionPatient", "EffectiveEchoTime", "PixelData"]
    for other, keyword in zip((moved, other_echo, brighter), expected, strict=True):
        assert differences_between(enhanced(), in_syntax(other, BIG_ENDIAN)) == (keyword,)


def segmentation() -> Dataset:
    """Three frames of 5 x 5 pixels of one bit: frames begin within a byte (PS3.5 section 8.1.1)."""
    ds = enhanced()
    ds.SOPClassUID, ds.Modality, ds.SegmentationType = "1.2.840.10008.5.1.4.1.1.66.4", "SEG", "BINARY"
    ds.Rows = ds.Columns = 5
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 1, 1, 0
    segment = Dataset()
    segment.SegmentNumber, segment.SegmentLabel = 1, "GTVp"
    ds.SegmentSequence = Sequence([segment])
    ds.PixelData = bytes([0b10101010, 0xF0, 0x0F, 0x55, 0xAA, 0xFF, 0x3C, 0xC3, 0x81, 0x00])
    ds["PixelData"].VR = "OB"
    return ds


def test_a_segmentation_is_its_segments_and_bits() -> None:
    assert differences_between(segmentation(), in_syntax(segmentation(), DEFLATED)) == ()
    other = segmentation()
    other.PixelData = other.PixelData[:8] + b"\x80\x00"
    assert differences_between(segmentation(), in_syntax(other, IMPLICIT)) == ("PixelData",)
    renamed = segmentation()
    renamed.SegmentSequence[0].SegmentLabel = "GTVn"
    assert differences_between(segmentation(), renamed) == ("SegmentLabel",)
