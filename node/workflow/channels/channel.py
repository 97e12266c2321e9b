"""What a kind of destination has to offer, so that `node.workflow.delivery` can deliver reports to it.

A delivery is one report to one destination, for example one `[[pacs]]` section or the server of `[fhir] report_url`;
its column `pacs` is the name of the destination. The delivery machine decides when something is sent, repeated, given
up or superseded, and records it. A channel only knows how its destination is spoken to:

    select     which stored objects of the report this destination gets; the first one is the document itself
    send       transfer objects; one `SendResult` for each: stored, refused, or later
    refusal    why the delivery cannot succeed, once everything is either stored or refused
    commitment None, or how the destination is asked to confirm what it has stored (DICOM storage commitment)

How a channel reports trouble:

- Not now (no connection, a temporary status, NAK of a busy system): return `LATER` with the reason for the objects that
  were not taken; before anything was transferred, `PacsUnavailableError` may be raised instead. The delivery is tried
  again with growing waits until `Patience.give_up_after_days`.
- Never (the content is refused): return `REFUSED` with the reason. Other objects are not affected; `refusal` says
  whether the delivery can still succeed.
- Any other exception is a failed attempt that names its type, and a dead delivery after some of them. A channel catches
  nothing for the sake of the machine.

What a channel may rely on:

- `send` is never called for a report that a newer one has replaced. `proceed` is called before each object (or message)
  and says whether this is still so; after False nothing more is sent, and the rest is `LATER`.
- Two deliveries of one study never run at the same time at one destination, and a newer report follows the older one.
- `send` may be called again for what was transferred before: a process may die between sending and recording. The
  stored bytes are sent as they are, under the same identifiers, so that a receiver can recognise the repetition.

To add a kind: one module here with a class that has the members of `Channel` and a constant `KIND`; its entry in
`destinations.KINDS`; and a function beside `workers.queue.report_objects.save_fhir` that saves the content as an object
of the report (`StoredObject.kind` is free text of at most 16 characters). `fhir.py` is the shortest example.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from config.messages.message import message
from config.settings import PacsSettings, Settings
from node.audit.recorder import Audit
from node.dicom.network.commitment import CommitmentResult
from node.dicom.scu.commitment_scu import CommitmentAnswer
from node.ledger.database import Ledger
from node.ledger.deliveries import ENTRY, REFUSED, STORED, note_of
from node.ledger.reports import StoredObject
from node.ledger.supersession import Held
from node.store.study_store import StudyStore

LATER = "later"  # beside STORED and REFUSED: the object has to be sent again

# Makes another form of a document that a destination refuses: (report id, kind, refused SOP Class UID, document of an
# earlier report that the destination has, or None) -> stored object, None if there is no other form.
Fallback = Callable[[int, str, str, Held | None], StoredObject | None]

# By SOP Instance UID, what the ledger has recorded of the objects of a delivery: {"status", "committed", "note", ...}
Recorded = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Patience:
    """How long a destination is tried again: the first and the longest wait, and the days until it is given up."""

    first_s: float
    longest_s: float
    give_up_after_days: float


def patience_of(pacs: PacsSettings) -> Patience:
    """Return the patience that a `[[pacs]]` section states; its defaults are those of every other kind."""
    return Patience(pacs.retry_first_s, pacs.retry_longest_s, pacs.give_up_after_days)


@dataclass(frozen=True)
class Parcel:
    """What one call of `Channel.send` transfers.

    Attributes
    ----------
    delivery_id, report_id : int
        Rows of the ledger.
    study_instance_uid, patient_id : str
        Whom the report is about; for the audit trail.
    objects : tuple of StoredObject
        The selected objects that are neither stored nor refused yet, in the order of `select`.
    attempts : int
        Failed attempts of this delivery so far.
    held : tuple of Held
        What the destination has of earlier reports of the study, the newest report first; a channel that corrects or
        withdraws names these.
    """

    delivery_id: int
    report_id: int
    study_instance_uid: str
    patient_id: str
    objects: tuple[StoredObject, ...]
    attempts: int
    held: tuple[Held, ...] = ()


@dataclass(frozen=True)
class SendResult:
    """What became of one object.

    Attributes
    ----------
    sop_instance_uid : str
        Of a selected object, or of another form of one that the channel has added to the report.
    status : str
        ``STORED``, ``REFUSED`` or ``LATER``.
    note : str
        Reason for people, half a sentence without patient data; empty after a success without comment.
    """

    sop_instance_uid: str
    status: str
    note: str = ""


class CommitmentService(Protocol):
    """How a destination is asked to confirm what it has stored."""

    @property
    def wait_s(self) -> float:
        """How long a result of the first request is awaited, in seconds; waits for later requests grow."""

    def request(
        self,
        transaction_uid: str,
        objects: Sequence[tuple[str, str]],
        record: Callable[[CommitmentResult], bool],
    ) -> CommitmentAnswer:
        """Request confirmation of objects (SOP Class UID, SOP Instance UID).

        `record` is called with each result that arrives meanwhile, of whichever request, and returns whether it was
        known. Results that arrive later come by the node's own associations.
        """


class Channel(Protocol):
    """One destination, ready to be spoken to; made anew for each step of a delivery."""

    @property
    def name(self) -> str:
        """Name of the destination, as in the column `pacs` of its deliveries."""

    @property
    def patience(self) -> Patience:
        """How long the destination is tried again."""

    @property
    def commitment(self) -> CommitmentService | None:
        """None: what is stored is delivered."""

    def select(self, objects: Sequence[StoredObject], recorded: Recorded) -> list[StoredObject]:
        """Return the objects of a report that this destination gets, in the order in which they are sent.

        Parameters
        ----------
        objects : sequence of StoredObject
            All of the report, in no particular order.
        recorded : mapping
            What the ledger knows of them; empty at first.
        """

    def send(self, parcel: Parcel, proceed: Callable[[], bool]) -> list[SendResult]:
        """Transfer the objects of a parcel, and record it in the audit trail.

        Returns
        -------
        list of SendResult
            One for each object of the parcel in its order, then those of other forms that were sent in their place.

        Raises
        ------
        PacsUnavailableError
            The destination cannot be used now, and nothing was transferred.
        """

    def refusal(self, objects: Sequence[StoredObject], recorded: Recorded) -> str | None:
        """Return why the delivery cannot succeed; None when the document itself is stored.

        Parameters
        ----------
        objects : sequence of StoredObject
            All of the report.
        recorded : mapping
            What became of them: each selected one is stored or refused.
        """


@dataclass(frozen=True)
class ChannelContext:
    """What channels work with.

    Attributes
    ----------
    settings : Settings
        Addresses and limits.
    store : StudyStore
        Where the stored objects are: `store.path(stored.path)`.
    audit : Audit
        Records transfers.
    ledger : Ledger
        Has the values of the report and of those before it; a channel adds the objects that it makes, nothing else.
    fallback : callable, optional
        Makes another form of a refused document.
    """

    settings: Settings
    store: StudyStore
    audit: Audit
    ledger: Ledger
    fallback: Fallback | None = None


@dataclass(frozen=True)
class DestinationKind:
    """A kind of destination.

    Attributes
    ----------
    names : callable
        Returns the names of the configured destinations of this kind; names are unique over all kinds.
    open : callable
        Returns the channel of one of these names.
    """

    names: Callable[[Settings], tuple[str, ...]]
    open: Callable[[str, ChannelContext], Channel]


def is_stored(recorded: Recorded, stored: StoredObject) -> bool:
    """Return whether a destination has stored this object."""
    return recorded.get(stored.sop_instance_uid, {}).get("status") == STORED


def note_on(recorded: Recorded, stored: StoredObject) -> str:
    """Return the recorded reason of this object's outcome; "no reason given" where there is none."""
    return note_of(recorded.get(stored.sop_instance_uid, ENTRY)) or message("delivery.no_reason")


__all__ = [
    "LATER",
    "REFUSED",
    "STORED",
    "Channel",
    "ChannelContext",
    "CommitmentService",
    "DestinationKind",
    "Fallback",
    "Held",
    "Parcel",
    "Patience",
    "Recorded",
    "SendResult",
    "is_stored",
    "note_on",
    "patience_of",
]
