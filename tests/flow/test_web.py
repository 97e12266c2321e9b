"""The pages in a real browser over the running program, with real studies in it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page
from pydicom import dcmread
from pydicom.uid import generate_uid

from node.dicom.scu.store_scu import send_folder
from node.small_pacs.pacs import SmallPacs
from tests.flow.browser import Visitor, axe_source, chromium, visitor
from tests.flow.program import Program, know_each_other, running_program, wait_for
from workers.phantoms.dicom_study import WrittenStudy, write_phantom_study

PASSWORD = "a short sentence"
STUDY_DATE = date(2026, 3, 9)
PATIENT = "WEB-1"
# one row of `cptdn nomogram score` a patient: age, EBV DNA, Prognostic-score, Predictive-score
SLIDERS = (("62", ">4000", "0.35", "-0.62"), ("29", "<4000", "-0.7", "0.41"))


@dataclass
class Site:
    """A running program with users, and its PACS."""

    program: Program
    pacs: SmallPacs
    study: WrittenStudy
    repeated: str  # a second T1w of the same name: which one counts is a question to a person

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.program.web_port}"


def repeat_series(study: WrittenStudy, role: str, folder: Path) -> tuple[str, list[Path]]:
    """The same series acquired once more, later, under its own UIDs."""
    folder.mkdir()
    uid, made = generate_uid(), []
    for path in study.series[role]:
        ds = dcmread(path)
        ds.SeriesInstanceUID, ds.SOPInstanceUID = uid, generate_uid()
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        ds.SeriesNumber = int(ds.SeriesNumber) + 20
        ds.AcquisitionTime = ds.SeriesTime = "101500"
        ds.save_as(folder / path.name)
        made.append(folder / path.name)
    return str(uid), made


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("web")
    study = write_phantom_study(
        folder / "study", seed=11, patient_id=PATIENT, birth_date=date(1980, 2, 3), study_date=STUDY_DATE
    )
    repeated, _ = repeat_series(study, "T1w", folder / "repeated")
    extra = "[model]\nallow_demonstration = true\n[case]\nstable_after_s = 2\n"
    with (
        SmallPacs(folder / "pacs", "PACS") as pacs,
        running_program(folder / "program", pacs.port, extra, pages=True) as program,
    ):
        know_each_other(pacs, program)
        for name, role in (("boss", "admin"), ("wang", "operate"), ("li", "read")):
            add_user(program, name, role)
        yield Site(program, pacs, study, repeated)


def add_user(program: Program, name: str, role: str) -> None:
    command = [str(Path(sys.executable).with_name("cptdn")), "users", "add", name, "--role", role, "--password-stdin"]
    subprocess.run(
        [*command, "--config", str(program.config)], input=f"{PASSWORD}\n", text=True, check=True, timeout=120,
        capture_output=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def wang(site: Site, browser: Browser) -> Iterator[Visitor]:
    """The operator, logged in; at the end nothing may have left this machine."""
    with visitor(browser, site.address, viewport={"width": 1280, "height": 800}) as person:
        log_in(person, "wang")
        yield person
        assert person.requests
        assert person.strangers() == []


def log_in(person: Visitor, name: str, path: str = "/cases") -> None:
    page = person.open(path)
    assert "/log-in" in page.url
    page.fill("input[name=name]", name)
    page.fill("input[name=password]", PASSWORD)
    page.click("main button.primary")
    page.wait_for_url(f"**{path}")


def shows(page: Page, text: str, timeout_s: float = 120) -> None:
    """Wait until the page's own live updates show a text; nobody reloads."""
    wait_for(lambda: text in page.inner_text("main"), timeout_s, lambda: page.inner_text("main")[:2000])


def case_path(site: Site) -> str:
    return f"/cases/{site.study.study_instance_uid}"


def folder_of(site: Site) -> Path:
    return site.study.folder.parent


def test_a_case_is_followed_live_from_arrival_to_committed(site: Site, wang: Visitor) -> None:
    site.program.cptdn("clinical", "set", PATIENT, "--ebv-dna", "5200", "--stage", "T3N1M0", "--ajcc", "8")
    page = wang.open("/cases")
    assert "No study has arrived yet" in page.inner_text("main")
    files = [*site.study.files, *sorted((folder_of(site) / "repeated").iterdir())]
    outcomes = send_folder(files, "127.0.0.1", site.program.port, "PACS", "CPTDN")
    assert {outcome.status for outcome in outcomes} == {0x0000}
    shows(page, PATIENT)
    shows(page, "A series role is ambiguous")
    page.click(f"text={PATIENT}")
    page.wait_for_url(f"**{case_path(site)}")
    shows(page, "are equally good for T1w")
    # the pictures that the decision needs are there before anything is computed
    slices = [width for source, width in wang.pictures_shown() if "/picture" in source]
    assert slices == [512] * 4
    # the role is settled by the person
    page.select_option("select[name='role_T1w']", site.study.series_instance_uids["T1w"])
    page.click("form[action$='/assign'] button")
    page.wait_for_url(f"**{case_path(site)}")
    assert "The decision is recorded" in page.inner_text("main")
    page.wait_for_selector("p.recommendation .label", timeout=120_000)
    shows(page, "committed")
    assert page.inner_text("h1 .chip") == "reported"
    assert "decided by wang" in page.inner_text(".timeline")
    assert wang.complaints == []


