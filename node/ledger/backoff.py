"""How long to wait before something is tried again."""

from __future__ import annotations

import random
from collections.abc import Callable


def backoff_s(first_s: float, longest_s: float, attempts: int, jitter: Callable[[], float] = random.random) -> float:
    """Seconds to the next try after `attempts` failed ones: doubling, capped, and spread over the upper half, so that
    what comes back does not meet everything at once.

    jitter : gives a number in [0, 1).
    """
    longest = min(longest_s, first_s * 2.0 ** min(max(attempts, 1) - 1, 60))
    return longest * (0.5 + 0.5 * jitter())
