"""The checks: measures of a study against the limits of a bundle, each with a code and a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from config.messages.catalogue import CATALOGUE
from config.messages.message import message
from config.messages.template import fields_of
from workers.plausibility.limits import Limit, PlausibilityLimits

SIZES = ("volume_ml", "slices", "extent_x_mm", "extent_y_mm", "extent_z_mm")
QUESTIONS = SIZES[1:]  # the volume decides: slices and extents depend on the thickness, and on the tumour's direction


@dataclass(frozen=True)
class Implausibility:
    """One measure that is not as in the cohort.

    Attributes
    ----------
    code : str
        Reason code.
    text : str
        One sentence: what was expected, what was found, what to do.
    stops : bool
        The study is refused; otherwise it is a question that the report shows.
    measure : str
        Name of the measure.
    """

    code: str
    text: str
    stops: bool
    measure: str


# The reason code of each measure, causes before what follows from them; its sentence is the message `code.measure`.
_CODES: Mapping[str, str] = {
    "smoothness": "not_an_image",
    "slice_order": "slices_out_of_order",
    "same_head": "series_do_not_match",
    "same_head_gap": "series_do_not_match",
    "same_side": "series_do_not_match",
    "enhancement": "no_contrast",
    "enhancement_gain": "no_contrast",
    "likeness": "no_contrast",
    "head_width_mm": "not_a_head",
    "head_depth_mm": "not_a_head",
    "midline_mm": "implausible_location",
    "depth": "implausible_location",
    "below_air_mm": "implausible_location",
    "volume_ml": "implausible_volume",
    "slices": "implausible_volume",
    "extent_x_mm": "implausible_volume",
    "extent_y_mm": "implausible_volume",
    "extent_z_mm": "implausible_volume",
    "air": "contour_does_not_fit",
    "outline": "contour_does_not_fit",
    "outline_moved": "contour_does_not_fit",
    "outline_slices": "contour_does_not_fit",
    "outline_mirrored": "contour_does_not_fit",
    "outline_reflected": "contour_does_not_fit",
}
GROUPS = tuple(dict.fromkeys(_CODES.values()))
"""Reason codes, causes before what follows from them."""


def implausibilities(measures: Mapping[str, float], limits: PlausibilityLimits) -> list[Implausibility]:
    """Compare the measures of a study with the limits of a bundle.

    Parameters
    ----------
    measures : mapping of str to float
        From `study_measures`.
    limits : PlausibilityLimits
        Of the bundle.

    Returns
    -------
    list of Implausibility
        Those that stop the study first, and of them only the first group that has any: where a series is no image,
        everything that follows from it is wrong as well. A size outside the cohort's range but within the limits is a
        question.
    """
    found = []
    for name, limit in limits.limits.items():
        if name not in measures:
            continue
        value = measures[name]
        kind = name.split(".")[0]
        if kind not in QUESTIONS and limit.is_outside(value):
            found.append(_implausibility(name, value, limit, stops=True))
        elif kind in SIZES and limit.is_outside_range(value):
            found.append(_implausibility(name, value, limit, stops=False))
    groups = [one.code for one in sorted(found, key=lambda one: GROUPS.index(one.code)) if one.stops]
    stops = [one for one in found if one.stops and one.code == groups[0]]
    return [*stops, *(one for one in found if not one.stops)]


def _implausibility(name: str, value: float, limit: Limit, *, stops: bool) -> Implausibility:
    kind, _, role = name.partition(".")
    code = _CODES[kind]
    low, high = limit.low, limit.high
    if not stops:
        low, high = limit.lowest, limit.highest
    known = {
        "role": role, "value": value, "value_abs": abs(value), "low": low, "high": high, "lowest": limit.lowest,
        "highest": limit.highest,
    }  # fmt: skip
    key = f"{code}.{kind}"
    # Of some measures only one limit is stated.
    text = message(key, **{name: known[name] for name in fields_of(CATALOGUE[key][0])})
    return Implausibility(code, text, stops, name)
