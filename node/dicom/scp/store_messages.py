"""C-STORE messages on the wire: the request as the fast path decodes it, and both forms of the response.

PDU formats are those of PS3.8 section 9.3.5 and Annex D.1, command sets those of PS3.7 sections 6.3.1 and 9.3.1.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import NamedTuple

from pydicom.dataset import Dataset

from node.dicom.network.statuses import StoreStatus, error_comment
from node.dicom.scp.instance import Outcome

P_DATA = 0x04
COMMAND_FRAGMENT, LAST_FRAGMENT = 0x01, 0x02  # bits of the message control header, PS3.8 Annex E.2
PDU_HEADER = struct.Struct(">BxI")  # type, length of what follows
PDV_HEADER = struct.Struct(">IBB")  # length of what follows, presentation context, message control header
PDV_LENGTH_BYTES = 4  # not counted by the length itself

_C_STORE_RQ, _C_STORE_RSP = 0x0001, 0x8001
_NO_DATA_SET = 0x0101
_COMMAND_ELEMENT = struct.Struct("<HHI")
_FOUR_SHORTS = struct.Struct("<" + 4 * "HHIH")
_GROUP_LENGTH = struct.Struct("<HHII")


class StorageContext(NamedTuple):
    """A presentation context for storage that both sides agreed on."""

    number: int
    sop_class_uid: str
    transfer_syntax_uid: str


class StoreRequest(NamedTuple):
    """A C-STORE-RQ, and the context it came in."""

    context: StorageContext
    message_id: int
    sop_instance_uid: str


def decode_store_request(command: bytes, context: StorageContext) -> StoreRequest | None:
    """Decode the command set of a C-STORE request.

    Parameters
    ----------
    command : bytes
        One whole command set.
    context : StorageContext
        The presentation context it came in.

    Returns
    -------
    StoreRequest or None
        None for anything but a well-formed C-STORE-RQ with a data set of the context's SOP class.
    """
    elements = decode_command(command)
    if elements is None:
        return None
    try:
        field, data_set_type, message_id = (
            int.from_bytes(elements[number], "little") for number in (0x0100, 0x0800, 0x0110)
        )
        sop_class_uid, sop_instance_uid = (str(elements[number], "ascii").rstrip("\0 ") for number in (0x0002, 0x1000))
    except (KeyError, UnicodeDecodeError):
        return None
    # The Command Data Set Type has one value for "none", 0101H; every other value announces a data set (PS3.7 E.1).
    if field != _C_STORE_RQ or data_set_type == _NO_DATA_SET:
        return None
    # A class other than the context's is an error of the sender that pynetdicom answers.
    if sop_class_uid != context.sop_class_uid or not sop_instance_uid:
        return None
    return StoreRequest(context, message_id, sop_instance_uid)


def decode_command(data: bytes) -> Mapping[int, bytes] | None:
    """Split a command set into its elements.

    Parameters
    ----------
    data : bytes
        Group 0000 in implicit VR little endian, PS3.7 section 6.3.1.

    Returns
    -------
    mapping of int to bytes, or None
        Encoded values by element number; None when this is no command set.
    """
    elements: dict[int, bytes] = {}
    offset, end = 0, len(data)
    while offset < end:
        if end - offset < _COMMAND_ELEMENT.size:
            return None
        group, number, length = _COMMAND_ELEMENT.unpack_from(data, offset)
        offset += _COMMAND_ELEMENT.size
        # Command sets are in implicit VR little endian whatever the context's transfer syntax is (PS3.7 section 6.3.1).
        if group != 0x0000 or length > end - offset:
            return None
        elements[number] = data[offset : offset + length]
        offset += length
    return elements


def store_response(outcome: Outcome) -> Dataset:
    """Return the status of a response as pynetdicom's handlers return it, with its Error Comment.

    Parameters
    ----------
    outcome : Outcome
        What became of the instance.

    Returns
    -------
    Dataset
        Status, and Error Comment (0000,0902) unless it is a success.
    """
    response = Dataset()
    response.Status = int(outcome.status)
    if outcome.status is not StoreStatus.SUCCESS:
        response.ErrorComment = error_comment(outcome.comment)
    return response


def encode_store_response(request: StoreRequest, outcome: Outcome) -> bytes:
    """Encode the whole response to a request as one PDU.

    Parameters
    ----------
    request : StoreRequest
        What is answered.
    outcome : Outcome
        What became of the instance.

    Returns
    -------
    bytes
        A P-DATA-TF PDU with the C-STORE-RSP of PS3.7 Table 9.3-2.
    """
    comment = b""
    if outcome.status is not StoreStatus.SUCCESS:
        comment = _element(0x0902, error_comment(outcome.comment), b" ")
    body = b"".join(
        (
            _element(0x0002, request.context.sop_class_uid, b"\0"),
            _FOUR_SHORTS.pack(
                0, 0x0100, 2, _C_STORE_RSP, 0, 0x0120, 2, request.message_id, 0, 0x0800, 2, _NO_DATA_SET,
                0, 0x0900, 2, outcome.status,
            ),
            comment,
            _element(0x1000, request.sop_instance_uid, b"\0"),
        )
    )  # fmt: skip
    fragment_length = PDV_HEADER.size - PDV_LENGTH_BYTES + _GROUP_LENGTH.size + len(body)
    return b"".join(
        (
            PDU_HEADER.pack(P_DATA, PDV_LENGTH_BYTES + fragment_length),
            PDV_HEADER.pack(fragment_length, request.context.number, COMMAND_FRAGMENT | LAST_FRAGMENT),
            _GROUP_LENGTH.pack(0, 0x0000, 4, len(body)),
            body,
        )
    )


def _element(number: int, text: str, padding: bytes) -> bytes:
    encoded = text.encode("ascii")
    if len(encoded) % 2:
        encoded += padding
    return _COMMAND_ELEMENT.pack(0x0000, number, len(encoded)) + encoded
