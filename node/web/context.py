"""What the pages are given: settings, ledger, store, whom to ask, and where to report what people did."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from config.addresses import is_loopback
from config.settings import Settings
from node.ledger.database import Ledger
from node.messaging.questions import QuestionClient
from node.store.study_store import StudyStore


@dataclass(frozen=True)
class WebEvent:
    """Something that an auditor may ask for.

    action : log_in, log_in_refused, log_out, denied, case_seen, report_seen, decision, users_changed, facts_received.
    user : empty where nobody is logged in. study_instance_uid : empty where no study is concerned. detail : what
    else an auditor needs to know, such as the user who was changed; nothing of a patient.
    """

    action: str
    user: str
    address: str
    success: bool = True
    study_instance_uid: str = ""
    detail: str = ""


Audit = Callable[[WebEvent], None]


def no_audit(_event: WebEvent) -> None:
    """For a program without audit trail."""


@dataclass(frozen=True)
class WebContext:
    """Made once by the entry point (or a test) and shared by all requests."""

    settings: Settings
    ledger: Ledger
    store: StudyStore
    answers: QuestionClient
    audit: Audit = no_audit

    @property
    def idle(self) -> timedelta:
        return timedelta(minutes=self.settings.web.idle_minutes)

    @property
    def longest(self) -> timedelta:
        return timedelta(hours=self.settings.web.session_hours)

    @property
    def secure(self) -> bool:
        """Whether browsers come by TLS."""
        return self.settings.web.tls is not None

    @property
    def on_loopback(self) -> bool:
        return is_loopback(self.settings.web.bind)
