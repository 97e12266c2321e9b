"""Values that the paper prints, by key: read from `printed_values.json`, and compared with a computed one.

Keys are those of the re-analysis of the published rows: columns have the names of the published files.

References: Zhong et al., EBioMedicine 2021;70:103522.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from config.errors import InputError

Value = float | int | str

_FILE = Path(__file__).with_name("printed_values.json")
_SAME = 1e-3  # relative: a reason was found for these rows, and holds only while they give the same value


@dataclass(frozen=True)
class PrintedValue:
    """One value of the paper.

    Attributes
    ----------
    key, where : str
        Its name, and where in the paper it is printed.
    printed : str or None
        As printed: ``67.8``, ``81%``, ``<0.001``, or selected factors separated by commas; None where the program has
        no copy of it.
    reason : str
        Why the published rows give another value, where that is known.
    holds_for : float or None
        The value that the published rows give; the reason is about this one.
    """

    key: str
    where: str
    printed: str | None
    reason: str = ""
    holds_for: float | None = None

    def agrees(self, value: Value) -> bool:
        """Return whether a value is the printed one at the printed digits, or on the printed side of a bound."""
        if self.printed is None:
            return False
        if isinstance(value, str):
            return sorted(value.split(",")) == sorted(self.printed.split(","))
        if self.printed[0] in "<>":
            bound = float(self.printed[1:])
            return value < bound if self.printed[0] == "<" else value > bound
        scale, number = (100.0, self.printed[:-1]) if self.printed.endswith("%") else (1.0, self.printed)
        decimals = len(number.partition(".")[2])
        # Half a unit of the last printed digit; the rest is for halves that binary numbers cannot represent.
        return abs(scale * value - float(number)) <= 0.5 * 10.0**-decimals + 1e-9

    def reason_for(self, value: Value) -> str:
        """Return the recorded reason where it is about this value, else an empty text."""
        if self.holds_for is None or isinstance(value, str):
            return ""
        return self.reason if abs(value - self.holds_for) <= _SAME * abs(self.holds_for) else ""


@dataclass(frozen=True)
class PrintedPaper:
    """All printed values by key, and the number of patients of each published cohort."""

    values: Mapping[str, PrintedValue]
    n_by_label: Mapping[str, int]


def read_printed_values(others: Path | None = None) -> PrintedPaper:
    """Read the printed values that come with the program.

    Parameters
    ----------
    others : Path, optional
        JSON object of key -> printed text that completes or replaces them.

    Raises
    ------
    InputError
        `others` is not such a file or names an unknown key.
    """
    document = json.loads(_FILE.read_text(encoding="utf-8"))
    values = {
        key: PrintedValue(key, group["where"], printed)
        for group in document["groups"]
        for key, printed in group["values"].items()
    }
    for key, found in document["differences"].items():
        values[key] = replace(values[key], reason=found["reason"], holds_for=found["computed"])
    for key, text in _texts_by_key(others).items() if others else ():
        if key not in values:
            raise InputError(f"{others}: expected keys of the paper's values, found {key!r}; reproduce --json has them")
        values[key] = replace(values[key], printed=text)
    return PrintedPaper(values, document["patients"])


def _texts_by_key(path: Path) -> dict[str, str]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{path} is not JSON: {error}") from error
    if not isinstance(document, dict) or not all(isinstance(text, str) and text for text in document.values()):
        raise InputError(f'{path}: expected an object of texts as printed, such as {{"table1.external.n": "200"}}')
    return document
