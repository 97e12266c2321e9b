"""Messages about what a person entered: on a page, as an option of a command, or in a table."""

from __future__ import annotations

TEXTS: dict[str, tuple[str, str]] = {
    "source.web_page": ("web page", "网页"),
    "source.command_line": ("command line", "命令行"),
    "source.file": ("file {name}", "文件 {name}"),
    "later.recorded_after_freezing": (
        "it was recorded on {day}, after the report was frozen",
        "于 {day} 记录, 晚于报告冻结",
    ),
    "date.not_a_day": ("the {what} {text!r} is not a day of the calendar", "{what} {text!r} 不是有效日期"),
    "date.not_a_date": (
        "the {what} {text!r} is not a date; expected YYYY-MM-DD",
        "{what} {text!r} 不是日期; 格式应为 YYYY-MM-DD",
    ),
    "date.future": (
        "the {what} {day} is in the future; expected a day up to today, {today}",
        "{what} {day} 在将来; 应不晚于今天 {today}",
    ),
    "date.birth_implausible": (
        "the birth date {text!r} is not plausible; expected a day from {year} to today",
        "出生日期 {text!r} 不合理; 应在 {year} 年至今天之间",
    ),
    "date.before_birth": (
        "expected {what} after the birth of the patient on {born}, found {day}; correct one of the two",
        "{what}应在患者出生日期 {born} 之后, 实际为 {day}; 请更正其中之一",
    ),
    "date.any": ("date", "日期"),
    "date.draw": ("date of the draw", "采样日期"),
    "date.staging": ("date of staging", "分期日期"),
    "date.diagnosis": ("date of the diagnosis", "诊断日期"),
    "date.birth": ("birth date", "出生日期"),
    "date.treatment_start": ("start of treatment", "治疗开始日期"),
    "event.ebv_dna": ("a draw of EBV DNA", "EBV DNA 采样日期"),
    "event.stage": ("a staging", "分期日期"),
    "event.treatment_start": ("a start of treatment", "治疗开始日期"),
    "entry.diagnosis": (
        "expected a diagnosis with its site, for example C11.9 or nasopharyngeal carcinoma, found {text!r}",
        "诊断应包含部位, 例如 C11.9 或鼻咽癌, 实际为 {text!r}",
    ),
    "entry.ebv_no_value": (
        "the EBV DNA result has no value; expected a number, or a word such as not-detected",
        "EBV DNA 结果没有数值; 应为数字, 或“未检出”等文字",
    ),
    "entry.stage_not_tnm": (
        "the stage {text!r} is not TNM; expected for example T3N1M0",
        "分期 {text!r} 不是 TNM; 应例如 T3N1M0",
    ),
    "entry.stage_letter_o": (
        "the stage {text!r} is not TNM; expected for example T3N1M0; write a zero for the letter O",
        "分期 {text!r} 不是 TNM; 应例如 T3N1M0; 请将字母 O 改为数字 0",
    ),
    "entry.stage_twice": (
        "the stage {text!r} is not TNM of one stage: expected T, N and M once, in this order",
        "分期 {text!r} 不是单一分期的 TNM: T、N、M 应依次各出现一次",
    ),
    "entry.stage_range": (
        "the stage {text!r} is not TNM of one stage: expected one value each, found a range",
        "分期 {text!r} 不是单一分期的 TNM: 每项应为一个值, 实际为范围",
    ),
    "entry.stage_words": (
        "the stage {text!r} is not TNM alone: {found} beside it may change its meaning; expected for example T3N1M0 (AJCC 8)",
        "分期 {text!r} 除 TNM 外还有 {found}, 可能改变其含义; 应例如 T3N1M0 (AJCC 8)",
    ),
    "entry.stage_edition": (
        "the staging edition {text!r} is not known; expected for example 8",
        "分期版本 {text!r} 未知; 应例如 8",
    ),
    "entry.extension": (
        "expected yes, no or unknown for the extranodal extension, found {text!r}",
        "结外侵犯应为 yes、no 或 unknown, 实际为 {text!r}",
    ),
    "entry.no_patient_id": (
        "expected a Patient ID for the clinical fact, found none",
        "临床资料应有患者 ID, 实际没有",
    ),
    "entry.fact_name": (
        "expected one of the clinical facts {names:list}, found {name!r}",
        "临床资料应为 {names:list} 之一, 实际为 {name!r}",
    ),
    "form.role": ("expected a role out of {roles:list}, found {role!r}", "角色应为 {roles:list} 之一, 实际为 {role!r}"),
    "form.none": ("none", "无"),
    "form.other_issuer": (
        "expected the issuer that the images name, {named:and}, found {issuer}",
        "应为图像所注明的签发机构 {named:and}, 实际为 {issuer}",
    ),
    "form.unknown_issuer": (
        "expected an issuer of the patient's facts ({known:list}), found {issuer}",
        "应为该患者资料的签发机构之一 ({known:list}), 实际为 {issuer}",
    ),
    "form.no_question": (
        "expected an open question of study {study} ({codes:list}), found {code}",
        "应为检查 {study} 的待答问题之一 ({codes:list}), 实际为 {code}",
    ),
    "form.no_open_question": ("there is none", "没有"),
    "form.series": (
        "expected a series of study {study} ({known:list}), found {series}",
        "应为检查 {study} 的序列之一 ({known:list}), 实际为 {series}",
    ),
    "form.volume": (
        "expected a volume of series {series} ({known:list}), found {volume}",
        "应为序列 {series} 的容积之一 ({known:list}), 实际为 {volume}",
    ),
    "form.one_volume": ("the series is one volume, without a name", "该序列只有一个容积, 没有名称"),
    "form.nothing_quarantined": (
        "expected a study with quarantined files, found none of {study}",
        "应为有隔离文件的检查, {study} 没有隔离文件",
    ),
    "form.no_reason": (
        "expected the reason of the withdrawal, found none; every channel shows it to its readers",
        "应填写撤回原因, 实际为空; 各渠道均会向读者显示该原因",
    ),
    "form.no_answer": (
        "expected a study with a current answer, found {found} as its newest report",
        "应为有当前结论的检查, 其最新报告为{found}",
    ),
    "form.is_withdrawn": (
        "expected a study with a current answer, {by} has withdrawn it: {because}",
        "应为有当前结论的检查, {by} 已将其撤回: {because}",
    ),
    "form.no_report": ("no report", "无报告"),
    "form.refusal": ("a refusal", "拒绝"),
    "form.withdrawal": ("a withdrawal", "撤回"),
    "form.no_study": (
        "there is no study {study} here; `cptdn studies list` shows all",
        "此处没有检查 {study}; `cptdn studies list` 可列出全部",
    ),
    "form.several_studies": (
        "expected one study, found several for {text}: {studies:list}{more}; give more of its UID",
        "应为一个检查, 但 {text} 对应多个: {studies:list}{more}; 请给出更长的 UID",
    ),
    "form.no_job": ("there is no job {id}; `cptdn jobs list` shows all", "没有任务 {id}; `cptdn jobs list` 可列出全部"),
    "form.job_not_retryable": (
        "job {id} is {state}; only failed and cancelled jobs can be tried again",
        "任务 {id} 为“{state}”; 只有失败或已取消的任务可以重试",
    ),
    "form.job_not_cancellable": (
        "job {id} is {state}; only queued and running jobs can be cancelled",
        "任务 {id} 为“{state}”; 只有排队中或计算中的任务可以取消",
    ),
    "job_state.queued": ("queued", "排队中"),
    "job_state.running": ("running", "计算中"),
    "job_state.done": ("done", "完成"),
    "job_state.failed": ("failed", "失败"),
    "job_state.cancelled": ("cancelled", "已取消"),
    "user.name": (
        "expected a user name of 1 to {most} printable characters, found {n}",
        "用户名应为 1 至 {most} 个可打印字符, 实际为 {n} 个",
    ),
    "user.exists": (
        "the user {name} exists already; `cptdn users list` shows all users",
        "用户 {name} 已存在; `cptdn users list` 可列出全部用户",
    ),
    "user.first_is_admin": (
        "the first user must have the role admin, because only an administrator can add others",
        "第一个用户的角色必须为 admin (管理), 因为只有管理员可以添加其他用户",
    ),
    "user.none": (
        "there is no user {name}; `cptdn users list` shows all users",
        "没有用户 {name}; `cptdn users list` 可列出全部用户",
    ),
    "user.role": (
        "expected one of the roles {roles:list}, found {role!r}",
        "角色应为 {roles:list} 之一, 实际为 {role!r}",
    ),
    "user.last_admin": (
        "{name} is the last administrator; give another user the role admin first",
        "{name} 是最后一名管理员; 请先将其他用户设为 admin (管理)",
    ),
    "user.password": (
        "expected a password of {least} to {most} characters, found {n}",
        "密码应为 {least} 至 {most} 个字符, 实际为 {n} 个",
    ),
    "question.broker": ("the broker does not answer: {why}", "消息代理无应答: {why}"),
    "question.late": (
        "no worker answered within {seconds:g} s; is a worker of the queue `web` running?",
        "{seconds:g} 秒内没有计算进程应答; 队列 `web` 的计算进程是否在运行?",
    ),
    "question.failed": ("the worker could not answer: {kind}", "计算进程无法回答: {kind}"),
    "question.unknown": (
        "expected a query out of {names:list}; found {name}",
        "查询应为 {names:list} 之一, 实际为 {name}",
    ),
    "question.numbers": (
        "expected age, EBV DNA and both scores as numbers, found {found}",
        "年龄、EBV DNA 与两项评分应为数字, 实际为 {found}",
    ),
    "question.number": ("expected {input} as a number, found {text!r}", "{input}应为数字, 实际为 {text!r}"),
    "question.style": (
        "expected the style light or dark and the language en or zh, found {style}, {language}",
        "样式应为 light 或 dark, 语言应为 en 或 zh, 实际为 {style}, {language}",
    ),
    "question.no_picture": (
        "this report has no picture; `send` of no PACS contains `sc`",
        "该报告没有图片; 没有 PACS 的 `send` 含有 `sc`",
    ),
    "question.no_series": ("study {study} has no series {series}", "检查 {study} 没有序列 {series}"),
    "entered.age": ("age", "年龄"),
    "entered.prognostic_score": ("prognostic score", "Prognostic-score"),
    "entered.predictive_score": ("predictive score", "Predictive-score"),
    "nomogram_input.range": (
        "patient {n}: expected {expected}, found {value:g}",
        "第 {n} 例: {expected}, 实际为 {value:g}",
    ),
    "nomogram_input.age": ("age between 0 and 130 years", "年龄应在 0 至 130 岁之间"),
    "nomogram_input.ebv_dna": ("EBV DNA category 0 or 1", "EBV DNA 类别应为 0 或 1"),
    "nomogram_input.prognostic": ("Prognostic-score between -1 and 1", "Prognostic-score 应在 -1 至 1 之间"),
    "nomogram_input.predictive": ("Predictive-score between -1 and 1", "Predictive-score 应在 -1 至 1 之间"),
}
