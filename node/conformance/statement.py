"""The DICOM conformance statement (PS3.2), generated from the running configuration.

Presentation contexts, statuses and limits are read from the tables that the network code itself uses, so that statement
and program cannot differ; a test proposes every listed context to a running node.
"""

from __future__ import annotations

from importlib.metadata import version

from config.settings import NodeSettings, Settings
from node.conformance.dicomweb import dicomweb_rows, received_by_dicomweb, sent_by_dicomweb
from node.conformance.document import Block, Heading, Paragraph, Table
from node.conformance.hl7_results import hl7_section
from node.conformance.presentation_contexts import (
    CONTEXT_COLUMNS,
    accepted_contexts,
    proposed_contexts,
    query_retrieve_models,
    uses_query_retrieve,
)
from node.conformance.report_annex import report_annex
from node.conformance.sent_objects import sent_classes
from node.conformance.work_items import accepted_work_item_contexts, work_item_section, work_item_services
from node.dicom.network.connection import MAX_PDU_BYTES
from node.dicom.network.contexts import STORAGE_CLASSES, STORAGE_COMMITMENT_PUSH, VERIFICATION
from node.dicom.network.server import HANDSHAKE_TIMEOUT_S
from node.dicom.network.statuses import EventReportStatus, StoreStatus
from node.dicom.scp.receive import MIN_BYTES_PER_S
from node.dicom.scu.commitment_scu import NOT_OFFERED
from node.ledger.commitments import FAILURE_REASONS, MOST_REQUESTS, NOT_RESENDABLE
from node.store.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

PRODUCT = "cptdn-node"
OTHER_CLASSES = {
    "accept_and_discard": (
        "Objects of every other storage class (PS3.4 section B.5, retired and private classes among them) are accepted "
        "in any transfer syntax that the peer proposes, counted by study and class, and discarded. Their success "
        "status means that they were received, not that they are stored: they must stay where they come from. "
        "A sender that stops at the first object that is not accepted gets through to its end."
    ),
    "reject": (
        "Presentation contexts of every other storage class are rejected (result 3, abstract syntax not supported). A "
        "sender that stops at the first object that is not accepted does not send those after it."
    ),
}

STORE_MEANINGS = {
    StoreStatus.SUCCESS: (
        "the instance is on the disk (fsync) and indexed; also for an instance that is stored already, and for an "
        "object of another class that was discarded (4.1.1)"
    ),
    StoreStatus.OUT_OF_RESOURCES: "too little free space, a disk failure, or no answer of the ledger: send it later",
    StoreStatus.SOP_CLASS_MISMATCH: "the data set has another SOP Class than the command; quarantined",
    StoreStatus.SOP_INSTANCE_MISMATCH: "the data set has another SOP Instance than the command; quarantined",
    StoreStatus.UNREADABLE: "not a data set of the agreed transfer syntax, or without valid UIDs; quarantined",
    StoreStatus.CONFLICTING_INSTANCE: "this SOP Instance UID is stored with other content; quarantined",
    StoreStatus.TOO_LARGE: "larger than the configured limit; not stored",
    StoreStatus.NOT_REQUESTED: (
        "by DICOMweb only: an object of another study or series than the request names; not stored"
    ),
}
EVENT_MEANINGS = {
    EventReportStatus.SUCCESS: "the result is recorded",
    EventReportStatus.PROCESSING_FAILURE: "no answer of the ledger: report it again",
    EventReportStatus.NO_SUCH_EVENT_TYPE: "an Event Type ID other than 1 and 2",
    EventReportStatus.INVALID_ARGUMENT: "no Transaction UID, or one that belongs to no delivery",
}


def conformance_statement(settings: Settings) -> list[Block]:
    """Build the statement for one configuration.

    Parameters
    ----------
    settings : Settings
        The configuration in use; destinations, limits, TLS and audit change the text.

    Returns
    -------
    list of Block
        The document in the order of PS3.2 Annex A; then what is sent by HL7 v2.
    """
    return [
        Heading(1, f"DICOM Conformance Statement of {PRODUCT} {version(PRODUCT)}"),
        # The order of sections is that of PS3.2 Annex A; readers compare statements of products section by section.
        *_overview(settings),
        *_introduction(),
        *_model(settings),
        *_storage_scp(settings),
        *received_by_dicomweb(settings),
        *_delivery_scu(settings),
        *work_item_section(settings),
        *_communication(settings),
        Heading(2, "5 Media interchange"),
        Paragraph("None."),
        *_character_sets(),
        *_security(settings),
        *report_annex(settings),
        *hl7_section(settings),
    ]


