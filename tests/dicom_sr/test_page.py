from __future__ import annotations

import re
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.text import Text

from config.indication.vocabulary import Condition, ConditionState, EbvCategory
from dicom_sr.page import fonts
from dicom_sr.page.canvas import DARK, Box, PageCanvas
from dicom_sr.page.layout import page_pdf, page_pixels, render_page, render_slice
from dicom_sr.page.sections import PatientCaption
from dicom_sr.report import numbers
from dicom_sr.report.report_inputs import PagePictures
from dicom_sr.report.wording import CHINESE, ENGLISH
from tests.dicom_sr import samples
from tests.peers import chinese_font, peer

PATIENT = PatientCaption(samples.CHINESE_NAME, "1981-02-03", "M", "2024-03-11", "ACC77")
EVERY_FORM = [
    ("en", "dark"), ("zh", "light"), pytest.param("en", "light", marks=pytest.mark.long),
    pytest.param("zh", "dark", marks=pytest.mark.long),
]  # fmt: skip
CASES = {**samples.CASES, "crowded": samples.crowded, "differing": samples.differing}


def texts_of(figure) -> list[Text]:
    """Texts of the canvas itself, drawn; the nomogram stand-in's belong to the caller."""
    page_pixels(figure)
    return [text for text in figure.texts if text.get_text().strip()]


@pytest.mark.parametrize(("language", "style"), EVERY_FORM)
@pytest.mark.parametrize("name", CASES)
def test_nothing_is_clipped_and_no_text_overlaps_another(name: str, language, style) -> None:
    figure = render_page(CASES[name](), samples.pictures(), style, language, PATIENT)
    texts = texts_of(figure)
    width, height = figure.bbox.width, figure.bbox.height
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts]
    for shown, box in boxes:
        assert box.x0 >= 0, shown
        assert box.x1 <= width, shown
        assert box.y0 >= 0, shown
        assert box.y1 <= height * (7 / 8 if style == "dark" else 1), shown
    for index, (shown, box) in enumerate(boxes):
        for other_shown, other in boxes[index + 1 :]:
            across = min(box.x1, other.x1) - max(box.x0, other.x0)
            down = min(box.y1, other.y1) - max(box.y0, other.y0)
            assert across <= 1 or down <= 0.3 * min(box.height, other.height), (shown, other_shown)


@pytest.mark.parametrize("name", [name for name in CASES if name != "refused"])
def test_the_page_shows_the_numbers_as_every_other_object_does(name: str) -> None:
    report = CASES[name]()
    shown = [text.get_text() for text in texts_of(render_page(report, samples.pictures(), "dark", "en", PATIENT))]
    for scenario in report.scenarios:
        for months in report.horizons_months:
            for arm in (scenario.ict_ccrt, scenario.ccrt):
                assert f"{numbers.percent(arm.dfs[months].value)} %" in shown
                assert numbers.interval(arm.dfs[months].ci95) in shown
            assert any(text.startswith(f"{numbers.signed_percent(scenario.difference(months))} %") for text in shown)


def test_numbers_are_the_same_in_both_languages() -> None:
    def digits(language) -> list[str]:
        shown = texts_of(render_page(samples.scored(), samples.pictures(), "dark", language, PATIENT))
        return sorted(number for text in shown for number in re.findall(r"[-+]?\d+\.\d+", text.get_text()))

    assert digits("en") == digits("zh")


