"""The checks: measures of a study against the limits of a bundle, each with a code and a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

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


# code, then: expected ..., found ... ; what to do. {low}, {high}, {value}, {role} are filled in.
_IMAGE = "look at the series in a viewer, and send it again or assign another one with cptdn studies assign"
_CONTOUR = "look at the contour on the images, and send it again"
_SENTENCES: Mapping[str, tuple[str, str]] = {
    "smoothness": (
        "not_an_image",
        "{role}: expected neighbouring pixels to be alike (correlation of at least {low:.2f}), found {value:.2f}, as "
        "of noise; " + _IMAGE,
    ),
    "slice_order": (
        "slices_out_of_order",
        "{role}: expected slices to resemble their neighbours most (correlation of at least {low:.2f}), found "
        "{value:.2f}: the order of the slices contradicts their positions; " + _IMAGE,
    ),
    "same_head": (
        "series_do_not_match",
        "{role}: expected edges at the same places as in the other series (agreement of at least {low:.2f}), found "
        "{value:.2f}: another head, another place, or flipped; " + _IMAGE,
    ),
    "same_head_gap": (
        "series_do_not_match",
        "{role}: expected edges at the same places as in the other series, found an agreement {value:.2f} less than "
        "theirs with each other (at most {high:.2f}): another head, another place, or flipped; " + _IMAGE,
    ),
    "same_side": (
        "series_do_not_match",
        "{role}: expected the edges of the other series, found that they agree better with this series flipped left "
        "to right (by {value_abs:.2f}); " + _IMAGE,
    ),
    "enhancement": (
        "no_contrast",
        "expected mucosa, vessels or tumour to be brighter in CE-T1w than in T1w (measure of at least {low:.2f}), "
        "found {value:.2f}: no contrast agent, or T1w and CE-T1w exchanged; check both series and assign them with "
        "cptdn studies assign",
    ),
    "enhancement_gain": (
        "no_contrast",
        "expected CE-T1w to be brighter where it deviates from T1w, more than the other way round (measure of at "
        "least {low:.2f}), found {value:.2f}: no contrast agent, or T1w and CE-T1w exchanged; check both series and "
        "assign them with cptdn studies assign",
    ),
    "likeness": (
        "no_contrast",
        "expected CE-T1w to differ from T1w as contrast does (correlation of at most {high:.2f}), found {value:.3f}: "
        "one series twice, or no contrast agent; check both series and assign them with cptdn studies assign",
    ),
    "head_width_mm": (
        "not_a_head",
        "expected a head {low:.0f} to {high:.0f} mm wide in the slices, found {value:.0f} mm: another part of the "
        "body, or wrong pixel spacing; " + _IMAGE,
    ),
    "head_depth_mm": (
        "not_a_head",
        "expected a head {low:.0f} to {high:.0f} mm from front to back in the slices, found {value:.0f} mm: another "
        "part of the body, or wrong pixel spacing; " + _IMAGE,
    ),
    "midline_mm": (
        "implausible_location",
        "expected the tumour's centre {low:.0f} to {high:.0f} mm left of the head's midline (negative: right), found "
        "{value:.0f} mm; " + _CONTOUR,
    ),
    "depth": (
        "implausible_location",
        "expected the tumour's centre at {low:.2f} to {high:.2f} of the way from the front to the back of the head, "
        "found {value:.2f}; " + _CONTOUR,
    ),
    "below_air_mm": (
        "implausible_location",
        "expected the tumour's centre {low:.0f} to {high:.0f} mm below the upper end of the air spaces at the skull "
        "base, found {value:.0f} mm; " + _CONTOUR,
    ),
    "volume_ml": (
        "implausible_volume",
        "expected a primary tumour of {low:.1f} to {high:.1f} mL (training cohort {lowest:.1f} to {highest:.1f}), "
        "found {value:.2f} mL; " + _CONTOUR,
    ),
    "slices": (
        "implausible_volume",
        "expected a primary tumour on {low:.0f} to {high:.0f} slices as in the training cohort, found {value:.0f}; "
        + _CONTOUR,
    ),
    **{
        f"extent_{axis}_mm": (
            "implausible_volume",
            f"expected a primary tumour of {{low:.0f}} to {{high:.0f}} mm {direction} as in the training cohort, found "
            "{value:.0f} mm; " + _CONTOUR,
        )
        for axis, direction in (("x", "from right to left"), ("y", "from front to back"), ("z", "from feet to head"))
    },
    "air": (
        "contour_does_not_fit",
        "expected at most {high:.0%} of the contour to be as dark as air in T1w and T2w, found {value:.0%}; "
        + _CONTOUR,
    ),
    "outline": (
        "contour_does_not_fit",
        "expected the contour to follow edges of the images (agreement of at least {low:.2f}), found {value:.2f}; "
        + _CONTOUR,
    ),
    "outline_moved": (
        "contour_does_not_fit",
        "expected the contour to follow edges of the images best where it is, found a better place 6 to 16 mm away "
        "(by {value_abs:.2f}); " + _CONTOUR,
    ),
    "outline_slices": (
        "contour_does_not_fit",
        "expected the contour to follow edges of the images best where it is, found a better place one or two slices "
        "away (by {value_abs:.2f}); " + _CONTOUR,
    ),
    "outline_mirrored": (
        "contour_does_not_fit",
        "expected the contour to follow edges of the images better than its mirror image, found the opposite (by "
        "{value_abs:.2f}): the contour or all series may be flipped left to right; " + _CONTOUR,
    ),
    "outline_reflected": (
        "contour_does_not_fit",
        "expected the contour to follow edges of the images best where it is, found that it does so better reflected "
        "in the middle of the picture or in the patient's x = 0 (by {value_abs:.2f}): the contour or all series are "
        "flipped left to right; " + _CONTOUR,
    ),
}  # fmt: skip
GROUPS = tuple(dict.fromkeys(code for code, _ in _SENTENCES.values()))
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
    code, sentence = _SENTENCES[kind]
    low, high = limit.low, limit.high
    if not stops:
        low, high = limit.lowest, limit.highest
    text = sentence.format(
        role=role, value=value, value_abs=abs(value), low=low, high=high, lowest=limit.lowest, highest=limit.highest
    )
    return Implausibility(code, text, stops, name)