def _overview(settings: Settings) -> list[Block]:
    sent, received = {sent.name for sent in sent_classes(settings)}, set(STORAGE_CLASSES.values())
    rows = [("Verification", "yes", "yes")]
    rows += [
        (f"Transfer: {name}", "yes" if name in sent else "", "yes" if name in received else "")
        for name in sorted(sent | received)
    ]
    if any(pacs.storage_commitment for pacs in settings.pacs):
        rows.append(("Workflow management: Storage Commitment Push Model", "yes", ""))
    models = {uid for pacs in settings.pacs if uses_query_retrieve(pacs) for uid in query_retrieve_models(pacs)}
    rows += [(f"Query/Retrieve: {uid.name}", "yes", "") for uid in sorted(models)]
    rows += dicomweb_rows(settings)
    rows += work_item_services(settings)
    return [
        Heading(2, "1 Overview"),
        Paragraph(
            "The node is installed beside a PACS. It receives pre-treatment MR images and the contour of the primary "
            "tumour, computes a prognosis, and stores a Structured Report with companion objects at the PACS. It is "
            "neither an archive nor a medical device."
        ),
        Table(("Network service", "SCU", "SCP"), tuple(rows), "Network services"),
    ]


def _introduction() -> list[Block]:
    return [
        Heading(2, "2 Introduction"),
        Paragraph(
            "For PACS administrators and system integrators. The statement is generated by `cptdn conformance` from "
            "the configuration in use; generate it again after a change of the configuration or the program. "
            "Conformance alone does not guarantee interoperability: test with your PACS (`cptdn doctor` tries each "
            "destination)."
        ),
    ]


def _model(settings: Settings) -> list[Block]:
    node = settings.node
    return [
        Heading(2, "3 Implementation model"),
        Heading(3, "3.1 Application data flow"),
        Paragraph(
            "A PACS or modality sends instances to the storage application entity. When an association has ended, the "
            "study is assessed; when it is complete, workers compute. The delivery application entity then stores the "
            "objects of the report at each destination and asks for storage commitment. Both use one AE title."
        ),
        Heading(3, "3.2 Functional definition of application entities"),
        Table(
            ("Application entity", "AE title", "Function"),
            (
                ("Storage", node.ae_title, "answers verification, storage and results of storage commitment"),
                ("Delivery", node.ae_title, "stores reports at a PACS, requests storage commitment, verifies a peer"),
            ),
        ),
        Heading(3, "3.3 Sequencing of real-world activities"),
        Paragraph(
            "Images and RTSTRUCT may come in any order and in separate associations. A success status means that the "
            "instance is durable. A failed delivery is repeated with doubling waits for the configured number of days."
        ),
    ]


