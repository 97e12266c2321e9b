"""The door of the node: who may connect, how many and how often, and who they say they are.

`admission.py` decides by titles and addresses; this remembers what peers did lately, checks user identities, and tells
the audit trail whom it sent away.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import structlog
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import UserIdentityNegotiation

from config.settings import Settings
from node.audit.codes import NODE_AUTHENTICATION
from node.audit.recorder import Audit
from node.dicom.scp.admission import may_connect
from node.dicom.scp.user_identity import Users

if TYPE_CHECKING:
    from node.dicom.network.server import GuardedServer

log = structlog.get_logger("cptdn.network")

# Result, source and diagnostic of an A-ASSOCIATE-RJ, PS3.8 Table 9-21
USER_UNKNOWN = (0x01, 0x01, 0x01)  # rejected by the service user; no reason given
CONGESTION = (0x02, 0x03, 0x01)  # transient: temporary congestion
LOCAL_LIMIT = (0x02, 0x03, 0x02)  # transient: local limit exceeded

Rejection = tuple[str, tuple[int, int, int]]

CONNECTIONS_PER_ASSOCIATION = 2  # of one peer; those that have not asked for an association yet count, too
FORGET_AFTER_S = 120.0
USERNAME, USERNAME_AND_PASSCODE = 1, 2  # User Identity Type, PS3.7 Table D.3-14


class AccessControl:
    """What is asked of each connection and each association request. Threads share it."""

    def __init__(self, settings: Settings, audit: Audit) -> None:
        """Raises SettingsError when the users file cannot be read."""
        self.settings = settings
        self.server: GuardedServer | None = None
        self._audit = audit
        self._users = Users(settings.node.users_file) if settings.node.users_file else None
        self._rate = RateLimit(settings.node.associations_per_minute)

    def may_connect(self, address: str, n_open: int) -> bool:
        """Whether to read from a new connection at all."""
        node = self.settings.node
        if not may_connect(address, node, self.settings.pacs):
            log.warning("connection_refused", reason="address_unknown", peer=address)
            self.refused("address_unknown", "", address)
            return False
        if n_open >= node.max_associations_per_peer * CONNECTIONS_PER_ASSOCIATION:
            log.warning("connection_refused", reason="too_many_of_one_peer", peer=address)
            return False
        return True

    def rejection_for_limits(self, address: str) -> Rejection | None:
        """Whether this peer has too many associations now, or asks for new ones too fast."""
        if not self._rate.allows(address):
            return "too_often", CONGESTION
        active = self.server.active_associations if self.server is not None else []
        # The one that asks is among them.
        if sum(a.requestor.address == address for a in active) > self.settings.node.max_associations_per_peer:
            return "too_many_of_one_peer", LOCAL_LIMIT
        return None

    def rejection_for_user_identity(self, assoc: Association) -> Rejection | None:
        """Whether its user identity is wrong, or missing where one is required (PS3.7 section D.3.3.7).

        Username with passcode is the one form that is checked; where it was asked for, the acceptance says so.
        """
        if self._users is None:
            return None
        item = assoc.requestor.user_identity
        if item is None:
            return ("user_missing", USER_UNKNOWN) if self.settings.node.require_user_identity else None
        name = (item.primary_field or b"").decode("utf-8", errors="replace")
        proven = item.user_identity_type == USERNAME_AND_PASSCODE and self._users.knows(
            name, item.secondary_field or b""
        )
        address = str(assoc.requestor.address)
        self._audit.authentication(
            name, address=address, success=proven, reason="" if proven else "DICOM user identity"
        )
        if not proven:
            return "user_unknown", USER_UNKNOWN
        if item.positive_response_requested:
            answer = UserIdentityNegotiation()
            answer.server_response = b""
            assoc.acceptor.add_negotiation_item(answer)
        return None

    def refused(self, reason: str, calling_ae: str, address: str) -> None:
        """Tell the audit trail; the peer is named by its address and the title that it claims."""
        text = f"association refused: {reason.replace('_', ' ')}"
        self._audit.security_alert(text, user=calling_ae, address=address, kind=NODE_AUTHENTICATION)


class RateLimit:
    """At most so many events a minute of each address: a bucket that refills evenly."""

    def __init__(self, per_minute: int) -> None:
        self._most = float(per_minute)
        self._left: dict[str, tuple[float, float]] = {}  # address -> (events left, seen at)
        self._lock = threading.Lock()

    def allows(self, address: str) -> bool:
        """Count one event; False when it is one too many."""
        now = time.monotonic()
        with self._lock:
            if len(self._left) > 10_000:
                self._left = {a: (n, at) for a, (n, at) in self._left.items() if now - at < FORGET_AFTER_S}
            left, seen = self._left.get(address, (self._most, now))
            left = min(self._most, left + (now - seen) * self._most / 60.0)
            allowed = left >= 1.0
            self._left[address] = (left - 1.0 if allowed else left, now)
            return allowed
