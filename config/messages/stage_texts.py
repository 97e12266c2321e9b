"""Messages about the stage: what it is, whether the model is for it, and what to enter."""

from __future__ import annotations

TEXTS: dict[str, tuple[str, str]] = {
    "stage_unknown.reported_unverified": (
        "{stage} The result is reported with the stage unverified.",
        "{stage}结果按分期未核实报告。",
    ),
    "stage_not_used.made_at": ("was made {when}", "{when}作出"),
    "stage.edition_unknown": (
        "{stage} (edition {edition!r}, which is not known)",
        "{stage} (版本 {edition!r}, 无法识别)",
    ),
    "stage.edition_not_stated": ("{stage} (edition not stated)", "{stage} (未注明版本)"),
    "stage.described": ("{stage} (AJCC {edition})", "{stage} (AJCC {edition})"),
    "stage.described_group": ("{stage} (AJCC {edition}, stage {group})", "{stage} (AJCC {edition}, {group} 期)"),
    "stage.described_default": (
        "{stage} (AJCC {edition}, the site's default because none is named)",
        "{stage} (AJCC {edition}, 未注明版本, 采用本中心默认版本)",
    ),
    "stage.described_default_group": (
        "{stage} (AJCC {edition}, the site's default because none is named, stage {group})",
        "{stage} (AJCC {edition}, 未注明版本, 采用本中心默认版本, {group} 期)",
    ),
    "stage_not_eligible.other": ("{text}.", "{text}。"),
    "stage_not_eligible.other_by_edition": (
        "{text}. Where AJCC {edition} gives another category, enter that stage.",
        "{text}。若按 AJCC {edition} 属于其他类别, 请录入该分期。",
    ),
    "stage.contained": (
        "The stage {stage} is contained in {fitted} of AJCC {edition} (stage {group}), for which the model is.",
        "分期 {stage} 包含于 AJCC {edition} 的 {fitted} ({group} 期), 即模型的适用分期。",
    ),
    "stage.contained_without_extension": (
        "The stage {stage} is contained in {fitted} of AJCC {edition} (stage {group}) without the extranodal extension, for which the model is.",
        "分期 {stage} 在不计结外侵犯时包含于 AJCC {edition} 的 {fitted} ({group} 期), 即模型的适用分期。",
    ),
    "stage.in_9th": ("In the 9th it is stage {group}.", "按第 9 版为 {group} 期。"),
    "stage.in_9th_open": (
        "In the 9th it is stage {group}, or N3 and stage {other} with advanced extranodal extension, which is not recorded.",
        "按第 9 版为 {group} 期, 若有晚期结外侵犯则为 N3、{other} 期; 结外侵犯未记录。",
    ),
    "stage.times.y": ("after treatment had begun", "在治疗开始之后"),
    "stage.times.r": ("for a recurrence", "针对复发"),
    "stage.times.p": ("by an operation (pathological)", "依据手术 (病理)"),
    "stage.times.a": ("by an autopsy", "依据尸检"),
    "stage.needed": ("the model is for {stage} (AJCC {edition})", "模型适用于 {stage} (AJCC {edition})"),
    "stage_not_used.times": (
        "The stage {prefix}{stage} was made {when} and is not used; {needed} before treatment.",
        "分期 {prefix}{stage} {when}作出, 未采用; {needed}, 且须为治疗前分期。",
    ),
    "stage.is_other": ("The stage is {stage}; {needed}", "分期为 {stage}; {needed}"),
    "stage_unknown.enter_edition": ("{text}: enter the stage with its edition.", "{text}: 请录入分期及其版本。"),
    "stage_unknown.not_known": ("The stage is not known; {needed}.", "分期未知; {needed}。"),
    "stage_unknown.parts_missing": (
        "The stage {stage} does not state {missing:and}; {needed}: enter T, N and M, for example {wanted}.",
        "分期 {stage} 未给出 {missing:and}; {needed}: 请录入 T、N、M, 例如 {wanted}。",
    ),
    "stage_unknown.edition_not_known": (
        "The stage {stage} is of edition {stated!r}, which is not known; {needed}: enter the stage of the {edition}th or 9th edition with its number.",
        "分期 {stage} 的版本为 {stated!r}, 无法识别; {needed}: 请以版本号录入第 {edition} 版或第 9 版的分期。",
    ),
    "stage_unknown.without_edition": (
        "The stage {stage} is without an edition; {needed}: enter it with --ajcc {edition}.",
        "分期 {stage} 未注明版本; {needed}: 请以 --ajcc {edition} 录入。",
    ),
    "stage_unknown.undefined_category": (
        "The category {categories:and} is none of AJCC {edition} for the nasopharynx, so the stage {stage} may be of another system; {needed}: enter the stage of that edition.",
        "类别 {categories:and} 不属于鼻咽癌 AJCC 第 {edition} 版, 故分期 {stage} 可能属于其他系统; {needed}: 请录入该版本的分期。",
    ),
    "stage_unknown.group_differs": (
        "The stage {stage} is stage {group} in AJCC {edition}, but stage {stated} is recorded with it; enter the stage again with the right edition.",
        "分期 {stage} 在 AJCC 第 {edition} 版为 {group} 期, 但同时记录为 {stated} 期; 请以正确的版本重新录入分期。",
    ),
    "stage_unknown.other_edition": (
        "The stage {stage} is of edition {edition}; {needed}: nodes that are {n} there may be N3 in edition {wanted}. Enter the stage of edition {wanted}.",
        "分期 {stage} 为第 {edition} 版; {needed}: 该版的 {n} 在第 {wanted} 版可能为 N3。请录入第 {wanted} 版的分期。",
    ),
    "stage.as_needed": ("The stage is {stage}, as the model needs.", "分期为 {stage}, 符合模型要求。"),
    "extranodal_extension.check": (
        "Extranodal extension is recorded with {n} of AJCC 9, where an advanced one is N3: check it.",
        "记录了结外侵犯, 分期为 AJCC 第 9 版 {n}, 而该版中晚期结外侵犯为 N3: 请核对。",
    ),
    "extranodal_extension.not_counted": (
        "Extranodal extension is recorded: where it is advanced, it is N3 and stage III in the 9th edition. The edition of the model does not count it, so the numbers may be too favourable for this patient.",
        "记录了结外侵犯: 若为晚期, 在第 9 版为 N3、III 期。模型所用版本不计入, 故对该患者的数值可能过于乐观。",
    ),
    "stage_unknown.n3_by_extension": (
        "{text}. Is it N3 only by extranodal extension, and {n} without it? Answer with --ene yes or no (bilateral neck nodes, nodes above 6 cm or below the cricoid cartilage: no), or enter the stage of the {edition}th edition.",
        "{text}。是否仅因结外侵犯而为 N3, 否则为 {n}? 请以 --ene yes 或 no 回答 (双侧颈部淋巴结、大于 6 cm 或低于环状软骨的淋巴结: no), 或录入第 {edition} 版的分期。",
    ),
    "stage_not_used.reason": (
        "The stage {prefix}{stage}{day} {reason} and was not used.",
        "{day}分期 {prefix}{stage} {reason}, 未采用。",
    ),
    "prior_treatment.stage": (
        "The stage {prefix}{stage}{day} was made after treatment or for a recurrence, and the MR is not older.",
        "{day}分期 {prefix}{stage} 是治疗后或针对复发作出的, 而 MR 不早于该分期。",
    ),
    "stage_not_used.it": ("it {reason}", "该分期{reason}"),
    "stage_not_used.after_treatment": ("was made after the treatment began on {start}", "在 {start} 治疗开始之后作出"),
    "stage_not_used.after_mr": (
        "was made more than {days} days after the MR of {study_day}",
        "晚于 {study_day} 的 MR 超过 {days} 天",
    ),
}
