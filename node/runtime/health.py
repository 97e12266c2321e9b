"""Checks of every part of the program: `cptdn doctor`, `cptdn ready`, the health page and its probes share them.

Modules of a part are imported where it is checked: `cptdn ready` runs every few seconds in a container, and must load
neither Celery nor pynetdicom.
"""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from config.addresses import is_loopback
from config.messages.message import message, text_of
from config.settings import Hl7OutSettings, NotifiedAeSettings, PacsSettings, Settings, WorklistSettings
from config.system_error import reason_of
from config.who_and_when import local_day, local_time
from node.runtime.dicomweb_health import check_intake, check_source

if TYPE_CHECKING:
    from node.ledger.database import Ledger
    from node.store.consistency import Finding as Difference

Verdict = Literal["ok", "warning", "failure"]


@dataclass(frozen=True)
class Finding:
    """Result of one check.

    Attributes
    ----------
    part : str
        The part that was checked.
    verdict : str
        ok, warning or failure; a failure keeps the program from working.
    found : str
        What was found.
    advice : str
        What to do; empty when nothing has to be done.
    """

    part: str
    verdict: Verdict
    found: str
    advice: str = ""


def check_parts(settings: Settings) -> Iterator[Finding]:
    """Check every part; no check depends on another, so that a broken ledger hides no broken broker.

    Parameters
    ----------
    settings : Settings
        The configuration; each `[[pacs]]` is tried by C-ECHO and an association that proposes what would be sent, each
        `[[hl7_out]]` by a connection, each `[[worklist]]` by a query, each `[[notified_ae]]` by an association.

    Yields
    ------
    Finding
        One for each part, and for each PACS one more for each SOP class that it refuses.
    """
    source = str(settings.source) if settings.source else message("health.defaults")
    advice = "" if settings.source else message("health.init")
    yield Finding(message("part.configuration"), "ok", source, advice)
    # What other parts depend on comes first: the first failure is often the cause of those below it.
    checks: list[Callable[[Settings], Finding]] = [
        _ledger,
        _storage,
        _broker,
        _deliveries,
        _node,
        _background,
        check_model,
        _workers,
        _audit,
        _fonts,
    ]
    for check in checks:
        yield check(settings)
    if settings.dicomweb.receive:
        found, problem = check_intake(settings)
        yield Finding("DICOMweb intake", "warning" if problem else "ok", found, problem)
    for pacs in settings.pacs:
        yield from _pacs(pacs, settings)
        if pacs.query_retrieve and pacs.wado_url is not None:
            found, problem = check_source(pacs)
            advice = "check wado_url, wado_token_file and TLS of this [[pacs]]" if problem else ""
            yield Finding(f"PACS {pacs.name}, queries", "failure" if problem else "ok", problem or found, advice)
    for receiver in settings.hl7_out:
        yield _hl7_receiver(receiver)
    for worklist in settings.worklist:
        yield _worklist(worklist, settings)
    for notified in settings.notified_ae:
        yield _notified_ae(notified, settings)


def ready_processes(ledger: Ledger, kind: str, host: str | None = None) -> list[dict[str, Any]]:
    """Return the live processes of a kind that are ready for work.

    Parameters
    ----------
    ledger : Ledger
        Where processes have their heartbeats.
    kind : str
        node, worker or web.
    host : str, optional
        Only processes of this host name; None for any machine.

    Returns
    -------
    list of dict
        kind, host, pid, and what the process has told about itself.
    """
    from node.ledger.processes import live_processes

    with ledger.read() as session:
        return [
            {"kind": process.kind, "host": process.host, "pid": process.pid, **process.info}
            for process in live_processes(session, kind)
            if process.ready and (host is None or process.host == host)
        ]


@dataclass(frozen=True)
class StorageFinding:
    """A difference between ledger and disk, and what was or can be done about it.

    Attributes
    ----------
    finding : node.store.consistency.Finding
        The difference.
    repaired : str
        What was done; empty when nothing was.
    advice : str
        What to do; empty when it is repaired.
    """

    finding: Difference
    repaired: str
    advice: str

    @property
    def is_open(self) -> bool:
        """Whether an administrator has to act; a report without a row is used by the next attempt of its step."""
        return not self.repaired and self.finding.kind != "orphan_report"


