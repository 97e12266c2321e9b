"""Limits of the measures, from the cohort of a bundle: plausibility.json beside its manifest.

{"version": 1, "cohort": {...}, "measures": {"smoothness.T1w": {"n", "lowest", "median", "highest", "low", "high"}}}

`low` and `high` are the limits, null where one side is never wrong. A cohort's extremes are estimates themselves, and
scanners that it does not contain are not all refused: a limit is the median plus 1.5 times the distance to the 1st or
99th percentile, as for the intensities, 2 times for places and (of the logarithm) for sizes of tumours, whose tails are
long, and 2.5 times for what depends on the scanner most. Measures that compare the contour with itself elsewhere, and
those of enhancement, have their own zero: a better place elsewhere is wrong, and no contrast is none, however far from
the median they are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from config.errors import ModelBundleError

VERSION = 1
FEWEST_PATIENTS = 20
EXTREME_QUANTILE, MARGIN, SIZE_MARGIN, WIDE_MARGIN = 0.01, 1.5, 2.0, 2.5
SHARE_OF_LEAST_ENHANCEMENT = 0.25
LEAST_AIR = 0.02  # of a contour: a few dark pixels at its border are no air
COMPARISON_QUANTILE = 0.005

BELOW, ABOVE, BOTH = "below", "above", "both"
SIDES: Mapping[str, str] = {
    "smoothness": BELOW,
    "slice_order": BELOW,
    "same_head": BELOW,
    "same_head_gap": ABOVE,
    "same_side": BELOW,
    "enhancement": BELOW,
    "enhancement_gain": BELOW,
    "likeness": ABOVE,
    "head_width_mm": BOTH,
    "head_depth_mm": BOTH,
    "midline_mm": BOTH,
    "depth": BOTH,
    "below_air_mm": BOTH,
    "volume_ml": BOTH,
    "slices": BOTH,
    "extent_x_mm": BOTH,
    "extent_y_mm": BOTH,
    "extent_z_mm": BOTH,
    "air": ABOVE,
    "outline": BELOW,
    "outline_moved": BELOW,
    "outline_slices": BELOW,
    "outline_mirrored": BELOW,
    "outline_reflected": BELOW,
}
"""On which side of its limits a measure is wrong."""

# Comparisons of one place with another: how much better the other one must be, as a share of the usual difference.
CLEARLY_BETTER: Mapping[str, float] = {"same_side": 0.0, "outline_moved": 0.3, "outline_slices": 0.75}
# Of the 0.5th percentile. By its shape alone a contour is not told from its reflection as surely as by its place.
REFLECTIONS: Mapping[str, float] = {"outline_reflected": MARGIN, "outline_mirrored": WIDE_MARGIN}
ENHANCEMENTS = frozenset({"enhancement", "enhancement_gain"})
# Noise, resolution and field of view of other scanners change these most, and what they look for is far away.
WIDE = frozenset({"smoothness", "slice_order", "same_head", "same_head_gap", "head_width_mm", "head_depth_mm"})
PLACES = frozenset({"midline_mm", "depth", "below_air_mm"})
LOGARITHMIC = frozenset({"volume_ml", "slices", "extent_x_mm", "extent_y_mm", "extent_z_mm"})


@dataclass(frozen=True)
class Limit:
    """One measure in the cohort, and its limits.

    Attributes
    ----------
    n : int
        Patients in whom it was measured.
    lowest, median, highest : float
        In them.
    low, high : float or None
        Limits; None where that side is never wrong.
    """

    n: int
    lowest: float
    median: float
    highest: float
    low: float | None
    high: float | None

    def is_outside(self, value: float) -> bool:
        """Return whether a value is beyond a limit; NaN is."""
        inside = (self.low is None or value >= self.low) and (self.high is None or value <= self.high)
        return not inside

    def is_outside_range(self, value: float) -> bool:
        """Return whether a value is beyond those of the cohort."""
        return not self.lowest <= value <= self.highest


@dataclass(frozen=True)
class PlausibilityLimits:
    """The limits of a bundle.

    Attributes
    ----------
    limits : mapping of str to Limit
        By measure.
    cohort : mapping
        Whose measures they are from: description, n, seed where there is one.
    """

    limits: Mapping[str, Limit]
    cohort: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the document of plausibility.json."""
        return {
            "version": VERSION,
            "cohort": dict(self.cohort),
            "measures": {name: asdict(limit) for name, limit in self.limits.items()},
        }


