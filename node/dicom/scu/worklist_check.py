"""Check the peers of work items before they are needed; nothing is changed at any of them."""

from __future__ import annotations

from pynetdicom import build_context, build_role

from config.settings import NotifiedAeSettings, Settings, WorklistSettings
from node.dicom.network.connection import NoContextAcceptedError, association
from node.dicom.network.contexts import PLAIN_SYNTAXES
from node.dicom.procedure_steps.identifiers import EVENT, INSTANCE_AVAILABILITY
from node.dicom.scu.notice_scu import as_peer
from node.dicom.scu.worklist_client import dimse_client
from node.dicom.scu.worklist_web_client import web_client


def check_worklist(worklist: WorklistSettings, settings: Settings) -> int:
    """Query a worklist manager for scheduled work items of our code.

    Parameters
    ----------
    worklist : WorklistSettings
        The manager.
    settings : Settings
        `[work_items]` code and our AE title.

    Returns
    -------
    int
        Number of scheduled work items.

    Raises
    ------
    PacsUnavailableError
        It does not answer, or refuses the query.
    SettingsError
        A file of this section cannot be used.
    """
    opened = web_client(worklist) if worklist.url is not None else dimse_client(worklist, settings.node.ae_title)
    with opened as client:
        return len(client.scheduled(settings.work_items))


def check_notified(receiver: NotifiedAeSettings, settings: Settings) -> list[str]:
    """Propose to a receiver what it would be sent; return the names of what it does not accept.

    Raises
    ------
    PacsUnavailableError
        It cannot be reached, or rejects the association.
    SettingsError
        Its TLS files cannot be used.
    """
    proposed = {}
    if settings.work_items.receive:
        proposed[EVENT] = "Unified Procedure Step - Event"
    if receiver.instance_availability:
        proposed[INSTANCE_AVAILABILITY] = "Instance Availability Notification"
    if not proposed:
        return []
    contexts = [build_context(uid, list(PLAIN_SYNTAXES)) for uid in proposed]
    roles = [build_role(EVENT, scp_role=True)] if EVENT in proposed else []
    try:
        with association(as_peer(receiver), settings.node.ae_title, contexts, roles=roles) as assoc:
            accepted = {str(context.abstract_syntax) for context in assoc.accepted_contexts}
    except NoContextAcceptedError:
        accepted = set()
    return [name for uid, name in proposed.items() if uid not in accepted]
