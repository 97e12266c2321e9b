"""Notices by mail and webhook: what is told, once, together, again when it did not arrive, and nothing of a patient."""

from __future__ import annotations

import email
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from config.errors import SettingsError
from config.settings import NotifySettings, Settings, StorageSettings
from node.audit.notifications import Notifier, channels_of
from node.ledger import jobs
from node.ledger.cases import open_case
from node.ledger.database import Ledger, now_utc, open_ledger
from node.ledger.tables import Delivery, Notice, Quarantined, Report
from node.store.study_store import StudyStore
from tests.dicom.certificates import Authority, Certificate
from tests.flow.collectors import Collector, collector


@pytest.fixture
def hook() -> Iterator[Collector]:
    with collector() as running:
        yield running


@dataclass
class Mailbox:
    """A mail server of RFC 5321 with STARTTLS (RFC 3207) and AUTH PLAIN (RFC 4954), as small as a test needs."""

    certificate: Certificate
    port: int = 0
    refuse: bool = False
    mails: list[Message] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)

    def serve(self, server: socket.socket) -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            try:
                self._converse(connection)
            except OSError:  # a client that does not trust us has gone
                connection.close()

    def _converse(self, connection: socket.socket) -> None:
        secure, reader = False, connection.makefile("rb")
        connection.sendall(b"220 mail.test\r\n")
        while line := reader.readline():
            word = line.split()[0].upper()
            if word == b"EHLO":
                connection.sendall(b"250-mail.test\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n")
            elif word == b"STARTTLS":
                connection.sendall(b"220 go on\r\n")
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(self.certificate.certificate, self.certificate.private_key)
                connection = context.wrap_socket(connection, server_side=True)
                secure, reader = True, connection.makefile("rb")
            elif word == b"AUTH":
                self.logins.append(line.split()[2].decode())
                connection.sendall(b"235 welcome\r\n")
            elif word == b"MAIL" and self.refuse:
                connection.sendall(b"451 later\r\n")
            elif word == b"DATA":
                connection.sendall(b"354 go on\r\n")
                body = b""
                while (part := reader.readline()) != b".\r\n":
                    body += part
                self.mails.append(email.message_from_bytes(body))
                self.encrypted.append(secure)
                connection.sendall(b"250 taken\r\n")
            elif word == b"QUIT":
                connection.sendall(b"221 bye\r\n")
                break
            else:
                connection.sendall(b"250 ok\r\n")
        connection.close()


@contextmanager
def mail_server(certificate: Certificate) -> Iterator[Mailbox]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        mailbox = Mailbox(certificate, server.getsockname()[1])
        thread = threading.Thread(target=mailbox.serve, args=(server,), daemon=True)
        thread.start()
        yield mailbox
        server.shutdown(socket.SHUT_RDWR)
    thread.join(10)


@dataclass
class Scene:
    ledger: Ledger
    notifier: Notifier

    def notices(self) -> list[Notice]:
        with self.ledger.begin() as session:
            return list(session.scalars(select(Notice).order_by(Notice.id)))

    def make_due(self) -> None:
        with self.ledger.begin() as session:
            for row in session.scalars(select(Notice)):
                row.not_before = now_utc() - timedelta(seconds=1)

    def fail_a_case(self, study: str = "1.2.3") -> str:
        with self.ledger.begin() as session:
            open_case(session, study, "SECRET-7", "")
            job = jobs.create_job(session, study, {}, "d", "demonstration")
            job.state, job.error_code, job.error_text = "failed", "model_bundle", "of patient SECRET-7"
            return job.id


@contextmanager
def scene(root: Path, min_free_gb: float = 0.0, **notify: Any) -> Iterator[Scene]:
    settings = Settings(
        storage=StorageSettings(root=root, min_free_gb=min_free_gb),
        notify=NotifySettings(**notify),
    )
    ledger, store = open_ledger(settings.ledger.url or ""), StudyStore(root, min_free_gb)
    store.prepare()
    yield Scene(ledger, Notifier(ledger, settings, store))
    ledger.close()


def test_each_kind_is_sent_to_the_webhook_once_and_without_the_patient(tmp_path: Path, hook: Collector) -> None:
    (tmp_path / "token").write_text("open sesame\n")
    with scene(
        tmp_path / "data", webhook_url=hook.url, webhook_token_file=tmp_path / "token", min_free_gb=1e9, every_s=3600
    ) as it:
        it.fail_a_case()
        with it.ledger.begin() as session:
            now = now_utc()
            report = Report(
                study_instance_uid="1.2.3", job_id="j", identity="i", computation="c", request_digest="r",
                bundle_digest="b", revision=1, sop_instance_uid="1.9", result={}, created_at=now,
            )  # fmt: skip
            session.add(report)
            session.flush()
            session.add(
                Delivery(
                    report_id=report.id, pacs="main", state="dead", not_before=now, objects={}, created_at=now,
                    error_text="for SECRET-7",
                )
            )  # fmt: skip
            session.add(
                Quarantined(
                    code="unreadable_instance", text="SECRET-7", sop_instance_uid="1.4", digest="s", path="p",
                    calling_ae="MOD", received_at=now,
                )
            )  # fmt: skip
        assert it.notifier.check() == 4
        assert it.notifier.check() == 0
        (body,) = hook.bodies
        document = json.loads(body)
        kinds = {event["kind"] for event in document["events"]}
        assert kinds == {"failed_case", "dead_delivery", "quarantine", "low_disk"}
        assert "1.2.3: model_bundle" in document["text"]
        assert b"SECRET" not in body
        assert hook.headers[0]["Authorization"] == "Bearer open sesame"


