"""The pages over a real ledger and store; whom they ask is the worker's own code, called without a broker."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from config.errors import InputError
from config.messages.stored import from_json, to_json
from config.settings import Settings, load_settings
from node.ledger.accounts import add_user
from node.ledger.cases import get_case, open_case
from node.ledger.database import Ledger, open_ledger
from node.ledger.tables import Instance
from node.messaging.questions import NoAnswerError
from node.store.study_store import StudyStore
from node.web.app import create_app
from node.web.context import WebContext, WebEvent
from node.web.passwords import hash_password
from workers.pipeline.context import WorkerContext
from workers.web.web_queries import answer_query

with warnings.catch_warnings():  # it would like another HTTP client, which is not locked
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

PASSWORD = "a short sentence"
HOST = "http://127.0.0.1"


@dataclass
class WorkerInProcess:
    """Answers as a worker does; `away` is a worker that is not there."""

    context: WorkerContext
    away: bool = False

    def ask(self, question: str, values: Mapping[str, Any], wait_s: float = 0.0) -> Any:
        if self.away:
            raise NoAnswerError("no worker answered within 8 s")
        found = answer_query(self.context, question, values)
        if "error" in found:
            raise InputError(from_json(to_json(found))["error"])
        return found["answer"]


@dataclass
class Site:
    """One installation with its pages."""

    context: WebContext
    worker: WorkerInProcess
    events: list[WebEvent] = field(default_factory=list)

    @property
    def ledger(self) -> Ledger:
        return self.context.ledger

    def browser(self, **options: Any) -> TestClient:
        """A browser of its own, with its own cookies."""
        return TestClient(create_app(self.context), base_url=HOST, follow_redirects=False, **options)

    def add_user(self, name: str, role: str) -> None:
        with self.ledger.begin() as session:
            add_user(session, name, hash_password(PASSWORD), role)

    def logged_in(self, name: str) -> TestClient:
        browser = self.browser()
        answer = post(browser, "/log-in", {"name": name, "password": PASSWORD}, seen_on="/log-in")
        assert answer.status_code == 303, answer.text
        return browser


def csrf(text: str) -> str:
    """The token that the page's forms carry."""
    found = re.search(r'name="csrf" value="([0-9a-f]{64})"', text)
    assert found is not None
    return found[1]


def post(browser: TestClient, path: str, data: Mapping[str, str], seen_on: str = "/account") -> Any:
    """Send a form as a person does: open a page, take its token, send."""
    token = csrf(browser.get(seen_on).text)
    return browser.post(path, data={**data, "csrf": token})


@pytest.fixture
def make_site(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    opened: list[Ledger] = []

    def make(extra: str = "") -> Site:
        config = tmp_path / "cptdn.toml"
        config.write_text(f'[storage]\nroot = "data"\nmin_free_gb = 0\n{extra}', encoding="utf-8")
        config.chmod(0o600)  # it may hold a token
        settings: Settings = load_settings(config)
        ledger = open_ledger(settings.ledger.url or "")
        opened.append(ledger)
        store = StudyStore(settings.storage.root)
        store.prepare()
        worker = WorkerInProcess(WorkerContext(settings))
        events: list[WebEvent] = []
        return Site(WebContext(settings, ledger, store, worker, events.append), worker, events)

    yield make
    for ledger in opened:
        ledger.close()


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    return make_site()


def make_case(site: Site, study: str = "1.2.3", patient_id: str = "P-1", series: tuple[str, ...] = ("1.2.3.1",)) -> str:
    """A case with one instance in each series, as the intake leaves it."""
    with site.ledger.begin() as session:
        open_case(session, study, patient_id, "")
        case = get_case(session, study)
        case.assessment = {
            "series": [
                {
                    "series_instance_uid": uid, "role": "ambiguous", "confidence": 0.5, "reason": "equally good",
                    "n_instances": 1, "description": "t1_tse", "series_number": at, "plane": "axial", "findings": [],
                }
                for at, uid in enumerate(series, 1)
            ],
            "contour": {"notes": []}, "clinical": {}, "eligibility": {}, "quality": [],
        }  # fmt: skip
        for uid in series:
            session.add(
                Instance(
                    sop_instance_uid=f"{uid}.1", sop_class_uid="1.2", transfer_syntax_uid="1.2",
                    study_instance_uid=study, series_instance_uid=uid, modality="MR", patient_id=patient_id,
                    digest="0" * 64, size_bytes=1, path="studies/none.dcm", header={}, calling_ae="PACS",
                    received_at=datetime.now(UTC),
                )
            )  # fmt: skip
    return study
