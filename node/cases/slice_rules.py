"""Rules that decide whether the slices of one series form a volume, for the node and the workers alike.

`node.cases.geometry` applies them to stored headers, `workers.volumes.reader` to files. Both decide by the functions of
this module, so that a series that is called ready can be read. Plain numbers only, no arrays: the node needs no numpy.

References
----------
PS3.3 C.7.6.2 (Image Plane: position, orientation, pixel spacing), C.8.3.1 (Spacing Between Slices: centre to centre).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

SAME_POSITION_MM = 0.01  # DS values of one position differ by rounding only
# Slices of one MR volume are never this close; images of two volumes at one place may be, by rounding or a shift of the
# reconstruction.
SHARED_PLACE_MM = 0.1
COSINE_TOLERANCE = 1e-3  # of direction cosines, 0.06 degrees; some writers round them to three decimals
SPACING_TOLERANCE = 1e-3  # of the pixel spacing
GAP_FACTOR = 1.5  # a distance of more than this many steps is a gap
# Rounding the three coordinates to 0.1 mm moves a slice by up to 0.05 mm times the sum of the normal's components,
# 0.087 mm at most. A slice that is no further off the even grid is not distinguishable from a rounded one.
POSITION_TOLERANCE_MM = 0.1
POSITION_TOLERANCE_OF_STEP = 0.02  # where this is more: slices of 6 mm and above
GREATEST_TOLERANCE_OF_STEP = 0.15  # however thin the slices are
# In the plane the rounding of two slices adds up: 2 x 0.087 mm.
SHEAR_TOLERANCE_MM = 0.2
# Gaps of up to 80 % of the thickness are acquired on purpose; with every second slice missing the step is doubled.
HIDDEN_GAP_FACTOR = 1.8
# Slices reconstructed to overlap have half of their thickness as spacing. A lesser value of Spacing Between Slices is
# the gap between them, as some scanners write it against the standard.
LEAST_OVERLAP_SPACING = 0.4
SUM_TOLERANCE = 0.1  # of the step
# Values of Image Type from the third on, as Philips, Siemens and GE write them for images that are no magnitude.
NOT_MAGNITUDE: Mapping[str, str] = {
    "P": "phase", "PHASE": "phase", "PHASE MAP": "phase", "PHASE_MAP": "phase", "P_FFE": "phase", "P_SE": "phase",
    "R": "real", "REAL": "real", "REAL_FFE": "real", "R_FFE": "real", "R_SE": "real",
    "I": "imaginary", "IMAGINARY": "imaginary", "IMAG": "imaginary", "I_FFE": "imaginary", "I_SE": "imaginary",
    "IMAGINARY_FFE": "imaginary", "VELOCITY MAP": "velocity", "VELOCITY_MAP": "velocity",
}  # fmt: skip
MAGNITUDE = "magnitude"
# Larger images and other pixel sizes are no MR; a damaged header may claim anything.
MAX_SIDE_PIXELS = 8192
BITS_ALLOCATED = (8, 16, 32)


@dataclass(frozen=True)
class SliceSpacing:
    """How the slices of one series follow each other.

    Attributes
    ----------
    step_mm : float
        Distance of neighbouring slices, > 0.
    gaps : tuple of (int, int)
        Index of the slice before each gap, and the number of slices that are missing there, >= 1.
    is_even : bool
        Whether every slice is on a grid of equal steps, apart from the rounding of positions.
    """

    step_mm: float
    gaps: tuple[tuple[int, int], ...]
    is_even: bool

    @property
    def n_missing(self) -> int:
        """Number of slices missing in all gaps."""
        return sum(count for _, count in self.gaps)


def complex_component(image_type: Sequence[str], component: str | None) -> str:
    """Return which part of the complex signal an image shows.

    Parameters
    ----------
    image_type : sequence of str
        Image Type (0008,0008) or Frame Type (0008,9007); vendors of classic MR write the part after the second value.
    component : str or None
        Complex Image Component (0008,9208) of Enhanced MR, where it is given.

    Returns
    -------
    str
        "magnitude", or "phase", "real", "imaginary", "velocity" or "mixed".

    References
    ----------
    PS3.3 C.8.13.3.1.1.
    """
    # Enhanced MR says it in a defined term; MIXED is the term of an object whose frames differ.
    if component:
        return str(component).strip().lower()
    parts = [NOT_MAGNITUDE[value.strip().upper()] for value in image_type[2:] if value.strip().upper() in NOT_MAGNITUDE]
    return parts[0] if parts else MAGNITUDE


def is_one_position(lower_mm: float, higher_mm: float) -> bool:
    """Return whether two offsets along the normal are one slice position."""
    return higher_mm - lower_mm <= SAME_POSITION_MM


def is_one_place(lower_mm: float, higher_mm: float) -> bool:
    """Return whether two offsets along the normal are too close for two slices of one volume."""
    return higher_mm - lower_mm <= SHARED_PLACE_MM


def has_shared_places(offsets_mm: Sequence[float]) -> bool:
    """Return whether two offsets along the normal, in any order, are one place: there may be several volumes."""
    return any(is_one_place(low, high) for low, high in pairwise(sorted(offsets_mm)))


def are_one_orientation(orientations: Sequence[Sequence[float]]) -> bool:
    """Return whether all direction cosines agree; the order of the slices does not matter."""
    return all(max(values) - min(values) <= COSINE_TOLERANCE + 1e-9 for values in zip(*orientations, strict=True))


def is_orthonormal(orientation: Sequence[float]) -> bool:
    """Return whether six direction cosines are two perpendicular unit vectors.

    Parameters
    ----------
    orientation : sequence of 6 float
        Direction cosines along a row, then along a column.
    """
    row, column = orientation[:3], orientation[3:]
    lengths = (_dot(row, row), _dot(column, column))
    return abs(_dot(row, column)) <= COSINE_TOLERANCE and all(
        abs(length - 1) <= 2 * COSINE_TOLERANCE for length in lengths
    )


def is_pixel_spacing(spacing_mm: Sequence[float]) -> bool:
    """Return whether this is a usable Pixel Spacing: two distances greater than 0."""
    return len(spacing_mm) == 2 and min(spacing_mm) > 0


def are_one_spacing(spacings_mm: Sequence[Sequence[float]]) -> bool:
    """Return whether usable pixel spacings agree within one per mille."""
    return all(max(values) <= min(values) * (1 + SPACING_TOLERANCE) for values in zip(*spacings_mm, strict=True))


def position_tolerance_mm(step_mm: float) -> float:
    """Return how far a slice may be off the even grid, in mm."""
    rounding = min(POSITION_TOLERANCE_MM, GREATEST_TOLERANCE_OF_STEP * step_mm)
    return max(rounding, POSITION_TOLERANCE_OF_STEP * step_mm)


def slice_spacing(offsets_mm: Sequence[float], stated_mm: float | None = None) -> SliceSpacing | None:
    """Compute the step of a stack, and find gaps and uneven distances.

    Parameters
    ----------
    offsets_mm : sequence of float
        Different slice positions along the normal, ascending, mm.
    stated_mm : float, optional
        Spacing Between Slices. Used only where two neighbours really have this distance: more slices may be missing
        than are there.

    Returns
    -------
    SliceSpacing or None
        None for fewer than two slices. Slices are compared with the straight line through all of them, not with their
        neighbours: rounding adds up between two neighbours but not along the stack.
    """
    distances = [high - low for low, high in pairwise(offsets_mm)]
    if not distances:
        return None
    step = _common_distance(distances, stated_mm)
    counts = [max(2, round(d / step)) if d > GAP_FACTOR * step else 1 for d in distances]
    gaps = tuple((at, count - 1) for at, count in enumerate(counts) if count > 1)
    indices = [0]
    for count in counts:
        indices.append(indices[-1] + count)
    mean_index, mean_offset = sum(indices) / len(indices), sum(offsets_mm) / len(offsets_mm)
    fitted = sum(
        (index - mean_index) * (offset - mean_offset) for index, offset in zip(indices, offsets_mm, strict=True)
    ) / sum((index - mean_index) ** 2 for index in indices)
    furthest = max(
        abs(offset - mean_offset - fitted * (index - mean_index))
        for index, offset in zip(indices, offsets_mm, strict=True)
    )
    is_even = furthest <= position_tolerance_mm(fitted)
    return SliceSpacing(fitted if is_even else step, gaps, is_even)


def hidden_gap_mm(step_mm: float, spacing_mm: float | None, thickness_mm: float | None) -> float | None:
    """Return the slice distance that the header states when the slices are so far apart that some must be missing.

    A series of which every second slice is missing is even: only the header tells.

    Parameters
    ----------
    step_mm : float
        Distance of neighbouring slices by their positions.
    spacing_mm, thickness_mm : float or None
        Spacing Between Slices and Slice Thickness; None or 0 where not stated.

    Returns
    -------
    float or None
        The stated distance in mm, or None when nothing indicates missing slices.
    """
    spacing, thickness = max(spacing_mm or 0.0, 0.0), max(thickness_mm or 0.0, 0.0)
    stated = max(spacing, thickness)
    if stated > 0 and step_mm > HIDDEN_GAP_FACTOR * stated:
        return stated
    if LEAST_OVERLAP_SPACING * thickness <= spacing < thickness and step_mm > HIDDEN_GAP_FACTOR * spacing:
        # A spacing that was written as the gap between two slices adds up with the thickness.
        is_gap_width = abs(step_mm - spacing - thickness) <= SUM_TOLERANCE * step_mm
        return None if is_gap_width else spacing
    return None


def images_missing(n_images: int, n_stated: float | None, is_distance_stated: bool) -> bool:
    """Return whether fewer images are there than the acquisition contains.

    Parameters
    ----------
    n_images : int
        Images of one acquisition (Acquisition Number) in the series.
    n_stated : float or None
        Images in Acquisition (0020,1002) of original images; derived ones keep the number of their source.
    is_distance_stated : bool
        Whether the header states the slice distance, so that every second missing slice is found by it.

    Returns
    -------
    bool
        False where the stated number is a multiple: then other volumes of the acquisition (echoes, Dixon images) are
        in other series, unless nothing else could tell that every second slice is missing.
    """
    if n_stated is None or n_stated <= n_images or n_images == 0:
        return False
    return not (is_distance_stated and n_stated % n_images == 0)


def _common_distance(distances: Sequence[float], stated_mm: float | None) -> float:
    """Return the distance on which more than half of the neighbours agree to 0.01 mm, else the median."""
    if stated_mm and sum(abs(d - stated_mm) <= POSITION_TOLERANCE_MM for d in distances) > 1:
        least = min(distances)
        if abs(least - stated_mm) <= POSITION_TOLERANCE_MM:
            return stated_mm
    counted = Counter(round(value, 2) for value in distances)
    common, times = counted.most_common(1)[0]
    if times * 2 > len(distances) and common > 0:
        return common
    return sorted(distances)[len(distances) // 2]


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    return math.fsum(x * y for x, y in zip(a, b, strict=True))
