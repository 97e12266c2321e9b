"""Every page in Chinese over an installation with something in each state: no English sentence is left."""

from __future__ import annotations

import html
import re
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest

from config.bundle_manifest import read_manifest
from config.errors import PacsUnavailableError
from config.indication.vocabulary import Condition, ConditionState
from config.messages.message import message
from config.messages.stored import named
from config.settings import Settings
from dicom_sr.report.json_form import dump
from dicom_sr.report.treatment_report import ConditionOfUse, Reason, Withdrawal
from node.cases.clinical_facts import Provenance
from node.dicom.network.statuses import StoreStatus
from node.dicom.scp.checks import UNREADABLE, InstanceRefusedError
from node.ledger import jobs
from node.ledger.cases import get_case, record, set_state
from node.ledger.deliveries import apply
from node.ledger.delivery_machine import Event, Facts
from node.ledger.processes import heartbeat
from node.ledger.tables import Delivery, Quarantined
from tests.chinese_terms import LATIN, latin_words
from tests.dicom_sr import samples
from tests.web.conftest import Site, make_case, post
from tests.web.test_chinese_case import chinese_case
from tests.web.test_pages import add_report

# Names that the installation of this test has, and what is an identifier on a page.
NAMES = frozenset({
    "CPTDN", "LINAC", "P-1", "PACS-7", "Chen", "chen", "li", "MAIN", "main", "t1_tse", "GTVp", "English", "local",
    "Noto", "Sans", "CJK", "SC", "DejaVu", "sha256", "SVG", "AES", "cptdn-demonstration", "pid", "localhost", "w1",
    "site-2026", "SimpleITK", "cptdn-node", "cpu", "lifelines", "numpy", "torch", "demonstration",
    socket.gethostname(),
    # Names of errors of libraries, and citations.
    "FileNotFoundError",
    "Zhang", "et", "al", "Engl", "Med", "Kolmogorov-Smirnov",
})  # fmt: skip
MEANT_IN_ENGLISH = re.compile(r'<(\w+)[^>]*\blang="en"[^>]*>.*?</\1>', re.DOTALL)
MARKUP = re.compile(r"<(script|style|svg|code)\b.*?</\1>|<[^>]+>", re.DOTALL)
ATTRIBUTES = re.compile(r'\b(?:title|alt|aria-label|placeholder)="([^"]*)"')
# UIDs, times, file names, digests and URLs are the same in every language.
IDENTIFIERS = re.compile(r"[\w./:-]*[/\\][\w./:-]+|\b[0-9a-f]{8,}\b|\b\w+\.(?:json|safetensors|csv|dcm|ttc|ttf|pt)\b")
ENGLISH = re.compile(r"\b(the|is|are|was|of|and|with|not|no|expected|found|for|cannot|has|have|from)\b")


# What the author of the bundle wrote, and the line that is shown in both languages.
WRITTEN = (
    read_manifest(Settings().model.bundle).intended_use, "DEMONSTRATION MODEL - NOT FOR CLINICAL USE",
    # Of a row that an earlier version has written; and made by the fixture of all tests of pages.
    "A sentence of an earlier version.", "equally good",
)  # fmt: skip


def english_in(page: str) -> set[str]:
    """The words of a page that are neither Chinese nor a term, a name or an identifier; codes are such."""
    for text in WRITTEN:
        page = page.replace(html.escape(text), "")
    attributes = " ".join(ATTRIBUTES.findall(page))
    text = html.unescape(MARKUP.sub(" ", MEANT_IN_ENGLISH.sub(" ", page)) + " " + attributes)
    return {word for word in latin_words(IDENTIFIERS.sub(" ", text)) - LATIN - NAMES if len(word) > 1}


MISSING = Reason("missing_series", message("missing_series.none", role="T2w", hint=""))
BY_CHEN = Withdrawal(datetime(2026, 3, 13, tzinfo=UTC), "chen", "分期已更正")
SAID = {
    "warnings": (Reason("thick_slices", message("thick_slices.distance", role="T2w", step=7.5)),),
    "conditions": (ConditionOfUse(Condition.MR_AGE, ConditionState.NOT_CHECKED, message("treatment_start.unknown")),),
}


def dead_delivery(site: Site, study: str) -> None:
    with site.ledger.begin() as session:
        row = session.query(Delivery).filter(Delivery.pacs == "main").order_by(Delivery.id.desc()).first()
        assert row is not None
        peer = message("peer.name", name="main", ae_title="MAIN", host="10.1.1.1", port=104)
        error = PacsUnavailableError(message("peer.says", peer=peer, text=message("peer.unreachable")))
        after = message("delivery.days_and_attempts", days=7.0, n=40)
        text = message("delivery.given_up", after=after, reason=error.args[0])
        apply(row, Event.FAILED, Facts(has_patience=False), text)


