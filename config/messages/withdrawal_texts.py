"""Messages about withdrawn answers and recalled bundles."""

from __future__ import annotations

TEXTS: dict[str, tuple[str, str]] = {
    "withdrawn.recomputed": (
        "Its inputs have changed and the new result is not there yet.",
        "其输入已更改, 新结果尚未得出。",
    ),
    "withdrawn_by.recomputed": ("changed inputs", "输入已更改"),
    "withdrawn.refused": ("The study is refused with what is known now.", "按目前已知的信息, 该检查被拒绝。"),
    "withdrawn_by.refused": ("refusal of the study", "该检查被拒绝"),
    "withdrawn.incomplete": (
        "Images or contour that the result was computed from are missing or have changed.",
        "结果所依据的图像或勾画缺失或已更改。",
    ),
    "withdrawn_by.incomplete": ("missing content", "缺少内容"),
    "withdrawn.held": ("A person holds this study.", "该检查已被人工暂停。"),
    "withdrawn_by.held": ("hold of the study", "该检查被暂停"),
    "withdrawn.questioned": ("An input of the result is in question.", "结果的某项输入存疑。"),
    "withdrawn_by.questioned": ("question about the study", "对该检查的疑问"),
    "withdrawn.other_patient": ("Images and facts may be of different patients.", "图像与资料可能属于不同患者。"),
    "withdrawn_by.other_patient": ("identity of the patient", "患者身份"),
    "withdrawn.failed": (
        "Its inputs have changed and the new result could not be computed.",
        "其输入已更改, 而新结果无法计算。",
    ),
    "withdrawn_by.failed": ("failed computation", "计算失败"),
    "withdrawal.in_every_channel": (
        "Revision {revision} is withdrawn in every channel: {because}",
        "第 {revision} 版已在所有渠道撤回: {because}",
    ),
    "withdrawal.by_person": ("Withdrawn by {by}: {because}", "由 {by} 撤回: {because}"),
    "withdrawal.recalled": ("The model bundle {name} is recalled: {because}", "模型包 {name} 已召回: {because}"),
    "withdrawal.not_sent": (
        "The answer holds again, or has a successor: its withdrawal was not sent.",
        "该结论重新成立或已有后续结果: 未发送其撤回。",
    ),
    "withdrawal.unreachable": (
        "{name} has an earlier report and is not configured any more: the withdrawal cannot reach it.",
        "{name} 存有先前的报告, 但已不在配置中: 撤回无法送达。",
    ),
    "withdrawal.inputs_changed": ("The inputs of the withdrawn answer have changed.", "已撤回结论的输入已更改。"),
    "job.answer_withdrawn": ("the answer is withdrawn", "结论已撤回"),
    "job.bundle_recalled": ("the bundle {name} is recalled", "模型包 {name} 已召回"),
    "bundle_recalled.until_activated": (
        "The bundle {name} was recalled by {by} on {day}: {because}; activate another bundle, or this one with a reason (cptdn bundle activate --because).",
        "模型包 {name} 已由 {by} 于 {day} 召回: {because}; 请启用其他模型包, 或说明理由后启用该模型包 (cptdn bundle activate --because)。",
    ),
    "images_removed.by_retention": (
        "Its images were removed by retention; send the study again to have it computed.",
        "其图像已按保存期限删除; 如需计算请重发该检查。",
    ),
}
