"""Objects of one synthetic patient, and what archives do to an object on its way without changing what it shows."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import date, datetime
from io import BytesIO
from pathlib import Path

import gdcm
import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless, RLELossless, generate_uid

from workers.phantoms.dicom_study import WrittenStudy, write_study
from workers.phantoms.population import draw_patient, published_nomogram

Edit = Callable[[Dataset], None]

IMPLICIT, BIG_ENDIAN, DEFLATED = "1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
UNCOMPRESSED = (IMPLICIT, BIG_ENDIAN, DEFLATED)
LOSSLESS = (str(RLELossless), str(JPEGLSLossless), str(JPEG2000Lossless), str(JPEGLosslessSV1))
_GDCM_SYNTAX = {
    str(RLELossless): gdcm.TransferSyntax.RLELossless,
    str(JPEGLSLossless): gdcm.TransferSyntax.JPEGLSLossless,
    str(JPEG2000Lossless): gdcm.TransferSyntax.JPEG2000Lossless,
    str(JPEGLosslessSV1): gdcm.TransferSyntax.JPEGLosslessProcess14_1,
}


def tiny_study(folder: Path) -> WrittenStudy:
    """Three series of ten slices of 64 x 64 pixels, and a structure set."""
    phantom = draw_patient(5, 0, published_nomogram())
    when = datetime(2026, 3, 9, 10, 0)
    return write_study(
        phantom, folder, "TINY", date(1980, 2, 3), study_datetime=when, n_slices=10, matrix=64, seed=5
    )  # fmt: skip


def in_syntax(ds: Dataset, syntax: str) -> Dataset:
    """The same object in another uncompressed transfer syntax, as a reader gets it back."""
    copied, uid = copy.deepcopy(ds), UID(syntax)
    if not uid.is_little_endian and "PixelData" in copied and copied.BitsAllocated == 16:
        copied.PixelData = np.frombuffer(copied.PixelData, "<u2").astype(">u2").tobytes()
        copied["PixelData"].VR = "OW"
    for _ in copied.iterall():  # decoded, so that no element keeps the bytes of its old encoding
        pass
    plain = Dataset()
    plain.update(copied)
    plain.file_meta = copied.file_meta
    plain.file_meta.TransferSyntaxUID = uid
    buffer = BytesIO()
    plain.save_as(buffer, enforce_file_format=True)
    return dcmread(BytesIO(buffer.getvalue()))


def compressed(path: Path, syntax: str, into: Path) -> Path:
    """The same image, compressed without loss by GDCM."""
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(_GDCM_SYNTAX[syntax]))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(into))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    return into


def _item(**values: object) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def _set(**values: object) -> Edit:
    def edit(ds: Dataset) -> None:
        for keyword, value in values.items():
            setattr(ds, keyword, value)

    return edit


def _private(ds: Dataset) -> None:
    block = ds.private_block(0x0009, "SOME ARCHIVE", create=True)
    block.add_new(0x01, "LO", "node 7")
    block.add_new(0x02, "OB", b"\x01\x02\x03\x04")


def _group_lengths(ds: Dataset) -> None:
    for group in (0x0008, 0x0010, 0x0020):
        ds.add_new((group, 0x0000), "UL", 1234)


def _latin_1(ds: Dataset) -> None:
    ds.SpecificCharacterSet = "ISO_IR 100"


def _original_attributes(ds: Dataset) -> None:
    before = _item(PatientID="OLD-ID", StudyID="0")
    ds.OriginalAttributesSequence = Sequence(
        [
            _item(
                AttributeModificationDateTime="20260310120000", ModifyingSystem="ARCHIVE", SourceOfPreviousValues="",
                ReasonForTheAttributeModification="COERCE", ModifiedAttributesSequence=Sequence([before]),
            )
        ]
    )  # fmt: skip


# What archives, routers and viewers are known to do to objects that they forward.
EDITS: dict[str, Edit] = {
    "study id": _set(StudyID="77", AccessionNumber="A-1"),
    "institution": _set(
        InstitutionName="General Hospital", InstitutionAddress="1 Street", InstitutionalDepartmentName="RT",
        StationName="MR2", ReferringPhysicianName="House^Gregory", OperatorsName="Op",
    ),
    "issuer": _set(IssuerOfPatientID="ARCHIVE", OtherPatientIDs=["X1", "X2"], PatientComments="merged"),
    "group lengths": _group_lengths,
    "private elements": _private,
    "character set": _latin_1,
    "original attributes": _original_attributes,
    "imaging object change management": _set(
        InstanceOriginStatus="IMPORTED", InstanceAvailability="ONLINE", QueryRetrieveLevel="IMAGE",
        RetrieveAETitle="ARCHIVE", QualityControlImage="NO",
        ContributingEquipmentSequence=Sequence([_item(Manufacturer="ARCHIVE", ContributionDateTime="20260310")]),
    ),
    "request": _set(
        RequestAttributesSequence=Sequence([_item(ScheduledProcedureStepID="1", RequestedProcedureID="2")]),
        PerformedProcedureStepID="3", PerformedProcedureStepStartDate="20260309", StudyDescription="MRI neck",
        ProcedureCodeSequence=Sequence([_item(CodeValue="1", CodingSchemeDesignator="99X", CodeMeaning="MRI")]),
    ),
    "creation": _set(
        InstanceCreationDate="20260310", InstanceCreationTime="120000", InstanceCreatorUID=generate_uid(),
        TimezoneOffsetFromUTC="+0800", SoftwareVersions="9",
    ),
    "numbers": _set(SeriesNumber="901", AcquisitionNumber="5"),
    "name in capitals with empty components": _set(PatientName="PHANTOM^SYNTHETIC^^^"),
    "times with fractions": _set(StudyTime="100000.000000", StudyDate="20260309"),
    "trailing padding": lambda ds: ds.add_new((0xFFFC, 0xFFFC), "OB", bytes(64)),
    "digital signature": _set(
        MACParametersSequence=Sequence([_item(MACIDNumber=1, MACAlgorithm="SHA256")]),
        DigitalSignaturesSequence=Sequence([_item(MACIDNumber=1, DigitalSignatureUID=generate_uid())]),
    ),
}  # fmt: skip
IMAGE_EDITS: dict[str, Edit] = {
    "window": _set(WindowCenter="40", WindowWidth="400"),
    "range of values": lambda ds: ds.add_new("SmallestImagePixelValue", "US", 1),
    "comments": _set(ImageComments="forwarded", DerivationDescription="lossless", LossyImageCompression="00"),
    "numbers in another form": _set(EchoTime="1.10E1", SliceThickness="11", PixelSpacing=["3.5999980", "3.599998"]),
    "stated defaults": _set(RescaleSlope="1", RescaleIntercept="0", RescaleType="US", NumberOfFrames="1"),
    "a description that says the same": _set(SeriesDescription="T1 tse tra (copy)"),
    "icon": _set(IconImageSequence=Sequence([_item(Rows=1, Columns=2, BitsAllocated=8, PixelData=b"\1\2")])),
}
CONTOUR_EDITS: dict[str, Edit] = {
    "label and reviewer": _set(StructureSetLabel="RTSS2", StructureSetName="copied", ReviewerName="A^B"),
    "colours": lambda ds: [setattr(item, "ROIDisplayColor", [1, 2, 3]) for item in ds.ROIContourSequence] and None,
    "order of the ROIs": lambda ds: ds.StructureSetROISequence.reverse(),
    "descriptions": lambda ds: [setattr(i, "ROIDescription", "x") for i in ds.StructureSetROISequence] and None,
}
