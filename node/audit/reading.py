"""Read lines of our own audit trail, for commands and pages."""

from __future__ import annotations

from typing import Any
from xml.etree.ElementTree import Element, fromstring

from node.audit.messages import Outcome
from node.audit.syslog import body_of


def read_message(line: bytes) -> dict[str, Any]:
    """Return a recorded line as plain values.

    Parameters
    ----------
    line : bytes
        As `syslog_message` made it.

    Returns
    -------
    dict
        ``when``, ``event``, ``action``, ``types``, ``outcome``, ``description``; ``who``: a dict for each participant;
        ``about``: a dict for each subject.
    """
    root = fromstring(body_of(line))  # noqa: S314 - our own file, which only the service's user can write
    event = _child(root, "EventIdentification")
    return {
        "when": event.get("EventDateTime", ""),
        "event": _child(event, "EventID").get("originalText", ""),
        "action": event.get("EventActionCode", ""),
        "types": [kind.get("originalText", "") for kind in event.findall("EventTypeCode")],
        "outcome": Outcome(int(event.get("EventOutcomeIndicator", "0"))).name.lower().replace("_", " "),
        "description": event.findtext("EventOutcomeDescription") or "",
        "who": [
            {
                "user": participant.get("UserID", ""),
                "requestor": participant.get("UserIsRequestor") == "true",
                "address": participant.get("NetworkAccessPointID", ""),
                "role": role.get("originalText", "") if (role := participant.find("RoleIDCode")) is not None else "",
            }
            for participant in root.findall("ActiveParticipant")
        ],
        "about": [
            {
                "kind": _child(subject, "ParticipantObjectIDTypeCode").get("originalText", ""),
                "id": subject.get("ParticipantObjectID", ""),
                "sop_classes": {
                    entry.get("UID", ""): int(entry.get("NumberOfInstances", "0")) for entry in subject.iter("SOPClass")
                },
            }
            for subject in root.findall("ParticipantObjectIdentification")
        ],
    }


def _child(parent: Element, name: str) -> Element:
    child = parent.find(name)
    return child if child is not None else Element(name)
