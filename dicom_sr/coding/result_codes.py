"""The codes of the nomogram's result, one for each number: quantity, horizon, regimen and end of its interval.

A reader that flattens a report to pairs of code and value loses nothing, because no two numbers of a report have one
code. The codes of a report with a known EBV DNA category do not name it. Where EBV DNA is unknown, both categories are
reported, and their numbers have codes of their own (``_GT``, ``_LE``), so that a number that holds under an assumption
is never read as the result.

    DFS_60_I, DFS_60_I_LO, DFS_60_I_HI      5-year DFS under ICT+CCRT, and the ends of its 95 % interval
    DFS_60_C_GT                             5-year DFS under CCRT if EBV DNA is above the threshold
    DIFF_60, DIFF_60_LO, DIFF_60_GT_HI      difference, ICT+CCRT minus CCRT
    PTS_AGE_I, PTS_TOTAL_C_LE               nomogram points
    HORIZON_60                              a horizon that is reported

Horizons are derived from their months, so that a model with others than 36 and 60 has codes, too; with at most four
digits of months a value has at most 16 characters.
"""

from __future__ import annotations

from collections.abc import Iterator

from config.indication.conventions import whole_years
from config.indication.vocabulary import EbvCategory, TreatmentArm
from dicom_sr.coding.concept import PAPER, Concept, ours

ARM_LETTERS = {TreatmentArm.ICT_CCRT: "I", TreatmentArm.CCRT: "C"}
CATEGORY_LETTERS = {EbvCategory.ABOVE: "GT", EbvCategory.NOT_ABOVE: "LE", EbvCategory.UNKNOWN: "UK"}
CATEGORY_PHRASES = {
    EbvCategory.ABOVE: "EBV DNA > threshold",
    EbvCategory.NOT_ABOVE: "EBV DNA <= threshold",
    EbvCategory.UNKNOWN: "EBV DNA unknown",
}
# Nomogram factor -> part of the code, words of the meaning.
FACTORS = {
    "age": ("AGE", "age"),
    "ebv_dna": ("EBV", "EBV DNA"),
    "prognostic_score": ("PROGN", "Prognostic-score"),
    "predictive_score": ("PREDI", "Predictive-score"),
}
HORIZON_PREFIX = "HORIZON_"
LOW, HIGH = ("LO", "95 % CI lower"), ("HI", "95 % CI upper")


def horizon_name(months: int) -> str:
    """Name a horizon in months: 36 gives "3-year", 30 gives "30-month"."""
    years = whole_years(months)
    return f"{months}-month" if years is None else f"{years}-year"


def horizon(months: int) -> Concept:
    """Return the code of a reported horizon; its value is the number of months."""
    return ours(f"{HORIZON_PREFIX}{months}", f"Reported horizon, {horizon_name(months)}", PAPER)


def dfs(
    months: int, arm: TreatmentArm, assumed: EbvCategory | None = None, end: tuple[str, str] | None = None
) -> Concept:
    """Return the code of disease-free survival (DFS) under a regimen.

    Parameters
    ----------
    months : int
        The horizon.
    arm : TreatmentArm
        The regimen.
    assumed : EbvCategory or None
        The category that the number assumes, where EBV DNA is unknown.
    end : LOW, HIGH or None
        An end of the 95 % interval.

    Returns
    -------
    Concept
        Of the private scheme.
    """
    # Written out where the 64 characters of a meaning have room for it.
    words = "disease-free survival (DFS)" if assumed is None and end is None else "DFS"
    name = f"{horizon_name(months)} {words}, {arm.value}"
    return _quantity(f"DFS_{months}_{ARM_LETTERS[arm]}", name, assumed, end)


def difference(months: int, assumed: EbvCategory | None = None, end: tuple[str, str] | None = None) -> Concept:
    """Return the code of DFS under ICT+CCRT minus DFS under CCRT; parameters as of `dfs`."""
    name = f"{horizon_name(months)} DFS difference"
    if assumed is None and end is None:
        name += ", ICT+CCRT minus CCRT"
    return _quantity(f"DIFF_{months}", name, assumed, end)


def points(factor: str, arm: TreatmentArm, assumed: EbvCategory | None = None) -> Concept:
    """Return the code of the nomogram points of one factor (see `FACTORS`) under a regimen."""
    part, words = FACTORS[factor]
    return _quantity(f"PTS_{part}_{ARM_LETTERS[arm]}", f"Points, {words}, {arm.value}", assumed)


def total_points(arm: TreatmentArm, assumed: EbvCategory | None = None) -> Concept:
    """Return the code of the nomogram's total points under a regimen."""
    return _quantity(f"PTS_TOTAL_{ARM_LETTERS[arm]}", f"Total points, {arm.value}", assumed)


def _quantity(value: str, meaning: str, assumed: EbvCategory | None, end: tuple[str, str] | None = None) -> Concept:
    values, meanings = [value], [meaning]
    if assumed is not None:
        values.append(CATEGORY_LETTERS[assumed])
        meanings.append(CATEGORY_PHRASES[assumed])
    if end is not None:
        values.append(end[0])
        meanings.append(end[1])
    return ours("_".join(values), ", ".join(meanings), PAPER)


# The codes of layout 1, in which only the group told the regimen and the category. They are read, not written.
EARLIER_HORIZON = ours("HORIZON", "Reported horizon", PAPER)
EARLIER_TOTAL_POINTS = ours("POINTS_TOTAL", "Nomogram points, total", PAPER)
EARLIER_POINTS = {
    factor: ours(f"POINTS_{part}", f"Nomogram points, {words}", PAPER) for factor, (part, words) in FACTORS.items()
}


def earlier_dfs(months: int) -> Iterator[Concept]:
    """Yield the codes of layout 1 for DFS and the two ends of its interval."""
    name = horizon_name(months)
    yield ours(f"DFS_{months}", f"{name} disease-free survival (DFS)", PAPER)
    yield ours(f"DFS_{months}_LOW", f"{name} DFS, lower end of 95 % CI", PAPER)
    yield ours(f"DFS_{months}_HIGH", f"{name} DFS, upper end of 95 % CI", PAPER)


def earlier_difference(months: int) -> Iterator[Concept]:
    """Yield the codes of layout 1 for the difference and the two ends of its interval."""
    name = horizon_name(months)
    yield ours(f"DIFF_{months}", f"{name} DFS difference, ICT+CCRT minus CCRT", PAPER)
    yield ours(f"DIFF_{months}_LOW", f"{name} DFS difference, lower end of 95 % CI", PAPER)
    yield ours(f"DIFF_{months}_HIGH", f"{name} DFS difference, upper end of 95 % CI", PAPER)