def check_storage(settings: Settings, repair: bool) -> Iterator[StorageFinding]:
    """Compare the ledger with the disk in both directions, and repair what can be repaired safely.

    Parameters
    ----------
    settings : Settings
        Ledger and storage.
    repair : bool
        Whether to repair.

    Yields
    ------
    StorageFinding
        Each difference. The deletion lock is held until the last one: retention must not delete what is compared.
    """
    from node.ledger.database import open_ledger
    from node.store.consistency import check_consistency
    from node.store.retention import empty_or_undo_trash
    from node.store.study_store import StudyStore
    from node.workflow.storage_repair import ADVICE, Repair

    ledger = open_ledger(settings.ledger.url or "")
    store = StudyStore(settings.storage.root, settings.storage.min_free_gb)
    store.prepare()
    repair_finding = Repair(ledger, store)
    with store.deletion_lock(wait=True):
        empty_or_undo_trash(ledger, store)
        for finding in check_consistency(ledger, store):
            done = repair_finding(finding) if repair else ""
            advice = "" if done else ADVICE.get(finding.kind, "`cptdn doctor --storage --repair` repairs it")
            yield StorageFinding(finding, done, advice)
    store.close()
    ledger.close()


def _ledger(settings: Settings) -> Finding:
    from sqlalchemy.engine import make_url

    from config.errors import LedgerError
    from node.ledger.database import open_ledger

    shown = make_url(settings.ledger.url or "").render_as_string(hide_password=True)
    try:
        open_ledger(settings.ledger.url or "").close()
    except (LedgerError, OSError) as error:  # OSError: the folder of an SQLite ledger cannot be made
        return Finding(message("part.ledger"), "failure", text_of(error), message("health.check_ledger"))
    return Finding(message("part.ledger"), "ok", shown)


def _storage(settings: Settings) -> Finding:
    root = settings.storage.root
    # Before the first start the root does not exist: the disk of its parent is the one that counts.
    existing = next(folder for folder in (root, *root.parents) if folder.exists())
    free_gb = shutil.disk_usage(existing).free / 1e9
    found = message("health.free", root=str(root), free=free_gb)
    if free_gb < settings.storage.min_free_gb:
        advice = message("health.too_little", least=settings.storage.min_free_gb)
        return Finding(message("part.storage"), "failure", found, advice)
    return Finding(message("part.storage"), "ok", found)


def _broker(settings: Settings) -> Finding:
    from node.messaging.broker import broker_url, redis_of
    from node.messaging.messages import BrokerUnavailableError
    from node.messaging.queue import queue_lengths

    part, embedded = message("part.broker"), settings.broker.url == "embedded"
    try:
        waiting = queue_lengths(redis_of(broker_url(settings)))
    except BrokerUnavailableError as error:
        if embedded:
            advice = message("health.up_starts_it")
            return Finding(part, "warning", message("health.no_embedded_broker"), advice)
        return Finding(part, "failure", reason_of(error), message("health.check_broker"))
    queues = [f"{queue} {n}" for queue, n in waiting.items()]
    return Finding(part, "ok", message("health.waiting", queues=queues))


def _deliveries(settings: Settings) -> Finding:
    from config.errors import LedgerError
    from node.ledger.database import now_utc, open_ledger
    from node.runtime.delivery_backlog import delivery_backlog

    part = message("part.deliveries")

    try:
        with open_ledger(settings.ledger.url or "").read() as session:
            backlog = delivery_backlog(session, settings.storage.retention_days)
    except (LedgerError, OSError) as error:
        return Finding(part, "failure", message("health.unknown", why=text_of(error)))
    found = [message("health.deliveries", open=backlog.n_open, dead=backlog.n_dead)]
    is_late = backlog.oldest_open is not None and now_utc() - backlog.oldest_open > timedelta(days=1)
    if backlog.oldest_open is not None and is_late:
        reason = backlog.oldest_reason or message("health.commitment_awaited")
        found.append(message("health.oldest", day=local_day(backlog.oldest_open), reason=reason))
    if backlog.kept_studies:
        found.append(message("health.kept", n=backlog.kept_studies, gb=backlog.kept_bytes / 1e9))
    text = message("health.several", parts=found)
    if backlog.n_dead or is_late:
        return Finding(part, "warning", text, message("health.see_jobs"))
    return Finding(part, "ok", text)


