"""Which studies `cptdn reprocess` means, and that work on its way is not begun twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings, load_settings
from node.cli.reprocess import _selected
from node.ledger.cases import get_case, open_case, set_state
from node.ledger.database import Ledger, now_utc, open_ledger
from node.ledger.jobs import create_job, get_job, list_jobs_of
from node.ledger.tables import Report
from node.workflow.reprocessing import Reprocessor

OLD, MADE, FAILED = "1.2.1", "1.2.2", "1.2.3"


@dataclass
class Site:
    settings: Settings
    ledger: Ledger

    def selected(self, *uids: str, all_: bool = False, since: str | None = None, states: tuple[str, ...] = (),
                 made_with: str | None = None) -> list[str]:  # fmt: skip
        day = datetime.fromisoformat(since) if since else None
        with self.ledger.begin() as session:
            return _selected(session, list(uids), all_, day, list(states), made_with)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.chdir(tmp_path)
    settings = load_settings()
    ledger = open_ledger(settings.ledger.url or "")
    with ledger.begin() as session:
        for number, uid in enumerate((OLD, MADE, FAILED)):
            open_case(session, uid, f"P{number}", "")
            get_case(session, uid).received_at = datetime(2026, number + 1, 5, tzinfo=UTC)
        for revision, bundle in enumerate(("site-1", "site-2"), 1):
            session.add(_report(MADE, revision, bundle))
        session.add(_report(OLD, 1, "site-1"))
        session.flush()
        set_state(session, get_case(session, FAILED), "failed")
    yield Site(settings, ledger)
    ledger.close()


def _report(study: str, revision: int, bundle: str) -> Report:
    name = f"{study}.{revision}"
    return Report(
        study_instance_uid=study, job_id="", identity=name, computation=name, request_digest="", revision=revision,
        bundle_digest=f"sha256:{bundle}-digest", sop_instance_uid=name, predecessor_id=None,
        result={"model": {"name": bundle}}, created_at=now_utc(),
    )  # fmt: skip


def test_studies_are_selected_the_oldest_first(site: Site) -> None:
    assert site.selected(all_=True) == [OLD, MADE, FAILED]
    assert site.selected(since="2026-02-01") == [MADE, FAILED]
    assert site.selected(states=("failed",)) == [FAILED]
    assert site.selected(since="2026-02-01", states=("receiving",)) == [MADE]
    assert site.selected("1.9", OLD) == ["1.9", OLD]


def test_the_bundle_is_that_of_the_current_report(site: Site) -> None:
    assert site.selected(made_with="site-1") == [OLD]
    assert site.selected(made_with="site-2") == [MADE]
    assert site.selected(made_with="sha256:site-2-d") == [MADE]
    assert site.selected(made_with="site-2-d") == [MADE]
    assert site.selected(made_with="site-3") == []


def test_a_computation_on_its_way_is_not_begun_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    class Ready:
        """Stands for a look at a complete case: what matters here is what is done with its request."""

        state, reasons = "queued", ()

        class request:  # noqa: N801
            @staticmethod
            def digest() -> str:
                return "inputs"

            @staticmethod
            def to_json() -> dict[str, Any]:
                return {}

    monkeypatch.setattr("node.workflow.reprocessing.evaluate_case", lambda *_: Ready)
    with site.ledger.begin() as session:
        going = create_job(session, OLD, {}, "inputs", "demonstration").id
        other = create_job(session, FAILED, {}, "other inputs", "demonstration").id
    work = Reprocessor(site.ledger, site.settings, "demonstration")
    assert work.start(OLD).job_id == going
    assert work.start(FAILED).job_id != other
    with site.ledger.begin() as session:
        assert len(list_jobs_of(session, OLD)) == 1
        assert get_job(session, other).state == "cancelled"
