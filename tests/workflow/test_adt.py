"""Updates and merges of patients: messages made by hl7apy, over a real socket, into a site with a reported study."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from node.cases.case_inputs import StoredInstance
from node.clinical.entries import birth_date_entry, ebv_entry, record_entries
from node.clinical.mllp import MllpServer
from node.ledger.cases import get_case
from node.ledger.facts import facts_of, history_of
from node.ledger.persons import other_identities, survivor_of
from node.workflow.decisions import confirm
from tests.cases.case_headers import CE_T1W, STUDY, T1W, T2W, roi, series, structure_set
from tests.clinical.test_mllp import Sender, code
from tests.peers import absent
from tests.workflow.scenes import DRAWN, PATIENT, Site, assess_all, site

NAME, BORN = "Wang^Wei", "19800615"  # as in the images of `case_headers`


def drawn(**more: Any) -> StoredInstance:
    return structure_set([roi(4, "GTVp", "GTV", extent_mm=[[-20.0, -20.0, 3.0], [20.0, 20.0, 12.0]])], **more)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr("node.workflow.frozen_reports.freeze_of", lambda *_: None)
    with site(tmp_path, "[hl7]\nenabled = true\nport = 0\n") as made:
        physics = enumerate((T1W, T2W, CE_T1W), 1)
        made.arrive([each for number, of in physics for each in series(number, of, n_slices=8)])
        made.arrive([drawn()])
        made.arrive_facts()
        assess_all(made)
        made.end_job()
        yield made


@pytest.fixture
def hospital(here: Site) -> Iterator[Hospital]:
    server = MllpServer(here.ledger, here.settings)
    server.start()
    sender = Sender(server.port)
    yield Hospital(sender)
    sender.socket.close()
    server.stop()


class Hospital:
    """A patient administration system; its messages have the times that a test gives them, in order otherwise."""

    def __init__(self, sender: Sender) -> None:
        self.sender, self.n_sent, self.last = sender, 0, ""

    def send(self, trigger: str, structure: str, *patients: tuple[str, str, str], prior: str = "", at: str = "") -> str:
        """One message with a PID for each patient (ID, name, birth date); returns MSA-1."""
        self.n_sent += 1
        written = at or f"202605101{self.n_sent:03d}00"
        self.last = message(trigger, structure, patients, prior, str(self.n_sent), written)
        return code(self.sender.send(self.last)).split("|")[0]

    def repeat(self) -> str:
        return code(self.sender.send(self.last)).split("|")[0]

    def update(self, patient: str = PATIENT, name: str = NAME, born: str = BORN, at: str = "") -> str:
        return self.send("A08", "ADT_A01", (patient, name, born), at=at)

    def merge(self, prior: str, surviving: str, trigger: str = "A40", structure: str = "ADT_A39", at: str = "") -> str:
        return self.send(trigger, structure, (surviving, NAME, BORN), prior=prior, at=at)

    def unlink(self, first: str, second: str, at: str = "") -> str:
        return self.send("A37", "ADT_A37", (first, NAME, BORN), (second, NAME, BORN), at=at)


def message(trigger: str, structure: str, patients: Any, prior: str, control_id: str, written: str) -> str:
    try:
        from hl7apy.core import Message, Segment
    except ModuleNotFoundError:
        absent("hl7apy is not installed (pip install hl7apy)")
    made = Message(structure, version="2.5.1")
    made.msh.msh_3, made.msh.msh_4, made.msh.msh_7 = "ADT", "HOSP", written
    made.msh.msh_9, made.msh.msh_10, made.msh.msh_11 = f"ADT^{trigger}^{structure}", control_id, "P"
    made.evn.evn_2 = written
    segments = [str(segment.to_er7()) for segment in (made.msh, made.evn)]
    for patient_id, name, born in patients:
        pid = Segment("PID", version="2.5.1")
        pid.pid_3, pid.pid_5, pid.pid_7, pid.pid_8 = f"{patient_id}^^^HOSP^MR", name, born, "M"
        segments.append(str(pid.to_er7()))
    if prior:
        mrg = Segment("MRG", version="2.5.1")
        mrg.mrg_1 = f"{prior}^^^HOSP^MR"
        segments.append(str(mrg.to_er7()))
    return "\r".join(segments) + "\r"


def ebv_dna(here: Site, text: str, patient: str) -> None:
    with here.ledger.begin() as session:
        record_entries(
            session, patient, "HOSP", [ebv_entry(here.settings, text, drawn_on=DRAWN)], "a lab", "HL7",
            datetime(2026, 5, 10, tzinfo=UTC),
        )  # fmt: skip


def confirmed(here: Site) -> None:
    with here.ledger.begin() as session:
        confirm(session, STUDY, "patient_merged", "seen in both records", "wang")
    assess_all(here)


def used_ebv_dna(here: Site) -> str:
    return str(here.jobs()[-1].request["ebv"]["as_given"])


# --- updates ---


def test_another_birth_date_is_a_question_and_a_person_answers_it(here: Site, hospital: Hospital) -> None:
    assert hospital.update(born="19700615") == "AA"
    assess_all(here)
    assert here.codes() == ("held", {"identity_mismatch"})
    assert here.case().outdated_since is not None  # its answer is withdrawn
    here.learn(birth_date_entry("1970-06-15"))
    assess_all(here)
    assert here.case().state == "queued"
    assert here.jobs()[-1].request["age_years"] == 55  # on 2026-05-01
    here.end_job()
    # The same update again, and one that was written before it, undo nothing.
    assert hospital.repeat() == "AA"
    assess_all(here)
    assert here.case().state == "reported"


def test_a_birth_date_that_is_corrected_back_releases_the_study(here: Site, hospital: Hospital) -> None:
    hospital.update(born="19700615")
    assess_all(here)
    assert here.case().state == "held"
    hospital.update()
    assess_all(here)
    assert here.case().state == "reported"
    hospital.update(born="19700615", at="20260501080000")  # was on its way for days
    assess_all(here)
    assert here.case().state == "reported"


def test_an_update_does_not_undo_what_a_person_has_entered(here: Site, hospital: Hospital) -> None:
    here.learn(birth_date_entry("1970-06-15"))
    assert hospital.update() == "AE"
    with here.ledger.begin() as session:
        born = facts_of(session, PATIENT).birth_date
    assert born is not None
    assert born.day.year == 1970


def test_another_name_is_told_and_changes_nothing(here: Site, hospital: Hospital) -> None:
    here.remove_instances(f"{STUDY}.1")
    here.arrive([*series(1, T1W, n_slices=8, PatientName=NAME)])
    assess_all(here)
    assert hospital.update(name="Zhou^Wei") == "AA"
    assert hospital.update(name="Zhou^Wei") == "AA"
    assess_all(here)
    assert here.case().state == "reported"
    assert len([line for line in here.history() if "its patient's name differs" in line]) == 1


def test_an_update_of_an_unknown_patient_leaves_nothing(here: Site, hospital: Hospital) -> None:
    assert hospital.update("P77", born="19010203") == "AA"
    with here.ledger.begin() as session:
        assert history_of(session, "P77") == []
    assert here.case().state == "reported"


# --- merges ---


@pytest.mark.parametrize(("trigger", "structure"), [("A40", "ADT_A39"), ("A34", "ADT_A30"), ("A18", "ADT_A18")])
def test_after_a_confirmed_merge_the_facts_of_the_surviving_record_count(
    here: Site, hospital: Hospital, trigger: str, structure: str
) -> None:
    assert hospital.merge(PATIENT, "P2", trigger, structure) == "AA"
    ebv_dna(here, "300", "P2")
    assess_all(here)
    assert here.codes() == ("held", {"patient_merged"})
    confirmed(here)
    assert (here.case().state, used_ebv_dna(here)) == ("queued", "300")
    here.end_job()
    ebv_dna(here, "15000", "P2")  # the laboratory knows the surviving identifier only
    assess_all(here)
    assert (here.case().state, used_ebv_dna(here)) == ("queued", "15000")


def test_a_chain_of_merges_asks_about_its_end(here: Site, hospital: Hospital) -> None:
    # The later one arrives first.
    hospital.merge("P2", "P3", at="20260510120000")
    hospital.merge(PATIENT, "P2", at="20260510110000")
    assess_all(here)
    assert "was merged into P3" in here.case().reasons[0]["text"]
    with here.ledger.begin() as session:
        assert survivor_of(session, PATIENT, "") == ("P3", "HOSP")
        assert sorted(each for each, _ in other_identities(session, "P3", "")) == [PATIENT, "P2"]
    confirmed(here)
    assert here.case().state == "reported"  # nothing has changed, and the withdrawal was not written yet
    hospital.merge("P3", "P4")
    assess_all(here)
    assert here.codes() == ("held", {"patient_merged"})  # another question


def test_facts_of_a_record_that_was_merged_into_this_one_are_asked_about(here: Site, hospital: Hospital) -> None:
    ebv_dna(here, "300", "P0")
    assess_all(here)
    assert here.case().state == "reported"
    hospital.merge("P0", PATIENT)
    assess_all(here)
    assert here.codes() == ("held", {"patient_merged"})
    confirmed(here)
    assert used_ebv_dna(here) == "300"


@pytest.mark.parametrize("by", ["unlink", "merge the other way"])
def test_a_merge_that_is_undone_leaves_the_two_apart(here: Site, hospital: Hospital, by: str) -> None:
    hospital.merge(PATIENT, "P2")
    first = hospital.last
    ebv_dna(here, "300", "P2")
    assess_all(here)
    confirmed(here)
    here.end_job()
    assert (hospital.unlink(PATIENT, "P2") if by == "unlink" else hospital.merge("P2", PATIENT)) == "AA"
    assess_all(here)
    if by == "unlink":
        assert (here.case().state, used_ebv_dna(here)) == ("queued", "12000")
        hospital.sender.send(first)  # its sender repeats it
        assess_all(here)
        assert here.case().state == "queued"
    else:  # P1 is in use again, and the facts of the other record are asked about
        assert here.codes() == ("held", {"patient_merged"})


def test_messages_about_one_merge_may_come_in_any_order(here: Site, hospital: Hospital) -> None:
    hospital.unlink(PATIENT, "P2", at="20260510120000")
    hospital.merge(PATIENT, "P2", at="20260510110000")
    assess_all(here)
    assert here.case().state == "reported"
    hospital.merge("P2", PATIENT, at="20260510140000")
    hospital.merge(PATIENT, "P2", at="20260510130000")
    with here.ledger.begin() as session:
        assert survivor_of(session, "P2", "") == (PATIENT, "HOSP")
        assert survivor_of(session, PATIENT, "") == (PATIENT, "")


def test_a_study_that_comes_later_under_the_retired_identifier_is_asked_about(here: Site, hospital: Hospital) -> None:
    hospital.merge("P5", "P6")
    later = [*series(1, T1W, n_slices=1, study="1.2.826.0.1.5", PatientID="P5")]
    here.arrive(later)
    assess_all(here)
    with here.ledger.begin() as session:
        reasons = {reason["code"]: reason["text"] for reason in get_case(session, "1.2.826.0.1.5").reasons}
    assert "was merged into P6" in reasons["patient_merged"]


def test_a_contour_under_the_surviving_identifier_counts_once_the_merge_is_confirmed(
    here: Site, hospital: Hospital
) -> None:
    hospital.merge(PATIENT, "P2")
    assess_all(here)
    here.remove_instances("1.2.826.0.1.7.1")
    here.arrive([drawn(uid="1.2.826.0.1.7.2", PatientID="P2")])
    assess_all(here)
    assert here.case().state != "queued"
    confirmed(here)
    assert here.case().state == "queued"
    (contour,) = {each["sop_instance_uid"] for each in here.jobs()[-1].request["contours"].values()}
    assert contour == "1.2.826.0.1.7.2"


@pytest.mark.parametrize(
    ("trigger", "structure", "patients", "prior"),
    [("A37", "ADT_A37", [("P1", NAME, BORN)], ""), ("A40", "ADT_A39", [("", NAME, BORN)], "P1"),
     ("A40", "ADT_A39", [("P2", NAME, BORN)], "")],
)  # fmt: skip
def test_a_message_that_names_one_patient_only_is_refused(
    here: Site, hospital: Hospital, trigger: str, structure: str, patients: Any, prior: str
) -> None:
    assert hospital.send(trigger, structure, *patients, prior=prior) == "AE"
    assess_all(here)
    assert here.case().state == "reported"
