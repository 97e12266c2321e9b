"""The node's application entity: the one place where the server, its limits and its handlers are put together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import cast

from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.events import EventHandlerType

from config.errors import SettingsError
from config.settings import NodeSettings, Settings
from node.audit.recorder import Audit, open_audit
from node.dicom.network.contexts import SharedContexts, node_contexts
from node.dicom.network.library_settings import configure_pydicom_pynetdicom
from node.dicom.network.server import GuardedServer
from node.dicom.network.tls import server_context
from node.dicom.network.upper_layer import GuardedUpperLayer
from node.dicom.scp.access_control import CONNECTIONS_PER_ASSOCIATION, AccessControl
from node.dicom.scp.associations import OpenAssociations
from node.dicom.scp.handlers import (
    RecordCommitment,
    handle_echo,
    handle_ended,
    handle_event_report,
    handle_pdu,
    handle_requested,
    handle_service_of_classes,
    handle_store,
)
from node.dicom.scp.instance import IncomingInstance
from node.dicom.scp.intake import Intake
from node.dicom.scp.receive import FastReceiver
from node.dicom.scp.work_items import WorkItemService
from node.store.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, FileMeta


@dataclass
class RunningNode:
    """A listening application entity."""

    server: GuardedServer
    intake: Intake
    associations: OpenAssociations
    max_association_s: float

    @property
    def port(self) -> int:
        """The port in use; the configured one, or a free one where 0 was configured."""
        return int(self.server.server_address[1])

    def heartbeat(self) -> None:
        """Record which associations are alive, and end those that are too old or dead; call it every few seconds."""
        self.server.end_older_than(self.max_association_s)
        self.associations.end_dead()
        self.intake.senders.heartbeat()

    def stop(self, grace_s: float = 5.0) -> None:
        """Accept no new connection, let open associations finish for `grace_s` seconds, then abort the others.

        Parameters
        ----------
        grace_s : float
            Seconds that open associations have; the intake is closed afterwards.
        """
        for assoc in self.server.stop(grace_s):
            self.associations.end(assoc)
        self.intake.close()


def make_ae(ae_title: str, node: NodeSettings) -> AE:
    """Build an application entity with this program's implementation UID and the limits of the settings.

    Parameters
    ----------
    ae_title : str
        At most 16 characters.
    node : NodeSettings
        Limits and timeouts, in seconds.

    Returns
    -------
    AE
        Without contexts; the server gets them.
    """
    ae = AE(ae_title=ae_title)
    ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    ae.maximum_pdu_size = node.max_pdu_bytes
    ae.maximum_associations = node.max_associations
    ae.network_timeout = node.network_timeout_s
    # 30 s at most: a peer has nothing to compute or to load before it answers a request for an association or its
    # release.
    ae.acse_timeout = min(30.0, node.network_timeout_s)
    ae.dimse_timeout = node.network_timeout_s
    return ae


def start_node(
    settings: Settings,
    intake: Intake,
    record_commitment: RecordCommitment,
    fast: bool = True,
    audit: Audit | None = None,
    work_items: WorkItemService | None = None,
) -> RunningNode:
    """Listen for associations until `stop` is called; returns at once.

    Parameters
    ----------
    settings : Settings
        Address, lists, limits and TLS files.
    intake : Intake
        Where instances go; `stop` closes it.
    record_commitment : callable
        Records each storage commitment result; returns whether a delivery of this node was waiting for it.
    fast : bool
        Receive C-STORE requests by `FastReceiver`; otherwise all of them by pynetdicom.
    audit : Audit, optional
        Where rejections and logins are recorded; opened from the settings by default.
    work_items : WorkItemService, optional
        Answers requests about work items, where the settings offer that.

    Returns
    -------
    RunningNode
        Listening.

    Raises
    ------
    SettingsError
        The address cannot be used, or the TLS or users files are wrong.
    """
    configure_pydicom_pynetdicom()
    node = settings.node
    associations = OpenAssociations(intake.senders, intake.node_id)
    max_object_bytes = node.max_object_mb * 1_000_000
    access = AccessControl(settings, audit or open_audit(settings, "node"))
    handlers: list[EventHandlerType] = [
        (evt.EVT_REQUESTED, handle_requested, [access]),
        (evt.EVT_SOP_COMMON, handle_service_of_classes, []),
        (evt.EVT_RELEASED, handle_ended, [associations]),
        (evt.EVT_ABORTED, handle_ended, [associations]),
        # All three, because a lost connection brings only this one; `end` accepts repetitions.
        (evt.EVT_CONN_CLOSE, handle_ended, [associations]),
        (evt.EVT_PDU_RECV, handle_pdu, [max_object_bytes]),
        (evt.EVT_C_ECHO, handle_echo, []),
        (evt.EVT_C_STORE, handle_store, [intake, associations]),
        (evt.EVT_N_EVENT_REPORT, handle_event_report, [record_commitment, work_items]),
    ]
    if work_items is not None:
        handlers += [
            (evt.EVT_N_CREATE, work_items.create),
            (evt.EVT_N_GET, work_items.get),
            (evt.EVT_N_ACTION, work_items.act),
            (evt.EVT_C_FIND, work_items.find),
        ]
    ae = make_ae(node.ae_title, node)
    try:
        server = ae.make_server(
            (node.bind, node.port),
            contexts=contexts_of(settings),
            ssl_context=server_context(node.tls) if node.tls else None,
            evt_handlers=handlers,
            server_class=GuardedServer,
            # pynetdicom's own limit counts associations and reads from a connection before it rejects.
            max_connections=node.max_associations * CONNECTIONS_PER_ASSOCIATION,
            may_connect=access.may_connect,
            make_receiver=partial(_receiver, intake, associations, max_object_bytes) if fast else None,
            open_data_set=partial(_begin, intake, max_object_bytes),
        )
    except OSError as error:
        raise SettingsError(f"[node] cannot listen on {node.bind}:{node.port}: {error.strerror}") from error
    running = RunningNode(cast(GuardedServer, server), intake, associations, node.max_association_s)
    # After the server exists and before it accepts: the limits count its associations.
    access.server = running.server
    running.server.start_thread()
    return running


def contexts_of(settings: Settings) -> SharedContexts:
    """Return the contexts that a node accepts.

    Parameters
    ----------
    settings : Settings
        `[work_items]` and `[[worklist]]` decide about those of work items.
    """
    manages_events = any(worklist.url is None for worklist in settings.worklist)
    return node_contexts(work_items=settings.work_items.receive, work_item_events=manages_events)


def _receiver(
    intake: Intake, associations: OpenAssociations, max_bytes: int, upper_layer: GuardedUpperLayer
) -> FastReceiver:
    return FastReceiver(upper_layer, intake, associations, max_bytes)


def _begin(intake: Intake, max_bytes: int, _assoc: Association, meta: FileMeta) -> IncomingInstance:
    return intake.begin(meta, max_bytes)
