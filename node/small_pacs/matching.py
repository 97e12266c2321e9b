"""Match C-FIND, C-MOVE and C-GET identifiers with headers (PS3.4 section C.2.2.2)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from node.dicom.headers.matching import value_matches


@dataclass(frozen=True)
class Level:
    """A query/retrieve level.

    Attributes
    ----------
    name : str
        Value of Query/Retrieve Level (0008,0052).
    key : str
        Keyword of the unique key of the level (PS3.4 C.6.1.1).
    """

    name: str
    key: str


LEVELS = {
    "PATIENT": Level("PATIENT", "PatientID"),
    "STUDY": Level("STUDY", "StudyInstanceUID"),
    "SERIES": Level("SERIES", "SeriesInstanceUID"),
    "IMAGE": Level("IMAGE", "SOPInstanceUID"),
}
REJECTION_TITLES = frozenset({"113001", "113037", "113038", "113039"})
_NOT_KEYS = frozenset({"QueryRetrieveLevel", "SpecificCharacterSet", "RetrieveAETitle"})


def level_of(query: Dataset) -> Level:
    """Return the level of a query; the study level where it states none of the four.

    Parameters
    ----------
    query : Dataset
        Identifier of a request.

    Returns
    -------
    Level
        One of `LEVELS`.
    """
    return LEVELS.get(str(query.get("QueryRetrieveLevel", "")).strip().upper(), LEVELS["STUDY"])


def matches(ds: Dataset, query: Dataset, ignored_keys: Collection[str] = ()) -> bool:
    """Return whether an object matches a query: single value, list of UIDs, wild card, range, or universal.

    Parameters
    ----------
    ds : Dataset
        Header of the object.
    query : Dataset
        Identifier of the request. Sequences are not matched on.
    ignored_keys : collection of str
        Keywords that are treated as universal.

    References
    ----------
    PS3.4 section C.2.2.2.
    """
    for key in query:
        if key.keyword in _NOT_KEYS or key.keyword in ignored_keys or key.VR == "SQ" or key.is_empty:
            continue
        if key.keyword == "ModalitiesInStudy":  # not in any object: a study matches by one of its objects
            key = DataElement("Modality", "CS", key.value)
        if not value_matches(str(ds.get(key.tag).value) if key.tag in ds else "", key):
            return False
    return True


def response_for(ds: Dataset, query: Dataset, ae_title: str) -> Dataset:
    """Build the identifier of one match.

    Parameters
    ----------
    ds : Dataset
        Header of an object that matches.
    query : Dataset
        Identifier of the request.
    ae_title : str
        Where the object can be retrieved from.

    Returns
    -------
    Dataset
        Every key of the query, with zero length where the object has no value (PS3.4 C.4.1.1.3.2).
    """
    response = Dataset()
    for key in query:
        if key.keyword == "ModalitiesInStudy":
            response.ModalitiesInStudy = str(ds.get("Modality", ""))
        elif key.tag in ds:
            response[key.tag] = ds[key.tag]
        else:
            response.add_new(key.tag, key.VR, None)
    if "SpecificCharacterSet" in ds:
        response.SpecificCharacterSet = ds.SpecificCharacterSet
    response.QueryRetrieveLevel = level_of(query).name
    response.RetrieveAETitle = ae_title
    return response


def rejected_by(headers: Iterable[Dataset]) -> set[str]:
    """Return the SOP Instance UIDs of rejection notes and of everything that they name.

    References
    ----------
    IHE RAD TF-1, 1.35 (Imaging Object Change Management); PS3.16 CID 7011.
    """
    rejected = set[str]()
    for ds in headers:
        title = (ds.get("ConceptNameCodeSequence") or [Dataset()])[0].get("CodeValue")
        if ds.get("Modality") == "KO" and title in REJECTION_TITLES:
            items = ds.get("ContentSequence") or ()
            named = [item.ReferencedSOPSequence[0] for item in items if "ReferencedSOPSequence" in item]
            rejected |= {str(ds.SOPInstanceUID), *(str(item.ReferencedSOPInstanceUID) for item in named)}
    return rejected
