"""Access control: how many connections and associations a peer may open, how often, and which users it may name.

`admission` decides by titles and addresses; this module remembers what peers did lately, checks user identities, and
records rejections in the audit trail.
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
USER_UNKNOWN = (0x01, 0x01, 0x01)  # permanent, service user: no reason given
CONGESTION = (0x02, 0x03, 0x01)  # transient: temporary congestion
LOCAL_LIMIT = (0x02, 0x03, 0x02)  # transient: local limit exceeded

# Reason for the log and the audit trail; result, source and diagnostic
Rejection = tuple[str, tuple[int, int, int]]

# Connections that have not requested an association yet count, too: half-open ones must not use up all places.
CONNECTIONS_PER_ASSOCIATION = 2
FORGET_AFTER_S = 120.0
MAX_ADDRESSES = 10_000
USERNAME, USERNAME_AND_PASSCODE = 1, 2  # User Identity Type, PS3.7 Table D.3-14


class AccessControl:
    """Decides on each connection and each association request. Threads share it.

    Parameters
    ----------
    settings : Settings
        Limits, lists and the users file.
    audit : Audit
        Records rejections and logins.

    Raises
    ------
    SettingsError
        The users file cannot be read.
    """

    def __init__(self, settings: Settings, audit: Audit) -> None:
        self.settings = settings
        self.server: GuardedServer | None = None
        self._audit = audit
        self._users = Users(settings.node.users_file) if settings.node.users_file else None
        self._rate = RateLimit(settings.node.associations_per_minute)

    def may_connect(self, address: str, n_open: int) -> bool:
        """Return whether to read from a new connection at all.

        Parameters
        ----------
        address : str
            Of the peer.
        n_open : int
            Connections from there that are open already.
        """
        node = self.settings.node
        if not may_connect(address, node, self.settings.pacs):
            log.warning("connection_refused", reason="address_unknown", peer=address)
            self.record_rejection("address_unknown", "", address)
            return False
        if n_open >= node.max_associations_per_peer * CONNECTIONS_PER_ASSOCIATION:
            log.warning("connection_refused", reason="too_many_of_one_peer", peer=address)
            return False
        return True

    def rejection_for_limits(self, address: str) -> Rejection | None:
        """Return why a peer is over its limits: new associations a minute, or open ones; None when it is not."""
        # "Transient" with "temporary congestion": a well-behaved sender waits and tries again, PS3.8 Table 9-21.
        if not self._rate.allows(address):
            return "too_often", CONGESTION
        active = self.server.active_associations if self.server is not None else []
        # The association that is being requested is one of the active ones.
        if sum(assoc.requestor.address == address for assoc in active) > self.settings.node.max_associations_per_peer:
            return "too_many_of_one_peer", LOCAL_LIMIT
        return None

    def rejection_for_user_identity(self, assoc: Association) -> Rejection | None:
        """Return why the user identity of a request is not accepted; None when it is.

        Username with passcode is the one form that is accepted. Where the peer requested a positive response, the
        acceptance contains one.

        Parameters
        ----------
        assoc : Association
            Requested and not accepted yet; the response is added to it.

        References
        ----------
        PS3.7 section D.3.3.7.
        """
        # Without a users file, identities are ignored and not refused: PS3.7 D.3.3.7 lets an acceptor do so.
        if self._users is None:
            return None
        item = assoc.requestor.user_identity
        if item is None:
            return ("user_missing", USER_UNKNOWN) if self.settings.node.require_user_identity else None
        name = (item.primary_field or b"").decode("utf-8", errors="replace")
        # Kerberos, SAML and JWT (types 3 to 5) would need a server of the site; a username alone proves nothing.
        is_verified = item.user_identity_type == USERNAME_AND_PASSCODE and self._users.verify(
            name, item.secondary_field or b""
        )
        address = str(assoc.requestor.address)
        self._audit.authentication(
            name, address=address, success=is_verified, reason="" if is_verified else "DICOM user identity"
        )
        if not is_verified:
            return "user_unknown", USER_UNKNOWN
        # For a passcode the server response is empty; it only says that the identity was evaluated (PS3.7 Table
        # D.3-15).
        if item.positive_response_requested:
            response = UserIdentityNegotiation()
            response.server_response = b""
            assoc.acceptor.add_negotiation_item(response)
        return None

    def record_rejection(self, reason: str, calling_ae: str, address: str) -> None:
        """Record a rejection in the audit trail; the peer is named by its address and the title that it claims.

        Parameters
        ----------
        reason : str
            A code with underscores, as in the log.
        calling_ae, address : str
            As the peer claims, and as its connection shows; the title may be empty.
        """
        text = f"association refused: {reason.replace('_', ' ')}"
        self._audit.security_alert(text, user=calling_ae, address=address, kind=NODE_AUTHENTICATION)


class RateLimit:
    """Limits the events a minute of each address by a token bucket that refills evenly.

    Parameters
    ----------
    per_minute : int
        Refilled in a minute; also the size of the bucket.
    """

    def __init__(self, per_minute: int) -> None:
        self._capacity = float(per_minute)
        self._buckets: dict[str, tuple[float, float]] = {}  # address -> (tokens, when)
        self._lock = threading.Lock()

    def allows(self, address: str) -> bool:
        """Count one event of an address and return whether it is within the limit.

        Parameters
        ----------
        address : str
            Each one has a bucket of its own, which is full at first.

        Returns
        -------
        bool
            False when the bucket is empty; the event is not counted then.
        """
        now = time.monotonic()
        with self._lock:
            # Sources of a scan must not fill the memory; a bucket this old is full again anyway.
            if len(self._buckets) > MAX_ADDRESSES:
                self._buckets = {
                    known: (tokens, at) for known, (tokens, at) in self._buckets.items() if now - at < FORGET_AFTER_S
                }
            tokens, seen_at = self._buckets.get(address, (self._capacity, now))
            tokens = min(self._capacity, tokens + (now - seen_at) * self._capacity / 60.0)
            is_allowed = tokens >= 1.0
            # A refused event costs nothing: a peer that goes on trying is admitted again at the configured rate.
            self._buckets[address] = (tokens - 1.0 if is_allowed else tokens, now)
            return is_allowed
