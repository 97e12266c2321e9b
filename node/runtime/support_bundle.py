"""A support bundle: configuration, states and events for those who help a site, without patient data.

Identifiers of studies, series and jobs are replaced by keyed digests. The key is discarded, so a study has the same
pseudonym within one bundle and in no other. IPv4 addresses have the form of UIDs and are replaced, too. Secrets are
left out, and reasons are reduced to their codes.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import platform
import re
import zipfile
from collections.abc import Iterator, Sequence
from importlib.metadata import distributions
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import select
from sqlalchemy.orm import Session

from config.errors import LedgerError
from config.settings import Settings
from node.audit.metrics import metrics
from node.ledger.database import Ledger, open_ledger
from node.ledger.processes import live_processes
from node.ledger.tables import Case, Delivery, Job, Quarantined
from node.runtime.logging import events_file

MAX_ROWS, MAX_EVENTS = 2000, 5000
SECRET_KEYS = frozenset({"bearer_token", "receive_token", "smtp_user", "mail_to", "mail_from"})
EVENT_KEYS_LEFT_OUT = frozenset({"exception", "reason", "error", "text"})  # free text may quote a header
PROCESSES = ("node", "worker", "web")
_DOTTED = re.compile(r"(?<![\w.])\d+(?:\.\d+){3,}(?![\w.])")
_JOB = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

README = """Support bundle of cptdn-node.

versions.json   program, Python, operating system, libraries
settings.json   the configuration, without secrets
doctor.json     what `cptdn doctor` found
metrics.txt     counts and ages from the ledger
states.json     cases, computations, deliveries, quarantine: states, codes and times
events.jsonl    the latest log events, without free text

