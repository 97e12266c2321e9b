"""What the pages show of a ledger."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from config.bundle_manifest import read_manifest
from dicom_sr.report.json_form import dump
from node.ledger.browsing import PAGE_LENGTH, find_cases, last_change
from node.ledger.cases import get_case, set_state
from node.ledger.deliveries import list_deliveries
from node.ledger.reports import StoredObject, record_report
from node.ledger.tables import Job
from tests.bundles.admitted import MARKED, REFUSED, linked_bundle
from tests.dicom_sr import samples
from tests.web.conftest import Site, make_case, post

RESULT = {
    "patient_id": "P1", "study_instance_uid": "1.2", "report_identity": "1f" * 32, "revision": 1,
    "created": "2024-03-12T08:30:15+00:00", "software_version": "0.1.0", "age_source": "birth date", "stage": {},
    "age_years": 46.0,
    "ebv_dna": {
        "category": ">threshold", "copies_per_ml": 5200.0, "as_given": "5200", "threshold_copies_per_ml": 4000.0,
    },
    "scores": {"prognostic_score": 0.0, "predictive_score": -0.4},
    "contours": [
        {
            "sop_instance_uid": "1.3", "sop_class_uid": "1.4", "series_instance_uid": "1.5",
            "study_instance_uid": "1.2",
            "roi_name": "GTVp", "roi_number": 1, "volume_ml": 27.13, "n_slices": 9,
        }
    ],
    "series": [], "quality": [], "refusals": [],
    "warnings": [{"code": "contour_not_approved", "text": "The contour is not approved."}],
    "model": {
        "name": "cptdn-demonstration", "version": "0.2", "digest": "sha256:" + "a" * 64, "demonstration": True,
        "horizon_months": 60, "threshold": 0.0, "network_digest": "", "nomogram_digest": "", "intended_use": "",
        "training_population": "",
    },
    "scenarios": [
        {
            "ebv_category": ">threshold", "recommendation": "ICT+CCRT",
            "difference_ci95": {"36": [0.056, 0.235], "60": [0.083, 0.33]},
            "ict_ccrt": {
                "arm": "ICT+CCRT", "points": {}, "total_points": 122.6,
                "dfs": {"36": {"value": 0.893, "ci95": [0.838, 0.952]}, "60": {"value": 0.835, "ci95": [0.756, 0.921]}},
            },
            "ccrt": {
                "arm": "CCRT", "points": {}, "total_points": 148.2,
                "dfs": {"36": {"value": 0.748, "ci95": [0.666, 0.839]}, "60": {"value": 0.628, "ci95": [0.526, 0.751]}},
            },
        }
    ],
}  # fmt: skip


def add_report(site: Site, study: str, revision: int, result: dict[str, object]) -> None:
    """A report as the step `report` leaves it, with a delivery owed."""
    with site.ledger.begin() as session:
        before = None
        if revision > 1:
            from node.ledger.reports import current_report

            before = current_report(session, study)
        record_report(
            session, study_instance_uid=study, job_id="j", identity=f"{study}/{revision}", computation=f"c{revision}",
            request_digest="r", bundle_digest="b", revision=revision, sop_instance_uid=f"{study}.9.{revision}",
            predecessor=before, result=result,
            objects=[StoredObject("sr", "1.2", f"{study}.9.{revision}", "1.2", "0" * 64, "reports/none.dcm")],
            destinations=["main"],
        )  # fmt: skip


def plain(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def test_the_work_list_filters_searches_and_leafs(site: Site) -> None:
    for number in range(PAGE_LENGTH + 3):
        make_case(site, f"1.2.{number}", f"P-{number}", ())
    with site.ledger.begin() as session:
        set_state(session, get_case(session, "1.2.7"), "held", [{"code": "stage_unknown", "text": "?"}])
    browser = site.browser()
    first = browser.get("/cases").text
    assert first.count('href="/cases/1.2.') == PAGE_LENGTH
    assert "Page 1 of 2" in first
    assert browser.get("/cases?page=2").text.count('href="/cases/1.2.') == 3
    assert browser.get("/cases?page=99").text.count('href="/cases/1.2.') == 3
    held = browser.get("/cases?state=held").text
    assert held.count('href="/cases/1.2.') == 1
    assert "The stage is unknown" in held
    assert browser.get("/cases?q=p-12").text.count('href="/cases/1.2.') == 1
    assert browser.get("/cases?q=1.2.12").text.count('href="/cases/1.2.') == 1
    assert browser.get("/cases?q=%25").text.count('href="/cases/1.2.') == 0  # no wild cards
    assert browser.get("/cases?q=nothing&state=nonsense&page=x").status_code == 200


def test_searching_leaves_out_what_does_not_fit(site: Site) -> None:
    make_case(site, "1.2.3", "P_1", ())
    make_case(site, "1.2.4", "PX1", ())
    with site.ledger.begin() as session:
        assert [case.patient_id for case in find_cases(session, text="p_1").cases] == ["P_1"]
        assert find_cases(session, ("held",)).n_cases == 0


def test_a_report_stands_in_the_case_as_it_was_sent(site: Site) -> None:
    study = make_case(site)
    add_report(site, study, 1, RESULT)
    text = plain(site.browser().get(f"/cases/{study}").text)
    for shown in (
        "DEMONSTRATION MODEL - NOT FOR CLINICAL USE", "ICT+CCRT induction chemotherapy", "83.5 %", "75.6 to 92.1",
        "62.8 %",
        "+20.7 percentage points (95 % CI +8.3 to +33.0)", "122.6", "148.2", "-0.4000", "27.13 mL",
        "The contour is not approved.",
        "pending main",
    ):  # fmt: skip
        assert shown in text, shown


def test_a_withdrawn_answer_is_shown_as_such_and_its_numbers_are_not(site: Site) -> None:
    study = make_case(site)
    add_report(site, study, 1, RESULT)
    browser = site.browser()
    form = f'action="/cases/{study}/withdraw"'
    assert form in browser.get(f"/cases/{study}").text
    assert post(browser, f"/cases/{study}/withdraw", {"because": ""}).status_code == 400
    assert post(browser, f"/cases/{study}/withdraw", {"because": "wrong contour"}).status_code == 303
    page = browser.get(f"/cases/{study}").text
    assert "WITHDRAWN - do not use any earlier result of this study" in page
    assert "wrong contour" in page
    assert form not in page
    assert "83.5 %" not in plain(page)
    assert "The answer is withdrawn" in browser.get("/cases?state=withdrawn").text
    # The same once a worker has written the withdrawal.
    add_report(site, study, 2, dump(samples.withdrawn()))
    written = browser.get(f"/cases/{study}")
    assert written.status_code == 200
    assert "WITHDRAWN - do not use any earlier result of this study" in written.text


def test_each_version_names_what_differs_from_the_one_before(site: Site) -> None:
    study = make_case(site)
    add_report(site, study, 1, RESULT)
    ebv = {**RESULT["ebv_dna"], "as_given": "52000", "copies_per_ml": 52000.0}  # type: ignore[dict-item]
    add_report(site, study, 2, {**RESULT, "ebv_dna": ebv})
    text = plain(site.browser().get(f"/cases/{study}").text)
    assert "revision 2" in text
    assert "ebv dna 5200 52000" in text
    assert "the first result" in text


def test_two_categories_of_ebv_dna_are_both_shown(site: Site) -> None:
    study = make_case(site)
    low = {**RESULT["scenarios"][0], "ebv_category": "<=threshold", "recommendation": "CCRT"}  # type: ignore[index]
    ebv = {**RESULT["ebv_dna"], "category": "unknown", "as_given": None, "copies_per_ml": None}  # type: ignore[dict-item]
    add_report(site, study, 1, {**RESULT, "ebv_dna": ebv, "scenarios": [low, RESULT["scenarios"][0]]})  # type: ignore[index]
    text = plain(site.browser().get(f"/cases/{study}").text)
    assert "CCRT (EBV DNA &lt;= 4000 copies/mL); ICT+CCRT (EBV DNA &gt; 4000 copies/mL)" in text
    gain = "+20.7 percentage points (95 % CI +8.3 to +33.0)"
    for start in ("EBV DNA &lt;= 4000 copies/mL: CCRT", "EBV DNA &gt; 4000 copies/mL: ICT+CCRT"):
        # What a report of an earlier version said: by the difference alone.
        assert f"{start}: 5-year DFS with ICT+CCRT minus CCRT is {gain}; the difference alone decides" in text


def test_dead_letters_and_failures_can_be_tried_again(site: Site) -> None:
    from node.ledger.jobs import create_job

    study = make_case(site)
    add_report(site, study, 1, RESULT)
    with site.ledger.begin() as session:
        (delivery,) = list_deliveries(session)
        delivery.state, delivery.error_text = "dead", "the PACS refuses SR"
        job = create_job(session, study, {}, "r", "demonstration")
        job.state, job.error_code, job.error_text = "failed", "model_bundle", "the bundle is damaged"
        job_id = job.id
    browser = site.browser()
    page = browser.get("/deliveries").text
    assert "the PACS refuses SR" in page
    assert "The model bundle is damaged" in page
    token = re.search(r'name="csrf" value="(\w+)"', page)
    assert token is not None
    for path in (f"/deliveries/{delivery.id}/retry", f"/jobs/{job_id}/retry"):
        answer = browser.post(path, data={"csrf": token[1], "next": "/deliveries"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/deliveries")
    with site.ledger.begin() as session:
        assert list_deliveries(session)[0].state == "pending"
        assert session.get_one(Job, job_id).state == "queued"
    assert "A new attempt is queued." in browser.get("/deliveries").text
    assert "tried again, ordered by local" in browser.get(f"/cases/{study}").text


def test_what_comes_from_outside_is_shown_as_text(site: Site) -> None:
    study = make_case(site, patient_id="<script>alert(1)</script>")
    with site.ledger.begin() as session:
        text = '"><img src=x onerror=alert(2)>'
        set_state(session, get_case(session, study), "held", [{"code": "<b>code</b>", "text": text}])
    for path in ("/cases", f"/cases/{study}", f"/cases?q={text}"):
        page = site.browser().get(path).text
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert "<b>code" not in page


@pytest.mark.parametrize(
    "path",
    [
        "/cases/9.9", "/cases/..%2f..%2fetc", "/cases/1.2.3/series/9.9", "/cases/1.2.3/reports/1/page.png",
        "/cases/1.2.3/reports/%2e%2e/nomogram.svg", "/static/..%2fapp.py", "/static/../app.py", "/nothing",
    ],
)  # fmt: skip
def test_what_is_not_there_is_not_found(site: Site, path: str) -> None:
    make_case(site)
    answer = site.browser().get(path)
    assert answer.status_code == 404


def test_without_a_worker_the_pages_say_so(site: Site) -> None:
    study = make_case(site)
    site.worker.away = True
    browser = site.browser()
    for path in ("/calculator", "/model", f"/cases/{study}/series/1.2.3.1"):
        page = browser.get(path)
        assert page.status_code == 200, path
        assert "No worker answers" in page.text, path
    assert browser.get("/calculator/nomogram.svg").status_code == 503


def test_pictures_of_files_that_are_gone_are_an_error_not_a_crash(site: Site) -> None:
    study = make_case(site)
    answer = site.browser().get(f"/cases/{study}/series/1.2.3.1/picture")
    assert answer.status_code == 400


def test_health_shows_processes_and_checks_every_part(site: Site) -> None:
    browser = site.browser()
    assert "No process runs" in browser.get("/status").text
    token = re.search(r'name="csrf" value="(\w+)"', browser.get("/status").text)
    assert token is not None
    checked = browser.post("/status", data={"csrf": token[1]}).text
    for part in ("ledger", "storage", "broker", "model bundle", "PACS main"):
        assert f">{part}</th>" in checked


def test_the_model_page_shows_the_manifest_and_the_drift(site: Site) -> None:
    text = plain(site.browser().get("/model").text)
    whose = "1,200 synthetic phantoms, no patient"
    for shown in ("cptdn-demonstration", whose, "0.771", "0.96", "0 of 20 results"):
        assert shown in text, shown


@pytest.mark.parametrize(("name", "state"), [("slope 0.3", "marked"), ("constant scores", "refused")])
def test_model_and_health_page_say_that_a_bundle_is_marked_or_refused(
    tmp_path: Path, make_site: Callable[..., Site], name: str, state: str
) -> None:
    manifest = {**MARKED, **REFUSED}[name][0]()
    bundle = linked_bundle(tmp_path / "bundle", {**manifest, "cox_model": None})
    site = make_site(f'[model]\nbundle = "{bundle}"\n')
    findings = read_manifest(bundle).admission.findings
    for path in ("/model", "/status"):
        text = plain(site.browser().get(path).text)
        assert all(finding.text in html.unescape(text) for finding in findings), text
    model = site.browser().get("/model").text
    assert ("no study is computed with it" in model) is (state == "refused")
    answer = site.browser().get("/calculator/answer?age=40&ebv_dna=5000&prognostic_score=0&predictive_score=-0.4").text
    assert ("is refused: Expected" in html.unescape(answer)) is (state == "refused")


def test_a_change_in_the_ledger_is_noticed(site: Site) -> None:
    study = make_case(site)
    with site.ledger.begin() as session:
        before = last_change(session)
        assert last_change(session) == before
    add_report(site, study, 1, RESULT)
    with site.ledger.begin() as session:
        reported = last_change(session)
        (delivery,) = list_deliveries(session)
        delivery.state = "delivered"
    with site.ledger.begin() as session:
        assert len({before, reported, last_change(session)}) == 3
