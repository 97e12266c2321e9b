"""The cells of a cohort table as numbers; a wrong cell stops the reading, or is collected with all others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from config.arrays import BoolArray, FloatArray
from config.errors import InputError

MISSING = ("", "NA", "NaN", "nan")
FLAGS = {"0": 0.0, "1": 1.0, "0.0": 0.0, "1.0": 1.0}


@dataclass(frozen=True)
class CellProblem:
    """A cell that cannot be used.

    Attributes
    ----------
    patient_id : str
        Of its row; empty where the row has none.
    column : str
        Its column.
    expected, found : str
        In words.
    """

    patient_id: str
    column: str
    expected: str
    found: str


def stop_reading(problem: CellProblem, source: str) -> None:
    """Raise InputError, which names file, patient and column."""
    raise InputError(
        f"{source}: patient {problem.patient_id}, column {problem.column}: expected {problem.expected}, "
        f"found {problem.found}"
    )


@dataclass(frozen=True)
class ColumnReader:
    """Converts cells to numbers.

    Attributes
    ----------
    source : str
        The file.
    texts : mapping of str to tuple of str
        Columns by name.
    patient_ids : tuple of str
        Of the rows.
    report : callable
        Called with each wrong cell and the file; where it returns, the cell counts as unknown.
    """

    source: str
    texts: Mapping[str, tuple[str, ...]]
    patient_ids: tuple[str, ...]
    report: Callable[[CellProblem, str], None] = stop_reading

    def numbers(self, name: str, allowed: tuple[float, float], unknown_allowed: bool = True) -> FloatArray:
        """Return a column of numbers within limits, NaN where unknown."""
        low, high = allowed
        expected = f"a number from {low:g} to {high:g}"
        values = self._each(name, expected, float, unknown_allowed)
        # NaN (unknown) compares false with both limits and passes here.
        return self._without(name, expected, values, (values < low) | (values > high) | np.isinf(values))

    def flags(self, name: str, unknown_allowed: bool = True) -> FloatArray:
        """Return a column of 1 and 0, NaN where unknown."""
        return self.choice(name, FLAGS, unknown_allowed)

    def choice(self, name: str, meanings: Mapping[str, float], unknown_allowed: bool = True) -> FloatArray:
        """Return the numbers that the words of a column mean, NaN where unknown."""
        return self._each(name, " or ".join(list(meanings)[:2]), meanings.__getitem__, unknown_allowed)

    def follow_up(self, endpoint: str) -> tuple[FloatArray, FloatArray]:
        """Return days and events (1 or 0) of an endpoint."""
        name = f"{endpoint}_days"
        days = self._each(name, "days of follow-up", float, unknown_allowed=False)
        days = self._without(name, "days of follow-up, 0 or more", days, (days < 0) | np.isinf(days))
        events = self._each(f"{endpoint}_event", "1 (event) or 0 (censored)", FLAGS.__getitem__, unknown_allowed=False)
        return days, events

    def numbers_if_all_are(self, name: str) -> FloatArray | None:
        """Return a column where it is numeric throughout, else None."""
        try:
            return ColumnReader(self.source, self.texts, self.patient_ids)._each(name, "a number", float, True)
        except InputError:
            return None

    def _each(self, name: str, expected: str, convert: Callable[[str], float], unknown_allowed: bool) -> FloatArray:
        values = np.full(len(self.patient_ids), np.nan)
        for at, text in enumerate(self.texts[name]):
            if text in MISSING:
                # "nan" is refused where a value is needed, although float() accepts it.
                if not unknown_allowed:
                    self._report(at, name, expected)
                continue
            try:
                values[at] = convert(text)
            except (ValueError, KeyError):
                self._report(at, name, expected)
        return values

    def _without(self, name: str, expected: str, values: FloatArray, wrong: BoolArray) -> FloatArray:
        for at in np.flatnonzero(wrong):
            self._report(int(at), name, expected)
        return np.where(wrong, np.nan, values)

    def _report(self, at: int, name: str, expected: str) -> None:
        self.report(CellProblem(self.patient_ids[at], name, expected, repr(self.texts[name][at])), self.source)


def repeated_patients(identities: Sequence[str]) -> list[CellProblem]:
    """Return a problem for each patient that occurs more than once, and for each row without a patient."""
    counts = Counter(identities)
    repeated = [
        CellProblem(identity, "patient_id", "each patient once", f"{identity} {count} times")
        for identity, count in counts.items()
        if identity and count > 1
    ]
    unnamed = [row for row, identity in enumerate(identities, start=1) if not identity]
    return repeated + [
        CellProblem("", "patient_id", "an identifier", f"row {row} has no patient_id") for row in unnamed
    ]