Studies and jobs have names that mean something within this bundle only. No patient name, identifier or date is in it.
"""


def write_support_bundle(path: Path, settings: Settings, findings: Sequence[dict[str, Any]]) -> list[str]:
    """Write a support bundle.

    Parameters
    ----------
    path : Path
        The ZIP file to write; only its owner may read it.
    settings : Settings
        The configuration.
    findings : sequence of dict
        What `node.runtime.health.check_parts` found, as dictionaries.

    Returns
    -------
    list of str
        Names of the files in the bundle. Without ledger there are no metrics, and `states.json` says why.

    Raises
    ------
    OSError
        When the file cannot be written.
    """
    pseudonyms = Pseudonyms()
    files = {
        "README.txt": README,
        "versions.json": _document(versions()),
        "settings.json": _document(settings_without_secrets(settings)),
        "doctor.json": pseudonyms.in_text(_document(list(findings))),
        "events.jsonl": "".join(_events(settings, pseudonyms)),
    }
    try:
        ledger = open_ledger(settings.ledger.url or "", migrate=False)
    except LedgerError as error:
        files["states.json"] = _document({"ledger": str(error)})
    else:
        files["metrics.txt"] = metrics(ledger, settings).body.decode()
        files["states.json"] = _document(_states(ledger, pseudonyms))
        ledger.close()
    # Created with its final rights: no moment in which another user of the machine can open it.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, text in files.items():
            bundle.writestr(name, text)
    return list(files)


class Pseudonyms:
    """Pseudonyms of identifiers, by a random key that exists only while one bundle is written."""

    def __init__(self) -> None:
        self._key = os.urandom(32)

    def of(self, identifier: str) -> str:
        """Return the pseudonym of an identifier.

        Parameters
        ----------
        identifier : str
            A UID or the id of a job.

        Returns
        -------
        str
            "id-" and 12 hexadecimal digits of its HMAC-SHA-256, the same for equal identifiers of one bundle.
        """
        return "id-" + hmac.new(self._key, identifier.encode(), hashlib.sha256).hexdigest()[:12]

    def in_text(self, text: str) -> str:
        """Return a text without identifiers.

        Parameters
        ----------
        text : str
            JSON or a line of a log.

        Returns
        -------
        str
            The text with every UID, IPv4 address and job id replaced by its pseudonym.
        """
        # UIDs of others may contain dates, device numbers or patient numbers.
        without_uids = _DOTTED.sub(lambda match: self.of(match[0]), text)
        return _JOB.sub(lambda match: self.of(match[0]), without_uids)


def versions() -> dict[str, Any]:
    """Return the versions of Python, the operating system and every installed library.

    Returns
    -------
    dict
        ``python``, ``system``, and ``libraries``: version by name of the distribution.
    """
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "libraries": dict(sorted((library.metadata["Name"], library.version) for library in distributions())),
    }


def settings_without_secrets(settings: Settings) -> dict[str, Any]:
    """Return the settings as JSON values without secrets.

    Parameters
    ----------
    settings : Settings
        The whole configuration.

    Returns
    -------
    dict
        Passwords, tokens, queries of URLs and mail addresses are replaced by "(left out)".
    """
    document: dict[str, Any] = _without_secrets(settings.model_dump(mode="json"))
    return document


def _without_secrets(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _without_secrets(part, name) for name, part in value.items()}
    if isinstance(value, list) and key not in SECRET_KEYS:
        return [_without_secrets(part, key) for part in value]
    if key in SECRET_KEYS:
        return "(left out)" if value else value
    if isinstance(value, str) and "://" in value:
        parts = urlsplit(value)
        host = parts.netloc.rpartition("@")[2]
        # The host stays: which database or PACS is used is what support needs to know.
        shown = f"(left out)@{host}" if "@" in parts.netloc else host
        return parts._replace(netloc=shown, query="", fragment="").geturl() if key != "webhook_url" else "(left out)"
    return value


def _states(ledger: Ledger, pseudonyms: Pseudonyms) -> dict[str, Any]:
    with ledger.read() as session:
        return {
            "cases": [
                {
                    "study": pseudonyms.of(case.study_instance_uid), "state": case.state,
                    "codes": [str(reason.get("code")) for reason in case.reasons], "held": case.hold is not None,
                    "received_at": case.received_at.isoformat(), "updated_at": case.updated_at.isoformat(),
                }
                for case in _latest(session, Case, Case.updated_at)
            ],
            "jobs": [
                {
                    "job": pseudonyms.of(job.id), "study": pseudonyms.of(job.study_instance_uid), "state": job.state,
                    "step": job.step, "attempts": job.attempts, "error_code": job.error_code, "seconds": job.seconds,
                    "updated_at": job.updated_at.isoformat(),
                }
                for job in _latest(session, Job, Job.updated_at)
            ],
            "deliveries": [
                {
                    "pacs": row.pacs, "state": row.state, "attempts": row.attempts,
                    "objects": [entry.get("status") for entry in row.objects.values()],
                    "created_at": row.created_at.isoformat(),
                }
                for row in _latest(session, Delivery, Delivery.created_at)
            ],
            "quarantine": [
                {"code": row.code, "received_at": row.received_at.isoformat(), "settled": bool(row.dismissed_because)}
                for row in _latest(session, Quarantined, Quarantined.received_at)
            ],
            "processes": [{"kind": row.kind, "ready": row.ready} for row in live_processes(session)],
        }  # fmt: skip


def _latest(session: Session, table: Any, column: Any) -> list[Any]:
    return list(session.scalars(select(table).order_by(column.desc()).limit(MAX_ROWS)))


def _events(settings: Settings, pseudonyms: Pseudonyms) -> Iterator[str]:
    for process in PROCESSES:
        newest = events_file(settings, process)
        lines = [
            line
            for path in (newest.with_suffix(".older.jsonl"), newest)
            if path.exists()
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines()
        ]
        for line in lines[-MAX_EVENTS:]:
            try:
                event = json.loads(line)
            except ValueError:
                continue  # a line that a full disk has cut off
            allowed = {key: value for key, value in event.items() if key not in EVENT_KEYS_LEFT_OUT}
            yield pseudonyms.in_text(json.dumps({"process": process, **allowed}, ensure_ascii=False)) + "\n"


def _document(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, default=str) + "\n"
