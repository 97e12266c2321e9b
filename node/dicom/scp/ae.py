"""The node's application entity: everything is wired here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import cast

from pynetdicom import AE, evt
from pynetdicom.events import EventHandlerType

from config.errors import SettingsError
from config.settings import NodeSettings, Settings
from node.audit.recorder import Audit, open_audit
from node.dicom.network.contexts import node_contexts
from node.dicom.network.library_settings import configure_pydicom_pynetdicom
from node.dicom.network.server import GuardedServer
from node.dicom.network.tls import server_context
from node.dicom.network.upper_layer import GuardedUpperLayer
from node.dicom.scp.access_control import AccessControl
from node.dicom.scp.fast_store import StoreReceiver
from node.dicom.scp.handlers import (
    OpenAssociations,
    RecordCommitment,
    handle_echo,
    handle_ended,
    handle_event_report,
    handle_pdu,
    handle_requested,
    handle_store,
)
from node.dicom.scp.intake import Intake
from node.store.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

CONNECTIONS_PER_ASSOCIATION = 2  # connections that have not asked for an association yet count, too


@dataclass
class RunningNode:
    """A listening application entity."""

    server: GuardedServer
    associations: OpenAssociations
    longest_association_s: float

    @property
    def port(self) -> int:
        """The port in use; the configured one, or a free one where 0 was configured."""
        return int(self.server.server_address[1])

    def heartbeat(self) -> None:
        """Tell other processes which associations are alive; call it every few seconds."""
        self.server.end_older_than(self.longest_association_s)
        self.associations.drop_dead()
        self.associations.intake.heartbeat()

    def stop(self, grace_s: float = 5.0) -> None:
        """Take no new connection, let open associations finish for `grace_s`, then abort what is left."""
        for assoc in self.server.stop(grace_s):
            self.associations.ended(assoc)
        self.associations.intake.close()


def make_ae(ae_title: str, node: NodeSettings) -> AE:
    """An application entity that names itself as this program, with the limits of the settings."""
    ae = AE(ae_title=ae_title)
    ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    ae.maximum_pdu_size = node.max_pdu_bytes
    ae.maximum_associations = node.max_associations
    ae.network_timeout = node.network_timeout_s
    ae.acse_timeout = min(30.0, node.network_timeout_s)
    ae.dimse_timeout = node.network_timeout_s
    return ae


def start_node(
    settings: Settings,
    intake: Intake,
    record_commitment: RecordCommitment,
    fast: bool = True,
    audit: Audit | None = None,
) -> RunningNode:
    """Listen for associations until `stop` is called; returns at once.

    fast : receive plain C-STORE requests by node/dicom/scp/fast_store.py; otherwise all of them by pynetdicom.
    record_commitment : told each storage commitment result; answers whether a delivery of ours waited for it.
    Raises SettingsError when the address cannot be used or the TLS files are wrong.
    """
    configure_pydicom_pynetdicom()
    node = settings.node
    associations = OpenAssociations(intake)
    access = AccessControl(settings, audit or open_audit(settings, "node"))
    handlers: list[EventHandlerType] = [
        (evt.EVT_REQUESTED, handle_requested, [access]),
        (evt.EVT_RELEASED, handle_ended, [associations]),
        (evt.EVT_ABORTED, handle_ended, [associations]),
        (evt.EVT_CONN_CLOSE, handle_ended, [associations]),
        (evt.EVT_PDU_RECV, handle_pdu, [node.max_object_mb * 1_000_000]),
        (evt.EVT_C_ECHO, handle_echo, []),
        (evt.EVT_C_STORE, handle_store, [associations]),
        (evt.EVT_N_EVENT_REPORT, handle_event_report, [record_commitment]),
    ]
    ae = make_ae(node.ae_title, node)
    try:
        server = ae.make_server(
            (node.bind, node.port),
            contexts=node_contexts(),
            ssl_context=server_context(node.tls) if node.tls else None,
            evt_handlers=handlers,
            server_class=GuardedServer,
            most_connections=node.max_associations * CONNECTIONS_PER_ASSOCIATION,
            may_connect=access.may_connect,
            make_receiver=partial(_receiver, associations, node.max_object_mb * 1_000_000) if fast else None,
        )
    except OSError as error:
        raise SettingsError(f"[node] cannot listen on {node.bind}:{node.port}: {error.strerror}") from error
    running = RunningNode(cast(GuardedServer, server), associations, node.max_association_s)
    access.server = running.server
    running.server.start_thread()
    return running


def _receiver(associations: OpenAssociations, most_bytes: int, provider: GuardedUpperLayer) -> StoreReceiver:
    return StoreReceiver(provider, associations.intake, associations.sender_of, most_bytes)
