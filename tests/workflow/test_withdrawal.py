"""What goes out when a reported case changes: the table of outward acts, and when its withdrawals are queued."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from config.errors import InputError
from node.cases.freezing import Freeze
from node.clinical.entries import ebv_entry, stage_entry
from node.clinical.hl7_messages import handle_message
from node.ledger import jobs
from node.ledger.cases import STATES, get_case, schedule_assessment
from node.ledger.database import now_utc
from node.ledger.recalls import recall_of
from node.ledger.reports import current_report, record_report
from node.ledger.tables import Case, Job
from node.ledger.withdrawals import WithdrawalOrder, is_withdrawal, order_of
from node.workflow.decisions import confirm, set_hold
from node.workflow.outward_acts import TABLE, Act, Channel, Event, as_markdown, event_of
from node.workflow.recall import permit_again, recall_bundle, recalled_bundle
from node.workflow.reprocessing import Reprocessor
from node.workflow.withdrawal import still_wanted, withdraw_due, withdraw_study
from tests.cases.case_headers import STUDY
from tests.peers import PROJECT
from tests.workflow.scenes import DRAWN, RESULT, Site, assess_again, assess_all, site

# --- the table ---


def test_the_readme_shows_the_table_that_the_code_obeys() -> None:
    assert as_markdown() in (PROJECT / "node" / "workflow" / "README.md").read_text(encoding="utf-8")


def test_every_event_has_a_row_with_an_act_in_every_channel_and_states_that_exist() -> None:
    assert set(TABLE) == set(Event)
    for row in TABLE.values():
        assert set(row.acts) == set(Channel)
        assert set(row.states) <= set(STATES)
        assert row.because or row.states == ("withdrawn",)


def test_a_case_that_is_not_reported_leaves_no_answer_outside() -> None:
    """The invariant of the table: "nothing" only while the case is reported, or nothing outside names an answer."""
    left = {event for event, row in TABLE.items() if row.acts[Channel.DICOM] is Act.NOTHING}
    assert left == {Event.NOTICED, Event.UNCHANGED, Event.NO_ANSWER}
    assert {state for event in left - {Event.NO_ANSWER} for state in TABLE[event].states} == {"reported"}
    covered = {state for event, row in TABLE.items() if event not in left for state in row.states}
    assert covered == set(STATES)


def test_the_acts_of_one_event_say_the_same_in_every_channel() -> None:
    """A result is never final in one channel and withdrawn in another."""
    for row in TABLE.values():
        assert (
            row.withdraws == (row.acts[Channel.FHIR] is Act.ENTERED_IN_ERROR) == (row.acts[Channel.HL7] is Act.DELETED)
        )


# --- what makes a reported case need its withdrawal ---


@pytest.fixture(autouse=True)
def _not_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The MR of these tests is months old; what the freeze changes has tests of its own."""
    monkeypatch.setattr("node.workflow.frozen_reports.freeze_of", lambda *_: None)


@pytest.fixture
def reported(ready: Site) -> Site:
    assess_all(ready)
    ready.end_job()
    assert ready.case().state == "reported"
    return ready


def withdrawals(here: Site) -> list[WithdrawalOrder]:
    """What is queued or done, after the outdated answers were looked for."""
    withdraw_due(here.ledger, here.settings)
    return [order_of(job) for job in here.jobs() if is_withdrawal(job)]


def write_withdrawal(here: Site) -> None:
    """Let a worker do the only active withdrawal, without objects."""
    with here.ledger.begin() as session:
        (job,) = [job for job in session.query(Job) if is_withdrawal(job) and job.state == "queued"]
        leased = jobs.claim(session, job.id, "report", "worker")
        assert leased is not None
        before = current_report(session, STUDY)
        assert before is not None
        record_report(
            session, study_instance_uid=STUDY, job_id=job.id, identity=f"withdrawal {job.id}", computation=job.id,
            request_digest=job.request_digest, bundle_digest="sha256:b", revision=before.revision + 1,
            sop_instance_uid=f"1.2.4.{before.revision + 1}", predecessor=before, case_state=None,
            result={**RESULT, "withdrawal": {"since": "2026-05-10", "by": "x", "because": "y"}}, objects=[],
            destinations=[],
        )  # fmt: skip
        jobs.finish(session, leased, {})


def other_stage(here: Site) -> None:
    here.learn(stage_entry(here.settings, "T4N2M0", "8"))


def held(here: Site) -> None:
    with here.ledger.begin() as session:
        set_hold(session, STUDY, "contour under review", "wang")


def without_series(here: Site) -> None:
    here.remove_instances(f"{STUDY}.2")
    with here.ledger.begin() as session:
        schedule_assessment(session, STUDY)


