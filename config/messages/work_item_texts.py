"""Messages about work items (unified procedure steps)."""

from __future__ import annotations

TEXTS: dict[str, tuple[str, str]] = {
    "work_item.awaited": ("The images of the study have not arrived yet.", "该检查的图像尚未到达。"),
    "work_item.fetched": (
        "The images of the study have not arrived yet and are requested from the PACS.",
        "该检查的图像尚未到达, 已向 PACS 请求。",
    ),
    "work_item.series_awaited": (
        "{n} of the series that the work item names have not arrived yet.",
        "工作项所列序列中有 {n} 个尚未到达。",
    ),
    "work_item.receiving": ("The study is arriving.", "检查正在到达。"),
    "work_item.queued": ("The computation is queued.", "计算已排队。"),
    "work_item.running": ("The computation is running.", "正在计算。"),
    "work_item.incomplete": ("The study is incomplete: {reasons}", "检查不完整: {reasons}"),
    "work_item.held": ("A person has to decide: {reasons}", "需要人工决定: {reasons}"),
    "work_item.delivering": ("The result is being stored at the PACS.", "结果正在存入 PACS。"),
    "work_item.completed": ("The result is stored.", "结果已存储。"),
    "work_item.requested": ("Canceled as requested by {by}.", "应 {by} 的要求取消。"),
    "work_item.requested_because": ("Canceled as requested by {by}: {because}", "应 {by} 的要求取消: {because}"),
    "work_item.no_study": ("The work item names no study.", "工作项未指明检查。"),
    "work_item.other_patient": (
        "The work item and the study that it names are of different patients.",
        "工作项与其所指检查属于不同患者。",
    ),
    "work_item.refused": ("Not computed: {reasons}", "未计算: {reasons}"),
    "work_item.failed": ("The computation failed: {reasons}", "计算失败: {reasons}"),
    "work_item.withdrawn": ("The answer is withdrawn: {reasons}", "结论已撤回: {reasons}"),
    "work_item.not_stored": ("No PACS has stored the result.", "没有 PACS 存储该结果。"),
    "work_item.never_arrived": (
        "The images of the study have not arrived within {days} days.",
        "该检查的图像在 {days} 天内未到达。",
    ),
    "work_item.too_long": ("Not completed within {days} days: {reasons}", "{days} 天内未完成: {reasons}"),
    "health.worklist": (
        "answers a query: {n} scheduled for {code} ({scheme})",
        "应答查询: {code} ({scheme}) 有 {n} 个待执行工作项",
    ),
    "health.check_worklist": (
        "check host, port, AE titles or url, token_file and TLS of this [[worklist]]",
        "请检查该 [[worklist]] 的 host、port、AE 名称或网址、token_file 以及 TLS",
    ),
    "health.check_notified": (
        "check host, port, AE titles on both sides and TLS of this [[notified_ae]]; its notices wait",
        "请检查该 [[notified_ae]] 的 host、port、双方的 AE 名称以及 TLS; 其通知仍在等待",
    ),
    "health.not_accepted": ("does not accept {names:and}", "不接受 {names:and}"),
    "health.enable_there": ("enable this SOP class there", "请在对方启用该 SOP 类"),
    "health.notified": (
        "accepts what it would be sent; nothing was sent for this check",
        "接受将发送的内容; 此检查未发送任何内容",
    ),
}
