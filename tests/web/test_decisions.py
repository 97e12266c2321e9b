"""Forms of a case do what the commands do, and the history names who did it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from node.clinical.entries import diagnosis_entry, record_entries
from node.ledger.cases import get_case, history, set_state
from node.ledger.database import now_utc
from node.ledger.facts import facts_of
from node.ledger.instances import add_quarantined, list_quarantined
from node.ledger.tables import Quarantined
from tests.web.conftest import Site, make_case, post

SERIES = ("1.2.3.1", "1.2.3.2")


@pytest.fixture
def case(site: Site) -> Site:
    site.add_user("boss", "admin")
    site.add_user("wang", "operate")
    make_case(site, series=SERIES)
    return site


def lines(site: Site) -> list[tuple[str, str, str]]:
    with site.ledger.begin() as session:
        return [(line["kind"], line["text"], line["actor"]) for line in history(session, "1.2.3")]


def test_roles_are_settled_by_name(case: Site) -> None:
    browser = case.logged_in("wang")
    form = {"role_T1w": "1.2.3.2", "role_T2w": "", "role_CE-T1w": ""}
    answer = post(browser, "/cases/1.2.3/assign", form)
    assert (answer.status_code, answer.headers["location"]) == (303, "/cases/1.2.3")
    assert "The decision is recorded" in browser.get("/cases/1.2.3").text
    with case.ledger.begin() as session:
        found = get_case(session, "1.2.3")
        assert found.assignments == {"T1w": "1.2.3.2"}
        assert found.assess_after is not None
    assert lines(case)[-1] == ("assigned", "T1w is series 1.2.3.2, decided by wang.", "wang")
    assert case.events[-2].action == "decision"


def test_a_volume_of_a_series_or_both_parts_of_an_acquisition_are_offered_and_assigned(case: Site) -> None:
    with case.ledger.begin() as session:
        found = get_case(session, "1.2.3")
        first, second = found.assessment["series"][:2]
        volumes = [{**first, "volume": name, "key": f"1.2.3.1:{name}"} for name in ("IP", "W")]
        parts = [{**each, "volume": "", "key": each["series_instance_uid"], "other_part": "1.2.3.1+1.2.3.2"}
                 for each in (first, second)]  # fmt: skip
        found.assessment = {**found.assessment, "series": [*volumes, *parts]}
    browser = case.logged_in("wang")
    page = browser.get("/cases/1.2.3").text
    for key in ("1.2.3.1:IP", "1.2.3.1:W", "1.2.3.1+1.2.3.2"):
        assert f'<option value="{key}"' in page
        assert post(browser, "/cases/1.2.3/assign", {"role_T1w": key}).status_code == 303
        with case.ledger.begin() as session:
            assert get_case(session, "1.2.3").assignments == {"T1w": key}
    assert '<option value="1.2.3.1+1.2.3.2" selected>' in browser.get("/cases/1.2.3").text
    assert browser.get("/cases/1.2.3/series/1.2.3.1:W").status_code == 200
    refused = post(browser, "/cases/1.2.3/assign", {"role_T1w": "1.2.3.1:OP"})
    assert refused.status_code == 400
    assert "expected a volume of series 1.2.3.1 (IP, W), found OP" in refused.text


def test_the_command_leaves_the_same_as_the_page(case: Site) -> None:
    post(case.logged_in("wang"), "/cases/1.2.3/assign", {"role_T1w": "1.2.3.2"})
    program = Path(sys.executable).with_name("cptdn")
    config = str(case.context.settings.source)
    for arguments in (
        ["assign", "1.2.3", "--role", "T1w=1.2.3.2", "--by", "wang"],
        ["hold", "1.2.3", "--because", "why", "--by", "wang"],
    ):  # fmt: skip
        subprocess.run([str(program), "studies", *arguments, "--config", config], check=True, timeout=120)
    post(case.logged_in("wang"), "/cases/1.2.3/hold", {"because": "why"})
    found = lines(case)
    assert found[-4] == found[-3]
    assert found[-2] == found[-1] == ("hold", "Held by wang: why", "wang")


def test_a_series_of_another_study_is_refused(case: Site) -> None:
    answer = post(case.logged_in("wang"), "/cases/1.2.3/assign", {"role_T1w": "9.9"})
    assert answer.status_code == 400
    assert "found 9.9" in answer.text
    assert post(case.logged_in("wang"), "/cases/1.2.3/assign", {}).status_code == 400


def test_a_case_is_held_and_released(case: Site) -> None:
    browser = case.logged_in("wang")
    assert post(browser, "/cases/1.2.3/hold", {"because": ""}).status_code == 400
    assert post(browser, "/cases/1.2.3/hold", {"because": "contour under review"}).status_code == 303
    with case.ledger.begin() as session:
        assert get_case(session, "1.2.3").hold == "contour under review"
    assert post(browser, "/cases/1.2.3/release", {}).status_code == 303
    with case.ledger.begin() as session:
        assert get_case(session, "1.2.3").hold is None
    assert [line[2] for line in lines(case)[-2:]] == ["wang", "wang"]


def test_all_conflicts_of_a_study_are_dismissed_at_once(case: Site) -> None:
    browser = case.logged_in("wang")
    form = 'action="/cases/1.2.3/dismiss"'
    assert form not in browser.get("/cases/1.2.3").text
    assert post(browser, "/cases/1.2.3/dismiss", {"because": "nothing to dismiss"}).status_code == 400
    with case.ledger.begin() as session:
        for number in range(3):
            row = Quarantined(
                code="conflicting_instance", text="other content", sop_instance_uid=f"1.2.3.1.{number}",
                study_instance_uid="1.2.3", digest=str(number), path="quarantine/x.dcm", calling_ae="PACS",
                received_at=now_utc(),
            )  # fmt: skip
            add_quarantined(session, row)
        set_state(session, get_case(session, "1.2.3"), "held", [{"code": "conflicting_instance", "text": "Two."}])
    assert form in browser.get("/cases/1.2.3").text
    assert post(browser, "/cases/1.2.3/dismiss", {"because": ""}).status_code == 400
    assert post(browser, "/cases/1.2.3/dismiss", {"because": "the first ones are right"}).status_code == 303
    with case.ledger.begin() as session:
        assert {row.dismissed_because for row in list_quarantined(session)} == {"the first ones are right"}
        assert get_case(session, "1.2.3").assess_after is not None
    assert lines(case)[-1] == (
        "dismissed", "3 files in quarantine were dismissed by wang (1, 2, 3): the first ones are right", "wang",
    )  # fmt: skip


def test_facts_are_entered_once_and_carry_the_name(case: Site) -> None:
    browser = case.logged_in("wang")
    form = {"ebv_dna": "5200", "drawn_on": "2026-03-01", "stage": "T3N1M0", "birth_date": "1980-02-03"}
    assert post(browser, "/cases/1.2.3/facts", form).status_code == 303
    assert "3 facts recorded." in browser.get("/cases/1.2.3").text
    with case.ledger.begin() as session:
        facts = facts_of(session, "P-1")
    assert (facts.ebv_dna[0].text, facts.ebv_dna[0].provenance.set_by) == ("5200", "wang")
    assert str(facts.ebv_dna[0].provenance.observed_on) == "2026-03-01"
    assert facts.stage is not None
    assert facts.stage.stage.n == "N1"
    post(browser, "/cases/1.2.3/facts", form)
    assert "Nothing new" in browser.get("/cases/1.2.3").text
    told = [line for line in lines(case) if line[0] == "facts"]
    assert told == [("facts", "Clinical facts entered by wang: ebv dna, stage, birth date.", "wang")]


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"ebv_dna": "much"}, "is not a number"),
        ({"ebv_dna": ">100"}, "100"),
        ({"stage": "big"}, "big"),
        ({"birth_date": "2999-01-01"}, "not plausible"),
        ({}, "Nothing was entered"),
    ],
)
def test_what_cannot_be_a_fact_is_refused_with_a_sentence(case: Site, form: dict[str, str], said: str) -> None:
    answer = post(case.logged_in("wang"), "/cases/1.2.3/facts", form)
    assert answer.status_code == 400
    assert said in answer.text
    with case.ledger.begin() as session:
        assert facts_of(session, "P-1").ebv_dna == ()


def test_an_incomplete_study_is_not_computed_again(case: Site) -> None:
    browser = case.logged_in("wang")
    assert post(browser, "/cases/1.2.3/reprocess", {}).status_code == 303
    assert "cannot be computed yet" in browser.get("/cases/1.2.3").text


def test_nothing_of_an_unknown_study_or_job_can_be_decided(case: Site) -> None:
    browser = case.logged_in("wang")
    for action in ("assign", "facts", "hold", "release", "reprocess"):
        form = {"role_T1w": "1", "stage": "T3N1M0", "because": "x"}
        assert post(browser, f"/cases/9.9/{action}", form).status_code == 404, action
    assert post(browser, "/jobs/none/retry", {}).status_code == 400
    assert post(browser, "/deliveries/77/retry", {}).status_code == 400


def test_a_question_is_answered_on_the_page_with_its_reason(case: Site) -> None:
    question = "Expected an MR before any treatment, found 'MR neck post RT'."
    with case.ledger.begin() as session:
        set_state(session, get_case(session, "1.2.3"), "held", [{"code": "treatment_response", "text": question}])
    browser = case.logged_in("wang")
    assert 'name="code" value="treatment_response"' in browser.get("/cases/1.2.3").text
    refused = post(browser, "/cases/1.2.3/confirm", {"code": "stage_unknown", "because": "x"})
    assert refused.status_code == 400
    assert "expected an open question" in refused.text
    assert post(browser, "/cases/1.2.3/confirm", {"code": "treatment_response", "because": ""}).status_code == 400
    form = {"code": "treatment_response", "because": "no treatment was given"}
    assert post(browser, "/cases/1.2.3/confirm", form).status_code == 303
    with case.ledger.begin() as session:
        answer = get_case(session, "1.2.3").confirmations["treatment_response"]
        assert (answer["text"], answer["because"], answer["by"]) == (question, "no treatment was given", "wang")
    assert lines(case)[-1][2] == "wang"


def test_the_issuer_of_a_patient_id_with_facts_of_two_is_chosen_on_the_page(case: Site) -> None:
    browser = case.logged_in("wang")
    assert 'name="issuer"' not in browser.get("/cases/1.2.3").text
    with case.ledger.begin() as session:
        patient_id = get_case(session, "1.2.3").patient_id
        for issuer in ("NORTH", "SOUTH"):
            record_entries(session, patient_id, issuer, [diagnosis_entry("C11.9")], "test", "a tester")
    page = browser.get("/cases/1.2.3").text
    assert all(f'<option value="{issuer}">' in page for issuer in ("NORTH", "SOUTH"))
    assert post(browser, "/cases/1.2.3/issuer", {"issuer": ""}).status_code == 400
    refused = post(browser, "/cases/1.2.3/issuer", {"issuer": "WEST"})
    assert refused.status_code == 400
    assert "expected an issuer of the patient&#39;s facts (NORTH, SOUTH), found WEST" in refused.text
    assert post(browser, "/cases/1.2.3/issuer", {"issuer": "SOUTH"}).status_code == 303
    with case.ledger.begin() as session:
        assert get_case(session, "1.2.3").issuer == "SOUTH"
    assert lines(case)[-1] == ("assigned", "The Patient ID is of SOUTH, decided by wang.", "wang")
    assert 'name="issuer"' not in browser.get("/cases/1.2.3").text


def test_diagnosis_and_stage_with_their_editions_are_entered_on_the_page(case: Site) -> None:
    form = {"diagnosis": "鼻咽癌", "stage": "cT3N1M0 (AJCC Version 9)"}
    assert post(case.logged_in("wang"), "/cases/1.2.3/facts", form).status_code == 303
    with case.ledger.begin() as session:
        known = facts_of(session, get_case(session, "1.2.3").patient_id)
    assert [fact.diagnosis.text for fact in known.diagnoses] == ["鼻咽癌"]
    assert known.stage is not None
    assert (known.stage.stage.text, known.stage.stage.edition) == ("T3N1M0", "9")
