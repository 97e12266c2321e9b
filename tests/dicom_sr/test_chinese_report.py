"""A Chinese report is Chinese in every object; where it cannot be, it says so."""

from __future__ import annotations

import re

import pytest
from pydicom import Dataset

from config.messages.message import Message, message
from dicom_sr.objects.fhir import fhir_bundle
from dicom_sr.page import fonts
from dicom_sr.page.layout import render_pages
from dicom_sr.report.json_form import dump, load, to_json
from dicom_sr.report.localised import localised
from dicom_sr.report.plain_text import plain_text
from dicom_sr.report.report_inputs import PagePictures, ReportOptions
from dicom_sr.report.treatment_report import Reason, TreatmentReport
from tests.dicom_sr import samples

FAR_APART = message("thick_slices.distance", role="T2w", step=7.5)
SENTENCE = "T2w 的层间距为 7.5 mm。"
SOURCE = message("age.from_birth_date", origin=message("age.birth_date_in_images"))


def warned() -> TreatmentReport:
    return samples.scored(warnings=(Reason("thick_slices", FAR_APART),), age_source=SOURCE)


def texts_of(dataset: Dataset) -> list[str]:
    found = [str(dataset.TextValue)] if "TextValue" in dataset else []
    return found + [text for item in dataset.get("ContentSequence") or () for text in texts_of(item)]


def test_sr_fhir_and_text_have_the_chinese_sentence_and_its_code() -> None:
    options = ReportOptions(language="zh", kinds=("sr",))
    (sr,) = samples_objects(warned(), options)
    texts = texts_of(sr)
    assert f"{SENTENCE} [thick_slices]" in texts
    assert "图像中的出生日期与检查日期" in texts
    assert not any("apart" in text for text in texts)
    assert SENTENCE in plain_text(warned(), "zh")
    assert "apart" not in str(fhir_bundle(samples.refused(refusals=(Reason("thick_slices", FAR_APART),)), options))
    # The same report in English.
    assert f"{FAR_APART} [thick_slices]" in texts_of(samples_objects(warned(), ReportOptions(kinds=("sr",)))[0])


def samples_objects(report: TreatmentReport, options: ReportOptions) -> list[Dataset]:
    return [built.dataset for built in samples.build_objects(report, samples.sources(masks=()), None, options)]


def test_the_stored_report_keeps_its_messages_and_its_json_is_english_with_keys() -> None:
    restored = load(dump(warned()))
    assert restored == warned()
    assert isinstance(restored.warnings[0].text, Message)
    assert restored.warnings[0].text.render("zh") == SENTENCE
    (entry,) = to_json(warned())["warnings"]
    assert entry == {
        "code": "thick_slices", "text": "The slices of the T2w are 7.5 mm apart.", "severity": "cautions",
        "message": "thick_slices.distance", "parameters": {"role": "T2w", "step": 7.5},
    }  # fmt: skip


def test_a_report_of_an_earlier_version_keeps_its_english_texts() -> None:
    earlier = samples.scored(warnings=(Reason("thick_slices", "The slices of the T2w are 9 mm apart."),))
    assert localised(load(dump(earlier)), "zh") == earlier


def drawn_texts(report: TreatmentReport) -> str:
    pages = render_pages(report, PagePictures(), "dark", "zh")
    return " ".join(text.text for page in pages for text in page.texts)


def test_a_page_without_a_chinese_font_is_english_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    if fonts.chinese_font() is not None:
        assert "中文字体" not in drawn_texts(warned())
    monkeypatch.setattr(fonts, "chinese_font", lambda: None)
    drawn = re.sub(r"\s+", " ", drawn_texts(warned()))
    assert "this machine has no Chinese font" in drawn
    assert "7.5 mm apart" in drawn
    assert not re.search("[\u4e00-\u9fff]", drawn)
