"""Messages about images and contours that are unlike those of the training cohort."""

from __future__ import annotations

TEXTS: dict[str, tuple[str, str]] = {
    "implausible_volume.too_small": (
        "{role}: expected a primary tumour of at least {least:g} mL, found {found:.2f} mL in ROI {number} {name!r}; check the contour",
        "{role}: 原发肿瘤体积应至少为 {least:g} mL, 但 ROI {number} {name!r} 为 {found:.2f} mL; 请检查勾画",
    ),
    "contour_in_organ.overlap": (
        "{role}: expected the primary tumour outside ROI {number} {name!r}, found {shared_ml:.1f} mL of it inside ({share:.0%} of the tumour); check the contour and its position",
        "{role}: 原发肿瘤应在 ROI {number} {name!r} 之外, 但有 {shared_ml:.1f} mL 位于其内 (占肿瘤的 {share:.0%}); 请检查勾画及其位置",
    ),
    "not_an_image.smoothness": (
        "{role}: expected neighbouring pixels to be alike (correlation of at least {low:.2f}), found {value:.2f}, as of noise; look at the series in a viewer, and send it again or assign another one with cptdn studies assign",
        "{role}: 相邻像素应相近 (相关系数至少 {low:.2f}), 实际为 {value:.2f}, 近似噪声; 请在阅片器中查看该序列, 重发或用 cptdn studies assign 指定其他序列",
    ),
    "slices_out_of_order.slice_order": (
        "{role}: expected slices to resemble their neighbours most (correlation of at least {low:.2f}), found {value:.2f}: the order of the slices contradicts their positions; look at the series in a viewer, and send it again or assign another one with cptdn studies assign",
        "{role}: 层面应与相邻层最为相似 (相关系数至少 {low:.2f}), 实际为 {value:.2f}: 层面顺序与其位置矛盾; 请在阅片器中查看该序列, 重发或用 cptdn studies assign 指定其他序列",
    ),
    "series_do_not_match.same_head": (
        "{role}: expected edges at the same places as in the other series (agreement of at least {low:.2f}), found {value:.2f}: another head, another place, or flipped; look at the series in a viewer, and send it again or assign another one with cptdn studies assign",
        "{role}: 边缘应与其他序列位于相同位置 (一致性至少 {low:.2f}), 实际为 {value:.2f}: 另一头部、另一部位或左右翻转; 请在阅片器中查看该序列, 重发或用 cptdn studies assign 指定其他序列",
    ),
    "series_do_not_match.same_head_gap": (
        "{role}: expected edges at the same places as in the other series, found an agreement {value:.2f} less than theirs with each other (at most {high:.2f}): another head, another place, or flipped; look at the series in a viewer, and send it again or assign another one with cptdn studies assign",
        "{role}: 边缘应与其他序列位于相同位置, 但其一致性比其他序列之间低 {value:.2f} (至多 {high:.2f}): 另一头部、另一部位或左右翻转; 请在阅片器中查看该序列, 重发或用 cptdn studies assign 指定其他序列",
    ),
    "series_do_not_match.same_side": (
        "{role}: expected the edges of the other series, found that they agree better with this series flipped left to right (by {value_abs:.2f}); look at the series in a viewer, and send it again or assign another one with cptdn studies assign",
        "{role}: 边缘应与其他序列一致, 但该序列左右翻转后更为一致 (相差 {value_abs:.2f}); 请在阅片器中查看该序列, 重发或用 cptdn studies assign 指定其他序列",
    ),
    "no_contrast.enhancement": (
        "expected mucosa, vessels or tumour to be brighter in CE-T1w than in T1w (measure of at least {low:.2f}), found {value:.2f}: no contrast agent, or T1w and CE-T1w exchanged; check both series and assign them with cptdn studies assign",
        "CE-T1w 中黏膜、血管或肿瘤应比 T1w 更亮 (指标至少 {low:.2f}), 实际为 {value:.2f}: 未注射对比剂, 或 T1w 与 CE-T1w 互换; 请检查两个序列并用 cptdn studies assign 指定",
    ),
    "no_contrast.enhancement_gain": (
        "expected CE-T1w to be brighter where it deviates from T1w, more than the other way round (measure of at least {low:.2f}), found {value:.2f}: no contrast agent, or T1w and CE-T1w exchanged; check both series and assign them with cptdn studies assign",
        "CE-T1w 与 T1w 有差异处应以 CE-T1w 更亮为主 (指标至少 {low:.2f}), 实际为 {value:.2f}: 未注射对比剂, 或 T1w 与 CE-T1w 互换; 请检查两个序列并用 cptdn studies assign 指定",
    ),
    "no_contrast.likeness": (
        "expected CE-T1w to differ from T1w as contrast does (correlation of at most {high:.2f}), found {value:.3f}: one series twice, or no contrast agent; check both series and assign them with cptdn studies assign",
        "CE-T1w 与 T1w 应有强化所致差异 (相关系数至多 {high:.2f}), 实际为 {value:.3f}: 同一序列两次, 或未注射对比剂; 请检查两个序列并用 cptdn studies assign 指定",
    ),
    "not_a_head.head_width_mm": (
        "expected a head {low:.0f} to {high:.0f} mm wide in the slices, found {value:.0f} mm: another part of the body, or wrong pixel spacing; look at the series in a viewer, and send it again or assign another one with cptdn studies assign",
        "层面内头部宽度应为 {low:.0f} 至 {high:.0f} mm, 实际为 {value:.0f} mm: 身体其他部位, 或像素间距错误; 请在阅片器中查看该序列, 重发或用 cptdn studies assign 指定其他序列",
    ),
    "not_a_head.head_depth_mm": (
        "expected a head {low:.0f} to {high:.0f} mm from front to back in the slices, found {value:.0f} mm: another part of the body, or wrong pixel spacing; look at the series in a viewer, and send it again or assign another one with cptdn studies assign",
        "层面内头部前后径应为 {low:.0f} 至 {high:.0f} mm, 实际为 {value:.0f} mm: 身体其他部位, 或像素间距错误; 请在阅片器中查看该序列, 重发或用 cptdn studies assign 指定其他序列",
    ),
    "implausible_location.midline_mm": (
        "expected the tumour's centre {low:.0f} to {high:.0f} mm left of the head's midline (negative: right), found {value:.0f} mm; look at the contour on the images, and send it again",
        "肿瘤中心应位于头部中线左侧 {low:.0f} 至 {high:.0f} mm (负值为右侧), 实际为 {value:.0f} mm; 请在图像上查看勾画并重发",
    ),
    "implausible_location.depth": (
        "expected the tumour's centre at {low:.2f} to {high:.2f} of the way from the front to the back of the head, found {value:.2f}; look at the contour on the images, and send it again",
        "肿瘤中心应位于头部由前至后 {low:.2f} 至 {high:.2f} 处, 实际为 {value:.2f}; 请在图像上查看勾画并重发",
    ),
    "implausible_location.below_air_mm": (
        "expected the tumour's centre {low:.0f} to {high:.0f} mm below the upper end of the air spaces at the skull base, found {value:.0f} mm; look at the contour on the images, and send it again",
        "肿瘤中心应位于颅底气腔上端以下 {low:.0f} 至 {high:.0f} mm, 实际为 {value:.0f} mm; 请在图像上查看勾画并重发",
    ),
    "implausible_volume.volume_ml": (
        "expected a primary tumour of {low:.1f} to {high:.1f} mL (training cohort {lowest:.1f} to {highest:.1f}), found {value:.2f} mL; look at the contour on the images, and send it again",
        "原发肿瘤体积应为 {low:.1f} 至 {high:.1f} mL (训练队列 {lowest:.1f} 至 {highest:.1f}), 实际为 {value:.2f} mL; 请在图像上查看勾画并重发",
    ),
    "implausible_volume.slices": (
        "expected a primary tumour on {low:.0f} to {high:.0f} slices as in the training cohort, found {value:.0f}; look at the contour on the images, and send it again",
        "按训练队列原发肿瘤应占 {low:.0f} 至 {high:.0f} 层, 实际为 {value:.0f} 层; 请在图像上查看勾画并重发",
    ),
    "implausible_volume.extent_x_mm": (
        "expected a primary tumour of {low:.0f} to {high:.0f} mm from right to left as in the training cohort, found {value:.0f} mm; look at the contour on the images, and send it again",
        "按训练队列原发肿瘤左右径应为 {low:.0f} 至 {high:.0f} mm, 实际为 {value:.0f} mm; 请在图像上查看勾画并重发",
    ),
    "implausible_volume.extent_y_mm": (
        "expected a primary tumour of {low:.0f} to {high:.0f} mm from front to back as in the training cohort, found {value:.0f} mm; look at the contour on the images, and send it again",
        "按训练队列原发肿瘤前后径应为 {low:.0f} 至 {high:.0f} mm, 实际为 {value:.0f} mm; 请在图像上查看勾画并重发",
    ),
    "implausible_volume.extent_z_mm": (
        "expected a primary tumour of {low:.0f} to {high:.0f} mm from feet to head as in the training cohort, found {value:.0f} mm; look at the contour on the images, and send it again",
        "按训练队列原发肿瘤上下径应为 {low:.0f} 至 {high:.0f} mm, 实际为 {value:.0f} mm; 请在图像上查看勾画并重发",
    ),
    "contour_does_not_fit.air": (
        "expected at most {high:.0%} of the contour to be as dark as air in T1w and T2w, found {value:.0%}; look at the contour on the images, and send it again",
        "勾画内在 T1w 与 T2w 中如空气般低信号的部分应至多 {high:.0%}, 实际为 {value:.0%}; 请在图像上查看勾画并重发",
    ),
    "contour_does_not_fit.outline": (
        "expected the contour to follow edges of the images (agreement of at least {low:.2f}), found {value:.2f}; look at the contour on the images, and send it again",
        "勾画应沿图像边缘 (一致性至少 {low:.2f}), 实际为 {value:.2f}; 请在图像上查看勾画并重发",
    ),
    "contour_does_not_fit.outline_moved": (
        "expected the contour to follow edges of the images best where it is, found a better place 6 to 16 mm away (by {value_abs:.2f}); look at the contour on the images, and send it again",
        "勾画应在其所在位置最贴合图像边缘, 但移动 6 至 16 mm 后更贴合 (相差 {value_abs:.2f}); 请在图像上查看勾画并重发",
    ),
    "contour_does_not_fit.outline_slices": (
        "expected the contour to follow edges of the images best where it is, found a better place one or two slices away (by {value_abs:.2f}); look at the contour on the images, and send it again",
        "勾画应在其所在位置最贴合图像边缘, 但移动一至两层后更贴合 (相差 {value_abs:.2f}); 请在图像上查看勾画并重发",
    ),
    "contour_does_not_fit.outline_mirrored": (
        "expected the contour to follow edges of the images better than its mirror image, found the opposite (by {value_abs:.2f}): the contour or all series may be flipped left to right; look at the contour on the images, and send it again",
        "勾画应比其镜像更贴合图像边缘, 实际相反 (相差 {value_abs:.2f}): 勾画或所有序列可能左右翻转; 请在图像上查看勾画并重发",
    ),
    "contour_does_not_fit.outline_reflected": (
        "expected the contour to follow edges of the images best where it is, found that it does so better reflected in the middle of the picture or in the patient's x = 0 (by {value_abs:.2f}): the contour or all series are flipped left to right; look at the contour on the images, and send it again",
        "勾画应在其所在位置最贴合图像边缘, 但以图像中线或患者 x = 0 镜像后更贴合 (相差 {value_abs:.2f}): 勾画或所有序列左右翻转; 请在图像上查看勾画并重发",
    ),
}
