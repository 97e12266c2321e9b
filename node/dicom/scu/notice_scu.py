"""Send notifications to an application entity: events of work items, and available instances (PS3.4 CC.2.4, R)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import build_context, build_role
from pynetdicom.association import Association

from config.settings import NotifiedAeSettings, PacsSettings
from node.dicom.network.connection import NoContextAcceptedError, association
from node.dicom.network.contexts import PLAIN_SYNTAXES
from node.dicom.procedure_steps.identifiers import EVENT, INSTANCE_AVAILABILITY, PUSH

SUCCESS, DUPLICATE = 0x0000, 0x0111


@dataclass(frozen=True)
class NoticeToSend:
    """A notification.

    Attributes
    ----------
    id : int
        For the outcome.
    instance_uid : str
        Of the work item, or of the notification itself.
    event_type : int or None
        Of an event of a work item; None for available instances.
    dataset : dict
        DICOM JSON.
    """

    id: int
    instance_uid: str
    event_type: int | None
    dataset: dict[str, Any]


@dataclass(frozen=True)
class NoticeOutcome:
    """What became of a notification; `note` is the reason where it was not taken."""

    id: int
    is_sent: bool
    is_final: bool
    note: str = ""


def as_peer(receiver: NotifiedAeSettings) -> PacsSettings:
    """Return a receiver as the peer of an association."""
    return PacsSettings(
        name=receiver.ae_title, ae_title=receiver.ae_title, host=receiver.host, port=receiver.port,
        timeout_s=receiver.timeout_s, tls=receiver.tls,
    )  # fmt: skip


def send_notices(
    notices: Sequence[NoticeToSend], receiver: NotifiedAeSettings, calling_ae: str
) -> Iterator[NoticeOutcome]:
    """Send notifications in their order on one association.

    Parameters
    ----------
    notices : sequence of NoticeToSend
        Of one receiver.
    receiver : NotifiedAeSettings
        The receiver.
    calling_ae : str
        AE title of this node.

    Yields
    ------
    NoticeOutcome
        One for each that was tried; nothing is sent behind one that was not taken, except where it never will be.

    Raises
    ------
    PacsUnavailableError
        When there is no association.
    """
    classes = dict.fromkeys(_class_of(notice) for notice in notices)
    contexts = [build_context(uid, list(PLAIN_SYNTAXES)) for uid in classes]
    # Of UPS Event we are the SCP, although we open the association (PS3.4 section CC.2.4).
    roles = [build_role(EVENT, scp_role=True)] if EVENT in classes else []
    try:
        with association(as_peer(receiver), calling_ae, contexts, roles=roles) as assoc:
            for notice in notices:
                outcome = _send(assoc, notice)
                yield outcome
                if not outcome.is_final:
                    return
    except NoContextAcceptedError as error:
        yield NoticeOutcome(notices[0].id, is_sent=False, is_final=False, note=str(error))


def _class_of(notice: NoticeToSend) -> str:
    return INSTANCE_AVAILABILITY if notice.event_type is None else EVENT


def _send(assoc: Association, notice: NoticeToSend) -> NoticeOutcome:
    accepted = {str(context.abstract_syntax) for context in assoc.accepted_contexts}
    if _class_of(notice) not in accepted:
        note = f"SOP class {_class_of(notice)} is not accepted"
        return NoticeOutcome(notice.id, is_sent=False, is_final=False, note=note)
    if not assoc.is_established:
        return NoticeOutcome(notice.id, is_sent=False, is_final=False, note="the association ended before this one")
    ds = Dataset.from_json(notice.dataset)
    if notice.event_type is None:
        status, _ = assoc.send_n_create(ds, INSTANCE_AVAILABILITY, notice.instance_uid)
    else:
        status, _ = assoc.send_n_event_report(ds, notice.event_type, PUSH, notice.instance_uid, meta_uid=EVENT)
    code = status.get("Status")
    if code is None:
        return NoticeOutcome(notice.id, is_sent=False, is_final=False, note="the association ended before the response")
    # A notification that came before is known to its receiver by its UID: a process died before it recorded that.
    if code in (SUCCESS, DUPLICATE) or code & 0xF000 == 0xB000:
        return NoticeOutcome(notice.id, is_sent=True, is_final=True)
    is_temporary = code in (0x0110, 0x0124, 0x0213) or code & 0xFF00 == 0xA700
    return NoticeOutcome(notice.id, is_sent=False, is_final=not is_temporary, note=f"status {code:04X}")
