"""Orders of treatment in HL7 v2 messages to starts of treatment.

A day is taken from the segment that says most about what happened: administered (RXA), dispensed (RXD), then the time
that was asked for (TQ1, the quantity/timing of ORC and RXE, the observation time of OBR).

Source: HL7 v2.5.1 chapter 4; tables 0038 (order status) and 0119 (order control).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from config.errors import InputError
from config.settings import Settings
from node.cases.clinical_facts import StartKind
from node.cases.dates import parse_date
from node.clinical.codes import is_treatment
from node.clinical.entries import FactEntry, treatment_start_entry
from node.clinical.hl7_fields import component, field_text

ORDER_MESSAGES = frozenset({"ORM", "OMP", "OMG", "RDE", "RDS", "RGV", "RAS"})
CANCELLED_CONTROL = frozenset({"CA", "OC", "UC"})
CANCELLED_STATUS = frozenset({"CA"})
BEGUN_STATUS = frozenset({"IP", "CM", "A"})  # in process, completed, some results available
_CODE_FIELDS = {"OBR": 4, "RXO": 1, "RXE": 2, "RXD": 2, "RXG": 4, "RXA": 5}
# Segment, field, component, and whether a day there says that treatment was given.
_DAYS: tuple[tuple[str, int, int, bool], ...] = (
    ("RXA", 3, 0, True), ("RXD", 3, 0, True), ("RXG", 3, 3, False), ("TQ1", 7, 0, False), ("ORC", 7, 3, False),
    ("RXE", 1, 3, False), ("OBR", 36, 0, False), ("OBR", 27, 3, False), ("OBR", 7, 0, False), ("ORC", 15, 0, False),
)  # fmt: skip


@dataclass(frozen=True)
class CancelledOrder:
    """The number of an order that was cancelled."""

    number: str


@dataclass
class Orders:
    """Starts of treatment, cancelled orders, and a sentence for each order of treatment that names no day.

    Attributes
    ----------
    given : list of (code, ISO day)
        Of the treatments that were given; the code may name the regimen.
    """

    starts: list[FactEntry] = field(default_factory=list)
    cancelled: list[CancelledOrder] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    given: list[tuple[str, str]] = field(default_factory=list)


def orders_of(segments: list[Any], settings: Settings) -> Orders:
    """Read the orders of one patient.

    Parameters
    ----------
    segments : list of hl7.Segment
        In the order of the message.
    settings : Settings
        Local codes of the site: ``[hl7] codes`` with the meaning ``treatment_start``.

    Returns
    -------
    Orders
        Of treatments of the tumour; other orders are ignored.
    """
    orders = Orders()
    for group in _groups(segments):
        code = _treatment_code(group, settings)
        if code is None:
            continue
        number = component(group["ORC"], 2, 0) or component(group["ORC"], 3, 0) if "ORC" in group else ""
        control = component(group["ORC"], 1, 0).upper() if "ORC" in group else ""
        status = component(group["ORC"], 5, 0).upper() if "ORC" in group else ""
        if control in CANCELLED_CONTROL or status in CANCELLED_STATUS:
            orders.cancelled.append(CancelledOrder(number))
            continue
        day, was_given = _day(group)
        if day is None:
            orders.problems.append(
                f"the order {number or '(no number)'} of {code} names no day of treatment; "
                "expected one in RXA-3, RXD-3, TQ1-7 or ORC-7"
            )
            continue
        kind: StartKind = "given" if was_given or status in BEGUN_STATUS else "planned"
        if kind == "given":
            orders.given.append((code, day))
        # Each administration is a day of its own: the first of them counts, not the last.
        order = number or None if kind == "planned" else f"{number}/{day}"
        orders.starts.append(treatment_start_entry(day, kind, order))
    return orders


def _groups(segments: list[Any]) -> Iterator[dict[str, Any]]:
    """Yield the segments of each order by name; an order begins with ORC, or with OBR where there is none."""
    group: dict[str, Any] = {}
    for segment in segments:
        name = str(segment[0])
        if group and (name == "ORC" or (name in group and name in ("OBR", "RXA"))):
            yield group
            # Further administrations belong to the same order.
            group = {"ORC": group["ORC"]} if name != "ORC" and "ORC" in group else {}
        group.setdefault(name, segment)
    if group:
        yield group


def _treatment_code(group: dict[str, Any], settings: Settings) -> str | None:
    for name, number in _CODE_FIELDS.items():
        if name not in group:
            continue
        for code, system in ((0, 2), (3, 5)):
            found = component(group[name], number, code)
            if found and is_treatment(found, component(group[name], number, system), settings.hl7.codes):
                return found
    return None


def _day(group: dict[str, Any]) -> tuple[str | None, bool]:
    for name, number, index, was_given in _DAYS:
        if name not in group:
            continue
        text = component(group[name], number, index) if index else field_text(group[name], number)
        try:
            if text:
                return parse_date(text[:14] if len(text) >= 14 else text[:8]).isoformat(), was_given
        except InputError:
            continue
    return None, False
