"""C-FIND as SCU: which series a PACS has of one study, and in which other studies of the patient contours lie.

Study Root Query/Retrieve Information Model (PS3.4 Annex C.6.2). Every answer is held against the question: a PACS that
answers with more than was asked for must not lead us to another patient's images.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import build_context
from pynetdicom.association import Association
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind  # type: ignore[attr-defined]

from config.errors import PacsUnavailableError
from config.settings import PacsSettings
from node.cases.headers import header_of
from node.cases.retrieval_choice import PacsSeries
from node.dicom.network.connection import association, peer_name
from node.dicom.network.contexts import PLAIN_SYNTAXES
from node.store.names import is_uid

FIND = StudyRootQueryRetrieveInformationModelFind
MOST_SERIES = 200  # answers taken of one study; then the query is cancelled
MOST_STUDIES = 20
PENDING = (0xFF00, 0xFF01)

Tell = Callable[[Dataset], None]

_SERIES_KEYS = (
    "Modality", "SeriesDescription", "SeriesNumber", "ProtocolName", "BodyPartExamined", "SeriesDate", "SeriesTime",
    "Manufacturer", "ManufacturerModelName", "NumberOfSeriesRelatedInstances",
)  # fmt: skip
# Optional at the image level (PS3.4 C.6.1.1.5): a PACS that does not know them leaves them out or empty.
_IMAGE_KEYS = (
    "SOPClassUID", "ImageType", "ScanningSequence", "SequenceVariant", "ScanOptions", "MRAcquisitionType",
    "RepetitionTime", "EchoTime", "InversionTime", "FlipAngle", "EchoTrainLength", "ContrastBolusAgent", "SequenceName",
)  # fmt: skip


@dataclass(frozen=True)
class PatientKey:
    """The patient of a case; `issuer` is empty where none is known."""

    patient_id: str
    issuer: str = ""

    @property
    def is_queryable(self) -> bool:
        """Wild cards and lists would ask for other patients, too (PS3.4 C.2.2.2)."""
        return bool(self.patient_id) and not set(self.patient_id) & set("*?\\")


class Query:
    """Questions on one association. Raises PacsUnavailableError when the PACS does not answer them."""

    def __init__(self, assoc: Association, pacs: PacsSettings, tell: Tell = lambda _identifier: None) -> None:
        """tell : told the identifier of each query before it is sent."""
        self._assoc, self._pacs, self._tell = assoc, pacs, tell
        self._messages = itertools.count(1)  # a cancel that comes late must not meet the next question

    def series_of(self, study_instance_uid: str, modality: str = "") -> list[PacsSeries]:
        """The series of a study, of one modality or of all."""
        query = _query(
            "SERIES", {"StudyInstanceUID": study_instance_uid, "SeriesInstanceUID": "", "Modality": modality}
        )
        for keyword in _SERIES_KEYS:
            if keyword != "Modality":
                setattr(query, keyword, "")
        offered = []
        for answer in self._ask(query, MOST_SERIES):
            uid = str(answer.get("SeriesInstanceUID") or "")
            if not is_uid(uid) or str(answer.get("StudyInstanceUID") or study_instance_uid) != study_instance_uid:
                continue
            header = {**header_of(answer), "StudyInstanceUID": study_instance_uid}
            count = str(answer.get("NumberOfSeriesRelatedInstances") or "")
            offered.append(
                PacsSeries(
                    study_instance_uid, uid, str(answer.get("Modality") or modality), header,
                    int(count) if count.isdigit() else None,
                )
            )  # fmt: skip
        return offered

    def sample_of(self, series: PacsSeries) -> Mapping[str, Any]:
        """What the PACS tells of one instance of a series; empty where it does not take such a question."""
        unique = {"StudyInstanceUID": series.study_instance_uid, "SeriesInstanceUID": series.series_instance_uid}
        query = _query("IMAGE", {**unique, "SOPInstanceUID": ""})
        for keyword in _IMAGE_KEYS:
            setattr(query, keyword, None)
        try:
            answers = list(self._ask(query, 1))
        except PacsUnavailableError:
            if not self._assoc.is_established:
                raise
            return {}
        return header_of(answers[0]) if answers else {}

    def studies_of(self, patient: PatientKey, modality: str) -> list[str]:
        """Other studies of this patient that hold this modality, the newest first."""
        keys = {"PatientID": patient.patient_id, "ModalitiesInStudy": modality, "StudyInstanceUID": "", "StudyDate": ""}
        query = _query("STUDY", keys)
        query.IssuerOfPatientID = ""
        found = []
        for answer in self._ask(query, MOST_STUDIES):
            same = str(answer.get("PatientID") or "").strip() == patient.patient_id
            issuer = str(answer.get("IssuerOfPatientID") or "").strip()
            uid = str(answer.get("StudyInstanceUID") or "")
            if same and is_uid(uid) and not (issuer and patient.issuer and issuer != patient.issuer):
                found.append((str(answer.get("StudyDate") or ""), uid))
        return [uid for _, uid in sorted(found, reverse=True)]

    def _ask(self, query: Dataset, most: int) -> Iterator[Dataset]:
        """Identifiers of the matches; after `most` of them the query is cancelled."""
        taken, message = 0, next(self._messages)
        self._tell(query)
        for status, identifier in self._assoc.send_c_find(query, FIND, msg_id=message):
            code = status.get("Status")
            if code is None:
                raise PacsUnavailableError(f"{peer_name(self._pacs)} did not answer a query to its end")
            if code in PENDING:
                if identifier is not None and taken < most:
                    yield identifier
                taken += 1
                if taken == most:
                    self._assoc.send_c_cancel(message, query_model=FIND)
            elif code not in (0x0000, 0xFE00):  # success, and our own cancel
                text = str(status.get("ErrorComment", "") or "")
                raise PacsUnavailableError(
                    f"{peer_name(self._pacs)} refused a query (status {code:04X}{': ' + text if text else ''})"
                )


def contexts() -> list[Any]:
    """What must be negotiated for a query."""
    return [build_context(FIND, list(PLAIN_SYNTAXES))]


def find_series(
    pacs: PacsSettings,
    calling_ae: str,
    study_instance_uid: str,
    patient: PatientKey,
    elsewhere: Sequence[str],
    tell: Tell = lambda _identifier: None,
) -> list[PacsSeries]:
    """All series of a study that a PACS has, and those of the modalities `elsewhere` in other studies of the patient.

    MR series come with the header of one instance, as far as the PACS tells it. Raises PacsUnavailableError.
    """
    with association(pacs, calling_ae, contexts()) as assoc:
        query = Query(assoc, pacs, tell)
        offered = query.series_of(study_instance_uid)
        for modality in elsewhere if patient.is_queryable else ():
            for other in query.studies_of(patient, modality):
                if other != study_instance_uid:
                    offered += [one for one in query.series_of(other, modality) if one.modality == modality]
        return [
            one.with_header(query.sample_of(one)) if one.modality == "MR" else one
            for one in {one.series_instance_uid: one for one in offered}.values()
        ]


def _query(level: str, keys: Mapping[str, str]) -> Dataset:
    query = Dataset()
    query.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(query, keyword, value)
    return query
