"""A hospital or oncology information system (`[[hl7_out]]`): results and documents by HL7 v2 over MLLP.

A message is built at its first attempt, when a connection is there, because it says what this receiver has of earlier
reports (`hl7_content`). It is stored as an object of the report before it is sent, and the stored bytes are sent again
until they are acknowledged: the same control id (MSH-10) tells the receiver that it is a repetition.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from config.errors import PacsUnavailableError
from config.messages.message import message, text_of
from config.settings import Hl7OutSettings, Settings
from node.clinical.hl7_answers import Acknowledgement, Verdict
from node.clinical.mllp_client import MllpConnection, NoAnswerError
from node.ledger.reports import StoredObject
from node.workflow.channels.channel import (
    LATER,
    REFUSED,
    STORED,
    Channel,
    ChannelContext,
    DestinationKind,
    Parcel,
    Patience,
    Recorded,
    SendResult,
    is_stored,
    note_on,
)
from node.workflow.channels.hl7_content import KINDS, control_id_of, message_uid, prepare_message

MOST_ERRORS = 8  # attempts after which a message that is answered AE counts as refused
STATUSES = {Verdict.ACCEPTED: STORED, Verdict.REFUSED: REFUSED, Verdict.LATER: LATER}


class Hl7Channel:
    """One configured receiver."""

    commitment = None  # an acknowledgement says that the receiver has the message

    def __init__(self, receiver: Hl7OutSettings, context: ChannelContext) -> None:
        self.name = receiver.name
        self.patience = Patience(receiver.retry_first_s, receiver.retry_longest_s, receiver.give_up_after_days)
        self._receiver, self._context = receiver, context

    def select(self, objects: Sequence[StoredObject], recorded: Recorded) -> list[StoredObject]:
        """Return the messages in the order of `messages`; one that is not built yet has no path."""
        report = next((stored for stored in objects if stored.kind == "sr"), None)
        if report is None:
            return []
        built = {stored.sop_instance_uid: stored for stored in objects}
        selected = []
        for kind in self._receiver.messages:
            uid = message_uid(report.sop_instance_uid, kind, self.name)
            selected.append(built.get(uid, StoredObject(KINDS[kind], "", uid, "", "", "")))
        return selected

    def send(self, parcel: Parcel, proceed: Callable[[], bool]) -> list[SendResult]:
        """Send the messages one after the other.

        Raises
        ------
        PacsUnavailableError
            The receiver cannot be reached.
        """
        results: list[SendResult] = []
        for stored in parcel.objects:
            # The order of the messages stays: after a failure the rest is later, too.
            if results and results[-1].status == LATER:
                results.append(SendResult(stored.sop_instance_uid, LATER, results[-1].note))
            elif not proceed():
                results.append(SendResult(stored.sop_instance_uid, LATER, message("delivery.replaced_before_send")))
            else:
                results.append(self._send(stored, parcel, is_first=not results))
        failures = [result.note for result in results if result.status != STORED]
        self._context.audit.exported(
            f"mllp://{self._receiver.host}:{self._receiver.port}",
            parcel.study_instance_uid,
            parcel.patient_id,
            failure=failures[0] if failures else "",
        )
        return results

    def _send(self, stored: StoredObject, parcel: Parcel, is_first: bool) -> SendResult:
        was_connected = False
        try:
            # Nothing is built while the receiver is away: what is said follows from what it has by then.
            with MllpConnection(self._receiver) as connection:
                was_connected = True
                prepared = prepare_message(self._context, self._receiver, parcel, stored)
                # A cancellation is accepted or refused: in either case that document is not shown there any more.
                first, *others = (*prepared.cancellations, *([prepared.content] if prepared.content else []), b"")
                answer = connection.exchange(first, control_id_of(first)) if first else None
            for other in others:
                answer = self._exchange_alone(other) if other else answer
        except (NoAnswerError, PacsUnavailableError) as error:
            if is_first and not was_connected:
                raise
            return SendResult(stored.sop_instance_uid, LATER, text_of(error))
        if prepared.content is None or answer is None:
            return SendResult(stored.sop_instance_uid, STORED, message("delivery.nothing_to_withdraw"))
        verdict = answer.verdict(was_sent_before=bool(stored.path))
        if verdict is Verdict.LATER and parcel.attempts + 1 >= MOST_ERRORS:
            verdict = Verdict.REFUSED
        note = "" if verdict is Verdict.ACCEPTED else message("hl7.answered", name=self.name, said=answer.sentence())
        return SendResult(stored.sop_instance_uid, STATUSES[verdict], note)

    def _exchange_alone(self, content: bytes) -> Acknowledgement:
        """Send a message on a connection of its own: many receivers close it after each acknowledgement."""
        with MllpConnection(self._receiver) as connection:
            return connection.exchange(content, control_id_of(content))

    def refusal(self, objects: Sequence[StoredObject], recorded: Recorded) -> str | None:
        """Return what the receiver said about a message that it refuses."""
        selected = self.select(objects, recorded)
        if not selected:
            return message("delivery.no_sr")
        return next((note_on(recorded, stored) for stored in selected if not is_stored(recorded, stored)), None)


def _receiver(settings: Settings, name: str) -> Hl7OutSettings:
    return next(receiver for receiver in settings.hl7_out if receiver.name == name)


def _names(settings: Settings) -> tuple[str, ...]:
    return tuple(receiver.name for receiver in settings.hl7_out)


def _open(name: str, context: ChannelContext) -> Channel:
    return Hl7Channel(_receiver(context.settings, name), context)


KIND = DestinationKind(_names, _open)
