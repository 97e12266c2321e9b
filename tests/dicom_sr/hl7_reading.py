"""Messages read back by two libraries that did not write them: python-hl7 for the values, hl7apy for the structure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import hl7
from hl7.util import unescape

from tests.peers import absent


@dataclass(frozen=True)
class Obx:
    """One OBX segment; the value with its escape sequences undone, line breaks as LF."""

    kind: str
    code: str
    system: str
    sub_id: str
    value: str
    unit: str
    status: str
    note: str = ""


def read(content: bytes, codec: str = "utf-8") -> hl7.Message:
    return hl7.parse(content.decode(codec))


def text(segment: hl7.Segment, number: int, component: int = 1, repetition: int = 1) -> str:
    """A component by its number in the standard; empty where the segment has none."""
    if len(segment) <= number:
        return ""
    field = segment[number]
    if repetition > len(field):
        return ""
    part = field[repetition - 1]
    components = [part] if isinstance(part, str) else part
    if component > len(components):
        return ""
    # Of python-hl7 a line break (.br) is CR.
    return str(unescape(segment, str(components[component - 1]))).replace("\r", "\n")


def observations(message: hl7.Message) -> list[Obx]:
    found: list[Obx] = []
    for segment in message:
        if str(segment[0]) == "OBX":
            value = 5 if text(segment, 2) == "ED" else 1
            found.append(
                Obx(
                    text(segment, 2), text(segment, 3), text(segment, 3, 3), text(segment, 4),
                    text(segment, 5, value), text(segment, 6), text(segment, 11),
                )
            )  # fmt: skip
        if str(segment[0]) == "NTE" and found:
            found[-1] = Obx(**{**vars(found[-1]), "note": text(segment, 3)})
    return found


def structural_faults(content: bytes, report: Path) -> list[str]:
    """What hl7apy finds against the structure of the version that MSH-12 names; remarks on tables are left out."""
    try:
        from hl7apy.exceptions import HL7apyException
        from hl7apy.parser import parse_message
    except ModuleNotFoundError:
        absent("hl7apy is not installed (pip install hl7apy)")
    try:
        # Its tolerant level: the strict one reads every OBX-5 as ST, whatever OBX-2 says.
        parse_message(content.decode(), validation_level=2, find_groups=True).validate(report_file=str(report))
    except HL7apyException as error:
        return [str(error)]
    return [line for line in report.read_text().splitlines() if not line.startswith("Warning: Value")]
