"""Send a finished report to a FHIR R4 server: one DiagnosticReport per study, updated with each revision.

The stored Bundle is the content of one revision. Which transaction brings it to the server follows from what the server
has: nothing (conditional create), or the DiagnosticReport of an earlier revision, which is then updated under its id
and version (If-Match). The transaction is atomic: the version of the DiagnosticReport guards its companions, too.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from config.errors import CptdnError, PacsUnavailableError
from config.messages.message import message
from config.settings import FhirSettings

RETRYABLE = frozenset({408, 425, 429})  # request timeout, too early, too many requests
CHANGED_MEANWHILE = frozenset({409, 412})  # conflict, precondition failed: another one has written since it was read
MOST_READS = 4
WITHDRAWN = "entered-in-error"
DOCUMENT = "DiagnosticReport"
CREATED_ONCE = frozenset({"Device"})  # belongs to the model and not to the study: never changed

Resource = dict[str, Any]


class ReportRefusedError(CptdnError):
    """The server refuses this report; the same request again would be refused as well."""


def post_report(path: Path, fhir: FhirSettings) -> None:
    """Bring one revision of a report to the configured server; what the server has already is not sent again.

    Parameters
    ----------
    path : Path
        JSON file with a Bundle of `dicom_sr.objects.fhir.fhir_bundle`.
    fhir : FhirSettings
        `report_url`, bearer token, certificate authority, time limit.

    Raises
    ------
    PacsUnavailableError
        When the server cannot be reached, answers with a temporary failure, or somebody else changes the same resource
        again and again; the delivery is repeated later.
    ReportRefusedError
        When the server refuses the content; the message has its diagnostics.
    """
    bundle = json.loads(path.read_bytes())
    headers = {"Content-Type": "application/fhir+json", "Accept": "application/fhir+json"}
    if fhir.bearer_token:
        headers["Authorization"] = f"Bearer {fhir.bearer_token}"
    verify = ssl.create_default_context(cafile=str(fhir.ca)) if fhir.ca else True
    url = str(fhir.report_url).rstrip("/")
    try:
        with httpx.Client(timeout=fhir.timeout_s, verify=verify, headers=headers) as client:
            _bring(client, url, bundle)
    except httpx.HTTPError as error:
        raise PacsUnavailableError(message("fhir.unreachable", url=url, why=type(error).__name__)) from error


def _bring(client: httpx.Client, url: str, bundle: Resource) -> None:
    for _ in range(MOST_READS):
        transaction = transaction_for(bundle, _find(client, url, document_of(bundle)))
        if transaction is None:
            return
        answer = client.post(url, json=transaction)
        if answer.is_success:
            return
        if answer.status_code not in CHANGED_MEANWHILE:
            raise _failure(url, answer)
    raise PacsUnavailableError(
        message("fhir.answered_times", url=url, status=answer.status_code, n=MOST_READS, said=_said(answer))
    )


def document_of(bundle: Mapping[str, Any]) -> Resource:
    """Return the DiagnosticReport of a Bundle."""
    return next(entry["resource"] for entry in bundle["entry"] if entry["resource"]["resourceType"] == DOCUMENT)


def _find(client: httpx.Client, url: str, document: Resource) -> Resource | None:
    """Return the DiagnosticReport of the study as the server has it; None where it has none.

    Found by any of its identifiers: earlier versions of this software gave it that of its SR only.
    """
    tokens = ",".join(f"{each['system']}|{each['value']}" for each in document["identifier"])
    answer = client.get(f"{url}/{DOCUMENT}", params={"identifier": tokens})
    if not answer.is_success:
        raise _failure(url, answer)
    try:
        matches = [entry["resource"] for entry in answer.json().get("entry", ())]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PacsUnavailableError(message("fhir.no_bundle", url=url)) from error
    matches = [match for match in matches if match.get("resourceType") == DOCUMENT]
    # The one of the study first, then the one that an earlier version sent last.
    own = document["identifier"][0]["value"]
    matches.sort(key=lambda match: (own not in _values(match), str(match.get("meta", {}).get("lastUpdated", ""))))
    if not matches or own in _values(matches[0]):
        return matches[0] if matches else None
    return matches[-1]


def transaction_for(bundle: Resource, existing: Resource | None) -> Resource | None:
    """Return the transaction that brings a revision to a server.

    Parameters
    ----------
    bundle : dict
        Of `fhir_bundle`: each entry creates its resource unless there is one with its identifier.
    existing : dict or None
        The DiagnosticReport of the study that the server has.

    Returns
    -------
    dict or None
        None where nothing has to be sent: the server has this revision, or a withdrawal finds nothing to withdraw.
    """
    document = document_of(bundle)
    if existing is None:
        if document["status"] == WITHDRAWN:
            return None
        entries = [entry for entry in bundle["entry"] if entry["resource"].get("status") != WITHDRAWN]
        return {**bundle, "entry": entries}
    # The answer to an earlier attempt was lost.
    if _current(document) == _current(existing) and existing.get("status") == document["status"]:
        return None
    return {**bundle, "entry": [_update(entry, existing) for entry in bundle["entry"]]}


def _update(entry: Resource, existing: Resource) -> Resource:
    resource = entry["resource"]
    kind = resource["resourceType"]
    if kind in CREATED_ONCE:
        return entry
    if kind != DOCUMENT:
        identifier = resource["identifier"][0]
        query = f"{kind}?identifier={identifier['system']}|{identifier['value']}"
        return {**entry, "request": {"method": "PUT", "url": query}}
    request = {"method": "PUT", "url": f"{DOCUMENT}/{existing['id']}"}
    version = existing.get("meta", {}).get("versionId")
    if version is not None:  # a server without versions has nothing that could be compared
        request["ifMatch"] = f'W/"{version}"'
    return {**entry, "resource": {**resource, "id": existing["id"]}, "request": request}


def _values(document: Mapping[str, Any]) -> list[str]:
    return [str(each.get("value")) for each in document.get("identifier", ())]


def _current(document: Mapping[str, Any]) -> str | None:
    """Return the identifier of the SR of the revision that a DiagnosticReport has."""
    named = [each for each in document.get("identifier", ()) if each.get("use") not in ("old", "official")]
    return str(named[0].get("value")) if named else None


def _failure(url: str, answer: httpx.Response) -> CptdnError:
    refusal = message("fhir.answered", url=url, status=answer.status_code, said=_said(answer))
    if answer.is_server_error or answer.status_code in RETRYABLE:
        return PacsUnavailableError(refusal)
    return ReportRefusedError(refusal)


def _said(answer: httpx.Response) -> str:
    """Return the diagnostics of the OperationOutcome, else the reason phrase."""
    try:
        issues = answer.json()["issue"]
        return "; ".join(str(issue.get("diagnostics") or issue.get("code")) for issue in issues)
    except (ValueError, KeyError, TypeError, AttributeError):
        return answer.reason_phrase or message("delivery.no_reason")
