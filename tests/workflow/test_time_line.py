"""Facts before, between and after MR, start of treatment and report: the report follows from their days alone."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from node.clinical.entries import (
    FactEntry,
    diagnosis_entry,
    ebv_entry,
    prior_treatment_entry,
    record_entries,
    stage_entry,
    treatment_start_entry,
)
from node.ledger import jobs
from node.ledger.cases import get_case, history
from node.ledger.database import now_utc
from node.ledger.reports import current_report, record_report, reports_of
from node.workflow.casework import assess_case, evaluate_case
from tests.cases.case_headers import CE_T1W, T1W, T2W, series, structure_set
from tests.workflow.scenes import DRAWN, RESULT, Site, site

START = date(2026, 5, 8)  # the MR is of 2026-05-01


def events(settings: Any) -> list[FactEntry]:
    """What becomes known about a patient; the report is that of the draw of 6 May and the stage of 25 April."""

    def draw(text: str, *day: int) -> FactEntry:
        return ebv_entry(settings, text, drawn_on=date(*day))

    def stage(text: str, *day: int) -> FactEntry:
        return stage_entry(settings, text, "8", date(*day))

    return [
        diagnosis_entry("C11.9"), treatment_start_entry(START.isoformat()),
        treatment_start_entry("2026-05-29", "given", "second cycle"),
        treatment_start_entry("2026-05-11", "planned", "first order"),
        draw("90000", 2026, 2, 1), draw("9000", 2026, 4, 20), draw("5200", 2026, 5, 6), draw("300", 2026, 5, 12),
        draw("100", 2026, 5, 20), draw("50", 2026, 11, 1),
        stage("T4N2M0", 2026, 1, 10), stage("T3N1M0", 2026, 4, 25), stage("T2N0M0", 2026, 6, 20),
        stage("ycT1N0M0", 2026, 8, 1),
    ]  # fmt: skip


class Patient:
    """A patient with one study of few slices; a worker answers every job at once."""

    def __init__(self, here: Site, number: int) -> None:
        self.here, self.study, self.patient_id = here, f"1.2.826.0.7.{number}", f"T{number}"

    def arrive(self) -> None:
        frame = f"{self.study}.99"
        images = [
            image
            for n, physics in enumerate((T1W, T2W, CE_T1W), 1)
            for image in series(n, physics, 12, study=self.study, frame=frame, PatientID=self.patient_id)
        ]
        contour = structure_set(
            uid=f"{self.study}.7.1", study=f"{self.study}.7", frame=frame, PatientID=self.patient_id
        )  # fmt: skip
        self.here.arrive([*images, contour])

    def learn(self, *entries: FactEntry) -> None:
        with self.here.ledger.begin() as session:
            record_entries(session, self.patient_id, "", list(entries), "test", "a tester")

    def assess(self) -> None:
        """Assess the study, and report what is queued."""
        with self.here.ledger.begin() as session:
            assess_case(session, self.here.settings, self.study)
            for job in jobs.active_jobs(session, self.study):
                self.report(session, job)

    def report(self, session: Any, job: Any) -> None:
        taken = jobs.claim(session, job.id, job.step, "worker")
        assert taken is not None
        before = current_report(session, self.study)
        revision = before.revision + 1 if before is not None else 1
        name = f"{self.study}/{revision}"
        record_report(
            session, study_instance_uid=self.study, job_id=taken.id, identity=name, computation=name,
            request_digest=taken.request_digest, bundle_digest="sha256:b", revision=revision,
            sop_instance_uid=f"{self.study}.5.{revision}", predecessor=before, result=RESULT, objects=[],
            destinations=[], case_state="reported", reasons=(),
        )  # fmt: skip
        jobs.finish(session, taken, {})

    def reported(self) -> dict[str, Any] | None:
        """The inputs of the current report."""
        with self.here.ledger.begin() as session:
            report = current_report(session, self.study)
            return dict(jobs.get_job(session, report.job_id).request) if report is not None else None

    def state(self) -> str:
        with self.here.ledger.begin() as session:
            return get_case(session, self.study).state

    def n_reports(self) -> int:
        with self.here.ledger.begin() as session:
            return len(reports_of(session, self.study))

    def explained(self) -> dict[str, Any]:
        with self.here.ledger.begin() as session:
            return evaluate_case(session, self.here.settings, get_case(session, self.study)).explain_json()

    def move_reports_to(self, day: date) -> None:
        """As if they had been made on that day."""
        with self.here.ledger.begin() as session:
            for report in reports_of(session, self.study):
                report.created_at = now_utc().replace(year=day.year, month=day.month, day=day.day)


def live_through(patient: Patient, steps: list[FactEntry | None], may_assess: Callable[[], bool]) -> None:
    has_arrived = False
    for step in steps:
        if step is None:
            patient.arrive()
            has_arrived = True
        else:
            patient.learn(step)
        if has_arrived and may_assess():
            patient.assess()
    patient.assess()


def inputs_of(here: Site, n: int, assessed_share: float) -> set[tuple[str, str, str, str]]:
    """Inputs of the last report in n seeded orders of MR and facts, with reports made in between."""
    seen = set()
    for number in range(n):
        rng = random.Random(number)
        patient = Patient(here, number)
        steps: list[FactEntry | None] = [None, *events(here.settings)]
        rng.shuffle(steps)
        live_through(patient, steps, lambda rng=rng: rng.random() < assessed_share)  # type: ignore[misc]
        request = patient.reported()
        assert request is not None, number
        stage = "".join(request["stage"][part] for part in "tnm")
        seen.add((request["ebv"]["as_given"], request["ebv"]["observed_on"], stage, patient.state()))
    return seen


def test_facts_in_any_order_of_arrival_give_one_report(here: Site) -> None:
    assert inputs_of(here, 100, 0.1) == {("5200", "2026-05-06", "T3N1M0", "reported")}


@pytest.mark.long
def test_facts_in_two_hundred_orders_with_many_reports_in_between_give_one_report(here: Site) -> None:
    assert inputs_of(here, 200, 0.5) == {("5200", "2026-05-06", "T3N1M0", "reported")}


def test_what_came_later_is_listed_with_its_reason(here: Site) -> None:
    patient = Patient(here, 1)
    live_through(patient, [None, *events(here.settings)], lambda: True)
    clinical = patient.explained()["clinical"]
    assert clinical["treatment_start"]["day"] == "2026-05-08"
    reasons = {(each["fact"], each["value"].split()[0]): each["text"] for each in clinical["later_facts"]}
    assert "after the treatment began on 2026-05-08" in reasons["ebv_dna", "300"]
    assert "after the treatment began on 2026-05-08" in reasons["ebv_dna", "50"]
    assert "after the treatment began" in reasons["stage", "T2N0M0"]
    assert ("stage", "ycT1N0M0") in reasons
    assert not any(value in ("5200", "T3N1M0") for _, value in reasons)


# --- frozen ---


@pytest.fixture
def used(here: Site) -> Patient:
    """A report that was made before treatment began."""
    patient = Patient(here, 1)
    patient.arrive()
    settings = here.settings
    patient.learn(
        diagnosis_entry("C11.9"), stage_entry(settings, "T3N1M0", "8"), ebv_entry(settings, "9000", drawn_on=DRAWN)
    )
    patient.assess()
    patient.move_reports_to(date(2026, 5, 3))
    patient.learn(treatment_start_entry(START.isoformat()))
    patient.assess()
    assert (patient.state(), patient.n_reports()) == ("reported", 1)
    return patient


def lines(patient: Patient) -> str:
    with patient.here.ledger.begin() as session:
        return " ".join(line["text"] for line in history(session, patient.study))


@pytest.mark.parametrize(
    "entry",
    [
        lambda s: ebv_entry(s, "100"), lambda s: ebv_entry(s, "100", drawn_on=date(2026, 5, 5)),
        lambda s: ebv_entry(s, "100", drawn_on=date(2026, 6, 5)), lambda s: stage_entry(s, "T2N0M0", "8"),
        lambda s: stage_entry(s, "T2N0M0", "8", date(2026, 5, 5)), lambda _: prior_treatment_entry("chemotherapy"),
    ],
)  # fmt: skip
def test_a_report_that_was_there_before_treatment_is_changed_by_a_person_only(
    used: Patient, entry: Callable[[Any], FactEntry]
) -> None:
    used.learn(entry(used.here.settings))
    used.assess()
    assert (used.state(), used.n_reports()) == ("reported", 1)
    assert "was recorded and not used" in lines(used)
    explained = used.explained()
    assert explained["clinical"]["later_facts"]
    assert "a new revision needs a person" in explained["eligibility"]["frozen"]
    assert explained["clinical"]["ebv_dna"]["as_given"] == "9000"


def test_a_person_gets_a_revision_with_what_was_known_then_and_later_facts_wait_again(used: Patient) -> None:
    settings = used.here.settings
    used.learn(ebv_entry(settings, "100", drawn_on=date(2026, 5, 5)))
    used.assess()
    with used.here.ledger.begin() as session:
        request = evaluate_case(session, settings, get_case(session, used.study), by_person=True).request
        assert request is not None
        job = jobs.create_job(session, used.study, request.to_json(), request.digest(), "demonstration")
    used.assess()  # an assessment while it is computed does not stop it
    assert used.n_reports() == 2
    assert used.reported()["ebv"]["as_given"] == "100"  # type: ignore[index]
    used.learn(ebv_entry(settings, "300", drawn_on=date(2026, 5, 6)))
    used.assess()
    assert (used.state(), used.n_reports()) == ("reported", 2)
    with used.here.ledger.begin() as session:
        assert jobs.get_job(session, job.id).state == "done"


@pytest.mark.parametrize(("days", "n_reports"), [(45, 1), (400, 2)])
def test_without_a_start_of_treatment_the_time_since_the_mr_freezes(tmp_path: Path, days: int, n_reports: int) -> None:
    with site(tmp_path, f"[case]\nfreeze_after_days = {days}\n") as here:
        patient = Patient(here, 1)
        patient.arrive()
        settings = here.settings
        patient.learn(
            diagnosis_entry("C11.9"), stage_entry(settings, "T3N1M0", "8"), ebv_entry(settings, "9000", drawn_on=DRAWN)
        )
        patient.assess()
        patient.move_reports_to(date(2026, 5, 3))
        patient.learn(ebv_entry(settings, "100"))
        patient.assess()
        assert patient.n_reports() == n_reports


def test_a_study_that_is_reported_after_the_treatment_takes_earlier_facts_and_no_undated_ones(here: Site) -> None:
    patient = Patient(here, 1)
    live_through(patient, [None, *events(here.settings)], lambda: True)
    n = patient.n_reports()
    patient.learn(ebv_entry(here.settings, "77"), stage_entry(here.settings, "T2N0M0", "8"))
    patient.assess()
    assert (patient.state(), patient.n_reports()) == ("reported", n)
    patient.learn(ebv_entry(here.settings, "6000", drawn_on=date(2026, 5, 7)))
    patient.assess()
    assert patient.n_reports() == n + 1
    assert patient.reported()["ebv"]["as_given"] == "6000"  # type: ignore[index]
