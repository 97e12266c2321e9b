"""How much better a model looks on the patients that it was fitted on: Harrell's bootstrap.

The model is fitted on resamples, and its figures there are compared with its figures on all patients; the mean
difference is the optimism, which is subtracted from the apparent figures.

References: Harrell, Lee and Mark, Stat Med 1996;15:361; Steyerberg et al., J Clin Epidemiol 2001;54:774; rms::validate.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from config.arrays import FloatArray, Int64Array
from workers.survival.cohort import Outcome
from workers.survival.concordance import harrell_concordance
from workers.survival.partial_likelihood import SeparationError, newton


@dataclass(frozen=True)
class Optimism:
    """Apparent and corrected figures of a model on the patients that it was fitted on.

    Attributes
    ----------
    c_apparent, c_optimism : float
        Harrell's C-index, and how much of it is optimism.
    slope_optimism : float
        1 minus the mean calibration slope of the refits on all patients.
    n_resamples : int
        Resamples that could be fitted.
    """

    c_apparent: float
    c_optimism: float
    slope_optimism: float
    n_resamples: int

    def to_json(self) -> dict[str, Any]:
        """Return apparent figures, optimism and corrected figures."""
        return {
            "c_index": {
                "apparent": self.c_apparent,
                "optimism": self.c_optimism,
                "corrected": self.c_apparent - self.c_optimism,
            },
            "calibration_slope": {
                "apparent": 1.0, "optimism": self.slope_optimism, "corrected": 1 - self.slope_optimism,
            },
            "n_resamples": self.n_resamples,
        }  # fmt: skip


def random_resamples(n: int, n_resamples: int, seed: int = 0) -> Iterator[Int64Array]:
    """Yield resamples of n patients.

    Parameters
    ----------
    n, n_resamples : int
        Patients, and how many resamples.
    seed : int
        Equal seeds yield equal resamples.

    Yields
    ------
    int array, shape (n,)
        Positions.
    """
    rng = np.random.default_rng(seed)
    for _ in range(n_resamples):
        yield rng.integers(0, n, n)


def optimism(x: FloatArray, outcome: Outcome, resamples: Iterable[Int64Array]) -> Optimism | None:
    """Return the optimism of a Cox model.

    Parameters
    ----------
    x : array, shape (n, p)
        Covariates without NaN.
    outcome : Outcome
        Follow-up of the same patients.
    resamples : iterable of int array, shape (n,)
        Positions.

    Returns
    -------
    Optimism or None
        None where the model cannot be fitted on the patients, or on no resample.
    """
    # Standardised columns converge in fewer steps; neither figure depends on the scale.
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    days, events = outcome.durations_days, outcome.event_observed

    def concordance(risk: FloatArray, rows: Int64Array | slice) -> float:
        return harrell_concordance(risk[rows], days[rows], events[rows]).value

    lost: list[tuple[float, float]] = []
    try:
        apparent = concordance(z @ newton(z, days, events)[0], slice(None))
    except SeparationError:
        return None
    for rows in resamples:
        try:
            risk = z @ newton(z[rows], days[rows], events[rows])[0]
            slope = float(newton(risk[:, None] - risk.mean(), days, events)[0][0])
        except SeparationError:
            continue
        lost.append((concordance(risk, rows) - concordance(risk, slice(None)), 1 - slope))
    if not lost:
        return None
    of_c, of_slope = np.mean(lost, axis=0)
    return Optimism(apparent, float(of_c), float(of_slope), len(lost))