def failed(here: Site) -> None:
    here.learn(ebv_entry(here.settings, "300", drawn_on=DRAWN))
    assess_all(here)
    here.end_job("unexpected")


EVENTS: list[tuple[Event, str, Callable[[Site], None]]] = [
    (Event.REFUSED, "stage_not_eligible", other_stage),
    (Event.HELD_BY_PERSON, "administrator_hold", held),
    (Event.INCOMPLETE, "missing_series", without_series),
    (Event.FAILED, "unexpected", failed),
]


@pytest.mark.parametrize(("event", "code", "happen"), EVENTS, ids=[event.value for event, _, _ in EVENTS])
def test_an_answer_is_withdrawn_when_its_case_leaves_reported(
    reported: Site, event: Event, code: str, happen: Callable[[Site], None]
) -> None:
    happen(reported)
    assess_all(reported)
    (order,) = withdrawals(reported)
    assert order.event == event
    assert code in [reason["code"] for reason in order.reasons]
    assert order.because == TABLE[event].because
    assert len(withdrawals(reported)) == 1  # not a second one while it is under way
    write_withdrawal(reported)
    assert len(withdrawals(reported)) == 1  # nor after it
    assert reported.case().state == TABLE[event].states[0]  # the state of the case stays what it is


def test_a_question_beside_an_answer_withdraws_nothing(reported: Site) -> None:
    assert assess_again(reported) == "reported"
    assert withdrawals(reported) == []


def test_a_first_refusal_withdraws_nothing(here: Site) -> None:
    here.arrive_whole()
    here.learn(stage_entry(here.settings, "T2N0M0", "8"))
    assess_all(here)
    assert here.case().state == "refused"
    assert withdrawals(here) == []


def test_a_refusal_report_takes_the_place_of_the_answer_where_refusals_are_reported(tmp_path: Path) -> None:
    with site(tmp_path, "[case]\nreport_refusals = true\n") as here:
        here.arrive_whole()
        assess_all(here)
        here.end_job()
        other_stage(here)
        assess_all(here)
        assert withdrawals(here) == []  # the successor is on its way
        here.refuse_with_report([{"code": "stage_not_eligible", "text": "T4N2M0"}])
        held(here)
        assess_all(here)
        assert withdrawals(here) == []  # a refusal names no answer


def test_changed_inputs_withdraw_the_answer_only_where_the_new_one_does_not_come_in_time(reported: Site) -> None:
    reported.learn(ebv_entry(reported.settings, "300", drawn_on=DRAWN))
    assess_all(reported)
    assert reported.case().state == "queued"
    assert withdrawals(reported) == []
    with reported.ledger.begin() as session:
        late = now_utc() - timedelta(seconds=reported.settings.case.withdraw_after_s + 1)
        session.execute(update(Case).values(outdated_since=late))
    (order,) = withdrawals(reported)
    assert order.event == Event.RECOMPUTED
    reported.end_job()  # the new result is there before the withdrawal was written
    with reported.ledger.begin() as session:
        case, report = get_case(session, STUDY), current_report(session, STUDY)
        assert report is not None
        assert not still_wanted(case, report)


def test_a_hold_that_is_released_before_the_withdrawal_keeps_the_answer(reported: Site) -> None:
    held(reported)
    assess_all(reported)
    assert len(withdrawals(reported)) == 1
    with reported.ledger.begin() as session:
        set_hold(session, STUDY, None, "wang")
    assess_all(reported)
    with reported.ledger.begin() as session:
        case, report = get_case(session, STUDY), current_report(session, STUDY)
        assert report is not None
        assert (case.state, still_wanted(case, report)) == ("reported", False)


def test_a_case_that_can_be_computed_again_gets_a_successor_of_its_withdrawal(reported: Site) -> None:
    held(reported)
    assess_all(reported)
    withdrawals(reported)
    write_withdrawal(reported)
    with reported.ledger.begin() as session:
        set_hold(session, STUDY, None, "wang")
    assess_all(reported)
    assert reported.case().state == "queued"  # with the same inputs as the withdrawn answer
    reported.end_job()
    with reported.ledger.begin() as session:
        report = current_report(session, STUDY)
        assert report is not None
        assert report.revision == 3
        assert get_case(session, STUDY).outdated_since is None


