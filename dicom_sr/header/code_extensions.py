"""Text with code extensions: escape sequences switch the character set within a value (ISO 2022, PS3.5 6.1.2.5).

The Chinese set ISO 2022 IR 58 is decoded here because pydicom 3.0.2 leaves its escape sequences in the text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

ESCAPE = 0x1B
# PS3.5 6.1.2.5.3: after these, the sets of value 1 of Specific Character Set are active again.
LINE_DELIMITERS = frozenset(b"\t\n\f\r\\")
NAME_DELIMITERS = LINE_DELIMITERS | frozenset(b"^=")


@dataclass(frozen=True)
class CodeElement:
    """One character set that an escape sequence designates.

    Attributes
    ----------
    width : int
        Bytes of one character, 1 or 2.
    decode : callable
        Decodes one character; raises UnicodeDecodeError where the set has none.
    """

    width: int
    decode: Callable[[bytes], str]


def _codec(name: str) -> Callable[[bytes], str]:
    return lambda encoded: encoded.decode(name)


def _jis_x_0208(encoded: bytes) -> str:
    return bytes(byte | 0x80 for byte in encoded).decode("euc_jp")


def _jis_x_0212(encoded: bytes) -> str:
    # EUC-JP has JIS X 0212 in its code set 3, after a single shift.
    return (b"\x8f" + bytes(byte | 0x80 for byte in encoded)).decode("euc_jp")


ASCII = CodeElement(1, _codec("ascii"))
# Left half, bytes 21 to 7E. Python's Shift-JIS decodes 5C as a backslash, which is what it separates in DICOM.
G0_SETS = {
    b"(B": ASCII,
    b"(J": CodeElement(1, _codec("shift_jis")),
    b"$B": CodeElement(2, _jis_x_0208),
    b"$(D": CodeElement(2, _jis_x_0212),
}
# Right half, bytes A0 to FF.
G1_SETS = {
    b")I": CodeElement(1, _codec("shift_jis")),
    b"-A": CodeElement(1, _codec("iso8859_1")),
    b"-B": CodeElement(1, _codec("iso8859_2")),
    b"-C": CodeElement(1, _codec("iso8859_3")),
    b"-D": CodeElement(1, _codec("iso8859_4")),
    b"-L": CodeElement(1, _codec("iso8859_5")),
    b"-G": CodeElement(1, _codec("iso8859_6")),
    b"-F": CodeElement(1, _codec("iso8859_7")),
    b"-H": CodeElement(1, _codec("iso8859_8")),
    b"-M": CodeElement(1, _codec("iso8859_9")),
    b"-b": CodeElement(1, _codec("iso8859_15")),
    b"-T": CodeElement(1, _codec("tis_620")),
    b"$)C": CodeElement(2, _codec("euc_kr")),
    b"$)A": CodeElement(2, _codec("gb2312")),
}
# Number of the defined term (PS3.3 table C.12-3) -> designation of its right half.
G1_OF_TERM = {
    "13": b")I", "58": b"$)A", "100": b"-A", "101": b"-B", "109": b"-C", "110": b"-D", "126": b"-F", "127": b"-G",
    "138": b"-H", "144": b"-L", "148": b"-M", "149": b"$)C", "166": b"-T", "203": b"-b",
}  # fmt: skip


def has_code_extensions(terms: Sequence[str]) -> bool:
    """Return whether text with these values of Specific Character Set (0008,0005) may have escape sequences."""
    return any(term.startswith("ISO 2022") for term in terms)


def decode_with_extensions(encoded: bytes, terms: Sequence[str], *, person: bool) -> str:
    """Decode one value with code extensions.

    Parameters
    ----------
    encoded : bytes
        The whole value, all components and values.
    terms : sequence of str
        Values of Specific Character Set (0008,0005); the first one is active at the beginning and after a delimiter.
    person : bool
        Whether ``^`` and ``=`` are delimiters, as in VR PN.

    Returns
    -------
    str
        Without escape sequences.

    Raises
    ------
    UnicodeDecodeError
        An escape sequence is none of the standard's, or bytes are no character of the active set.

    References
    ----------
    PS3.5 6.1.2.5 and Annexes H, I and K; PS3.3 C.12.1.1.2.
    """
    delimiters = NAME_DELIMITERS if person else LINE_DELIMITERS
    number = terms[0].rsplit(" ", 1)[-1]
    first_g0 = G0_SETS[b"(J"] if number == "13" else ASCII
    first_g1 = G1_SETS[G1_OF_TERM[number]] if number in G1_OF_TERM else None
    g0, g1 = first_g0, first_g1
    text: list[str] = []
    position = 0
    while position < len(encoded):
        byte = encoded[position]
        if byte == ESCAPE:
            designation = _designation(encoded, position)
            g0, g1 = G0_SETS.get(designation, g0), G1_SETS.get(designation, g1)
            position += 1 + len(designation)
            continue
        # Control characters and the space are those of ASCII whatever is designated. In a two-byte set, 5C and 5E are
        # halves of characters and no delimiters.
        if byte <= 0x20 or (byte in delimiters and g0.width == 1):
            text.append(chr(byte))
            if byte in delimiters:
                g0, g1 = first_g0, first_g1
            position += 1
            continue
        active = g0 if byte < 0x80 else g1
        if active is None:
            raise UnicodeDecodeError("ISO 2022", encoded, position, position + 1, "no set is designated for this byte")
        character = encoded[position : position + active.width]
        # Both bytes of a character are of one half: a codec such as EUC-KR would also take an ASCII byte as second.
        if len(character) < active.width or any((half < 0x80) != (byte < 0x80) for half in character):
            raise UnicodeDecodeError("ISO 2022", encoded, position, position + 1, "incomplete character")
        text.append(active.decode(character))
        position += active.width
    return "".join(text)


def _designation(encoded: bytes, position: int) -> bytes:
    for length in (2, 3):
        designation = encoded[position + 1 : position + 1 + length]
        if designation in G0_SETS or designation in G1_SETS:
            return designation
    raise UnicodeDecodeError("ISO 2022", encoded, position, position + 1, "unknown escape sequence")