def calibrate(cohort: Sequence[Mapping[str, float]], description: Mapping[str, Any]) -> PlausibilityLimits:
    """Take limits from the measures of a cohort.

    Parameters
    ----------
    cohort : sequence of mapping of str to float
        `study_measures` of each patient.
    description : mapping
        Whose they are.

    Returns
    -------
    PlausibilityLimits
        For every measure that at least 20 patients have.

    Raises
    ------
    ModelBundleError
        Fewer than 20 patients: their extremes say nothing.
    """
    if len(cohort) < FEWEST_PATIENTS:
        text = f"expected at least {FEWEST_PATIENTS} patients to take limits of plausibility from, found {len(cohort)}"
        raise ModelBundleError(text)
    names = sorted(set().union(*cohort))
    columns = {name: np.array([row[name] for row in cohort if name in row], dtype=np.float64) for name in names}
    limits = {name: _limit(name, values) for name, values in columns.items() if len(values) >= FEWEST_PATIENTS}
    return PlausibilityLimits(limits, {**description, "n": len(cohort)})


def _limit(name: str, values: np.ndarray) -> Limit:
    kind = name.split(".")[0]
    # Sizes vary by factors: twice and half are equally far.
    logarithmic = kind in LOGARITHMIC
    scaled = np.log(np.maximum(values, 1e-6)) if logarithmic else values
    median = float(np.median(scaled))
    lowest, highest = (float(np.quantile(scaled, q)) for q in (EXTREME_QUANTILE, 1 - EXTREME_QUANTILE))
    margin = WIDE_MARGIN if kind in WIDE else SIZE_MARGIN if logarithmic or kind in PLACES else MARGIN
    low, high = (median + margin * (extreme - median) for extreme in (lowest, highest))
    if kind in REFLECTIONS:
        # Of a tumour near the midline both outlines fit almost equally well; the usual margin would let half of the
        # reflected ones pass.
        low = min(0.0, REFLECTIONS[kind] * float(np.quantile(scaled, COMPARISON_QUANTILE)))
    elif kind in CLEARLY_BETTER:
        low = min(0.0, -CLEARLY_BETTER[kind] * median)
    elif kind in ENHANCEMENTS and lowest > 0:
        # Without contrast the measure is 0: a quarter of the least enhancement is far from both.
        low = SHARE_OF_LEAST_ENHANCEMENT * lowest
    elif kind == "air":
        high = max(high, LEAST_AIR)
    if logarithmic:
        low, high = float(np.exp(low)), float(np.exp(high))
    side = SIDES[kind]
    lowest, median, highest = (round(float(v), 5) for v in (values.min(), np.median(values), values.max()))
    return Limit(
        len(values),
        lowest,
        median,
        highest,
        low=None if side == ABOVE else round(low, 5),
        high=None if side == BELOW else round(high, 5),
    )


def read_limits(path: Path) -> PlausibilityLimits:
    """Read plausibility.json.

    Parameters
    ----------
    path : Path
        As `PlausibilityLimits.to_json` gives it.

    Raises
    ------
    ModelBundleError
        It is not JSON, of another version, or names an unknown measure.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["version"] != VERSION:
            raise ModelBundleError(f"{path}: expected version {VERSION}, found {document['version']!r}")
        limits = {name: Limit(**values) for name, values in document["measures"].items()}
        cohort = dict(document["cohort"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelBundleError(
            f"{path}: expected limits of plausibility, found {type(error).__name__} {error}"
        ) from error
    if unknown := sorted(name for name in limits if name.split(".")[0] not in SIDES):
        raise ModelBundleError(f"{path}: expected the measures {', '.join(SIDES)}, found {', '.join(unknown)}")
    return PlausibilityLimits(limits, cohort)
