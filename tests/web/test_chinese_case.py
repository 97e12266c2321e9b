"""The case page in Chinese: reasons, warnings, conditions, series, timeline and errors are Chinese sentences."""

from __future__ import annotations

import re

from config.messages.message import Message, message
from config.messages.stored import to_json
from node.ledger import jobs
from node.ledger.cases import get_case, record, set_state
from tests.web.conftest import Site, make_case
from tests.web.test_pages import RESULT, add_report, plain

MISSING = message("missing_series.none", role="T2w", hint="")
FAR_APART = message("thick_slices.distance", role="T2w", step=7.5)
UNKNOWN = message("treatment_start.unknown")
AXIAL = message(
    "role.t1", because=message("weighting.spin_echo", times=message("weighting.times", times=["TR 550 ms"])),
    contrast=message("contrast.none"),
)  # fmt: skip


def chinese_case(site: Site) -> str:
    study = make_case(site)
    warnings = to_json([{"code": "thick_slices", "text": FAR_APART}])
    conditions = to_json([{"code": "mr_age", "state": "not_checked", "text": UNKNOWN}])
    add_report(site, study, 1, {**RESULT, "warnings": warnings, "conditions": conditions})
    with site.ledger.begin() as session:
        case = get_case(session, study)
        series = {**case.assessment["series"][0], "reason": AXIAL, "findings": [message("image.no_thickness")]}
        clinical = {"age_years": 46.0, "age_source": message("age.from_patient_age")}
        case.assessment = to_json({**case.assessment, "series": [series], "clinical": clinical})
        set_state(session, case, "incomplete", [{"code": "missing_series", "text": MISSING}])
        record(session, study, "reprocess", message("job.computes_again", id="7", bundle="site-2026"))
        record(session, study, "note", "A sentence of an earlier version.")
        job = jobs.create_job(session, study, {}, "d", "site-2026")
        jobs.set_error(job, "worker_lost", message("worker_lost.stopped", owner="w1"))
    return study


def test_the_case_page_is_chinese_and_keeps_the_english_of_earlier_versions(site: Site) -> None:
    study = chinese_case(site)
    browser = site.browser()
    english = plain(browser.get(f"/cases/{study}").text)
    browser.cookies.set("cptdn_language", "zh")
    page = browser.get(f"/cases/{study}", headers={"Accept-Language": "zh-CN"}).text
    chinese = plain(page)
    said: list[Message] = [MISSING, FAR_APART, UNKNOWN, AXIAL]
    for text in (*said, message("image.no_thickness"), message("worker_lost.stopped", owner="w1")):
        assert text in english
        assert text.render("zh") in chinese
        assert text not in chinese
    assert "PatientAge" in chinese
    # The timeline: states and reasons in one sentence.
    assert re.search(r"已报告 -(>|&gt;) 不完整: 缺少 T2w 序列。", chinese)
    assert "任务 7 用 site-2026 重新计算。" in chinese
    assert "95 % CI 75.6 至 92.1" in chinese
    assert "A sentence of an earlier version." in chinese


def test_the_history_of_other_programs_stays_english_with_its_key(site: Site) -> None:
    from node.ledger.cases import history

    study = chinese_case(site)
    with site.ledger.begin() as session:
        line = next(line for line in history(session, study) if line["kind"] == "incomplete")
    assert line["text"] == "reported -> incomplete: The T2w series is missing."
    assert line["message"] == "timeline.state_because"


def test_the_model_page_names_figures_and_terms_in_chinese(site: Site) -> None:
    chinese = plain(site.browser().get("/model", headers={"Accept-Language": "zh-CN"}).text)
    for text in ("校准斜率", "与真值比较: 不作推荐的比例", "决策: 倾向 ICT: 风险比", "折外患者", "测试体模",
                 "Predictive-score 与 ICT 的交互作用", "第 1 个模型 T1w", "第 1 个模型 评分网络"):  # fmt: skip
        assert text in chinese, text
    for text in ("hazard ratio", "calibration slope", "out of fold"):
        assert text not in chinese, text
