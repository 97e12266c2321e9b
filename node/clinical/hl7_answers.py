"""What a receiver answers to a message of ours: MSA and ERR to accepted, refused, or later (HL7 v2.5.1 section 2.9).

By the standard AE and CE concern the content of a message, and AR and CR mean either that its type, version or
processing id is not supported, or a failure that has nothing to do with it ("system down, internal error"), after which
the same message may be taken later. Interface engines mix these up, so the error code (table 0357) decides where there
is one:

    AA, CA                                accepted
    205, duplicate key identifier         accepted, if the message had been sent before: it arrived then
    AR, CR with 206 or 207                later: record locked, internal error
    AR, CR otherwise                      refused
    AE, CE                                later, for a limited number of attempts; then refused
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import hl7

from config.errors import CptdnError
from config.messages.message import message
from node.clinical.hl7_fields import component, field_text
from node.clinical.hl7_messages import CHARSETS

ACCEPTED_CODES = frozenset({"AA", "CA"})
ERROR_CODES = frozenset({"AE", "CE"})
REJECT_CODES = frozenset({"AR", "CR"})
# Table 0357, message error condition codes.
DUPLICATE_KEY = "205"
NOT_OF_THE_MESSAGE = frozenset({"206", "207"})  # application record locked, application internal error
LONGEST_TEXT = 200  # of what a receiver says; it may repeat the patient's data


class Verdict(Enum):
    """What an answer means for the delivery."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    LATER = "later"


class NoAcknowledgementError(CptdnError):
    """What was received is no acknowledgement."""


@dataclass(frozen=True)
class Acknowledgement:
    """MSA and ERR of an answer.

    Attributes
    ----------
    code : str
        MSA-1 (table 0008).
    control_id : str
        MSA-2, of the message that is acknowledged.
    error : str
        Code of table 0357; empty where there is none.
    text : str
        What the receiver says about it; may be empty.
    """

    code: str
    control_id: str
    error: str = ""
    text: str = ""

    def verdict(self, was_sent_before: bool) -> Verdict:
        """Return what it means.

        Parameters
        ----------
        was_sent_before : bool
            The message may have arrived earlier, and its acknowledgement was lost.
        """
        if self.code in ACCEPTED_CODES or (was_sent_before and self.error == DUPLICATE_KEY):
            return Verdict.ACCEPTED
        if self.code in REJECT_CODES and self.error not in NOT_OF_THE_MESSAGE:
            return Verdict.REFUSED
        return Verdict.LATER

    def sentence(self) -> str:
        """Write what the receiver answered, for people."""
        text = self.text or message("delivery.no_reason")
        if self.error:
            return message("hl7.answer_error", code=self.code, error=self.error, text=text)
        return message("hl7.answer", code=self.code, text=text)


def read_acknowledgement(raw: bytes) -> Acknowledgement:
    """Read an answer.

    Parameters
    ----------
    raw : bytes
        Without MLLP frame.

    Returns
    -------
    Acknowledgement
        Error code and text are looked for where any version of HL7 has them: ERR-3 and ERR-8, ERR-1, MSA-3, MSA-6.

    Raises
    ------
    NoAcknowledgementError
        It has no MSA segment with a code of table 0008.
    """
    segments = _segments(raw)
    msa = next((each for each in segments if str(each[0]) == "MSA"), None)
    code = field_text(msa, 1).upper() if msa is not None else ""
    if code not in ACCEPTED_CODES | ERROR_CODES | REJECT_CODES:
        raise NoAcknowledgementError(message("hl7.no_acknowledgement", found=code or message("hl7.no_msa")))
    errors = [each for each in segments if str(each[0]) == "ERR"]
    error = _first(*(value for each in errors for value in (component(each, 3, 0), component(each, 1, 3))))
    error = error or component(msa, 6, 0)
    texts = (value for each in errors for value in (field_text(each, 8), field_text(each, 7), component(each, 3, 1)))
    text = _first(*texts, field_text(msa, 3), component(msa, 6, 1))
    return Acknowledgement(code, field_text(msa, 2), error, " ".join(text.split())[:LONGEST_TEXT])


def _segments(raw: bytes) -> list[hl7.Segment]:
    header = raw.split(b"\r", 1)[0].split(raw[3:4] or b"|")
    named = header[17].split(b"~")[0].decode("latin-1").upper() if len(header) > 17 else ""
    text = raw.decode(CHARSETS.get(named) or "utf-8", "replace")
    # Some receivers end segments with LF, or with CR LF.
    lines = text.replace("\r\n", "\r").replace("\n", "\r").strip("\r\x00 ")
    try:
        return list(hl7.parse(f"{lines}\r"))
    except Exception as error:  # python-hl7 raises what a damaged text happens to cause
        raise NoAcknowledgementError(message("hl7.other_text")) from error


def _first(*values: str) -> str:
    return next((value for value in values if value), "")
