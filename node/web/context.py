"""What all requests share: settings, ledger, store, the workers that answer questions, and the audit trail."""

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
    """An action at the pages that belongs into the audit trail.

    Attributes
    ----------
    action : str
        log_in, log_in_refused, log_out, denied, case_seen, report_seen, decision, users_changed or facts_received.
    user : str
        Name of the user; empty before a log-in.
    address : str
        IP address of the client.
    success : bool
        Whether the action was carried out.
    study_instance_uid : str
        The study; empty when the action concerns none.
    detail : str
        Further information, such as the user who was changed; nothing about a patient.
    """

    action: str
    user: str
    address: str
    success: bool = True
    study_instance_uid: str = ""
    detail: str = ""


Audit = Callable[[WebEvent], None]


def no_audit(_event: WebEvent) -> None:
    """Discard an event: for tests, and where no audit trail is configured."""


@dataclass(frozen=True)
class WebContext:
    """What all requests share; the entry point, or a test, makes one.

    Attributes
    ----------
    settings : Settings
        The whole configuration.
    ledger : Ledger
        Cases, reports, users and sessions.
    store : StudyStore
        Pictures that workers have left.
    answers : QuestionClient
        Asks workers for what needs the model or pixels.
    audit : callable
        Gets each `WebEvent`.
    """

    settings: Settings
    ledger: Ledger
    store: StudyStore
    answers: QuestionClient
    audit: Audit = no_audit

    @property
    def idle(self) -> timedelta:
        """How long a session lasts without an action of its user."""
        return timedelta(minutes=self.settings.web.idle_minutes)

    @property
    def longest(self) -> timedelta:
        """How long a session lasts at most."""
        return timedelta(hours=self.settings.web.session_hours)

    @property
    def secure(self) -> bool:
        """Whether the pages are served by TLS."""
        return self.settings.web.tls is not None

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach the pages."""
        return is_loopback(self.settings.web.bind)
