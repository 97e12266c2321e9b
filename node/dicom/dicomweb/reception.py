"""The origin server of STOW-RS without its network: who may store, how many at once, what is done with a message."""

from __future__ import annotations

import threading
import uuid
from http import HTTPStatus

import structlog
from sqlalchemy.exc import SQLAlchemyError

from config.addresses import is_within
from config.errors import CptdnError, SettingsError
from config.settings import Settings
from node.audit.codes import NODE_AUTHENTICATION
from node.audit.recorder import Audit
from node.background.repeated_work import RepeatedWork
from node.dicom.dicomweb.arrivals import ArrivingParts, Door, PartOutcome
from node.dicom.dicomweb.tokens import SenderTokens
from node.dicom.scp.access_control import RateLimit
from node.dicom.scp.checks import Requested
from node.dicom.scp.intake import Intake
from node.dicom.scp.senders import Sender
from node.ledger.associations import Peer
from node.ledger.cases import schedule_touched
from node.ledger.database import Ledger, now_utc
from node.ledger.processes import BEAT_S
from node.store.study_store import StudyStore

UNNAMED_SENDER = "DICOMWEB"  # of loopback, where no token is asked for
MOST_PARTS = 20_000  # of one message: the answer names each of them
BYTES_PER_MB = 1_000_000

log = structlog.get_logger("cptdn.dicomweb")


class StowRefusedError(CptdnError):
    """A request is not taken, before or while it is read.

    Parameters
    ----------
    status : HTTPStatus
        Of the response.
    text : str
        The reason, for the sender.
    """

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status


class Reception:
    """Takes messages of STOW-RS into the intake; threads share it. `close` it at the end.

    Parameters
    ----------
    settings : Settings
        `[dicomweb]`, and the limits of `[node]`.
    ledger, store
        Where rows and files go.
    process_id : str
        Id of this process in the ledger.
    audit : Audit
        Where transfers and refusals are recorded.

    Raises
    ------
    SettingsError
        The senders file cannot be used.
    """

    def __init__(self, settings: Settings, ledger: Ledger, store: StudyStore, process_id: str, audit: Audit) -> None:
        self.settings = settings
        self._tokens = SenderTokens(settings.dicomweb.senders_file) if settings.dicomweb.senders_file else None
        if self._tokens is not None:
            self._tokens.read()
        self._ledger, self._store, self._audit = ledger, store, audit
        self.intake = Intake(ledger, store, process_id, on_release=self._schedule, on_transfer=self._record_transfer)
        self._rate = RateLimit(settings.node.associations_per_minute)
        self._open: dict[str, int] = {}  # messages that are being received, by address
        self._lock = threading.Lock()
        self._beating = RepeatedWork("dicomweb", self.intake.senders.heartbeat, lambda: BEAT_S)
        self._beating.start()

    def close(self) -> None:
        """End the heartbeat and the intake; no message may arrive any more."""
        self._beating.stop()
        self.intake.close()

    def admit(self, authorization: str, address: str, through_proxy: bool) -> str:
        """Decide whether a sender may store; the body has not been read.

        Parameters
        ----------
        authorization : str
            Value of the Authorization header.
        address : str
            Of the client.
        through_proxy : bool
            Whether a proxy has passed the request on: its client may be anywhere, and needs a token.

        Returns
        -------
        str
            The name of the sender.

        Raises
        ------
        StowRefusedError
            401 without a token that is known, 403 from another address than the allowed ones, 429 too often, 503 when
            there is no room on the disk or the senders file cannot be read.
        """
        allowed = self.settings.node.allowed_addresses
        if allowed and not is_within(address, allowed):
            self._record_refusal("address unknown", address)
            raise StowRefusedError(HTTPStatus.FORBIDDEN, "this address is not one of [node] allowed_addresses")
        # Before the token: guessing tokens is limited, too.
        if not self._rate.allows(address):
            raise StowRefusedError(HTTPStatus.TOO_MANY_REQUESTS, "too many requests of this address")
        sender = self._sender_of(authorization, through_proxy)
        if sender is None:
            self._record_refusal("token unknown or missing", address)
            raise StowRefusedError(HTTPStatus.UNAUTHORIZED, "expected the bearer token of a sender")
        if not self._store.has_room():
            raise StowRefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "storage is below its free-space limit")
        return sender

    def _sender_of(self, authorization: str, through_proxy: bool) -> str | None:
        if self._tokens is None:
            return None if through_proxy else UNNAMED_SENDER
        try:
            return self._tokens.sender_of(authorization)
        except SettingsError as error:  # read anew with each request: somebody is changing it
            log.error("senders_file_unreadable", error=str(error))
            raise StowRefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "the senders cannot be read now") from error

    def begin(self, sender: str, address: str, boundary: str, study_instance_uid: str = "") -> StowMessage:
        """Begin a message whose sender was admitted; `end` it, whatever happens.

        Parameters
        ----------
        sender, address : str
            Who sends it.
        boundary : str
            Of its parts.
        study_instance_uid : str
            The study that the request names; empty where it names none.

        Raises
        ------
        StowRefusedError
            503: too many messages are being received, of all senders or of this address.
        """
        with self._lock:
            limits = self.settings
            of_address = self._open.get(address, 0)
            if (
                sum(self._open.values()) >= limits.dicomweb.max_requests
                or of_address >= limits.node.max_associations_per_peer
            ):
                raise StowRefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "too many requests at once")
            self._open[address] = of_address + 1
        peer = Peer(str(uuid.uuid4()), self.intake.node_id, sender, address, now_utc())
        return StowMessage(self, peer, boundary, study_instance_uid)

    def end(self, address: str) -> None:
        """Free the place of a message of this address."""
        with self._lock:
            n_open = self._open.pop(address) - 1
            if n_open:
                self._open[address] = n_open

    def _schedule(self, studies: set[str]) -> None:
        try:
            # The node's process assesses: it finds in the ledger what is due.
            with self._ledger.begin() as session:
                schedule_touched(session, studies)
        except SQLAlchemyError as error:  # the watchdog of the node finds what was not scheduled
            log.error("studies_not_scheduled", error=type(error).__name__)

    def _record_transfer(self, sender: Sender) -> None:
        self._audit.received(sender.peer.calling_ae, sender.peer.address, sender.tallies)

    def _record_refusal(self, reason: str, address: str) -> None:
        log.warning("stow_refused", reason=reason, peer=address)
        self._audit.security_alert(f"STOW-RS refused: {reason}", address=address, kind=NODE_AUTHENTICATION)


