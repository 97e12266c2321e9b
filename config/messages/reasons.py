"""Reason codes in both languages: a short text, and what to do; the whole sentence is in the case itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reason:
    """Short text and advice of a reason code, each as (English, Chinese)."""

    short: tuple[str, str]
    advice: tuple[str, str]


def _r(en: str, zh: str, do: str, zh_do: str) -> Reason:
    return Reason((en, zh), (do, zh_do))


REASONS: dict[str, Reason] = {
    "missing_series": _r(
        "A series is missing", "缺少序列", "Send it, or assign the role below.", "补发该序列, 或在下方指定角色。"
    ),
    "ambiguous_series": _r(
        "A series role is ambiguous", "序列角色不明确", "Assign the role below.", "请在下方指定序列角色。"
    ),
    "missing_contour": _r(
        "The contour is missing", "缺少勾画", "Send the RTSTRUCT, or the registration.", "补发 RTSTRUCT 或配准对象。"
    ),
    "no_matching_roi": _r(
        "No ROI matches",
        "没有匹配的 ROI",
        "Rename the ROI, or add its name to the configuration.",
        "重命名 ROI, 或在配置中加入其名称。",
    ),
    "ambiguous_roi": _r(
        "Several ROIs match",
        "多个 ROI 匹配",
        "Keep one, or narrow the names in the configuration.",
        "只保留一个, 或在配置中收窄名称。",
    ),
    "frame_of_reference_mismatch": _r(
        "Another frame of reference",
        "参考坐标系不一致",
        "Send a rigid registration, or a contour on the MR.",
        "补发刚性配准, 或在 MR 上勾画。",
    ),
    "contour_not_covered": _r(
        "The contour leaves the images",
        "勾画超出图像",
        "Send the whole series, or correct the contour.",
        "补发完整序列, 或修正勾画。",
    ),
    "withdrawn_by_person": _r(
        "The answer is withdrawn",
        "结论已撤回",
        "Do not use any earlier result. Computing it again takes the withdrawal back.",
        "请勿使用此前的任何结果。重新计算即取消撤回。",
    ),
    "bundle_recalled": _r(
        "The model bundle is recalled",
        "模型包已召回",
        "Do not use its results. Activate another bundle and compute the study again.",
        "请勿使用其结果。启用另一模型包后重新计算。",
    ),
    "images_removed": _r(
        "The images were removed by retention",
        "图像已按保留期限删除",
        "Send the study again to have it computed.",
        "如需重新计算, 请重新发送该检查。",
    ),
    "patient_merged": _r(
        "The patient was merged",
        "患者已合并",
        "Confirm that both are of one person: then the facts of both count. Otherwise the hospital undoes the merge.",
        "确认两者为同一人: 此后两者的资料均计入。若非同一人, 由医院撤销合并。",
    ),
    "identity_mismatch": _r(
        "Patient identities differ",
        "患者身份不一致",
        "Correct and resend; nothing is merged by itself.",
        "更正后重发; 系统不会自动合并。",
    ),
    "contour_outside_image": _r(
        "The contour is outside the image", "勾画在图像之外", "Draw a contour on this MR.", "请在该 MR 上勾画。"
    ),
    "implausible_volume": _r(
        "The tumour volume is implausible",
        "肿瘤体积不合理",
        "Check the contour, correct and resend it.",
        "请检查勾画, 更正后重发。",
    ),
    "missing_slice": _r("Slices are missing", "缺少层面", "Resend the series.", "重发该序列。"),
    "inconsistent_geometry": _r("The geometry is inconsistent", "几何信息不一致", "Resend the series.", "重发该序列。"),
    "conflicting_instance": _r(
        "One UID, two contents",
        "同一 UID 内容不同",
        "Find out which is right; dismiss the later files, or resend under new UIDs.",
        "确认正确者; 忽略后到的文件, 或以新 UID 重发。",
    ),
    "unreadable_instance": _r("A file cannot be read", "文件无法读取", "Resend it.", "重发该文件。"),
    "administrator_hold": _r("Held by an administrator", "人工暂停", "Release it below.", "请在下方解除暂停。"),
    "stage_unknown": _r("The stage is unknown", "分期未知", "Enter the stage below.", "请在下方录入分期。"),
    "stage_not_eligible": _r(
        "The stage is not eligible",
        "分期不符合",
        "Nothing; correct the stage if it is wrong.",
        "无需处理; 分期有误时请更正。",
    ),
    "diagnosis_unknown": _r(
        "The diagnosis is not recorded", "未记录诊断", "Enter the diagnosis below.", "请在下方录入诊断。"
    ),
    "diagnosis_not_eligible": _r(
        "Another diagnosis",
        "诊断不符合",
        "Nothing; correct the diagnosis if it is wrong.",
        "无需处理; 诊断有误时请更正。",
    ),
    "diagnosis_contradiction": _r(
        "Diagnoses contradict each other",
        "诊断记录相互矛盾",
        "Correct the diagnosis, or confirm the study below.",
        "更正诊断, 或在下方确认该检查。",
    ),
    "region_contradiction": _r(
        "Another body region is named",
        "检查部位描述不符",
        "Check the study; confirm it below if it is right.",
        "请核对检查; 无误时在下方确认。",
    ),
    "treatment_response": _r(
        "The MR may be after treatment",
        "MR 可能在治疗之后",
        "Confirm below if nothing was treated before it.",
        "如此前未治疗, 请在下方确认。",
    ),
    "contour_adaptive": _r(
        "The contour may be of a later plan",
        "勾画可能属于后续计划",
        "Send the first contour, or confirm this one below.",
        "补发首次勾画, 或在下方确认。",
    ),
    "contour_not_contemporary": _r(
        "Contour and MR are of different times",
        "勾画与 MR 时间不符",
        "Send a contour of this MR, or confirm this one below.",
        "补发该 MR 的勾画, 或在下方确认。",
    ),
    "age_unknown": _r("The age is unknown", "年龄未知", "Enter the birth date below.", "请在下方录入出生日期。"),
    "ebv_dna_unknown": _r("EBV DNA is unknown", "EBV DNA 未知", "Enter the result below.", "请在下方录入结果。"),
    "ebv_dna_unusable": _r(
        "EBV DNA cannot be used", "EBV DNA 结果不可用", "Enter a usable result below.", "请在下方录入可用结果。"
    ),
    "mr_too_old": _r(
        "The MR is too old",
        "MR 时间过早",
        "Send a newer MR, or correct the start of treatment.",
        "补发较新的 MR, 或更正治疗开始日期。",
    ),
    "prior_treatment": _r(
        "Treated before the MR",
        "MR 前已治疗",
        "Nothing; correct the fact if it is wrong.",
        "无需处理; 信息有误时请更正。",
    ),
    "out_of_distribution": _r(
        "Out of distribution", "与训练图像差异过大", "Check series and contour.", "请检查序列与勾画。"
    ),
    "not_an_image": _r(
        "A series is no image", "序列不是有效图像", "Look at it; send it again.", "请查看该序列并重发。"
    ),
    "slices_out_of_order": _r(
        "Slices are out of order", "层面顺序错误", "Look at the series; send it again.", "请查看该序列并重发。"
    ),
    "series_do_not_match": _r(
        "The series do not match",
        "各序列不一致",
        "Look at all three; assign or resend the one that differs.",
        "请查看三个序列, 重新指定或重发不一致者。",
    ),
    "no_contrast": _r(
        "No contrast in CE-T1w",
        "增强 T1w 无强化",
        "Look at T1w and CE-T1w; assign the right series.",
        "请查看 T1w 与增强 T1w, 并指定正确序列。",
    ),
    "not_a_head": _r(
        "The images show no head",
        "图像不是头部",
        "Look at the series; send the right ones.",
        "请查看序列并发送正确者。",
    ),
    "contour_does_not_fit": _r(
        "The contour does not fit",
        "勾画与图像不符",
        "Look at the contour on the images; correct and resend it.",
        "请在图像上查看勾画, 更正后重发。",
    ),
    "contour_in_organ": _r(
        "The contour is in an organ",
        "勾画位于器官内",
        "Look at the contour and the organ; correct and resend.",
        "请查看勾画与该器官, 更正后重发。",
    ),
    "implausible_location": _r(
        "The tumour is in an unusual place",
        "肿瘤位置异常",
        "Look at the contour on the images; correct and resend it.",
        "请在图像上查看勾画, 更正后重发。",
    ),
    "plausibility_not_checked": _r(
        "Plausibility was not checked",
        "未检查合理性",
        "Calibrate the bundle: cptdn bundle calibrate.",
        "请校准模型包: cptdn bundle calibrate。",
    ),
    "model_not_permitted": _r(
        "The model is not permitted", "模型未获准使用", "Activate a permitted bundle.", "启用获准的模型包。"
    ),
    "model_bundle": _r(
        "The model bundle is damaged", "模型包损坏", "Ask the physicist; then retry.", "请联系物理师, 然后重试。"
    ),
    "worker_lost": _r(
        "A worker stopped",
        "计算进程中断",
        "It is tried again; read the log if it stops again.",
        "将自动重试; 如反复出现请查看日志。",
    ),
    "artefacts_gone": _r(
        "Intermediate results were lost", "中间结果丢失", "Check the disk; then retry.", "请检查磁盘, 然后重试。"
    ),
    "out_of_space": _r("The disk is full", "磁盘已满", "Free space; it then continues.", "请释放空间, 随后自动继续。"),
    "superseded": _r(
        "Replaced by a newer job", "已被新任务取代", "Nothing; see the newer job.", "无需处理; 请查看新任务。"
    ),
    "cannot_compute": _r(
        "It cannot be computed", "无法计算", "Correct what the text names, then retry.", "按提示修复后重试。"
    ),
    "unexpected": _r("Unexpected error", "出现意外错误", "Read the log, then retry.", "查看日志后重试。"),
    "invalid_report": _r(
        "The report is invalid", "报告无效", "Tell the developers; then retry.", "请联系开发者, 然后重试。"
    ),
    "cancelled": _r("Cancelled by an administrator", "已被人工取消", "Retry it below.", "可在下方重试。"),
}
