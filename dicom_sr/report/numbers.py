"""How numbers are written: one function per quantity, used by SR, picture, PDF, FHIR and terminal alike."""

from __future__ import annotations

from config.indication.conventions import AGE_DECIMALS, POINTS_DECIMALS, SCORE_DECIMALS, VOLUME_DECIMALS

PERCENT_DECIMALS = 1
MINUS = "-"  # ASCII: a person may copy the number


def percent(fraction: float) -> str:
    """0.784 -> "78.4"."""
    return f"{fraction * 100:.{PERCENT_DECIMALS}f}"


def signed_percent(fraction: float) -> str:
    """0.074 -> "+7.4", 0 -> "0.0"."""
    return percent(fraction) if fraction == 0 else f"{fraction * 100:+.{PERCENT_DECIMALS}f}"


def interval(ci95: tuple[float, float]) -> str:
    """(0.7, 0.85) -> "70.0 to 85.0"; "to", because a dash beside a minus sign misleads."""
    return f"{percent(ci95[0])} to {percent(ci95[1])}"


def signed_interval(ci95: tuple[float, float]) -> str:
    """(-0.02, 0.1) -> "-2.0 to +10.0"."""
    return f"{signed_percent(ci95[0])} to {signed_percent(ci95[1])}"


def score(value: float) -> str:
    """-0.4 -> "-0.4000"."""
    return f"{value:.{SCORE_DECIMALS}f}"


def points(value: float) -> str:
    """104.52 -> "104.5"."""
    return f"{value:.{POINTS_DECIMALS}f}"


def age(years: float) -> str:
    """43 -> "43.0"."""
    return f"{years:.{AGE_DECIMALS}f}"


def volume(millilitres: float) -> str:
    """23.4 -> "23.40"."""
    return f"{millilitres:.{VOLUME_DECIMALS}f}"


def copies(per_ml: float) -> str:
    """5000.0 -> "5000", 412.5 -> "412.5": as a laboratory writes it, at most 16 characters."""
    whole = f"{per_ml:.0f}" if per_ml == round(per_ml) else f"{per_ml:.1f}"
    return whole if len(whole) <= 16 else f"{per_ml:.9e}"


def threshold(fraction: float) -> str:
    """Decision threshold as percent: 0.02 -> "2", 0.025 -> "2.5"."""
    return f"{fraction * 100:.2f}".rstrip("0").rstrip(".")
