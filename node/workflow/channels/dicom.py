"""A PACS (`[[pacs]]`): C-STORE of the configured kinds of objects, then storage commitment where it is configured.

With `stow_url` the same objects go by DICOMweb (STOW-RS), which has no storage commitment: what is stored is delivered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from zlib import crc32

from config.errors import PacsUnavailableError
from config.messages.message import message, text_of
from config.settings import PacsSettings, Settings
from node.dicom.network.commitment import CommitmentResult
from node.dicom.network.statuses import Verdict
from node.dicom.scu.commitment_scu import CommitmentAnswer, request_commitment
from node.dicom.scu.store_scu import FileToSend, SendOutcome, send
from node.dicom.scu.stow_client import stow
from node.ledger.reports import StoredObject
from node.workflow.channels.channel import (
    LATER,
    REFUSED,
    STORED,
    Channel,
    ChannelContext,
    DestinationKind,
    Parcel,
    Recorded,
    SendResult,
    is_stored,
    note_on,
    patience_of,
)

FALLBACK = "_fallback"  # suffix of the kind of an object that replaces one of a refused SOP class: "sr_fallback"
REJECTION = "ko:"  # a rejection note is of one PACS: it names what that one has
SAME_ASSOCIATION_WAIT_S = 1.0
MOST_ATTEMPTS_NOT_UNDERSTOOD = 8  # then Cxxx, "cannot understand" (PS3.4 B.2.3), counts as a refusal
STATUSES = {Verdict.STORED: STORED, Verdict.REFUSED: REFUSED, Verdict.RETRY: LATER}


def rejection_kind(pacs_name: str) -> str:
    """Return the kind of the rejection notes of one PACS; names may be longer than a kind."""
    return f"{REJECTION}{crc32(pacs_name.encode()):08x}"


class DicomChannel:
    """One configured PACS."""

    def __init__(self, pacs: PacsSettings, context: ChannelContext) -> None:
        self.name = pacs.name
        self.patience = patience_of(pacs)
        self._pacs, self._context = pacs, context
        calling_ae = context.settings.node.ae_title
        commits = pacs.storage_commitment and pacs.stow_url is None
        self.commitment = _StorageCommitment(pacs, calling_ae) if commits else None

    # --- which objects ---

    def select(self, objects: Sequence[StoredObject], recorded: Recorded) -> list[StoredObject]:
        """Return the objects in the order of `send`; the fallback of a kind follows it where that kind was refused."""
        # The fallback of this destination: another one may have got another, which names another predecessor.
        known = {
            stored.kind + FALLBACK for stored in objects
            if recorded.get(stored.sop_instance_uid, {}).get("status") == REFUSED
        }  # fmt: skip
        chosen = []
        for kind in self._pacs.send:
            chosen += [stored for stored in objects if stored.kind == kind]
            chosen += [
                stored for stored in objects
                if stored.kind == kind + FALLBACK and stored.kind in known and stored.sop_instance_uid in recorded
            ]  # fmt: skip
        if self._pacs.rejection_notes:
            # Last: what is rejected has its successor by then.
            chosen += [stored for stored in objects if stored.kind == rejection_kind(self.name)]
        return chosen

    def refusal(self, objects: Sequence[StoredObject], recorded: Recorded) -> str | None:
        """Return why the PACS has no document.

        The first kind of `send` that the report has is the document itself. When the destination refuses it, and stored
        no fallback either, the companions alone are worth nothing to a reader.
        """
        # The site decides by the order of `send` which object is the document.
        leading = next((kind for kind in self._pacs.send if any(stored.kind == kind for stored in objects)), None)
        if leading is None:
            return message("delivery.none_of_kinds", kinds=self._pacs.send)
        forms = [stored for stored in objects if stored.kind in (leading, leading + FALLBACK)]
        if any(is_stored(recorded, stored) for stored in forms):
            return None
        document = next(stored for stored in forms if stored.kind == leading)
        return message("delivery.document_refused", kind=leading.upper(), why=note_on(recorded, document))

    # --- storing ---

    def send(self, parcel: Parcel, proceed: Callable[[], bool]) -> list[SendResult]:
        """Store the objects; where a SOP class is refused, also another form of the object.

        Raises
        ------
        PacsUnavailableError
            No association could be established.
        """
        outcomes = self._store(parcel.objects, parcel, proceed)
        refused = [
            stored for stored, outcome in zip(parcel.objects, outcomes, strict=True) if outcome.class_refused
        ]  # fmt: skip
        # On an association of their own: what is proposed cannot be changed on one that is established.
        fallbacks = [fallback for stored in refused if (fallback := self._fallback_of(stored, parcel)) is not None]
        if fallbacks:
            try:
                outcomes += self._store(fallbacks, parcel, proceed)
            except PacsUnavailableError as error:
                outcomes += [
                    SendOutcome(fallback.sop_instance_uid, Verdict.RETRY, note=text_of(error)) for fallback in fallbacks
                ]
        return [
            SendResult(outcome.sop_instance_uid, STATUSES[outcome.verdict], outcome.note) for outcome in outcomes
        ]  # fmt: skip

    def _store(self, objects: Sequence[StoredObject], parcel: Parcel, proceed: Callable[[], bool]) -> list[SendOutcome]:
        audit, study, patient_id = self._context.audit, parcel.study_instance_uid, parcel.patient_id
        sop_classes = Counter(stored.sop_class_uid for stored in objects)
        audit.sending(self._pacs, study, patient_id, sop_classes)
        files = [
            FileToSend(
                self._context.store.path(each.path), each.sop_class_uid, each.sop_instance_uid, each.transfer_syntax_uid
            )
            for each in objects
        ]
        try:
            if self._pacs.stow_url is not None:
                sent = stow(files, self._pacs, proceed)
            else:
                sent = send(files, self._pacs, self._context.settings.node.ae_title, proceed)
        except PacsUnavailableError as error:
            audit.sent(self._pacs, study, patient_id, sop_classes, failure=str(error))
            raise
        outcomes = [_final(outcome, parcel.attempts) for outcome in sent]
        self._record_transfer(objects, outcomes, parcel)
        return outcomes

    def _record_transfer(
        self, objects: Sequence[StoredObject], outcomes: Sequence[SendOutcome], parcel: Parcel
    ) -> None:
        """Write one audit message for what the PACS stored and one for the rest: a message has one outcome."""
        stored = [outcome.verdict is Verdict.STORED for outcome in outcomes]
        for accepted, failure in ((True, ""), (False, "the PACS did not store these objects")):
            classes = Counter(each.sop_class_uid for each, ok in zip(objects, stored, strict=True) if ok is accepted)
            if classes:
                self._context.audit.sent(
                    self._pacs, parcel.study_instance_uid, parcel.patient_id, classes, failure
                )  # fmt: skip

    def _fallback_of(self, refused: StoredObject, parcel: Parcel) -> StoredObject | None:
        if refused.kind.endswith(FALLBACK) or self._context.fallback is None:
            return None
        # The refused form names the predecessor that every destination was sent; this one may have another, or none.
        held = next((each for each in parcel.held if each.kind in (refused.kind, refused.kind + FALLBACK)), None)
        return self._context.fallback(parcel.report_id, refused.kind, refused.sop_class_uid, held)


class _StorageCommitment:
    """Storage commitment of one PACS (PS3.4 Annex J)."""

    def __init__(self, pacs: PacsSettings, calling_ae: str) -> None:
        self._pacs, self._calling_ae = pacs, calling_ae
        self.wait_s = pacs.commitment_wait_s

    def request(
        self,
        transaction_uid: str,
        objects: Sequence[tuple[str, str]],
        record: Callable[[CommitmentResult], bool],
    ) -> CommitmentAnswer:
        return request_commitment(
            self._pacs, self._calling_ae, transaction_uid, objects, SAME_ASSOCIATION_WAIT_S, record
        )  # fmt: skip


def _final(outcome: SendOutcome, attempts: int) -> SendOutcome:
    """Return the outcome, with `cannot understand` (Cxxx) as a refusal after enough attempts."""
    cannot_understand = outcome.status is not None and outcome.status & 0xF000 == 0xC000
    if cannot_understand and attempts + 1 >= MOST_ATTEMPTS_NOT_UNDERSTOOD:
        return replace(outcome, verdict=Verdict.REFUSED)
    return outcome


def _names(settings: Settings) -> tuple[str, ...]:
    return tuple(pacs.name for pacs in settings.pacs)


def _open(name: str, context: ChannelContext) -> Channel:
    return DicomChannel(next(pacs for pacs in context.settings.pacs if pacs.name == name), context)


KIND = DestinationKind(_names, _open)
