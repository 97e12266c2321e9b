"""Retrieve whole series from a PACS: C-MOVE to this node, or C-GET on our own association (PS3.4 C.4.2, C.4.3).

Objects of a C-MOVE arrive on an association that the PACS opens to the node's storage SCP. Objects of a C-GET arrive on
the association that asked for them and are given to a callable, which stores them by the same checks.
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
from node.dicom.network.connection import NoContextAcceptedError, association, peer_name
from node.dicom.network.contexts import PLAIN_SYNTAXES, STORAGE_CLASSES, TRANSFER_SYNTAXES
from node.dicom.scp.handlers import handle_pdu
from node.store.part10 import FileMeta

MOVE, GET = StudyRootQueryRetrieveInformationModelMove, StudyRootQueryRetrieveInformationModelGet
# Final statuses of a C-MOVE after which C-GET may work: move destination unknown (PS3.4 table C.4-2), SOP class not
# supported and unrecognized operation (PS3.7 annex C).
CANNOT_MOVE = frozenset({0xA801, 0x0122, 0x0211})

# Stores one object that a C-GET brought, and returns the C-STORE response.
StoreObject = Callable[[FileMeta, "bytes | memoryview"], Dataset]


@dataclass(frozen=True)
class RetrievalOutcome:
    """What a PACS answered to the retrieval of one series.

    Attributes
    ----------
    series : PacsSeries
        The series that was requested.
    service : {"C-MOVE", "C-GET"}
        The service that was used.
    status : int or None
        Final status of the service; None when the association ended before it.
    completed, failed : int
        Numbers of sub-operations; those with a warning count as completed.
    comment : str
        Error Comment (0000,0902) of the final response.
    """

    series: PacsSeries
    service: str
    status: int | None
    completed: int = 0
    failed: int = 0
    comment: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether the whole series was sent."""
        return self.status == 0x0000 and not self.failed

    @property
    def text(self) -> str:
        """The outcome as half a sentence, for the case's history."""
        if self.succeeded:
            return f"{self.completed} instances by {self.service}"
        if self.status is None:
            return f"the PACS did not end the {self.service}"
        comment = f": {self.comment}" if self.comment else ""
        return f"{self.service} status {self.status:04X}{comment}, {self.completed} sent, {self.failed} failed"


class ServiceNotOfferedError(Exception):
    """The PACS accepts no presentation context for this retrieval service; the other one may work."""


def retrieve(
    pacs: PacsSettings, ae_title: str, series: Sequence[PacsSeries], store: StoreObject, max_object_bytes: int
) -> Iterator[RetrievalOutcome]:
    """Retrieve series one after the other, by C-MOVE where the PACS can (or as `retrieve_by` says), else by C-GET.

    Parameters
    ----------
    pacs : PacsSettings
        The PACS that has the series.
    ae_title : str
        AE title of this node, which is also the C-MOVE destination.
    series : sequence of PacsSeries
        Retrieved in this order.
    store : callable
        Stores one object that a C-GET brought, and returns the C-STORE response.
    max_object_bytes : int
        Largest object that a C-GET may bring; the association is aborted beyond it.

    Yields
    ------
    RetrievalOutcome
        One for each series, until the association ends.

    Raises
    ------
    PacsUnavailableError
        When there is no association, or the PACS offers none of the allowed services.

    References
    ----------
    PS3.4 Annex C.4.2 (C-MOVE), C.4.3 (C-GET).
    """
    # Between two responses a PACS may send a whole series, or load it from a slow archive: a longer silence is allowed.
    slow_pacs = pacs.model_copy(update={"timeout_s": max(pacs.timeout_s, pacs.retrieve_timeout_s)})
    remaining, why_not_move = list(series), ""
    if pacs.retrieve_by != "get":
        try:
            # Series by series, so that a PACS without this destination costs one request, and what has come already is
            # not retrieved again by C-GET.
            for outcome in _move(slow_pacs, ae_title, remaining):
                if outcome.status in CANNOT_MOVE and pacs.retrieve_by == "auto":
                    why_not_move = outcome.text
                    break
                remaining = remaining[1:]
                yield outcome
        except ServiceNotOfferedError as error:
            why_not_move = str(error)
        if not remaining:
            return
    if pacs.retrieve_by == "move":
        raise PacsUnavailableError(f"{peer_name(pacs)} cannot be fetched from: {why_not_move}")
    try:
        yield from _get(slow_pacs, ae_title, remaining, store, max_object_bytes)
    except ServiceNotOfferedError as error:
        reasons = "; ".join(part for part in (why_not_move, str(error)) if part)
        raise PacsUnavailableError(f"{peer_name(pacs)} cannot be fetched from: {reasons}") from error


