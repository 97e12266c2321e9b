"""Estimates with intervals by resampling patients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from config.arrays import FloatArray, Int64Array
from config.errors import InputError

FEWEST_RESAMPLES = 0.9  # share of resamples in which a figure must exist for its interval


@dataclass(frozen=True)
class Figure:
    """One estimate with its 95 % interval; None where it does not exist."""

    value: float | None
    ci95: tuple[float, float] | None

    def to_json(self) -> dict[str, Any]:
        """Return value and interval."""
        return {"value": self.value, "ci95": list(self.ci95) if self.ci95 else None}


def resampled(
    estimates: Callable[[Int64Array], Mapping[str, FloatArray]], n: int, n_bootstrap: int, seed: int
) -> dict[str, FloatArray]:
    """Return estimates on resamples of n patients.

    Parameters
    ----------
    estimates : callable
        Positions of a resample -> named arrays; it may raise InputError where a resample has no estimate.
    n, n_bootstrap, seed : int
        Patients, resamples, and the seed of the draws.

    Returns
    -------
    dict of str to array, shape (resamples, k)
        NaN where a resample had no estimate.
    """
    rng = np.random.default_rng(seed)
    drawn: list[Mapping[str, FloatArray]] = []
    for _ in range(n_bootstrap):
        try:
            drawn.append(estimates(rng.integers(0, n, n)))
        except InputError:
            continue  # a row of NaN, so that `figures_of_draws` knows how many are missing
    missing = n_bootstrap - len(drawn)
    return {
        name: np.vstack([*(each[name] for each in drawn), *[np.full(len(drawn[0][name]), np.nan)] * missing])
        for name in (drawn[0] if drawn else ())
    }


def figures_of_draws(values: FloatArray, draws: FloatArray | None) -> list[Figure]:
    """Return estimates with the 2.5 and 97.5 % quantiles of their resamples.

    Parameters
    ----------
    values : array, shape (k,)
        NaN: the estimate does not exist.
    draws : array, shape (resamples, k), or None
        None: there are no resamples, and no intervals.

    Returns
    -------
    list of Figure, length k
        Without an interval where an estimate exists in less than 90 % of the resamples.
    """
    columns = [np.array([])] * len(values) if draws is None else list(draws.T)
    return [_figure(float(value), column) for value, column in zip(values, columns, strict=True)]


def _figure(value: float, draws: FloatArray) -> Figure:
    if np.isnan(value):
        return Figure(None, None)
    there = draws[~np.isnan(draws)]
    if not len(draws) or len(there) < FEWEST_RESAMPLES * len(draws):
        return Figure(value, None)
    low, high = np.quantile(there, (0.025, 0.975))
    return Figure(value, (float(low), float(high)))
