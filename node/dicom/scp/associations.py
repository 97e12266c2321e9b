"""The sender behind each association of this server."""

from __future__ import annotations

import uuid

from pynetdicom.association import Association

from node.dicom.scp.senders import OpenSenders, Sender
from node.ledger.associations import Peer
from node.ledger.database import now_utc


class OpenAssociations:
    """Maps associations of pynetdicom to senders. A sender begins with its first instance.

    Parameters
    ----------
    senders : OpenSenders
        Where they are opened and closed.
    node_id : str
        Identifies this process in the ledger.
    """

    def __init__(self, senders: OpenSenders, node_id: str) -> None:
        self._open_senders = senders
        self._node_id = node_id
        self._senders: dict[Association, Sender] = {}

    def sender_of(self, assoc: Association) -> Sender:
        """Return the sender of an association, a new one for its first instance.

        Parameters
        ----------
        assoc : Association
            Accepted.

        Returns
        -------
        Sender
            The same one until `end`.
        """
        sender = self._senders.get(assoc)
        if sender is None:
            peer = Peer(
                association_id=str(uuid.uuid4()), node_id=self._node_id,
                # PS3.8 allows 16 characters; the column has no more.
                calling_ae=str(assoc.requestor.ae_title).strip()[:16], address=str(assoc.requestor.address),
                opened_at=now_utc(),
            )  # fmt: skip
            sender = self._senders[assoc] = self._open_senders.open(peer)
        return sender

    def end(self, assoc: Association) -> None:
        """Close the sender of an association that has ended; safe to call twice."""
        sender = self._senders.pop(assoc, None)
        if sender is not None:
            self._open_senders.close(sender)

    def end_dead(self) -> None:
        """Close the senders of associations that ended without an event; called with each heartbeat."""
        for assoc in list(self._senders):
            if not assoc.is_alive():
                self.end(assoc)
