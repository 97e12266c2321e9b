"""UIDs that follow from what a report is: the same inputs always give the same UIDs.

`report_identity` is the digest over all inputs, the bundle, the software and the decision settings. A UID is
"2.25." and a version-5 UUID (PS3.5 B.2) of the identity and of what is named, so anything that changes an input
changes every UID, and nothing else does.
"""

from __future__ import annotations

from uuid import UUID, uuid5

NAMESPACE = UUID("6f0d3c1e-5d7a-5c3b-9a49-8b1f5e0f2c77")
SERIES = "series"


def uid_for(identity: str, kind: str) -> str:
    """The UID of one thing (`kind`: "sr", "seg/T1w", "track/comparison", ...) of the report with this identity."""
    return f"2.25.{uuid5(NAMESPACE, f'{identity}/{kind}').int}"


def series_uid_of(sop_instance_uid: str) -> str:
    """The series of a single object: it follows from the object's UID, so that a predecessor's can be named too."""
    return uid_for(sop_instance_uid, SERIES)


def device_uid(bundle_digest: str) -> str:
    """Device UID: another bundle is another device."""
    return uid_for(bundle_digest, "device")
