"""Whether the images of a series were compressed with loss, and how much."""

from __future__ import annotations

import math
from collections.abc import Sequence

from config.messages.message import message
from workers.volumes.findings import Finding
from workers.volumes.frames import Frame
from workers.volumes.parsing import PARSE_ERRORS, first_value, unreadable

# Transfer syntaxes that always lose information (PS3.5 section A.4): JPEG baseline and extended, JPEG-LS near-lossless.
ALWAYS_LOSSY = frozenset({"1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.81"})
# Those that may: JPEG 2000, JPEG 2000 part 2, HTJ2K, JPEG XL; (0028,2110) tells.
PERHAPS_LOSSY = frozenset(
    {"1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.93", "1.2.840.10008.1.2.4.203", "1.2.840.10008.1.2.4.112"}
)


def lossy_findings(frames: Sequence[Frame]) -> list[Finding]:
    """Return a finding where images of a series were compressed with loss, at any time since they were acquired.

    Parameters
    ----------
    frames : sequence of Frame
        Of the volume that is used.

    Returns
    -------
    list of Finding
        ``lossy_compression`` with method and ratio as far as they are known, or none. An image whose transfer syntax
        may lose information counts unless (0028,2110) says that it did not.

    References
    ----------
    PS3.3 C.7.6.1.1.5 (Lossy Image Compression): 01 also where the pixels are stored without compression now.
    """
    images = {frame.sop_instance_uid: frame for frame in frames}.values()
    lossy = [frame for frame in images if _is_lossy(frame)]
    if not lossy:
        return []
    ratios = sorted(ratio for frame in lossy if (ratio := _ratio(frame)) is not None)
    methods = sorted({method for frame in lossy for method in _texts(frame, "LossyImageCompressionMethod")})
    if not ratios:
        stated = message("lossy_compression.unknown")
    elif ratios[-1] > ratios[0]:
        stated = message("lossy_compression.ratios", low=ratios[0], high=ratios[-1])
    else:
        stated = message("lossy_compression.ratio", low=ratios[0])
    text = message(
        "lossy_compression.images",
        images=message("lossy_compression.all")
        if len(lossy) == len(images)
        else message("lossy_compression.some", n=len(lossy), total=len(images)),
        methods=message("lossy_compression.by", methods=methods) if methods else "",
        ratio=stated,
    )
    return [Finding("lossy_compression", text)]


def _is_lossy(frame: Frame) -> bool:
    stated = _texts(frame, "LossyImageCompression")
    syntax = str(frame.source.transfer_syntax)
    return "01" in stated or syntax in ALWAYS_LOSSY or (syntax in PERHAPS_LOSSY and "00" not in stated)


def _ratio(frame: Frame) -> float | None:
    """Return the ratio of all steps of compression together; without a statement, that of the compressed file."""
    values = [float(text) for text in _texts(frame, "LossyImageCompressionRatio")]
    if values:
        return round(math.prod(values), 1)
    if frame.source.offset is not None:
        return None  # stored without compression now: nothing tells
    n_frames = int((_texts(frame, "NumberOfFrames") or ["1"])[0])
    return round(frame.source.frame_bytes * n_frames / frame.source.path.stat().st_size, 1)


def _texts(frame: Frame, keyword: str) -> list[str]:
    try:
        value = first_value([frame.dataset], keyword)
    except PARSE_ERRORS as error:
        raise unreadable(frame.source.path, f"{type(error).__name__}: {error}") from error
    if value is None:
        return []
    values = [value] if isinstance(value, str | int | float) else list(value)
    return [str(each).strip() for each in values if str(each).strip()]
