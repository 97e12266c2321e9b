"""Units, rounding rules and constants that every displayed number follows.

DFS is a fraction in [0, 1], horizons are months, ages years, volumes mL (= cm3), EBV DNA copies/mL. A number is rounded
once, so that a reader who subtracts two displayed rates gets the displayed difference.
"""

from __future__ import annotations

DAYS_PER_MONTH = 30  # the published cohort's month; a year is 12 months
MONTHS_PER_YEAR = 12
Z_95 = 1.959963984540054  # standard normal quantile of 0.975

DFS_DECIMALS = 3  # a tenth of a percent
SCORE_DECIMALS = 4
POINTS_DECIMALS = 1
VOLUME_DECIMALS = 2
AGE_DECIMALS = 1
COPIES_DECIMALS = 1
THRESHOLD_DECIMALS = 4
SHARE_DECIMALS = 4


def whole_years(months: float) -> int | None:
    """Return the years that a horizon in months is, or None where it is not a whole number of years.

    Parameters
    ----------
    months : float
        A time since the start of treatment, >= 0.

    Returns
    -------
    int or None
        3 for 36 months, None for 30 months.
    """
    years, rest = divmod(months, MONTHS_PER_YEAR)
    return None if rest else int(years)


def round_to(value: float, decimals: int) -> float:
    """Round a number half to even, as Python does; a negative zero becomes zero.

    Parameters
    ----------
    value : float
        Any finite number.
    decimals : int
        Number of decimals, >= 0.

    Returns
    -------
    float
        The rounded number.
    """
    # Adding 0.0 turns -0.0 into 0.0, which would be displayed as "-0.000".
    return round(float(value), decimals) + 0.0


def round_dfs(fraction: float) -> float:
    """Round a probability, or a difference of two, to a tenth of a percent, as every output displays it.

    Parameters
    ----------
    fraction : float
        In [-1, 1].

    Returns
    -------
    float
        The displayed value as a fraction; never a negative zero.
    """
    return round_to(fraction, DFS_DECIMALS)


def displayed_difference(ict_ccrt: float, ccrt: float) -> float:
    """Return the difference of two probabilities as a reader gets it who subtracts the displayed values.

    Parameters
    ----------
    ict_ccrt, ccrt : float
        DFS under both regimens, in [0, 1], rounded or not.

    Returns
    -------
    float
        A fraction in [-1, 1], to a tenth of a percentage point.
    """
    # Rounded again: a difference of two decimals is not a decimal in binary (0.847 - 0.812 = 0.03499...).
    return round_dfs(round_dfs(ict_ccrt) - round_dfs(ccrt))
