"""A generator of RTSTRUCTs that are written as real programs write them: repeated, turned, parted, rounded, damaged.

A mutation keeps the region that was drawn (`KEEPS`), or takes planes away (`DROPS`), or makes it unclear what is meant
(`CONFUSES`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Drawn:
    """One contour of a region: a hole is inside another contour of its plane."""

    points: Points
    plane: int
    is_hole: bool = False
    is_joined: bool = False  # two contours with a bridge between them

    def moved_to(self, points: Points) -> Drawn:
        return replace(self, points=points)


Contours = list[Drawn]


@dataclass
class Structure:
    """A structure set before it is written: the contours of GTVp, and how its items are laid out."""

    contours: Contours
    normal: Points = field(default_factory=lambda: np.array([0.0, 0.0, 1.0]))
    geometric_type: str = "CLOSED_PLANAR"
    items: int = 1  # of the ROI Contour Sequence that GTVp's contours are spread over
    decimals: int = 4
    damage: str = ""  # of the other ROI
    numbers_are_equal: bool = False
    numbers_are_swapped: bool = False
    frame_in_roi: bool = True
    applied: list[str] = field(default_factory=list)

    def change(self, rng: Generator, of_points: Callable[[Points], Points]) -> None:
        """Change the points of all contours, or of about half of them."""
        for at in some(self.contours, rng):
            self.contours[at] = self.contours[at].moved_to(of_points(self.contours[at].points))


Mutation = Callable[[Structure, Generator], None]
CONTOUR_DATA = Tag("ContourData")
DAMAGES = ("not a number", "no triples", "empty", "trailing backslash", "text", "no number", "no contours")


def some(contours: Contours, rng: Generator) -> list[int]:
    """Indices of all contours, or of about half of them."""
    chosen = np.arange(len(contours)) if rng.random() < 0.5 else np.flatnonzero(rng.random(len(contours)) < 0.5)
    return [int(at) for at in chosen]


def duplicate(structure: Structure, rng: Generator) -> None:
    structure.contours += [structure.contours[at] for at in some(structure.contours, rng)]


def duplicate_rounded_apart(structure: Structure, rng: Generator) -> None:
    for at in some(structure.contours, rng):
        points = structure.contours[at].points
        structure.contours.append(structure.contours[at].moved_to(points + rng.uniform(-0.01, 0.01, points.shape)))


def reverse(structure: Structure, rng: Generator) -> None:
    structure.change(rng, lambda points: points[::-1].copy())


def turn_start(structure: Structure, rng: Generator) -> None:
    structure.change(rng, lambda points: np.roll(points, int(rng.integers(1, 70)), axis=0))


def repeat_closing_point(structure: Structure, rng: Generator) -> None:
    structure.change(rng, lambda points: np.vstack([points, points[:1]]))


def insert_points(structure: Structure, rng: Generator) -> None:
    def denser(points: Points) -> Points:
        between = (points + np.roll(points, -1, axis=0)) / 2
        return np.stack([points, between], axis=1).reshape(-1, 3)

    structure.change(rng, denser)


def jitter_points(structure: Structure, rng: Generator) -> None:
    structure.change(rng, lambda points: points + rng.uniform(-0.01, 0.01, points.shape))


def jitter_heights(structure: Structure, rng: Generator) -> None:
    """Each contour a little off its plane, as other programs round its coordinates."""
    structure.change(rng, lambda points: points + rng.uniform(-0.04, 0.04) * structure.normal)


def part_with_overlap(structure: Structure, rng: Generator) -> None:
    """Draw one contour as two that overlap; their union is the old one."""
    n = _split(structure, rng)
    if n:
        _part(structure, rng, reach=n // 2 + int(rng.integers(n // 12, n // 6)))


def part_along_a_chord(structure: Structure, rng: Generator) -> None:
    """Draw one contour as two halves that have a chord in common."""
    n = _split(structure, rng)
    if n:
        _part(structure, rng, reach=n // 2 + 1)


def join_with_a_bridge(structure: Structure, rng: Generator) -> None:
    """Write two contours of a plane as one, with a bridge of no width: a keyhole, or two islands."""
    planes = {each.plane for each in structure.contours}
    for plane in planes:
        members = [at for at, each in enumerate(structure.contours) if each.plane == plane]
        if len(members) == 2:
            first, second = (structure.contours[at] for at in members)
            points = np.vstack([first.points, first.points[:1], second.points, second.points[:1]])
            del structure.contours[members[1]]
            structure.contours[members[0]] = Drawn(points, plane, is_joined=True)


def shuffle_order(structure: Structure, rng: Generator) -> None:
    structure.contours = [structure.contours[int(at)] for at in rng.permutation(len(structure.contours))]


def spread_over_items(structure: Structure, rng: Generator) -> None:
    structure.items = int(rng.integers(2, 5))


def write_type_in_lower_case(structure: Structure, rng: Generator) -> None:
    structure.geometric_type = structure.geometric_type.lower()


def leave_type_out(structure: Structure, rng: Generator) -> None:
    structure.geometric_type = ""


def round_coordinates(structure: Structure, rng: Generator) -> None:
    structure.decimals = int(rng.integers(1, 3))


def damage_other_roi(structure: Structure, rng: Generator) -> None:
    structure.damage = str(rng.choice(DAMAGES))


def swap_numbers(structure: Structure, rng: Generator) -> None:
    """Exchange the numbers of both ROIs in all sequences: the names still have their contours."""
    structure.numbers_are_swapped = True


def leave_frame_out(structure: Structure, rng: Generator) -> None:
    structure.frame_in_roi = False


def drop_planes(structure: Structure, rng: Generator) -> None:
    planes = sorted({each.plane for each in structure.contours})
    left = [plane for plane in planes if rng.random() > 0.3] or planes[:1]
    structure.contours = [each for each in structure.contours if each.plane in left]


def give_one_number_twice(structure: Structure, rng: Generator) -> None:
    structure.numbers_are_equal = True


def draw_a_second_set(structure: Structure, rng: Generator) -> None:
    """Draw everything again in planes 0.2 to 2.8 mm away."""
    offset = rng.uniform(0.2, 2.8) * structure.normal
    structure.contours += [each.moved_to(each.points + offset) for each in structure.contours]


def _split(structure: Structure, rng: Generator) -> int:
    """Move a contour that is alone in its plane to the end, and return its number of points; 0 where there is none."""
    counts = [sum(other.plane == each.plane for other in structure.contours) for each in structure.contours]
    alone = [at for at, count in enumerate(counts) if count == 1 and not structure.contours[at].is_joined]
    if not alone:
        return 0
    structure.contours.append(structure.contours.pop(int(rng.choice(alone))))
    return len(structure.contours[-1].points)


def _part(structure: Structure, rng: Generator, reach: int) -> None:
    whole = structure.contours.pop()
    parts = (whole.points[:reach], np.roll(whole.points, -(len(whole.points) // 2), axis=0)[:reach])
    structure.contours += [whole.moved_to(part) for part in parts if len(part) >= 3]


# A parted contour overlaps itself along chords; halves of a circle cut by chords join to the whole circle. Contours are
# joined by a bridge before anything else is done with them, and parted before they are repeated.
FIRST: tuple[Mutation, ...] = (join_with_a_bridge, part_with_overlap, part_along_a_chord)
KEEPS: tuple[Mutation, ...] = (
    *FIRST, duplicate, duplicate_rounded_apart, reverse, turn_start, repeat_closing_point, insert_points, jitter_points,
    jitter_heights, shuffle_order, spread_over_items, write_type_in_lower_case, leave_type_out, round_coordinates,
    damage_other_roi, swap_numbers, leave_frame_out,
)  # fmt: skip
DROPS: tuple[Mutation, ...] = (drop_planes,)
CONFUSES: tuple[Mutation, ...] = (give_one_number_twice, draw_a_second_set)


def mutated(contours: Contours, normal: Points, rng: Generator) -> Structure:
    """Apply one to four mutations to a region."""
    structure = Structure(list(contours), normal)
    chosen = sorted(int(at) for at in rng.choice(len(KEEPS), size=int(rng.integers(1, 4)), replace=False))
    mutations = [KEEPS[at] for at in chosen]
    kind = rng.random()
    if kind < 0.15:
        mutations += DROPS
    elif kind < 0.25:
        mutations.append(CONFUSES[int(rng.integers(len(CONFUSES)))])
    for mutation in mutations:
        mutation(structure, rng)
        structure.applied.append(mutation.__name__)
    return structure


def rewrite(ds: Dataset, structure: Structure) -> None:
    """Write the structure into a data set with the ROIs GTVp (number 11) and Brainstem (number 14)."""
    gtv, other = ds.StructureSetROISequence
    if not structure.frame_in_roi:
        del gtv.ReferencedFrameOfReferenceUID
    if structure.numbers_are_swapped:
        gtv.ROINumber, other.ROINumber = other.ROINumber, gtv.ROINumber
        for observed in ds.RTROIObservationsSequence:
            observed.ReferencedROINumber = 25 - observed.ReferencedROINumber
    number, other_number = gtv.ROINumber, other.ROINumber
    if structure.numbers_are_equal:
        other.ROINumber = number
    parts = []
    for group in np.array_split(np.arange(len(structure.contours)), structure.items):
        item = Dataset()
        item.ReferencedROINumber = number
        item.ContourSequence = [_contour(structure.contours[int(at)].points, structure) for at in group]
        parts.append(item)
    ds.ROIContourSequence = [*parts, _other(structure, int(other_number))]


def _other(structure: Structure, number: int) -> Dataset:
    item = Dataset()
    if structure.damage != "no number":
        item.ReferencedROINumber = number
    contour = _contour(structure.contours[0].points, structure)
    item.ContourSequence = [] if structure.damage == "no contours" else [contour]
    stored = {
        "not a number": b"nan\\1\\2\\nan\\1\\2\\nan\\1\\2 ",
        "no triples": b"1.0\\2.0\\3.0\\4.0 ",
        "empty": b"",
        "text": b"1.0\\x\\3.0\\1.0\\x\\3.0",
        "trailing backslash": b"1\\2\\3\\4\\2\\3\\4\\5\\3\\",
    }
    if structure.damage in stored:
        value = stored[structure.damage]
        contour[CONTOUR_DATA] = RawDataElement(CONTOUR_DATA, "DS", len(value), value, 0, False, True)
    return item


def _contour(points: Points, structure: Structure) -> Dataset:
    item = Dataset()
    if structure.geometric_type:
        item.ContourGeometricType = structure.geometric_type
    item.NumberOfContourPoints = len(points)
    item.ContourData = [f"{value:.{structure.decimals}f}" for value in points.ravel()]
    return item
