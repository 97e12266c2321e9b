"""Checks of every part of the program: `cptdn doctor`, `cptdn ready`, the health page and its probes share them.

Modules of a part are imported where it is checked: `cptdn ready` runs every few seconds in a container, and must load
neither Celery nor pynetdicom.
"""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from config.addresses import is_loopback
from config.settings import Hl7OutSettings, PacsSettings, Settings
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
        `[[hl7_out]]` by a connection.

    Yields
    ------
    Finding
        One for each part, and for each PACS one more for each SOP class that it refuses.
    """
    source = str(settings.source) if settings.source else "built-in defaults"
    yield Finding("configuration", "ok", source, "" if settings.source else "`cptdn init` writes one for this site")
    # What other parts depend on comes first: the first failure is often the cause of those below it.
    checks: list[Callable[[Settings], Finding]] = [
        _ledger,
        _storage,
        _broker,
        _deliveries,
        _node,
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

    with ledger.begin() as session:
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
        return Finding("ledger", "failure", str(error), "check [ledger] url, and that the database runs")
    return Finding("ledger", "ok", shown)


def _storage(settings: Settings) -> Finding:
    root = settings.storage.root
    # Before the first start the root does not exist: the disk of its parent is the one that counts.
    existing = next(folder for folder in (root, *root.parents) if folder.exists())
    free_gb = shutil.disk_usage(existing).free / 1e9
    found = f"{root}: {free_gb:.1f} GB free"
    if free_gb < settings.storage.min_free_gb:
        advice = (
            f"objects are refused below {settings.storage.min_free_gb:g} GB: free space or lower storage.min_free_gb"
        )
        return Finding("storage", "failure", found, advice)
    return Finding("storage", "ok", found)


def _broker(settings: Settings) -> Finding:
    from node.messaging.broker import broker_url, redis_of
    from node.messaging.messages import BrokerUnavailableError
    from node.messaging.queue import queue_lengths

    embedded = settings.broker.url == "embedded"
    try:
        waiting = queue_lengths(redis_of(broker_url(settings)))
    except BrokerUnavailableError as error:
        if embedded:
            return Finding("broker", "warning", "the embedded broker does not run", "`cptdn up` starts it")
        return Finding("broker", "failure", str(error), "check [broker] url, and that the broker runs")
    return Finding("broker", "ok", ", ".join(f"{queue} {n}" for queue, n in waiting.items()) + " messages waiting")


def _deliveries(settings: Settings) -> Finding:
    from config.errors import LedgerError
    from node.ledger.database import now_utc, open_ledger
    from node.runtime.delivery_backlog import delivery_backlog, kept_text

    try:
        with open_ledger(settings.ledger.url or "").begin() as session:
            backlog = delivery_backlog(session, settings.storage.retention_days)
    except (LedgerError, OSError) as error:
        return Finding("deliveries", "failure", f"unknown: {error}")
    found = [f"{backlog.n_open} open, {backlog.n_dead} given up"]
    is_late = backlog.oldest_open is not None and now_utc() - backlog.oldest_open > timedelta(days=1)
    if backlog.oldest_open is not None and is_late:
        reason = backlog.oldest_reason or "its commitment is awaited"
        found.append(f"the oldest open one is tried since {backlog.oldest_open:%Y-%m-%d}: {reason}")
    if kept := kept_text(backlog):
        found.append(f"{kept} are older than storage.retention_days and stay until their deliveries have ended")
    if backlog.n_dead or is_late:
        advice = "`cptdn jobs list --state dead --state pending --state sent` has the reasons; then `cptdn jobs retry`"
        return Finding("deliveries", "warning", "; ".join(found), advice)
    return Finding("deliveries", "ok", "; ".join(found))


def _node(settings: Settings) -> Finding:
    where = f"{settings.node.ae_title} on {settings.node.bind}:{settings.node.port}"
    # 0.0.0.0 means every address of this machine; as a destination it works on some systems only.
    host = "127.0.0.1" if settings.node.bind == "0.0.0.0" else settings.node.bind  # noqa: S104 - only compared
    try:
        socket.create_connection((host, settings.node.port), timeout=3).close()
    except OSError as error:
        return Finding("node", "warning", f"{where} does not listen ({error})", "`cptdn up` or `cptdn node` starts it")
    elsewhere = not is_loopback(settings.node.bind)
    if elsewhere and not (settings.node.allowed_calling_aes or settings.node.allowed_addresses):
        advice = "name your PACS in node.allowed_calling_aes and node.allowed_addresses"
        return Finding("node", "warning", f"{where} accepts no association from other machines", advice)
    if elsewhere and not settings.node.allowed_addresses:
        advice = "AE titles are not secret: name your PACS in node.allowed_addresses, too, or use [node] tls"
        if settings.node.tls is None:
            return Finding("node", "warning", f"{where} accepts any address that uses an allowed AE title", advice)
    return Finding("node", "ok", f"{where} listens")


def check_model(settings: Settings) -> Finding:
    """Check the configured bundle: whether it can be read, fits the settings and may compute, and its marks."""
    from config.bundle_manifest import read_manifest
    from config.decision_policy import policy_for_manifest
    from config.errors import ModelBundleError, SettingsError
    from config.indication.vocabulary import ConditionState

    try:
        manifest = read_manifest(settings.model.bundle)
    except ModelBundleError as error:
        return Finding("model bundle", "failure", str(error), "set [model] bundle, or ask the physicist")
    found = f"{manifest.name} {manifest.version}, {manifest.digest[:19]}: {manifest.intended_use}"
    try:
        policy = policy_for_manifest(settings, manifest)
    except SettingsError as error:
        return Finding("model bundle", "failure", str(error), "change that setting; the program does not start with it")
    if refused := manifest.admission.refused:
        reasons = " ".join(finding.text for finding in refused)
        advice = "activate another bundle; every study is refused (model_not_permitted)"
        return Finding("model bundle", "failure", f"{found}; refused: {reasons}", advice)
    if manifest.demonstration and not settings.model.allow_demonstration:
        advice = "train a bundle of your own, or set model.allow_demonstration for a trial"
        return Finding("model bundle", "warning", found, advice)
    if marks := [one.text for one in policy.conditions if one.state is ConditionState.NOT_MET]:
        advice = "every report says so; ask the physicist whether the bundle should be used"
        return Finding("model bundle", "warning", f"{found}; marked: {' '.join(marks)}", advice)
    return Finding("model bundle", "ok", found)


def _workers(settings: Settings) -> Finding:
    from config.errors import LedgerError
    from node.ledger.database import open_ledger
    from node.ledger.processes import live_processes

    try:
        with open_ledger(settings.ledger.url or "").begin() as session:
            workers = live_processes(session, "worker")
    except (LedgerError, OSError) as error:
        return Finding("workers", "failure", f"unknown: {error}")
    devices = [str(worker.info.get("device", "cpu")) for worker in workers]
    if not workers:
        return Finding("workers", "warning", "none is running", "`cptdn up` or `cptdn worker` starts one")
    # A worker with a broken driver computes on the processor, much more slowly, and nothing else says so.
    if settings.model.device == "cuda" and not any(device.startswith("cuda") for device in devices):
        return Finding("workers", "failure", f"expected a worker with CUDA (model.device), found {', '.join(devices)}")
    return Finding(
        "workers", "ok", ", ".join(f"{worker.host} ({device})" for worker, device in zip(workers, devices, strict=True))
    )


def _audit(settings: Settings) -> Finding:
    from node.audit.forwarding import backlog_bytes
    from node.audit.recorder import open_audit
    from node.audit.syslog import check_repository

    if not settings.audit.enabled:
        return Finding("audit", "warning", "no audit trail is written", "set [audit] enabled = true")
    trail, syslog = open_audit(settings).trail, settings.audit.syslog
    if syslog is None:
        return Finding("audit", "ok", f"{trail.folder}; no repository is configured")
    where = f"{syslog.transport}://{syslog.host}:{syslog.port}"
    waiting = backlog_bytes(trail)
    if (why := check_repository(syslog)) is not None:
        advice = "nothing is lost: the trail is forwarded when the repository answers"
        return Finding(
            "audit", "warning", f"{where} does not accept messages ({why}); {waiting} bytes are pending", advice
        )
    return Finding("audit", "ok", f"{where}; {waiting} bytes are pending")


def _fonts(settings: Settings) -> Finding:
    from node.runtime.page_fonts import PageFontsError, page_fonts

    try:
        fonts = page_fonts()
    except PageFontsError as error:
        return Finding(
            "fonts", "warning", f"the fonts cannot be listed: {error}", "check the installation of matplotlib"
        )
    if fonts is None:
        return Finding("fonts", "ok", "matplotlib is not installed: no pages are drawn on this machine")
    found = ", ".join(f"{name} ({path})" for name, path in fonts.items())
    if len(fonts) > 1:
        return Finding("fonts", "ok", found)
    advice = "install a font with Chinese characters (Debian: fonts-noto-cjk), then start the workers again"
    verdict: Verdict = "warning" if settings.report.language == "zh" else "ok"
    return Finding("fonts", verdict, f"{found}; no Chinese font: pages are in English, names in Latin letters", advice)


def _pacs(pacs: PacsSettings, settings: Settings) -> Iterator[Finding]:
    from config.errors import CptdnError
    from node.dicom.scu.destination_check import check_destination

    part = f"PACS {pacs.name}"
    if pacs.stow_url is not None:
        from node.dicom.scu.stow_client import check_stow

        try:
            yield Finding(part, "ok", check_stow(pacs))
        except CptdnError as error:
            yield Finding(part, "failure", str(error), "check stow_url, stow_token_file and TLS of this [[pacs]]")
        return
    try:
        trial = check_destination(pacs, settings)
    except CptdnError as error:
        advice = "check host, port, AE titles on both sides and TLS"
        yield Finding(part, "failure", str(error), advice)
        return
    yield Finding(part, "ok", f"C-ECHO answered in {trial.echo_seconds * 1000:.0f} ms")
    for what in trial.refused:
        yield Finding(part, "warning", f"does not accept {what}", "enable this SOP class at the PACS, or change `send`")


def _hl7_receiver(receiver: Hl7OutSettings) -> Finding:
    from config.errors import CptdnError
    from node.clinical.mllp_client import MllpConnection

    part = f"HL7 {receiver.name}"
    try:
        with MllpConnection(receiver):
            pass
    except CptdnError as error:
        return Finding(part, "failure", str(error), "check host, port and TLS of this [[hl7_out]], and the interface")
    # HL7 has no message that changes nothing, as C-ECHO does.
    found = f"accepts connections at {receiver.host}:{receiver.port}{', TLS' if receiver.tls else ''}"
    return Finding(part, "ok", f"{found}; it gets {', '.join(receiver.messages)}, no message was sent for this check")