@pytest.mark.parametrize("style", ["dark", "light"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_demonstration_cannot_be_overlooked(language, style) -> None:
    figure = render_page(samples.demonstration(), samples.pictures(), style, language, PATIENT)
    [banner] = [text for text in texts_of(figure) if "NOT FOR CLINICAL USE" in text.get_text()]
    assert banner.get_window_extent().width > 0.55 * figure.bbox.width
    pixels = page_pixels(figure).astype(int)
    yellow = (abs(pixels - np.array([0xF0, 0xE4, 0x42])).sum(axis=2) < 30).mean()
    assert yellow > 0.015
    plain = page_pixels(render_page(samples.scored(), samples.pictures(), style, language, PATIENT)).astype(int)
    assert (abs(plain - np.array([0xF0, 0xE4, 0x42])).sum(axis=2) < 30).mean() < 0.005
    slice_figure = render_slice(samples.pictures().sequences[0], samples.demonstration(), language)
    assert any("NOT FOR CLINICAL USE" in text.get_text() for text in texts_of(slice_figure))


def test_the_regimens_differ_also_without_colour() -> None:
    figure = render_page(samples.scored(), PagePictures(), "light", "en", PATIENT)
    markers = {line.get_marker() for ax in figure.axes for line in ax.lines if line.get_marker() not in ("None", "")}
    assert markers == {"o", "s"}


def test_the_pdf_says_it_in_words_and_is_one_page() -> None:
    chinese_font()
    report = samples.scored()
    pdf = page_pdf(render_page(report, samples.pictures(), "light", "zh", PATIENT), "title", report.created)
    text = subprocess.run(
        [peer("pdftotext", "poppler-utils"), "-layout", "-", "-"], input=pdf, capture_output=True, check=True
    ).stdout.decode()
    assert text.count("\f") == 1
    for phrase in ("推荐方案", "79.1 %", "66.5 %", "+12.6 %", "PID-0042"):
        assert phrase in text
    again = page_pdf(render_page(report, samples.pictures(), "light", "zh", PATIENT), "title", report.created)
    assert pdf == again


def test_without_a_chinese_font_there_is_english_and_no_empty_box(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "chinese_font", lambda: None)
    report = samples.scored(age_source="病历 birth date")
    figure = render_page(report, PagePictures(), "dark", "zh", PATIENT)
    shown = " ".join(text.get_text() for text in texts_of(figure))
    assert "Recommended regimen" in shown
    assert "Wang XiaoDong" in shown
    assert "... birth date" in shown
    assert not re.search(r"[\u3000-\u9fff]", shown)


def test_text_is_wrapped_at_blanks_and_between_chinese_characters() -> None:
    canvas = PageCanvas((10.24, 10.24), DARK, 1.0, fonts.chinese_font())
    text = "words of a sentence and 增强扫描显示鼻咽部肿块 and averyveryverylongwordwithoutanyblankinitatall" * 3
    lines = canvas.wrapped(text, 14, 200)
    assert all(canvas.text_width(line, 14) <= 200 for line in lines)
    assert re.sub(r"\s", "", "".join(lines)) == re.sub(r"\s", "", text)


def test_measured_width_is_at_least_the_drawn_one() -> None:
    canvas = PageCanvas((10.24, 10.24), DARK, 1.0, fonts.chinese_font())
    for text in ("ICT+CCRT 79.1 %", "induction chemotherapy", "推荐方案 AVAVA fi ffi", "(72.0 to 85.6)"):
        canvas.text(0, 500, text, 14)
        page_pixels(canvas.figure)
        assert canvas.figure.texts[-1].get_window_extent().width <= canvas.text_width(text, 14)


def test_boxes_divide_without_losing_room() -> None:
    box = Box(10, 20, 100, 60)
    upper, lower = box.split(25)
    assert (upper.height + lower.height, lower.bottom) == (60, box.bottom)
    assert box.columns(2, 10)[1] == Box(65, 20, 45, 60)
    assert box.rows(3, 6)[2].bottom == box.bottom
    left, right = box.beside(60, 10)
    assert (left.width, right.x, right.width) == (60, 80, 30)


def test_the_nomogram_says_which_category_it_assumes() -> None:
    pictures = replace(samples.pictures(), nomogram_category=EbvCategory.ABOVE)
    shown = [text.get_text() for text in texts_of(render_page(samples.unknown_ebv(), pictures, "dark", "en", PATIENT))]
    assert "EBV DNA > 4000 copies/mL" in shown
    assert "EBV DNA <= 4000 copies/mL" not in shown


def test_the_wording_is_complete_in_both_languages() -> None:
    for wording in (ENGLISH, CHINESE):
        assert all(vars(wording).values())
    for titles, words in ((Condition, "condition_titles"), (ConditionState, "condition_states")):
        assert all(set(getattr(wording, words)) == set(titles) for wording in (ENGLISH, CHINESE))
    for key, phrase in vars(ENGLISH).items():
        if not isinstance(phrase, str):
            continue
        places = re.findall(r"{\w+}", phrase)
        assert sorted(places) == sorted(re.findall(r"{\w+}", getattr(CHINESE, key))), key


def test_a_picture_without_attribution_or_contour_is_drawn() -> None:
    plain = tuple(
        replace(picture, attribution_yx=None, mask_yx=np.zeros_like(picture.mask_yx))
        for picture in samples.pictures().sequences
    )
    pixels = page_pixels(render_page(samples.scored(), PagePictures(None, plain), "dark", "en", PATIENT))
    assert pixels.shape == (1024, 1024, 3)
