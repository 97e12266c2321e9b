"""The words that only the pages need, in English and Simplified Chinese; the numbers are the same in both languages."""

from __future__ import annotations

from dataclasses import dataclass

from dicom_sr.report.wording import CHINESE, Wording


@dataclass(frozen=True)
class PageWords:
    """Phrases of the pages. Fields in braces are filled by `str.format`."""

    answer: str
    not_valid: str
    because: str
    page: str
    no_difference: str
    threshold: str
    better: str
    difference_short: str
    of_hundred: str
    n_years: str
    n_months: str
    free: str
    not_free: str
    curves: str
    largest: str
    weighed_most: str
    weighed_most_short: str
    slices_title: str
    slices_title_largest: str
    image_number: str
    attribution_of: str
    attribution_scale: str
    guidelines: str
    default_guideline: str
    differs: str
    differs_short: str
    signed: str
    performance: str
    performance_unknown: str
    slope: str
    more_on_next_page: str
    nomogram_both: str
    contour_used: str
    rule: str
    software: str


ENGLISH_PAGE = PageWords(
    answer="Answer of the model",
    not_valid="NOT VALID FOR THIS PATIENT",
    because="because",
    page="page {n} of {of}",
    no_difference="no difference",
    threshold="threshold",
    better="{arm} better",
    difference_short="percentage points",
    of_hundred="Of 100 such patients, {ict} with ICT+CCRT and {ccrt} with CCRT are free of disease after {time}.",
    n_years="{n} years",
    n_months="{n} months",
    free="free of disease",
    not_free="recurrence or death",
    curves="Disease-free survival (%) over years",
    largest="largest section",
    weighed_most="weighed most by the network",
    weighed_most_short="weighed most",
    slices_title="Slices with contour: largest tumour section, and the one that the network weighed most",
    slices_title_largest="Slices with contour: largest tumour section",
    image_number="image {n}",
    attribution_of="Grad-CAM of both scores: what raises the Prognostic-score or lowers the Predictive-score",
    attribution_scale="low to high",
    guidelines="Guidelines",
    default_guideline="ICT + CCRT is recommended for stage III to IVA except T3N0.",
    differs="The answer CCRT alone DIFFERS from this.",
    differs_short="DIFFERS from guidelines",
    signed="source: {source}; {date}; signed by {signer}",
    performance="On unseen cases ({group}, {n}): C-index {c_index}, {slope}.",
    performance_unknown="The model states no performance on cases that it had not seen.",
    slope="calibration slope {slope}",
    more_on_next_page="{n} more: see the next page",
    nomogram_both="EBV DNA unknown: \u25c1 not above (open marks below), \u25b7 above (filled marks below)",
    contour_used="Contour used",
    rule="Rule of the decision",
    software="Software",
)

CHINESE_PAGE = PageWords(
    answer="模型的结论",
    not_valid="结果对该患者无效",
    because="原因",
    page="第 {n} 页, 共 {of} 页",
    no_difference="无差异",
    threshold="阈值",
    better="{arm} 较优",
    difference_short="百分点",
    of_hundred="每 100 名此类患者中, {time}后无病者: ICT+CCRT {ict} 名, CCRT {ccrt} 名。",
    n_years=" {n} 年",
    n_months=" {n} 个月",
    free="无病",
    not_free="复发或死亡",
    curves="无病生存率 (%) 随年数变化",
    largest="最大肿瘤层面",
    weighed_most="网络权重最大的层面",
    weighed_most_short="权重最大",
    slices_title="带勾画的层面: 最大肿瘤层面, 以及网络权重最大的层面",
    slices_title_largest="带勾画的层面: 最大肿瘤层面",
    image_number="图像 {n}",
    attribution_of="两个评分的 Grad-CAM: 提高 Prognostic-score 或降低 Predictive-score 的区域",
    attribution_scale="低至高",
    guidelines="指南",
    default_guideline="推荐 III 至 IVA 期 (T3N0 除外) 采用 ICT + CCRT。",
    differs='结论 "单纯 CCRT" 与此不同。',
    differs_short="与指南不同",
    signed="来源: {source}; {date}; 签署: {signer}",
    performance="模型未见过的病例 ({group}, {n} 例): C-index {c_index}, {slope}。",
    performance_unknown="该模型未说明其在未见过的病例上的表现。",
    slope="校准斜率 {slope}",
    more_on_next_page="另有 {n} 条: 见下一页",
    nomogram_both="EBV DNA 未知: \u25c1 不高于 (下方空心), \u25b7 高于 (下方实心)",
    contour_used="所用勾画",
    rule="决策规则",
    software="软件",
)


def page_words(words: Wording) -> PageWords:
    """Return the words of the pages in the language of the report's words."""
    return CHINESE_PAGE if words is CHINESE else ENGLISH_PAGE
