"""What `cptdn doctor` and the health page check: every part of the program, each independent of the others."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from config.settings import PacsSettings, Settings

Verdict = Literal["ok", "warning", "failure"]


@dataclass(frozen=True)
class Finding:
    """One check: what was looked at, how it stands, and what to do where it is not well."""

    part: str
    verdict: Verdict
    found: str
    advice: str = ""


def examine(settings: Settings) -> Iterator[Finding]:
    """All checks, each independent of the others."""
    source = str(settings.source) if settings.source else "built-in defaults"
    yield Finding("configuration", "ok", source, "" if settings.source else "`cptdn init` writes one for this site")
    checks: list[Callable[[Settings], Finding]] = [_ledger, _storage, _broker, _node, _model, _workers, _audit, _fonts]
    for check in checks:
        yield check(settings)
    for pacs in settings.pacs:
        yield from _pacs(pacs, settings)


def _ledger(settings: Settings) -> Finding:
    from sqlalchemy.engine import make_url

    from config.errors import LedgerError
    from node.ledger.database import open_ledger

    shown = make_url(settings.ledger.url or "").render_as_string(hide_password=True)
    try:
        open_ledger(settings.ledger.url or "").close()
    except LedgerError as error:
        return Finding("ledger", "failure", str(error), "check [ledger] url, and that the database runs")
    return Finding("ledger", "ok", shown)


def _storage(settings: Settings) -> Finding:
    root = settings.storage.root
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


def _node(settings: Settings) -> Finding:
    where = f"{settings.node.ae_title} on {settings.node.bind}:{settings.node.port}"
    host = "127.0.0.1" if settings.node.bind == "0.0.0.0" else settings.node.bind  # noqa: S104 - only compared
    try:
        socket.create_connection((host, settings.node.port), timeout=3).close()
    except OSError as error:
        return Finding("node", "warning", f"{where} does not listen ({error})", "`cptdn up` or `cptdn node` starts it")
    elsewhere = settings.node.bind not in ("127.0.0.1", "::1", "localhost")
    if elsewhere and not (settings.node.allowed_calling_aes or settings.node.allowed_addresses):
        advice = "name your PACS in node.allowed_calling_aes and node.allowed_addresses"
        return Finding("node", "warning", f"{where} takes nothing from other machines", advice)
    if elsewhere and not settings.node.allowed_addresses:
        advice = "AE titles are no secret: name your PACS in node.allowed_addresses, too, or use [node] tls"
        if settings.node.tls is None:
            return Finding("node", "warning", f"{where} listens to any address that claims a known title", advice)
    return Finding("node", "ok", f"{where} listens")


def _model(settings: Settings) -> Finding:
    from config.bundle_manifest import read_manifest
    from config.decision_policy import policy_of
    from config.errors import ModelBundleError, SettingsError

    try:
        manifest = read_manifest(settings.model.bundle)
    except ModelBundleError as error:
        return Finding("model bundle", "failure", str(error), "set [model] bundle, or call the physicist")
    found = f"{manifest.name} {manifest.version}, {manifest.digest[:19]}: {manifest.intended_use}"
    try:
        policy_of(settings, manifest.indication, f"the bundle {manifest.name!r}")
    except SettingsError as error:
        return Finding("model bundle", "failure", str(error), "change that setting; the program does not start with it")
    if manifest.demonstration and not settings.model.allow_demonstration:
        advice = "train a bundle of your own, or set model.allow_demonstration for a trial"
        return Finding("model bundle", "warning", found, advice)
    return Finding("model bundle", "ok", found)


def _workers(settings: Settings) -> Finding:
    from config.errors import LedgerError
    from node.ledger.database import open_ledger
    from node.ledger.processes import live_processes

    try:
        with open_ledger(settings.ledger.url or "").begin() as session:
            workers = live_processes(session, "worker")
    except LedgerError as error:
        return Finding("workers", "failure", f"unknown, for the ledger cannot be asked: {error}")
    devices = [str(worker.info.get("device", "cpu")) for worker in workers]
    if not workers:
        return Finding("workers", "warning", "none is running", "`cptdn up` or `cptdn worker` starts them")
    if settings.model.device == "cuda" and not any(device.startswith("cuda") for device in devices):
        return Finding("workers", "failure", f"model.device is cuda, and the workers found {', '.join(devices)}")
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
        advice = "nothing is lost: the trail is sent on when the repository is back"
        return Finding("audit", "warning", f"{where} does not take messages ({why}); {waiting} bytes wait", advice)
    return Finding("audit", "ok", f"{where}; {waiting} bytes wait")


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
    try:
        trial = check_destination(pacs, settings)
    except CptdnError as error:
        advice = "check host, port, AE titles on both sides and TLS"
        yield Finding(part, "failure", str(error), advice)
        return
    yield Finding(part, "ok", f"C-ECHO answered in {trial.echo_seconds * 1000:.0f} ms")
    for what in trial.refused:
        yield Finding(part, "warning", f"does not accept {what}", "enable this SOP class at the PACS, or change `send`")
