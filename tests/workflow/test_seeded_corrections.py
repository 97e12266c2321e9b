"""Seeded corrections of facts, stages, holds and contents, with workers that die: nothing outdated stays outside.

Outside is what a destination would show as current: the newest report that was delivered. Workers and deliveries are
played by the test, in the ledger; at random they die after they have claimed a step.
"""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from node.clinical.entries import ebv_entry, stage_entry
from node.ledger import job_recovery, jobs
from node.ledger.cases import get_case, schedule_assessment
from node.ledger.database import now_utc
from node.ledger.reports import current_report, has_answer, is_current, is_withdrawal, record_report
from node.ledger.tables import Case, Job
from node.ledger.withdrawals import is_withdrawal as withdraws
from node.workflow.casework import evaluate_case
from node.workflow.decisions import set_hold
from node.workflow.reprocessing import Reprocessor
from node.workflow.withdrawal import still_wanted, withdraw_due, withdraw_study
from tests.cases.case_headers import STUDY, structure_set, whole_study
from tests.workflow.scenes import DRAWN, RESULT, Site, assess_all, site

WITHDRAWAL = {"since": "2026-05-10T12:00:00+00:00", "by": "the test", "because": "why"}
SERIES = f"{STUDY}.2"


class Story:
    """One study and a random run of what happens to it."""

    def __init__(self, here: Site, seed: int) -> None:
        self.here, self.draw = here, random.Random(seed)
        self.told: list[str] = []

    # --- what happens ---

    def happen(self) -> None:
        event = self.draw.choice((self.fact, self.stage, self.hold, self.release, self.lose, self.resend, self.withdraw,
                                  self.reprocess, self.late))  # fmt: skip
        self.told.append(event.__name__)
        event()

    def fact(self) -> None:
        self.here.learn(ebv_entry(self.here.settings, str(self.draw.randrange(100, 20000)), drawn_on=DRAWN))

    def stage(self) -> None:
        self.here.learn(stage_entry(self.here.settings, self.draw.choice(("T3N1M0", "T4N2M0", "T2N0M0")), "8"))

    def hold(self) -> None:
        self._hold("contour under review")

    def release(self) -> None:
        self._hold(None)

    def _hold(self, because: str | None) -> None:
        with self.here.ledger.begin() as session:
            set_hold(session, STUDY, because, "wang")

    def lose(self) -> None:
        self.here.remove_instances(SERIES)
        with self.here.ledger.begin() as session:
            schedule_assessment(session, STUDY)

    def resend(self) -> None:
        self.here.remove_instances(SERIES)
        self.here.arrive([one for one in whole_study() if one.header["SeriesInstanceUID"] == SERIES])

    def withdraw(self) -> None:
        with self.here.ledger.begin() as session:
            report = current_report(session, STUDY)
            if report is not None and has_answer(report) and get_case(session, STUDY).withdrawal is None:
                withdraw_study(session, STUDY, "by the test", "wang")

    def reprocess(self) -> None:
        Reprocessor(self.here.ledger, self.here.settings, self.here.settings.model.bundle).start(STUDY)

    def late(self) -> None:
        """So long ago that a successor is not waited for any more."""
        with self.here.ledger.begin() as session:
            long_ago = now_utc() - timedelta(minutes=5)
            session.execute(update(Case).where(Case.outdated_since.is_not(None)).values(outdated_since=long_ago))

    # --- nodes and workers ---

    def node(self) -> None:
        assess_all(self.here)
        if self.draw.random() < 0.8:  # else the node dies between the two
            withdraw_due(self.here.ledger, self.here.settings)

    def worker(self) -> None:
        """Take a random step, and die with it, fail, or finish it as the worker does."""
        with self.here.ledger.begin() as session:
            active = list(session.scalars(select(Job).where(Job.state == "queued")))
            job = self.draw.choice(active) if active else None
            leased = jobs.claim(session, job.id, job.step, "worker") if job is not None else None
        if leased is None or self.draw.random() < 0.25:
            return
        with self.here.ledger.begin() as session:
            before = current_report(session, STUDY)
        if self.draw.random() < 0.3:  # something happens while it computes
            self.happen()
            self.node()
        with self.here.ledger.begin() as session:
            again = jobs.get_leased(session, leased.id, "worker")
            if again is None:
                return
            if self.draw.random() < 0.1:
                jobs.fail(session, again, "unexpected", "a failure of the test", retry=False)
            elif not is_current(session, STUDY, before):
                jobs.requeue_in(session, again, 0)
            elif withdraws(again):
                if before is not None and still_wanted(get_case(session, STUDY), before):
                    self._record(session, again, {**RESULT, "withdrawal": WITHDRAWAL}, None)
                jobs.finish(session, again, {})
            else:
                self._record(session, again, RESULT, "reported")
                jobs.finish(session, again, {})

    def _record(self, session: Any, job: Job, result: dict[str, Any], state: str | None) -> None:
        before = current_report(session, STUDY)
        revision = before.revision + 1 if before is not None else 1
        record_report(
            session, study_instance_uid=STUDY, job_id=job.id, identity=f"{job.id} {revision}", computation=job.id,
            request_digest=job.request_digest, bundle_digest="sha256:b", revision=revision,
            sop_instance_uid=f"1.2.{revision}", predecessor=before, result=result, objects=[], destinations=[],
            case_state=state,
        )  # fmt: skip

    def settle(self) -> None:
        """No more events and deaths: leases end, waits are over, everything that is queued is done."""
        for _ in range(60):
            with self.here.ledger.begin() as session:
                session.execute(update(Job).where(Job.state == "running").values(lease_until=now_utc() - timedelta(1)))
                job_recovery.requeue_lost(session)
                # The waits after failures.
                session.execute(update(Job).values(not_before=now_utc(), updated_at=now_utc() - timedelta(minutes=2)))
            self.late()
            assess_all(self.here)
            withdraw_due(self.here.ledger, self.here.settings)
            with self.here.ledger.begin() as session:
                active = [job for job in session.scalars(select(Job)) if job.state in jobs.ACTIVE]
                outdated = get_case(session, STUDY).outdated_since
                if not active and outdated is None:
                    return
                for job in active:
                    before = current_report(session, STUDY)
                    leased = jobs.claim(session, job.id, job.step, "worker")
                    if leased is None:
                        continue
                    if not withdraws(leased):
                        self._record(session, leased, RESULT, "reported")
                    elif before is not None and still_wanted(get_case(session, STUDY), before):
                        self._record(session, leased, {**RESULT, "withdrawal": WITHDRAWAL}, None)
                    jobs.finish(session, leased, {})
        raise AssertionError(f"expected everything to come to an end after {self.told[-20:]}, found {self.outside()}")

    # --- what is outside ---

    def outside(self) -> tuple[str, str, str]:
        """State of the case, what the newest report says, and whether it is of the inputs as they are."""
        with self.here.ledger.begin() as session:
            case, report = get_case(session, STUDY), current_report(session, STUDY)
            now = evaluate_case(session, self.here.settings, case).settled_request
            said = "nothing" if report is None else "withdrawn" if is_withdrawal(report) else "answer"
            is_of_now = report is not None and now is not None and report.request_digest == now.digest()
            return case.state, said, "of now" if is_of_now else "of other inputs"


def play(folder: Path, seeds: range, n_events: int, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("node.workflow.frozen_reports.freeze_of", lambda *_: None)
    n_withdrawn = 0
    for seed in seeds:
        (folder / str(seed)).mkdir()
        with site(folder / str(seed)) as here:
            here.arrive([*whole_study(), structure_set()])
            story = Story(here, seed)
            here.arrive_facts()
            for _ in range(n_events):
                story.happen()
                for _ in range(story.draw.randrange(3)):
                    story.node()
                    story.worker()
            story.settle()
            state, said, inputs = story.outside()
            assert (state == "reported") == (said == "answer"), (seed, story.told, state, said)
            assert said != "answer" or inputs == "of now", (seed, story.told)
            n_withdrawn += said == "withdrawn"
    return n_withdrawn


def test_nothing_outdated_is_outside_after_random_corrections_and_deaths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_withdrawn = play(tmp_path, range(4), 12, monkeypatch)
    assert 0 < n_withdrawn < 4  # both ends occur


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_ten_thousand_corrections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    n_withdrawn = play(tmp_path, range(100, 300), 50, monkeypatch)
    assert 20 < n_withdrawn < 180
