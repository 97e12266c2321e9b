"""The words of the report in English and Simplified Chinese; the numbers are the same in both languages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from config.indication.conventions import whole_years
from config.indication.vocabulary import Answer, AnswerGround, AnswerRule, Condition, ConditionState, Severity

if TYPE_CHECKING:  # a command that only predicts has no use for pydicom, which report_inputs imports
    from dicom_sr.report.report_inputs import Language


@dataclass(frozen=True)
class Wording:
    """Every phrase of summary and page. Fields in braces are filled by `str.format`."""

    language: Language
    title: str
    demonstration: str
    not_computed: str
    reasons: str
    regimen_ict: str
    regimen_ccrt: str
    regimen_ict_long: str
    regimen_ccrt_long: str
    horizon_years: str
    horizon_months: str
    ci: str
    interval: str
    stop: str
    difference: str
    difference_points: str
    points: str
    ebv_above: str
    ebv_not_above: str
    ebv_unknown: str
    if_ebv_above: str
    if_ebv_not_above: str
    inputs: str
    age: str
    years: str
    ebv: str
    copies: str
    stage: str
    edition: str
    stage_group: str
    other_edition: str
    or_: str
    unverified: str
    unknown: str
    prognostic: str
    predictive: str
    of_models: str
    volume: str
    contour: str
    slices: str
    source: str
    on: str
    by: str
    warnings: str
    quality: str
    none: str
    intended_use: str
    training: str
    model: str
    nomogram: str
    sequences: str
    with_contour: str
    attribution: str
    study_of: str
    patient_id: str
    born: str
    created: str
    revision: str
    replaces: str
    replaces_report: str
    withdraws_report: str
    withdrawn: str
    withdrawn_since: str
    withdrawn_because: str
    withdrawn_advice: str
    no_new_result: str
    conditions: str
    conditions_met: str
    condition_titles: Mapping[Condition, str]
    condition_states: Mapping[ConditionState, str]
    severities: Mapping[Severity, str]
    not_valid_because: str
    answers: Mapping[Answer, str]
    answer_by_ground: Mapping[AnswerGround, str]
    answer_holds: str
    side_holds: str
    percentage_points: str
    percentage_points_only: str
    zero: str
    threshold_points: str
    rules: Mapping[AnswerRule, str]
    rule_stable: str
    unsigned: str


_GAIN = "{answer}: {horizon} with ICT+CCRT minus CCRT is {gain}"
_GAIN_ZH = "{answer}: ICT+CCRT 减 CCRT 的 {horizon} 差值为 {gain}"

# "copies/mL", "DFS" and the regimens stay in Latin letters in both languages: guidelines and laboratories use them so.
ENGLISH = Wording(
    language="en",
    title="Treatment decision nomogram (CPTDN), nasopharyngeal carcinoma",
    demonstration="DEMONSTRATION MODEL - NOT FOR CLINICAL USE",
    not_computed="NOT COMPUTED",
    reasons="Reasons",
    regimen_ict="ICT+CCRT",
    regimen_ccrt="CCRT",
    regimen_ict_long="induction chemotherapy, then concurrent chemoradiotherapy",
    regimen_ccrt_long="concurrent chemoradiotherapy alone",
    horizon_years="{n}-year DFS",
    horizon_months="{n}-month DFS",
    ci="95 % CI",
    interval="{low} to {high}",
    stop=".",
    difference="Difference",
    difference_points="Difference (percentage points)",
    points="Total points",
    ebv_above="above {threshold} copies/mL",
    ebv_not_above="not above {threshold} copies/mL",
    ebv_unknown="unknown",
    if_ebv_above="EBV DNA > {threshold} copies/mL",
    if_ebv_not_above="EBV DNA <= {threshold} copies/mL",
    inputs="Inputs",
    age="Age",
    years="years",
    ebv="EBV DNA",
    copies="copies/mL",
    stage="Stage",
    edition="AJCC/UICC {edition}th edition",
    stage_group="stage {group}",
    other_edition="{edition}th: {groups}",
    or_=" or ",
    unverified="not verified",
    unknown="unknown",
    prognostic="Prognostic-score",
    predictive="Predictive-score",
    of_models="mean of {n} models, standard error {se}",
    volume="Tumour volume",
    contour="Contour",
    slices="{n} slices",
    source="Source",
    on="on",
    by="by",
    warnings="Warnings",
    quality="Quality findings",
    none="none",
    intended_use="Intended use",
    training="Training population",
    model="Model",
    nomogram="Nomogram of this patient",
    sequences="Representative slices",
    with_contour="contour",
    attribution="Grad-CAM",
    study_of="Study",
    patient_id="ID",
    born="born",
    created="Report",
    revision="revision {n}",
    replaces="Replaces an earlier result",
    replaces_report="Replaces revision {n} of {created}: its report, pictures and PDF are SUPERSEDED",
    withdraws_report="Revision {n} of {created} is withdrawn: its report, pictures and PDF are not valid",
    withdrawn="WITHDRAWN - DO NOT USE",
    withdrawn_since="Withdrawn on {since} by {by}",
    withdrawn_because="Because: {because}",
    withdrawn_advice="What to do: use no earlier result of this study, on a screen or on paper. Decide without the "
    "model until a report with a higher revision follows",
    no_new_result="Why there is no new result",
    conditions="Conditions of use",
    conditions_met="{n} of {total} met",
    condition_titles={
        Condition.DISEASE: "disease",
        Condition.STAGE: "stage",
        Condition.TREATMENT_NAIVE: "no earlier treatment",
        Condition.PRIOR_MALIGNANCY: "no earlier malignancy",
        Condition.MR_AGE: "age of the MR",
        Condition.CONTRAST: "contrast agent",
        Condition.CONTOUR_APPROVED: "contour approved",
        Condition.CONTOUR_DATE: "date of the contour",
        Condition.EBV_DNA_WINDOW: "date of the EBV DNA",
        Condition.EBV_DNA_ASSAY: "EBV DNA assay",
        Condition.MODEL_RANGE: "range of the training cohort",
        Condition.INTERVAL: "interval with uncertainty of scores",
        Condition.MODEL_ADMISSION: "figures of the model",
        Condition.TRIAL_EVIDENCE: "agreement with trials",
    },
    condition_states={
        ConditionState.MET: "met",
        ConditionState.NOT_MET: "NOT MET",
        ConditionState.NOT_CHECKED: "not checked",
    },
    severities={
        Severity.BLOCKS: "Blocks the result",
        Severity.INVALIDATES: "INVALIDATES THE RESULT",
        Severity.CAUTIONS: "Caution",
        Severity.NOTES: "Note",
    },
    not_valid_because="NOT VALID FOR THIS PATIENT: {text}",
    answers={
        Answer.ICT_CCRT: "ICT+CCRT",
        Answer.CCRT: "CCRT",
        Answer.NO_RELIABLE_DIFFERENCE: "No reliable difference",
    },
    answer_by_ground={
        AnswerGround.NOT_VALID: "{answer}: the result is not valid for this patient; {horizon} with ICT+CCRT minus "
        "CCRT would be {gain}",
        AnswerGround.NO_INTERVAL: _GAIN + "; without an interval it cannot be told from chance",
        AnswerGround.INTERVAL_INCLUDES_THRESHOLD: _GAIN + "; the interval includes {limit}",
        AnswerGround.NOT_STABLE: _GAIN + ", but that holds in only {held} of "
        "{of} recomputations (at least {share} % are required)",
        AnswerGround.INTERVAL_EXCLUDES_THRESHOLD: _GAIN + "; the interval excludes {limit}",
        AnswerGround.POINT_DIFFERENCE: _GAIN + "; the difference alone decides, without its interval",
    },
    answer_holds="{sentence}; the answer holds in {held} of {of} recomputations",
    side_holds="{sentence}; the difference stays on the same side of it in {held} of {of} recomputations",
    percentage_points="{difference} percentage points (95 % CI {interval})",
    percentage_points_only="{difference} percentage points (no 95 % CI)",
    zero="zero",
    threshold_points="the threshold of {threshold} percentage points",
    rules={
        AnswerRule.INTERVAL: "A regimen is recommended when the 95 % CI of the difference in {horizon} excludes "
        "{limit}: ICT+CCRT above it, CCRT below it; otherwise there is no reliable difference",
        AnswerRule.POINT: "The difference in {horizon} decides without its 95 % CI: ICT+CCRT above {limit}, "
        "otherwise CCRT",
    },
    rule_stable="{rule}; the answer must hold in at least {share} % of the recomputations",
    unsigned="Computer-generated, not verified by a person",
)

CHINESE = Wording(
    language="zh",
    title="鼻咽癌治疗决策列线图 (CPTDN)",
    demonstration="演示模型 — 不得用于临床 / DEMONSTRATION MODEL - NOT FOR CLINICAL USE",
    not_computed="未计算",
    reasons="原因",
    regimen_ict="ICT+CCRT",
    regimen_ccrt="CCRT",
    regimen_ict_long="诱导化疗后同步放化疗",
    regimen_ccrt_long="单纯同步放化疗",
    horizon_years="{n} 年 DFS",
    horizon_months="{n} 个月 DFS",
    ci="95 % CI",
    interval="{low} 至 {high}",
    stop="。",
    difference="差值",
    difference_points="差值 (百分点)",
    points="总分",
    ebv_above="高于 {threshold} copies/mL",
    ebv_not_above="不高于 {threshold} copies/mL",
    ebv_unknown="未知",
    if_ebv_above="EBV DNA > {threshold} copies/mL",
    if_ebv_not_above="EBV DNA <= {threshold} copies/mL",
    inputs="输入",
    age="年龄",
    years="岁",
    ebv="EBV DNA",
    copies="copies/mL",
    stage="分期",
    edition="AJCC/UICC 第 {edition} 版",
    stage_group="{group} 期",
    other_edition="第 {edition} 版: {groups}",
    or_=" 或 ",
    unverified="未核实",
    unknown="未知",
    prognostic="Prognostic-score (预后评分)",
    predictive="Predictive-score (预测评分)",
    of_models="{n} 个模型的均值, 标准误 {se}",
    volume="肿瘤体积",
    contour="勾画",
    slices="{n} 层",
    source="来源",
    on="日期",
    by="录入",
    warnings="警告",
    quality="质量提示",
    none="无",
    intended_use="预期用途",
    training="训练人群",
    model="模型",
    nomogram="该患者的列线图",
    sequences="代表层面",
    with_contour="勾画",
    attribution="Grad-CAM",
    study_of="检查",
    patient_id="ID",
    born="出生",
    created="报告",
    revision="第 {n} 版",
    replaces="替代先前结果",
    replaces_report="替代 {created} 的第 {n} 版: 其报告, 图像和 PDF 已失效 (SUPERSEDED)",
    withdraws_report="{created} 的第 {n} 版已撤回: 其报告, 图像和 PDF 无效",
    withdrawn="已撤回, 请勿使用 / WITHDRAWN - DO NOT USE",
    withdrawn_since="{since} 由 {by} 撤回",
    withdrawn_because="原因: {because}",
    withdrawn_advice="应对: 屏幕上或纸上的该检查先前结果均不得使用。在更高版次的报告出现之前, 请不依赖该模型作出决定",
    no_new_result="没有新结果的原因",
    conditions="使用条件",
    conditions_met="符合 {n}/{total} 项",
    condition_titles={
        Condition.DISEASE: "疾病",
        Condition.STAGE: "分期",
        Condition.TREATMENT_NAIVE: "未接受过治疗",
        Condition.PRIOR_MALIGNANCY: "无既往恶性肿瘤",
        Condition.MR_AGE: "MR 时间",
        Condition.CONTRAST: "对比剂",
        Condition.CONTOUR_APPROVED: "勾画已审核",
        Condition.CONTOUR_DATE: "勾画日期",
        Condition.EBV_DNA_WINDOW: "EBV DNA 日期",
        Condition.EBV_DNA_ASSAY: "EBV DNA 检测方法",
        Condition.MODEL_RANGE: "训练人群范围",
        Condition.INTERVAL: "区间含评分的不确定性",
        Condition.MODEL_ADMISSION: "模型性能指标",
        Condition.TRIAL_EVIDENCE: "与随机试验一致",
    },
    condition_states={
        ConditionState.MET: "符合",
        ConditionState.NOT_MET: "不符合",
        ConditionState.NOT_CHECKED: "未检查",
    },
    severities={
        Severity.BLOCKS: "阻止计算",
        Severity.INVALIDATES: "结果无效",
        Severity.CAUTIONS: "注意",
        Severity.NOTES: "说明",
    },
    not_valid_because="结果对该患者无效: {text}",
    answers={
        Answer.ICT_CCRT: "ICT+CCRT",
        Answer.CCRT: "CCRT",
        Answer.NO_RELIABLE_DIFFERENCE: "无可靠差异",
    },
    answer_by_ground={
        AnswerGround.NOT_VALID: "{answer}: 结果对该患者无效; ICT+CCRT 减 CCRT 的 {horizon} 差值将为 {gain}",
        AnswerGround.NO_INTERVAL: _GAIN_ZH + "; 无置信区间, 不能排除偶然",
        AnswerGround.INTERVAL_INCLUDES_THRESHOLD: _GAIN_ZH + "; 区间包含{limit}",
        AnswerGround.NOT_STABLE: _GAIN_ZH + ", 但 {of} 次重新计算中仅 {held} 次成立 (至少须 {share} %)",
        AnswerGround.INTERVAL_EXCLUDES_THRESHOLD: _GAIN_ZH + "; 区间不包含{limit}",
        AnswerGround.POINT_DIFFERENCE: _GAIN_ZH + "; 仅按差值决定, 未考虑其区间",
    },
    answer_holds="{sentence}; {of} 次重新计算中 {held} 次答案不变",
    side_holds="{sentence}; {of} 次重新计算中 {held} 次差值仍在其同侧",
    percentage_points="{difference} 个百分点 (95 % CI {interval})",
    percentage_points_only="{difference} 个百分点 (无 95 % CI)",
    zero="零",
    threshold_points="阈值 {threshold} 个百分点",
    rules={
        AnswerRule.INTERVAL: "当 {horizon} 差值的 95 % CI 不包含{limit}时推荐方案: "
        "高于则 ICT+CCRT, 低于则 CCRT; 否则为无可靠差异",
        AnswerRule.POINT: "仅按 {horizon} 差值决定, 不考虑其 95 % CI: 高于{limit}推荐 ICT+CCRT, 否则推荐 CCRT",
    },
    rule_stable="{rule}; 且至少 {share} % 的重新计算须得出同一答案",
    unsigned="计算机生成, 未经人工核实",
)

WORDINGS: dict[Language, Wording] = {"en": ENGLISH, "zh": CHINESE}


def horizon(months: float, words: Wording) -> str:
    """Name a horizon of DFS.

    Parameters
    ----------
    months : float
        The horizon in months, > 0.
    words : Wording
        Wording of the language.

    Returns
    -------
    str
        In English, 36 gives "3-year DFS" and 30 gives "30-month DFS".
    """
    if (years := whole_years(months)) is not None:
        return words.horizon_years.format(n=years)
    return words.horizon_months.format(n=f"{months:g}")
