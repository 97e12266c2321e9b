"""Post a finished report to a FHIR R4 server, as one transaction that can be repeated (its entries are conditional)."""

from __future__ import annotations

import ssl
from pathlib import Path

import httpx

from config.errors import CptdnError, PacsUnavailableError
from config.settings import FhirSettings

RETRYABLE = frozenset({408, 425, 429})  # request timeout, too early, too many requests


class ReportRefusedError(CptdnError):
    """The server refuses this report; the same request again would be refused as well."""


def post_report(path: Path, fhir: FhirSettings) -> None:
    """Post one Bundle to the configured URL.

    Parameters
    ----------
    path : Path
        JSON file with a transaction Bundle.
    fhir : FhirSettings
        `report_url`, bearer token, certificate authority, time limit.

    Raises
    ------
    PacsUnavailableError
        When the server cannot be reached or answers with a temporary failure; the delivery is repeated later.
    ReportRefusedError
        When the server refuses the content; the message has its diagnostics.
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
    refusal = f"the FHIR server {url} answered {answer.status_code}: {_diagnosis(answer)}"
    if answer.is_server_error or answer.status_code in RETRYABLE:
        raise PacsUnavailableError(refusal)
    raise ReportRefusedError(refusal)


def _diagnosis(answer: httpx.Response) -> str:
    """Return the diagnostics of the OperationOutcome, else the reason phrase."""
    try:
        issues = answer.json()["issue"]
        return "; ".join(str(issue.get("diagnostics") or issue.get("code")) for issue in issues)
    except (ValueError, KeyError, TypeError, AttributeError):
        return answer.reason_phrase or "no reason given"
