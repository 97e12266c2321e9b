"""What good peers say to the node, PDU by PDU: the seeds of the fuzzer (PS3.8 section 9.3, PS3.7 section 9 and 10)."""

from __future__ import annotations

import struct

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom.dsutils import encode

from tests.dicom.raw_scu import EXPLICIT, IMPLICIT, MR, associate_request, element, store_request
from tests.dicom.scenes import encoded, mr_slice

RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"
COMMITMENT = "1.2.840.10008.1.20.1"
COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1.1"
VERIFICATION = "1.2.840.10008.1.1"

CONTEXTS = [(MR, [EXPLICIT, IMPLICIT]), (VERIFICATION, [IMPLICIT]), (COMMITMENT, [IMPLICIT]), (RTSTRUCT, [EXPLICIT])]
RELEASE = struct.pack(">BBI", 0x05, 0, 4) + bytes(4)
ABORT = struct.pack(">BBI", 0x07, 0, 4) + bytes(4)


def good_streams() -> list[list[bytes]]:
    """Conversations of peers; the first PDU of each asks for the association, the rest follows its acceptance."""
    asking = associate_request(CONTEXTS, "FUZZ", "CPTDN", 16384)
    slice_ = mr_slice(rows=8)
    store = [*_pdus(1, store_request(MR, str(slice_.SOPInstanceUID)), command=True),
             *_pdus(1, encoded(slice_), command=False)]  # fmt: skip
    halves = _pdus(1, encoded(slice_), command=False, size=200)
    one_pdu = _together(1, store_request(MR, str(slice_.SOPInstanceUID)), encoded(slice_))
    structures = _structures()
    contours = [*_pdus(7, store_request(RTSTRUCT, str(structures.SOPInstanceUID)), command=True),
                *_pdus(7, encoded(structures), command=False)]  # fmt: skip
    return [
        [asking, *_pdus(3, _echo(), command=True), RELEASE],
        [asking, *store, RELEASE],
        [asking, *store[:1], *halves, RELEASE],
        [asking, one_pdu, *_pdus(3, _echo(), command=True), RELEASE],
        [asking, *contours, RELEASE],
        [asking, *_event_report(), RELEASE],
        [asking, *store[:1], ABORT],
        [with_identity(asking), *_pdus(3, _echo(), command=True), ABORT],
    ]


def with_identity(asking: bytes) -> bytes:
    """The request with a user identity item behind its user information (PS3.7 section D.3.3.7)."""
    packed = struct.pack(">BBHBBH", 0x58, 0, 6 + 4 + 6, 2, 1, 4) + b"anna" + struct.pack(">H", 6) + b"secret"
    body = bytearray(asking[6:] + packed)
    at = asking[6:].rindex(b"\x50\x00\x00", 68)
    length = struct.unpack_from(">H", body, at + 2)[0]
    struct.pack_into(">H", body, at + 2, length + len(packed))
    return struct.pack(">BBI", 0x01, 0, len(body)) + bytes(body)


def _pdus(context_id: int, data: bytes, *, command: bool, size: int = 16000) -> list[bytes]:
    pieces = [data[i : i + size] for i in range(0, len(data), size)] or [b""]
    found = []
    for number, piece in enumerate(pieces):
        last = 2 if number == len(pieces) - 1 else 0
        pdv = struct.pack(">IBB", len(piece) + 2, context_id, last | (1 if command else 0)) + piece
        found.append(struct.pack(">BBI", 0x04, 0, len(pdv)) + pdv)
    return found


def _together(context_id: int, command: bytes, data: bytes) -> bytes:
    pdvs = struct.pack(">IBB", len(command) + 2, context_id, 3) + command
    pdvs += struct.pack(">IBB", len(data) + 2, context_id, 2) + data
    return struct.pack(">BBI", 0x04, 0, len(pdvs)) + pdvs


def _command(*elements: bytes) -> bytes:
    body = b"".join(elements)
    return element(0x0000, struct.pack("<I", len(body))) + body


def _echo() -> bytes:
    return _command(
        element(0x0002, b"1.2.840.10008.1.1\0"), element(0x0100, struct.pack("<H", 0x0030)),
        element(0x0110, struct.pack("<H", 7)), element(0x0800, struct.pack("<H", 0x0101)),
    )  # fmt: skip


def _event_report() -> list[bytes]:
    command = _command(
        element(0x0002, COMMITMENT.encode()), element(0x0100, struct.pack("<H", 0x0100)),
        element(0x0110, struct.pack("<H", 8)), element(0x0800, struct.pack("<H", 0x0001)),
        element(0x1000, COMMITMENT_INSTANCE.encode()), element(0x1002, struct.pack("<H", 1)),
    )  # fmt: skip
    information = Dataset()
    information.TransactionUID = "1.2.3.4"
    referenced = Dataset()
    referenced.ReferencedSOPClassUID, referenced.ReferencedSOPInstanceUID = MR, "1.2.3"
    information.ReferencedSOPSequence = [referenced]
    data = encode(information, True, True)
    assert data is not None
    return [*_pdus(5, command, command=True), *_pdus(5, data, command=False)]


def _structures() -> Dataset:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID, ds.Modality = RTSTRUCT, generate_uid(), "RTSTRUCT"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.PatientID = generate_uid(), generate_uid(), "P-1"
    roi, contours, contour = Dataset(), Dataset(), Dataset()
    roi.ROINumber, roi.ROIName = 1, "GTVp"
    contour.ContourData, contour.ContourGeometricType = [1.0, 2.0, 3.0] * 4, "CLOSED_PLANAR"
    contour.NumberOfContourPoints = 4
    contours.ReferencedROINumber, contours.ContourSequence = 1, [contour]
    ds.StructureSetROISequence, ds.ROIContourSequence = [roi], [contours]
    return ds