def _move(pacs: PacsSettings, ae_title: str, series: Sequence[PacsSeries]) -> Iterator[RetrievalOutcome]:
    context = build_context(MOVE, list(PLAIN_SYNTAXES))
    try:
        with association(pacs, ae_title, [context]) as assoc:
            for each in series:
                yield _outcome(each, "C-MOVE", assoc.send_c_move(_identifier(each), ae_title, MOVE))
                if not assoc.is_established:
                    return
    except NoContextAcceptedError as error:
        raise ServiceNotOfferedError("it offers no C-MOVE") from error


def _get(
    pacs: PacsSettings, ae_title: str, series: Sequence[PacsSeries], store: StoreObject, max_object_bytes: int
) -> Iterator[RetrievalOutcome]:
    def handle_store(event: Event) -> Dataset:
        request = cast(C_STORE, event.request)
        meta = FileMeta(
            str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID), str(event.context.transfer_syntax),
            pacs.ae_title,
        )  # fmt: skip
        return store(meta, cast(BytesIO, request.DataSet).getbuffer())

    # Who asks by C-GET is the SCP of the storage classes on the same association (PS3.7 D.3.3.4, role selection).
    roles = [build_role(UID(uid), scp_role=True) for uid in STORAGE_CLASSES]
    handlers: list[EventHandlerType] = [
        (evt.EVT_C_STORE, handle_store, []),
        (evt.EVT_PDU_RECV, handle_pdu, [max_object_bytes]),
    ]
    try:
        with association(pacs, ae_title, get_contexts(), handlers, roles) as assoc:
            # The storage contexts may be accepted although the service is not.
            if not any(context.abstract_syntax == GET for context in assoc.accepted_contexts):
                raise ServiceNotOfferedError("it offers no C-GET")
            for each in series:
                yield _outcome(each, "C-GET", assoc.send_c_get(_identifier(each), GET))
                if not assoc.is_established:
                    return
    except NoContextAcceptedError as error:
        raise ServiceNotOfferedError("it offers no C-GET") from error


def get_contexts() -> list[PresentationContext]:
    """Return the presentation contexts for C-GET and for every storage class that it may bring.

    Returns
    -------
    list of PresentationContext
        Each compressed transfer syntax of the MR classes in a context of its own: a context is accepted with one
        transfer syntax only (PS3.8 9.3.3.2), and the PACS sends objects as it stores them.
    """
    contexts = [build_context(GET, list(PLAIN_SYNTAXES))]
    for uid in STORAGE_CLASSES:
        # Structure sets and registrations have no pixels to compress, and a request has room for 128 contexts (PS3.8
        # section 9.3.2.2).
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


def _outcome(series: PacsSeries, service: str, responses: Iterator[tuple[Dataset, Dataset | None]]) -> RetrievalOutcome:
    final = Dataset()
    for status, _ in responses:
        final = status
    code = final.get("Status")
    return RetrievalOutcome(
        series, service, None if code is None else int(code),
        completed=int(final.get("NumberOfCompletedSuboperations") or 0)
        + int(final.get("NumberOfWarningSuboperations") or 0),
        failed=int(final.get("NumberOfFailedSuboperations") or 0),
        comment=str(final.get("ErrorComment", "") or ""),
    )  # fmt: skip
