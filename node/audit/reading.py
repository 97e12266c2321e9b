"""Reading a line of our own audit trail back, for commands and pages."""

from __future__ import annotations

from typing import Any
from xml.etree.ElementTree import Element, fromstring

from node.audit.messages import Outcome
from node.audit.syslog import body_of


def read_message(line: bytes) -> dict[str, Any]:
    """A recorded line as a plain value: when, event, types, outcome, description, who, about."""
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
                "user": one.get("UserID", ""),
                "requestor": one.get("UserIsRequestor") == "true",
                "address": one.get("NetworkAccessPointID", ""),
                "role": role.get("originalText", "") if (role := one.find("RoleIDCode")) is not None else "",
            }
            for one in root.findall("ActiveParticipant")
        ],
        "about": [
            {
                "kind": _child(one, "ParticipantObjectIDTypeCode").get("originalText", ""),
                "id": one.get("ParticipantObjectID", ""),
                "sop_classes": {
                    entry.get("UID", ""): int(entry.get("NumberOfInstances", "0")) for entry in one.iter("SOPClass")
                },
            }
            for one in root.findall("ParticipantObjectIdentification")
        ],
    }


def _child(parent: Element, name: str) -> Element:
    found = parent.find(name)
    return found if found is not None else Element(name)
