"""C-FIND as SCU, Study Root Query/Retrieve Information Model (PS3.4 Annex C.6.2)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from pydicom.dataset import Dataset
from pynetdicom import build_context
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind  # type: ignore[attr-defined]

from config.errors import PacsUnavailableError
from config.settings import PacsSettings
from node.cases.retrieval_choice import PacsSeries
from node.dicom.network.connection import association, peer_name
from node.dicom.network.contexts import PLAIN_SYNTAXES
from node.dicom.query.patient_query import PacsQuery, PatientKey, QueryListener

FIND = StudyRootQueryRetrieveInformationModelFind
PENDING = (0xFF00, 0xFF01)
SUCCESS, CANCELLED = 0x0000, 0xFE00


class FindChannel:
    """C-FIND on one association.

    Parameters
    ----------
    assoc : Association
        Established, with a presentation context for `FIND`.
    pacs : PacsSettings
        The peer, for error messages.
    on_query : callable
        Called with the identifier of each query before it is sent.
    """

    def __init__(self, assoc: Association, pacs: PacsSettings, on_query: QueryListener) -> None:
        self._assoc, self._pacs, self._on_query = assoc, pacs, on_query
        # A message id of its own for each query: a C-CANCEL that arrives late must not cancel the next one.
        self._message_ids = itertools.count(1)

    @property
    def is_open(self) -> bool:
        """Whether the association is still established."""
        return self._assoc.is_established

    def find(self, query: Dataset, limit: int) -> Iterator[Dataset]:
        """Yield the identifiers of the answers; after `limit` the query is cancelled.

        Parameters
        ----------
        query : Dataset
            With its Query/Retrieve Level.
        limit : int
            Answers without an identifier count: a PACS that ignores the keys and sends its whole archive has to be
            stopped.

        Raises
        ------
        PacsUnavailableError
            When the PACS refuses the query or does not answer it to its end.
        """
        n_answers, message_id = 0, next(self._message_ids)
        self._on_query(query)
        for status, identifier in self._assoc.send_c_find(query, FIND, msg_id=message_id):
            code = status.get("Status")
            if code is None:
                raise PacsUnavailableError(f"{peer_name(self._pacs)} did not answer a query to its end")
            if code in PENDING:
                if identifier is not None and n_answers < limit:
                    yield identifier
                n_answers += 1
                if n_answers == limit:
                    self._assoc.send_c_cancel(message_id, query_model=FIND)
            elif code not in (SUCCESS, CANCELLED):  # CANCELLED answers our own C-CANCEL
                comment = str(status.get("ErrorComment", "") or "")
                raise PacsUnavailableError(
                    f"{peer_name(self._pacs)} refused a query (status {code:04X}{': ' + comment if comment else ''})"
                )


def query_contexts() -> list[PresentationContext]:
    """Return the presentation contexts that a query needs.

    Returns
    -------
    list of PresentationContext
        C-FIND of the Study Root model in both uncompressed little endian syntaxes.
    """
    return [build_context(FIND, list(PLAIN_SYNTAXES))]


def find_series(
    pacs: PacsSettings,
    calling_ae: str,
    study_instance_uid: str,
    patient: PatientKey,
    other_modalities: Sequence[str],
    on_query: QueryListener = lambda _identifier: None,
) -> list[PacsSeries]:
    """Find all series of a study, and series of some modalities in other studies of the patient.

    Parameters
    ----------
    pacs : PacsSettings
        The PACS to query.
    calling_ae : str
        AE title of this node.
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
        Each series once; MR series with the header of one instance, where the PACS answers at the IMAGE level.

    Raises
    ------
    PacsUnavailableError
        When there is no association, or the PACS refuses a query or does not answer it to its end.

    References
    ----------
    PS3.4 Annex C.4.1 (C-FIND), C.6.2 (Study Root).
    """
    with association(pacs, calling_ae, query_contexts()) as assoc:
        return PacsQuery(FindChannel(assoc, pacs, on_query), patient).all_series(study_instance_uid, other_modalities)
