"""The head of a phantom: tissues of an axial section through the nasopharynx, drawn from simple geometry.

Coordinates are millimetres in the patient's axes: x to the left, y to the back, z to the head, origin in the
nasopharynx. Nothing here comes from a real image.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from config.arrays import Float32Array, LabelArray


class Tissue(IntEnum):
    """The tissue of a pixel; the number is that of the label maps."""

    AIR = 0
    SKIN = 1
    FAT = 2
    MUSCLE = 3
    MUCOSA = 4
    CORTEX = 5
    MARROW = 6
    BRAIN = 7
    WHITE_MATTER = 8
    FLUID = 9
    VESSEL = 10
    GLAND = 11


@dataclass(frozen=True)
class Part:
    """One ellipsoid of a tissue.

    Attributes
    ----------
    tissue : Tissue
        What it consists of.
    centre, radii : tuple of 3 float
        x, y, z in mm.
    tilt_degrees : float
        Rotation in the axial plane, towards the left.
    mirrored : bool
        The part exists on both sides.
    """

    tissue: Tissue
    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    tilt_degrees: float = 0.0
    mirrored: bool = False


def _shells(
    layers: tuple[tuple[Tissue, float], ...],
    centre: tuple[float, float, float],
    radii: tuple[float, float, float],
    tilt_degrees: float = 0.0,
    mirrored: bool = False,
) -> tuple[Part, ...]:
    """Return nested ellipsoids; each layer begins at its depth (mm) below the outermost surface."""
    x, y, z = radii
    return tuple(
        Part(tissue, centre, (x - depth, y - depth, z - depth), tilt_degrees, mirrored) for tissue, depth in layers
    )


T = Tissue
# Painted in order, later over earlier.
PARTS: tuple[Part, ...] = (
    *_shells(((T.SKIN, 0.0), (T.FAT, 2.0), (T.SKIN, 5.0)), (0, -91, -14), (12, 14, 26)),  # nose
    *_shells(((T.SKIN, 0.0), (T.FAT, 2.2), (T.MUSCLE, 9.0)), (0, 4, 6), (75, 95, 150)),  # head
    *_shells(((T.FAT, 0.0), (T.MUSCLE, 2.0)), (0, 66, -40), (58, 22, 60)),  # muscles of the neck
    *_shells(((T.FAT, 0.0), (T.MUSCLE, 1.6)), (24, 60, -40), (16, 12, 60), 25, True),
    *_shells(
        ((T.CORTEX, 0.0), (T.MARROW, 2.0), (T.CORTEX, 5.0), (T.FLUID, 6.5), (T.BRAIN, 9.5)), (0, 48, 45), (64, 45, 80)
    ),  # posterior fossa
    Part(T.WHITE_MATTER, (18, 58, 45), (16, 15, 70), 20, True),
    Part(T.WHITE_MATTER, (0, 58, 45), (7, 12, 70)),
    *_shells(((T.CORTEX, 0.0), (T.MARROW, 2.5)), (50, 14, 10), (17, 13, 36), 20, True),  # temporal bone
    Part(T.AIR, (55, 18, 5), (4, 5, 22), 0, True),  # mastoid cells
    Part(T.AIR, (46, 12, 12), (3, 3, 16), 0, True),
    *_shells(((T.FAT, 0.0), (T.MUSCLE, 2.0)), (57, -28, -22), (10, 23, 48), -8, True),  # masseter
    *_shells(((T.CORTEX, 0.0), (T.MARROW, 1.8)), (45, -22, -22), (5.5, 17, 46), -10, True),  # ramus of the mandible
    Part(T.GLAND, (58, 2, -18), (12, 16, 34), 10, True),  # parotid
    Part(T.FAT, (27, -12, -5), (13, 24, 45), -25, True),  # parapharyngeal fat
    Part(T.MUSCLE, (33, -26, -4), (8, 17, 36), -15, True),  # pterygoid muscles
    Part(T.MUSCLE, (23, -30, -12), (4, 12, 30), -10, True),
    *_shells(
        ((T.CORTEX, 0.0), (T.MUCOSA, 1.4), (T.AIR, 3.0)), (28, -58, -6), (18, 19, 30), 10, True
    ),  # maxillary sinus
    *_shells(((T.CORTEX, 0.0), (T.MUCOSA, 1.2), (T.AIR, 2.8)), (0, -58, -2), (13, 34, 34)),  # nasal cavity
    Part(T.MUCOSA, (0, -58, -2), (1.6, 32, 32)),  # septum
    Part(T.MUCOSA, (6.5, -54, -8), (2.8, 18, 14), 6, True),  # turbinates
    Part(T.FLUID, (31, -66, 42), (13, 14, 14), 0, True),  # eyes
    Part(T.MUSCLE, (0, -4, -6), (26, 17, 60)),  # pharyngeal wall
    Part(T.MUCOSA, (0, -12, -4), (21, 13, 40)),
    Part(T.AIR, (0, -16, -4), (14, 8, 38)),  # nasopharynx
    Part(T.AIR, (15, -10, 2), (4, 5, 12), -30, True),  # pharyngeal recess
    Part(T.FAT, (0, 8, -30), (22, 10, 60)),
    Part(T.MUSCLE, (9, 4, -20), (8, 7, 60), 10, True),  # longus colli and capitis
    *_shells(((T.CORTEX, 0.0), (T.MARROW, 1.8)), (0, 18, 8), (15, 9, 60)),  # clivus
    Part(T.FLUID, (0, 36, 30), (22, 13, 90)),  # prepontine and medullary cistern
    Part(T.WHITE_MATTER, (0, 38, 34), (15, 10.5, 70)),  # brainstem
    Part(T.FLUID, (0, 51, 34), (6, 3, 26)),  # fourth ventricle
    Part(T.VESSEL, (22, 4, -10), (3.2, 3.2, 90), 0, True),  # internal carotid artery
    Part(T.VESSEL, (29, 11, -20), (4.2, 3.8, 70), 0, True),  # internal jugular vein
)
WARP_MM = 8.0  # largest displacement by the random warp; the margin of painting


@dataclass(frozen=True)
class Head:
    """One patient's variation of the anatomy.

    Attributes
    ----------
    scale : array, shape (3,)
        Factors of x, y, z.
    shift_mm : array, shape (2,)
        In the axial plane.
    roll_degrees : float
        In the axial plane.
    warp : array, shape (k, 5)
        Plane waves: amplitude along x and y (mm), wave numbers along x and y (1/mm), phase.
    part_scale : array, shape (n_parts,)
        Of each part's axial radii.
    """

    scale: NDArray[np.float64]
    shift_mm: NDArray[np.float64]
    roll_degrees: float
    warp: NDArray[np.float64]
    part_scale: NDArray[np.float64]


def draw_head(rng: np.random.Generator, sex: str) -> Head:
    """Draw a head within ordinary variation.

    Parameters
    ----------
    rng : numpy Generator
        Of the patient.
    sex : {"M", "F"}
        Decides the mean size.
    """
    size = (1.02 if sex == "M" else 0.96) * rng.normal(1.0, 0.03)
    waves = 4
    warp = np.column_stack(
        [
            rng.normal(0, 0.9, waves),
            rng.normal(0, 0.9, waves),
            rng.normal(0, 2 * np.pi / 110, waves),
            rng.normal(0, 2 * np.pi / 110, waves),
            rng.uniform(0, 2 * np.pi, waves),
        ]
    )
    return Head(
        scale=size * rng.normal(1.0, 0.02, 3),
        shift_mm=rng.normal(0, 4.0, 2),
        roll_degrees=float(rng.normal(0, 3.0)),
        warp=warp,
        part_scale=rng.normal(1.0, 0.07, len(PARTS)).clip(0.8, 1.2),
    )


def section(head: Head, x_mm: Float32Array, y_mm: Float32Array, z_mm: float) -> LabelArray:
    """Return the tissues of one axial section.

    Parameters
    ----------
    head : Head
        The patient.
    x_mm : array, shape (columns,)
        Pixel centres.
    y_mm : array, shape (rows,)
        Pixel centres.
    z_mm : float
        Height of the section.

    Returns
    -------
    uint8 array, shape (rows, columns)
        Values of Tissue.
    """
    x, y = _warped(head, x_mm, y_mm)
    labels = np.full(x.shape, Tissue.AIR, dtype=np.uint8)
    z = z_mm / head.scale[2]
    for part, part_scale in zip(PARTS, head.part_scale, strict=True):
        height = 1.0 - ((z - part.centre[2]) / part.radii[2]) ** 2
        if height <= 0:
            continue
        # Large parts keep their size: a skull that varies on its own would leave gaps to the skin.
        shrink = np.sqrt(height) * (part_scale if part.radii[0] < 40 else 1.0)
        for side in (1, -1) if part.mirrored else (1,):
            _paint(labels, x, y, part, shrink, side, (x_mm, y_mm), head)
    return labels


def _warped(head: Head, x_mm: Float32Array, y_mm: Float32Array) -> tuple[Float32Array, Float32Array]:
    """Return the position of each pixel in the anatomy without variation: (rows, columns) x and y."""
    angle = np.deg2rad(head.roll_degrees)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    xs = ((x_mm - head.shift_mm[0]) / head.scale[0]).astype(np.float32)[None, :]
    ys = ((y_mm - head.shift_mm[1]) / head.scale[1]).astype(np.float32)[:, None]
    x, y = cos * xs + sin * ys, cos * ys - sin * xs
    for ax, ay, kx, ky, phase in head.warp.astype(np.float32):
        # A plane wave separates: cos(a + b) = cos a cos b - sin a sin b.
        a, b = kx * xs + phase, ky * ys
        wave = np.cos(b) * np.cos(a) - np.sin(b) * np.sin(a)
        x += ax * wave
        y += ay * wave
    return x, y


def _paint(
    labels: LabelArray,
    x: Float32Array,
    y: Float32Array,
    part: Part,
    shrink: float,
    side: int,
    pixels: tuple[Float32Array, Float32Array],
    head: Head,
) -> None:
    cx, cy = side * part.centre[0], part.centre[1]
    rx, ry = part.radii[0] * shrink, part.radii[1] * shrink
    window = _window(pixels, head, cx, cy, max(rx, ry))
    if window is None:
        return
    angle = np.deg2rad(side * part.tilt_degrees)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    dx, dy = x[window] - np.float32(cx), y[window] - np.float32(cy)
    u, v = (cos * dx + sin * dy) / np.float32(rx), (cos * dy - sin * dx) / np.float32(ry)
    labels[window][u * u + v * v < 1.0] = part.tissue


def _window(
    pixels: tuple[Float32Array, Float32Array], head: Head, cx: float, cy: float, radius: float
) -> tuple[slice, slice] | None:
    """Return the part of the image that an ellipse can reach; None where it is outside."""
    angle = np.deg2rad(head.roll_degrees)
    px = head.scale[0] * (np.cos(angle) * cx - np.sin(angle) * cy) + head.shift_mm[0]
    py = head.scale[1] * (np.sin(angle) * cx + np.cos(angle) * cy) + head.shift_mm[1]
    # Most ellipses reach a small part of the image; all pixels would be tested for each of them otherwise.
    reach = (radius + WARP_MM) * float(head.scale.max())
    window = []
    for centre, positions in ((py, pixels[1]), (px, pixels[0])):
        first = int(np.searchsorted(positions, centre - reach))
        last = int(np.searchsorted(positions, centre + reach))
        if first >= last:
            return None
        window.append(slice(first, last))
    return window[0], window[1]
