"""A structure set as large as those of whole-body plans, written byte by byte: pydicom would take a minute."""

from __future__ import annotations

import math
import struct
from functools import lru_cache

RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"
IMAGE = "1.2.840.10008.5.1.4.1.1.4"
_UNDEFINED = 0xFFFFFFFF


@lru_cache(maxsize=2)
def large_structure_set(
    study: str, n_rois: int = 60, n_contours: int = 300, n_points: int = 62, *, undefined_lengths: bool = True
) -> bytes:
    """RT Structure Set in explicit VR little endian, `n_rois * n_contours` contours; 25 MB by default."""
    write = _Undefined if undefined_lengths else _Defined
    rois, contours, observations = [], [], []
    for roi in range(1, n_rois + 1):
        rois.append(
            _el(0x30060022, "IS", str(roi)) + _el(0x30060024, "UI", "1.2.3.9") + _el(0x30060026, "LO", f"ROI {roi}")
        )
        outline = _outline(roi, n_points)
        planes = [_contour(write, outline, plane, n_points) for plane in range(n_contours)]
        contours.append(write.sequence(0x30060040, planes) + _el(0x30060084, "IS", str(roi)))
        observations.append(
            _el(0x30060082, "IS", str(roi)) + _el(0x30060084, "IS", str(roi)) + _el(0x300600A4, "CS", "ORGAN")
        )
    return b"".join(
        (
            _el(0x00080016, "UI", RTSTRUCT), _el(0x00080018, "UI", f"{study}.1"), _el(0x00080060, "CS", "RTSTRUCT"),
            _el(0x00100010, "PN", "Large^Plan"), _el(0x00100020, "LO", "P-1"), _el(0x0020000D, "UI", study),
            _el(0x0020000E, "UI", f"{study}.2"), _el(0x30060002, "SH", "PLAN"), write.sequence(0x30060020, rois),
            write.sequence(0x30060039, contours), write.sequence(0x30060080, observations),
        )
    )  # fmt: skip


def _outline(roi: int, n_points: int) -> str:
    """The points of every contour of a ROI, with Z in place of z: 3 million numbers are not formatted one by one."""
    angles = [2 * math.pi * point / n_points for point in range(n_points)]
    return "\\".join(f"{roi + 20 * math.cos(a):.3f}\\{roi - 20 * math.sin(a):.3f}\\Z" for a in angles)


def _contour(write: type[_Undefined | _Defined], outline: str, plane: int, n_points: int) -> bytes:
    image = _el(0x00081150, "UI", IMAGE) + _el(0x00081155, "UI", f"1.2.3.4.{plane}")
    return (
        write.sequence(0x30060016, [image])
        + _el(0x30060042, "CS", "CLOSED_PLANAR")
        + _el(0x30060046, "IS", str(n_points))
        + _el(0x30060050, "DS", outline.replace("Z", f"{2.5 * plane:.2f}"))
    )


def _el(tag: int, vr: str, text: str) -> bytes:
    value = text.encode()
    value += (b"\0" if vr == "UI" else b" ") * (len(value) % 2)
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr.encode(), len(value)) + value


class _Defined:
    @staticmethod
    def sequence(tag: int, items: list[bytes]) -> bytes:
        body = b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item for item in items)
        return struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, b"SQ", 0, len(body)) + body


class _Undefined:
    @staticmethod
    def sequence(tag: int, items: list[bytes]) -> bytes:
        head = struct.pack("<HHI", 0xFFFE, 0xE000, _UNDEFINED)
        end = struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
        body = b"".join(head + item + end for item in items) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
        return struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, b"SQ", 0, _UNDEFINED) + body
