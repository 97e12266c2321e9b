"""UIDs that follow from the content of a report: the same inputs always give the same UIDs.

`report_identity` is a digest over all inputs, the bundle, the software and the decision settings. A UID is "2.25." and
a version-5 UUID (PS3.5 B.2) of the identity and of a name, so a change of any input changes every UID, and nothing else
does.
"""

from __future__ import annotations

import hashlib
from uuid import UUID, uuid5

from dicom_sr.report.treatment_report import TreatmentReport

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


def device_uid(bundle_digest: str) -> str:
    """Return the Device UID (0018,1002): each model bundle counts as a device of its own."""
    return uid_for(bundle_digest, "device")


def content_uid(report: TreatmentReport, kind: str, content: bytes) -> str:
    """Return the UID of an object whose content is drawn: other content, or another time, is another object.

    Parameters
    ----------
    report : TreatmentReport
        Its identity and its time, which the header contains.
    kind : str
        As of `uid_for`.
    content : bytes
        Pixels or file.

    Returns
    -------
    str
        At most 44 characters.
    """
    # The site's text, fonts and the drawing library change a page without changing the inputs of the report.
    digest = hashlib.sha256(content).hexdigest()
    return uid_for(report.report_identity, f"{kind}/{report.created.isoformat()}/{digest}")
