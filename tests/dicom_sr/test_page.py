from __future__ import annotations

import re
import subprocess
from dataclasses import replace

import numpy as np
import pytest

from config.indication.vocabulary import Condition, ConditionState
from dicom_sr.page import fonts
from dicom_sr.page.boxes import Box
from dicom_sr.page.canvas import DARK, WIDTH, PageCanvas
from dicom_sr.page.heading import PatientCaption
from dicom_sr.page.layout import render_pages, render_slice
from dicom_sr.page.output import page_pixels, pages_pdf
from dicom_sr.page.page_words import CHINESE_PAGE, ENGLISH_PAGE
from dicom_sr.report import numbers
from dicom_sr.report.report_inputs import GuidelineText, PagePictures
from dicom_sr.report.treatment_report import Reason
from dicom_sr.report.wording import CHINESE, ENGLISH, WORDINGS
from tests.dicom_sr import samples
from tests.peers import chinese_font, peer

PATIENT = PatientCaption(samples.CHINESE_NAME, "1981-02-03", "M", "2024-03-11", "ACC77")
EVERY_FORM = [
    ("en", "dark"), ("en", "light"), ("zh", "light"),
    pytest.param("zh", "dark", marks=pytest.mark.long),
]  # fmt: skip
CASES = {**samples.CASES, "crowded": samples.crowded, "differing": samples.differing}


def shown(report, language="en", style="dark", pictures=None) -> list[str]:
    """Every line of text of every page."""
    pages = render_pages(report, pictures or samples.pictures(), style, language, PATIENT)
    return [text.text for page in pages for text in page.texts]


def words_of(report, language="en", style="dark") -> str:
    return " ".join(shown(report, language, style))


@pytest.mark.parametrize(("language", "style"), EVERY_FORM)
@pytest.mark.parametrize("name", CASES)
def test_nothing_is_clipped_and_no_text_overlaps_another(name: str, language, style) -> None:
    for page in render_pages(CASES[name](), samples.pictures(), style, language, PATIENT):
        check_places(page, style)


def slices_of(page: PageCanvas) -> list[Box]:
    """Where the slices and the colours of their maps are drawn."""
    extents = [image.get_extent() for image in page.drawing.images]
    return [Box(left, top, right - left, bottom - top) for left, right, bottom, top in extents]


def common_area(first: Box, second: Box) -> float:
    across = min(first.x + first.width, second.x + second.width) - max(first.x, second.x)
    down = min(first.bottom, second.bottom) - max(first.y, second.y)
    return max(0.0, across) * max(0.0, down)


def check_places(page: PageCanvas, style: str) -> None:
    """Each text is on its page, below the cine bar of viewers, clear of every other text and of the slices."""
    boxes = [(line.text, line.box) for line in page.texts]
    for text, box in boxes:
        assert box.x >= 0, text
        assert box.x + box.width <= WIDTH, text
        assert box.y >= (page.height / 28 if style == "dark" else 0), text
        assert box.bottom <= page.height, text
    for slice_box in slices_of(page):
        assert slice_box.x >= 0, slice_box
        assert slice_box.x + slice_box.width <= WIDTH, slice_box
        assert slice_box.bottom <= page.height, slice_box
        covering = [text for text, box in boxes if text not in ("R", "L") and common_area(box, slice_box) > 0]
        assert covering == []
    for index, (text, box) in enumerate(boxes):
        for other_text, other in boxes[index + 1 :]:
            across = min(box.x + box.width, other.x + other.width) - max(box.x, other.x)
            down = min(box.bottom, other.bottom) - max(box.y, other.y)
            assert across <= 1 or down <= 0.2 * min(box.height, other.height), (text, other_text)


@pytest.mark.parametrize("name", [name for name in CASES if name not in ("refused", "withdrawn")])
def test_the_first_page_shows_the_numbers_as_every_other_object_does(name: str) -> None:
    report = CASES[name]()
    first, *_ = render_pages(report, samples.pictures(), "dark", "en", PATIENT)
    texts = [text.text for text in first.texts]
    for scenario in report.scenarios:
        for months in report.horizons_months:
            for arm in (scenario.ict_ccrt, scenario.ccrt):
                assert f"{numbers.percent(arm.dfs[months].value)} %" in texts
                assert numbers.interval(arm.dfs[months].ci95) in texts
            assert any(text.startswith(numbers.signed_percent(scenario.difference(months))) for text in texts)