def quarantined(site: Site, study: str) -> None:
    refusal = InstanceRefusedError(
        StoreStatus.UNREADABLE, UNREADABLE, message("encoding.cut_off", offset=132, tag="(0010,0010)", length=9, left=3)
    )
    with site.ledger.begin() as session:
        session.add(
            Quarantined(
                code=refusal.code, text=str(refusal.text), message=named(refusal.text),
                sop_instance_uid="1.2.77", study_instance_uid=study, digest="0" * 64, path="quarantine/a.dcm",
                calling_ae="LINAC", received_at=datetime.now(UTC),
            )
        )  # fmt: skip


def every_state(site: Site) -> list[str]:
    """Cases in each state, and what belongs to them; returns the paths of the pages."""
    reported = chinese_case(site)
    quarantined(site, reported)
    dead_delivery(site, reported)
    paths = []
    for number, (state, made) in enumerate(
        [("reported", samples.scored(**SAID)), ("reported", samples.unknown_ebv(**SAID)),
         ("refused", samples.refused(**SAID, refusals=(MISSING,))),
         ("withdrawn", samples.withdrawn(refusals=(MISSING,), withdrawal=BY_CHEN))], 1,
    ):  # fmt: skip
        study = make_case(site, f"1.9.{number}", "P-1", (f"1.9.{number}.1", f"1.9.{number}.2"))
        add_report(site, study, 1, dump(made))
        add_report(site, study, 2, dump(samples.demonstration(**SAID)) if state == "reported" else dump(made))
        with site.ledger.begin() as session:
            set_state(session, get_case(session, study), state, [])
            job = jobs.create_job(session, study, {}, f"d{number}", "site-2026")
            job.seconds = {"volumes": 1.0, "features": 2.0, "report": 0.5}
            record(session, study, "note", message("retention.removed", n=3))
        paths.append(study)
    held = make_case(site, "1.9.8", "P-1", ("1.9.8.1", "1.9.8.2"))
    with site.ledger.begin() as session:
        case = get_case(session, held)
        source = Provenance("web page", "li", None, datetime.now(UTC))
        ebv = {"copies_per_ml": 5200.0, "as_given": "5200", "provenance": source.to_json()}
        case.assessment = {**case.assessment, "clinical": {"ebv_dna": ebv}}
        text = message("administrator_hold.by", because="等待会诊")
        set_state(session, case, "held", [{"code": "administrator_hold", "text": text}])
    pages = ["/cases", "/deliveries", "/status", "/model", "/calculator", "/users", "/account", "/nothing-here"]
    pages += [f"/cases/{study}" for study in (reported, held, *paths)]
    return [*pages, f"/cases/{held}/series/1.9.8.1", "/calculator?age=x&ebv_dna=1", "/calculator?age=200&ebv_dna=1"]


def test_no_page_has_an_english_sentence(site: Site) -> None:
    with heartbeat(site.ledger, "worker", queues=["volumes", "web"]) as process:
        process.ready(device="cpu")
        check_pages(site)


def check_pages(site: Site) -> None:
    browser = site.browser(headers={"Accept-Language": "zh-CN"})
    found: dict[str, set[str]] = {}
    for path in every_state(site):
        page = browser.get(path).text
        assert "zh-Hans" in page, path
        if words := english_in(page):
            found[path] = words
    assert found == {}


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("facts", {"stage": "T3N1-2M0"}), ("facts", {"birth_date": "03/05/2026"}), ("facts", {"diagnosis": "?"}),
        ("facts", {"ebv_dna": "1.234"}), ("facts", {"birth_date": "1700-01-01"}), ("hold", {"because": ""}),
        ("assign", {"role_T1w": "1.2.99"}), ("issuer", {"issuer": "X"}), ("withdraw", {"because": "x"}),
        ("dismiss", {"because": "x"}), ("confirm", {"because": "x", "code": "stage_unknown"}),
    ],
)  # fmt: skip
def test_a_form_that_is_refused_says_so_in_chinese(site: Site, path: str, data: dict[str, str]) -> None:
    study = make_case(site)
    browser = site.browser(headers={"Accept-Language": "zh-CN"})
    answer = post(browser, f"/cases/{study}/{path}", data)
    assert answer.status_code == 400, answer.status_code
    said = re.findall(r'role="alert">([^<]*)', answer.text)[0]
    assert re.search(r"[\u4e00-\u9fff]", said)
    assert not ENGLISH.search(html.unescape(said)), said


def test_the_checks_of_the_health_page_are_chinese(site: Site, tmp_path: Path) -> None:
    browser = site.browser(headers={"Accept-Language": "zh-CN"})
    page = post(browser, "/status", {}, seen_on="/status").text
    assert english_in(page) == set()


def test_english_is_found_where_it_is_left() -> None:
    assert english_in("<p>没有序列</p><p>The series is missing</p>") == {"The", "series", "is", "missing"}
    assert english_in('<p lang="en">The paper</p><p>T3N1M0 的 <code>held</code></p>') == set()
    assert english_in('<img alt="Slice of it">') == {"Slice", "of", "it"}