def test_notices_soon_after_a_message_are_sent_together(tmp_path: Path, hook: Collector) -> None:
    with scene(tmp_path / "data", webhook_url=hook.url, every_s=3600) as it:
        it.fail_a_case("1.2.1")
        assert it.notifier.check() == 1
        for study in ("1.2.2", "1.2.3"):
            it.fail_a_case(study)
            assert it.notifier.check() == 0
        waiting = [row for row in it.notices() if row.closed_at is None]
        assert all(row.not_before > now_utc() + timedelta(minutes=50) for row in waiting)
        it.make_due()
        assert it.notifier.check() == 2
        assert [len(json.loads(body)["events"]) for body in hook.bodies] == [1, 2]


def test_a_hook_that_fails_is_tried_again_and_in_the_end_given_up(tmp_path: Path, hook: Collector) -> None:
    with scene(tmp_path / "data", webhook_url=hook.url, retry_for_s=3600) as it:
        it.fail_a_case()
        hook.status = 500
        assert it.notifier.check() == 0
        first = it.notices()[0].not_before
        assert first > now_utc()
        it.make_due()
        it.notifier.check()
        (row,) = it.notices()
        assert (row.attempts, row.closed_at) == (2, None)
        assert row.not_before - now_utc() > timedelta(seconds=15)  # the second wait is twice the first
        hook.status = 200
        it.make_due()
        assert it.notifier.check() == 1
        it.fail_a_case("1.2.9")
        hook.status = 500
        with it.ledger.begin() as session:
            session.scalars(select(Notice)).all()
        it.notifier.check()
        with it.ledger.begin() as session:
            for one in session.scalars(select(Notice)):
                one.recorded_at = now_utc() - timedelta(hours=2)
                one.not_before = now_utc()
        it.notifier.check()
        given_up = it.notices()[-1]
        assert given_up.closed_at is not None
        assert given_up.sent_to == {}


def test_two_nodes_send_a_notice_once(tmp_path: Path, hook: Collector) -> None:
    with scene(tmp_path / "data", webhook_url=hook.url) as one, scene(tmp_path / "data", webhook_url=hook.url) as two:
        one.fail_a_case()
        threads = [threading.Thread(target=node.notifier.check) for node in (one, two)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(hook.bodies) == 1


def test_only_configured_kinds_are_sent(tmp_path: Path, hook: Collector) -> None:
    with scene(tmp_path / "data", webhook_url=hook.url, on=("quarantine",)) as it:
        it.fail_a_case()
        assert it.notifier.check() == 0
        assert it.notices() == []


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


def test_a_mail_goes_out_encrypted_with_a_log_in(tmp_path: Path, authority: Authority, hook: Collector) -> None:
    (tmp_path / "password").write_text("open sesame\n")
    with mail_server(authority.issue("mail")) as mailbox:
        mail = {
            "smtp_host": "127.0.0.1", "smtp_port": mailbox.port, "smtp_ca": authority.certificate, "smtp_user": "cptdn",
            "smtp_password_file": tmp_path / "password", "mail_from": "cptdn@example.org",
            "mail_to": ("a@example.org",),
        }  # fmt: skip
        with scene(tmp_path / "data", webhook_url=hook.url, **mail) as it:
            it.fail_a_case()
            mailbox.refuse = True
            assert it.notifier.check() == 0
            assert len(hook.bodies) == 1
            mailbox.refuse = False
            it.make_due()
            assert it.notifier.check() == 1
            assert len(hook.bodies) == 1  # the channel that had it does not get it again
        (sent,) = mailbox.mails
        assert mailbox.encrypted == [True]
        assert sent["Subject"] == "CPTDN: 1 notice"
        assert sent["To"] == "a@example.org"
        text = sent.get_payload(decode=True).decode()
        assert "1.2.3: model_bundle" in text
        assert "SECRET" not in text
        assert set(mailbox.logins) == {"AGNwdGRuAG9wZW4gc2VzYW1l"}  # base64 of \0cptdn\0open sesame


def test_a_mail_server_of_another_authority_gets_no_password(tmp_path: Path, authority: Authority) -> None:
    stranger = Authority(tmp_path / "other", "other")
    with mail_server(stranger.issue("mail")) as mailbox:
        mail = {"smtp_host": "127.0.0.1", "smtp_port": mailbox.port, "smtp_ca": authority.certificate, "smtp_user": "u"}
        with scene(tmp_path / "data", mail_to=("a@example.org",), **mail) as it:
            it.fail_a_case()
            assert it.notifier.check() == 0
        assert mailbox.mails == mailbox.logins == []


def test_a_secret_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="none"):
        channels_of(
            Settings(notify=NotifySettings(webhook_url="http://127.0.0.1", webhook_token_file=tmp_path / "none"))
        )
