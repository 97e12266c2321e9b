"""Growing waits between two attempts."""

from __future__ import annotations

import random
from collections.abc import Callable


def backoff_s(first_s: float, longest_s: float, attempts: int, jitter: Callable[[], float] = random.random) -> float:
    """Return the wait after failed attempts: it doubles, is capped, and is spread over its upper half.

    The spread keeps everything that failed at one moment (a PACS that was restarted) from coming back at one moment.

    Parameters
    ----------
    first_s, longest_s : float
        Wait after the first failed attempt, and the cap, in seconds.
    attempts : int
        Failed attempts so far; less than 1 counts as 1.
    jitter : callable
        Returns a number in [0, 1).

    Returns
    -------
    float
        Seconds, between a half of the doubled wait and the whole.
    """
    longest = min(longest_s, first_s * 2.0 ** min(max(attempts, 1) - 1, 60))
    return longest * (0.5 + 0.5 * jitter())
