"""A warning about received objects whose encoding does not conform to the standard and was read all the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from config.messages.message import message
from config.messages.stored import from_json


def encoding_warnings(headers: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return the warning for the report, if any.

    Parameters
    ----------
    headers : iterable of mapping
        Of the objects that a computation may use; ``EncodingFindings`` is what the receive path found in one.

    Returns
    -------
    list of (code, text)
        ``nonconforming_encoding`` with the number of objects and the first finding; empty without findings.

    References
    ----------
    PS3.5 sections 6.2 and 7.1.
    """
    findings = [from_json(header)["EncodingFindings"][0] for header in headers if header.get("EncodingFindings")]
    if not findings:
        return []
    text = message("nonconforming_encoding.objects", n=len(findings), first=findings[0])
    return [("nonconforming_encoding", text)]
