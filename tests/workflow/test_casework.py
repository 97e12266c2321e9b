"""What an assessment records in a case, and when it queues a job."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import DataError, OperationalError

import node.workflow.casework
from node.cases.assessment import Assessment, assess_inputs
from node.cases.case_inputs import CaseInputs
from node.clinical.entries import diagnosis_entry, ebv_entry, stage_entry
from node.ledger import jobs
from node.ledger.associations import Peer, record_study
from node.ledger.cases import get_case, open_case
from node.ledger.database import now_utc
from node.ledger.tables import Fetch
from node.workflow.casework import (
    AFTER_FAILURE_S,
    evaluate_case,
    gather_inputs,
    seconds_to_next_assessment,
)
from node.workflow.decisions import assign_roles, retry_job, set_hold
from tests.cases.case_headers import CE_T1W, FRAME, STUDY, T1W, T2W, series, structure_set, whole_study
from tests.workflow.scenes import DRAWN, Site, assess_again, assess_all, received_now, site

# --- states ---


def test_a_whole_study_is_queued_with_one_job_of_the_configured_bundle(ready: Site) -> None:
    assert assess_all(ready) == 1
    assert ready.codes() == ("queued", set())
    (job,) = ready.jobs()
    assert (job.state, job.bundle, job.send, job.bulk) == ("queued", ready.settings.model.bundle, True, False)
    assert job.request["series"]["T1w"]["series_instance_uid"] == f"{STUDY}.1"
    assert "all required inputs are present" in ready.history()[-1]


def test_a_study_without_contour_is_incomplete_and_has_no_job(here: Site) -> None:
    here.arrive(whole_study())
    assess_all(here)
    state, codes = here.codes()
    assert state == "incomplete"
    assert "missing_contour" in codes
    assert here.jobs() == []
    assert [one["role"] for one in here.case().assessment["series"]] == ["T1w", "T2w", "CE-T1w"]


def test_a_study_whose_association_is_open_is_receiving_and_has_no_job(ready: Site) -> None:
    with ready.ledger.begin() as session:
        record_study(session, Peer("a", "n", "PACS", "127.0.0.1", now_utc()), STUDY, now_utc())
    assert assess_again(ready) == "receiving"
    assert ready.jobs() == []


def test_a_study_without_stage_is_held_until_the_stage_is_recorded(here: Site) -> None:
    here.arrive([*whole_study(), structure_set()])
    here.learn(ebv_entry(here.settings, "12000"), diagnosis_entry("C11.9"))
    assess_all(here)
    state, codes = here.codes()
    assert state == "held"
    assert codes == {"stage_unknown"}
    assert here.jobs() == []
    here.learn(stage_entry(here.settings, "T3N1M0", "8"))  # recording a fact makes the case due
    assert assess_all(here) == 1
    assert here.case().state == "queued"


def test_a_refused_stage_gets_a_job_whose_report_names_the_refusal(tmp_path: Path) -> None:
    with site(tmp_path, "[case]\nreport_refusals = true\n") as here:
        here.arrive_whole()
        here.learn(stage_entry(here.settings, "T2N0M0", "8"))
        assess_all(here)
        (job,) = here.jobs()
        assert [refusal["code"] for refusal in job.request["refusals"]] == ["stage_not_eligible"]
        here.refuse_with_report([dict(one) for one in job.request["refusals"]])
        assert assess_again(here) == "refused"
        assert here.codes() == ("refused", {"stage_not_eligible"})
        assert len(here.jobs()) == 1


def test_a_refused_stage_has_no_job_where_refusals_are_not_reported(here: Site) -> None:
    here.arrive_whole()
    here.learn(stage_entry(here.settings, "T2N0M0", "8"))
    assess_all(here)
    assert here.codes() == ("refused", {"stage_not_eligible"})
    assert here.jobs() == []


def test_a_hold_stops_the_job_and_its_release_queues_another(ready: Site) -> None:
    assess_all(ready)
    with ready.ledger.begin() as session:
        set_hold(session, STUDY, "contour under review", "wang")
    assert assess_all(ready) == 1
    assert ready.codes() == ("held", {"administrator_hold"})
    (stopped,) = ready.jobs()
    assert (stopped.state, stopped.error_code) == ("cancelled", "superseded")
    with ready.ledger.begin() as session:
        set_hold(session, STUDY, None, "wang")
    assess_all(ready)
    assert ready.case().state == "queued"
    assert [job.state for job in ready.jobs()] == ["cancelled", "queued"]


# --- what queues a job, and what does not ---


def test_assessing_again_changes_nothing(ready: Site) -> None:
    assess_all(ready)
    before = ready.history()
    for _ in range(3):
        assert assess_again(ready) == "queued"
    assert len(ready.jobs()) == 1
    assert ready.history() == before


def test_assessing_a_running_study_leaves_it_running(ready: Site) -> None:
    assess_all(ready)
    with ready.ledger.begin() as session:
        (job,) = jobs.active_jobs(session, STUDY)
        jobs.claim(session, job.id, job.step, "worker")
    assert assess_again(ready) == "running"
    assert len(ready.jobs()) == 1


def test_a_reported_study_with_the_same_inputs_stays_reported(ready: Site) -> None:
    assess_all(ready)
    ready.end_job()
    assert assess_again(ready) == "reported"
    assert len(ready.jobs()) == 1


@pytest.mark.parametrize("code", ["model_bundle", "worker_lost", "cannot_compute", "unexpected"])
def test_a_failed_job_is_not_queued_again_with_the_same_inputs(ready: Site, code: str) -> None:
    assess_all(ready)
    ready.end_job(code)
    for _ in range(3):
        assert assess_again(ready) == "failed"
    assert [job.state for job in ready.jobs()] == ["failed"]
    assert ready.codes() == ("failed", {code})


def test_a_cancelled_job_is_not_queued_again_with_the_same_inputs(ready: Site) -> None:
    assess_all(ready)
    with ready.ledger.begin() as session:
        (job,) = jobs.active_jobs(session, STUDY)
        jobs.cancel(session, job.id, "wrong contour")
    assess_again(ready)
    assert [job.state for job in ready.jobs()] == ["cancelled"]


def test_a_failed_job_is_queued_again_when_the_inputs_change(ready: Site) -> None:
    assess_all(ready)
    ready.end_job("unexpected")
    ready.learn(ebv_entry(ready.settings, "13000"))
    assess_all(ready)
    assert [job.state for job in ready.jobs()] == ["failed", "queued"]
    assert ready.case().state == "queued"


def test_a_failed_job_that_an_administrator_retries_is_the_only_job(ready: Site) -> None:
    assess_all(ready)
    failed = ready.end_job("unexpected")
    with ready.ledger.begin() as session:
        retry_job(session, failed.id, "wang")
    assert assess_again(ready) == "queued"
    assert [job.id for job in ready.jobs()] == [failed.id]


def test_new_inputs_stop_the_active_job_and_queue_one_with_them(ready: Site) -> None:
    assess_all(ready)
    ready.learn(ebv_entry(ready.settings, "13000"))
    assess_all(ready)
    old, new = ready.jobs()
    assert (old.state, old.error_code, new.state) == ("cancelled", "superseded", "queued")
    assert new.request["ebv"]["copies_per_ml"] == 13000.0


def test_a_new_fact_after_the_report_queues_a_job_and_says_why(ready: Site) -> None:
    assess_all(ready)
    ready.end_job()
    ready.learn(ebv_entry(ready.settings, "13000", drawn_on=DRAWN))
    assess_all(ready)
    assert [job.state for job in ready.jobs()] == ["done", "queued"]
    assert "its inputs have changed" in ready.history()[-1]


def test_inputs_that_return_to_those_of_the_report_stop_the_job_and_need_no_other(ready: Site) -> None:
    assess_all(ready)
    ready.end_job()
    ready.learn(ebv_entry(ready.settings, "13000", drawn_on=DRAWN))
    assess_all(ready)
    ready.learn(ebv_entry(ready.settings, "12000", drawn_on=DRAWN))
    assess_all(ready)
    assert [job.state for job in ready.jobs()] == ["done", "cancelled"]
    assert ready.codes() == ("reported", set())


def test_a_job_for_comparison_neither_stops_nor_replaces_the_job_of_the_study(ready: Site) -> None:
    with ready.ledger.begin() as session:
        jobs.create_job(session, STUDY, {}, "digest", "another", send=False, computation="c")
    assess_all(ready)
    assert [(job.state, job.send) for job in ready.jobs()] == [("queued", False), ("queued", True)]


# --- what is gathered ---


def test_objects_of_the_patient_and_of_the_frame_of_reference_are_gathered_once(here: Site) -> None:
    here.arrive_whole()
    other_patient = structure_set(uid="1.2.826.0.1.8.1", study="1.2.826.0.1.8", frame=FRAME, PatientID="P2")
    other_frame = structure_set(uid="1.2.826.0.1.9.1", study="1.2.826.0.1.9", frame="1.9", PatientID="P1")
    neither = structure_set(uid="1.2.826.0.1.6.1", study="1.2.826.0.1.6", frame="1.9", PatientID="P2")
    here.arrive([other_patient, other_frame, neither])
    with here.ledger.begin() as session:
        inputs = gather_inputs(session, here.settings, here.case())
    uids = [instance.sop_instance_uid for instance in inputs.related]
    assert sorted(uids) == ["1.2.826.0.1.7.1", "1.2.826.0.1.8.1", "1.2.826.0.1.9.1"]
    assert len(inputs.images) == 60


def test_an_assigned_role_reaches_the_rules(here: Site) -> None:
    here.arrive([*whole_study(), *series(4, T2W), structure_set()])
    with here.ledger.begin() as session:
        assign_roles(session, STUDY, {"T2w": f"{STUDY}.4"}, "wang")
    assess_all(here)
    roles = {one["series_instance_uid"]: one["role"] for one in here.case().assessment["series"]}
    assert roles[f"{STUDY}.4"] == "T2w"
    assert roles[f"{STUDY}.2"] != "T2w"


def test_evaluating_a_case_writes_nothing(ready: Site) -> None:
    with ready.ledger.begin() as session:
        assessment = evaluate_case(session, ready.settings, ready.case())
    assert assessment.state == "ready"
    assert ready.case().state == "receiving"
    assert ready.jobs() == []
    assert assess_all(ready) == 1  # it is still due


# --- what is due ---


def test_an_assessed_case_is_not_due_again_until_something_changes(ready: Site) -> None:
    assert assess_all(ready) == 1
    assert assess_all(ready) == 0
    ready.arrive(series(9, {"SeriesDescription": "localizer"}, n_slices=1))
    assert assess_all(ready) == 1


def test_a_study_that_still_arrives_is_assessed_again_after_the_stable_time(here: Site) -> None:
    here.arrive(received_now(whole_study()))
    assess_all(here)
    assert here.case().state == "receiving"
    stable_after_s = here.settings.case.stable_after_s
    with here.ledger.begin() as session:
        assert seconds_to_next_assessment(session, 3600.0) == pytest.approx(stable_after_s, abs=5)
        assert seconds_to_next_assessment(session, 0.5) == 0.5


def test_nothing_is_due_in_an_empty_ledger(here: Site) -> None:
    assert assess_all(here) == 0
    with here.ledger.begin() as session:
        assert seconds_to_next_assessment(session, 0.5) == 0.5


# Also what the database refuses of one row: it must not stop the looks at all others.
@pytest.mark.parametrize("error", [ZeroDivisionError(), DataError("INSERT", {}, Exception("NUL"))])
def test_a_case_whose_assessment_fails_says_so_and_the_others_are_assessed(
    error: Exception, ready: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ready.ledger.begin() as session:
        open_case(session, "1.2.9", "P9", "")  # due after the whole study

    def broken(inputs: CaseInputs, *arguments: Any, **more: Any) -> Assessment:
        if inputs.study_instance_uid == STUDY:
            raise error
        return assess_inputs(inputs, *arguments, **more)

    monkeypatch.setattr(node.workflow.casework, "assess_inputs", broken)
    assert assess_all(ready) == 2
    state, codes = ready.codes()
    assert (state, codes) == ("failed", {"unexpected"})
    assert type(error).__name__ in ready.case().reasons[0]["text"]
    due_at = ready.case().assess_after
    assert due_at is not None
    assert due_at - now_utc() > timedelta(seconds=AFTER_FAILURE_S - 10)
    with ready.ledger.begin() as session:
        assert {reason["code"] for reason in get_case(session, "1.2.9").reasons} >= {"missing_series"}
    monkeypatch.undo()
    assert assess_again(ready) == "queued"


def test_a_ledger_that_does_not_answer_fails_no_case(ready: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_arguments: Any, **_more: Any) -> Assessment:
        raise OperationalError("BEGIN", {}, Exception("locked"))

    monkeypatch.setattr(node.workflow.casework, "assess_inputs", away)
    with pytest.raises(OperationalError):
        assess_all(ready)
    assert ready.case().state != "failed"


# --- what a PACS is asked for ---

QUERIED = '[[pacs]]\nname = "archive"\nae_title = "A"\nhost = "127.0.0.1"\nport = 1\nquery_retrieve = true\n'


def _requests(here: Site) -> list[tuple[str, str, list[str]]]:
    with here.ledger.begin() as session:
        return [(row.pacs, row.state, row.missing) for row in session.scalars(select(Fetch))]


def test_missing_content_is_requested_until_it_has_arrived(tmp_path: Path) -> None:
    with site(tmp_path, QUERIED) as here:
        here.arrive([*series(1, T1W), *series(2, T2W), structure_set()])
        assess_all(here)
        assert _requests(here) == [("archive", "waiting", ["CE-T1w"])]
        here.arrive(series(3, CE_T1W))
        assess_all(here)
        assert [state for _, state, _ in _requests(here)] == ["idle"]


def test_nothing_is_requested_while_the_study_arrives_or_where_no_pacs_may_be_queried(
    here: Site, tmp_path: Path
) -> None:
    here.arrive(whole_study())
    assess_all(here)
    assert _requests(here) == []
    folder = tmp_path / "other"
    folder.mkdir()
    with site(folder, QUERIED) as queried:
        queried.arrive(received_now(series(1, T1W)))
        assess_all(queried)
        assert queried.case().state == "receiving"
        assert _requests(queried) == []
