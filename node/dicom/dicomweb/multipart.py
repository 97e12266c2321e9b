"""Messages in several parts, multipart/related (RFC 2387, RFC 2046), split while their bytes arrive.

The parser is that of python-multipart, which the pages need for their forms anyway. It keeps nothing of a part but a
piece that may be the beginning of a delimiter. It is stricter than RFC 2046 in one way: text before the first delimiter
is an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from config.errors import InputError

DICOM = "application/dicom"
MULTIPART = "multipart/related"
# RFC 2046 section 5.1.1: bcharsnospace and spaces inside. It allows 70 characters; Orthanc's two UUIDs have 73.
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,127}[0-9A-Za-z'()+_,./:=?-]", re.ASCII)


class MultipartError(InputError):
    """The message is not what multipart/related allows; the parts before this place are whole."""


class MediaTypeError(InputError):
    """The media type of a message, or of one of its parts, is none that can be read here."""


def related_boundary(content_type: str) -> str:
    """Return the boundary of a message of DICOM files.

    Parameters
    ----------
    content_type : str
        Value of its Content-Type header.

    Returns
    -------
    str
        Without the leading hyphens.

    Raises
    ------
    MediaTypeError
        Another type than multipart/related, or of other parts than DICOM files.
    MultipartError
        There is no boundary, or one that RFC 2046 forbids.
    """
    kind, options = parse_options_header(content_type)
    found = kind.decode("latin-1").strip().lower()
    if found != MULTIPART:
        raise MediaTypeError(f"expected {MULTIPART}, found {found or 'no content type'}")
    # PS3.18 section 8.6.1.2.1 requires the parameter; without it the parts say what they are.
    root = options.get(b"type", DICOM.encode()).decode("latin-1").strip().lower()
    if root != DICOM:
        raise MediaTypeError(f'expected {MULTIPART}; type="{DICOM}", found type="{root}"')
    boundary = options.get(b"boundary", b"").decode("latin-1")
    if _BOUNDARY.fullmatch(boundary) is None:
        raise MultipartError("expected a boundary of 1 to 128 characters of RFC 2046, found none or another one")
    return boundary


@dataclass(frozen=True)
class PartListener:
    """What is called with the parts of a message.

    Attributes
    ----------
    begin : callable
        Called with the media type of a part, in small letters and without parameters; empty where it has none.
    write : callable
        Called with each piece of its content.
    end : callable
        Called after the last piece: the delimiter behind the part has arrived.
    """

    begin: Callable[[str], None]
    write: Callable[[memoryview], None]
    end: Callable[[], None]


class MultipartReader:
    """Splits one message; memory does not depend on its size, nor on that of its parts.

    Parameters
    ----------
    boundary : str
        As `related_boundary` returns it.
    listener : PartListener
        Called from `feed`; what it raises comes out of there.
    """

    def __init__(self, boundary: str, listener: PartListener) -> None:
        self.is_complete = False  # the last delimiter has arrived
        self._listener = listener
        self._field = bytearray()
        self._value = bytearray()
        self._media_type = ""
        self._parser = MultipartParser(
            boundary.encode("latin-1"),
            {
                "on_part_begin": self._begin_part, "on_header_field": self._add_to_field,
                "on_header_value": self._add_to_value, "on_header_end": self._end_header,
                "on_headers_finished": lambda: listener.begin(self._media_type),
                "on_part_data": lambda data, start, end: listener.write(memoryview(data)[start:end]),
                "on_part_end": listener.end, "on_end": self._end,
            },
        )  # fmt: skip

    def feed(self, data: bytes) -> None:
        """Read the next bytes of the message, any number of them.

        Parameters
        ----------
        data : bytes
            What follows the last delimiter is ignored.

        Raises
        ------
        MultipartError
            The bytes are none that may follow.
        """
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise MultipartError(f"the message is no {MULTIPART}: {error}") from error

    def _begin_part(self) -> None:
        self._media_type = ""

    def _add_to_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _add_to_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._field.lower() == b"content-type":
            self._media_type = self._value.decode("latin-1").partition(";")[0].strip().lower()
        self._field.clear()
        self._value.clear()

    def _end(self) -> None:
        self.is_complete = True
