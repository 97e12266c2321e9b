"""The scale of a network's scores: an affine map before the last tanh.

A Cox partial likelihood does not tell where the zero of a score is, nor, for another nomogram than its own, how much
one unit means. A nomogram that is fitted on the scores takes both up in its coefficients; one that is given cannot.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from config.arrays import FloatArray

LARGEST_SCORE = 1 - 1e-9  # atanh is finite up to here


@dataclass(frozen=True)
class LinearScale:
    """``tanh(intercept + slope * atanh(score))``; `slope` > 0, so that the order of the scores stays."""

    intercept: float = 0.0
    slope: float = 1.0

    def __post_init__(self) -> None:
        if not self.slope > 0:
            raise ValueError(f"the slope of a scale must be positive, found {self.slope}")

    def apply(self, scores: FloatArray) -> FloatArray:
        """Return scores in (-1, 1) on this scale, same shape; NaN stays NaN."""
        if self == LinearScale():  # exactly the same, which tanh of atanh is not
            return scores
        inner = np.arctanh(np.clip(scores, -LARGEST_SCORE, LARGEST_SCORE))
        return np.asarray(np.tanh(self.intercept + self.slope * inner))


@dataclass(frozen=True)
class ScoreScale:
    """The scales of the Prognostic-score (of each endpoint's risk) and of the Predictive-score."""

    prognostic: LinearScale = LinearScale()
    predictive: LinearScale = LinearScale()

    def to_json(self) -> dict[str, dict[str, float]]:
        """Return the four numbers for the manifest."""
        return {
            "prognostic_score": {name: round(value, 6) for name, value in asdict(self.prognostic).items()},
            "predictive_score": {name: round(value, 6) for name, value in asdict(self.predictive).items()},
        }
