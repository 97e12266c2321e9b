"""The answer to STOW-RS: HTTP status and store instances response (PS3.18 10.5.3 and Annex I)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

from pydicom.datadict import keyword_for_tag

from node.dicom.dicomweb.arrivals import PartOutcome
from node.dicom.network.statuses import StoreStatus

JSON, XML = "application/dicom+json", "application/dicom+xml"
_NATIVE_MODEL = "http://dicom.nema.org/PS3.19/models/NativeDICOM"
_REFERENCED, _FAILED, _OTHER_FAILURES, _RETRIEVE_URL = "00081199", "00081198", "0008119A", "00081190"
_CLASS_UID, _INSTANCE_UID, _FAILURE_REASON = "00081150", "00081155", "00081197"

Json = dict[str, Any]


def http_status(outcomes: Sequence[PartOutcome]) -> int:
    """Return the status of a message that arrived as a whole.

    Parameters
    ----------
    outcomes : sequence of PartOutcome
        Of its parts.

    Returns
    -------
    int
        200 all stored, 202 some, 409 none, 503 none for lack of space or of the ledger, 400 there was no part.

    References
    ----------
    PS3.18 table 10.5.3-1.
    """
    failures = [outcome.status for outcome in outcomes if outcome.status]
    if not outcomes:
        return 400
    if not failures:
        return 200
    if len(failures) < len(outcomes):
        return 202
    return 503 if all(status == StoreStatus.OUT_OF_RESOURCES for status in failures) else 409


def response_body(outcomes: Sequence[PartOutcome], media_type: str) -> bytes:
    """Encode the store instances response.

    Parameters
    ----------
    outcomes : sequence of PartOutcome
        Of the parts that arrived as a whole.
    media_type : str
        `JSON` or `XML`.

    Returns
    -------
    bytes
        DICOM JSON (PS3.18 Annex F), or the Native DICOM Model (PS3.19 A.1). The Retrieve URL is empty: nothing can be
        retrieved here.
    """
    stored = [_reference(outcome) for outcome in outcomes if not outcome.status]
    failed = [outcome for outcome in outcomes if outcome.status]
    # Ascending tags, as in any data set. The sequence of what was stored is there also without items, because senders
    # count them.
    document: Json = {_RETRIEVE_URL: {"vr": "UR"}}
    if named := [outcome for outcome in failed if outcome.sop_instance_uid]:
        document[_FAILED] = _sequence([{**_reference(outcome), **_reason(outcome)} for outcome in named])
    document[_REFERENCED] = _sequence(stored)
    # What is no DICOM file has no instance that it could be about.
    if unnamed := [outcome for outcome in failed if not outcome.sop_instance_uid]:
        document[_OTHER_FAILURES] = _sequence([_reason(outcome) for outcome in unnamed])
    return json.dumps(document).encode() if media_type == JSON else _xml(document)


def accepted_media_type(accept: str) -> str:
    """Return the media type of the response that a client gets.

    Parameters
    ----------
    accept : str
        Value of the Accept header.

    Returns
    -------
    str
        XML where it is asked for and JSON is not, JSON for anything else: an object must not be refused for the form
        of the answer.
    """
    types = [each.partition(";")[0].strip().lower() for each in accept.split(",")]
    wants_json = any(each in types for each in (JSON, "application/json", "*/*"))
    return XML if not wants_json and any(each in types for each in (XML, "application/xml", "text/xml")) else JSON


def first_reason(outcomes: Sequence[PartOutcome]) -> str:
    """Return the reason of the first failure, for the Warning header; empty without one."""
    return next((outcome.comment for outcome in outcomes if outcome.status), "")


def _reference(outcome: PartOutcome) -> Json:
    return {
        _CLASS_UID: {"vr": "UI", "Value": [outcome.sop_class_uid]},
        _INSTANCE_UID: {"vr": "UI", "Value": [outcome.sop_instance_uid]},
    }


def _reason(outcome: PartOutcome) -> Json:
    return {_FAILURE_REASON: {"vr": "US", "Value": [outcome.status]}}


def _sequence(items: list[Json]) -> Json:
    return {"vr": "SQ", "Value": items}


def _xml(document: Json) -> bytes:
    root = ElementTree.Element("NativeDicomModel", {"xmlns": _NATIVE_MODEL, "xml:space": "preserve"})
    _add_elements(root, document)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def _add_elements(parent: ElementTree.Element, document: Json) -> None:
    for tag, element in document.items():
        keyword = keyword_for_tag(int(tag, 16))
        attribute = ElementTree.SubElement(
            parent, "DicomAttribute", {"tag": tag, "vr": element["vr"], "keyword": keyword}
        )  # fmt: skip
        for number, value in enumerate(element.get("Value", ()), 1):
            if element["vr"] == "SQ":
                _add_elements(ElementTree.SubElement(attribute, "Item", {"number": str(number)}), value)
            else:
                ElementTree.SubElement(attribute, "Value", {"number": str(number)}).text = str(value)
