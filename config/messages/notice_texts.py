"""Messages of mails and webhooks that notify an administrator."""

from __future__ import annotations

TEXTS: dict[str, tuple[str, str]] = {
    "notice.subject": ("{ae_title}: {n} {n:plural:notice|notices}", "{ae_title}: {n} 条通知"),
    "notice.title": ("{title} ({n}):", "{title} ({n}):"),
    "notice_title.failed_case": ("Failed computations", "失败的计算"),
    "notice_title.dead_delivery": ("Deliveries given up", "已放弃的发送"),
    "notice_title.low_disk": ("Little disk space left", "磁盘空间不足"),
    "notice_title.quarantine": ("Quarantined objects", "隔离的对象"),
    "notice_title.withdrawn_answer": ("Withdrawn answers", "已撤回的结论"),
    "notice.more": (
        "`cptdn status`, `cptdn jobs list` and `cptdn quarantine list` show more.",
        "详情见 `cptdn status`、`cptdn jobs list` 与 `cptdn quarantine list`。",
    ),
    "notice.failed": ("study {study}: {code} ({what})", "检查 {study}: {what} ({code})"),
    "notice.withdrawn": ("study {study}: {event}", "检查 {study}: {event}"),
    "notice.dead": ("delivery-{id} to {pacs} was given up", "delivery-{id} (发往 {pacs}) 已放弃"),
    "notice.quarantined": (
        "number {id} from {ae}: {code} ({what})",
        "编号 {id}, 来自 {ae}: {what} ({code})",
    ),
    "notice.low_disk": (
        "{machine}: {free:.1f} GB free, objects are refused below {least:g} GB",
        "{machine}: 剩余 {free:.1f} GB, 低于 {least:g} GB 时拒收对象",
    ),
    "notice_event.recomputed": ("recomputed", "输入已更改, 重新计算"),
    "notice_event.refused": ("refused", "检查被拒绝"),
    "notice_event.incomplete": ("incomplete", "内容不完整"),
    "notice_event.held_by_person": ("held by person", "人工暂停"),
    "notice_event.questioned": ("questioned", "输入存疑"),
    "notice_event.other_patient": ("other patient", "可能属于其他患者"),
    "notice_event.failed": ("failed", "新的计算失败"),
    "notice_event.by_person": ("by person", "人工撤回"),
    "notice_event.recalled": ("recalled", "模型包已召回"),
}
