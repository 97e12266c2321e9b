"""Messages about age, EBV DNA, treatment and the day of the MR."""

from __future__ import annotations

TEXTS: dict[str, tuple[str, str]] = {
    "age.birth_date_in_facts": ("the birth date in the clinical facts", "临床资料中的出生日期"),
    "age.birth_date_in_images": ("the birth date in the images", "图像中的出生日期"),
    "age.from_birth_date": ("{origin} and the study date", "{origin}与检查日期"),
    "age.from_patient_age": ("PatientAge in the images", "图像中的 PatientAge"),
    "birth_date_differs.facts_used": (
        "The birth date in the clinical facts is not that in the images; the clinical facts were used.",
        "临床资料与图像中的出生日期不一致; 采用临床资料。",
    ),
    "age.used": ("The age is {years} years, from {source}.", "年龄 {years} 岁, 依据{source}。"),
    "patient_age_differs.birth_date_used": (
        "The age is {years} years by {source}, and PatientAge in the images is {patient_age}; the birth date was used.",
        "按{source}年龄为 {years} 岁, 而图像中的 PatientAge 为 {patient_age}; 采用出生日期。",
    ),
    "age_unknown.not_given": (
        "The age is not known: the images give neither a birth date with a study date nor a PatientAge.",
        "年龄未知: 图像既未同时给出出生日期与检查日期, 也未给出 PatientAge。",
    ),
    "age_unknown.implausible": (
        "The age is not known: expected 0 to {greatest} years, found {stated} by {source}; enter the birth date in the clinical facts.",
        "年龄未知: 应为 0 至 {greatest} 岁, 按{source}为 {stated}; 请在临床资料中录入出生日期。",
    ),
    "treatment_start.unknown": (
        "Age of the MR, day of the EBV DNA draw and stage: treatment start unknown: not checked.",
        "MR 时间、EBV DNA 采样日期与分期: 治疗开始日期未知, 未核对。",
    ),
    "mr_age_unknown.no_study_date": (
        "The MR has no study date, so its age was not checked.",
        "MR 无检查日期, 故未核对其时间。",
    ),
    "prior_treatment.mr_after_start": (
        "The MR of {study_day} was taken after the treatment began on {start}.",
        "{study_day} 的 MR 摄于 {start} 治疗开始之后。",
    ),
    "mr_too_old.days": (
        "The MR of {study_day} was taken {days} days before the treatment; {limit} are allowed.",
        "{study_day} 的 MR 摄于治疗前 {days} 天; 允许至多 {limit} 天。",
    ),
    "mr_age.within_limit": (
        "The MR was taken {days} days before the treatment ({limit} are allowed).",
        "MR 摄于治疗前 {days} 天 (允许至多 {limit} 天)。",
    ),
    "prior_treatment.recorded": (
        "The tumour was treated before; the model is for untreated patients.",
        "肿瘤此前已接受治疗; 模型仅适用于未治疗的患者。",
    ),
    "prior_treatment.none_recorded": ("No earlier treatment is recorded.", "未记录既往治疗。"),
    "ebv_dna_unknown.held": ("The EBV DNA before treatment is not known.", "治疗前 EBV DNA 未知。"),
    "ebv_dna_near_threshold.value": (
        "EBV DNA {copies:g} copies/mL is close to the threshold of {threshold:g}; a repeated draw may be on the other side.",
        "EBV DNA {copies:g} copies/mL 接近阈值 {threshold:g}; 重复采样可能落在阈值另一侧。",
    ),
    "ebv_dna_converted.factor": (
        "IU/mL were converted by {factor:g} copies/IU (the factor of {whose:list}).",
        "IU/mL 按 {factor:g} copies/IU 换算 ({whose:list}的系数)。",
    ),
    "treatment_start_differs.earlier_used": (
        "The start of treatment is stated as {stated}, but treatment was given on {given} ({source}); the earlier day was used.",
        "治疗开始日期记录为 {stated}, 但治疗于 {given} 进行 ({source}); 采用较早日期。",
    ),
    "later_fact.another_course": (
        "it is more than {days} days after the MR and belongs to another course",
        "晚于 MR 超过 {days} 天, 属于另一疗程",
    ),
    "later_fact.drawn_before_mr": (
        "the EBV DNA of {drawn} is more than {days} days older than the MR",
        "{drawn} 的 EBV DNA 早于 MR 超过 {days} 天",
    ),
    "later_fact.follow_up": ("it is a follow-up, {when}", "属于随访, {when}"),
    "later_fact.after_treatment": ("after the treatment began on {start}", "在 {start} 治疗开始之后"),
    "later_fact.after_mr": ("more than {days} days after the MR", "晚于 MR 超过 {days} 天"),
    "later_fact.drawn": ("the EBV DNA was drawn on {drawn}, {when}", "EBV DNA 采样于 {drawn}, {when}"),
    "later_fact.without_day": (
        "{label} {value} was recorded and not used: {why}.",
        "{label} {value} 已记录但未采用: {why}。",
    ),
    "later_fact.of_day": (
        "{label} {value} of {day} was recorded and not used: {why}.",
        "{day} 的{label} {value} 已记录但未采用: {why}。",
    ),
    "fact.ebv_dna": ("EBV DNA", "EBV DNA"),
    "fact.stage": ("The stage", "分期"),
    "fact.treatment_start": ("The start of treatment", "治疗开始日期"),
    "fact.prior_treatment": ("The prior treatment", "既往治疗"),
    "fact.birth_date": ("The birth date", "出生日期"),
    "fact.diagnosis": ("The diagnosis", "诊断"),
    "treatment_start.stated": ("Treatment began or begins on {day} ({source}).", "治疗于 {day} 开始 ({source})。"),
    "treatment_start.given": ("Treatment was given on {day} ({source}).", "治疗于 {day} 进行 ({source})。"),
    "treatment_start.planned": ("Treatment is planned on {day} ({source}).", "治疗计划于 {day} 进行 ({source})。"),
    "patient_merged": (
        "The Patient ID {prior} of the images was merged into {surviving}: images and facts of both may be of one person or not.",
        "图像的患者编号 {prior} 已并入 {surviving}: 两者的图像与资料可能属于同一人, 也可能不是。",
    ),
    "patient_merged.facts": (
        "{others} was merged into the Patient ID {patient} of the images and has clinical facts of its own: they count once it is confirmed that both are of one person.",
        "{others} 已并入图像的患者编号 {patient}, 且另有临床资料: 确认两者为同一人后这些资料才计入。",
    ),
    "identity_mismatch.start_before_birth": (
        "The treatment began on {start}, before the birth of the patient: expected facts and images of one person; correct the fact, or enter the right one by hand.",
        "治疗开始于 {start}, 早于患者出生: 资料与图像应属于同一人; 请更正该资料, 或手工录入正确的资料。",
    ),
    "identity_mismatch.birth_date": (
        "The birth date by {source} is not the one in the images: expected facts and images of one person; correct the fact, or enter the right one by hand.",
        "{source}给出的出生日期与图像中的不一致: 资料与图像应属于同一人; 请更正该资料, 或手工录入正确的资料。",
    ),
    "prior_treatment.recorded_as": (
        "The tumour was treated before ({what}); the model is for untreated patients.",
        "肿瘤此前已接受治疗 ({what}); 模型仅适用于未治疗的患者。",
    ),
    "ebv_dna_unusable.sentence": ("{why:start}.", "{why}。"),
    "ebv_dna_unknown.both_reported": (
        "The EBV DNA before treatment is not known. Both categories are reported.",
        "治疗前 EBV DNA 未知。两类的结果均予报告。",
    ),
    "ebv_dna.above": (
        "EBV DNA {value} is above {threshold:g} copies/mL ({source}).",
        "EBV DNA {value} 高于 {threshold:g} copies/mL ({source})。",
    ),
    "ebv_dna.not_above": (
        "EBV DNA {value} is not above {threshold:g} copies/mL ({source}).",
        "EBV DNA {value} 不高于 {threshold:g} copies/mL ({source})。",
    ),
    "ebv_dna.above_drawn_on": (
        "EBV DNA {value} is above {threshold:g} copies/mL, drawn on {day} ({source}).",
        "EBV DNA {value} 高于 {threshold:g} copies/mL, {day} 采样 ({source})。",
    ),
    "ebv_dna.not_above_drawn_on": (
        "EBV DNA {value} is not above {threshold:g} copies/mL, drawn on {day} ({source}).",
        "EBV DNA {value} 不高于 {threshold:g} copies/mL, {day} 采样 ({source})。",
    ),
    "ebv_dna.any_laboratory": ("any laboratory", "任一实验室"),
    "ebv_dna.any_assay": ("any assay", "任一检测方法"),
    "ebv_dna_later_unusable.day": (
        "A later result cannot be used, so the EBV DNA of {day} was taken: {why}.",
        "较晚的结果不可用, 故采用 {day} 的 EBV DNA: {why}。",
    ),
    "ebv_dna_later_unusable.no_day": (
        "A later result cannot be used, so the EBV DNA was taken: {why}.",
        "较晚的结果不可用, 故采用此 EBV DNA: {why}。",
    ),
    "ebv_dna_unusable.open_side": (
        "EBV DNA {given!r} leaves open on which side of {threshold:g} copies/mL it is",
        "EBV DNA {given!r} 无法确定位于 {threshold:g} copies/mL 的哪一侧",
    ),
    "ebv_dna_unusable.specimen_differs": (
        "EBV DNA in {specimen} is not interchangeable with plasma; expected plasma or serum",
        "{specimen}中的 EBV DNA 不能与血浆互换; 应为血浆或血清",
    ),
    "ebv_dna_unusable.approximate": (
        "EBV DNA {given!r} is approximate; expected a number or one of > >= < <=",
        "EBV DNA {given!r} 为约数; 应为数值或 > >= < <= 之一",
    ),
    "ebv_dna_unusable.no_number": (
        "EBV DNA {given!r} is not a number; expected for example 5000, >4000, <400 or not-detected",
        "EBV DNA {given!r} 不是数值; 应形如 5000、>4000、<400 或 not-detected",
    ),
    "ebv_dna_unusable.thousands_or_decimals": (
        "EBV DNA {given!r} may mean thousands or decimals; write the decimal sign as a point",
        'EBV DNA {given!r} 可能是千分位或小数; 小数点请写作 "."',
    ),
    "ebv_dna_unusable.other_specimen": (
        "EBV DNA {given!r} is of another specimen; expected plasma or serum",
        "EBV DNA {given!r} 来自其他标本; 应为血浆或血清",
    ),
    "ebv_dna_unusable.two_units": (
        "EBV DNA {given!r} has two units that differ ({written!r} and {unit!r})",
        "EBV DNA {given!r} 有两个不一致的单位 ({written!r} 与 {unit!r})",
    ),
    "ebv_dna_unusable.range": (
        "EBV DNA {given!r} is not plausible; expected 0 to {greatest:g} copies/mL",
        "EBV DNA {given!r} 不合理; 应为 0 至 {greatest:g} copies/mL",
    ),
    "ebv_dna_unusable.iu": (
        "EBV DNA {given!r} is in IU/mL; expected copies/mL, or a factor of its laboratory, assay and day in [clinical] copies_per_iu",
        "EBV DNA {given!r} 以 IU/mL 给出; 应为 copies/mL, 或在 [clinical] copies_per_iu 中设置对应实验室、检测方法与日期的系数",
    ),
    "ebv_dna_unusable.unit": (
        "EBV DNA {given!r} has the unit {unit!r}; expected copies/mL",
        "EBV DNA {given!r} 的单位为 {unit!r}; 应为 copies/mL",
    ),
    "ebv_dna_unusable.logarithm": (
        "EBV DNA {given!r} is not plausible as a logarithm",
        "EBV DNA {given!r} 作为对数值不合理",
    ),
    "part.of_day": (" of {day}", "{day} 的"),
}
