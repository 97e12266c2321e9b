"""Messages of the operating system; the English ones are those of `strerror` on Linux."""

from __future__ import annotations

TEXTS: dict[str, tuple[str, str]] = {
    "system_error.certificate": ("certificate verify failed: {why}", "证书验证失败: {why}"),
    "system_error.unknown_host": ("Name or service not known", "无法解析主机名"),
    "system_error.ECONNREFUSED": ("Connection refused", "连接被拒绝"),
    "system_error.ECONNRESET": ("Connection reset by peer", "连接被对方重置"),
    "system_error.ECONNABORTED": ("Software caused connection abort", "连接已中止"),
    "system_error.EPIPE": ("Broken pipe", "连接已断开"),
    "system_error.ETIMEDOUT": ("Connection timed out", "连接超时"),
    "system_error.EHOSTUNREACH": ("No route to host", "无法到达主机"),
    "system_error.ENETUNREACH": ("Network is unreachable", "网络不可达"),
    "system_error.EADDRINUSE": ("Address already in use", "地址已被占用"),
    "system_error.EADDRNOTAVAIL": ("Cannot assign requested address", "无法使用该地址"),
    "system_error.ENOENT": ("No such file or directory", "没有该文件或文件夹"),
    "system_error.EACCES": ("Permission denied", "没有权限"),
    "system_error.EPERM": ("Operation not permitted", "操作不被允许"),
    "system_error.EISDIR": ("Is a directory", "是文件夹"),
    "system_error.ENOTDIR": ("Not a directory", "不是文件夹"),
    "system_error.EEXIST": ("File exists", "文件已存在"),
    "system_error.ENOSPC": ("No space left on device", "磁盘空间不足"),
    "system_error.EDQUOT": ("Disk quota exceeded", "超出磁盘配额"),
    "system_error.EROFS": ("Read-only file system", "文件系统只读"),
    "system_error.EIO": ("Input/output error", "输入输出错误"),
    "system_error.EMFILE": ("Too many open files", "打开的文件过多"),
}
