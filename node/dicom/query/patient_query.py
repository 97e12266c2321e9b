"""Queries about one patient, by whatever service: the series of one study, and contours in the patient's other studies.

A query is an identifier of the Study Root Query/Retrieve Information Model (PS3.4 Annex C.6.2); `query_scu` asks it by
C-FIND, `qido_client` by QIDO-RS. Every answer is compared with its query, because a PACS may ignore a key that it does
not support (PS3.4 C.2.2.1.3): a study of another patient must not be retrieved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pydicom.dataset import Dataset

from config.errors import PacsUnavailableError
from node.cases.headers import header_of
from node.cases.identity import patient_difference
from node.cases.retrieval_choice import PacsSeries
from node.store.names import is_uid

MAX_SERIES = 200  # answers read of one study; then the query is cancelled
MAX_STUDIES = 20

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


class QueryChannel(Protocol):
    """A service by which a PACS is queried."""

    @property
    def is_open(self) -> bool:
        """Whether another query may succeed after one that failed."""

    def find(self, query: Dataset, limit: int) -> Iterator[Dataset]:
        """Yield the identifiers of at most `limit` answers; raises PacsUnavailableError."""


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
    """Queries about one patient by one channel.

    Parameters
    ----------
    channel : QueryChannel
        Asks the PACS.
    patient : PatientKey
        Answers that contradict it are left out.
    """

    def __init__(self, channel: QueryChannel, patient: PatientKey) -> None:
        self._channel, self._patient = channel, patient

    def all_series(self, study_instance_uid: str, other_modalities: Sequence[str]) -> list[PacsSeries]:
        """Find all series of a study, and series of some modalities in other studies of the patient.

        Parameters
        ----------
        study_instance_uid : str
            The study of the case.
        other_modalities : sequence of str
            Modalities to find in other studies of the patient, where the Patient ID is queryable; may be empty.

        Returns
        -------
        list of PacsSeries
            Each series once; MR series with the header of one instance, where the PACS answers at the IMAGE level.

        Raises
        ------
        PacsUnavailableError
            When the PACS refuses a query or does not answer it to its end.
        """
        offered = self.series_of(study_instance_uid)
        for modality in other_modalities if self._patient.is_queryable else ():
            for other in self.studies_of_patient(modality):
                if other != study_instance_uid:
                    # Modality is an optional key at this level for some PACS: they answer with all series.
                    offered += [series for series in self.series_of(other, modality) if series.modality == modality]
        return [
            series.with_header(self.instance_header_of(series)) if series.modality == "MR" else series
            for series in {series.series_instance_uid: series for series in offered}.values()
        ]

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
            When the connection ended; the next query would fail as well.
        """
        unique = {"StudyInstanceUID": series.study_instance_uid, "SeriesInstanceUID": series.series_instance_uid}
        # One instance is enough: what the rules need of a series (times, contrast agent) is the same in all of its
        # slices.
        query = _query("IMAGE", {**unique, "SOPInstanceUID": "", **dict.fromkeys(_IMAGE_KEYS)})
        try:
            answers = list(self._find(query, 1))
        except PacsUnavailableError:
            if not self._channel.is_open:
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
        for answer in self._channel.find(query, limit):
            if not self._patient.contradicts(answer):
                yield answer


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
