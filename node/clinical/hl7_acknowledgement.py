"""The acknowledgement of an HL7 v2 message (HL7 v2.5.1 section 2.9.2), built from the bytes of the message itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

Acknowledgement = Literal["AA", "AE", "AR"]

CONTROL_ID_LENGTH = 120
ACCEPTED = "0"  # table 0357
OTHER_ERROR = "207"  # table 0357, application internal error: the text of ERR-8 says more


def acknowledge(
    raw: bytes, code: Acknowledgement, problems: list[str], charset: str = "utf-8", notes: Sequence[str] = ()
) -> bytes:
    """Build the ACK of a message.

    Parameters
    ----------
    raw : bytes
        The message. Any bytes are accepted: a message that is not HL7 gets an empty control id.
    code : {"AA", "AE", "AR"}
        MSA-1 (table 0008).
    problems : list of str
        One ERR segment each.
    charset : str
        Python codec of the message, used for the ERR segments.
    notes : sequence of str
        Information that is no error, one ERR segment with severity I each.

    Returns
    -------
    bytes
        MSH, MSA and ERR segments with the delimiters of the message, without MLLP frame.
    """
    # Latin-1 decodes any byte and encodes it unchanged: names and ids are echoed as the sender wrote them.
    header = raw.lstrip(b"\r\n\t ").split(b"\r", 1)[0].decode("latin-1")
    is_hl7 = header.startswith("MSH")
    separator, encoding = (header[3], header[4:8]) if is_hl7 and len(header) >= 9 else ("|", "^~\\&")
    fields = header.split(separator) if is_hl7 else []
    sent = fields + [""] * (20 - len(fields))
    now = datetime.now(UTC).strftime("%Y%m%d%H%M%S+0000")
    trigger = sent[8].split(encoding[0])[1] if encoding[0] in sent[8] else ""
    message_type = encoding[0].join(part for part in ("ACK", trigger, "ACK") if part)
    # MSA-2 repeats MSH-10 exactly: the sender finds its message by it.
    control_id = sent[9]
    # Sender and receiver (MSH-3/4 and MSH-5/6) are exchanged.
    lines = [
        separator.join(
            ["MSH", encoding, sent[4], sent[5], sent[2], sent[3], now, "", message_type,
             f"A{control_id}"[:CONTROL_ID_LENGTH], sent[10] or "P", sent[11] or "2.5.1"]
        ),
        separator.join(["MSA", code, control_id]),
    ]  # fmt: skip
    lines += [
        separator.join(["ERR", "", "", number, severity, "", "", "", _escaped(text, separator, encoding)])
        for number, severity, texts in ((OTHER_ERROR, "E", problems), (ACCEPTED, "I", notes))
        for text in texts
    ]
    return b"".join(_encoded(line, charset) + b"\r" for line in lines)


def _encoded(line: str, charset: str) -> bytes:
    """MSH and MSA contain the sender's own bytes; ERR is our text in the sender's character set."""
    is_ours = line.startswith("ERR") and charset not in ("ascii", "latin-1")
    return line.encode(charset if is_ours else "latin-1", "replace")


def _escaped(text: str, separator: str, encoding: str) -> str:
    """Text with the message's delimiters escaped (HL7 v2.5.1 section 2.7.1)."""
    escape = encoding[2] if len(encoding) > 2 else "\\"
    names = {escape: "E", separator: "F", encoding[0]: "S"}
    if len(encoding) > 3:
        names[encoding[3]] = "T"
    if len(encoding) > 1:
        names[encoding[1]] = "R"
    return "".join(f"{escape}{names[c]}{escape}" if c in names else " " if c in "\r\n" else c for c in text)
