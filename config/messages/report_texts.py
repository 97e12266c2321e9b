"""Messages that the computation adds to a report."""

from __future__ import annotations

TEXTS: dict[str, tuple[str, str]] = {
    "font_missing.chinese": (
        "The page is in English, because this machine has no Chinese font; install one (cptdn doctor shows the fonts).",
        "由于本机没有中文字体, 该页为英文; 请安装中文字体 (cptdn doctor 可显示字体)。",
    ),
    "input.age_years": ("age in years", "年龄 (岁)"),
    "input.prognostic_score": ("prognostic score", "Prognostic-score"),
    "input.predictive_score": ("predictive score", "Predictive-score"),
    "compared.bundle": ("bundle", "模型包"),
    "compared.age_years": ("age_years", "年龄 (岁)"),
    "compared.ebv_dna": ("ebv_dna", "EBV DNA"),
    "compared.tumour_volume_ml": ("tumour_volume_ml", "肿瘤体积 (mL)"),
    "compared.prognostic_score": ("prognostic_score", "Prognostic-score"),
    "compared.predictive_score": ("predictive_score", "Predictive-score"),
    "compared.error": ("error", "评分误差"),
    "category.>threshold": (">threshold", "高于阈值"),
    "category.<=threshold": ("<=threshold", "不高于阈值"),
    "category.unknown": ("unknown", "未知"),
    "compared.if": (" (EBV DNA {category})", " (EBV DNA {category})"),
    "compared.recommendation": ("recommendation{condition}", "结论{condition}"),
    "compared.dfs": ("{arm} DFS at {months} months{condition}", "{arm}: {months} 个月 DFS{condition}"),
    "joined.and": ("{parts:and}", "{parts:and}"),
    "sentences": ("{parts:sentences}", "{parts:sentences}"),
    "of_role": ("{role}: {text}", "{role}: {text}"),
    "report.nothing_computed": ("Nothing was computed.", "未进行计算。"),
    "report.interval_cox_only": (
        "The 95 % CI is of the Cox model only; the model cannot say how uncertain its scores are.",
        "95 % CI 仅反映 Cox 模型; 模型无法给出评分的不确定性。",
    ),
    "report.within_range": (
        "Intensities, features, age and scores are within the range of the training cohort.",
        "图像强度、特征、年龄与评分均在训练队列范围内。",
    ),
    "report.interval_with_scores": (
        "The 95 % CI contains the uncertainty of the Cox model and of the scores ({n} models).",
        "95 % CI 包含 Cox 模型与评分 ({n} 个模型) 的不确定性。",
    ),
    "out_of_distribution.intensities": (
        "{role}: the intensities differ from the training images by {distance:.2f} (training: at most {limit:.2f}); the scores may not hold.",
        "{role}: 图像强度与训练图像相差 {distance:.2f} (训练: 至多 {limit:.2f}); 评分可能不成立。",
    ),
    "plausibility_not_checked.no_limits": (
        "The bundle {name} has no limits of plausibility: whether the images show one head with contrast and a tumour in the contour was not checked; calibrate it with cptdn bundle calibrate.",
        "模型包 {name} 没有合理性界限: 未检查图像是否为同一头部、是否有强化以及勾画内是否为肿瘤; 请用 cptdn bundle calibrate 校准。",
    ),
    "extrapolated.input": (
        "The {input} {value:g} is outside the training cohort ({low:g} to {high:g}); the numbers are extrapolated.",
        "{input} {value:g} 超出训练队列范围 ({low:g} 至 {high:g}); 数值为外推。",
    ),
    "out_of_distribution.features": (
        "{role}: the distance of the deep features from those of the training patients is {distance:.2f} (training: at most {limit:.2f}); the scores may not hold.",
        "{role}: 深度特征与训练患者特征的距离为 {distance:.2f} (训练: 至多 {limit:.2f}); 评分可能不成立。",
    ),
    "sentence": ("{text:start}.", "{text}。"),
    "header_value.left_empty": (
        "{keyword} of the MR: expected {expected}, found {found}; it is left empty in the report. Correct it in the system that wrote it.",
        "MR 的 {keyword}: 应为{expected}, 实际为 {found}; 在报告中留空。请在写入该值的系统中更正。",
    ),
    "header_value.bytes": ("the bytes {bytes!r}", "字节 {bytes!r}"),
    "header_value.text_in": ("text in {encoding}", "{encoding} 编码的文本"),
    "header_value.unreadable": ("one that cannot be read ({kind})", "无法读取 ({kind})"),
    "header_value.beside_item": ("a value beside the others of its item", "与其条目中其他值并存的值"),
    "header_value.value_of_vr": ("a value of VR {vr}", "VR 为 {vr} 的值"),
    "header_value.beside_trial": ("a value beside the others of the clinical trial", "与临床试验其他信息并存的值"),
    "begin": ("{text:start}", "{text}"),
}