def _storage_scp(settings: Settings) -> list[Block]:
    node = settings.node
    contexts = (*accepted_contexts(), *accepted_work_item_contexts(settings))
    return [
        Heading(2, "4 Networking"),
        Heading(3, "4.1 Storage application entity"),
        Heading(4, "4.1.1 SOP classes"),
        Table(
            ("SOP class", "UID", "SCU", "SCP"),
            (
                (VERIFICATION.name, str(VERIFICATION), "no", "yes"),
                *((name, uid, "no", "yes") for uid, name in STORAGE_CLASSES.items()),
                (STORAGE_COMMITMENT_PUSH.name, str(STORAGE_COMMITMENT_PUSH), "yes (results only)", "no"),
            ),
        ),
        Paragraph(OTHER_CLASSES[node.other_classes]),
        Heading(4, "4.1.2 Association policies"),
        _policies(node.max_pdu_bytes, str(node.max_associations)),
        Heading(4, "4.1.3 Association acceptance"),
        Table(CONTEXT_COLUMNS, contexts, "Accepted presentation contexts"),
        Paragraph(
            "Of the transfer syntaxes that a peer proposes in one context, the first of the table is accepted. Level 2 "
            "(full) storage: all attributes are stored as they were sent; nothing is coerced. Data sets with elements "
            "that do not conform to PS3.5 section 7.1 (unknown or missing value representations, another order, an "
            "element twice) are stored where these have one meaning, and refused where not. UIDs with leading zeros "
            "(PS3.5 section 9.1) are stored and referred to as they are."
        ),
        Table(
            ("Result", "Source", "Reason", "When"),
            (
                ("1 permanent", "1 service user", "1 no reason given", "unknown address, or a wrong user identity"),
                ("1 permanent", "1 service user", "3 calling AE title", "the calling AE title is not allowed"),
                ("1 permanent", "1 service user", "7 called AE title", "the called AE title is not that of this node"),
                ("2 transient", "3 presentation", "1 congestion", "more new associations a minute than allowed"),
                ("2 transient", "3 presentation", "2 local limit", "too many associations, of all or of one peer"),
            ),
            "Rejections",
        ),
        Heading(4, "4.1.4 C-STORE responses"),
        Table(
            ("Status", "Name", "Meaning"),
            # From the enumeration that the server answers with: a new status without a meaning is a KeyError in the
            # tests.
            tuple((f"{int(s):04X}", s.name.replace("_", " ").lower(), STORE_MEANINGS[s]) for s in StoreStatus),
        ),
        Heading(4, "4.1.5 N-EVENT-REPORT responses"),
        Table(
            ("Status", "Name", "Meaning"),
            tuple((f"{int(s):04X}", s.name.replace("_", " ").lower(), EVENT_MEANINGS[s]) for s in EventReportStatus),
        ),
        Paragraph(
            "Results are received on the association of the request or on any later one that the PACS opens, with or "
            "without SCP/SCU role selection."
        ),
    ]


def _delivery_scu(settings: Settings) -> list[Block]:
    blocks: list[Block] = [
        Heading(3, "4.2 Delivery application entity"),
        Heading(4, "4.2.1 SOP classes"),
        Table(
            ("SOP class", "UID", "SCU", "SCP"),
            (
                (VERIFICATION.name, str(VERIFICATION), "yes", "no"),
                *((sent.name, sent.uid, "yes", "no") for sent in sent_classes(settings)),
                (STORAGE_COMMITMENT_PUSH.name, str(STORAGE_COMMITMENT_PUSH), "yes", "no"),
            ),
        ),
        Heading(4, "4.2.2 Association policies"),
        _policies(MAX_PDU_BYTES, "one for each delivery in progress"),
        Heading(4, "4.2.3 Association initiation"),
        Paragraph(
            "An association is opened when a report is due for a destination; it proposes those of the contexts below "
            "that the report needs. An object is sent in the first transfer syntax of its class below that the peer "
            "accepts; pictures are stored in JPEG-LS and decompressed for a peer that does not accept it, under the "
            "same SOP Instance UID. Storage commitment uses an association of its own. Where a destination may be "
            "queried for missing series, C-FIND, C-MOVE and C-GET use associations of their own as well."
        ),
    ]
    for pacs in (pacs for pacs in settings.pacs if pacs.stow_url is None or uses_query_retrieve(pacs)):
        title = f"Proposed to {pacs.name} ({pacs.ae_title} at {pacs.host}:{pacs.port})"
        blocks.append(Table(CONTEXT_COLUMNS, tuple(proposed_contexts(pacs, settings)), title))
    return [
        *blocks,
        *sent_by_dicomweb(settings),
        Heading(4, "4.2.4 Statuses of the peer"),
        Table(
            ("Service", "Status", "Meaning", "Action"),
            (
                ("C-STORE", "0000, Bxxx, 0111", "stored", "the object counts as stored"),
                ("C-STORE", "A7xx, 0110, 0124, 0210, 0213", "temporary failure", "repeated with doubling waits"),
                ("C-STORE", "Cxxx", "cannot understand", "repeated, at most 8 times"),
                ("C-STORE", "0122", "SOP class not supported", "another form of the document, where there is one"),
                ("C-STORE", "any other", "refused", "recorded; a refused report makes the delivery dead"),
                (
                    "N-ACTION",
                    "0000",
                    "the request is accepted",
                    f"the node waits for a result; then it requests again, at most {MOST_REQUESTS} times, under a new "
                    "Transaction UID each time; results of all requests are accepted, in parts and at any time",
                ),
                (
                    "N-ACTION",
                    ", ".join(f"{status:04X}" for status in sorted(NOT_OFFERED)),
                    "not offered",
                    "the report counts as delivered, not as committed",
                ),
                ("N-ACTION", "any other, none", "temporary failure", "requested again with doubling waits"),
            ),
        ),
        Table(
            ("Failure Reason", "Meaning", "Action"),
            tuple(
                (f"{reason:04X}", meaning, "recorded" if reason in NOT_RESENDABLE else "the object is sent again")
                for reason, meaning in FAILURE_REASONS.items()
            ),
            "Storage commitment failures",
        ),
    ]