def test_a_withdrawal_that_failed_is_tried_again(reported: Site) -> None:
    held(reported)
    assess_all(reported)
    withdrawals(reported)
    with reported.ledger.begin() as session:
        (job,) = [job for job in session.query(Job) if is_withdrawal(job)]
        leased = jobs.claim(session, job.id, "report", "worker")
        assert leased is not None
        jobs.fail(session, leased, "unexpected", "a failure of the test", retry=False)
    assert reported.case().state == "held"  # its failure is no state of the case
    withdrawals(reported)
    with reported.ledger.begin() as session:
        session.execute(update(Job).where(Job.id == job.id).values(updated_at=now_utc() - timedelta(minutes=1)))
    assert len(withdrawals(reported)) == 1
    assert [job.state for job in reported.jobs() if is_withdrawal(job)] == ["queued"]


# --- a person's withdrawal ---


def withdraw(here: Site, because: str = "the contour is of another patient") -> None:
    with here.ledger.begin() as session:
        withdraw_study(session, STUDY, because, "wang")


def test_a_person_withdraws_an_answer_and_it_stays_withdrawn(reported: Site) -> None:
    withdraw(reported)
    assert reported.codes() == ("withdrawn", {"withdrawn_by_person"})
    (order,) = withdrawals(reported)
    assert (order.event, order.by, order.because) == (Event.BY_PERSON, "wang", "the contour is of another patient")
    write_withdrawal(reported)
    for _ in range(2):
        assert assess_again(reported) == "withdrawn"
    assert len(reported.jobs()) == 2
    held(reported)
    assess_all(reported)
    assert reported.case().state == "withdrawn"


def test_a_withdrawn_study_is_computed_again_when_its_inputs_change(reported: Site) -> None:
    withdraw(reported)
    withdrawals(reported)
    write_withdrawal(reported)
    reported.learn(ebv_entry(reported.settings, "300", drawn_on=DRAWN))
    assess_all(reported)
    assert reported.case().state == "queued"
    reported.end_job()
    assert reported.case().state == "reported"
    assert assess_again(reported) == "reported"


def test_a_person_takes_a_withdrawal_back_by_computing_again(reported: Site) -> None:
    withdraw(reported)
    outcome = Reprocessor(reported.ledger, reported.settings, reported.settings.model.bundle).start(STUDY)
    assert outcome.kind == "queued"
    reported.end_job()
    assert reported.case().state == "reported"


def test_an_answer_is_withdrawn_once_by_one_reason(reported: Site) -> None:
    withdraw(reported)
    with pytest.raises(InputError, match="wang has withdrawn it: "):
        withdraw(reported, "another reason")
    assert len(withdrawals(reported)) == 1


@pytest.mark.parametrize("because", ["", "  "])
def test_a_withdrawal_needs_a_reason(reported: Site, because: str) -> None:
    with pytest.raises(InputError, match="expected the reason"):
        withdraw(reported, because)


def test_only_a_current_answer_can_be_withdrawn(ready: Site) -> None:
    with pytest.raises(InputError, match="found no report"):
        withdraw(ready)
    assess_all(ready)
    ready.end_job()
    withdraw(ready)
    withdrawals(ready)
    write_withdrawal(ready)
    with pytest.raises(InputError, match="found a withdrawal"):
        withdraw(ready)


# --- merges of patients ---


def adt_a40(here: Site, prior: str = "P1^^^HOSP^MR", surviving: str = "P2^^^HOSP^MR", control_id: str = "1") -> str:
    """HL7 v2.5.1 section 3.3.40; returns the acknowledgement."""
    segments = [
        f"MSH|^~\\&|HIS|HOSP|CPTDN|HOSP|20260510101500||ADT^A40^ADT_A39|{control_id}|P|2.5.1", "EVN||20260510",
        f"PID|1||{surviving}||Wang^Wei", f"MRG|{prior}",
    ]  # fmt: skip
    return handle_message(("\r".join(segments) + "\r").encode(), here.ledger, here.settings).decode()


def test_the_answer_of_a_merged_patient_is_withdrawn_until_a_person_confirms_it(reported: Site) -> None:
    assert "|AA|1" in adt_a40(reported)
    assess_all(reported)
    assert reported.codes() == ("held", {"patient_merged"})
    (order,) = withdrawals(reported)
    assert order.event == Event.OTHER_PATIENT
    assert "was merged into P2" in order.reasons[0]["text"]
    write_withdrawal(reported)
    assert "|AA|2" in adt_a40(reported, control_id="2")  # a repetition asks nothing new
    with reported.ledger.begin() as session:
        confirm(session, STUDY, "patient_merged", "seen in both records", "wang")
    assess_all(reported)
    assert reported.case().state == "queued"
    assert any("seen in both records" in warning["text"] for warning in reported.jobs()[-1].request["warnings"])


