"""Messages about series: roles, volumes, what is missing, what was received twice."""

from __future__ import annotations

TEXTS: dict[str, tuple[str, str]] = {
    "ambiguous_series.which": (
        "Which series is the {role} needs a decision. {questions:semicolons}",
        "需要决定哪个序列为 {role}。{questions:semicolons}",
    ),
    "ambiguous_series.question": ("{names:and}: {reason}", "{names:and}: {reason}"),
    "ambiguous_series.more": ("and {n} more", "另有 {n} 个"),
    "missing_series.none": ("The {role} series is missing.{hint}", "缺少 {role} 序列。{hint}"),
    "pieces": ("{parts:pieces}", "{parts:pieces}"),
    "stack.defect": ("{role} {series}: {defect}.", "{role} {series}: {defect}。"),
    "series.described": ("{description!r} (series {number})", "{description!r} (序列 {number})"),
    "series.without_number": ("{description!r}", "{description!r}"),
    "series.with_other_part": ("{series} with its other part", "{series} 及其另一部分"),
    "series.volume": ("{series} volume {volume}", "{series} 容积 {volume}"),
    "series.no_description": ("no description", "无描述"),
    "volume_of_series.used": (
        "The series of the {role} contains {n} volumes ({volumes}); {name} ({text}) was used.",
        "{role} 序列含 {n} 个容积 ({volumes}); 采用 {name} ({text})。",
    ),
    "volumes.listed": ("{names:list}", "{names:list}"),
    "volumes.and_more": ("{names:list} and {n} more", "{names:list} 及另外 {n} 个"),
    "missing_slice.between": (
        "{n} {n:plural:slice is|slices are} missing between {places:list} (step {step:.2f} mm)",
        "{places:list} 之间缺少 {n} 层 (层间距 {step:.2f} mm)",
    ),
    "part.from_to_mm": ("{low:.1f} and {high:.1f} mm", "{low:.1f} 与 {high:.1f} mm"),
    "inconsistent_geometry.rows": ("the slices have different rows: {values:list}", "各层面行数不同: {values:list}"),
    "inconsistent_geometry.columns": (
        "the slices have different columns: {values:list}",
        "各层面列数不同: {values:list}",
    ),
    "unreadable_instance.bits": (
        "expected 8, 16 or 32 bits allocated, found {bits:list}",
        "分配位数应为 8、16 或 32, 实际为 {bits:list}",
    ),
    "nonconforming_encoding.objects": (
        "{n} received {n:plural:object has|objects have} elements that do not conform to PS3.5 and were read all the same; the first: {first}.",
        "{n} 个收到的对象含有不符合 PS3.5 的元素, 仍已读取; 第一处: {first}。",
    ),
    "unreadable_instance.one": (
        "An object {which} cannot be read ({name}): {why:bare}; send again what `cptdn quarantine list` shows, or dismiss it with `cptdn quarantine dismiss`.",
        "{which}一个对象无法读取 ({name}): {why:bare}; 请重发 `cptdn quarantine list` 列出的文件, 或用 `cptdn quarantine dismiss` 忽略。",
    ),
    "unreadable_instance.several": (
        "{n} objects {which} cannot be read, the first of them ({name}): {why:bare}; send again what `cptdn quarantine list` shows, or dismiss it with `cptdn quarantine dismiss`.",
        "{which} {n} 个对象无法读取, 其中第一个 ({name}): {why:bare}; 请重发 `cptdn quarantine list` 列出的文件, 或用 `cptdn quarantine dismiss` 忽略。",
    ),
    "quarantine.none": (
        "expected the number of a quarantined object, found {number}; `cptdn quarantine list` shows them",
        "应为隔离对象的编号, 实际为 {number}; `cptdn quarantine list` 可列出编号",
    ),
    "quarantine.of_study": ("of this study", "本检查的"),
    "quarantine.together": ("that came together with this study and with others", "与本检查及其他检查一同收到的"),
    "quarantine.uid": ("SOP Instance UID {uid}", "SOP Instance UID {uid}"),
    "quarantine.no_uid": ("without a valid SOP Instance UID", "无有效的 SOP Instance UID"),
    "conflicting_instance.one": (
        "{name}: 1 instance came again under a SOP Instance UID that is already stored with other content{attributes}; the first ones are used. Find out which are right: dismiss the later ones (`cptdn quarantine dismiss --study {study} --because TEXT`), or send the right ones under new UIDs.",
        "{name}: 1 幅图像以已存储的 SOP Instance UID 再次收到, 但内容不同{attributes}; 采用先收到者。请确认何者正确: 忽略后到者 (`cptdn quarantine dismiss --study {study} --because TEXT`), 或以新 UID 重发正确者。",
    ),
    "conflicting_instance.several": (
        "{name}: {n} instances came again under a SOP Instance UID that is already stored with other content{attributes}; the first ones are used. Find out which are right: dismiss the later ones (`cptdn quarantine dismiss --study {study} --because TEXT`), or send the right ones under new UIDs.",
        "{name}: {n} 幅图像以已存储的 SOP Instance UID 再次收到, 但内容不同{attributes}; 采用先收到者。请确认何者正确: 忽略后到者 (`cptdn quarantine dismiss --study {study} --because TEXT`), 或以新 UID 重发正确者。",
    ),
    "conflicting_instance.attributes": (" ({names:list})", " ({names:list})"),
    "series.volume_reason": (
        "Volume {name} ({text}) of the {n} in its series ({volumes}). {reason}",
        "该序列 {n} 个容积 ({volumes}) 中的 {name} ({text})。{reason}",
    ),
    "series.joined_reason": (
        "{reason} Its slices are in the {n} series {uids:and}.",
        "{reason} 其层面分布在 {n} 个序列 {uids:and} 中。",
    ),
    "series.assigned": (
        "An administrator assigned {role} to it (the rules said {before}).",
        "管理员将其指定为 {role} (按规则为 {before})。",
    ),
    "roi.number_name": ("{name!r} (ROI {number})", "{name!r} (ROI {number})"),
    "missing_contour.none": ("The contour of the primary tumour is missing.", "缺少原发肿瘤的勾画。"),
    "frame_of_reference_mismatch.role": (
        "{contour} is not in the frame of reference of the {role} {series}, and no rigid registration joins them.",
        "{contour} 不在 {role} {series} 的参考坐标系中, 也没有刚性配准将二者关联。",
    ),
    "missing_series.rejected": (" {series} is {reason}", " {series} 为: {reason}"),
    "missing_series.possible": (" It may be {series}: {reason}", " 可能是 {series}: {reason}"),
    "duplicate_slice.of_role": (
        "{number} images of the {role} repeat others pixel by pixel under other UIDs and were left out.",
        "{role} 有 {number} 幅图像以其他 UID 逐像素重复, 已略去。",
    ),
    "series_joined.of_role": (
        "The slices of the {role} are in {n} series ({uids:and}), which were joined.",
        "{role} 的层面分布在 {n} 个序列 ({uids:and}) 中, 已合并。",
    ),
    "administrator_hold.by": ("An administrator holds this case: {because}", "管理员暂停了该病例: {because}"),
    "contour_registered.role": (
        "The contour reaches the {role} through a spatial registration.",
        "勾画经空间配准到达 {role}。",
    ),
    "thick_slices.distance": ("The slices of the {role} are {step:g} mm apart.", "{role} 的层间距为 {step:g} mm。"),
    "several_structure_sets.own": ("The sequences have structure sets of their own.", "各序列使用各自的结构集。"),
    "contour_not_approved.name": ("{contour} is not approved.", "{contour} 未批准。"),
    "series.same_for_volumes": (
        "{reason} The same for {n} more volumes of its series.",
        "{reason} 该序列另外 {n} 个容积亦同。",
    ),
    "identity_mismatch.issuers": (
        "Expected facts of one issuer of the Patient ID, found {issuers:and}, and the images name none; say which one is meant with `cptdn studies assign STUDY --issuer`.",
        "患者 ID 的资料应来自同一签发机构, 现有 {issuers:and}, 而图像未注明机构; 请用 `cptdn studies assign STUDY --issuer` 指明。",
    ),
    "contour.approved": ("It is approved.", "已批准。"),
}
