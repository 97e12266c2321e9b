"""How numbers are written: one function per quantity, used by SR, picture, PDF, FHIR and terminal alike.

Every function takes the number in the report's unit and returns the text without the unit; "-" is the ASCII hyphen, so
that a copied number can be pasted into another program.
"""

from __future__ import annotations

from datetime import datetime

from config.indication.conventions import AGE_DECIMALS, POINTS_DECIMALS, SCORE_DECIMALS, VOLUME_DECIMALS

PERCENT_DECIMALS = 1
DS_MAX_CHARACTERS = 16  # of a decimal string (PS3.5 6.2), the form of a number in a Structured Report


INTERVAL = "{low} to {high}"


def percent(fraction: float) -> str:
    """Write a probability.

    Parameters
    ----------
    fraction : float
        In [0, 1].

    Returns
    -------
    str
        Percent with one decimal: 0.784 gives "78.4".
    """
    return f"{fraction * 100:.{PERCENT_DECIMALS}f}"


def signed_percent(fraction: float) -> str:
    """Write a difference of two probabilities.

    Parameters
    ----------
    fraction : float
        In [-1, 1].

    Returns
    -------
    str
        Percentage points with sign and one decimal: 0.074 gives "+7.4"; zero has no sign, "0.0".
    """
    # No sign at zero: "+0.0" and "-0.0" would say which regimen is better.
    return percent(fraction) if fraction == 0 else f"{fraction * 100:+.{PERCENT_DECIMALS}f}"


def interval(ci95: tuple[float, float], form: str = INTERVAL) -> str:
    """Write the confidence interval of a probability.

    Parameters
    ----------
    ci95 : pair of float
        Lower and upper end, as fractions in [0, 1].
    form : str
        `Wording.interval` of the language.

    Returns
    -------
    str
        (0.7, 0.85) gives "70.0 to 85.0": a dash would look like a minus sign.
    """
    return form.format(low=percent(ci95[0]), high=percent(ci95[1]))


def signed_interval(ci95: tuple[float, float], form: str = INTERVAL) -> str:
    """Write the confidence interval of a difference.

    Parameters
    ----------
    ci95 : pair of float
        Lower and upper end, as fractions in [-1, 1].
    form : str
        `Wording.interval` of the language.

    Returns
    -------
    str
        (-0.02, 0.1) gives "-2.0 to +10.0".
    """
    return form.format(low=signed_percent(ci95[0]), high=signed_percent(ci95[1]))


def score(value: float) -> str:
    """Write a Prognostic-score or Predictive-score with four decimals: -0.4 gives "-0.4000"."""
    return f"{value:.{SCORE_DECIMALS}f}"


def points(value: float) -> str:
    """Write nomogram points with one decimal: 104.52 gives "104.5"."""
    return f"{value:.{POINTS_DECIMALS}f}"


def age(years: float) -> str:
    """Write an age in years with one decimal: 43 gives "43.0"."""
    return f"{years:.{AGE_DECIMALS}f}"


def volume(millilitres: float) -> str:
    """Write a volume in mL (= cm3) with two decimals: 23.4 gives "23.40"."""
    return f"{millilitres:.{VOLUME_DECIMALS}f}"


def copies(per_ml: float) -> str:
    """Write an EBV DNA load as a laboratory does.

    Parameters
    ----------
    per_ml : float
        Copies per mL, >= 0.

    Returns
    -------
    str
        5000.0 gives "5000", 412.5 gives "412.5"; at most 16 characters, with an exponent where the number is longer.
    """
    # Laboratories report whole copies; a decimal would claim a precision that the assay has not.
    plain = f"{per_ml:.0f}" if per_ml == round(per_ml) else f"{per_ml:.1f}"
    # Ten digits in scientific notation take 15 characters.
    return plain if len(plain) <= DS_MAX_CHARACTERS else f"{per_ml:.9e}"


def moment(at: datetime) -> str:
    """Write a time with its offset, in its own zone: "2026-12-01 08:12:03 +0800"; so equal reports have equal text."""
    return f"{at:%Y-%m-%d %H:%M:%S %z}".rstrip()


def threshold(fraction: float) -> str:
    """Write the decision threshold.

    Parameters
    ----------
    fraction : float
        A difference of two probabilities, in [-1, 1].

    Returns
    -------
    str
        Percentage points, at most two decimals, without trailing zeros: 0.02 gives "2", 0.025 gives "2.5".
    """
    # Two decimals at most and none that are zero: 2 % is "2", 2.5 % is "2.5".
    return f"{fraction * 100:.2f}".rstrip("0").rstrip(".")