def _policies(pdu_bytes: int, n_associations: str) -> Table:
    return Table(
        ("Property", "Value"),
        (
            ("Application context", "1.2.840.10008.3.1.1.1"),
            ("Largest PDU offered", f"{pdu_bytes} bytes"),
            ("Simultaneous associations", n_associations),
            ("Asynchronous operations window", "not supported: 1 operation at a time"),
            ("Implementation Class UID", IMPLEMENTATION_CLASS_UID),
            ("Implementation Version Name", IMPLEMENTATION_VERSION_NAME),
        ),
    )


def _communication(settings: Settings) -> list[Block]:
    node = settings.node
    return [
        Heading(3, "4.3 Network interfaces and communication profiles"),
        Paragraph("DICOM upper layer over TCP/IP (PS3.8), IPv4 and IPv6, with or without TLS."),
        Heading(3, "4.4 Configuration"),
        Table(
            ("Parameter", "Value"),
            (
                ("Address and port", f"{node.bind}:{node.port}"),
                ("Allowed calling AE titles", ", ".join(node.allowed_calling_aes) or "any"),
                ("Allowed addresses", ", ".join(node.allowed_addresses) or _no_addresses(node)),
                ("Called AE title is checked", "yes" if node.require_called_ae else "no"),
                ("Associations of one peer", f"{node.max_associations_per_peer} at once"),
                ("New associations of one peer", f"{node.associations_per_minute} a minute"),
                ("Longest duration of an association", f"{node.max_association_s:g} s"),
                ("Idle time after which an association is aborted", f"{node.network_timeout_s:g} s"),
                ("Lowest data rate, after that time", f"{MIN_BYTES_PER_S:g} bytes a second"),
                ("Largest object", f"{node.max_object_mb} MB"),
                ("Objects of other storage classes", node.other_classes.replace("_", " ")),
                ("TLS handshake", f"at most {HANDSHAKE_TIMEOUT_S:g} s"),
            ),
        ),
    ]


def _no_addresses(node: NodeSettings) -> str:
    return "any" if node.allowed_calling_aes else "this machine only"


def _character_sets() -> list[Block]:
    return [
        Heading(2, "6 Character sets"),
        Paragraph(
            "Received data sets may use any Specific Character Set of PS3.3 section C.12.1.1.2; they are stored "
            "as received. Created objects use ISO_IR 192 (UTF-8) with the text of the source images decoded, GB18030 "
            "and GBK included. Nothing is sent in any other character set."
        ),
    ]


def _security(settings: Settings) -> list[Block]:
    node, audit = settings.node, settings.audit
    tls = "on" if node.tls else "off"
    certificates = "required" if node.tls and node.tls.require_client_certificate else "not required"
    identity = "not checked"
    if node.users_file is not None:
        identity = "required" if node.require_user_identity else "checked where it is given"
    destinations = tuple((f"TLS to {pacs.name}", "on" if pacs.tls else "off") for pacs in settings.pacs)
    syslog = audit.syslog
    repository = f"{syslog.transport} to {syslog.host}:{syslog.port}" if syslog else "local file only"
    return [
        Heading(2, "7 Security"),
        Table(
            ("Profile or feature", "State"),
            (
                ("BCP 195 TLS secure transport connection profile (PS3.15 B.9), TLS 1.2 or newer", tls),
                ("Certificates of calling peers", certificates if node.tls else "no TLS"),
                *destinations,
                ("User identity negotiation, username with passcode (PS3.7 D.3.3.7, type 2)", identity),
                ("Audit trail message format profile (PS3.15 A.5)", "on" if audit.enabled else "off"),
                ("Audit trail message transmission profile (PS3.15 A.6, A.7)", repository),
                ("Patient ID in audit messages", audit.patient_id),
            ),
        ),
        Paragraph(
            "UserID in audit messages: the calling AE title for a peer, kind:process id@machine for a process of the "
            "node, login@machine for a user of the command line, the log-in name for a user of the web pages."
        ),
    ]
