"""Telling a person by mail or webhook: failed cases, dead deliveries, quarantine, a disk that fills.

At most one message in `[notify] every_s`; what happens meanwhile is put together. A channel that does not answer is
tried again with doubling waits until `retry_for_s` is over. A message holds ids, codes and UIDs, nothing of a patient.
"""

from __future__ import annotations

import smtplib
import socket
import ssl
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path

import httpx
import structlog
from sqlalchemy.orm import Session

from config.errors import SettingsError
from config.settings import NotifySettings, Settings
from node.ledger.database import Ledger, now_utc
from node.ledger.notices import LOW_DISK, Cause, claim_due, find_causes, record_notices
from node.ledger.tables import Notice
from node.store.study_store import StudyStore

log = structlog.get_logger("cptdn.notify")

LOOKS_BACK = timedelta(days=1)
RETRY_FIRST_S, RETRY_LONGEST_S = 10.0, 3600.0
LOW_DISK_FACTOR = 2.0  # warned of at so many times the free space at which objects are refused
TITLES = {
    "failed_case": "Computations that failed", "dead_delivery": "Deliveries that were given up",
    "low_disk": "Little room left", "quarantine": "Objects kept aside",
}  # fmt: skip

Channel = Callable[[Sequence[tuple[str, str, datetime]]], None]  # (kind, text, when) of each notice


class NotTakenError(Exception):
    """A channel did not take the message now."""


class Notifier:
    """One look after another: note what is new, tell what is due. Several nodes may do so at once."""

    def __init__(self, ledger: Ledger, settings: Settings, store: StudyStore) -> None:
        self._ledger, self._settings, self._store = ledger, settings, store
        self.channels = channels_of(settings.notify, settings.node.ae_title)

    def check(self) -> int:
        """Returns how many notices were told everywhere."""
        if not self.channels:
            return 0
        notify, now = self._settings.notify, now_utc()
        with self._ledger.begin() as session:
            seen = [*find_causes(session, now - LOOKS_BACK), *self._low_disk(now)]
            record_notices(session, seen, notify.on, now, notify.every_s)
            due = claim_due(session, now, timedelta(seconds=10 * notify.timeout_s))
            items = [(row.id, row.kind, row.text, row.recorded_at, frozenset(row.sent_to)) for row in due]
        return self._tell(items) if items else 0

    def _tell(self, items: Sequence[tuple[int, str, str, datetime, frozenset[str]]]) -> int:
        taken: dict[int, set[str]] = {number: set(told) for number, _, _, _, told in items}
        for name, send in self.channels.items():
            new = [one for one in items if name not in one[4]]
            if not new:
                continue
            try:
                send([(kind, text, when) for _, kind, text, when, _ in new])
            except NotTakenError as error:
                log.warning("notice_not_sent", channel=name, reason=str(error))
                continue
            for number, *_ in new:
                taken[number].add(name)
        with self._ledger.begin() as session:
            return sum(self._settle(session, number, told) for number, told in taken.items())

    def _settle(self, session: Session, number: int, told: set[str]) -> bool:
        row, now = session.get_one(Notice, number), now_utc()
        if told - set(row.sent_to):
            row.sent_to = {**row.sent_to, **{name: now.isoformat() for name in told - set(row.sent_to)}}
            row.sent_at = now
        done = told >= set(self.channels)
        if done or now - row.recorded_at > timedelta(seconds=self._settings.notify.retry_for_s):
            row.closed_at = now
            if not done:
                log.error("notice_given_up", notice=row.id, kind=row.kind)
        else:
            wait = min(RETRY_LONGEST_S, RETRY_FIRST_S * 2.0 ** min(row.attempts - 1, 20))
            row.not_before = now + timedelta(seconds=wait)
        return done

    def _low_disk(self, now: datetime) -> list[Cause]:
        free, least = self._store.free_bytes() / 1e9, self._settings.storage.min_free_gb
        if least <= 0 or free >= LOW_DISK_FACTOR * least:
            return []
        machine = socket.gethostname()
        text = f"{machine}: {free:.1f} GB free, objects are refused below {least:g} GB"
        return [Cause(LOW_DISK, f"{machine}/{now.date()}", text)]  # once a day


def channels_of(notify: NotifySettings, ae_title: str) -> dict[str, Channel]:
    """The channels that are configured. Raises SettingsError when a secret's file cannot be read."""
    found: dict[str, Channel] = {}
    if notify.smtp_host and notify.mail_to:
        password = _secret(notify.smtp_password_file)
        found["mail"] = lambda items: _mail(notify, password, ae_title, items)
    if notify.webhook_url:
        token = _secret(notify.webhook_token_file)
        found["webhook"] = lambda items: _post(notify, token, ae_title, items)
    return found


def _secret(path: Path | None) -> str:
    try:
        return path.read_text(encoding="utf-8").strip() if path is not None else ""
    except OSError as error:
        raise SettingsError(f"[notify] cannot read {path}: {error.strerror}") from error


def message_text(items: Sequence[tuple[str, str, datetime]]) -> str:
    """What a person reads."""
    lines = []
    for kind, title in TITLES.items():
        of_kind = [(text, when) for found, text, when in items if found == kind]
        if of_kind:
            lines += [f"{title} ({len(of_kind)}):"]
            lines += [f"  {when:%Y-%m-%d %H:%M} UTC  {text}" for text, when in of_kind]
    return "\n".join([*lines, "", "`cptdn status`, `cptdn jobs list` and `cptdn quarantine list` show more."])


def _mail(notify: NotifySettings, password: str, ae_title: str, items: Sequence[tuple[str, str, datetime]]) -> None:
    mail = EmailMessage()
    mail["Subject"] = f"{ae_title}: {len(items)} thing{'' if len(items) == 1 else 's'} to look at"
    mail["From"], mail["To"] = notify.mail_from, ", ".join(notify.mail_to)
    mail["Date"], mail["Message-ID"] = formatdate(), make_msgid(domain="cptdn.invalid")
    mail.set_content(message_text(items))
    try:
        context = ssl.create_default_context(cafile=str(notify.smtp_ca) if notify.smtp_ca else None)
        where, port, wait = notify.smtp_host or "", notify.smtp_port, notify.timeout_s
        with (
            smtplib.SMTP_SSL(where, port, timeout=wait, context=context)
            if notify.smtp_security == "tls"
            else smtplib.SMTP(where, port, timeout=wait)
        ) as server:
            if notify.smtp_security == "starttls":
                server.starttls(context=context)
            if notify.smtp_user:
                server.login(notify.smtp_user, password)
            server.send_message(mail)
    except (OSError, smtplib.SMTPException) as error:
        raise NotTakenError(f"{notify.smtp_host}:{notify.smtp_port}: {type(error).__name__}") from error


def _post(notify: NotifySettings, token: str, ae_title: str, items: Sequence[tuple[str, str, datetime]]) -> None:
    document = {
        "source": ae_title,
        "text": message_text(items),
        "events": [{"kind": kind, "text": text, "at": when.isoformat()} for kind, text, when in items],
    }
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        answer = httpx.post(notify.webhook_url or "", json=document, headers=headers, timeout=notify.timeout_s)
    except httpx.HTTPError as error:
        raise NotTakenError(f"the webhook: {type(error).__name__}") from error
    if not answer.is_success:
        raise NotTakenError(f"the webhook answered {answer.status_code}")
