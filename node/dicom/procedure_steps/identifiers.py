"""UIDs, actions and events of the Unified Procedure Step service (PS3.4 Annex CC)."""

from __future__ import annotations

from enum import IntEnum

PUSH = "1.2.840.10008.5.1.4.34.6.1"
WATCH = "1.2.840.10008.5.1.4.34.6.2"
PULL = "1.2.840.10008.5.1.4.34.6.3"
EVENT = "1.2.840.10008.5.1.4.34.6.4"
QUERY = "1.2.840.10008.5.1.4.34.6.5"
INSTANCE_AVAILABILITY = "1.2.840.10008.5.1.4.33"

# Well-known instances that are subscribed to in place of one work item, PS3.4 section CC.2.3.
ALL_ITEMS = "1.2.840.10008.5.1.4.34.5"
FILTERED_ITEMS = "1.2.840.10008.5.1.4.34.5.1"


class Action(IntEnum):
    """Action Type ID of an N-ACTION, PS3.4 Table CC.2-1."""

    CHANGE_STATE = 1
    REQUEST_CANCEL = 2
    SUBSCRIBE = 3
    UNSUBSCRIBE = 4
    SUSPEND = 5


class EventType(IntEnum):
    """Event Type ID of an N-EVENT-REPORT, PS3.4 Table CC.2.4-1."""

    STATE_REPORT = 1
    CANCEL_REQUESTED = 2
    PROGRESS_REPORT = 3
    SCP_STATUS_CHANGE = 4
    ASSIGNED = 5
