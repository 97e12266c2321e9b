"""What the statement says of work items and notifications; nothing where none are configured (PS3.4 Annexes CC, R)."""

from __future__ import annotations

from config.settings import Settings, WorklistSettings
from node.conformance.document import Block, Heading, Paragraph, Table
from node.dicom.network.contexts import PLAIN_SYNTAXES, TRANSFER_SYNTAXES, WORK_ITEM_CLASSES, WORK_ITEM_EVENT
from node.dicom.procedure_steps.identifiers import EVENT, INSTANCE_AVAILABILITY, PULL, WATCH
from node.ledger import work_item_machine as machine

Row = tuple[str, ...]
NAMES = {
    **WORK_ITEM_CLASSES, PULL: "Unified Procedure Step - Pull", EVENT: "Unified Procedure Step - Event",
    INSTANCE_AVAILABILITY: "Instance Availability Notification",
}  # fmt: skip
MEANINGS = {
    machine.DUPLICATE: "a work item with this UID exists already",
    machine.ALREADY_CANCELED: "it is canceled already",
    machine.WRONG_UID: "only this node changes the state of its work items",
    machine.NOT_BY_ACTION: "a work item becomes SCHEDULED by N-CREATE only",
    machine.UNKNOWN_ITEM: "there is no such work item",
    machine.UNKNOWN_RECEIVER: "the Receiving AE is not configured ([[notified_ae]])",
    machine.NOT_SCHEDULED: "N-CREATE with another state than SCHEDULED",
    machine.IS_COMPLETED: "a request for cancellation of a completed work item",
    0x0106: "N-CREATE with another Scheduled Workitem Code; the Error Comment names the expected one",
    0x0110: "no answer of the ledger, or an unreadable data set: send again",
    0x0115: "a change to a state that does not exist",
    0x0117: "N-CREATE with a UID that is none",
    0x0121: "N-CREATE without a study in the Input Information Sequence",
    0x0123: "an action that does not exist",
    0x0124: "change to IN PROGRESS: this node performs its work items itself",
    0x0213: "N-CREATE of more than 500,000 bytes",
    0xC314: "a filtered subscription, or the suspension of another than the global one",
}


def accepted_work_item_contexts(settings: Settings) -> list[Row]:
    """Return the contexts about work items that the node accepts, in the columns of `CONTEXT_COLUMNS`."""
    rows: list[Row] = []
    if settings.work_items.receive:
        rows += [_row(uid, syntax, "SCP") for uid in WORK_ITEM_CLASSES for syntax in PLAIN_SYNTAXES]
    if _is_told_of_events(settings):
        rows += [_row(str(WORK_ITEM_EVENT), syntax, "SCU") for syntax in PLAIN_SYNTAXES]
    return rows


def work_item_services(settings: Settings) -> list[tuple[str, str, str]]:
    """Return the rows of the overview: network service, as SCU, as SCP."""
    found: dict[str, tuple[str, str]] = {}
    if settings.work_items.receive:
        found.update(dict.fromkeys(WORK_ITEM_CLASSES, ("", "yes")))
    if _is_told_of_events(settings):
        found[PULL] = ("yes", "")
        found[WATCH] = ("yes", found.get(WATCH, ("", ""))[1])
    if settings.notified_ae and settings.work_items.receive:
        found[EVENT] = ("", "yes")
    if _is_told_of_events(settings):
        found[EVENT] = ("yes", found.get(EVENT, ("", ""))[1])
    if any(each.instance_availability for each in settings.notified_ae):
        found[INSTANCE_AVAILABILITY] = ("yes", "")
    return [(f"Workflow management: {NAMES[uid]}", *roles) for uid, roles in found.items()]