class StowMessage:
    """One message of STOW-RS while it arrives; one thread at a time uses it.

    Parameters
    ----------
    reception : Reception
        Where it arrives.
    peer : Peer
        Who sends it; takes the place of an association, so that its studies are `receiving` until it ends.
    boundary, study_instance_uid : str
        As for `Reception.begin`.
    """

    def __init__(self, reception: Reception, peer: Peer, boundary: str, study_instance_uid: str) -> None:
        self._reception, self._peer = reception, peer
        self._sender: Sender | None = None
        self._n_bytes = 0
        node = reception.settings.node
        door = Door(
            reception.intake, self._open_sender, peer.calling_ae, node.max_object_mb * BYTES_PER_MB,
            node.other_classes == "accept_and_discard", Requested(study_instance_uid),
        )  # fmt: skip
        self._parts = ArrivingParts(boundary, door)

    @property
    def outcomes(self) -> list[PartOutcome]:
        """Of the parts that have arrived as a whole."""
        return self._parts.outcomes

    @property
    def is_complete(self) -> bool:
        """Whether the last delimiter has arrived."""
        return self._parts.is_complete

    def feed(self, data: bytes) -> None:
        """Take the next bytes; on return the parts that they end are durable or refused.

        Parameters
        ----------
        data : bytes
            Any number of them.

        Raises
        ------
        MultipartError, MediaTypeError, ProtocolError
            As `ArrivingParts.feed`.
        StowRefusedError
            413: the message is larger than `max_request_mb`, or has too many parts.
        """
        self._n_bytes += len(data)
        limit = self._reception.settings.dicomweb.max_request_mb
        if self._n_bytes > limit * BYTES_PER_MB:
            raise StowRefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"expected at most {limit} MB in one request")
        self._parts.feed(data)
        if len(self.outcomes) > MOST_PARTS:
            raise StowRefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"expected at most {MOST_PARTS} parts")

    def end(self) -> None:
        """Discard a part that did not arrive as a whole, and end the transfer; call it once."""
        try:
            self._parts.close()
            if self._sender is not None:
                self._reception.intake.senders.close(self._sender)
        finally:
            self._reception.end(self._peer.address)

    def _open_sender(self) -> Sender:
        if self._sender is None:
            self._sender = self._reception.intake.senders.open(self._peer)
        return self._sender
