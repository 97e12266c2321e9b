"""C-FIND as SCU: the series that a PACS has of one study, and contours in other studies of the same patient.

Study Root Query/Retrieve Information Model (PS3.4 Annex C.6.2). Every answer is compared with its query, because a PACS
may ignore a key that it does not support (PS3.4 C.2.2.1.3): a study of another patient must not be retrieved.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import build_context
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind  # type: ignore[attr-defined]

from config.errors import PacsUnavailableError
from config.settings import PacsSettings
from node.cases.headers import header_of
from node.cases.identity import patient_difference
from node.cases.retrieval_choice import PacsSeries
from node.dicom.network.connection import association, peer_name
from node.dicom.network.contexts import PLAIN_SYNTAXES
from node.store.names import is_uid

FIND = StudyRootQueryRetrieveInformationModelFind
MAX_SERIES = 200  # answers read of one study; then the query is cancelled
MAX_STUDIES = 20
PENDING = (0xFF00, 0xFF01)
SUCCESS, CANCELLED = 0x0000, 0xFE00

QueryListener = Callable[[Dataset], None]  # called with the identifier of each query before it is sent, for the audit

_SERIES_KEYS = (
    "SeriesDescription", "SeriesNumber", "ProtocolName", "BodyPartExamined", "SeriesDate", "SeriesTime", "Manufacturer",
    "ManufacturerModelName", "NumberOfSeriesRelatedInstances",
)  # fmt: skip
# Optional at the IMAGE level (PS3.4 C.6.1.1.5): a PACS that does not support them omits them or answers them empty.
_IMAGE_KEYS = (
    "SOPClassUID", "ImageType", "ScanningSequence", "SequenceVariant", "ScanOptions", "MRAcquisitionType",
    "RepetitionTime", "EchoTime", "InversionTime", "FlipAngle", "EchoTrainLength", "ContrastBolusAgent", "SequenceName",
)  # fmt: skip


@dataclass(frozen=True)
class PatientKey:
    """Identity of the patient of a case; `issuer` and `birth_date` (YYYYMMDD) are empty where none is known."""

    patient_id: str
    issuer: str = ""
    birth_date: str = ""

    @property
    def is_queryable(self) -> bool:
        """Whether the Patient ID matches one patient only: wild cards and lists match others (PS3.4 C.2.2.2)."""
        return bool(self.patient_id) and not set(self.patient_id) & set("*?\\")

    def contradicts(self, answer: Dataset) -> bool:
        """Return whether an answer is about another patient, by the same rule as for received objects.

        An identity attribute that the answer omits or leaves empty says nothing: at the SERIES and IMAGE levels of the
        Study Root model a PACS need not return any.

        Parameters
        ----------
        answer : Dataset
            Identifier of a C-FIND response.

        Returns
        -------
        bool
            False also for an answer without any identity.
        """
        known = {
            "PatientID": self.patient_id,
            "IssuerOfPatientID": self.issuer,
            "PatientBirthDate": self.birth_date,
        }
        stated = {keyword: str(answer.get(keyword) or "").strip() for keyword in known}
        return patient_difference(known, {**stated, "PatientID": stated["PatientID"] or self.patient_id}) is not None


class PacsQuery:
    """C-FIND queries about one patient on one association.

    Parameters
    ----------
    assoc : Association
        Established, with a presentation context for `FIND`.
    pacs : PacsSettings
        The peer, for error messages.
    patient : PatientKey
        Answers that contradict it are left out.
    on_query : callable, optional
        Called with the identifier of each query before it is sent.
    """

    def __init__(
        self,
        assoc: Association,
        pacs: PacsSettings,
        patient: PatientKey,
        on_query: QueryListener = lambda _identifier: None,
    ) -> None:
        self._assoc, self._pacs, self._patient, self._on_query = assoc, pacs, patient, on_query
        # A message id of its own for each query: a C-CANCEL that arrives late must not cancel the next one.
        self._message_ids = itertools.count(1)

    def series_of(self, study_instance_uid: str, modality: str = "") -> list[PacsSeries]:
        """Find the series of a study.

        Parameters
        ----------
        study_instance_uid : str
            The study; answers about another study are left out.
        modality : str, optional
            One modality; all of them by default.

        Returns
        -------
        list of PacsSeries
            At most `MAX_SERIES`, without an instance's header.

        Raises
        ------
        PacsUnavailableError
            When the PACS refuses the query or does not answer it to its end.
        """
        # An empty value is universal matching and requests the attribute (PS3.4 C.2.2.2.3).
        keys = {"StudyInstanceUID": study_instance_uid, "SeriesInstanceUID": "", "Modality": modality}
        query = _query("SERIES", {**keys, **dict.fromkeys(_SERIES_KEYS, "")})
        return [
            _series(answer, study_instance_uid, modality)
            for answer in self._find(query, MAX_SERIES)
            # A PACS that ignores the study's UID answers with the series of all studies: an answer that names another
            # one is left out, one that names none counts as an answer to this query.
            if is_uid(str(answer.get("SeriesInstanceUID") or ""))
            and str(answer.get("StudyInstanceUID") or study_instance_uid) == study_instance_uid
        ]

    def instance_header_of(self, series: PacsSeries) -> Mapping[str, Any]:
        """Query the acquisition attributes of one instance of a series.

        Parameters
        ----------
        series : PacsSeries
            A series that the PACS has.

        Returns
        -------
        mapping of DICOM keyword to value
            Empty where the PACS does not support queries at the IMAGE level.

        Raises
        ------
        PacsUnavailableError
            When the association ended; the next query would fail as well.
        """
        unique = {"StudyInstanceUID": series.study_instance_uid, "SeriesInstanceUID": series.series_instance_uid}
        # One instance is enough: what the rules need of a series (times, contrast agent) is the same in all of its
        # slices.
        query = _query("IMAGE", {**unique, "SOPInstanceUID": "", **dict.fromkeys(_IMAGE_KEYS)})
        try:
            answers = list(self._find(query, 1))
        except PacsUnavailableError:
            if not self._assoc.is_established:
                raise
            return {}
        return header_of(answers[0]) if answers else {}

    def studies_of_patient(self, modality: str) -> list[str]:
        """Find the studies of this patient that contain a modality.

        Parameters
        ----------
        modality : str
            For example ``RTSTRUCT``.

        Returns
        -------
        list of str
            Study Instance UIDs, the newest first. The answer must repeat the Patient ID; the issuer and the birth date
            must not contradict what is known.

        Raises
        ------
        PacsUnavailableError
            When the PACS refuses the query or does not answer it to its end.
        """
        keys = {
            # The issuer is requested and not matched: a PACS without issuers would answer nothing.
            "PatientID": self._patient.patient_id, "IssuerOfPatientID": "", "PatientBirthDate": "",
            "ModalitiesInStudy": modality, "StudyInstanceUID": "", "StudyDate": "",
        }  # fmt: skip
        studies = []
        for answer in self._find(_query("STUDY", keys), MAX_STUDIES):
            uid = str(answer.get("StudyInstanceUID") or "")
            # The Patient ID must be equal here, not only uncontradicted: this query may return any patient's studies.
            if is_uid(uid) and str(answer.get("PatientID") or "").strip() == self._patient.patient_id:
                studies.append((str(answer.get("StudyDate") or ""), uid))
        return [uid for _, uid in sorted(studies, reverse=True)]

    def _find(self, query: Dataset, limit: int) -> Iterator[Dataset]:
        """Yield the identifiers that do not contradict the patient; after `limit` the query is cancelled."""
        n_answers, message_id = 0, next(self._message_ids)
        self._on_query(query)
        for status, identifier in self._assoc.send_c_find(query, FIND, msg_id=message_id):
            code = status.get("Status")
            if code is None:
                raise PacsUnavailableError(f"{peer_name(self._pacs)} did not answer a query to its end")
            if code in PENDING:
                if identifier is not None and n_answers < limit and not self._patient.contradicts(identifier):
                    yield identifier
                # Left-out answers count: a PACS that ignores the keys and sends its whole archive has to be stopped.
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
        query = PacsQuery(assoc, pacs, patient, on_query)
        offered = query.series_of(study_instance_uid)
        for modality in other_modalities if patient.is_queryable else ():
            for other in query.studies_of_patient(modality):
                if other != study_instance_uid:
                    # Modality is an optional key at this level for some PACS: they answer with all series.
                    offered += [series for series in query.series_of(other, modality) if series.modality == modality]
        return [
            series.with_header(query.instance_header_of(series)) if series.modality == "MR" else series
            for series in {series.series_instance_uid: series for series in offered}.values()
        ]


def _series(answer: Dataset, study_instance_uid: str, modality: str) -> PacsSeries:
    count = str(answer.get("NumberOfSeriesRelatedInstances") or "")
    return PacsSeries(
        study_instance_uid=study_instance_uid,
        series_instance_uid=str(answer.SeriesInstanceUID),
        modality=str(answer.get("Modality") or modality),
        header={**header_of(answer), "StudyInstanceUID": study_instance_uid},
        n_instances=int(count) if count.isdigit() else None,
    )


def _query(level: str, keys: Mapping[str, str | None]) -> Dataset:
    query = Dataset()
    query.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(query, keyword, value)
    return query