def _node(settings: Settings) -> Finding:
    node, part = settings.node, message("part.node")
    where = message("health.node", ae=node.ae_title, bind=node.bind, port=node.port)
    # 0.0.0.0 means every address of this machine; as a destination it works on some systems only.
    host = "127.0.0.1" if settings.node.bind == "0.0.0.0" else settings.node.bind  # noqa: S104 - only compared
    try:
        socket.create_connection((host, settings.node.port), timeout=3).close()
    except OSError as error:
        text = message("health.node_silent", where=where, why=reason_of(error))
        return Finding(part, "warning", text, message("health.start_node"))
    elsewhere = not is_loopback(settings.node.bind)
    if elsewhere and not (settings.node.allowed_calling_aes or settings.node.allowed_addresses):
        return Finding(part, "warning", message("health.node_closed", where=where), message("health.name_pacs"))
    if elsewhere and not settings.node.allowed_addresses and settings.node.tls is None:
        return Finding(part, "warning", message("health.node_open", where=where), message("health.ae_not_secret"))
    return Finding(part, "ok", message("health.node_listens", where=where))


def _background(settings: Settings) -> Finding:
    from config.errors import LedgerError
    from node.ledger.database import open_ledger
    from node.ledger.processes import live_processes

    part = message("part.background")
    try:
        with open_ledger(settings.ledger.url or "").read() as session:
            processes = live_processes(session)
    except (LedgerError, OSError) as error:
        return Finding(part, "failure", message("health.unknown", why=text_of(error)))
    failing = [
        message(
            "health.work_fails", work=work["name"], process=process.kind, host=process.host, error=work["error"],
            since=local_time(datetime.fromisoformat(work["since"])),
        )
        for process in processes
        for work in process.info.get("failing", ())
    ]  # fmt: skip
    if not failing:
        return Finding(part, "ok", message("health.nothing_fails", n=len(processes)))
    return Finding(part, "failure", message("health.several", parts=failing), message("health.see_log"))


def check_model(settings: Settings) -> Finding:
    """Check the configured bundle: whether it can be read, fits the settings and may compute, and its marks."""
    from config.bundle_manifest import read_manifest
    from config.decision_policy import policy_for_manifest
    from config.errors import ModelBundleError, SettingsError
    from config.indication.vocabulary import ConditionState

    part = message("part.model_bundle")
    try:
        manifest = read_manifest(settings.model.bundle)
    except ModelBundleError as error:
        return Finding(part, "failure", text_of(error), message("health.set_bundle"))
    found = message(
        "health.bundle", name=manifest.name, version=manifest.version, digest=manifest.digest[:19],
        use=manifest.intended_use,
    )  # fmt: skip
    try:
        policy = policy_for_manifest(settings, manifest)
    except SettingsError as error:
        return Finding(part, "failure", text_of(error), message("health.change_setting"))
    if refused := manifest.admission.refused:
        text = message("health.bundle_refused", found=found, reasons=[finding.text for finding in refused])
        return Finding(part, "failure", text, message("health.activate_other"))
    if manifest.demonstration and not settings.model.allow_demonstration:
        return Finding(part, "warning", found, message("health.train_own"))
    if marks := [one.text for one in policy.conditions if one.state is ConditionState.NOT_MET]:
        text = message("health.bundle_marked", found=found, reasons=marks)
        return Finding(part, "warning", text, message("health.ask_physicist"))
    return Finding(part, "ok", found)


def _workers(settings: Settings) -> Finding:
    from config.errors import LedgerError
    from node.ledger.database import open_ledger
    from node.ledger.processes import live_processes

    part = message("part.workers")
    try:
        with open_ledger(settings.ledger.url or "").read() as session:
            workers = live_processes(session, "worker")
    except (LedgerError, OSError) as error:
        return Finding(part, "failure", message("health.unknown", why=text_of(error)))
    devices = [str(worker.info.get("device", "cpu")) for worker in workers]
    if not workers:
        return Finding(part, "warning", message("health.no_worker"), message("health.start_worker"))
    # A worker with a broken driver computes on the processor, much more slowly, and nothing else says so.
    if settings.model.device == "cuda" and not any(device.startswith("cuda") for device in devices):
        return Finding(part, "failure", message("health.no_cuda", devices=devices))
    found = [f"{worker.host} ({device})" for worker, device in zip(workers, devices, strict=True)]
    return Finding(part, "ok", message("health.workers", workers=found))


