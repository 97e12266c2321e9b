"""Messages about the choice of the contour, registrations and the identity of the patient."""

from __future__ import annotations

TEXTS: dict[str, tuple[str, str]] = {
    "roi.name": ("{name!r}", "{name!r}"),
    "contour.in_other_frame": (
        "{contour} is in another frame of reference and no registration joins it.",
        "{contour} 在另一参考坐标系中, 且没有配准将其关联。",
    ),
    "identity_mismatch.contour": (
        "{contour} refers to this study, but {difference}.",
        "{contour} 引用了本检查, 但{difference}。",
    ),
    "contour.rejected": ("{contour} is rejected and was left out.", "{contour} 已被否决, 未采用。"),
    "contour_not_covered.beyond_slices": (
        "The contour {name!r} reaches beyond the slices of {series}.",
        "勾画 {name!r} 超出 {series} 的层面范围。",
    ),
    "newer_contour.not_approved": (
        "The approved {used} of {used_day} is used; {latest} of {latest_day} is newer and not approved: approve it if it corrects the contour.",
        "采用 {used_day} 已批准的 {used}; {latest_day} 的 {latest} 较新但未批准: 若其为修正后的勾画, 请批准。",
    ),
    "part.unknown_day": ("an unknown day", "未知日期"),
    "contour.in_object": ("In {contour} {problem}.", "在 {contour} 中, {problem}。"),
    "frame_of_reference_mismatch.study": (
        "{contour} names this study, but its frame of reference is not that of any of its series.",
        "{contour} 引用了本检查, 但其参考坐标系不属于本检查的任何序列。",
    ),
    "ambiguous_roi.each_primary": (
        "{names:and} may each be the primary tumour; keep one, or name it in case.roi_names",
        "{names:and} 均可能是原发肿瘤; 只保留一个, 或在 case.roi_names 中指定名称",
    ),
    "ambiguous_roi.number_shared": (
        "the ROI number {number} is shared by {names:and}; give each ROI a number of its own and send the structure set again",
        "ROI 编号 {number} 被 {names:and} 共用; 请为每个 ROI 使用各自的编号并重发结构集",
    ),
    "roi.chosen": (
        "ROI {number} is named {name!r}, a name of the site for the primary tumour{because}.",
        "ROI {number} 名为 {name!r}, 属于本中心原发肿瘤的名称{because}。",
    ),
    "roi.type_gtv": (" and has the type GTV", " 且类型为 GTV"),
    "roi.says_more": ("{because} and says more than a bare GTV", "{because} 且比单独的 GTV 更明确"),
    "no_matching_roi.no_closed_contour": (
        "{names:list} has no closed contour, so there is no primary tumour to measure",
        "{names:list} 没有闭合勾画, 故没有可测量的原发肿瘤",
    ),
    "no_matching_roi.no_roi": ("no ROI at all", "没有任何 ROI"),
    "no_matching_roi.names": (
        "no ROI is named like a primary tumour (expected one of {expected:list}; found {found:list})",
        "没有名称对应原发肿瘤的 ROI (应为 {expected:list} 之一; 现有 {found:list})",
    ),
    "identity.patient_id": ("its Patient ID is {second!r} and not {first!r}", "其患者 ID 为 {second!r} 而非 {first!r}"),
    "identity.issuer": ("its issuer of the Patient ID differs", "其患者 ID 的签发机构不同"),
    "identity.birth_date": ("its birth date differs", "其出生日期不同"),
    "identity.name": ("its patient's name differs", "其患者姓名不同"),
    "identity.sex": ("its patient's sex is {second} and not {first}", "其患者性别为 {second} 而非 {first}"),
    "identity_mismatch.instances": (
        "Instances of this study are of more than one patient: of one, {difference}.",
        "本检查的图像属于多名患者: 其中一幅{difference}。",
    ),
    "registration.numbers": ("a matrix of {n} numbers", "含 {n} 个数的矩阵"),
    "registration.unreadable": ("a matrix that cannot be read ({error})", "无法读取的矩阵 ({error})"),
    "registration.matrix": ("the matrix {numbers}", "矩阵 {numbers}"),
    "registration.different": ("{n} different matrices", "{n} 个不同的矩阵"),
    "contour.n_of_types": ("{n} of type {types:list}", "{n} 条, 类型为 {types:list}"),
    "contour.none": ("none", "无"),
    "contours_repeated.n": (
        "{roi}: {n} contours repeat another one and were left out",
        "{roi}: {n} 条勾画与其他勾画重复, 已略去",
    ),
    "contours_ignored.closed_without_area": (
        "{roi}: {n} closed contours enclose no area and were left out",
        "{roi}: {n} 条闭合勾画不包围面积, 已略去",
    ),
    "contours_overlap.n": (
        "{roi}: {n} contours overlap in part; their union is the region",
        "{roi}: {n} 条勾画部分重叠; 取其并集",
    ),
    "contour_holes.n": (
        "{roi}: {n} contours are inside another one and are holes in it",
        "{roi}: {n} 条勾画位于另一勾画内, 视为空洞",
    ),
    "frame_of_reference_mismatch.series": (
        "{title}: expected the frame of reference {target} of series {series} or a registration to it, found {source}{problems}",
        "{title}: 应在序列 {series} 的参考坐标系 {target} 中或有配准与之关联, 实际为 {source}{problems}",
    ),
    "frame_of_reference_mismatch.problem": (
        "; the Spatial Registration {uid} has {problem}",
        "; 空间配准 {uid} 含{problem}",
    ),
    "part.no_value": ("(none)", "(无)"),
    "contour_resampled.segment": (
        "{title}: drawn on another grid than the series'; the mask was resampled to the nearest voxel",
        "{title}: 勾画网格与该序列不同; 掩膜按最近邻重采样",
    ),
    "contour_resampled.segment_volume": (
        "{title}: drawn on another grid than the series'; the mask was resampled to the nearest voxel, where it has {mask_ml:.2f} instead of {own_ml:.2f} mL; the volume is that of the segment",
        "{title}: 勾画网格与该序列不同; 掩膜按最近邻重采样, 其体积为 {mask_ml:.2f} 而非 {own_ml:.2f} mL; 采用分割自身的体积",
    ),
    "no_matching_roi.number": (
        "{file}: expected an ROI of number {number}, found none; send the structure set again",
        "{file}: 应有编号为 {number} 的 ROI, 但没有; 请重发结构集",
    ),
    "contour_outside_image.no_voxel": (
        "{roi}: expected contours around voxels of the series, found no voxel inside them",
        "{roi}: 勾画应包围该序列的体素, 但其内没有任何体素",
    ),
    "volume_of_voxels.differ": (
        "{roi}: the lines enclose {volume_ml:.3f} mL, its voxels are {mask_ml:.3f} mL; these count",
        "{roi}: 勾画线所围体积为 {volume_ml:.3f} mL, 其体素体积为 {mask_ml:.3f} mL; 以体素为准",
    ),
    "inconsistent_geometry.two_volumes": (
        "{roi}: expected lines and the voxels inside them to have one volume, found {volume_ml:.2f} and {mask_ml:.2f} mL; redraw the contours on the slices of one series, or check them for a second set",
        "{roi}: 勾画线与其内体素的体积应一致, 实际为 {volume_ml:.2f} 与 {mask_ml:.2f} mL; 请在同一序列的层面上重新勾画, 或检查是否存在第二组勾画",
    ),
    "frame_of_reference_absent.contour": (
        "{roi}: no frame of reference is named; each contour names the slice that it is on",
        "{roi}: 未注明参考坐标系; 每条勾画均注明其所在层面",
    ),
    "frame_of_reference_mismatch.named_slices": (
        "{roi}: names the frame of reference {source}, not {target} of the series, but each contour names the slice that it is on; the node would refuse such a case",
        "{roi}: 注明的参考坐标系为 {source}, 而非该序列的 {target}, 但每条勾画均注明其所在层面; 节点会拒绝此类病例",
    ),
    "contour_names_other_slice.n": (
        "{roi}: {n} contours name another slice than the one they are on; their place counts",
        "{roi}: {n} 条勾画注明的层面与其所在层面不同; 以其位置为准",
    ),
    "missing_contour.not_closed": (
        "{roi}: expected closed planar contours, found {found}",
        "{roi}: 应为闭合的平面勾画, 现有 {found}",
    ),
    "contours_ignored.no_area": (
        "{roi}: {n} contours that enclose no area (points, open lines) were ignored",
        "{roi}: {n} 条不包围面积的勾画 (点、开放线) 已忽略",
    ),
    "inconsistent_geometry.uneven_planes": (
        "expected contours in evenly spaced planes, found planes at {low:.2f} and {high:.2f} mm, {step:.2f} mm apart, beside others {largest:.2f} mm apart: two contour sets, or planes that are missing; send one set with every plane",
        "勾画应位于间距均匀的平面, 但 {low:.2f} 与 {high:.2f} mm 处的平面相距 {step:.2f} mm, 其余相距 {largest:.2f} mm: 存在两组勾画, 或缺少平面; 请发送包含所有平面的一组勾画",
    ),
    "contour_gap.n": (
        "{roi}: {n} slices between drawn ones have no contour and stay empty",
        "{roi}: 已勾画层面之间有 {n} 层未勾画, 保持为空",
    ),
    "contour_resampled.other_planes": (
        "{roi}: drawn in planes {distance:.2f} mm apart that are not the series' own slices ({step:.2f} mm apart); the mask was interpolated between them",
        "{roi}: 勾画平面间距 {distance:.2f} mm, 并非该序列自身的层面 (间距 {step:.2f} mm); 掩膜由其插值得到",
    ),
    "inconsistent_geometry.one_plane_across": (
        "{roi}: expected contours in several parallel planes, found one plane across the slices",
        "{roi}: 勾画应位于多个平行平面, 但只有一个与层面相交的平面",
    ),
    "contour_resampled.across": (
        "{roi}: drawn in planes across the series' slices; the mask was resampled from them",
        "{roi}: 勾画平面与该序列的层面相交; 掩膜由其重采样得到",
    ),
    "inconsistent_geometry.bent": (
        "{roi}: expected planar contours in parallel planes, found some {bent:.1f} mm out of them",
        "{roi}: 勾画应为平行平面内的平面勾画, 但有勾画偏离平面 {bent:.1f} mm",
    ),
    "contour_beyond_image.part": (
        "{roi}: a part of the contours is beyond the series; the mask ends at its border",
        "{roi}: 部分勾画超出该序列; 掩膜止于其边界",
    ),
    "missing_contour.no_area": (
        "{roi}: expected contours that enclose an area, found lines without one",
        "{roi}: 勾画应包围面积, 但勾画线不包围面积",
    ),
    "inconsistent_geometry.drawn_twice": (
        "expected one contour or a contour with a hole, found two contours inside each other whose areas are {inner:.0f} and {outer:.0f} mm2 ({share:.0%}): a hole, or the outline drawn twice; remove one",
        "应为一条勾画或带空洞的勾画, 但有两条内外嵌套的勾画, 面积为 {inner:.0f} 与 {outer:.0f} mm2 ({share:.0%}): 空洞, 或轮廓画了两次; 请删除其一",
    ),
    "registration.no_sop_class": ("no SOP class", "无 SOP 类"),
    "unreadable_instance.registration_class": (
        "{file}: expected a Spatial Registration, found {found}",
        "{file}: 应为空间配准对象, 实际为 {found}",
    ),
    "unreadable_instance.registration": (
        "{file} cannot be read as a Spatial Registration: {kind}: {error}",
        "{file} 无法作为空间配准读取: {kind}: {error}",
    ),
    "registration.n_frames": ("{n} frames of reference", "{n} 个参考坐标系"),
    "frame_of_reference_mismatch.not_rigid": (
        "{file}: expected a rigid registration of two frames of reference, found {found}",
        "{file}: 应为两个参考坐标系之间的刚性配准, 实际: {found}",
    ),
    "registration_applied.moved": (
        "{title}: moved by the Spatial Registration {uid}",
        "{title}: 经空间配准 {uid} 移动",
    ),
    "rtstruct.no_sop_class": ("no SOP class", "无 SOP 类"),
    "unreadable_instance.rtstruct_class": (
        "{file}: expected an RT Structure Set, found {found}",
        "{file}: 应为 RT Structure Set, 实际为 {found}",
    ),
    "unreadable_instance.no_dicom": (
        "{file}: expected an RTSTRUCT, found no DICOM file",
        "{file}: 应为 RTSTRUCT, 但不是 DICOM 文件",
    ),
    "unreadable_instance.rtstruct": (
        "{file} cannot be read as an RTSTRUCT: {kind}: {error}",
        "{file} 无法作为 RTSTRUCT 读取: {kind}: {error}",
    ),
    "unreadable_instance.contours": (
        "ROI {number} {name!r}: expected readable contours, found {error}; send the structure set again",
        "ROI {number} {name!r}: 勾画应可读取, 实际: {error}; 请重发结构集",
    ),
    "ambiguous_roi.number": (
        "the ROI number {number} is ambiguous: expected one ROI with it, found {owners:and}; give each ROI a number of its own and send the structure set again",
        "ROI 编号 {number} 不唯一: 应仅对应一个 ROI, 实际为 {owners:and}; 请为每个 ROI 使用各自的编号并重发结构集",
    ),
    "unreadable_instance.segmentation": (
        "{file} cannot be read as a segmentation: {kind}: {error}",
        "{file} 无法作为分割读取: {kind}: {error}",
    ),
    "missing_contour.empty_segment": ("{title}: expected voxels inside, found none", "{title}: 分割内应有体素, 但没有"),
    "contour_outside_image.segment": (
        "{title}: expected voxels within the series, found none",
        "{title}: 体素应位于该序列内, 但没有",
    ),
    "contour_beyond_image.share": (
        "{title}: {share:.1f} % of it is beyond the series; the mask ends at its border",
        "{title}: 有 {share:.1f} % 超出该序列; 掩膜止于其边界",
    ),
    "frame_of_reference_absent.segment": (
        "{title}: no frame of reference is named; each frame names the slice that it is on",
        "{title}: 未注明参考坐标系; 每帧均注明其所在层面",
    ),
    "inconsistent_geometry.segmentation": (
        "{file}: expected segmentation frames that make a volume, found other places of frames",
        "{file}: 分割帧应构成容积, 实际帧位置不符",
    ),
}