def work_item_section(settings: Settings) -> list[Block]:
    """Build section 4.2.5; empty where neither work items nor notifications are configured.

    Parameters
    ----------
    settings : Settings
        `[work_items]`, `[[worklist]]` and `[[notified_ae]]`.
    """
    if not work_item_services(settings) and not settings.worklist:
        return []
    items = settings.work_items
    return [
        Heading(4, "4.2.5 Work items and notifications"),
        Paragraph(
            f"IHE AIW-I. The node performs work items with the Scheduled Workitem Code {items.code} "
            f"({items.code_scheme}). A work item starts no computation: routed images do, or those that are fetched "
            "from a PACS for it where that is configured. It is IN PROGRESS until the study has a result, is refused, "
            f"or {items.wait_days:g} days have passed; COMPLETED names what a PACS has stored (DICOM or WADO-RS "
            "retrieval), CANCELED has a reason and a code of PS3.16 CID 9300."
        ),
        *_push(settings),
        *(block for worklist in settings.worklist for block in _pull(worklist)),
        *_notified(settings),
    ]


def _push(settings: Settings) -> list[Block]:
    if not settings.work_items.receive:
        return []
    return [
        Paragraph(
            "Work items are created by N-CREATE, watched by N-GET, C-FIND and subscriptions (of one or of all; "
            "deletion locks are not needed, because nothing is deleted), and canceled by a request before the "
            "computation has ended. UPS Pull is not offered as SCP: no other performer may claim them. C-FIND matches "
            "all attributes that a work item has."
        ),
        Table(
            ("Status", "When"),
            tuple((f"{status:04X}", meaning) for status, meaning in sorted(MEANINGS.items())),
            "Statuses of requests about work items",
        ),
    ]


def _pull(worklist: WorklistSettings) -> list[Block]:
    if worklist.url is not None:
        return [
            Table(
                ("Transaction (UPS-RS, PS3.18 chapter 11), user agent", "Resource"),
                (
                    ("Search", f"GET {worklist.url}/workitems"),
                    ("Retrieve", f"GET {worklist.url}/workitems/{{uid}}"),
                    ("Update", f"POST {worklist.url}/workitems/{{uid}}?transaction-uid={{uid}}"),
                    ("Change state", f"PUT {worklist.url}/workitems/{{uid}}/state"),
                ),
                f"Worklist {worklist.name}, every {worklist.poll_every_s:g} s; events by WebSocket are not received",
            )
        ]
    return [
        Table(
            ("Abstract syntax", "UID", "Used for"),
            (
                (NAMES[PULL], PULL, "C-FIND, N-GET, N-SET, N-ACTION: change of state"),
                (NAMES[WATCH], WATCH, "N-ACTION: subscription, so that requests for cancellation are reported here"),
            ),
            f"Worklist {worklist.name} ({worklist.ae_title} at {worklist.host}:{worklist.port}), "
            f"every {worklist.poll_every_s:g} s",
        )
    ]


def _notified(settings: Settings) -> list[Block]:
    rows = [
        (
            f"{each.ae_title} at {each.host}:{each.port}",
            "on subscription" if settings.work_items.receive else "no",
            "each delivered report" if each.instance_availability else "no",
        )
        for each in settings.notified_ae
    ]
    if not rows:
        return []
    columns = ("Receiver", f"{NAMES[EVENT]} (N-EVENT-REPORT)", f"{NAMES[INSTANCE_AVAILABILITY]} (N-CREATE)")
    return [
        Table(columns, tuple(rows), "Notifications"),
        Paragraph(
            "Notifications are stored and sent in order; 0110, 0124, 0213 and A7xx are repeated with doubling waits, "
            "a duplicate (0111) counts as sent, any other failure is final. Instances are announced as ONLINE with the "
            "AE title of their PACS when their delivery has ended: committed, where the PACS offers commitment."
        ),
    ]


def _is_told_of_events(settings: Settings) -> bool:
    return any(worklist.url is None for worklist in settings.worklist)


def _row(uid: str, syntax: str, role: str) -> Row:
    return (NAMES[uid], uid, TRANSFER_SYNTAXES[syntax], syntax, role, "none")
