"""Messages of the conditions of use."""

from __future__ import annotations

TEXTS: dict[str, tuple[str, str]] = {
    "condition.treatment_not_recorded": (
        "Whether the tumour was treated before is not recorded.",
        "未记录肿瘤此前是否接受过治疗。",
    ),
    "condition.untreated": ("Recorded as not treated before ({source}).", "记录为此前未接受治疗 ({source})。"),
    "condition.other_tumour": ("Another tumour is recorded: {other_tumour}.", "记录有其他肿瘤: {other_tumour}。"),
    "condition.malignancies_not_recorded": ("Earlier malignancies are not recorded.", "未记录既往恶性肿瘤。"),
    "condition.no_ce_t1w": ("No series has the role CE-T1w.", "没有序列被判定为 CE-T1w。"),
    "condition.contrast_recorded": ("Recorded in the CE-T1w: {agents:list}.", "CE-T1w 中记录的对比剂: {agents:list}。"),
    "condition.no_contour": ("There is no contour.", "没有勾画。"),
    "condition.contour_approved": ("{names}: approved.", "{names}: 已批准。"),
    "condition.segmentation_states_no_approval": (
        "{names}: a segmentation states no approval.",
        "{names}: 分割对象不含批准状态。",
    ),
    "condition.contour_not_approved": ("{names}: not approved.", "{names}: 未批准。"),
    "condition.contour_date_unknown": ("The date of the MR or of the contour is not known.", "MR 或勾画的日期未知。"),
    "condition.contour_date_same": ("Contour and MR are of {study_day}.", "勾画与 MR 的日期均为 {study_day}。"),
    "condition.contour_date_differs": (
        "The contour is of {other_days:list}, the MR of {study_day}.",
        "勾画日期为 {other_days:list}, MR 日期为 {study_day}。",
    ),
    "condition.draw_day_unknown": ("The day of the draw is not known.", "采样日期未知。"),
    "condition.draw_start_unknown": (
        "Drawn on {drawn_on}; treatment start unknown: not checked.",
        "{drawn_on} 采样; 治疗开始日期未知: 未核对。",
    ),
    "condition.draw_mr_day_unknown": (
        "Drawn on {drawn_on}; the date of the MR is not known.",
        "{drawn_on} 采样; MR 日期未知。",
    ),
    "condition.checked_by_the_computation": ("Is checked when the study is computed.", "计算时检查。"),
    "condition.checked_by_a_bundle": ("Is checked when a bundle computes the study.", "由模型包计算该检查时检查。"),
    "condition.contrast_not_recorded": (
        "No contrast agent is recorded in the CE-T1w ({why:bare}).",
        "CE-T1w 中未记录对比剂 ({why:bare})。",
    ),
    "condition.assay": (
        "The threshold depends on the assay; whether the one of this result ({whose:list}) agrees with that of the cohort is not known.",
        "阈值取决于检测方法; 该结果所用方法 ({whose:list}) 与队列的是否一致尚不清楚。",
    ),
    "condition.assay_not_stated": (
        "The threshold depends on the assay; whether the one of this result (not stated) agrees with that of the cohort is not known.",
        "阈值取决于检测方法; 该结果所用方法 (未注明) 与队列的是否一致尚不清楚。",
    ),
}
