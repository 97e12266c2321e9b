"""Posting a finished report to a FHIR R4 server; one transaction, safe to repeat (its entries are conditional)."""

from __future__ import annotations

import ssl
from pathlib import Path

import httpx

from config.errors import CptdnError, PacsUnavailableError
from config.settings import FhirSettings

TRY_AGAIN = frozenset({408, 425, 429})


class ReportRefusedError(CptdnError):
    """The server does not take this report; sending it again changes nothing."""


def post_report(path: Path, fhir: FhirSettings) -> None:
    """Post one Bundle (a JSON file) to `fhir.report_url`.

    Raises PacsUnavailableError when it may work later, ReportRefusedError with the server's words when it will not.
    """
    headers = {"Content-Type": "application/fhir+json", "Accept": "application/fhir+json"}
    if fhir.bearer_token:
        headers["Authorization"] = f"Bearer {fhir.bearer_token}"
    verify = ssl.create_default_context(cafile=str(fhir.ca)) if fhir.ca else True
    url = str(fhir.report_url)
    try:
        with httpx.Client(timeout=fhir.timeout_s, verify=verify) as client:
            answer = client.post(url, content=path.read_bytes(), headers=headers)
    except httpx.HTTPError as error:
        raise PacsUnavailableError(f"the FHIR server {url} cannot be reached: {type(error).__name__}") from error
    if answer.is_success:
        return
    found = f"the FHIR server {url} answered {answer.status_code}: {_diagnosis(answer)}"
    if answer.is_server_error or answer.status_code in TRY_AGAIN:
        raise PacsUnavailableError(found)
    raise ReportRefusedError(found)


def _diagnosis(answer: httpx.Response) -> str:
    """What the OperationOutcome says, where there is one."""
    try:
        issues = answer.json()["issue"]
        return "; ".join(str(issue.get("diagnostics") or issue.get("code")) for issue in issues)
    except (ValueError, KeyError, TypeError, AttributeError):
        return answer.reason_phrase or "no reason given"