def test_numbers_are_the_same_in_both_languages() -> None:
    def digits(language) -> list[str]:
        return sorted(
            number for text in shown(samples.scored(), language) for number in re.findall(r"[-+]?\d+\.\d+", text)
        )

    assert digits("en") == digits("zh")


@pytest.mark.parametrize("style", ["dark", "light"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_demonstration_cannot_be_overlooked_on_any_page(language, style) -> None:
    for page in render_pages(samples.demonstration(), samples.pictures(), style, language, PATIENT):
        [banner] = [line for line in page.texts if "NOT FOR CLINICAL USE" in line.text]
        assert banner.width > 0.55 * WIDTH
        pixels = page_pixels(page).astype(int)
        yellow = (abs(pixels - np.array([0xF0, 0xE4, 0x42])).sum(axis=2) < 30).mean()
        assert yellow > 0.012
    plain, *_ = render_pages(samples.scored(warnings=()), samples.pictures(), style, language, PATIENT)
    assert (abs(page_pixels(plain).astype(int) - np.array([0xF0, 0xE4, 0x42])).sum(axis=2) < 30).mean() < 0.005
    slice_page = render_slice(samples.pictures().sequences[0], samples.demonstration(), language, PATIENT)
    texts = " ".join(text.text for text in slice_page.texts)
    for named in ("NOT FOR CLINICAL USE", "Wang XiaoDong", "PID-0042", "2024-03-11", "Grad-CAM"):
        assert named in texts


def test_every_page_names_patient_study_and_revision() -> None:
    for page in render_pages(samples.reprocessed(), samples.pictures(), "dark", "en", PATIENT):
        texts = " ".join(text.text for text in page.texts)
        for named in ("Wang XiaoDong", "PID-0042", "Study 2024-03-11", "revision 2", "not verified by a person"):
            assert named in texts


@pytest.mark.parametrize("style", ["dark", "light"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_withdrawal_says_so_in_the_largest_letters_and_names_no_regimen(language, style) -> None:
    if language == "zh":
        chinese_font()
    if language == "zh":
        chinese_font()
    pages = render_pages(samples.withdrawn(), samples.pictures(), style, language, PATIENT)
    text = " ".join(text.text for page in pages for text in page.texts)
    for named in (
        "WITHDRAWN",
        "2024-03-13 09:12:03 +0000",
        "dr.chen",
        "from T3N1M0 to T4N2M0",
        "stage of this patient",
    ):
        assert named in text
    assert not re.search(r"I?CT\s?\+\s?CCRT|CCRT|\d %", text)
    largest = max(pages[0].texts, key=lambda each: each.em)
    assert "WITHDRAWN" in largest.text
    assert largest.width > 0.7 * WIDTH
    assert WORDINGS[language].withdrawn_advice.replace(" ", "")[:30] in text.replace(" ", "")


def test_a_successor_says_in_large_letters_which_pictures_are_superseded() -> None:
    for page in render_pages(samples.reprocessed(), samples.pictures(), "dark", "en", PATIENT):
        [line] = [each for each in page.texts if "SUPERSEDED" in each.text]
        assert line.text.startswith("Replaces revision 1 of 2024-03-11 16:05:02 +0000")
        assert line.em >= 17
    earlier = samples.reprocessed(replaced=None)  # of a version that recorded the UID alone
    assert "Replaces an earlier result" in words_of(earlier)


def test_no_page_refers_to_an_object_that_a_viewer_of_images_does_not_show() -> None:
    for case in CASES.values():
        assert "structured report" not in words_of(case()).lower()


def test_what_invalidates_a_result_takes_the_place_of_the_answer_in_full() -> None:
    sentences = [f"{i}: the Prognostic-score lies outside the range of the training cohort." for i in range(12)]
    report = samples.scored(warnings=tuple(Reason("extrapolated", text) for text in sentences))
    first, *_ = render_pages(report, samples.pictures(), "dark", "en", PATIENT)
    text = " ".join(text.text for text in first.texts)
    assert ENGLISH_PAGE.not_valid in text
    assert ENGLISH_PAGE.answer not in text
    assert "Of 100 such patients" not in text
    assert all(sentence in text for sentence in sentences)


def test_twelve_warnings_are_all_on_the_pages_and_the_first_says_how_many_follow() -> None:
    sentences = [f"{i}: the contour has a gap of two slices, and the volume was taken without it." for i in range(12)]
    report = samples.scored(warnings=tuple(Reason("contour_gap", text) for text in sentences))
    first, second, *_ = render_pages(report, samples.pictures(), "dark", "en", PATIENT)
    on_first = " ".join(text.text for text in first.texts)
    [more] = re.findall(r"(\d+) more: see the next page", on_first)
    assert sum(f" {i}: the contour" in f" {on_first}" for i in range(12)) == 12 - int(more)
    assert all(sentence in " ".join(text.text for text in second.texts) for sentence in sentences)


def test_frequencies_are_the_displayed_rates_of_100_patients() -> None:
    # By hand: 79.1 % and 66.5 %; half a patient is rounded up.
    report = samples.scored(warnings=())
    assert "Of 100 such patients, 79 with ICT+CCRT and 67 with CCRT are free of disease after 5 years." in words_of(
        report
    )
    page, *_ = render_pages(report, PagePictures(), "dark", "en", PATIENT)
    filled = [
        len(line.get_xdata())
        for ax in page.figure.axes
        for line in ax.lines
        if len(line.get_xdata()) > 1 and line.get_marker() in ("o", "s") and line.get_markerfacecolor() != "none"
    ]
    assert filled == [79, 67]


def test_advice_for_ccrt_alone_is_marked_as_differing_from_guidelines() -> None:
    assert ENGLISH_PAGE.differs not in words_of(samples.scored(warnings=()))
    assert ENGLISH_PAGE.differs in words_of(samples.differing())
    other_stage = samples.differing(stage=replace(samples.scored().stage, n="N0"))
    assert ENGLISH_PAGE.differs not in words_of(other_stage)


def test_a_text_of_the_site_takes_the_place_of_the_sentence_about_guidelines() -> None:
    said = GuidelineText("Neutropenia in four of ten.", "Hospital guideline 7", "2026-01-31", "Prof. Li")
    pages = render_pages(samples.scored(), PagePictures(), "light", "en", PATIENT, said)
    text = " ".join(each.text for page in pages for each in page.texts)
    assert "Neutropenia in four of ten. (source: Hospital guideline 7; 2026-01-31; signed by Prof. Li)" in text
    assert ENGLISH_PAGE.default_guideline not in text


def test_letters_of_the_answer_are_legible_at_half_size() -> None:
    page, *_ = render_pages(samples.scored(warnings=()), samples.pictures(), "dark", "en", PATIENT)
    # A unit is a pixel of a dark page; 16 pixels become 8, the smallest that a screen shows clearly.
    sizes = {line.text: line.em for line in page.texts}
    assert sizes["79.1 %"] >= 16
    assert min(size for text, size in sizes.items() if "points" in text or "checked" in text or "NOT MET" in text) >= 14
    assert min(sizes.values()) >= 11


def test_the_regimens_differ_also_without_colour() -> None:
    page, *_ = render_pages(samples.scored(), PagePictures(), "light", "en", PATIENT)
    markers = {
        line.get_marker() for ax in page.figure.axes for line in ax.lines if line.get_marker() not in ("None", "", "D")
    }
    assert markers == {"o", "s"}


def test_the_pdf_says_it_in_words() -> None:
    chinese_font()
    report = samples.scored(warnings=())
    pages = render_pages(report, samples.pictures(), "light", "zh", PATIENT)
    pdf = pages_pdf(pages, "title", report.created)
    text = subprocess.run(
        [peer("pdftotext", "poppler-utils"), "-layout", "-", "-"], input=pdf, capture_output=True, check=True
    ).stdout.decode()
    assert text.count("\f") == len(pages)
    for phrase in (CHINESE_PAGE.answer, "79.1 %", "66.5 %", "+12.6", "PID-0042"):
        assert phrase in text
    again = pages_pdf(render_pages(report, samples.pictures(), "light", "zh", PATIENT), "title", report.created)
    assert pdf == again


def test_without_a_chinese_font_there_is_english_and_no_empty_box(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "chinese_font", lambda: None)
    report = samples.scored(age_source="病历 birth date")
    text = words_of(report, "zh")
    assert ENGLISH_PAGE.guidelines in text
    assert "Wang XiaoDong" in text
    assert "... birth date" in text
    assert not re.search(r"[\u3000-\u9fff]", text)


def test_text_is_wrapped_at_blanks_and_between_chinese_characters() -> None:
    canvas = PageCanvas((10.24, 10.24), DARK, 1.0, fonts.chinese_font())
    text = "words of a sentence and 增强扫描显示鼻咽部肿块 and averyveryverylongwordwithoutanyblankinitatall" * 3
    lines = canvas.wrapped(text, 14, 200)
    assert all(canvas.text_width(line, 14) <= 200 for line in lines)
    assert re.sub(r"\s", "", "".join(lines)) == re.sub(r"\s", "", text)


def test_measured_width_is_at_least_the_drawn_one() -> None:
    canvas = PageCanvas((10.24, 10.24), DARK, 1.0, fonts.chinese_font())
    for text in ("ICT+CCRT 79.1 %", "induction chemotherapy", "推荐方案 AVAVA fi ffi", "(72.0 to 85.6)"):
        canvas.texts.clear()
        canvas.text(100, 500, text, 14)
        columns = np.nonzero(page_pixels(canvas).any(axis=(0, 2)))[0]
        # The first and the last letter may reach beyond their advance by less than a tenth of the text size.
        assert columns[-1] + 1 - columns[0] <= canvas.text_width(text, 14) + 1.4
        assert columns[0] >= 100 - 1.4


def test_boxes_divide_without_losing_room() -> None:
    box = Box(10, 20, 100, 60)
    upper, lower = box.split(25)
    assert (upper.height + lower.height, lower.bottom) == (60, box.bottom)
    assert box.columns(2, 10)[1] == Box(65, 20, 45, 60)
    assert box.rows(3, 6)[2].bottom == box.bottom
    left, right = box.beside(60, 10)
    assert (left.width, right.x, right.width) == (60, 80, 30)


def test_with_unknown_ebv_dna_the_page_says_that_both_categories_are_drawn() -> None:
    assert ENGLISH_PAGE.nomogram_both in words_of(samples.unknown_ebv())
    assert ENGLISH_PAGE.nomogram_both not in words_of(samples.scored())


def test_the_wording_is_complete_in_both_languages() -> None:
    for wording in (ENGLISH, CHINESE, ENGLISH_PAGE, CHINESE_PAGE):
        assert all(vars(wording).values())
    for titles, words in ((Condition, "condition_titles"), (ConditionState, "condition_states")):
        assert all(set(getattr(wording, words)) == set(titles) for wording in (ENGLISH, CHINESE))
    for english, chinese in ((ENGLISH, CHINESE), (ENGLISH_PAGE, CHINESE_PAGE)):
        for key, phrase in vars(english).items():
            if isinstance(phrase, str):
                places = re.findall(r"{\w+}", phrase)
                assert sorted(places) == sorted(re.findall(r"{\w+}", getattr(chinese, key))), key


def test_a_picture_without_attribution_or_contour_is_drawn() -> None:
    plain = tuple(
        replace(picture, attribution_yx=None, mask_yx=np.zeros_like(picture.mask_yx))
        for picture in samples.pictures().sequences
    )
    page, *_ = render_pages(samples.scored(), PagePictures(None, plain, plain), "dark", "en", PATIENT)
    pixels = page_pixels(page)
    assert pixels.shape == (1024, 1024, 3)
