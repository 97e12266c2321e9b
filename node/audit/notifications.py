"""Notify people by mail or webhook: failed cases, dead deliveries, quarantined objects, little disk space.

There is at most one message in `[notify] every_s`; notices in between are sent together. A channel that fails is tried
again with doubling waits for `retry_for_s`. A message contains ids, codes and UIDs, nothing about a patient.
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
from config.messages.message import message, render
from config.messages.stored import to_json
from config.messages.template import Language
from config.settings import NotifySettings, Settings
from config.who_and_when import local_time
from node.ledger.database import Ledger, now_utc
from node.ledger.notices import LOW_DISK, Cause, claim_due, has_open, new_causes, record_notices
from node.ledger.tables import Notice
from node.store.study_store import StudyStore

log = structlog.get_logger("cptdn.notify")

LOOKBACK = timedelta(days=1)  # a node that was off for longer does not send old news
RETRY_FIRST_S, RETRY_LONGEST_S = 10.0, 3600.0
LOW_DISK_FACTOR = 2.0  # times the free space at which objects are refused
KINDS = ("failed_case", "dead_delivery", "low_disk", "quarantine", "withdrawn_answer")  # in the order of a message

Channel = Callable[[Sequence[tuple[str, str, datetime]]], None]  # (kind, text, when) of each notice


class NotTakenError(Exception):
    """A channel did not accept the message now."""


class Notifier:
    """Records new notices and sends those that are due; several nodes may do so at once.

    Attributes
    ----------
    channels : dict
        Function that sends, by name of the channel; empty when none is configured.
    """

    def __init__(self, ledger: Ledger, settings: Settings, store: StudyStore) -> None:
        self._ledger, self._settings, self._store = ledger, settings, store
        self.channels = channels_of(settings)

    def check(self) -> int:
        """Record what is new and send what is due; return the number of notices that every channel has now accepted."""
        if not self.channels:
            return 0
        notify, now = self._settings.notify, now_utc()
        since = now - LOOKBACK
        with self._ledger.read() as session:
            new = new_causes(session, since, notify.on)
            if LOW_DISK in notify.on:
                new += self._low_disk(now)
            if not new and not has_open(session):  # nearly always: no writer has to wait for this look
                return 0
        with self._ledger.begin() as session:
            record_notices(session, new, now, notify.every_s)
            # Claimed for ten times the timeout of a channel: two nodes never send the same notice.
            due = claim_due(session, now, timedelta(seconds=10 * notify.timeout_s))
            items = [(row.id, row.kind, row.said, row.recorded_at, frozenset(row.sent_to)) for row in due]
        return self._send(items) if items else 0

    def _send(self, items: Sequence[tuple[int, str, str, datetime, frozenset[str]]]) -> int:
        accepted_by: dict[int, set[str]] = {number: set(sent_to) for number, _, _, _, sent_to in items}
        for name, send in self.channels.items():
            new = [item for item in items if name not in item[4]]
            if not new:
                continue
            try:
                send([(kind, text, when) for _, kind, text, when, _ in new])
            except NotTakenError as error:
                log.warning("notice_not_sent", channel=name, reason=str(error))
                continue
            for number, *_ in new:
                accepted_by[number].add(name)
        with self._ledger.begin() as session:
            return sum(self._close_or_retry(session, number, channels) for number, channels in accepted_by.items())

    def _close_or_retry(self, session: Session, number: int, accepted_by: set[str]) -> bool:
        row, now = session.get_one(Notice, number), now_utc()
        if new := accepted_by - set(row.sent_to):
            row.sent_to = {**row.sent_to, **{name: now.isoformat() for name in new}}
            row.sent_at = now
        done = accepted_by >= set(self.channels)
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
        text = message("notice.low_disk", machine=machine, free=free, least=least)
        return [Cause(LOW_DISK, f"{machine}/{now.date()}", text)]  # once a day


def channels_of(settings: Settings) -> dict[str, Channel]:
    """Return the channels that are configured; what they say is in the language of the site's reports.

    Raises
    ------
    SettingsError
        When the file of a secret cannot be read.
    """
    notify, ae_title, language = settings.notify, settings.node.ae_title, settings.report.language
    channels: dict[str, Channel] = {}
    if notify.smtp_host and notify.mail_to:
        password = _secret(notify.smtp_password_file)
        channels["mail"] = lambda items: _mail(notify, password, ae_title, items, language)
    if notify.webhook_url:
        token = _secret(notify.webhook_token_file)
        channels["webhook"] = lambda items: _post(notify, token, ae_title, items, language)
    return channels


def _secret(path: Path | None) -> str:
    try:
        return path.read_text(encoding="utf-8").strip() if path is not None else ""
    except OSError as error:
        raise SettingsError(f"[notify] cannot read {path}: {error.strerror}") from error


def message_text(items: Sequence[tuple[str, str, datetime]], language: Language) -> str:
    """Return the text of a message, by kind of notice.

    Parameters
    ----------
    items : sequence of (str, str, datetime)
        Kind, text and time of each notice; the time is written in the zone of this machine.
    language : Language
        Of the reader.
    """
    lines = []
    for kind in KINDS:
        of_kind = [(text, when) for item_kind, text, when in items if item_kind == kind]
        if of_kind:
            lines += [message("notice.title", title=message(f"notice_title.{kind}"), n=len(of_kind)).render(language)]
            lines += [f"  {local_time(when)}  {render(text, language)}" for text, when in of_kind]
    return "\n".join([*lines, "", message("notice.more").render(language)])


def _mail(
    notify: NotifySettings, password: str, ae_title: str, items: Sequence[tuple[str, str, datetime]], language: Language
) -> None:
    mail = EmailMessage()
    mail["Subject"] = message("notice.subject", ae_title=ae_title, n=len(items)).render(language)
    mail["From"], mail["To"] = notify.mail_from, ", ".join(notify.mail_to)
    # A name of our own: the host name of a server in the clinic does not belong into a mail.
    mail["Date"], mail["Message-ID"] = formatdate(), make_msgid(domain="cptdn.invalid")
    mail.set_content(message_text(items, language))
    try:
        context = ssl.create_default_context(cafile=str(notify.smtp_ca) if notify.smtp_ca else None)
        host, port, timeout_s = notify.smtp_host or "", notify.smtp_port, notify.timeout_s
        with (
            smtplib.SMTP_SSL(host, port, timeout=timeout_s, context=context)
            if notify.smtp_security == "tls"
            else smtplib.SMTP(host, port, timeout=timeout_s)
        ) as server:
            if notify.smtp_security == "starttls":
                server.starttls(context=context)
            if notify.smtp_user:
                server.login(notify.smtp_user, password)
            server.send_message(mail)
    except (OSError, smtplib.SMTPException) as error:
        # The type of the error only: its text may quote addresses or credentials.
        raise NotTakenError(f"{notify.smtp_host}:{notify.smtp_port}: {type(error).__name__}") from error


def _post(
    notify: NotifySettings, token: str, ae_title: str, items: Sequence[tuple[str, str, datetime]], language: Language
) -> None:
    document = {
        "source": ae_title,
        # A chat shows this text to people; programs read the events, which are in English with key and parameters.
        "text": message_text(items, language),
        "events": to_json([{"kind": kind, "text": text, "at": when.isoformat()} for kind, text, when in items]),
    }
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        answer = httpx.post(notify.webhook_url or "", json=document, headers=headers, timeout=notify.timeout_s)
    except httpx.HTTPError as error:
        raise NotTakenError(f"the webhook: {type(error).__name__}") from error
    if not answer.is_success:
        raise NotTakenError(f"the webhook answered {answer.status_code}")
