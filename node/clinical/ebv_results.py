"""Several EBV DNA results of one draw to one fact: the usable one wins, whatever the order in which they are sent.

Laboratories report a draw in several units, and send a corrected result beside the one that it replaces.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from datetime import date

from config.errors import InputError
from config.messages.message import message
from config.settings import Settings
from node.cases.ebv_dna import EbvValue, is_in_iu
from node.clinical.entries import FactEntry, ebv_entry, ebv_value

# Decimals of a logarithm: "3.7" and 5200 (3.716) are one result.
SAME_LOG10 = 0.06


@dataclass(frozen=True)
class EbvStatement:
    """One result as sent; see `CodedResult`."""

    text: str
    unit: str | None = None
    specimen: str | None = None
    laboratory: str | None = None
    assay: str | None = None
    drawn_on: date | None = None
    written: str = ""

    def entry(self, settings: Settings, text: str | None = None) -> FactEntry:
        """Return the fact, unchecked: the case names what cannot be used."""
        return ebv_entry(
            settings, text or self.text, unit=self.unit, specimen=self.specimen, laboratory=self.laboratory,
            assay=self.assay, drawn_on=self.drawn_on, check=False,
        )  # fmt: skip


@dataclass
class InterpretedDraws:
    """Facts to record, a sentence for each result that cannot be used, and one for each that was not needed."""

    entries: list[FactEntry] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def interpret_draws(statements: list[EbvStatement], settings: Settings) -> InterpretedDraws:
    """Make one fact of each draw.

    Parameters
    ----------
    statements : list of EbvStatement
        Of one message, in any order.
    settings : Settings
        Threshold and conversions of the site.

    Returns
    -------
    InterpretedDraws
        Without a usable result the draw is recorded all the same, so that the case names it instead of waiting. Two
        usable results that differ are a question.
    """
    draws: dict[date | None, list[EbvStatement]] = {}
    for statement in statements:
        draws.setdefault(statement.drawn_on, []).append(statement)
    interpreted = InterpretedDraws()
    for draw in draws.values():
        _interpret(interpreted, _without_corrected(draw), settings)
    return interpreted


def _without_corrected(draw: list[EbvStatement]) -> list[EbvStatement]:
    """Leave out results that the sender has corrected: those of the same unit that were written before another one."""
    return [
        each
        for each in draw
        if not any(
            other.written > each.written and is_in_iu(other.text, other.unit) == is_in_iu(each.text, each.unit)
            for other in draw
        )
    ]


def _interpret(interpreted: InterpretedDraws, draw: list[EbvStatement], settings: Settings) -> None:
    usable: list[tuple[EbvStatement, EbvValue]] = []
    unusable: list[tuple[EbvStatement, str]] = []
    for statement in draw:
        try:
            usable.append((statement, _value(statement, settings)))
        except InputError as error:
            unusable.append((statement, str(error)))
    measured = [pair for pair in usable if pair[1].category != "unknown"] or usable
    if not measured:
        for statement, sentence in unusable:
            interpreted.refused.append(sentence)
            _record(interpreted, statement, settings)
        return
    # Copies before what was converted, a number before a comparator, and one that is not rounded as a logarithm.
    measured.sort(key=lambda pair: (pair[1].is_converted, pair[1].copies_per_ml is None, _is_logarithm(pair[0])))
    chosen, value = measured[0]
    contradicting = [other for other, found in measured[1:] if not _is_one_result(value, found)]
    if contradicting:
        texts = " and ".join(f"{each.text} {each.unit or ''}".strip() for each in (chosen, *contradicting))
        day = f" of {chosen.drawn_on.isoformat()}" if chosen.drawn_on else ""
        interpreted.refused.append(f"the draw{day} has results that differ ({texts}); expected one")
        _record(interpreted, chosen, settings, f"{texts} (results of one draw that differ)")
        return
    _record(interpreted, chosen, settings)
    interpreted.notes += [
        f"not needed, because {chosen.text!r} of the same draw was used: {sentence}" for _, sentence in unusable
    ]


def _is_logarithm(statement: EbvStatement) -> bool:
    return bool(re.search(r"log|\blg\b", f"{statement.text} {statement.unit or ''}".lower()))


def _record(
    interpreted: InterpretedDraws, statement: EbvStatement, settings: Settings, text: str | None = None
) -> None:
    if not statement.text.strip():
        return
    try:
        interpreted.entries.append(statement.entry(settings, text))
    except InputError as error:  # a draw in the future is no fact
        if str(error) not in interpreted.refused:
            interpreted.refused.append(str(error))


def _value(statement: EbvStatement, settings: Settings) -> EbvValue:
    if not statement.text.strip():
        raise InputError(message("entry.ebv_no_value"))
    return ebv_value(statement.entry(settings), settings)


def _is_one_result(first: EbvValue, second: EbvValue) -> bool:
    if "unknown" in (first.category, second.category):
        return True
    if first.copies_per_ml is None or second.copies_per_ml is None:
        return first.category == second.category
    low, high = sorted((first.copies_per_ml, second.copies_per_ml))
    # The laboratory's own conversion between units need not be the one that the site has set.
    if first.is_converted != second.is_converted:
        return first.category == second.category
    return low == high or (low > 0 and math.log10(high / low) <= SAME_LOG10)
