"""Text of the source data sets, decoded once and written as UTF-8 (ISO_IR 192).

In GB18030 and GBK the second byte of a character may be that of a backslash or a caret, which separate values and name
components in DICOM, so a value is decoded as a whole before it is split. Some PACS label GBK as ISO_IR 100: for those
the site names the real encoding (`actual`).
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from pydicom import Dataset
from pydicom.charset import convert_encodings, decode_bytes
from pydicom.datadict import dictionary_VM, dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.valuerep import CUSTOMIZABLE_CHARSET_VR, PN_DELIMS, TEXT_VR_DELIMS, PersonName

from dicom_sr.report.errors import ReportError

UTF8 = "ISO_IR 192"
DEFAULT = "ISO_IR 6"
Label = str | list[str]


def transcoded(source: Dataset, keyword: str, actual: str | None = None) -> DataElement | None:
    """Return one element of a data set with its text decoded.

    Parameters
    ----------
    source : Dataset
        As it was read; its elements may still be undecoded bytes.
    keyword : str
        The element; of a sequence, the text of all items is decoded.
    actual : str or None
        The real encoding as a DICOM defined term, where Specific Character Set of the source is wrong.

    Returns
    -------
    DataElement or None
        A copy with text as str; None where the element is absent.

    Raises
    ------
    ReportError
        The bytes of a person's name are not a text of the encoding. Other text gets replacement characters instead.

    References
    ----------
    PS3.5 6.1.2 (character repertoires), 7.5.3 (character set of sequence items); PS3.3 C.12.1.1.2.
    """
    if keyword not in source:
        return None
    return _transcoded(source, keyword, _label(source), actual)


def text_of(source: Dataset, keyword: str, actual: str | None = None) -> str:
    """Return the text of one element, decoded as by `transcoded`; empty where it is absent or empty."""
    element = transcoded(source, keyword, actual)
    return "" if element is None or element.value is None else str(element.value)


def _label(source: Dataset) -> Label:
    label = source.get("SpecificCharacterSet") or DEFAULT
    return label if isinstance(label, str) else [part or DEFAULT for part in label]


def _transcoded(source: Dataset, keyword: str, label: Label, actual: str | None) -> DataElement:
    vr = dictionary_VR(keyword)
    if vr == "SQ":
        return DataElement(keyword, vr, [_transcoded_item(item, label, actual) for item in source[keyword].value or ()])
    # Only these VRs depend on the character set (PS3.5 6.1.2.2); all others are ASCII or binary.
    if vr not in CUSTOMIZABLE_CHARSET_VR:
        return deepcopy(source[keyword])
    value = _decoded(source.get_item(keyword), keyword, label, actual)
    return DataElement(keyword, vr, value if dictionary_VM(keyword) == "1" or vr == "UT" else value.split("\\"))


def _transcoded_item(item: Dataset, label: Label, actual: str | None) -> Dataset:
    # An item has the character set of the data set unless it has a Specific Character Set of its own (PS3.5 7.5.3).
    own = _label(item) if "SpecificCharacterSet" in item else label
    decoded = Dataset()
    for tag in item:
        keyword = tag.keyword
        if keyword and keyword != "SpecificCharacterSet":
            decoded.add(_transcoded(item, keyword, own, actual))
    return decoded


def _decoded(element: Any, keyword: str, label: Label, actual: str | None) -> str:
    raw = _bytes_of(element, label, actual)
    if isinstance(raw, str):
        return raw.strip(" \0")
    labels = [actual] if actual else [label] if isinstance(label, str) else label
    person = dictionary_VR(keyword) == "PN"
    encodings = convert_encodings(labels)
    if len(encodings) > 1:  # code extensions: escape sequences switch the encoding within the value (PS3.5 6.1.2.4)
        return decode_bytes(raw, encodings, PN_DELIMS if person else TEXT_VR_DELIMS).strip(" \0")
    try:
        return raw.decode(encodings[0], errors="strict" if person else "replace").strip(" \0")
    except UnicodeDecodeError as error:
        raise ReportError(
            f"{keyword}: expected text in {labels[0]}, found bytes that are not ({raw[:12]!r}); "
            "name the real character set of this source"
        ) from error


def _bytes_of(element: Any, label: Label, actual: str | None) -> bytes | str:
    """Return the bytes as received; the text where it was decoded before and no other encoding is claimed."""
    value = element.value
    if value is None:
        return b""
    if isinstance(element, RawDataElement):
        return bytes(value)
    # pydicom keeps the received bytes of a name beside its text. Those of other text are gone once it was decoded, so
    # it is encoded again as it was decoded.
    if isinstance(value, PersonName) and isinstance(value.original_string, bytes) and value.original_string:
        return value.original_string
    text = "\\".join(str(part) for part in value) if not isinstance(value, str | PersonName) else str(value)
    return text if actual is None else text.encode(convert_encodings(label)[0])
