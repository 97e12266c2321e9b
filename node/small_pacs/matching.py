"""Matching of C-FIND, C-MOVE and C-GET identifiers against headers (PS3.4 section C.2.2.2)."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset


@dataclass(frozen=True)
class Level:
    """A query/retrieve level and the keyword of its unique key."""

    name: str
    key: str


LEVELS = {
    "PATIENT": Level("PATIENT", "PatientID"),
    "STUDY": Level("STUDY", "StudyInstanceUID"),
    "SERIES": Level("SERIES", "SeriesInstanceUID"),
    "IMAGE": Level("IMAGE", "SOPInstanceUID"),
}
_NOT_KEYS = ("QueryRetrieveLevel", "SpecificCharacterSet", "RetrieveAETitle")


def level_of(query: Dataset) -> Level:
    """The level that a query asks for; the study level where it names none that exists."""
    return LEVELS.get(str(query.get("QueryRetrieveLevel", "")).strip().upper(), LEVELS["STUDY"])


def matches(ds: Dataset, query: Dataset) -> bool:
    """Whether an object with this header is asked for: single value, list of UIDs, wildcard, range, or universal."""
    for wanted in query:
        if wanted.keyword in _NOT_KEYS or wanted.VR == "SQ" or wanted.is_empty:
            continue
        if wanted.keyword == "ModalitiesInStudy":
            wanted = DataElement("Modality", "CS", wanted.value)
        if not _one_matches(str(ds.get(wanted.tag).value) if wanted.tag in ds else "", wanted):
            return False
    return True


def _one_matches(value: str, wanted: DataElement) -> bool:
    if wanted.VM > 1 or wanted.VR == "UI":
        values = wanted.value if wanted.VM > 1 else [wanted.value]
        return value in [str(one) for one in values]
    text = str(wanted.value)
    if wanted.VR in ("DA", "TM", "DT") and "-" in text:
        first, _, last = text.partition("-")
        return (not first or value[: len(first)] >= first) and (not last or value[: len(last)] <= last)
    if wanted.VR == "PN":
        return re.match(fnmatch.translate(text.casefold().rstrip("^") + "*"), value.casefold()) is not None
    if "*" in text or "?" in text:
        return fnmatch.fnmatchcase(value, text)
    return value == text


def response_for(ds: Dataset, query: Dataset, ae_title: str) -> Dataset:
    """The identifier of one match: every key that was asked for, empty where the object has none."""
    found = Dataset()
    for wanted in query:
        if wanted.keyword == "ModalitiesInStudy":
            found.ModalitiesInStudy = str(ds.get("Modality", ""))
        elif wanted.tag in ds:
            found[wanted.tag] = ds[wanted.tag]
        else:
            found.add_new(wanted.tag, wanted.VR, None)
    if "SpecificCharacterSet" in ds:
        found.SpecificCharacterSet = ds.SpecificCharacterSet
    found.QueryRetrieveLevel = level_of(query).name
    found.RetrieveAETitle = ae_title
    return found
