"""What is sent again, contradicts what is stored, or is asked about a study: a report stays where it may."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.errors import InputError
from node.clinical.entries import diagnosis_entry, ebv_entry, stage_entry
from node.ledger import jobs
from node.ledger.associations import Peer, close, record_study
from node.ledger.cases import schedule_touched
from node.ledger.database import now_utc
from node.ledger.instances import add_quarantined
from node.ledger.tables import Quarantined
from node.workflow.decisions import confirm, dismiss_quarantined
from tests.cases.case_headers import STUDY, T2W, series, structure_set, whole_study
from tests.workflow.scenes import DRAWN, Site, assess_again, assess_all, site


def open_association(here: Site) -> None:
    """An association that has sent a part of the study and is still open."""
    with here.ledger.begin() as session:
        record_study(session, Peer("a1", "node", "PACS", "127.0.0.1", now_utc()), STUDY, now_utc())


def quarantine(here: Site, uid: str, what: str = "PixelData", study: str = STUDY) -> None:
    """Another content of an instance, as the intake quarantines it."""
    text = f"this SOP Instance UID is already stored with other content ({what}): {uid}"
    with here.ledger.begin() as session:
        row = Quarantined(
            code="conflicting_instance", text=text, sop_instance_uid=uid, study_instance_uid=study, differences=[what],
            digest=f"other of {uid}", path="quarantine/x.dcm", calling_ae="PACS", received_at=now_utc(),
        )  # fmt: skip
        add_quarantined(session, row)
        schedule_touched(session, [study])


def conflicts(here: Site, role: int, n: int) -> None:
    for number in range(1, n + 1):
        quarantine(here, f"{STUDY}.{role}.{number}")


def test_a_reported_study_is_not_receiving_while_nothing_that_it_uses_arrives(ready: Site) -> None:
    assess_all(ready)
    ready.end_job()
    open_association(ready)
    assert assess_again(ready) == "reported"
    scout = {"SeriesDescription": "localizer", "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}
    ready.arrive(series(9, scout, n_slices=3))
    assess_all(ready)
    assert ready.codes() == ("reported", set())
    assert len(ready.jobs()) == 1
    assert not any("receiving" in line for line in ready.history()[-3:])


def test_a_reported_study_to_which_a_part_is_added_arrives_and_is_computed_again(ready: Site) -> None:
    assess_all(ready)
    ready.end_job()
    open_association(ready)
    ready.arrive(series(2, T2W, n_slices=21)[20:])
    assess_all(ready)
    assert ready.case().state == "receiving"
    with ready.ledger.begin() as session:
        close(session, "a1", now_utc())
    assert assess_again(ready) == "queued"
    ready.end_job()
    report = ready.report()
    assert report is not None
    assert report.revision == 2


def test_a_conflict_leaves_the_report_and_is_one_reason_a_series(ready: Site) -> None:
    assess_all(ready)
    ready.end_job()
    conflicts(ready, 2, 20)
    conflicts(ready, 1, 1)
    assess_all(ready)
    case = ready.case()
    assert case.state == "reported"
    assert [reason["code"] for reason in case.reasons] == ["conflicting_instance"] * 2
    assert "20 instances came again" in case.reasons[0]["text"]
    assert "already stored with other content (PixelData)" in case.reasons[0]["text"]
    assert "1 instance came again" in case.reasons[1]["text"]
    assert len(ready.jobs()) == 1
    open_association(ready)
    assert assess_again(ready) == "reported"


def test_one_decision_dismisses_all_conflicts_of_a_study(ready: Site) -> None:
    assess_all(ready)
    ready.end_job()
    conflicts(ready, 1, 20)
    conflicts(ready, 2, 2)
    assess_all(ready)
    with ready.ledger.begin() as session:
        assert dismiss_quarantined(session, STUDY, "sent by mistake", "wang") == 22
    assess_all(ready)
    assert ready.codes() == ("reported", set())
    assert sum("22 files in quarantine were dismissed by wang" in line for line in ready.history()) == 1
    with ready.ledger.begin() as session, pytest.raises(InputError, match="found none"):
        dismiss_quarantined(session, STUDY, "again", "wang")
    # The same bytes once more are dismissed already.
    conflicts(ready, 1, 20)
    assess_all(ready)
    assert ready.codes() == ("reported", set())


def test_a_conflict_before_the_report_holds_the_study_and_stops_its_job(ready: Site) -> None:
    assess_all(ready)
    conflicts(ready, 1, 3)
    assess_all(ready)
    assert ready.codes() == ("held", {"conflicting_instance"})
    assert [job.state for job in ready.jobs()] == ["cancelled"]
    with ready.ledger.begin() as session:
        dismiss_quarantined(session, STUDY, "the first ones are right", "wang")
    assess_all(ready)
    assert ready.case().state == "queued"


def test_a_conflict_of_a_contour_in_another_study_is_named_and_dismissed_with_its_case(here: Site) -> None:
    here.arrive([*whole_study(), structure_set(uid="1.2.826.0.1.7.1", study="1.2.826.0.1.7")])
    facts = (ebv_entry(here.settings, "12000"), stage_entry(here.settings, "T3N1M0", "8"), diagnosis_entry("C11.9"))
    here.learn(*facts)
    assess_all(here)
    quarantine(here, "1.2.826.0.1.7.1", "ContourData", study="1.2.826.0.1.7")
    assess_all(here)
    (reason,) = here.case().reasons
    assert here.case().state == "held"
    assert "RTSTRUCT" in reason["text"]
    assert "(ContourData)" in reason["text"]
    with here.ledger.begin() as session:
        assert dismiss_quarantined(session, STUDY, "the first one is right", "wang") == 1
    assess_all(here)
    assert here.case().state == "queued"


def test_a_conflict_does_not_keep_a_changed_study_reported(ready: Site) -> None:
    assess_all(ready)
    ready.end_job()
    conflicts(ready, 1, 1)
    ready.learn(ebv_entry(ready.settings, "13000", drawn_on=DRAWN))
    assess_all(ready)
    assert ready.codes() == ("held", {"conflicting_instance"})


def test_a_report_that_is_recorded_beside_a_conflict_keeps_its_notice(ready: Site) -> None:
    assess_all(ready)
    ready.end_job()
    conflicts(ready, 1, 1)
    assess_all(ready)
    with ready.ledger.begin() as session:  # computed again with the same inputs, as after a new bundle
        first = ready.jobs()[0]
        jobs.create_job(session, STUDY, first.request, first.request_digest, "another")
    ready.end_job()
    assert ready.codes() == ("reported", {"conflicting_instance"})


def test_a_refused_study_stays_refused_beside_what_arrives_again(tmp_path: Path) -> None:
    with site(tmp_path, "[case]\nreport_refusals = true\n") as here:
        here.arrive([*whole_study(), structure_set()])
        here.learn(ebv_entry(here.settings, "12000"), stage_entry(here.settings, "T4N1M0", "8"))
        assess_all(here)
        here.refuse_with_report([{"code": "stage_not_eligible", "text": "The stage is T4N1M0."}])
        open_association(here)
        conflicts(here, 1, 2)
        assess_all(here)
        assert here.codes() == ("refused", {"stage_not_eligible", "conflicting_instance"})


def test_a_question_about_the_study_is_answered_once_and_asked_again_when_it_changes(here: Site) -> None:
    here.arrive_whole()
    here.arrive(series(9, {**T2W, "SeriesDescription": "localizer", "StudyDescription": "MR neck post RT"}, n_slices=3))
    assess_all(here)
    assert here.codes() == ("held", {"treatment_response"})
    with here.ledger.begin() as session, pytest.raises(InputError, match="open question"):
        confirm(session, STUDY, "region_contradiction", "a slip")
    with here.ledger.begin() as session:
        confirm(session, STUDY, "treatment_response", "planned, not given", "dr.li")
    assess_all(here)
    assert here.codes()[0] == "queued"
    here.arrive(
        series(10, {**T2W, "SeriesDescription": "localizer", "StudyDescription": "MR neck after IC"}, n_slices=3)
    )
    assess_all(here)
    assert here.codes() == ("held", {"treatment_response"})
