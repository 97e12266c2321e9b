"""Messages about defects of slices and pixels."""

from __future__ import annotations

TEXTS: dict[str, tuple[str, str]] = {
    "image.read_error": ("{kind}: {why}", "{kind}: {why}"),
    "image.one_landmark": (
        "expected landmarks of different grey values, found {values} only",
        "灰度标志点应各不相同, 但只有 {values}",
    ),
    "inconsistent_geometry.no_orientation": ("no slice orientation is given", "未给出层面方向"),
    "inconsistent_geometry.not_perpendicular": (
        "the slice orientation is not two perpendicular directions",
        "层面方向不是两个互相垂直的方向",
    ),
    "inconsistent_geometry.no_position": (
        "{missing} of {total} instances give no slice position",
        "{total} 幅中有 {missing} 幅未给出层面位置",
    ),
    "inconsistent_geometry.duplicate_positions": (
        "{duplicates} slice positions are there more than once",
        "{duplicates} 个层面位置重复出现",
    ),
    "unreadable_instance.sides": (
        "expected 1 to {greatest} rows and columns, found {least:.0f} to {most:.0f}",
        "行数与列数应为 1 至 {greatest}, 实际为 {least:.0f} 至 {most:.0f}",
    ),
    "unreadable_instance.frames": (
        "an object states {stated:.0f} frames and describes {described}",
        "某对象声明 {stated:.0f} 帧, 描述了 {described} 帧",
    ),
    "inconsistent_geometry.orientation_missing": (
        "{n} of {total} instances give no slice orientation",
        "{total} 幅中有 {n} 幅未给出层面方向",
    ),
    "inconsistent_geometry.other_plane": (
        "{n} of {total} instances are in another plane",
        "{total} 幅中有 {n} 幅位于其他平面",
    ),
    "inconsistent_geometry.frames_of_reference": (
        "the slices are in {n} frames of reference",
        "各层面分属 {n} 个参考坐标系",
    ),
    "inconsistent_geometry.no_spacing": (
        "{n} of {total} instances give no pixel spacing greater than 0",
        "{total} 幅中有 {n} 幅未给出大于 0 的像素间距",
    ),
    "inconsistent_geometry.spacings": (
        "the slices have different pixel spacings: {listed}",
        "各层面像素间距不同: {listed}",
    ),
    "inconsistent_geometry.shifted": (
        "the slices are shifted against each other in their plane by up to {shift:.2f} mm",
        "各层面在平面内相互错位, 最大 {shift:.2f} mm",
    ),
    "inconsistent_geometry.no_thickness": ("the only slice has no thickness", "唯一的层面没有层厚"),
    "inconsistent_geometry.uneven": (
        "slice distances from {least:.2f} to {most:.2f} mm, not even",
        "层间距由 {least:.2f} 至 {most:.2f} mm, 不均匀",
    ),
    "missing_slice.hidden": (
        "slices are missing: expected one every {expected:.2f} mm by the header, found one every {step:.2f} mm",
        "缺少层面: 按头信息应每 {expected:.2f} mm 一层, 实际每 {step:.2f} mm 一层",
    ),
    "missing_slice.count": (
        "{n} of the {expected:.0f} images of the acquisition are there",
        "该采集共 {expected:.0f} 幅图像, 仅有 {n} 幅",
    ),
    "lossy_compression.images": (
        "{images} images were compressed with loss{methods}, ratio {ratio}; grey values differ from those that were acquired",
        "{images}图像经有损压缩{methods}, 压缩比 {ratio}; 灰度值与采集时不同",
    ),
    "lossy_compression.all": ("all", "全部"),
    "lossy_compression.some": ("{n} of {total}", "{total} 幅中 {n} 幅"),
    "lossy_compression.by": (" by {methods:list}", " ({methods:list})"),
    "lossy_compression.unknown": ("unknown", "未知"),
    "lossy_compression.ratio": ("{low:g} to 1", "{low:g}:1"),
    "lossy_compression.ratios": ("{low:g} to {high:g} to 1", "{low:g}:1 至 {high:g}:1"),
    "image.sizes": ("slices of different size: {sizes:list}", "层面大小不同: {sizes:list}"),
    "conflicting_instance.same_place": (
        "series {series} contains {where}: {uids:list}",
        "序列 {series} 在{where}: {uids:list}",
    ),
    "missing_slice.gap": (
        "series {series}: expected a slice every {step:.2f} mm, found a gap of {gap:.2f} mm between {first} and {second} ({n} missing in all)",
        "序列 {series}: 应每 {step:.2f} mm 一层, 但 {first} 与 {second} 之间间隔 {gap:.2f} mm (共缺 {n} 层)",
    ),
    "missing_slice.header": (
        "series {series}: expected a slice every {expected:.2f} mm by the header, found one every {step:.2f} mm; send the missing slices",
        "序列 {series}: 按头信息应每 {expected:.2f} mm 一层, 实际每 {step:.2f} mm 一层; 请补发缺少的层面",
    ),
    "image.place_frame": ("({position:list}) mm, frame {number}", "({position:list}) mm, 第 {number} 帧"),
    "image.place_instance": (
        "({position:list}) mm, instance number {number}",
        "({position:list}) mm, 图像编号 {number}",
    ),
    "inconsistent_geometry.no_functional_groups": (
        "{file} has {n} frames and no functional groups that give the position of each",
        "{file} 有 {n} 帧, 但没有给出各帧位置的功能组",
    ),
    "unreadable_instance.functional_groups": (
        "expected as many functional groups as the {n} frames, found {found}",
        "功能组数应等于帧数 {n}, 实际为 {found}",
    ),
    "inconsistent_geometry.numbers": (
        "{file}: expected {keyword} with {count} numbers, found {found}",
        "{file}: {keyword} 应含 {count} 个数, 实际为 {found}",
    ),
    "unreadable_instance.image": ("{file} cannot be read as an image: {why}", "{file} 无法作为图像读取: {why}"),
    "unreadable_instance.voxels": (
        "series {series}: expected at most {greatest} voxels, found {found}",
        "序列 {series}: 体素数应不超过 {greatest}, 实际为 {found}",
    ),
    "monochrome1.inverted": (
        "the series is stored as MONOCHROME1; its grey values were inverted",
        "该序列以 MONOCHROME1 存储; 灰度值已反转",
    ),
    "image.frames_of_reference": ("{n} frames of reference", "{n} 个参考坐标系"),
    "frames_left_out.n": (
        "{left_out} phase, real or imaginary images were left out",
        "{left_out} 幅相位、实部或虚部图像已略去",
    ),
    "image.orientations": ("slices of different orientation", "层面方向不同"),
    "image.spacings": ("pixel spacings {listed} mm", "像素间距 {listed} mm"),
    "image.not_orthonormal": ("direction cosines that are not orthonormal: {cosines}", "方向余弦不正交: {cosines}"),
    "missing_slice.acquisition": (
        "series {series}: expected the {expected:.0f} images of the acquisition, found {found}",
        "序列 {series}: 该采集应有 {expected:.0f} 幅图像, 实际为 {found} 幅",
    ),
    "duplicate_slice.n": (
        "{dropped} images repeat a slice pixel by pixel and were left out",
        "{dropped} 幅图像逐像素重复同一层面, 已略去",
    ),
    "image.different_at": ("{n} different images at the position {place}", "位置 {place} 处有 {n} 幅不同图像"),
    "ambiguous_series.several_volumes": (
        "series {series} contains {where}: several volumes that differ in {differing:list}",
        "序列 {series} 在{where}: 含多个容积, 区别在于 {differing:list}",
    ),
    "image.no_thickness": ("one slice without SliceThickness", "单层图像无 SliceThickness"),
    "image.distances": ("slice distances from {least:.2f} to {most:.2f} mm", "层间距由 {least:.2f} 至 {most:.2f} mm"),
    "image.shifted": (
        "slices shifted against each other in their plane by up to {shear:.2f} mm",
        "各层面在平面内相互错位, 最大 {shear:.2f} mm",
    ),
    "inconsistent_geometry.stack": (
        "series {series}: expected parallel slices of one size at even distances, found {defect}",
        "序列 {series}: 应为大小一致、等间距的平行层面, 实际: {defect}",
    ),
    "inconsistent_geometry.oblique": (
        "series {series}: expected slices within {limit:g} degrees of axial, found {found:.0f} degrees",
        "序列 {series}: 层面偏离轴位应不超过 {limit:g} 度, 实际为 {found:.0f} 度",
    ),
    "image.no_finite_pixel": (
        "expected an image with contrast, found no finite pixel",
        "图像应有对比, 但没有有限值的像素",
    ),
    "image.one_grey_value": (
        "expected an image with contrast, found the one grey value {value:g}",
        "图像应有对比, 但只有一个灰度值 {value:g}",
    ),
    "image.almost_one_grey_value": (
        "expected an image with contrast, found almost only the grey value {value:g}",
        "图像应有对比, 但几乎只有灰度值 {value:g}",
    ),
    "image.flat_tissue": (
        "expected tissue of different grey values, found {value:g} only",
        "组织灰度应有差异, 但只有 {value:g}",
    ),
    "image.landmarks_not_rising": (
        "expected rising landmarks, found {landmarks}",
        "灰度标志点应递增, 实际为 {landmarks}",
    ),
}
