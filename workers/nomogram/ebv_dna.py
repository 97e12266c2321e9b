"""One laboratory value of EBV DNA as given on a command line -> its side of the threshold."""

from __future__ import annotations

import math

from config.errors import InputError
from dicom_sr.treatment_report import EbvCategory


def ebv_category(text: str, threshold: float, inclusive: bool = False) -> EbvCategory:
    """Side of the threshold (copies/mL) of "5000", ">4000", "<400", "not-detected" or "unknown".

    inclusive : whether a value equal to the threshold counts as above it.
    Raises InputError for anything else, and for a comparator that leaves the side open ("<9000" at 4000).
    """
    given = text.strip().lower().replace("≥", ">=").replace("≤", "<=")
    if given in ("unknown", ""):
        return EbvCategory.UNKNOWN
    if given in ("not-detected", "not detected", "negative", "阴性"):
        return EbvCategory.NOT_ABOVE
    comparator = next((sign for sign in (">=", "<=", ">", "<") if given.startswith(sign)), "")
    try:
        copies = float(given.removeprefix(comparator))
    except ValueError:
        copies = math.nan
    if not math.isfinite(copies) or copies < 0:
        raise InputError(
            f"EBV DNA: expected copies/mL (5000), a comparator (>4000, <400), not-detected or unknown, found {text!r}"
        )
    above = copies > threshold or (inclusive and copies == threshold)
    decided = {
        "": True,
        ">": copies >= threshold,
        ">=": above,
        "<": copies <= threshold,
        "<=": not above,
    }[comparator]
    if not decided:
        raise InputError(f"EBV DNA {text!r} does not say on which side of {threshold:g} copies/mL the value lies")
    return EbvCategory.NOT_ABOVE if comparator.startswith("<") or not (above or comparator) else EbvCategory.ABOVE
