"""C-MOVE to this node, or C-GET on our own association: fetching whole series from a PACS (PS3.4 Annex C.4.2, C.4.3).

What arrives by C-MOVE comes through the node's own door like anything else; what arrives by C-GET is given to `take`,
which is that same access.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import cast

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import build_context, build_role, evt
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.events import Event, EventHandlerType
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

from config.errors import PacsUnavailableError
from config.settings import PacsSettings
from node.cases.retrieval_choice import PacsSeries
from node.dicom.network.connection import association, peer_name
from node.dicom.network.contexts import PLAIN_SYNTAXES, STORAGE_CLASSES, TRANSFER_SYNTAXES
from node.dicom.scp.handlers import handle_pdu
from node.store.part10 import FileMeta

MOVE, GET = StudyRootQueryRetrieveInformationModelMove, StudyRootQueryRetrieveInformationModelGet
# Final statuses of a C-MOVE after which another way may do: destination unknown, SOP class not supported.
CANNOT_MOVE = frozenset({0xA801, 0x0122, 0x0211})

# Takes one object that came by C-GET; answers with the C-STORE response.
Take = Callable[[FileMeta, "bytes | memoryview"], Dataset]


@dataclass(frozen=True)
class RetrievalOutcome:
    """What a PACS said of one series: its final status (None: it fell silent) and the numbers of sub-operations."""

    series: PacsSeries
    how: str  # C-MOVE | C-GET
    status: int | None
    completed: int = 0
    failed: int = 0
    comment: str = ""

    @property
    def succeeded(self) -> bool:
        return self.status == 0x0000 and not self.failed

    @property
    def text(self) -> str:
        """What became of it, in half a sentence."""
        if self.succeeded:
            return f"{self.completed} instances by {self.how}"
        if self.status is None:
            return f"the PACS did not end the {self.how}"
        said = f": {self.comment}" if self.comment else ""
        return f"{self.how} status {self.status:04X}{said}, {self.completed} sent, {self.failed} failed"


class ServiceNotOfferedError(Exception):
    """The PACS does not offer this way of fetching."""


def retrieve(
    pacs: PacsSettings, ae_title: str, series: Sequence[PacsSeries], take: Take, most_bytes: int
) -> Iterator[RetrievalOutcome]:
    """Fetch series one after the other, by C-MOVE where the PACS can (or as `retrieve_by` says), else by C-GET.

    ae_title : ours, which is also the C-MOVE's destination. most_bytes : of one object that comes by C-GET.
    Raises PacsUnavailableError when there is no association, or none of the ways is offered.
    """
    # Between two responses a PACS may have a whole series to send, or to bring back from a slow store.
    patient = pacs.model_copy(update={"timeout_s": max(pacs.timeout_s, pacs.retrieve_timeout_s)})
    left, why = list(series), ""
    if pacs.retrieve_by != "get":
        try:
            for outcome in _move(patient, ae_title, left):
                if outcome.status in CANNOT_MOVE and pacs.retrieve_by == "auto":
                    why = outcome.text
                    break
                left = left[1:]
                yield outcome
        except ServiceNotOfferedError as error:
            why = str(error)
        if not left:
            return
    if pacs.retrieve_by == "move":
        raise PacsUnavailableError(f"{peer_name(pacs)} cannot be fetched from: {why}")
    try:
        yield from _get(patient, ae_title, left, take, most_bytes)
    except ServiceNotOfferedError as error:
        reasons = "; ".join(part for part in (why, str(error)) if part)
        raise PacsUnavailableError(f"{peer_name(pacs)} cannot be fetched from: {reasons}") from error


def _move(pacs: PacsSettings, ae_title: str, series: Sequence[PacsSeries]) -> Iterator[RetrievalOutcome]:
    context = build_context(MOVE, list(PLAIN_SYNTAXES))
    try:
        with association(pacs, ae_title, [context]) as assoc:
            for one in series:
                yield _ended(one, "C-MOVE", assoc.send_c_move(_identifier(one), ae_title, MOVE))
                if not assoc.is_established:
                    return
    except PacsUnavailableError as error:
        if "none of the offered presentation contexts" in str(error):
            raise ServiceNotOfferedError("it offers no C-MOVE") from error
        raise


def _get(
    pacs: PacsSettings, ae_title: str, series: Sequence[PacsSeries], take: Take, most_bytes: int
) -> Iterator[RetrievalOutcome]:
    def store(event: Event) -> Dataset:
        request = cast(C_STORE, event.request)
        meta = FileMeta(
            str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID), str(event.context.transfer_syntax),
            pacs.ae_title,
        )  # fmt: skip
        return take(meta, cast(BytesIO, request.DataSet).getbuffer())

    roles = [build_role(UID(uid), scp_role=True) for uid in STORAGE_CLASSES]
    handlers: list[EventHandlerType] = [(evt.EVT_C_STORE, store, []), (evt.EVT_PDU_RECV, handle_pdu, [most_bytes])]
    try:
        with association(pacs, ae_title, get_contexts(), handlers, roles) as assoc:
            if not any(context.abstract_syntax == GET for context in assoc.accepted_contexts):
                raise ServiceNotOfferedError("it offers no C-GET")
            for one in series:
                yield _ended(one, "C-GET", assoc.send_c_get(_identifier(one), GET))
                if not assoc.is_established:
                    return
    except PacsUnavailableError as error:
        if "none of the offered presentation contexts" in str(error):
            raise ServiceNotOfferedError("it offers no C-GET") from error
        raise


def get_contexts() -> list[PresentationContext]:
    """C-GET and all that it may bring; each compressed form in a context of its own, so that the PACS can send objects
    as it holds them."""
    contexts = [build_context(GET, list(PLAIN_SYNTAXES))]
    for uid in STORAGE_CLASSES:
        contexts.append(build_context(uid, list(PLAIN_SYNTAXES)))
        if STORAGE_CLASSES[uid].endswith("MR Image Storage"):
            contexts += [build_context(uid, syntax) for syntax in TRANSFER_SYNTAXES if syntax not in PLAIN_SYNTAXES]
    return contexts


def _identifier(series: PacsSeries) -> Dataset:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "SERIES"
    identifier.StudyInstanceUID = series.study_instance_uid
    identifier.SeriesInstanceUID = series.series_instance_uid
    return identifier


def _ended(series: PacsSeries, how: str, responses: Iterator[tuple[Dataset, Dataset | None]]) -> RetrievalOutcome:
    last = Dataset()
    for status, _ in responses:
        last = status
    code = last.get("Status")
    return RetrievalOutcome(
        series, how, None if code is None else int(code),
        completed=int(last.get("NumberOfCompletedSuboperations") or 0)
        + int(last.get("NumberOfWarningSuboperations") or 0),
        failed=int(last.get("NumberOfFailedSuboperations") or 0),
        comment=str(last.get("ErrorComment", "") or ""),
    )  # fmt: skip
