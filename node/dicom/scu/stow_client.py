"""STOW-RS as user agent: stored bytes go to a DICOMweb server as they are, each object has an outcome (PS3.18 10.5)."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import httpx

from config.errors import PacsUnavailableError
from config.messages.message import message
from config.settings import PacsSettings
from config.system_error import reason_of
from node.dicom.dicomweb.http_client import dicomweb_client
from node.dicom.network.statuses import Verdict, verdict_of
from node.dicom.scu.store_scu import SOP_CLASS_NOT_SUPPORTED, STOPPED, FileToSend, SendOutcome

CHUNK_BYTES = 1 << 16
JSON = "application/dicom+json"
LENGTH_REQUIRED = 411
PER_INSTANCE = frozenset({200, 202, 409})  # all stored, some failed, all failed: table 10.5.3-1
NEVER = frozenset({400, 406, 413, 415, 422})  # the same request again would be answered in the same way
REFERENCED, FAILED = "00081199", "00081198"
INSTANCE_UID, FAILURE_REASON, WARNING_REASON = "00081155", "00081197", "00081196"


class _StoppedError(Exception):
    """The delivery was superseded while the request was being sent."""


def stow(files: Sequence[FileToSend], pacs: PacsSettings, proceed: Callable[[], bool]) -> list[SendOutcome]:
    """Send files in one request.

    Parameters
    ----------
    files : sequence of FileToSend
        Sent in this order; the data sets are not decoded.
    pacs : PacsSettings
        `stow_url`, `stow_token_file`, `tls` and the time limit.
    proceed : callable
        Called before each file; after False the request is broken off, and the verdict of all is retry.

    Returns
    -------
    list of SendOutcome
        One for each file, in the same order. What the answer does not name has to be sent again.

    Raises
    ------
    PacsUnavailableError
        When no connection could be made: nothing was sent.
    """
    if not proceed():
        return _all(files, Verdict.RETRY, STOPPED)
    boundary, url = uuid.uuid4().hex, f"{str(pacs.stow_url).rstrip('/')}/studies"
    headers = {
        "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}', "Accept": JSON,
    }  # fmt: skip
    try:
        with dicomweb_client(pacs, "stow_token_file") as client:
            # A body without a length is sent in chunks (RFC 9112 section 7.1), so that no file is in memory as a whole.
            answer = client.post(url, content=_parts(files, boundary, proceed), headers=headers)
            if answer.status_code == LENGTH_REQUIRED:
                headers["Content-Length"] = str(sum(len(part) for part in _parts(files, boundary, proceed)))
                answer = client.post(url, content=_parts(files, boundary, proceed), headers=headers)
    except _StoppedError:
        return _all(files, Verdict.RETRY, STOPPED)
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise PacsUnavailableError(message("stow.unreachable", url=url, why=reason_of(error))) from error
    except httpx.HTTPError as error:
        return _all(files, Verdict.RETRY, message("stow.no_answer", kind=type(error).__name__))
    return _outcomes(files, answer)


def check_stow(pacs: PacsSettings) -> str:
    """Ask the server for nothing in particular; raises PacsUnavailableError when it does not answer.

    Returns
    -------
    str
        What was found, for people. A server may offer STOW-RS and no search, so that any answer is good enough.
    """
    url = f"{str(pacs.stow_url).rstrip('/')}/studies"
    try:
        with dicomweb_client(pacs, "stow_token_file") as client:
            answer = client.get(url, params={"limit": 1}, headers={"Accept": JSON})
    except httpx.HTTPError as error:
        raise PacsUnavailableError(message("stow.unreachable", url=url, why=reason_of(error))) from error
    if answer.status_code in (401, 403):
        raise PacsUnavailableError(message("stow.not_authorised", url=url, status=answer.status_code))
    return message("stow.answers", url=url, status=answer.status_code)


def _parts(files: Sequence[FileToSend], boundary: str, proceed: Callable[[], bool]) -> Iterator[bytes]:
    for file in files:
        if not proceed():
            raise _StoppedError
        yield f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        with file.path.open("rb") as content:
            while chunk := content.read(CHUNK_BYTES):
                yield chunk
        yield b"\r\n"
    yield f"--{boundary}--\r\n".encode()


def _outcomes(files: Sequence[FileToSend], answer: httpx.Response) -> list[SendOutcome]:
    status = f"{answer.status_code} {answer.reason_phrase}".rstrip()
    if answer.status_code not in PER_INSTANCE:
        return _all(
            files,
            Verdict.REFUSED if answer.status_code in NEVER else Verdict.RETRY,
            message("stow.answered", status=status),
        )
    named = _named(answer)
    if not named and answer.status_code == 200:  # "all instances were stored", by a server that names none
        return _all(files, Verdict.STORED, "")
    return [
        named.get(file.sop_instance_uid)
        or SendOutcome(file.sop_instance_uid, Verdict.RETRY, note=message("stow.unnamed", status=status))
        for file in files
    ]


def _named(answer: httpx.Response) -> dict[str, SendOutcome]:
    """Return the outcomes that the store instances response names (PS3.18 annex I)."""
    try:
        document = answer.json()
        document = document[0] if isinstance(document, list) else document
        stored = [_stored(item) for item in document.get(REFERENCED, {}).get("Value", ())]
        failed = [_failed(item) for item in document.get(FAILED, {}).get("Value", ())]
    except (ValueError, AttributeError, TypeError, LookupError):
        return {}
    return {outcome.sop_instance_uid: outcome for outcome in (*stored, *failed)}


def _stored(item: dict[str, Any]) -> SendOutcome:
    warning = _value(item, WARNING_REASON)
    note = message("store.warning", code=f"{int(warning):04X}") if warning else ""
    return SendOutcome(str(_value(item, INSTANCE_UID)), Verdict.STORED, 0x0000, note)


def _failed(item: dict[str, Any]) -> SendOutcome:
    reason = int(_value(item, FAILURE_REASON) or 0x0110)
    uid, is_class = str(_value(item, INSTANCE_UID)), reason == SOP_CLASS_NOT_SUPPORTED
    return SendOutcome(uid, verdict_of(reason), reason, message("store.failure", code=f"{reason:04X}"), is_class)


def _value(item: dict[str, Any], tag: str) -> Any:
    values = item.get(tag, {}).get("Value") or [None]
    return values[0]


def _all(files: Sequence[FileToSend], verdict: Verdict, note: str) -> list[SendOutcome]:
    return [SendOutcome(file.sop_instance_uid, verdict, note=note) for file in files]
