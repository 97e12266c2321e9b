"""A generator of RTSTRUCTs that are written as real programs write them: repeated, turned, parted, rounded, damaged.

A mutation keeps the region that was drawn (`keeps`), or takes planes away (`drops`), or makes it unclear whose contours
they are (`confuses`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from pydicom import Dataset

Points = NDArray[np.float64]
Contours = list[Points]


@dataclass
class Structure:
    """A structure set before it is written: the contours of GTVp, and how its items are laid out."""

    contours: Contours
    geometric_type: str = "CLOSED_PLANAR"
    items: int = 1  # of the ROI Contour Sequence that GTVp's contours are spread over
    decimals: int = 4
    other_is_damaged: bool = False
    numbers_are_equal: bool = False
    frame_in_roi: bool = True
    applied: list[str] = field(default_factory=list)


Mutation = Callable[[Structure, Generator], None]


def some(contours: Contours, rng: Generator) -> list[int]:
    """Indices of all contours, or of about half of them."""
    chosen = np.arange(len(contours)) if rng.random() < 0.5 else np.flatnonzero(rng.random(len(contours)) < 0.5)
    return [int(at) for at in chosen]


def duplicate(structure: Structure, rng: Generator) -> None:
    structure.contours += [structure.contours[at].copy() for at in some(structure.contours, rng)]


def duplicate_rounded_apart(structure: Structure, rng: Generator) -> None:
    structure.contours += [
        structure.contours[at] + rng.uniform(-0.01, 0.01, structure.contours[at].shape)
        for at in some(structure.contours, rng)
    ]


def reverse(structure: Structure, rng: Generator) -> None:
    for at in some(structure.contours, rng):
        structure.contours[at] = structure.contours[at][::-1].copy()


def turn_start(structure: Structure, rng: Generator) -> None:
    for at in some(structure.contours, rng):
        structure.contours[at] = np.roll(structure.contours[at], int(rng.integers(1, 70)), axis=0)


def repeat_closing_point(structure: Structure, rng: Generator) -> None:
    for at in some(structure.contours, rng):
        structure.contours[at] = np.vstack([structure.contours[at], structure.contours[at][:1]])


def insert_points(structure: Structure, rng: Generator) -> None:
    for at in some(structure.contours, rng):
        points = structure.contours[at]
        between = (points + np.roll(points, -1, axis=0)) / 2
        structure.contours[at] = np.stack([points, between], axis=1).reshape(-1, 3)


def part_with_overlap(structure: Structure, rng: Generator) -> None:
    """Draw one contour as two that overlap; their union is the old one."""
    at = int(rng.integers(len(structure.contours)))
    points = structure.contours[at]
    n = len(points)
    reach = n // 2 + int(rng.integers(n // 12, n // 6))
    parts = (points[:reach], np.roll(points, -(n // 2), axis=0)[:reach])
    hull = [part for part in parts if len(part) >= 3]
    structure.contours[at : at + 1] = hull


def spread_over_items(structure: Structure, rng: Generator) -> None:
    structure.items = int(rng.integers(2, 5))


def write_type_in_lower_case(structure: Structure, rng: Generator) -> None:
    structure.geometric_type = structure.geometric_type.lower()


def leave_type_out(structure: Structure, rng: Generator) -> None:
    structure.geometric_type = ""


def round_coordinates(structure: Structure, rng: Generator) -> None:
    structure.decimals = int(rng.integers(1, 3))


def damage_other_roi(structure: Structure, rng: Generator) -> None:
    structure.other_is_damaged = True


def leave_frame_out(structure: Structure, rng: Generator) -> None:
    structure.frame_in_roi = False


def drop_planes(structure: Structure, rng: Generator) -> None:
    left = [contour for contour in structure.contours if rng.random() > 0.3]
    structure.contours = left or structure.contours[:1]


def give_one_number_twice(structure: Structure, rng: Generator) -> None:
    structure.numbers_are_equal = True


# A parted contour overlaps itself along chords; halves of a circle cut by chords join to the whole circle.
KEEPS: tuple[Mutation, ...] = (
    duplicate, duplicate_rounded_apart, reverse, turn_start, repeat_closing_point, insert_points, part_with_overlap,
    spread_over_items, write_type_in_lower_case, leave_type_out, round_coordinates, damage_other_roi, leave_frame_out,
)  # fmt: skip
DROPS: tuple[Mutation, ...] = (drop_planes,)
CONFUSES: tuple[Mutation, ...] = (give_one_number_twice,)


def mutated(contours: Contours, rng: Generator) -> Structure:
    """Apply one to four mutations to a region."""
    structure = Structure([contour.copy() for contour in contours])
    chosen = rng.choice(len(KEEPS), size=int(rng.integers(1, 4)), replace=False)
    mutations = [KEEPS[int(at)] for at in chosen]
    kind = rng.random()
    mutations += list(DROPS) if kind < 0.15 else list(CONFUSES) if kind < 0.2 else []
    for mutation in mutations:
        mutation(structure, rng)
        structure.applied.append(mutation.__name__)
    return structure


def rewrite(ds: Dataset, structure: Structure) -> None:
    """Write the structure into a data set with the ROIs GTVp (number 11) and Brainstem (number 14)."""
    gtv, other = ds.StructureSetROISequence
    if not structure.frame_in_roi:
        del gtv.ReferencedFrameOfReferenceUID
    if structure.numbers_are_equal:
        other.ROINumber = gtv.ROINumber
    parts = []
    for group in np.array_split(np.arange(len(structure.contours)), structure.items):
        item = Dataset()
        item.ReferencedROINumber = gtv.ROINumber
        item.ContourSequence = [_contour(structure.contours[int(at)], structure) for at in group]
        parts.append(item)
    damaged = Dataset()
    damaged.ReferencedROINumber = 14
    damaged.ContourSequence = [_contour(structure.contours[0], structure)]
    if structure.other_is_damaged:
        damaged.ContourSequence[0].ContourData = ["1.0", "2.0", "3.0", "4.0"]
    ds.ROIContourSequence = [*parts, damaged]


def _contour(points: Points, structure: Structure) -> Dataset:
    item = Dataset()
    if structure.geometric_type:
        item.ContourGeometricType = structure.geometric_type
    item.NumberOfContourPoints = len(points)
    item.ContourData = [f"{value:.{structure.decimals}f}" for value in points.ravel()]
    return item
