"""Warnings and findings of a report in both languages; they change no state, and the sentence has the particulars."""

from __future__ import annotations

from config.messages.reasons import Reason


def _f(en: str, zh: str, do: str, zh_do: str) -> Reason:
    return Reason((en, zh), (do, zh_do))


FINDINGS: dict[str, Reason] = {
    # The contour.
    "contour_beyond_image": _f(
        "The contour leaves the series", "勾画超出该序列", "Check the contour's ends.", "请检查勾画的边界。"
    ),
    "contour_gap": _f(
        "The contour has a gap",
        "勾画有缺层",
        "Draw the slices between, if they are tumour.",
        "若缺层属于肿瘤, 请补画。",
    ),
    "contour_holes": _f(
        "The contour has holes", "勾画内有空洞", "Check that they are meant.", "请确认空洞是有意勾画的。"
    ),
    "contour_names_other_slice": _f(
        "A contour names another slice",
        "勾画引用了其他层面",
        "Check that images and contour belong together.",
        "请确认图像与勾画相互对应。",
    ),
    "contour_not_approved": _f(
        "The contour is not approved",
        "勾画未经批准",
        "Have it approved, or confirm that it is final.",
        "请批准该勾画, 或确认其为最终版本。",
    ),
    "contour_registered": _f(
        "The contour comes by a registration", "勾画经配准而来", "Check the registration.", "请检查配准。"
    ),
    "contour_resampled": _f(
        "The contour was carried to another grid",
        "勾画被重采样到其他网格",
        "Nothing; draw on this series for an exact mask.",
        "无需处理; 在该序列上勾画可得到精确掩膜。",
    ),
    "contours_ignored": _f(
        "Points and open lines were ignored",
        "点和开放线已忽略",
        "Check that none was meant as tumour.",
        "请确认其不属于肿瘤。",
    ),
    "contours_overlap": _f(
        "Contours overlap", "勾画相互重叠", "Check that their union is the tumour.", "请确认其并集为肿瘤。"
    ),
    "contours_repeated": _f(
        "A contour is stored twice", "勾画重复存储", "Nothing; it counts once.", "无需处理; 只计算一次。"
    ),
    "frame_of_reference_absent": _f(
        "No frame of reference is named",
        "未注明参考坐标系",
        "Check that images and contour belong together.",
        "请确认图像与勾画相互对应。",
    ),
    "newer_contour": _f(
        "A newer contour was not used",
        "较新的勾画未被采用",
        "Approve the newer one, if it is the right one.",
        "若较新的勾画正确, 请批准。",
    ),
    "organ_overlap": _f(
        "The contour overlaps an organ", "勾画与器官部分重叠", "Check both contours.", "请检查两者的勾画。"
    ),
    "registration_applied": _f(
        "A registration moved the contour", "勾画经配准移动", "Check the registration.", "请检查配准。"
    ),
    "several_structure_sets": _f(
        "Sequences have contours of their own",
        "各序列使用不同的勾画",
        "Check that they show the same tumour.",
        "请确认其为同一肿瘤。",
    ),
    "volume_of_voxels": _f(
        "The volume was counted in voxels",
        "体积按体素计算",
        "Nothing; check the contour's ends.",
        "无需处理; 请检查勾画边界。",
    ),
    # The images.
    "duplicate_slice": _f(
        "A slice is stored twice",
        "层面重复存储",
        "Nothing; identical copies count once.",
        "无需处理; 相同副本只计算一次。",
    ),
    "frames_left_out": _f(
        "Phase images were left out",
        "相位图像已略去",
        "Nothing; magnitude images are used.",
        "无需处理; 使用幅值图像。",
    ),
    "lossy_compression": _f(
        "The images are lossily compressed",
        "图像经有损压缩",
        "Send the original images, if the archive has them.",
        "若存档中有原始图像, 请发送。",
    ),
    "series_joined": _f(
        "Two series were joined",
        "两个序列已合并",
        "Check that they are one acquisition.",
        "请确认其为同一次采集。",
    ),
    "volume_of_series": _f(
        "One volume of several was used",
        "仅使用了多个容积之一",
        "Check that it is the right one.",
        "请确认所用容积正确。",
    ),
    "monochrome1": _f(
        "Grey values are stored inverted", "灰度以反色存储", "Nothing; they were inverted back.", "无需处理; 已转换。"
    ),
    "thick_slices": _f("The slices are far apart", "层间距较大", "Read the result with caution.", "请谨慎解读结果。"),
    # Facts and header values.
    "birth_date_differs": _f("Birth dates differ", "出生日期不一致", "Correct the wrong one.", "请更正错误的日期。"),
    "ebv_dna_converted": _f(
        "EBV DNA was converted from IU/mL",
        "EBV DNA 由 IU/mL 换算而来",
        "Check the site's factor.",
        "请核对本中心的换算系数。",
    ),
    "ebv_dna_later_unusable": _f(
        "A later EBV DNA result is unusable",
        "较晚的 EBV DNA 结果不可用",
        "Enter the later result in copies/mL, if it counts.",
        "如应采用较晚的结果, 请以 copies/mL 录入。",
    ),
    "ebv_dna_near_threshold": _f(
        "EBV DNA is near the threshold",
        "EBV DNA 接近阈值",
        "Consider the result of the other side as well.",
        "请同时参考阈值另一侧的结果。",
    ),
    "extrapolated": _f(
        "Outside the training range", "超出训练范围", "Read the result with caution.", "请谨慎解读结果。"
    ),
    "header_value": _f(
        "A header value is not copied",
        "头信息值未被复制",
        "Correct it in the system that wrote it.",
        "请在写入该值的系统中更正。",
    ),
    "mr_age_unknown": _f(
        "The age of the MR is not known", "MR 时间未知", "Correct the study date of the MR.", "请更正 MR 的检查日期。"
    ),
    "font_missing": _f(
        "The page is not in the site's language",
        "页面未使用本中心的语言",
        "Install a Chinese font on the worker.",
        "请在计算进程所在主机安装中文字体。",
    ),
    "extranodal_extension": _f(
        "Extranodal extension is recorded",
        "记录了结外侵犯",
        "Check the stage in the edition of the model.",
        "请按模型所用版本核对分期。",
    ),
    "later_fact": _f(
        "A fact was recorded and not used",
        "有资料已记录但未采用",
        "Nothing; correct its day if it is wrong.",
        "无需处理; 日期有误时请更正。",
    ),
    "nonconforming_encoding": _f(
        "Received objects do not conform to the standard",
        "收到的对象不符合标准",
        "Tell the vendor of the sender.",
        "请告知发送方的厂商。",
    ),
    "stage_not_used": _f(
        "A stage was not used",
        "有分期未被采用",
        "Nothing; correct the stage or its day if it is wrong.",
        "无需处理; 分期或其日期有误时请更正。",
    ),
    "treatment_start_differs": _f(
        "Starts of treatment differ",
        "治疗开始日期不一致",
        "Correct the wrong one.",
        "请更正错误的日期。",
    ),
    "patient_age_differs": _f(
        "Age and birth date differ", "年龄与出生日期不符", "Correct the wrong one.", "请更正错误的一项。"
    ),
}
