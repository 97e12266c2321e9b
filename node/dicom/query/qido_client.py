"""QIDO-RS as user agent: the queries of `patient_query` at a DICOMweb server (PS3.18 10.6).

A query of the Study Root model becomes the path of its level, its keys with a value become parameters, those without
become `includefield`; an answer becomes the identifier that a C-FIND would have brought.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from config.errors import PacsUnavailableError
from config.settings import PacsSettings
from node.cases.retrieval_choice import PacsSeries
from node.dicom.dicomweb.http_client import dicomweb_client
from node.dicom.query.patient_query import PacsQuery, PatientKey, QueryListener

JSON_TYPES = ("application/dicom+json", "application/json")
MAX_ANSWER_BYTES = 32 * 1_000_000  # two hundred series have some hundred kilobytes
# What the path of a level says already is no parameter.
_IN_PATH = {
    "STUDY": ("QueryRetrieveLevel",),
    "SERIES": ("QueryRetrieveLevel", "StudyInstanceUID"),
    "IMAGE": ("QueryRetrieveLevel", "StudyInstanceUID", "SeriesInstanceUID"),
}


class QidoChannel:
    """QIDO-RS at one server.

    Parameters
    ----------
    client : httpx.Client
        With token and TLS.
    pacs : PacsSettings
        `wado_url`, and the name for error messages.
    on_query : callable
        Called with the identifier of each query before it is sent.
    """

    is_open = True  # each query is a request of its own

    def __init__(self, client: httpx.Client, pacs: PacsSettings, on_query: QueryListener) -> None:
        self._client, self._pacs, self._on_query = client, pacs, on_query

    def find(self, query: Dataset, limit: int) -> Iterator[Dataset]:
        """Yield the identifiers of at most `limit` answers.

        Parameters
        ----------
        query : Dataset
            With its Query/Retrieve Level.
        limit : int
            Sent to the server as well; what a server sends beyond it is not read.

        Raises
        ------
        PacsUnavailableError
            The server cannot be reached, refuses the query, or answers something else than DICOM JSON.
        """
        self._on_query(query)
        level = str(query.QueryRetrieveLevel)
        answer = self._get(_path(query, level), _parameters(query, level, limit))
        if answer.status_code == 404 and level != "STUDY":
            # A server may answer so about a study that it has not; only the search for studies tells it from a wrong
            # base address.
            self._read(self._get("/studies", {"StudyInstanceUID": str(query.StudyInstanceUID), "limit": "1"}))
            return
        for document in self._read(answer)[:limit]:
            try:
                yield Dataset.from_json(document)
            except Exception as error:  # pydicom raises anything for what is no DICOM JSON
                raise self._unreadable(f"an answer is no DICOM JSON ({type(error).__name__})") from error

    def _get(self, path: str, parameters: dict[str, Any]) -> httpx.Response:
        """Return the answer with at most `MAX_ANSWER_BYTES` of content."""
        url = f"{str(self._pacs.wado_url).rstrip('/')}{path}"
        try:
            with self._client.stream("GET", url, params=parameters, headers={"Accept": JSON_TYPES[0]}) as answer:
                content = bytearray()
                for piece in answer.iter_bytes():
                    content += piece
                    if len(content) > MAX_ANSWER_BYTES:
                        raise self._unreadable(f"more than {MAX_ANSWER_BYTES} bytes for one query")
        except httpx.HTTPError as error:
            raise unreachable(self._pacs, error) from error
        headers = {"Content-Type": answer.headers.get("Content-Type", "")}
        return httpx.Response(answer.status_code, headers=headers, content=bytes(content), request=answer.request)

    def _read(self, answer: httpx.Response) -> list[dict[str, Any]]:
        if answer.status_code == 204:  # nothing matches, PS3.18 table 10.6.3-1
            return []
        if answer.status_code not in (200, 206):
            raise refused(self._pacs, answer.status_code)
        kind = answer.headers["Content-Type"].partition(";")[0].strip().lower()
        if kind not in JSON_TYPES:
            raise self._unreadable(f"{kind or 'no content type'} where {JSON_TYPES[0]} was asked for")
        try:
            documents = json.loads(answer.content)
        except (ValueError, RecursionError) as error:
            raise self._unreadable("something that is no JSON") from error
        if not isinstance(documents, list) or not all(isinstance(document, dict) for document in documents):
            raise self._unreadable("JSON that is no list of data sets")
        return documents

    def _unreadable(self, found: str) -> PacsUnavailableError:
        return PacsUnavailableError(
            f"{server_name(self._pacs)} answered {found}; check that wado_url is the base address of its DICOMweb"
        )


def search_series(
    pacs: PacsSettings,
    study_instance_uid: str,
    patient: PatientKey,
    other_modalities: Sequence[str],
    on_query: QueryListener = lambda _identifier: None,
) -> list[PacsSeries]:
    """Find by QIDO-RS what `find_series` finds by C-FIND.

    Parameters
    ----------
    pacs : PacsSettings
        With `wado_url`.
    study_instance_uid : str
        The study of the case.
    patient : PatientKey
        The patient of the case; other studies are queried only where the Patient ID is queryable.
    other_modalities : sequence of str
        Modalities to find in other studies of the patient; may be empty.
    on_query : callable, optional
        Called with the identifier of each query before it is sent.

    Returns
    -------
    list of PacsSeries
        Each series once; MR series with the attributes of one instance that the server gives.

    Raises
    ------
    PacsUnavailableError
        The server cannot be reached, refuses a query, or answers something else than DICOM JSON.
    SettingsError
        Token or TLS files cannot be read.

    References
    ----------
    PS3.18 section 10.6.
    """
    with dicomweb_client(pacs, "wado_token_file") as client:
        query = PacsQuery(QidoChannel(client, pacs, on_query), patient)
        return query.all_series(study_instance_uid, other_modalities)


def check_qido(pacs: PacsSettings) -> str:
    """Ask for one study; raises PacsUnavailableError or SettingsError when the server does not answer that.

    Returns
    -------
    str
        What was found, for people.
    """
    with dicomweb_client(pacs, "wado_token_file") as client:
        channel = QidoChannel(client, pacs, lambda _identifier: None)
        query = Dataset()
        query.QueryRetrieveLevel = "STUDY"
        list(channel.find(query, 1))
    return f"{server_name(pacs)} answers queries; missing series are fetched from there by WADO-RS"


def server_name(pacs: PacsSettings) -> str:
    """Return how messages name the server: the name of the PACS in the settings, and the base address."""
    return f"the DICOMweb server {pacs.name} ({pacs.wado_url})"


def unreachable(pacs: PacsSettings, error: httpx.HTTPError) -> PacsUnavailableError:
    """Return the error of a connection that could not be made, or ended before the answer."""
    return PacsUnavailableError(f"{server_name(pacs)} cannot be reached: {str(error) or type(error).__name__}")


def refused(pacs: PacsSettings, status: int) -> PacsUnavailableError:
    """Return the error of a request that the server refused as a whole.

    Parameters
    ----------
    pacs : PacsSettings
        The server.
    status : int
        HTTP status; the advice depends on it.
    """
    advice = {
        401: "not authorised; check wado_token_file", 403: "not authorised; check wado_token_file",
        404: "not found; check that wado_url is the base address of its DICOMweb",
        413: "more than it gives at once", 429: "too many requests; it is asked again later",
        503: "busy; it is asked again later",
    }.get(status, "it did not answer the request")  # fmt: skip
    return PacsUnavailableError(f"{server_name(pacs)} answered {status}: {advice}")


def _path(query: Dataset, level: str) -> str:
    if level == "STUDY":
        return "/studies"
    series = f"/studies/{query.StudyInstanceUID}/series"
    return series if level == "SERIES" else f"{series}/{query.SeriesInstanceUID}/instances"


def _parameters(query: Dataset, level: str, limit: int) -> dict[str, Any]:
    parameters: dict[str, Any] = {"limit": str(limit), "includefield": []}
    for element in query:
        if element.keyword in _IN_PATH[level]:
            continue
        if element.value in ("", None):
            parameters["includefield"].append(f"{Tag(element.tag):08X}")
        else:
            parameters[element.keyword] = str(element.value)
    return parameters