def test_every_picture_of_the_case_opens(site: Site, wang: Visitor) -> None:
    page = wang.open(case_path(site))
    pictures = wang.pictures_shown()
    assert all(width > 0 for _, width in pictures), pictures
    assert sum("/picture" in source for source, _ in pictures) == 4
    assert any("nomogram.svg" in source for source, _ in pictures)
    assert any(source.endswith("page.png") and width >= 1000 for source, width in pictures)
    saved = next(site.program.config.parent.rglob("page.png"))
    assert Image.open(saved).getpixel((2, 2)) == (0, 0, 0)  # the paper of a page for a viewer
    page.click("ul.series li:first-child a")
    page.wait_for_url("**/series/**")
    assert "contour at slices" in page.inner_text("main")
    place = page.inner_text(".slice-bar strong")
    page.keyboard.press("ArrowRight")
    wait_for(lambda: page.inner_text(".slice-bar strong") != place, 30, lambda: "the arrow key does nothing")
    assert all(width > 0 for _, width in wang.pictures_shown())


def test_another_role_makes_a_new_report(site: Site, wang: Visitor) -> None:
    page = wang.open(case_path(site))
    page.click("summary:has-text('Assign series roles')")
    page.select_option("select[name='role_T1w']", site.repeated)
    page.click("form[action$='/assign'] button")
    shows(page, "revision 2, committed")
    versions = page.inner_text("#case-page")
    assert "revision 1" in versions
    shown = site.program.json("studies", "show", site.study.study_instance_uid)
    assert shown["reports"][0]["revision"] == 2
    read = site.program.json("report", "show", str(site.pacs.stored[shown["current_report"]].path))
    used = {one["role"]: one["series_instance_uid"] for one in read["series"]}
    assert used["T1w"] == site.repeated


def test_the_calculator_says_what_report_and_command_say(site: Site, wang: Visitor) -> None:
    shown = site.program.json("studies", "show", site.study.study_instance_uid)
    report = site.program.json("report", "show", str(site.pacs.stored[shown["current_report"]].path))
    given = (
        str(report["inputs"]["age_years"]), "5200", str(report["scores"]["prognostic_score"]),
        str(report["scores"]["predictive_score"]),
    )  # fmt: skip
    page = wang.open("/calculator")
    assert "81 %" in page.inner_text("main")  # the published example
    case = wang.page.context.new_page()
    case.goto(f"{site.address}{case_path(site)}")
    type_in(page, given)
    assert rates(case) == printed_rates(report["dfs"], report["difference"], report["difference_ci95"])
    # The calculator knows the scores, not their errors: the same rates, with intervals of the Cox model only.
    assert [rate.split(" 95 % CI")[0] for rate in rates(page)] == [rate.split(" 95 % CI")[0] for rate in rates(case)]
    for values in SLIDERS:
        type_in(page, values)
        age, ebv, prognostic, predictive = values
        told = site.program.cptdn(
            "nomogram", "score", "--age", age, "--ebv-dna", ebv, "--prognostic-score", prognostic,
            f"--predictive-score={predictive}",
        ).stdout  # fmt: skip
        plain = re.sub(r"[\s│]+", " ", told)
        for rate in rates(page):
            assert rate.split()[0] in plain, (rate, plain)
    case.close()


def test_the_sliders_ask_and_show_at_once(site: Site, wang: Visitor) -> None:
    page = wang.open("/calculator")
    before = rates(page)
    slider = page.locator("input.slider[data-for='predictive_score']")
    slider.focus()
    for _ in range(5):
        slider.press("PageUp")
    wait_for(lambda: rates(page) != before, 30, lambda: "the numbers stay")
    assert page.input_value("#predictive_score") == slider.input_value()
    assert "predictive_score=" in page.url
    assert wang.complaints == []


def test_without_scripts_the_calculator_and_the_forms_work(site: Site, browser: Browser) -> None:
    with visitor(browser, site.address, java_script_enabled=False) as person:
        log_in(person, "wang", "/calculator")
        page = person.page
        page.fill("#predictive_score", "0.9")
        page.click("#calculator button")
        page.wait_for_url("**predictive_score=0.9**")
        assert "concurrent chemoradiotherapy alone" in page.inner_text("#answer")
        person.open(case_path(site))
        page.fill("form[action$='/hold'] input[name=because]", "contour under review")
        page.click("form[action$='/hold'] button")
        assert "The study is held." in page.inner_text("main")
        page.click("form[action$='/release'] button")
        assert "released" in page.inner_text("main")
        assert person.strangers() == []


