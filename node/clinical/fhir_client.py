"""Poll a FHIR R4 server for the clinical facts of the patients whose studies are here."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx
import structlog
from sqlalchemy.exc import DataError

from config.errors import CptdnError, InputError
from config.settings import Settings
from node.background.repeated_work import RepeatedWork
from node.clinical.codes import searched_codes
from node.clinical.fhir import record_resources
from node.clinical.fhir_follow_up import says_death
from node.clinical.fhir_treatments import TREATMENTS
from node.ledger.cases import list_cases
from node.ledger.database import Ledger, now_utc

MAX_PAGES = 50  # a server whose next links go in a circle must not be read for ever
PAGE_SIZE = 100
log = structlog.get_logger(__name__)


class FhirUnavailableError(CptdnError):
    """The FHIR server did not answer, or not with FHIR; the next poll tries again.

    Attributes
    ----------
    status : int or None
        HTTP status of an answer that is an error.
    """

    status: int | None = None


class FhirClient:
    """Reads resources from one FHIR R4 server.

    Parameters
    ----------
    settings : Settings
        `[fhir]`: base URL, bearer token, certificate authority, identifier system.
    transport : httpx.BaseTransport, optional
        Replaces the network in tests.

    Raises
    ------
    InputError
        When no base URL is configured.
    """

    def __init__(self, settings: Settings, transport: httpx.BaseTransport | None = None) -> None:
        fhir = settings.fhir
        if fhir.base_url is None:
            raise InputError("no FHIR server is configured ([fhir] base_url)")
        headers = {"Accept": "application/fhir+json"}
        if fhir.bearer_token:
            headers["Authorization"] = f"Bearer {fhir.bearer_token}"
        self.settings = settings
        self.base_url = fhir.base_url.rstrip("/") + "/"
        self._http = httpx.Client(
            headers=headers,
            timeout=fhir.timeout_s,
            transport=transport,
            verify=ssl.create_default_context(cafile=str(fhir.ca)) if fhir.ca else True,
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def resources_of(self, patient_id: str) -> list[Mapping[str, Any]]:
        """Read the Observations and Conditions of the Patient with this identifier.

        Parameters
        ----------
        patient_id : str
            The Patient ID of the images, in the configured identifier system.

        Returns
        -------
        list of mapping
            Observations with one of the known codes, all Conditions and treatments, and the Patient who has died; empty
            when the server has no such Patient.

        Raises
        ------
        FhirUnavailableError
            When the server does not answer with FHIR.
        InputError
            When several Patients have the identifier: the facts of the wrong one must not be taken.

        References
        ----------
        hl7.org/fhir/R4/search.html
        """
        system = self.settings.fhir.identifier_system
        identifier = f"{system}|{patient_id}" if system else patient_id
        patients = [
            match
            for match in self._search("Patient", {"identifier": identifier})
            if match.get("resourceType") == "Patient"
        ]
        # Two patients with one identifier are an error of the registry; taking the first would be a guess about a
        # person.
        if len(patients) > 1:
            raise InputError(f"the FHIR server has {len(patients)} patients with the identifier {patient_id!r}")
        if not patients:
            return []
        reference = str(patients[0].get("id") or "")
        # By code on the server: all observations of a patient may be tens of thousands.
        codes = ",".join([*searched_codes(), *self.settings.fhir.codes])
        resources = list(self._search("Observation", {"patient": reference, "code": codes}))
        resources += self._search("Condition", {"patient": reference})
        if says_death(patients[0]):
            resources.append(patients[0])
        for kind in TREATMENTS:
            try:
                resources += self._search(kind, {"patient": reference})
            # A laboratory's server has no treatments and may answer that it does not know them.
            except FhirUnavailableError as error:
                if error.status not in (400, 403, 404, 405, 501):
                    raise
                log.info("the FHIR server has no such resources", kind=kind, status=error.status)
        return resources

    def _search(self, kind: str, parameters: dict[str, str]) -> Iterator[Mapping[str, Any]]:
        """All matches of a search, page by page; pages are followed on the same server only."""
        url = urljoin(self.base_url, kind)
        query: dict[str, str] | None = {**parameters, "_count": str(PAGE_SIZE)}
        for _ in range(MAX_PAGES):
            bundle = self._get(url, query)
            for entry in bundle.get("entry") or []:
                resource = entry.get("resource") if isinstance(entry, Mapping) else None
                if isinstance(resource, Mapping):
                    yield resource
            links = [
                link
                for link in bundle.get("link") or []
                if isinstance(link, Mapping) and link.get("relation") == "next"
            ]
            if not links:
                return
            url, query = urljoin(self.base_url, str(links[0].get("url") or "")), None
            if urlsplit(url)[:2] != urlsplit(self.base_url)[:2]:  # the bearer token would be sent there
                raise FhirUnavailableError("the FHIR server's next page is on another server")
        raise FhirUnavailableError(f"the FHIR server's answer has more than {MAX_PAGES} pages")

    def _get(self, url: str, query: dict[str, str] | None) -> Mapping[str, Any]:
        try:
            response = self._http.get(url, params=query)
            response.raise_for_status()
            document = response.json()
        except (httpx.HTTPError, ValueError) as error:
            unavailable = FhirUnavailableError(f"the FHIR server {self.base_url} cannot be read: {_cause(error)}")
            if isinstance(error, httpx.HTTPStatusError):
                unavailable.status = error.response.status_code
            raise unavailable from error
        if not isinstance(document, Mapping) or document.get("resourceType") != "Bundle":
            raise FhirUnavailableError(f"the FHIR server {self.base_url} did not answer with a Bundle")
        return document


class FhirPoller:
    """Polls the server about every patient with a recent study, in a thread of its own.

    Parameters
    ----------
    ledger : Ledger
        Has the patients, and receives the facts.
    settings : Settings
        `[fhir]`: interval and age of the studies.
    transport : httpx.BaseTransport, optional
        Replaces the network in tests.
    """

    def __init__(self, ledger: Ledger, settings: Settings, transport: httpx.BaseTransport | None = None) -> None:
        self.ledger = ledger
        self.settings = settings
        self._client = FhirClient(settings, transport)
        self._followed_on: date | None = None
        self._polling = RepeatedWork(
            "FHIR", self.poll, lambda: settings.fhir.poll_every_s, retry_longest_s=settings.fhir.poll_every_s
        )

    def start(self) -> None:
        """Start the polling thread."""
        self._polling.start()

    def stop(self) -> None:
        """Stop after the request in progress, and close the connections."""
        self._polling.stop()
        self._client.close()

    def poll(self) -> int:
        """Poll once about each patient; data of one patient that is refused does not stop the others.

        Returns
        -------
        int
            Number of new facts.

        Raises
        ------
        FhirUnavailableError
            When the server does not answer with FHIR.
        """
        new, today = 0, now_utc().date()
        for patient_id in self._patients(today):
            try:
                resources = self._client.resources_of(patient_id)
                with self.ledger.begin() as session:
                    # One transaction for each patient: a server that fails half-way leaves whole patients.
                    recorded, problems = record_resources(
                        session, patient_id, resources, self.settings, f"FHIR {self._client.base_url}", "FHIR"
                    )
            # Also what only the database refuses: a NUL, or half of a surrogate pair.
            except (InputError, DataError, ValueError) as error:
                log.warning("FHIR data of a patient were refused", reason=type(error).__name__)
                continue
            new += recorded
            if problems:
                log.warning("FHIR results cannot be used", results=len(problems))
            if self._polling.is_stopping:
                return new
        self._followed_on = today
        return new

    def _patients(self, today: date) -> list[str]:
        fhir = self.settings.fhir
        # Follow-up changes slowly, and its patients are many: once a day is enough.
        is_daily = fhir.follow_up_days > 0 and self._followed_on != today
        with self.ledger.read() as session:
            # Recent studies only: a result that comes years later changes no decision about them.
            since = now_utc() - timedelta(days=max(fhir.poll_days, fhir.follow_up_days if is_daily else 0))
            return sorted({case.patient_id for case in list_cases(session, since=since) if case.patient_id})


def _cause(error: Exception) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        return f"status {error.response.status_code}"
    return type(error).__name__