def _audit(settings: Settings) -> Finding:
    from node.audit.forwarding import backlog_bytes
    from node.audit.recorder import open_audit
    from node.audit.syslog import check_repository

    part = message("part.audit")
    if not settings.audit.enabled:
        return Finding(part, "warning", message("health.no_audit"), message("health.set_audit"))
    trail, syslog = open_audit(settings).trail, settings.audit.syslog
    if syslog is None:
        return Finding(part, "ok", message("health.audit_local", folder=str(trail.folder)))
    where = f"{syslog.transport}://{syslog.host}:{syslog.port}"
    waiting = backlog_bytes(trail)
    if (why := check_repository(syslog)) is not None:
        text = message("health.audit_refused", where=where, why=why, n=waiting)
        return Finding(part, "warning", text, message("health.audit_waits"))
    return Finding(part, "ok", message("health.audit_pending", where=where, n=waiting))


def _fonts(settings: Settings) -> Finding:
    from node.runtime.page_fonts import PageFontsError, page_fonts

    part = message("part.fonts")
    try:
        fonts = page_fonts()
    except PageFontsError as error:
        text = message("health.no_fonts", why=str(error))
        return Finding(part, "warning", text, message("health.check_matplotlib"))
    if fonts is None:
        return Finding(part, "ok", message("health.no_matplotlib"))
    found = [f"{name} ({path})" for name, path in fonts.items()]
    if len(fonts) > 1:
        return Finding(part, "ok", message("health.fonts", fonts=found))
    verdict: Verdict = "warning" if settings.report.language == "zh" else "ok"
    return Finding(part, verdict, message("health.no_chinese_font", fonts=found), message("health.install_font"))


def _pacs(pacs: PacsSettings, settings: Settings) -> Iterator[Finding]:
    from config.errors import CptdnError
    from node.dicom.scu.destination_check import check_destination

    part = message("part.pacs", name=pacs.name)
    if pacs.stow_url is not None:
        from node.dicom.scu.stow_client import check_stow

        try:
            yield Finding(part, "ok", check_stow(pacs))
        except CptdnError as error:
            yield Finding(part, "failure", text_of(error), message("health.check_stow"))
        return
    try:
        trial = check_destination(pacs, settings)
    except CptdnError as error:
        yield Finding(part, "failure", text_of(error), message("health.check_pacs"))
        return
    yield Finding(part, "ok", message("health.echo", ms=trial.echo_seconds * 1000))
    for what in trial.refused:
        yield Finding(part, "warning", message("health.refuses", what=what), message("health.enable_class"))


def _hl7_receiver(receiver: Hl7OutSettings) -> Finding:
    from config.errors import CptdnError
    from node.clinical.mllp_client import MllpConnection

    part = message("part.hl7", name=receiver.name)
    try:
        with MllpConnection(receiver):
            pass
    except CptdnError as error:
        return Finding(part, "failure", text_of(error), message("health.check_hl7"))
    # HL7 has no message that changes nothing, as C-ECHO does.
    where = {"host": receiver.host, "port": receiver.port, "messages": receiver.messages}
    return Finding(part, "ok", message("health.hl7_tls" if receiver.tls else "health.hl7", **where))


def _worklist(worklist: WorklistSettings, settings: Settings) -> Finding:
    from config.errors import CptdnError
    from node.dicom.scu.worklist_check import check_worklist

    part, items = f"worklist {worklist.name}", settings.work_items
    try:
        n_scheduled = check_worklist(worklist, settings)
    except CptdnError as error:
        return Finding(part, "failure", text_of(error), message("health.check_worklist"))
    return Finding(part, "ok", message("health.worklist", n=n_scheduled, code=items.code, scheme=items.code_scheme))


def _notified_ae(receiver: NotifiedAeSettings, settings: Settings) -> Finding:
    from config.errors import CptdnError
    from node.dicom.scu.worklist_check import check_notified

    part = f"notified {receiver.ae_title}"
    try:
        refused = check_notified(receiver, settings)
    except CptdnError as error:
        return Finding(part, "failure", text_of(error), message("health.check_notified"))
    if refused:
        return Finding(part, "warning", message("health.not_accepted", names=refused), message("health.enable_there"))
    return Finding(part, "ok", message("health.notified"))
