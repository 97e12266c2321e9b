"""The pixels of a page as a DICOM image a tenth of their size: 256 colours, compressed without loss by JPEG-LS.

Measured with the three pages and three maps of a report: RGB without compression 16 MB; RLE 3.9 MB; JPEG-LS of RGB
1.6 MB, since it codes each colour plane by itself; JPEG-LS of palette colours 0.7 MB. JPEG-LS of YBR_FULL is as small,
but Orthanc 1.10 shows it in wrong colours.
"""

from __future__ import annotations

from dataclasses import dataclass

import jpeg_ls
import numpy as np
from PIL import Image
from pydicom import DataElement, Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels.processing import apply_color_lut
from pydicom.uid import JPEGLSLossless

from config.arrays import LabelArray, RgbArray

N_GREYS = 96  # 2.7 of 255 apart
N_COLOURS = 256 - N_GREYS
MOST_WEIGHT = 16  # a colour of many pixels counts as if it had so many: legends and maps have few of each
LUMINANCE = np.array([0.299, 0.587, 0.114])
CHANNELS = ("Red", "Green", "Blue")


@dataclass(frozen=True)
class EncodedPicture:
    """A picture with palette colours.

    Attributes
    ----------
    frame : bytes
        JPEG-LS of the index of each pixel.
    palette : array of uint8, shape (256, 3)
        RGB.
    """

    rows: int
    columns: int
    frame: bytes
    palette: RgbArray


def encode(pixels_rgb: RgbArray) -> EncodedPicture:
    """Encode a picture.

    Parameters
    ----------
    pixels_rgb : array of uint8, shape (rows, columns, 3)
        0 to 255; a page is text, lines and grey slices, with few coloured places.
    """
    indices, palette = to_palette(pixels_rgb)
    rows, columns = indices.shape
    # 8 bits, as the header says: `encode_array` would take as few as the largest index needs, on a page without
    # colours 7, and dcmtk and Orthanc then refuse the picture.
    frame = jpeg_ls.encode_pixel_data(
        indices.tobytes(), rows=rows, columns=columns, samples_per_pixel=1, bits_stored=8
    )  # fmt: skip
    return EncodedPicture(rows, columns, bytes(frame), palette)


def to_palette(pixels_rgb: RgbArray) -> tuple[LabelArray, RgbArray]:
    """Describe a picture by 256 colours.

    Parameters
    ----------
    pixels_rgb : array of uint8, shape (rows, columns, 3)
        0 to 255.

    Returns
    -------
    (array of uint8, shape (rows, columns), array of uint8, shape (256, 3))
        Index of each pixel, and the colours: greys from black to white in equal steps, then those that are nearest to
        the colours of the picture, from dark to bright. Neighbouring pixels have neighbouring numbers, which compress
        well.
    """
    red, green, blue = (pixels_rgb[..., channel] for channel in range(3))
    palette = np.zeros((256, 3), np.uint8)
    palette[:N_GREYS] = np.rint(np.linspace(0, 255, N_GREYS))[:, None]
    indices = np.rint(green * ((N_GREYS - 1) / 255)).astype(np.uint8)
    is_coloured = (red != green) | (blue != green)
    if is_coloured.any():
        colours, where, counts = np.unique(pixels_rgb[is_coloured], axis=0, return_inverse=True, return_counts=True)
        chosen = _representatives(np.repeat(colours, np.minimum(counts, MOST_WEIGHT), axis=0))
        palette[N_GREYS : N_GREYS + len(chosen)] = chosen
        distances = ((colours[:, None].astype(np.int32) - chosen[None]) ** 2).sum(axis=2)
        indices[is_coloured] = (N_GREYS + distances.argmin(axis=1))[where.ravel()]
    return indices, palette


def _representatives(colours: RgbArray) -> RgbArray:
    """Return the colours that are nearest to all of a list, from dark to bright."""
    few = Image.fromarray(colours[None]).quantize(
        N_COLOURS, Image.Quantize.MEDIANCUT, kmeans=2, dither=Image.Dither.NONE
    )
    chosen = np.array(few.getpalette(), np.uint8).reshape(-1, 3)[:N_COLOURS]
    return chosen[np.argsort(chosen @ LUMINANCE, kind="stable")]


def set_pixels(capture: Dataset, picture: EncodedPicture) -> None:
    """Replace the pixel data of an image by an encoded picture.

    Parameters
    ----------
    capture : Dataset
        An image of the same size, with file meta information.
    picture : EncodedPicture
        From `encode`.

    References
    ----------
    PS3.3 C.7.6.3 (Image Pixel module), C.7.6.3.1.5 and C.7.6.3.1.6 (palette); PS3.5 8.2.3 and A.4.3 (JPEG-LS).
    """
    capture.SamplesPerPixel, capture.PhotometricInterpretation = 1, "PALETTE COLOR"
    capture.pop("PlanarConfiguration", None)
    for channel, name in enumerate(CHANNELS):
        keyword = f"{name}PaletteColorLookupTable"
        capture[f"{keyword}Descriptor"] = DataElement(f"{keyword}Descriptor", "US", [256, 0, 16])
        # Entries of 16 bits; those of 8 bits are written in more than one way.
        setattr(capture, f"{keyword}Data", (picture.palette[:, channel].astype("<u2") * 257).tobytes())
    capture["PixelData"] = DataElement("PixelData", "OB", encapsulate([picture.frame]))
    capture["PixelData"].is_undefined_length = True
    capture.file_meta.TransferSyntaxUID = JPEGLSLossless


def rgb_pixels(capture: Dataset) -> RgbArray:
    """Return the pixels of a stored picture of ours, of this version or of an earlier one.

    Parameters
    ----------
    capture : Dataset
        With palette colours, or RGB as earlier versions wrote it.

    Returns
    -------
    array of uint8, shape (rows, columns, 3)
        RGB.
    """
    pixels = capture.pixel_array
    if capture.PhotometricInterpretation != "PALETTE COLOR":
        return pixels
    # The entries of the palette have 16 bits.
    return (apply_color_lut(pixels, capture) >> 8).astype(np.uint8)
