"""WADO-RS as user agent: whole series from a DICOMweb server, while they arrive, into the intake (PS3.18 10.4)."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import httpx

from config.errors import PacsUnavailableError
from config.settings import PacsSettings
from node.cases.retrieval_choice import PacsSeries
from node.dicom.dicomweb.arrivals import ArrivingParts, Door, PartOutcome
from node.dicom.dicomweb.http_client import dicomweb_client
from node.dicom.dicomweb.multipart import DICOM, MULTIPART, MediaTypeError, MultipartError, related_boundary
from node.dicom.network.protocol_errors import ProtocolError
from node.dicom.network.statuses import StoreStatus
from node.dicom.query.qido_client import refused, server_name, unreachable
from node.dicom.scp.checks import Requested
from node.dicom.scp.receive import MIN_BYTES_PER_S

SERVICE = "WADO-RS"
# As stored, in whatever transfer syntax; then, for servers that do not know the parameter, in their default one.
ACCEPTED = (f'{MULTIPART}; type="{DICOM}"; transfer-syntax=*', f'{MULTIPART}; type="{DICOM}"')
CANNOT_ACCEPT = frozenset({400, 406})
OK, PARTIAL_CONTENT, NO_CONTENT = 200, 206, 204
GONE = frozenset({404, 410})  # the server has not got what it listed: another series may still come


@dataclass(frozen=True)
class WadoOutcome:
    """What became of the retrieval of one series.

    Attributes
    ----------
    series : PacsSeries
        The series that was requested.
    parts : tuple of PartOutcome
        Of the objects that arrived as a whole.
    problem : str
        Why the answer is not the whole series; empty where nothing says so.
    http_status : int
        Of the answer.
    """

    series: PacsSeries
    parts: tuple[PartOutcome, ...]
    problem: str
    http_status: int

    @property
    def succeeded(self) -> bool:
        """Whether the whole series was received and stored."""
        return not self.problem and bool(self.parts) and not any(part.status for part in self.parts)

    @property
    def text(self) -> str:
        """The outcome as half a sentence, for the case's history."""
        stored = sum(not part.status for part in self.parts)
        if self.succeeded:
            return f"{stored} instances by {SERVICE}"
        # One reason of each kind: a series of another study would repeat its sentence for each of its slices.
        reasons = Counter(part.status for part in self.parts if part.status)
        comments = {part.status: part.comment for part in self.parts if part.status}
        failed = [f"{n} not stored ({status:04X}: {comments[status]})" for status, n in reasons.items()]
        problem = [self.problem] if self.problem else []
        return "; ".join([f"{SERVICE}: {stored} instances", *failed, *problem])


def retrieve_by_wado(pacs: PacsSettings, series: Sequence[PacsSeries], door: Door) -> Iterator[WadoOutcome]:
    """Retrieve series one after the other.

    Parameters
    ----------
    pacs : PacsSettings
        With `wado_url`; silence longer than `retrieve_timeout_s` ends a request.
    series : sequence of PacsSeries
        Retrieved in this order.
    door : Door
        Where the objects go; what does not belong to the requested series is refused there.

    Yields
    ------
    WadoOutcome
        One for each series.

    Raises
    ------
    PacsUnavailableError
        The connection cannot be made or ends, or the server refuses requests as a whole; what has arrived stays.
    SettingsError
        Token or TLS files cannot be read.

    References
    ----------
    PS3.18 section 10.4.
    """
    with dicomweb_client(pacs, "wado_token_file", max(pacs.timeout_s, pacs.retrieve_timeout_s)) as client:
        for each in series:
            yield _retrieve(client, pacs, each, door)


def _retrieve(client: httpx.Client, pacs: PacsSettings, series: PacsSeries, door: Door) -> WadoOutcome:
    wanted = replace(door, requested=Requested(series.study_instance_uid, series.series_instance_uid))
    outcome = _request(client, pacs, series, wanted, ACCEPTED[0])
    if outcome.http_status in CANNOT_ACCEPT:
        outcome = _request(client, pacs, series, wanted, ACCEPTED[1])
    return outcome


def _request(
    client: httpx.Client, pacs: PacsSettings, series: PacsSeries, door: Door, accepted: str
) -> WadoOutcome:  # fmt: skip
    path = f"/studies/{series.study_instance_uid}/series/{series.series_instance_uid}"
    url = f"{str(pacs.wado_url).rstrip('/')}{path}"
    received: list[PartOutcome] = []
    try:
        # Not compressed on the way: the objects are, or have little to gain.
        with client.stream("GET", url, headers={"Accept": accepted, "Accept-Encoding": "identity"}) as answer:
            problem = _problem_of(answer, pacs) or _receive(answer, door, pacs, received)
    except httpx.HTTPError as error:
        if not received:
            raise unreachable(pacs, error) from error
        # Not an outcome of the series: it is requested again, with growing waits, until the server answers whole.
        raise PacsUnavailableError(
            f"{server_name(pacs)} ended the connection after {len(received)} instances of a series "
            f"({type(error).__name__}); what arrived stays"
        ) from error
    return WadoOutcome(series, tuple(received), problem or _shortfall(series, received), answer.status_code)


def _problem_of(answer: httpx.Response, pacs: PacsSettings) -> str:
    """Return why nothing is read from an answer; empty where its content is read. Raises PacsUnavailableError."""
    status = answer.status_code
    if status in (OK, PARTIAL_CONTENT):
        return ""
    if status == NO_CONTENT or status in GONE:
        return f"the server answered {status}: it has nothing of this series"
    if status in CANNOT_ACCEPT:
        return f"the server answered {status}: it does not give DICOM files of this series"
    raise refused(pacs, status)


def _receive(answer: httpx.Response, door: Door, pacs: PacsSettings, received: list[PartOutcome]) -> str:
    """Give the parts of an answer to the intake; return why they are not all, or empty."""
    try:
        boundary = related_boundary(answer.headers.get("Content-Type", ""))
    except (MediaTypeError, MultipartError) as error:
        return f"the server answered no DICOM files: {error}"
    parts = ArrivingParts(boundary, door)
    parts.outcomes = received  # also what arrived before an error is told
    begun, n_bytes = time.monotonic(), 0
    try:
        for piece in answer.iter_bytes():
            parts.feed(piece)
            if received and received[-1].status == StoreStatus.OUT_OF_RESOURCES:
                # Nor is this one: when there is room again, the series has not used up an attempt.
                raise PacsUnavailableError(f"this node cannot store what it sends: {received[-1].comment}")
            n_bytes += len(piece)
            seconds = time.monotonic() - begun
            # A server that sends a byte now and then is never silent.
            if seconds > pacs.retrieve_timeout_s and n_bytes < seconds * MIN_BYTES_PER_S:
                return f"the server sent {n_bytes} bytes in {seconds:.0f} s"
    except (MultipartError, MediaTypeError, ProtocolError) as error:
        return str(error)
    finally:
        parts.close()
    if not parts.is_complete:
        return "the answer ended before its last delimiter"
    return "the server says that this is not all (206)" if answer.status_code == PARTIAL_CONTENT else ""


def _shortfall(series: PacsSeries, received: Sequence[PartOutcome]) -> str:
    n_received = sum(part.status != StoreStatus.NOT_REQUESTED for part in received)
    if series.n_instances is not None and n_received < series.n_instances:
        return f"the server lists {series.n_instances} instances and sent {n_received}"
    return "" if received else "the answer has no part"
