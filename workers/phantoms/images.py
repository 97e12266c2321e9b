"""MR series of a phantom: the same head three times, each sequence carrying the two latent scores in its own way.

| sequence | Prognostic value                                  | Predictive value                                   |
|----------|---------------------------------------------------|----------------------------------------------------|
| T1w      | heterogeneity of the tumour                       | signal of the rim around the tumour                |
| T2w      | bright islands inside the tumour                  | signal of the whole tumour against muscle          |
| CE-T1w   | depth of the core that does not enhance           | enhancement of the tumour's margin                 |
| all      | lobulation of the outline (also in the mask)      |                                                    |

Each cue has its own noise of CUE_NOISE standard deviations of its latent. A scanner adds gain, gamma, bias field,
Rician noise, blur, pixel spacing and slice thickness; an observer adds contour jitter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from config.arrays import Float32Array, LabelArray
from config.indication.nasopharynx import NASOPHARYNX
from workers.phantoms.anatomy import Head, Tissue, draw_head, section

ROLES = tuple(role.value for role in NASOPHARYNX.series_roles)
CUE_NOISE = 0.25
PROGNOSTIC_SD, PREDICTIVE_SD = 0.48, 0.55  # of the published scores' distributions
FIELD_OF_VIEW_MM = 230.0
N_ANGLES = 180

# Signal of each tissue, in the order of Tissue, where muscle in T1w is 0.42.
SIGNAL: dict[str, NDArray[np.float32]] = {
    "T1w": np.array([0.02, 0.55, 0.95, 0.42, 0.46, 0.07, 0.70, 0.50, 0.58, 0.22, 0.12, 0.66], dtype=np.float32),
    "T2w": np.array([0.02, 0.40, 0.68, 0.26, 0.80, 0.06, 0.46, 0.52, 0.42, 0.98, 0.10, 0.56], dtype=np.float32),
    "CE-T1w": np.array([0.02, 0.55, 0.80, 0.47, 0.86, 0.07, 0.62, 0.52, 0.58, 0.24, 0.92, 0.74], dtype=np.float32),
}
TUMOUR_SIGNAL = {"T1w": 0.44, "T2w": 0.52, "CE-T1w": 0.66}


@dataclass(frozen=True)
class ScannerRange:
    """Uniform ranges from which a scanner's properties are drawn, one scanner per series.

    Attributes
    ----------
    gain : pair of float
        Grey values per unit of signal.
    gamma : pair of float
        Exponent of the signal.
    bias : pair of float
        Largest log multiplicative bias.
    noise : pair of float
        Standard deviation in units of signal.
    blur_mm : pair of float
        Gaussian sigma.
    spacing_mm, thickness_mm : pair of float
        Of the grid.
    """

    gain: tuple[float, float] = (400.0, 1600.0)
    gamma: tuple[float, float] = (0.9, 1.1)
    bias: tuple[float, float] = (0.0, 0.20)
    noise: tuple[float, float] = (0.010, 0.030)
    blur_mm: tuple[float, float] = (0.35, 0.8)
    spacing_mm: tuple[float, float] = (0.85, 1.05)
    thickness_mm: tuple[float, float] = (5.0, 6.5)


TRAINING_SCANNERS = ScannerRange()
OTHER_SCANNERS = ScannerRange(
    gain=(1800.0, 4000.0), gamma=(0.75, 1.3), bias=(0.20, 0.35), noise=(0.030, 0.050), blur_mm=(0.8, 1.2),
    spacing_mm=(0.75, 1.15), thickness_mm=(4.5, 6.5),
)  # fmt: skip


@dataclass(frozen=True)
class Tumour:
    """A lobulated ellipsoid in the wall of the nasopharynx.

    Attributes
    ----------
    centre_mm, radii_mm : array, shape (3,)
        x, y, z.
    lobes : array, shape (k, 4)
        Relative amplitude, order in the axial plane, turn per mm of z, phase.
    jitter : array, shape (j, 4)
        The same for the observer's contour.
    """

    centre_mm: NDArray[np.float64]
    radii_mm: NDArray[np.float64]
    lobes: NDArray[np.float64]
    jitter: NDArray[np.float64]

    def outline(self, z_mm: float, angles: Float32Array, drawn: bool = False) -> Float32Array | None:
        """Return the distance from the axis to the surface in one section.

        Parameters
        ----------
        z_mm : float
            Height of the section.
        angles : array, shape (a,)
            Radians in the axial plane.
        drawn : bool
            The observer's contour instead of the true surface.

        Returns
        -------
        float32 array, shape (a,), or None
            Millimetres; None where the section misses the tumour.
        """
        height = 1.0 - ((z_mm - self.centre_mm[2]) / self.radii_mm[2]) ** 2
        # Near the pole a section would be a contour of a few pixels, which observers do not draw.
        if height <= 0.02:
            return None
        relative = np.ones_like(angles)
        for amplitude, order, turn, phase in np.vstack([self.lobes, self.jitter] if drawn else [self.lobes]):
            relative += np.float32(amplitude) * np.cos(order * angles + turn * z_mm + phase, dtype=np.float32)
        ellipse = self.radii_mm[0] * self.radii_mm[1] / np.hypot(
            self.radii_mm[1] * np.cos(angles), self.radii_mm[0] * np.sin(angles)
        )  # fmt: skip
        return np.asarray(ellipse * np.sqrt(height) * np.maximum(relative, 0.25), dtype=np.float32)


@dataclass(frozen=True)
class Cues:
    """How strongly the images show the latents: about -2 to 2 standard deviations each, cue noise included."""

    texture: float
    rim: float
    islands: float
    t2_signal: float
    core: float
    margin: float
    lobulation: float


@dataclass(frozen=True)
class Subject:
    """What is the same in all three series of one phantom: head, tumour, cues."""

    head: Head
    tumour: Tumour
    cues: Cues


@dataclass(frozen=True)
class Grid:
    """Pixel centres of a stack of axial sections, in mm: x (columns,), y (rows,), z (slices,)."""

    x_mm: Float32Array
    y_mm: Float32Array
    z_mm: Float32Array


def draw_subject(
    prognostic: float, predictive: float, sex: str, tumour_volume_ml: float, rng: np.random.Generator
) -> Subject:
    """Draw anatomy, tumour and cues of one phantom with these latent scores.

    Parameters
    ----------
    prognostic, predictive : float
        Latent scores in (-1, 1).
    sex : {"M", "F"}
        Decides the mean size of the head.
    tumour_volume_ml : float
        Volume of the ellipsoid before lobulation.
    rng : numpy Generator
        Of the patient's anatomy.
    """
    # Each cue has noise of its own, so no single sequence determines a latent and each of them adds information.
    noisy = [prognostic / PROGNOSTIC_SD + CUE_NOISE * rng.standard_normal() for _ in range(4)]
    noisy += [predictive / PREDICTIVE_SD + CUE_NOISE * rng.standard_normal() for _ in range(3)]
    cues = Cues(
        texture=noisy[0], islands=noisy[1], core=noisy[2], lobulation=noisy[3],
        rim=noisy[4], t2_signal=noisy[5], margin=noisy[6],
    )  # fmt: skip
    return Subject(draw_head(rng, sex), _draw_tumour(cues, tumour_volume_ml, rng), cues)


def _draw_tumour(cues: Cues, volume_ml: float, rng: np.random.Generator) -> Tumour:
    # The sphere of this volume: 1 mL is 1000 mm^3. The lobes change the volume by a few per cent.
    radius = (3000.0 * volume_ml / (4 * np.pi)) ** (1 / 3)
    shape = np.exp(rng.normal(0, 0.10, 3))
    # Product 1: the ellipsoid keeps the volume.
    shape /= np.prod(shape) ** (1 / 3)
    orders = np.array([3.0, 4.0, 5.0, 7.0])
    amplitude = (0.075 + 0.033 * np.clip(cues.lobulation, -2, 2.2)) * np.array([1.0, 0.9, 0.8, 0.5])
    lobes = np.column_stack(
        [amplitude, orders, rng.normal(0, 0.08, 4), rng.uniform(0, 2 * np.pi, 4)],
    )
    jitter = np.column_stack(
        [rng.normal(0, 0.015, 5), np.arange(5.0), rng.normal(0, 0.3, 5), rng.uniform(0, 2 * np.pi, 5)]
    )
    centre = np.array([rng.normal(0, 6), rng.normal(-10, 3), rng.normal(0, 3)])
    return Tumour(centre, radius * shape, lobes, jitter)


def grid_of(spacing_mm: float, thickness_mm: float, z_range_mm: tuple[float, float]) -> Grid:
    """Return sections over the field of view; the centre of the head is in the middle.

    Parameters
    ----------
    spacing_mm, thickness_mm : float
        In the plane, and between slices.
    z_range_mm : pair of float
        First height, last height (included).
    """
    n = round(FIELD_OF_VIEW_MM / spacing_mm)
    across = ((np.arange(n) - (n - 1) / 2) * spacing_mm).astype(np.float32)
    z = np.arange(z_range_mm[0], z_range_mm[1] + 1e-6, thickness_mm, dtype=np.float32)
    return Grid(x_mm=across, y_mm=across, z_mm=z)


def tumour_mask(tumour: Tumour, grid: Grid) -> LabelArray:
    """Return the observer's contour, filled at pixel centres.

    Returns
    -------
    uint8 array, shape (slices, rows, columns)
        0 or 1.
    """
    mask = np.zeros((len(grid.z_mm), len(grid.y_mm), len(grid.x_mm)), dtype=np.uint8)
    for k, z in enumerate(grid.z_mm):
        outline = _relative_radius(tumour, grid, float(z), drawn=True)
        if outline is not None:
            window, relative, _ = outline
            mask[k][window] = relative < 1.0
    return mask


def tissues(head: Head, grid: Grid) -> LabelArray:
    """Return the tissue labels of a head, the same for all sequences.

    Returns
    -------
    uint8 array, shape (slices, rows, columns)
        Values of Tissue.
    """
    return np.stack([section(head, grid.x_mm, grid.y_mm, float(z)) for z in grid.z_mm])


def render(
    subject: Subject, role: str, grid: Grid, labels_zyx: LabelArray, scanner: ScannerRange, rng: np.random.Generator
) -> Float32Array:
    """Return the grey values of one sequence on a scanner drawn from the range.

    Parameters
    ----------
    subject : Subject
        The phantom.
    role : str
        Series role; decides signals and which cues are painted.
    grid : Grid
        Pixel centres.
    labels_zyx : uint8 array, shape (slices, rows, columns)
        From `tissues` on the same grid.
    scanner : ScannerRange
        Range of the scanner's properties.
    rng : numpy Generator
        Of this scan.

    Returns
    -------
    float32 array, shape (slices, rows, columns)
        Grey values >= 0.
    """
    gain, gamma, bias, noise, blur = (
        rng.uniform(*limits) for limits in (scanner.gain, scanner.gamma, scanner.bias, scanner.noise, scanner.blur_mm)
    )
    signal = SIGNAL[role] * rng.normal(1.0, 0.05, len(SIGNAL[role])).clip(0.85, 1.15).astype(np.float32)
    tumour_signal = TUMOUR_SIGNAL[role] * rng.normal(1.0, 0.03)
    field = _BiasField(bias, rng)
    tile = ndimage.gaussian_filter(rng.standard_normal((384, 384), dtype=np.float32), 1.2, mode="wrap")
    # One noise tile for all sections, shifted at random; the texture of healthy tissue carries no cue.
    tile *= np.float32(0.035 / tile.std())
    spacing = float(grid.x_mm[1] - grid.x_mm[0])
    image = np.empty((len(grid.z_mm), len(grid.y_mm), len(grid.x_mm)), dtype=np.float32)
    for k, z in enumerate(grid.z_mm):
        labels = labels_zyx[k]
        plane = signal[labels]
        dy, dx = rng.integers(0, 384 - min(labels.shape[0], 383), 2)
        plane *= 1.0 + tile[dy : dy + labels.shape[0], dx : dx + labels.shape[1]]
        _draw_tumour_signal(plane, labels, subject, role, grid, float(z), tumour_signal, rng)
        # In the order of an acquisition: tissue, point spread, coil sensitivity; then gamma (contrast differs between
        # scanners), noise and gain.
        plane = ndimage.gaussian_filter(plane, blur / spacing)
        plane *= field.section(grid, float(z))
        # Gain after the noise: a scanner's amplification scales both.
        image[k] = np.float32(gain) * _rician(np.maximum(plane, 0) ** np.float32(gamma), noise, rng)
    return image


class _BiasField:
    """A smooth multiplicative field, the exponential of a polynomial that separates along the axes."""

    def __init__(self, size: float, rng: np.random.Generator) -> None:
        self._x, self._y, self._z = (size * rng.uniform(-1, 1, 2) for _ in range(3))

    def section(self, grid: Grid, z_mm: float) -> Float32Array:
        half = FIELD_OF_VIEW_MM / 2
        x, y, z = grid.x_mm / half, grid.y_mm / half, z_mm / half
        ex = np.exp(self._x[0] * x + self._x[1] * x * x)
        ey = np.exp(self._y[0] * y + self._y[1] * y * y + self._z[0] * z + self._z[1] * z * z)
        return np.asarray(np.outer(ey, ex), dtype=np.float32)


def _rician(signal: Float32Array, noise: float, rng: np.random.Generator) -> Float32Array:
    """Magnitude of a complex signal with Gaussian noise in both channels."""
    # The magnitude of two noisy channels is Rician, not Gaussian: air is not 0 but positive, which shifts the low
    # landmarks.
    real = signal + np.float32(noise) * rng.standard_normal(signal.shape, dtype=np.float32)
    imaginary = np.float32(noise) * rng.standard_normal(signal.shape, dtype=np.float32)
    return np.asarray(np.hypot(real, imaginary), dtype=np.float32)


def _relative_radius(
    tumour: Tumour, grid: Grid, z_mm: float, drawn: bool, margin_mm: float = 0.0
) -> tuple[tuple[slice, slice], Float32Array, Float32Array] | None:
    """Distance from the tumour's axis over that to its surface, in a window around it; and the latter in mm.

    Returns (window, relative (h, w), surface_mm (h, w)), or None where the section misses the tumour.
    """
    # Both ends, so that interpolation over the angle has no gap at -180 degrees.
    angles = np.linspace(-np.pi, np.pi, N_ANGLES + 1, dtype=np.float32)
    outline = tumour.outline(z_mm, angles, drawn)
    if outline is None:
        return None
    reach = float(outline.max()) + margin_mm
    cx, cy = float(tumour.centre_mm[0]), float(tumour.centre_mm[1])
    rows = slice(int(np.searchsorted(grid.y_mm, cy - reach)), int(np.searchsorted(grid.y_mm, cy + reach)))
    columns = slice(int(np.searchsorted(grid.x_mm, cx - reach)), int(np.searchsorted(grid.x_mm, cx + reach)))
    dx = grid.x_mm[columns][None, :] - np.float32(cx)
    dy = grid.y_mm[rows][:, None] - np.float32(cy)
    surface = np.interp(np.arctan2(dy, dx), angles, outline).astype(np.float32)
    return (rows, columns), np.hypot(dx, dy) / surface, surface


RIM_MM = 5.0


def _draw_tumour_signal(
    plane: Float32Array,
    labels: LabelArray,
    subject: Subject,
    role: str,
    grid: Grid,
    z_mm: float,
    base: float,
    rng: np.random.Generator,
) -> None:
    """Paint tumour and rim into one section, with the cues of this sequence."""
    outline = _relative_radius(subject.tumour, grid, z_mm, drawn=False, margin_mm=RIM_MM)
    if outline is None:
        return
    window, relative, surface = outline
    inside = relative < 1.0
    outside_mm = (relative - 1.0) * surface
    spacing = float(grid.x_mm[1] - grid.x_mm[0])
    cues = subject.cues
    value = np.full(relative.shape, base, dtype=np.float32)
    fine, coarse = (_texture(relative.shape, sigma / spacing, rng) for sigma in (0.9, 3.2))
    rim_factor = 1.0
    if role == "T1w":
        heterogeneity = float(np.clip(0.20 + 0.10 * cues.texture, 0.02, 0.42))
        value *= 1.0 + 0.06 * fine + heterogeneity * coarse
        rim_factor = 1.0 + 0.26 * float(np.clip(cues.rim, -2.2, 2.2))
    elif role == "T2w":
        value *= 1.0 + 0.20 * float(np.clip(cues.t2_signal, -2.4, 2.4)) + 0.06 * fine
        value += 0.30 * (coarse > 1.35 - 0.55 * cues.islands) * inside
    else:
        core = np.clip(1.0 - relative / 0.75, 0.0, 1.0)
        margin = np.exp(-((outside_mm / 3.0) ** 2))
        value *= 1.0 + 0.06 * fine - core * float(np.clip(0.40 + 0.30 * cues.core, 0.0, 1.1))
        value += margin * 0.14 * float(np.clip(cues.margin, -2.4, 2.4))
    # The rim carries a cue on purpose: peritumoral tissue is part of the patch, and what reads the mask alone misses
    # it. Air gives no signal to change.
    rim = (outside_mm >= 0) & (outside_mm < RIM_MM) & (labels[window] != Tissue.AIR)
    painted = plane[window]
    painted[rim] *= rim_factor
    painted[inside] = np.maximum(value[inside], 0.03)


def _texture(shape: tuple[int, ...], sigma: float, rng: np.random.Generator) -> Float32Array:
    """Return a Gaussian random field of unit variance; `sigma` is its correlation length in pixels."""
    field = ndimage.gaussian_filter(rng.standard_normal(shape, dtype=np.float32), sigma)
    return np.asarray((field - field.mean()) / max(float(field.std()), 1e-6), dtype=np.float32)