def test_who_may_only_read_finds_no_form(site: Site, browser: Browser) -> None:
    with visitor(browser, site.address) as person:
        log_in(person, "li")
        page = person.open(case_path(site))
        assert "Your role can see everything and change nothing." in page.inner_text("main")
        assert page.locator("main form[method=post]").count() == 0
        assert person.open("/users").inner_text("h1").startswith("This did not work")


# The colours of a scheme are the same in both languages.
@pytest.mark.parametrize(("language", "scheme"), [("en", "light"), ("en", "dark"), ("zh", "light")])
def test_no_page_has_a_serious_finding_of_axe(site: Site, browser: Browser, language: str, scheme: str) -> None:
    axe = axe_source()
    locale = {"en": "en-GB", "zh": "zh-CN"}[language]
    series = site.study.series_instance_uids["T1w"]
    paths = [
        "/cases", case_path(site), f"{case_path(site)}/series/{series}", "/calculator",
        "/calculator?ebv_dna=unknown&age=40&prognostic_score=0&predictive_score=0", "/model",
        "/deliveries", "/status", "/users", "/account", "/nothing",
    ]  # fmt: skip
    found: dict[str, list[str]] = {}
    with visitor(browser, site.address, locale=locale, color_scheme=scheme) as person:
        person.open("/log-in")
        found["/log-in"] = person.findings(axe)
        log_in(person, "boss")
        assert person.page.get_attribute("html", "lang") == {"en": "en", "zh": "zh-Hans"}[language]
        for path in paths:
            person.open(path)
            found[path] = person.findings(axe)
        assert person.strangers() == []
    assert {path: texts for path, texts in found.items() if texts} == {}


def test_on_a_phone_no_page_is_wider_than_the_screen(site: Site, browser: Browser) -> None:
    with visitor(browser, site.address, viewport={"width": 360, "height": 740}) as person:
        log_in(person, "boss")
        for path in ("/cases", case_path(site), "/calculator", "/model", "/deliveries", "/status", "/users"):
            page = person.open(path)
            assert page.evaluate("document.documentElement.scrollWidth") <= 360, path


def test_pages_without_a_worker_say_so_and_come_back(site: Site, wang: Visitor) -> None:
    """The process that answers is ended; the supervisor starts another one."""
    (pid,) = [
        process["pid"]
        for process in site.program.json("status")["node"]["processes"]
        if process.get("queues") == ["web"]
    ]
    os.kill(pid, 9)
    page = wang.open("/calculator")

    def computed() -> bool:
        if page.query_selector("#answer p.recommendation .label"):
            return True
        assert "No worker answers" in page.inner_text("#answer")
        wang.open("/calculator")
        return False

    wait_for(computed, 90, lambda: page.inner_text("main"))


def test_pages_keep_their_guard_over_the_wire(site: Site) -> None:
    assert httpx.get(f"{site.address}/cases").status_code == 303
    assert httpx.get(f"{site.address}/cases", headers={"Host": "evil.example"}).status_code == 421
    assert httpx.post(f"{site.address}/users", data={"name": "x"}).status_code == 401
    assert "server" not in httpx.get(f"{site.address}/log-in").headers


def type_in(page: Page, values: tuple[str, str, str, str]) -> None:
    """Type the inputs and wait for the answer to exactly these."""
    for field, value in zip(("age", "ebv_dna", "prognostic_score", "predictive_score"), values, strict=True):
        page.fill(f"#{field}", value)
    with page.expect_response(lambda response: "/calculator/answer" in response.url):
        page.click("#calculator button")
    page.wait_for_timeout(300)


def rates(page: Page) -> list[str]:
    """Every rate of the table of results as printed, with its interval."""
    return [
        re.sub(r"\s+", " ", text).strip() for text in page.locator("table.rates td.n").all_inner_texts() if "%" in text
    ]


def printed_rates(dfs: dict[str, Any], difference: dict[str, float], ends: dict[str, list[float]]) -> list[str]:
    """The same cells from the JSON of a report."""

    def cell(value: float, ci95: list[float], sign: str = "", unit: str = " %") -> str:
        low, high = (f"{end * 100:{sign}.1f}" for end in ci95)
        return f"{value * 100:{sign}.1f}{unit} 95 % CI {low} to {high}"

    rows = [
        cell(dfs[arm][month]["value"], dfs[arm][month]["ci95"])
        for arm in ("ICT+CCRT", "CCRT")
        for month in ("60", "36")
    ]
    return [*rows, *(cell(difference[month], ends[month], "+", "") for month in ("60", "36"))]


def test_the_program_names_the_pages_when_it_is_ready(site: Site) -> None:
    assert f"Pages: {site.address}/" in site.program.log.read_text()
    processes = json.loads(site.program.cptdn("status", "--json").stdout)["node"]["processes"]
    assert {"web"} <= {process["kind"] for process in processes}
