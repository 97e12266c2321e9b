"""Text of the source data sets, decoded once; the objects of a report contain it as UTF-8 (ISO_IR 192).

In GB18030 and GBK the second byte of a character may be that of a backslash or a caret, which separate values and name
components in DICOM, so a value is decoded as a whole before it is split. Some PACS label GBK as ISO_IR 100: for those
the site names the real encoding (`actual`). Text that is not of its character set is an error, never replacement
characters: a report with a damaged name could be filed under another patient.
"""

from __future__ import annotations

import warnings
from typing import Any

from pydicom import Dataset
from pydicom.charset import convert_encodings, default_encoding
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.valuerep import CUSTOMIZABLE_CHARSET_VR, PersonName

from dicom_sr.header.code_extensions import ESCAPE, decode_with_extensions, has_code_extensions
from dicom_sr.header.value_rules import without_padding
from dicom_sr.report.errors import ReportError

UTF8 = "ISO_IR 192"
DEFAULT = "ISO_IR 6"
# ROI Contour Sequence and the functional groups: without text of their own, and with thousands of items.
_LONG_SEQUENCES = frozenset({0x30060039, 0x52009229, 0x52009230})
Labels = list[str]


def character_set_of(source: Dataset) -> Labels:
    """Return the values of Specific Character Set (0008,0005); the default repertoire where it has none."""
    label = source.get("SpecificCharacterSet") or DEFAULT
    return [label] if isinstance(label, str) else [part or DEFAULT for part in label]


def text_of(source: Dataset, keyword: str, actual: str | None = None, labels: Labels | None = None) -> str:
    """Return the text of one element as it was received, decoded and without padding.

    Parameters
    ----------
    source : Dataset
        As it was read; its elements may still be undecoded bytes.
    keyword : str
        An element whose value is text; several values are separated by backslashes.
    actual : str or None
        The real encoding as a DICOM defined term, where Specific Character Set of the source is wrong.
    labels : list of str or None
        The values of Specific Character Set that apply to an item without one of its own (PS3.5 7.5.3).

    Returns
    -------
    str
        Empty where the element is absent or empty. Whether it conforms to its value representation is not checked.

    Raises
    ------
    ReportError
        The bytes are not a text of the encoding.

    References
    ----------
    PS3.5 6.1.2 (character repertoires); PS3.3 C.12.1.1.2.
    """
    if keyword not in source:
        return ""
    vr = dictionary_VR(keyword)
    labels = labels or character_set_of(source)
    element = source.get_item(keyword)
    # Only these VRs depend on the character set (PS3.5 6.1.2.2); all others are ASCII.
    if vr not in CUSTOMIZABLE_CHARSET_VR:
        labels, actual = [DEFAULT], None
    raw = _bytes_of(element, labels, actual)
    text = raw if isinstance(raw, str) else _decoded(raw, keyword, [actual] if actual else labels)
    return without_padding(text, vr)


def _decoded(raw: bytes, keyword: str, labels: Labels) -> str:
    try:
        if has_code_extensions(labels):
            return decode_with_extensions(raw, labels, person=dictionary_VR(keyword) == "PN")
        # pydicom takes Latin-1 for the default repertoire, in which GB18030 without a label becomes other letters.
        return raw.decode("ascii" if raw.isascii() or labels[0] == DEFAULT else _codec_of(labels[0]))
    except (UnicodeDecodeError, LookupError) as error:
        raise ReportError(
            f"{keyword}: expected text in {labels[0]}, found bytes that are not ({raw[:12]!r}); "
            "name the real character set of this source"
        ) from error


def _codec_of(label: str) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        codec = convert_encodings(label)[0]
    # pydicom corrects misspelled terms such as "ISO-IR 192", and takes Latin-1 for unknown ones.
    if codec == default_encoding and not label.endswith("100"):
        raise LookupError(label)
    return codec


def _bytes_of(element: Any, labels: Labels, actual: str | None) -> bytes | str:
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
    if isinstance(value, bytes):
        return value
    text = str(value) if isinstance(value, str | PersonName | int | float) else "\\".join(str(part) for part in value)
    if actual is None:
        return text
    try:
        return text.encode(convert_encodings(labels[0])[0])
    except UnicodeEncodeError:
        return text


def decode_code_extensions(ds: Dataset, inherited: Labels | None = None) -> None:
    """Decode the text of a data set that has escape sequences, and put it in the place of the bytes.

    What is read from it afterwards is right where pydicom leaves escape sequences in the text (ISO 2022 IR 58).

    Parameters
    ----------
    ds : Dataset
        As it was read; changed in place, its items included. Nothing is changed where Specific Character Set names no
        code extensions, and text that is none of its character sets stays as pydicom decodes it.
    inherited : list of str or None
        The values of Specific Character Set that apply to an item without one of its own (PS3.5 7.5.3).

    References
    ----------
    PS3.5 6.1.2.5 and Annexes H, I and K.
    """
    labels = character_set_of(ds) if "SpecificCharacterSet" in ds else inherited or [DEFAULT]
    if inherited is None and not has_code_extensions(labels):
        return
    for tag in list(ds.keys()):
        element: Any = ds.get_item(tag)
        vr = element.VR or (dictionary_VR(tag) if dictionary_has_tag(tag) else None)
        if vr == "SQ" and tag not in _LONG_SEQUENCES:
            for item in ds[tag].value or ():
                decode_code_extensions(item, labels)
        elif isinstance(element, RawDataElement) and vr in CUSTOMIZABLE_CHARSET_VR and ESCAPE in (element.value or b""):
            try:
                text = decode_with_extensions(element.value or b"", labels, person=vr == "PN")
            except (UnicodeDecodeError, LookupError):
                continue
            ds[tag] = DataElement(tag, vr, text.rstrip(" \0"))
