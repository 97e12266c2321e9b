"""UIDs that follow from the content of a report: the same inputs always give the same UIDs.

`report_identity` is a digest over all inputs, the bundle, the software and the decision settings. A UID is "2.25." and
a version-5 UUID (PS3.5 B.2) of the identity and of a name. The name of an object contains the digest of its bytes
(`seal`), since more than the inputs decides them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID, uuid5

from pydicom import Dataset
from pydicom.uid import UID

if TYPE_CHECKING:
    from hashlib import _Hash as Hash

# Never changes: with another namespace the UIDs of reports that were sent before could not be computed again.
NAMESPACE = UUID("6f0d3c1e-5d7a-5c3b-9a49-8b1f5e0f2c77")
SERIES = "series"


def uid_for(identity: str, kind: str) -> str:
    """Return the UID of one object or other thing that belongs to a report.

    Parameters
    ----------
    identity : str
        `TreatmentReport.report_identity`, or another text that identifies the owner.
    kind : str
        Name within it, for example "sr", "seg/T1w" or "track/Inputs and scores".

    Returns
    -------
    str
        "2.25." and the decimal value of the UUID, at most 44 characters.

    References
    ----------
    PS3.5 B.2 (UUID derived UID); RFC 9562 section 5.5 (version 5: SHA-1 of namespace and name).
    """
    return f"2.25.{uuid5(NAMESPACE, f'{identity}/{kind}').int}"


def series_uid_of(sop_instance_uid: str) -> str:
    """Return the series of an object that is alone in it; the series of a predecessor follows from its UID as well."""
    return uid_for(sop_instance_uid, SERIES)


def device_uid(bundle_digest: str, software_version: str) -> str:
    """Return the Device UID (0018,1002): each model bundle in each version of the software is a device of its own."""
    return uid_for(bundle_digest, f"device/{software_version}")


def seal(objects: Sequence[Dataset], identity: str, kind: str) -> None:
    """Give the finished objects of one series UIDs that follow from everything in them.

    Whatever changes a byte (time of the report, settings, fonts, versions of libraries) changes the UIDs, and the same
    bytes always have the same UIDs: one SOP Instance UID has one content.

    Parameters
    ----------
    objects : sequence of Dataset
        All objects of the series, complete, with file meta information; SOP Instance UID, its copy in the meta
        information, and Series Instance UID are replaced. Their UIDs until now follow from the identity alone.
    identity : str
        `TreatmentReport.report_identity`.
    kind : str
        As of `uid_for`.
    """
    digest = hashlib.sha256()
    for each in objects:
        _add(digest, each.file_meta)
        _add(digest, each)
    content = digest.hexdigest()
    for number, each in enumerate(objects, start=1):
        each.SOPInstanceUID = UID(uid_for(identity, f"{kind}/{number}/{content}"))
        each.file_meta.MediaStorageSOPInstanceUID = each.SOPInstanceUID
        # All in the series of the first, so that the series of an SR follows from its UID (`series_uid_of`).
        each.SeriesInstanceUID = UID(series_uid_of(objects[0].SOPInstanceUID))


def _add(digest: Hash, items: Dataset) -> None:
    # Tag, representation and value of each element decide its bytes. Encoding the data set would take several times as
    # long, and it is encoded once already, when its UIDs are known.
    for element in items:
        digest.update(f"{element.tag:08x}{element.VR}".encode())
        if element.VR == "SQ":
            for item in element.value:
                digest.update(b"[")
                _add(digest, item)
            digest.update(b"]")
        elif isinstance(element.value, bytes):
            digest.update(b"%d:" % len(element.value))
            digest.update(element.value)
        else:
            written = str(element.value).encode()
            digest.update(b"%d:%b" % (len(written), written))
