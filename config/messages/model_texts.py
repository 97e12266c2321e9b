"""Messages about the model: its admission, and its agreement with randomised trials."""

from __future__ import annotations

TEXTS: dict[str, tuple[str, str]] = {
    "model_not_permitted.refused": (
        "the bundle {name} is refused: {findings:sentences}",
        "模型包 {name} 被拒绝: {findings:sentences}",
    ),
    "origin_not_stated.none": (
        "Expected the numbers of patients and phantoms that the model learned from (training_data.origin), found none: train it with this version.",
        "应给出模型学习所用的患者数与体模数 (training_data.origin), 但没有: 请用本版本重新训练。",
    ),
    "events_per_parameter.none": (
        "Expected the number of events that the Cox model was fitted on, found none: pack the bundle again.",
        "应给出 Cox 模型拟合所用的事件数, 但没有: 请重新打包模型包。",
    ),
    "no_unseen_figures.none": (
        "Expected figures of patients that no part of the model had seen (metrics.out_of_fold), found none: train it with this version.",
        "应有模型任何部分均未见过的患者的指标 (metrics.out_of_fold), 但没有: 请用本版本重新训练。",
    ),
    "unseen_figures_incomplete.missing": (
        "Expected the {missing:and_the} on unseen patients, found none: train it with this version.",
        "应给出未见患者的{missing:and_the}, 但没有: 请用本版本重新训练。",
    ),
    "no_discrimination.c_index": (
        "Expected a C-index on unseen patients whose 95 % interval is above {limit:g} ({group}), found {found}: it may have learned nothing; train it on more patients or for longer.",
        "未见患者的 C-index 的 95 % 区间应高于 {limit:g} ({group}), 实际为 {found}: 模型可能什么也没学到; 请用更多患者或更长时间训练。",
    ),
    "events_in_arm.few": (
        "Expected at least {least} events in each arm, found {found:and}: the difference of the arms rests on too few; train it on more patients.",
        "每个治疗组至少应有 {least} 个事件, 实际{found:and}: 两组差值所依据的事件过少; 请用更多患者训练。",
    ),
    "degenerate_interval.hazard_ratio": (
        "Expected 95 % intervals of the hazard ratios that span less than a factor of {limit:g}, found {found}: the Cox model is not determined; fit it on more patients.",
        "风险比的 95 % 区间跨度应小于 {limit:g} 倍, 实际为 {found}: Cox 模型不能确定; 请用更多患者拟合。",
    ),
    "degenerate_interval.effect": (
        "Expected a 95 % interval of the mean effect ({group}) within -100 and +100 points, found {found}: fit the Cox model on more patients.",
        "平均效应 ({group}) 的 95 % 区间应在 -100 至 +100 个百分点之间, 实际为 {found}: 请用更多患者拟合 Cox 模型。",
    ),
    "constant_scores.constant": (
        "Expected a {score} that differs between patients, found {found} for all: the networks learned nothing; train them again.",
        "{score}应因患者而异, 但全部为 {found}: 网络什么也没学到; 请重新训练。",
    ),
    "model.events_per_parameter": ("{n:.1f} events per parameter of the Cox model", "Cox 模型每个参数 {n:.1f} 个事件"),
    "trial_evidence.no_deciding_trial": (
        "The table of randomised evidence has no trial that decides; the mean effect was not compared.",
        "随机试验证据表中没有起决定作用的试验; 未比较平均效应。",
    ),
    "trial_evidence.no_effect": (
        "The manifest states no mean predicted effect; it was not compared with randomised trials.",
        "模型包未给出预测的平均效应; 未与随机试验比较。",
    ),
    "trial_evidence.compared": (
        "expected {low} to {high} points at {month} months ({source}: {difference}), found {stated:and}",
        "{month} 个月时应为 {low} 至 {high} 个百分点 ({source}: {difference}), 实际为 {stated:and}",
    ),
    "events_per_parameter.refused": (
        "Expected at least {least:g} events per parameter of the Cox model ({least_in_all:g} for its {n_parameters} parameters), found {found:.1f} ({n_events:g} events): fit it on more patients.",
        "Cox 模型每个参数至少应有 {least:g} 个事件 ({n_parameters} 个参数共 {least_in_all:g} 个), 实际为 {found:.1f} ({n_events:g} 个事件): 请用更多患者拟合。",
    ),
    "events_per_parameter.marked": (
        "Expected at least {least:g} events per parameter of the Cox model ({least_in_all:g} for its {n_parameters} parameters), found {found:.1f} ({n_events:g} events): its coefficients are uncertain; fit it on more patients.",
        "Cox 模型每个参数至少应有 {least:g} 个事件 ({n_parameters} 个参数共 {least_in_all:g} 个), 实际为 {found:.1f} ({n_events:g} 个事件): 其系数不确定; 请用更多患者拟合。",
    ),
    "calibration_slope.too_extreme": (
        "Expected a calibration slope of {least:g} to {greatest:g} on unseen patients ({group}), found {found:.2f}: its probabilities are too extreme.",
        "未见患者 ({group}) 的校准斜率应为 {least:g} 至 {greatest:g}, 实际为 {found:.2f}: 其概率过于极端。",
    ),
    "calibration_slope.too_moderate": (
        "Expected a calibration slope of {least:g} to {greatest:g} on unseen patients ({group}), found {found:.2f}: its probabilities are too moderate.",
        "未见患者 ({group}) 的校准斜率应为 {least:g} 至 {greatest:g}, 实际为 {found:.2f}: 其概率过于保守。",
    ),
    "model.calibration_slope": ("calibration slope", "校准斜率"),
    "model.events_of_each_arm": ("events of each arm", "各治疗组的事件数"),
    "degenerate_interval.impossible": (
        "Expected a 95 % interval around the C-index {c_index:.3f} of {group}, found an impossible one: train it on more patients.",
        "{group}的 C-index {c_index:.3f} 应有 95 % 区间, 但所给区间不可能成立: 请用更多患者训练。",
    ),
    "degenerate_interval.none": (
        "Expected a 95 % interval around the C-index {c_index:.3f} of {group}, found none: train it on more patients.",
        "{group}的 C-index {c_index:.3f} 应有 95 % 区间, 但没有: 请用更多患者训练。",
    ),
    "model.events_under": ("{n:g} under {arm}", "{arm} 组 {n:g} 个"),
    "model.discrimination": ("{group}: C-index {c_index}", "{group}: C-index {c_index}"),
    "model.discrimination_and_slope": (
        "{group}: C-index {c_index}, calibration slope {slope:.2f}",
        "{group}: C-index {c_index}, 校准斜率 {slope:.2f}",
    ),
    "model.on_unseen_patients": ("On unseen patients, {parts:semicolons}.", "在未见患者中, {parts:semicolons}。"),
    "model.no_figures": ("Its manifest states no figures.", "其清单未给出任何指标。"),
    "model.value_and_interval": ("{value:.3f} ({low:.3f} to {high:.3f})", "{value:.3f} ({low:.3f} 至 {high:.3f})"),
    "model.prognostic_score": ("prognostic score", "Prognostic-score "),
    "model.predictive_score": ("predictive score", "Predictive-score "),
    "group.out_of_fold": ("out of fold", "折外患者"),
    "group.training": ("training", "训练患者"),
    "group.held_out_phantoms": ("held out phantoms", "留出体模"),
    "group.observed": ("observed", "观察到的患者"),
    "group.own": ("own", "自身队列"),
    "group.published_case_mix": ("published case mix", "已发表的病例构成"),
    "effect.own": ("its own cohort", "自身队列"),
    "effect.published_case_mix": ("the published case mix", "已发表的病例构成"),
    "trial_evidence.agrees": (
        "The mean predicted gain of induction chemotherapy agrees with randomised evidence: {compared:semicolons}.",
        "预测的诱导化疗平均获益与随机试验证据一致: {compared:semicolons}。",
    ),
    "trial_evidence.disagrees": (
        "The mean predicted gain of induction chemotherapy disagrees with randomised evidence: {compared:semicolons}.",
        "预测的诱导化疗平均获益与随机试验证据不一致: {compared:semicolons}。",
    ),
    "trial_evidence.effect": ("{mean}{interval} in {group}", "{group}中 {mean}{interval}"),
    "trial_evidence.effect_at_month": (
        "{mean}{interval} at {month} months in {group}",
        "{group}中 {month} 个月时 {mean}{interval}",
    ),
    "trial_evidence.interval": (" ({low} to {high})", " ({low} 至 {high})"),
    "part.unknown": ("unknown", "未知"),
    "group.learning_curve": ("learning curve", "学习曲线"),
    "group.phantoms_test": ("phantoms test", "测试体模"),
    "group.phantoms_other": ("phantoms other", "其他扫描仪的体模"),
}