def test_a_merge_moves_no_fact_and_touches_no_study_of_the_surviving_patient(reported: Site) -> None:
    adt_a40(reported, prior="P2^^^HOSP^MR", surviving="P1^^^HOSP^MR")
    assess_all(reported)
    assert reported.case().state == "reported"
    assert withdrawals(reported) == []


@pytest.mark.parametrize("prior", ["", "P2^^^HOSP^MR"])
def test_a_merge_without_two_identifiers_is_refused(reported: Site, prior: str) -> None:
    assert "|AE|1" in adt_a40(reported, prior=prior)
    assess_all(reported)
    assert reported.case().state == "reported"


# --- frozen reports ---


def test_a_later_fact_leaves_a_frozen_answer_outside(reported: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    day = now_utc().date()
    frozen = Freeze(day, "when treatment began", was_reported=True)
    monkeypatch.setattr("node.workflow.frozen_reports.freeze_of", lambda *_: frozen)
    other_stage(reported)
    assess_all(reported)
    assert reported.case().state == "reported"
    assert withdrawals(reported) == []


def test_a_hold_withdraws_a_frozen_answer_and_its_release_gives_the_same_one_back(
    reported: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first,) = reported.jobs()
    frozen = Freeze(now_utc().date(), "when treatment began", was_reported=True)
    monkeypatch.setattr("node.workflow.frozen_reports.freeze_of", lambda *_: frozen)
    held(reported)
    assess_all(reported)
    assert len(withdrawals(reported)) == 1
    write_withdrawal(reported)
    reported.learn(ebv_entry(reported.settings, "300"))  # without a day: too late for a frozen report
    with reported.ledger.begin() as session:
        set_hold(session, STUDY, None, "wang")
    assess_all(reported)
    assert reported.case().state == "queued"
    assert reported.jobs()[-1].request_digest == first.request_digest


# --- recall of a bundle ---


def test_a_recall_withdraws_every_current_answer_and_keeps_the_bundle_from_being_used(reported: Site) -> None:
    with reported.ledger.begin() as session:
        found = recalled_bundle(session, "sha256:b")
        assert (found.name, found.studies, found.jobs) == ("demonstration", (STUDY,), ())
    assert recall_bundle(reported.ledger, found, "wrong landmarks", "wang") == 1
    assert reported.codes() == ("withdrawn", {"bundle_recalled"})
    (order,) = withdrawals(reported)
    assert order.because == "The model bundle demonstration is recalled: wrong landmarks"
    assert recall_bundle(reported.ledger, found, "wrong landmarks", "wang") == 0  # repeated before it is written
    write_withdrawal(reported)
    assert recall_bundle(reported.ledger, found, "wrong landmarks", "wang") == 0  # repeated: nothing is left
    reported.learn(ebv_entry(reported.settings, "300", drawn_on=DRAWN))
    assess_all(reported)
    assert reported.case().state == "withdrawn"  # a person decides who is computed again


def test_a_study_that_a_recalled_bundle_would_compute_is_held_until_it_may_be_used_again(ready: Site) -> None:
    assess_all(ready)  # queued with the configured bundle
    with ready.ledger.begin() as session:
        found = recalled_bundle(session, ready.settings.model.bundle)
        assert [study for _, study in found.jobs] == [STUDY]
    recall_bundle(ready.ledger, found, "wrong landmarks", "wang")
    assess_all(ready)
    assert ready.codes() == ("held", {"bundle_recalled"})
    (outcome,) = [Reprocessor(ready.ledger, ready.settings, ready.settings.model.bundle).start(STUDY)]
    assert (outcome.kind, outcome.reasons[0]["code"]) == ("not_ready", "bundle_recalled")
    with ready.ledger.begin() as session:
        assert permit_again(session, found.digest, "the landmarks were right")
        assert recall_of(session, found.digest) is None
    assess_all(ready)
    assert ready.case().state == "queued"


def test_a_name_that_no_bundle_has_is_refused(reported: Site) -> None:
    with reported.ledger.begin() as session, pytest.raises(InputError, match="expected the name"):
        recalled_bundle(session, "no-such-bundle")


def test_the_event_of_a_case_follows_from_its_state_and_reasons(reported: Site) -> None:
    with reported.ledger.begin() as session:
        case, report = get_case(session, STUDY), current_report(session, STUDY)
        assert event_of(case, report) is Event.UNCHANGED
        case.state, case.reasons = "held", [{"code": "identity_mismatch", "text": "two birth dates"}]
        assert event_of(case, report) is Event.OTHER_PATIENT
        assert TABLE[Event.OTHER_PATIENT].acts[Channel.REJECTION] is Act.REJECT_WORKLIST
