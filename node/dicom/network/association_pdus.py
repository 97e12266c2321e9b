"""A-ASSOCIATE PDUs of peers, made readable for pynetdicom (PS3.8 section 9.3).

pynetdicom rejects or aborts where the standard asks to look over: AE titles padded with NUL, items of unknown types,
and bits of the protocol version that a later version may set.
"""

from __future__ import annotations

import struct
from collections.abc import Collection

ASSOCIATE_REQUEST, ASSOCIATE_ACCEPT = 0x01, 0x02
VERSION_1 = 0x0001  # bit 0; each later version has a bit of its own
_FIXED_BYTES = 74  # type, length, version, both titles, reserved bytes
_VERSION, _CALLED, _CALLING = slice(6, 8), slice(10, 26), slice(26, 42)
_ITEM_HEADER = struct.Struct(">BxH")
_APPLICATION_CONTEXT, _PROPOSED_CONTEXT, _NEGOTIATED_CONTEXT, _USER_INFORMATION = 0x10, 0x20, 0x21, 0x50
_ITEMS = frozenset({_APPLICATION_CONTEXT, _PROPOSED_CONTEXT, _NEGOTIATED_CONTEXT, _USER_INFORMATION})
_USER_ITEMS = frozenset(range(0x51, 0x5A))  # PS3.8 Annex D.1, PS3.7 Annex D.3.3


def readable_associate(pdu: bytes) -> bytes:
    """Return an A-ASSOCIATE-RQ or -AC with what pynetdicom would refuse, and the standard does not, left out.

    Parameters
    ----------
    pdu : bytes
        The whole PDU.

    Returns
    -------
    bytes
        The same PDU where nothing is unusual. AE titles end at their first NUL; of the protocol version only bit 0 is
        kept; items of unknown types are left out. A PDU whose lengths contradict each other is returned as it is.

    References
    ----------
    PS3.8 section 9.3.2 (only bit 0 of Protocol-version is tested; spaces around titles are not significant) and
    section 9.3.1 (items of unrecognised types are ignored and skipped).
    """
    if len(pdu) < _FIXED_BYTES:
        return pdu
    fixed = bytearray(pdu[:_FIXED_BYTES])
    (version,) = struct.unpack(">H", fixed[_VERSION])
    if version & VERSION_1:
        fixed[_VERSION] = struct.pack(">H", VERSION_1)
    for title in (_CALLED, _CALLING):
        fixed[title] = bytes(fixed[title]).partition(b"\0")[0].ljust(16)
    items = _known_items(pdu[_FIXED_BYTES:], _ITEMS)
    if items is None:
        return pdu
    fixed[2:6] = struct.pack(">I", len(fixed) - 6 + len(items))
    return bytes(fixed) + items


def _known_items(data: bytes, known: Collection[int]) -> bytes | None:
    """Return the items of known types, user information with its known sub-items; None where lengths are wrong."""
    kept, offset = [], 0
    while offset < len(data):
        if len(data) - offset < _ITEM_HEADER.size:
            return None
        kind, length = _ITEM_HEADER.unpack_from(data, offset)
        end = offset + _ITEM_HEADER.size + length
        if end > len(data):
            return None
        item = data[offset:end]
        if kind == _USER_INFORMATION and known is _ITEMS:
            sub_items = _known_items(item[_ITEM_HEADER.size :], _USER_ITEMS)
            if sub_items is None:
                return None
            item = struct.pack(">BBH", kind, 0, len(sub_items)) + sub_items
        if kind in known:
            kept.append(item)
        offset = end
    return b"".join(kept)
