"""Messages about received objects that cannot be read, are not what was announced, or were read with a finding."""

from __future__ import annotations

TEXTS: dict[str, tuple[str, str]] = {
    "encoding.empty": ("the data set is empty", "数据集为空"),
    "encoding.too_deep": ("sequences are nested too deeply to be read", "序列嵌套过深, 无法读取"),
    "encoding.unreadable": ("the header cannot be read ({kind})", "头信息无法读取 ({kind})"),
    "encoding.too_slow": ("the header was not read within {seconds:.0f} s", "头信息未能在 {seconds:.0f} 秒内读取"),
    "encoding.crashed": (
        "reading the header took more than {limits}, or crashed (code {code})",
        "读取头信息超出 {limits}, 或异常退出 (代码 {code})",
    ),
    "encoding.limits": ("{gib} GiB or {seconds} s", "{gib} GiB 或 {seconds} 秒"),
    "encoding.no_syntax": ("the file names no transfer syntax", "文件未注明传输语法"),
    "encoding.no_vr_at": ("at byte {offset}: no known value representation", "字节 {offset} 处: 无已知的值表示"),
    "encoding.not_deflated": (
        "expected a deflated data set, found bytes that do not inflate ({error})",
        "应为 deflate 压缩的数据集, 实际字节无法解压 ({error})",
    ),
    "encoding.inflates_too_far": (
        "the deflated data set inflates to more than {n} bytes",
        "deflate 压缩的数据集解压后超过 {n} 字节",
    ),
    "encoding.deflated_cut_off": ("the deflated data set is cut off", "deflate 压缩的数据集被截断"),
    "encoding.wrong_group": (
        "expected a data set that begins with group 0008, found {tag}",
        "数据集应以组 0008 开始, 实际为 {tag}",
    ),
    "encoding.no_element": (
        "at byte {offset}: {tag} is no element of a data set",
        "字节 {offset} 处: {tag} 不是数据集的元素",
    ),
    "encoding.implicit": (
        "expected explicit VR, found a data set in implicit VR",
        "应为显式 VR, 实际数据集为隐式 VR",
    ),
    "encoding.twice_different": (
        "at byte {offset}: {tag} is there twice, with different values",
        "字节 {offset} 处: {tag} 出现两次, 且值不同",
    ),
    "encoding.order": (
        "at byte {offset}: {tag} is after {last}, expected ascending tags",
        "字节 {offset} 处: {tag} 位于 {last} 之后, 标签应递增",
    ),
    "encoding.cut_off": (
        "at byte {offset}: {tag} claims {length} bytes, {left} remain: the object is cut off",
        "字节 {offset} 处: {tag} 声明 {length} 字节, 仅余 {left} 字节: 对象被截断",
    ),
    "encoding.too_few_bytes": (
        "at byte {offset}: {left} bytes remain, too few for an element",
        "字节 {offset} 处: 仅余 {left} 字节, 不足一个元素",
    ),
    "encoding.element_cut_off": ("at byte {offset}: {tag} is cut off", "字节 {offset} 处: {tag} 被截断"),
    "encoding.unknown_vr": (
        "at byte {offset}: {tag} has no known value representation, found {vr}",
        "字节 {offset} 处: {tag} 的值表示未知, 实际为 {vr}",
    ),
    "encoding.many_unknown": (
        "more than {n} elements have no known value representation",
        "超过 {n} 个元素的值表示未知",
    ),
    "encoding.undefined_length": (
        "at byte {offset}: pixel data of undefined length in an uncompressed transfer syntax",
        "字节 {offset} 处: 未压缩传输语法中的像素数据长度未定义",
    ),
    "encoding.no_fragment": (
        "at byte {offset}: expected a fragment of pixel data, found {tag}",
        "字节 {offset} 处: 应为像素数据片段, 实际为 {tag}",
    ),
    "encoding.nested": (
        "at byte {offset}: sequences are nested deeper than {n} levels",
        "字节 {offset} 处: 序列嵌套超过 {n} 层",
    ),
    "encoding.no_item": ("at byte {offset}: expected an item, found {tag}", "字节 {offset} 处: 应为条目, 实际为 {tag}"),
    "finding.order": ("{tag} is after {last}", "{tag} 位于 {last} 之后"),
    "finding.twice": ("{tag} is there twice", "{tag} 出现两次"),
    "finding.vr": ("{tag} has the value representation {vr!r}", "{tag} 的值表示为 {vr!r}"),
    "finding.no_vr": ("{tag} has no value representation", "{tag} 无值表示"),
    "comparison.failed": ("not comparable: {error}", "无法比较: {error}"),
    "comparison.decoding": ("decoding failed with {kind}", "解码失败: {kind}"),
    "comparison.crashed": (
        "decoding crashed or took over {seconds:.0f} s, {how}",
        "解码异常退出或超过 {seconds:.0f} 秒, {how}",
    ),
    "comparison.signal": ("signal {n}", "信号 {n}"),
    "comparison.code": ("code {n}", "代码 {n}"),
    "conflict.other_content": (
        "this SOP Instance UID is already stored with other content ({names:list}): {uid}",
        "该 SOP Instance UID 已存储, 但内容不同 ({names:list}): {uid}",
    ),
    "identity.uid_missing": (
        "expected a UID in {keyword}, it is missing or empty",
        "{keyword} 应为 UID, 实际缺失或为空",
    ),
    "identity.no_uid": ("expected a UID in {keyword}, found {value!r}", "{keyword} 应为 UID, 实际为 {value!r}"),
    "identity.uid_too_long": (
        "expected a UID in {keyword}, found more than {n} characters: {value!r}",
        "{keyword} 应为 UID, 实际超过 {n} 个字符: {value!r}",
    ),
    "identity.syntax": (
        "expected a transfer syntax that this node accepts for this class, found {syntax}",
        "应为本节点对该类接受的传输语法, 实际为 {syntax}",
    ),
    "identity.other_class": (
        "the command announces another SOP Class than the data set has: {announced}, {found}",
        "命令声明的 SOP 类与数据集不符: {announced}, {found}",
    ),
    "identity.other_instance": (
        "the command announces another SOP Instance than the data set has: {announced}, {found}",
        "命令声明的 SOP Instance 与数据集不符: {announced}, {found}",
    ),
}
