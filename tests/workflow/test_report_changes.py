"""What a computation in bulk would change is known before anything is sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from node.ledger import jobs
from node.ledger.tables import Job
from node.workflow.casework import assess_case
from node.workflow.comparison import BundleResult, ComparedStudy, PendingStudy, compared_study
from node.workflow.report_changes import ReportChanges, summarise_changes
from tests.cases.case_headers import STUDY
from tests.workflow.scenes import Site, site
from tests.workflow.test_comparison import REFUSED, report, scored


def reported(here: Site, result: dict[str, Any]) -> None:
    """Let a worker end the only active job with this result."""
    with here.ledger.begin() as session:
        assess_case(session, here.settings, STUDY)
        (active,) = jobs.active_jobs(session, STUDY)
        job = jobs.claim(session, active.id, active.step, "worker")
        assert job is not None
        here._report(session, job, result)
        jobs.finish(session, job, {})


def test_the_current_report_is_compared_with_a_computation_that_sends_nothing(tmp_path: Path) -> None:
    with site(tmp_path) as here:
        here.arrive_whole()
        reported(here, {**report(0.1, {">threshold": 0.05}), "refusals": []})
        work = ReportChanges(here.ledger, here.settings, "demonstration")
        pending = work._start(STUDY, 60.0)
        assert isinstance(pending, PendingStudy)
        (job_id,) = pending.job_ids()
        with here.ledger.begin() as session:
            job = session.get_one(Job, job_id)
            assert job.send is False
            jobs.finish_comparison(job, {}, {"report": report(0.3, {">threshold": -0.02})})
        with here.ledger.begin() as session:
            assert work._collect_results(session, pending)
        summary = summarise_changes([compared_study(pending)])
        (changed,) = summary["recommendation_changed"]
        assert (changed["before"], changed["after"]) == ("ICT+CCRT", "CCRT")
        assert (here.case().state, here.report().revision) == ("reported", 1)  # type: ignore[union-attr]


def test_every_study_is_counted_once() -> None:
    summary = summarise_changes([
        ComparedStudy("1.1", scored(0.1, above=0.1), REFUSED),
        ComparedStudy("1.2", REFUSED, scored(0.1, above=0.1)),
        ComparedStudy("1.3", None, scored(0.1, above=0.1)),
        ComparedStudy("1.4", None, BundleResult("failed", None, "model_bundle", "the bundle is damaged")),
        ComparedStudy("1.5", reasons=[{"code": "missing_series", "text": "no T2w"}]),
    ])  # fmt: skip
    assert [one["study_instance_uid"] for one in summary["newly_refused"]] == ["1.1"]
    assert (summary["newly_scored"], summary["first_reports"], summary["not_computable"]) == (["1.2"], ["1.3"], ["1.5"])
    assert [one["study_instance_uid"] for one in summary["failed"]] == ["1.4"]


@pytest.mark.parametrize("yes", [False, True])
def test_a_selection_is_sent_with_yes_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], yes: bool
) -> None:
    from node.cli.app import main

    with site(tmp_path) as here:
        here.arrive_whole()
        monkeypatch.setattr(ReportChanges, "run", lambda *_: iter([ComparedStudy(STUDY, scored(0.1, a=0.1), REFUSED)]))
        with pytest.raises(SystemExit) as stop:
            main(["reprocess", "--all", "--config", str(tmp_path / "cptdn.toml"), *(["--yes"] if yes else [])])
        assert not stop.value.code
        out = capsys.readouterr().out
        assert "1 would be refused" in out
        assert ("Nothing was sent; give the same command with --yes" in out) is not yes
        assert [job.send for job in here.jobs()] == [True] * yes
